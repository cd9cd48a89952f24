//! Every pair of a labelled set.

use std::collections::{BTreeSet, HashMap};

use facegrad_faces::SourceConfig;
use facegrad_results::{CurveKind, ResultCurve};
use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{AllPairsResult, IdentityList, LabelledUnitEmbeddings, ScoreCounts, Similarity};

use super::{
    EvaluationError, Fusion, ImageNeed, Measurement, MeasurementError, OpenProtocol, Protocol,
    ProtocolOutcome, unit,
};
use crate::{Embedder, ImageNames, Images, SourceImages, embedder::UsableEmbeddings};

settings! {
    /// Every pair of a labelled set, compared by the cosine: the false-accept rates that few pairs cannot show.
    pub struct AllPairsConfig {
        /// What the evaluation is called in logs and results.
        name: String = "all-pairs".into();
        /// Where the images come from; without it, every row of the file of embeddings.
        source: Option<SourceConfig> = None;
        ..fusion: Fusion;
    }
}

impl Protocol for AllPairsConfig {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, wanted: ImageNeed) -> Result<(), SettingsError> {
        match (&self.source, wanted) {
            (Some(source), _) => source.validate(&at("source").into()),
            (None, ImageNeed::Names) => Ok(()),
            (None, ImageNeed::Pixels) => Err(SettingsError::Missing {
                key: at("source").into(),
                expected: "it is where the labelled images come from".into(),
            }),
        }
    }

    fn open(&self, _wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let of = match &self.source {
            None => None,
            Some(source) => {
                let source = source.open()?.source;
                let list = IdentityList {
                    images: (0..source.len()).map(|image| source.name(image)).collect(),
                    identities: (0..source.len())
                        .map(|image| source.identities()[source.label(image)].clone())
                        .collect(),
                };
                let indices = (0..source.len()).collect();
                Some((list, Box::new(SourceImages::new(source, indices)) as Box<dyn Images>))
            }
        };
        Ok(Box::new(Open { config: self.clone(), of }))
    }
}

struct Open {
    config: AllPairsConfig,
    of: Option<(IdentityList, Box<dyn Images>)>,
}

impl OpenProtocol for Open {
    fn images(&self) -> usize {
        self.of.as_ref().map_or(0, |(_, images)| images.len())
    }

    fn sha256(&self) -> String {
        self.of.as_ref().map(|(list, _)| IdentityList::sha256(&[list])).unwrap_or_default()
    }

    fn people(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.of.iter().flat_map(|(list, _)| &list.identities).collect();
        names.into_iter().cloned().collect()
    }

    fn measure(
        &self,
        embedder: &Embedder<'_>,
        _measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, MeasurementError> {
        let stored;
        let (list, images) = match (&self.of, embedder.stored()) {
            (Some((list, images)), _) => (list, images.as_ref()),
            (None, Some(file)) => {
                let identities = file.identities().ok_or(MeasurementError::NoSource)?;
                let list = IdentityList { images: file.names().to_vec(), identities: identities.to_vec() };
                stored = (list, ImageNames(file.names().to_vec()));
                (&stored.0, &stored.1 as &dyn Images)
            }
            (None, None) => return Err(MeasurementError::NoSource),
        };
        let embedded = embedder.embed(images, self.config.fusion.flip, progress)?;
        let mut usable = UsableEmbeddings::all(embedded, images.len());
        let rows = unit(&mut usable, images)?;
        let mut numbers = HashMap::new();
        let number = |identity| {
            let next = numbers.len();
            *numbers.entry(identity).or_insert(next)
        };
        let labels: Vec<usize> = list.identities.iter().map(number).collect();
        let labelled = LabelledUnitEmbeddings::new(&rows, &labels)?;
        let provenance = embedder.provenance(
            format!("{}: every pair of {} images", self.config.name, list.images.len()),
            IdentityList::sha256(&[list]),
            usable.embedded.images_sha256,
            self.config.fusion.flip,
            Similarity::Cosine,
        );
        let counts = ScoreCounts::all_pairs(labelled);
        let result = AllPairsResult::measure(&counts, labelled, provenance);
        let curve = counts.roc().ok().map(|roc| ResultCurve {
            kind: CurveKind::Roc,
            points: roc.thinned().iter().map(|p| (roc.far(p), roc.tar(p))).collect(),
            support: counts.impostor(),
        });
        Ok(ProtocolOutcome { curve, ..ProtocolOutcome::without_pairs(result) })
    }
}
