//! Pictures and pages of what was measured.
//!
//! Everything here takes plain numbers, text and [sheets](facegrad_results::ResultSheet), and gives SVG or HTML as text;
//! nothing can fail. There is one [`Page`]: sections of [`Block`]s, which evaluations ([`result_sections`]), runs,
//! comparisons and audits fill. A [`Picture`] comes from a function for each kind: [`loss_curve`], [`roc_curve`],
//! [`det_curve`], [`cmc_curve`], [`fnir_curve`], [`counts_histogram`], [`embedding_map`], [`bar_chart`], [`mean_figures`];
//! [`roofline`] of a machine; [`logits`] of loss heads. Each describes a chart (title, panels of axes and layers, notes),
//! and `chart.rs` draws all of them. How numbers came about is the business of others.
//!
//! The pictures have a white background, so that they read on any page; the HTML page repaints them where
//! the reader prefers dark.
//!
//! ```
//! use facegrad_report::{Block, Page, PageSection, result_sections};
//! use facegrad_results::{Better, Fact, Figure, ResultSheet, Scale, ResultSection};
//!
//! let auc = Figure::new("auc", "AUC", Scale::Digits(4), Better::Higher, Ok(0.987));
//! let section = ResultSection { figures: vec![auc], ..ResultSection::default() };
//! let sheet = ResultSheet { name: "lfw".into(), model: "<mine>".into(), sections: vec![section], ..Default::default() };
//! let mut page = Page { title: "Mine on LFW".into(), sections: result_sections(&[sheet], &[]), ..Page::default() };
//! let facts = vec![Fact::new("backend", "flex")];
//! page.sections.push(PageSection { title: "Run".into(), blocks: vec![Block::Facts(String::new(), facts)] });
//! let html = page.to_html();
//! assert!(html.contains("0.9870") && html.contains("&lt;mine&gt;") && !html.contains("<script"));
//! ```

mod bars;
mod chart;
mod curves;
mod histogram;
mod html;
mod logits;
mod loss;
mod map;
mod means;
mod page;
mod roofline;
mod sheets;
mod svg;
#[cfg(test)]
mod testing;

pub use bars::bar_chart;
pub use curves::{ModelCurve, cmc_curve, det_curve, fnir_curve, roc_curve};
pub use histogram::counts_histogram;
pub use html::Grid;
pub use logits::{LogitCurve, logits};
pub use loss::{LossCurve, loss_curve};
pub use map::embedding_map;
pub use means::mean_figures;
pub use page::{Block, CaptionedImage, Drawing, ImageGroup, Page, PageSection};
pub use roofline::{OperatorFamily, OperatorPoint, Roofline, roofline};
pub use sheets::{PairedTable, result_sections};
pub use svg::Picture;
