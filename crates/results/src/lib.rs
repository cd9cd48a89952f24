//! One form of a result: figures, curves and tables, with where they come from.
//!
//! Whatever measures something ends in a [`ResultSheet`], and whatever shows results renders lists of them: the terminal
//! ([`ResultSheet::to_text`]), spreadsheets ([`to_csv`]), the log and `--json` (figures are `Serialize`), the pages of
//! the report room, the comparison of runs. So a new metric is one more [`Figure`] where it is measured.
//!
//! How numbers came about is not known here, nor what a page looks like. [`numbers`] has the one way to write a
//! percentage and a large number; [`TextTable`] lines up columns for a terminal.
//!
//! ```
//! use facegrad_results::{Better, Fact, Figure, Interval, ResultSheet, Scale, ResultSection, to_csv};
//!
//! let accuracy = Figure::new("accuracy", "accuracy", Scale::Percent, Better::Higher, Ok(0.993))
//!     .by_pairs(Some(Interval { low: 0.99, high: 0.995 }));
//! let few = Figure::new("tar_at_far_1e-4", "TAR at FAR 0.01 %", Scale::Percent, Better::Higher,
//!     Err("not measurable: 3,000 impostor pairs, it takes 100,000".into()));
//! let section = ResultSection { figures: vec![accuracy, few], facts: vec![Fact::new("backend", "flex")], ..ResultSection::default() };
//! let sheet = ResultSheet { protocol: "LFW View 2".into(), sections: vec![section], ..ResultSheet::default() };
//!
//! let text = sheet.to_text();
//! assert!(text.starts_with("LFW View 2\naccuracy           99.30 % (95 %: 99.00 to 99.50)\n"), "{text}");
//! assert!(text.contains("\nTAR at FAR 0.01 %  not measurable: 3,000 impostor pairs, it takes 100,000\n"));
//! let csv = to_csv(&[&sheet]);
//! assert!(csv.starts_with("protocol,backend,accuracy,accuracy_low,accuracy_high,tar_at_far_1e-4\nLFW View 2,flex,0.993,0.99,0.995,\n"), "{csv}");
//! ```

mod csv;
mod figure;
pub mod numbers;
mod pictures;
mod sheet;
mod text;

pub use csv::to_csv;
pub use figure::{Better, Figure, FigureSpread, Interval, IntervalOver, MeanFigure, Population, Scale};
pub use pictures::{
    CurveKind, EmbeddedImage, EmbeddingMap, ImagePair, MapClass, NamedThreshold, ResultCurve,
    ScoreDistribution,
};
pub use sheet::{Fact, HeadlineFigure, Layout, ResultSection, ResultSheet, ResultTable};
pub use text::{Align, TextTable};
