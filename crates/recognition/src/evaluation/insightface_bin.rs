//! insightface's verification sets: pairs and their encoded images in one file.

use std::path::PathBuf;

use facegrad_faces::{FaceError, InsightfaceBin};
use facegrad_pictures::Picture;
use facegrad_settings::{SettingsError, at_least, settings};
use facegrad_verification::{Pair, PairList};

use super::{
    EvaluationError, ImageNeed, OpenProtocol, Protocol, file_name, needs_path,
    pairs::{PairComparison, PairProtocol, Pairs},
    stem,
};
use crate::Images;

settings! {
    /// Pairs with their images in one file of insightface, such as lfw.bin or cfp_fp.bin.
    pub struct InsightfacePairsConfig {
        /// What the evaluation is called in logs and results; without it as the file.
        name: Option<String> = None;
        /// The file.
        file: PathBuf = PathBuf::new();
        /// Number of folds the pairs are cut into, in their order.
        folds: usize = 10, at_least(2).up_to(1000);
        ..comparison: PairComparison;
    }
}

impl Protocol for InsightfacePairsConfig {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| stem(&self.file))
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, _wanted: ImageNeed) -> Result<(), SettingsError> {
        needs_path(&self.file, at("file"), "a verification set of insightface, such as lfw.bin")
    }

    fn open(&self, _wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let bin = InsightfaceBin::open(&self.file)?;
        let names = (0..bin.images()).map(|image| bin.name(image)).collect();
        let pairs = bin.pairs().iter().map(|&(a, b, same)| Pair { a, b, same, fold: 0 });
        let list = PairList::new(names, pairs.collect(), None);
        // A set of one class, or a very small one, has no folds; what that means for the numbers is said there.
        let enough = list.genuine().min(list.impostor()) >= self.folds;
        let list = if enough { list.in_folds(self.folds)? } else { list };
        let folds = if enough { format!("{} folds", self.folds) } else { "one fold".into() };
        Ok(Box::new(PairProtocol {
            protocol: format!("{}: {} ({folds})", self.name(), file_name(&self.file)),
            comparison: self.comparison.clone(),
            seed: None,
            test: Pairs { list, images: Box::new(BinImages(bin)) },
            development: None,
        }))
    }
}

struct BinImages(InsightfaceBin);

impl Images for BinImages {
    fn len(&self) -> usize {
        self.0.images()
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        self.0.load(index, size)
    }
}
