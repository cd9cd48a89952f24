//! Pictures and pages of what was measured.
//!
//! Everything here takes plain numbers, text and [sheets](facegrad_results::ResultSheet), and gives SVG or HTML as text.
//! There is one [`Page`]: sections of [`Block`]s, which evaluations ([`result_sections`]), runs, comparisons
//! ([`comparison_page`]) and audits fill. Pictures are functions: [`loss_curve`], [`roc_curve`], [`det_curve`],
//! [`cmc_curve`], [`fnir_curve`], [`counts_histogram`], [`embedding_map`], [`bar_chart`]; [`roofline`] of a machine;
//! [`logits`] of loss heads. How numbers came about is the business of others.
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
//! let mut page = Page { title: "Mine on LFW".into(), sections: result_sections(&[sheet], &[])?, ..Page::default() };
//! let facts = vec![Fact::new("backend", "flex")];
//! page.sections.push(PageSection { title: "Run".into(), blocks: vec![Block::Facts(String::new(), facts)] });
//! let html = page.to_html();
//! assert!(html.contains("0.9870") && html.contains("&lt;mine&gt;") && !html.contains("<script"));
//! # Ok::<(), facegrad_report::DrawError>(())
//! ```

mod bars;
mod chart;
mod cmc;
mod compare;
mod det;
mod histogram;
mod html;
mod logits;
mod loss;
mod map;
mod page;
mod roc;
mod roofline;
mod sheets;

pub use bars::{BarChart, bar_chart};
pub use chart::{DrawError, Series};
pub use cmc::cmc_curve;
pub use compare::{
    ComparisonReport, ComparisonRow, comparison_markdown, comparison_page, comparison_picture,
};
pub use det::det_curve;
pub use histogram::{counts_histogram, score_histogram};
pub use logits::{LogitCurve, decision_boundaries, logits, target_logits};
pub use loss::{LossCurve, loss_curve};
pub use map::embedding_map;
pub use page::{
    Block, CaptionedImage, Drawing, FigureCell, FigureRow, FigureTable, ImageGroup, Page, PageSection,
};
pub use roc::{RocSeries, fnir_curve, roc_curve};
pub use roofline::{OperatorFamily, OperatorPoint, Roofline, roofline};
pub use sheets::{PairedTable, result_sections};
