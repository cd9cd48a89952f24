//! Pictures and pages of what was measured.
//!
//! Everything here takes plain numbers and text, and gives SVG or HTML as text: [`loss_curve`],
//! [`roc_curve`], [`score_histogram`] and, all together, [`run_report`]; [`evaluation_page`] of models on
//! protocols, with [`det_curve`], [`cmc_curve`], [`fnir_curve`] and [`embedding_map`]; [`comparison_page`] of several
//! runs; [`audit_page`] of what is wrong with a set of images; [`roofline`], of a machine; and [`logits`], of loss heads. How the numbers came about is the business of others.
//!
//! The pictures have a white background, so that they read on any page; the HTML page repaints them where
//! the reader prefers dark.

mod audit;
mod bars;
mod chart;
mod cmc;
mod compare;
mod det;
mod evaluation;
mod histogram;
mod html;
mod logits;
mod loss;
mod map;
mod page;
mod pairs;
mod roc;
mod roofline;
mod table;

pub use audit::{AuditReport, AuditSection, CaptionedImage, ImageGroup, audit_page};
pub use bars::{BarChart, bar_chart};
pub use chart::{DrawError, Series, thousands};
pub use cmc::cmc_curve;
pub use compare::{
    AccuracyMark, ComparisonReport, ComparisonRow, comparison_markdown, comparison_page, comparison_picture,
};
pub use det::det_curve;
pub use evaluation::{
    Entry, Estimate, EstimateAt, EvaluationReport, Fold, Measured, ModelCard, ModelIdentification,
    ModelVerification, PairedDifference, ProtocolResults, RankRate, evaluation_page,
};
pub use histogram::{ScoreCounts, Threshold, counts_histogram, score_histogram};
pub use logits::{LogitCurve, decision_boundaries, logits, target_logits};
pub use loss::{LossCurve, loss_curve};
pub use map::{EmbeddingMap, MapClass, embedding_map};
pub use page::{DataHash, Evaluation, Rate, RunReport, SkippedImage, TarAtFar, run_report};
pub use pairs::{ImagePair, Thumbnail};
pub use roc::{RocSeries, fnir_curve, roc_curve};
pub use roofline::{OperatorFamily, OperatorPoint, Roofline, roofline};
pub use table::Table;
