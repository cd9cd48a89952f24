//! Celebrities in Frontal-Profile.

use std::path::PathBuf;

use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{CfpProtocol, PairList};

use super::{
    EvaluationError, ImageNeed, OpenProtocol, Protocol, needs_path,
    pairs::{PairComparison, PairProtocol, Pairs},
};

settings! {
    /// Celebrities in Frontal-Profile (Sengupta et al. 2016) with the layout it is distributed in.
    pub struct CfpConfig {
        /// What the evaluation is called in logs and results; without it cfp-ff or cfp-fp.
        name: Option<String> = None;
        /// The folder that holds Protocol and Data.
        folder: PathBuf = PathBuf::new();
        /// Frontal images against frontal or against profile images.
        protocol: CfpProtocol = CfpProtocol::FrontalProfile;
        ..comparison: PairComparison;
    }
}

impl Protocol for CfpConfig {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("cfp-{}", self.protocol))
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, _wanted: ImageNeed) -> Result<(), SettingsError> {
        needs_path(&self.folder, at("folder"), "the folder that holds Protocol and Data of CFP")
    }

    fn open(&self, wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let list = PairList::cfp(&self.folder, self.protocol)?;
        let folds = list.folds();
        let lists = self.folder.join("Protocol");
        let test = Pairs::find(list, &lists, &self.folder, self.comparison.missing, wanted)?;
        let kind = match self.protocol {
            CfpProtocol::FrontalFrontal => "frontal-frontal",
            CfpProtocol::FrontalProfile => "frontal-profile",
        };
        Ok(Box::new(PairProtocol {
            protocol: format!("{}: CFP {kind} ({folds} folds)", self.name()),
            comparison: self.comparison.clone(),
            seed: None,
            test,
            development: None,
        }))
    }
}
