//! The benchmark of large-scale unconstrained face recognition.

use std::path::PathBuf;

use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{BlufrLists, BlufrResult, LostImages, Missing, Similarity};

use super::{
    EvaluationError, Fusion, ImageNeed, Listed, Measurement, MeasurementError, OpenProtocol, Protocol,
    ProtocolOutcome, embed_listed, needs_images, needs_path, unit,
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
        /// What becomes of pairs and searches with an image that is not there or cannot be read.
        missing: Missing = Missing::Error;
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
        let (list, folder, names) = (&self.lists, &self.images, lists.images());
        let listed = Listed { list, folder, names, missing: self.missing };
        let images = listed.find(wanted, |is_lost| touched(&lists, is_lost))?;
        Ok(Box::new(Open { config: self.clone(), lists, images }))
    }
}

/// How many images of all trials are lost, in words.
fn touched(lists: &BlufrLists, is_lost: &[bool]) -> String {
    let images = lists.trials().iter().flat_map(|sets| &sets.test);
    let lost = images.filter(|&&image| is_lost[image]).count();
    format!("{lost} times in the test sets of its {} trials", lists.trials().len())
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

    fn remarks(&self) -> Vec<String> {
        self.images.remark().into_iter().collect()
    }

    fn measure(
        &self,
        embedder: &Embedder<'_>,
        _measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, MeasurementError> {
        let BlufrConfig { fusion: Fusion { flip }, missing, .. } = self.config;
        let images = self.images.as_ref();
        let touched = |is_lost: &[bool]| touched(&self.lists, is_lost);
        let mut usable = embed_listed(embedder, images, flip, missing, progress, touched)?;
        let mut provenance = embedder.provenance(
            format!("{}: BLUFR, {} trials", self.config.name, self.lists.trials().len()),
            self.sha256(),
            usable.embedded.images_sha256.clone(),
            flip,
            Similarity::Cosine,
        );
        provenance.image_remarks = self.remarks();
        let lost = usable.first_lost.as_ref().map(|first| LostImages {
            missing,
            images: usable.lost(),
            first: first.to_string(),
        });
        let rows = unit(&mut usable, images)?;
        let result = BlufrResult::measure_usable(&self.lists, &usable.is_lost, &rows, provenance, lost)?;
        Ok(ProtocolOutcome::without_pairs(result))
    }
}
