//! The benchmark of large-scale unconstrained face recognition.

use std::path::PathBuf;

use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{BlufrLists, BlufrResult, Similarity, UnitEmbeddings};

use super::{
    EvaluationError, Fusion, ImageNeed, Measurement, MeasurementError, OpenProtocol, Protocol,
    ProtocolOutcome, images, needs_images, needs_path,
};
use crate::{Embedder, Images};

settings! {
    /// BLUFR on LFW (Liao et al. 2014): ten trials of verification at FAR 0.1 % and identification at FAR 1 %.
    pub struct BlufrConfig {
        /// What the evaluation is called in logs and results.
        name: String = "blufr".into();
        /// The folder list/lfw of the benchmark's toolkit.
        lists: PathBuf = PathBuf::new();
        /// The folder that holds LFW's images, one folder an identity.
        images: PathBuf = PathBuf::new();
        ..fusion: Fusion;
    }
}

impl Protocol for BlufrConfig {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, wanted: ImageNeed) -> Result<(), SettingsError> {
        needs_path(&self.lists, at("lists"), "the folder list/lfw of BLUFR's toolkit")?;
        needs_images(&self.images, at("images"), wanted)
    }

    fn open(&self, wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let lists = BlufrLists::read(&self.lists)?;
        let images = images(&self.lists, &self.images, lists.images(), wanted)?;
        Ok(Box::new(Open { config: self.clone(), lists, images }))
    }
}

struct Open {
    config: BlufrConfig,
    lists: BlufrLists,
    images: Box<dyn Images>,
}

impl OpenProtocol for Open {
    fn images(&self) -> usize {
        self.images.len()
    }

    fn sha256(&self) -> String {
        self.lists.sha256()
    }

    fn measure(
        &self,
        embedder: &Embedder<'_>,
        _measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, MeasurementError> {
        let embedded = embedder.embed(self.images.as_ref(), self.config.fusion.flip, progress)?;
        let provenance = embedder.provenance(
            format!("{}: BLUFR, {} trials", self.config.name, self.lists.trials().len()),
            self.sha256(),
            embedded.images_sha256,
            self.config.fusion.flip,
            Similarity::Cosine,
        );
        let rows = UnitEmbeddings::new(embedded.rows, embedded.dim)?;
        Ok(ProtocolOutcome::without_pairs(BlufrResult::measure(&self.lists, &rows, provenance)?))
    }
}
