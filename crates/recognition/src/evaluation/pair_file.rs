//! Pairs from a file: LFW's View 1 and View 2, or any list.

use std::path::{Path, PathBuf};

use facegrad_settings::{SettingsError, at_least, settings};
use facegrad_verification::PairList;

use super::{
    EvaluationError, ImageNeed, OpenProtocol, Protocol, file_name, needs_images, needs_path,
    pairs::{PairComparison, PairProtocol, Pairs},
    stem,
};

settings! {
    /// Pairs from a file, of images in a folder.
    pub struct PairFileConfig {
        /// What the evaluation is called in logs and results; without it as the pair file.
        name: Option<String> = None;
        /// The pair file: LFW's View 1 or View 2 format, or lines `path path 0/1` separated by spaces, tabs or commas.
        pairs: PathBuf = PathBuf::new();
        /// A pair file to choose the threshold on, such as LFW's pairsDevTrain.txt for pairsDevTest.txt.
        threshold_pairs: Option<PathBuf> = None;
        /// The folder that holds the images, one folder an identity, or a set of another kind, whose images the pairs name
        /// as the set does.
        images: PathBuf = PathBuf::new();
        /// Cut the pairs into so many folds, in their order; without it the folds are those of the file.
        folds: Option<usize> = None, at_least(2).up_to(1000);
        ..comparison: PairComparison;
    }
}

impl Protocol for PairFileConfig {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| stem(&self.pairs))
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, wanted: ImageNeed) -> Result<(), SettingsError> {
        needs_path(&self.pairs, at("pairs"), "the pair file")?;
        needs_images(&self.images, at("images"), wanted)
    }

    fn open(&self, wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let read = |file: &Path| {
            let folder = Some(self.images.as_path()).filter(|folder| !folder.as_os_str().is_empty());
            let mut list = PairList::read(file, folder)?;
            if let Some(folds) = self.folds {
                list = list.in_folds(folds)?;
            }
            Pairs::find(list, file, &self.images, self.comparison.missing, wanted)
        };
        let test = read(&self.pairs)?;
        let development = self.threshold_pairs.as_deref().map(read).transpose()?;
        let threshold = match &self.threshold_pairs {
            Some(path) => format!(", threshold from {}", file_name(path)),
            None => String::new(),
        };
        let folds = match test.list.folds() {
            1 => "one fold".to_owned(),
            several => format!("{several} folds"),
        };
        Ok(Box::new(PairProtocol {
            protocol: format!("{}: {} ({folds}{threshold})", self.name(), file_name(&self.pairs)),
            comparison: self.comparison.clone(),
            seed: None,
            test,
            development,
        }))
    }
}
