//! Pictures and pages of what was measured.
//!
//! Everything here takes plain numbers and text, and gives SVG or HTML as text: [`loss_curve`],
//! [`roc_curve`], [`score_histogram`] and, all together, [`run_report`]; [`comparison_page`] of several runs;
//! [`roofline`], of a machine; and [`logits`], of loss heads. How the numbers came about is the business of others.
//!
//! The pictures have a white background, so that they read on any page; the HTML page repaints them where
//! the reader prefers dark.

mod chart;
mod compare;
mod histogram;
mod html;
mod logits;
mod loss;
mod page;
mod roc;
mod roofline;

pub use chart::{DrawError, Series};
pub use compare::{
    AccuracyMark, ComparisonReport, ComparisonRow, comparison_markdown, comparison_page, comparison_picture,
};
pub use histogram::score_histogram;
pub use logits::{LogitCurve, decision_boundaries, logits, target_logits};
pub use loss::{LossCurve, loss_curve};
pub use page::{DataHash, Evaluation, Rate, RunReport, SkippedImage, TarAtFar, run_report};
pub use roc::{RocSeries, roc_curve};
pub use roofline::{OperatorFamily, OperatorPoint, Roofline, roofline};
