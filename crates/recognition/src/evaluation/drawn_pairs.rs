//! Pairs drawn from a labelled set.

use facegrad_faces::SourceConfig;
use facegrad_settings::{SettingsError, at_least, settings};
use facegrad_verification::PairList;

use super::{
    EvaluationError, ImageNeed, OpenProtocol, Protocol,
    pairs::{PairComparison, PairProtocol, Pairs},
};
use crate::SourceImages;

settings! {
    /// Pairs drawn from a labelled set of images, in folds without common identities.
    pub struct DrawnPairsConfig {
        /// What the evaluation is called in logs and results.
        name: String = "pairs".into();
        /// Number of folds.
        folds: usize = 10, at_least(2).up_to(1000);
        /// Genuine pairs in a fold, and as many impostor pairs.
        pairs_per_fold: usize = 100, at_least(1).up_to(100_000);
        /// Decides which pairs are drawn.
        seed: u64 = 1;
        /// Where the images come from.
        source: SourceConfig = SourceConfig::default();
        ..comparison: PairComparison;
    }
}

impl Protocol for DrawnPairsConfig {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, _wanted: ImageNeed) -> Result<(), SettingsError> {
        self.source.validate(&at("source").into())
    }

    fn open(&self, _wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let source = self.source.open()?.source;
        let labels: Vec<usize> = (0..source.len()).map(|i| source.label(i)).collect();
        let drawn = PairList::<usize>::generate(&labels, self.folds, self.pairs_per_fold, self.seed)?;
        let indices = drawn.images().to_vec();
        let list = drawn.rename(|index| source.name(index));
        let (pairs, folds) = (list.pairs().len(), self.folds);
        Ok(Box::new(PairProtocol {
            protocol: format!("{}: {pairs} pairs in {folds} folds without common identities", self.name),
            comparison: self.comparison.clone(),
            seed: Some(self.seed),
            test: Pairs { list, images: Box::new(SourceImages::new(source, indices)) },
            development: None,
        }))
    }
}
