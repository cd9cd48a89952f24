//! Probes searched in a gallery.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use facegrad_faces::{SourceConfig, SourceKind};
use facegrad_results::{CurveKind, ResultCurve};
use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{
    IdentificationResult, IdentityBootstrap, IdentityList, IdentityScore, LabelledUnitEmbeddings, ProbeMatch,
    Search, Similarity, UnitEmbeddings, read_identity_list,
};

use super::{
    EvaluationError, Fusion, ImageNeed, Measurement, MeasurementError, OpenProtocol, Protocol,
    ProtocolOutcome, SearchOutcome, file_name, images, needs_images, needs_path, stem,
};
use crate::{Embedder, ImageEmbeddings, ImageSet, Images, people_of};

settings! {
    /// Probes searched in a gallery, closed and open set.
    pub struct IdentificationConfig {
        /// What the evaluation is called in logs and results; without it as the list of probes.
        name: Option<String> = None;
        /// The gallery: a list of lines `path identity`, separated by spaces, tabs or commas; or a folder with one folder
        /// of images a person, or with one image a person, called as the person; or a set of another kind.
        gallery: PathBuf = PathBuf::new();
        /// The probes, in the same form; those whose identity the gallery lacks are not mated.
        probes: PathBuf = PathBuf::new();
        /// The folder that holds the images of lists, or a set of another kind, whose images they name as the set does.
        images: PathBuf = PathBuf::new();
        /// The score of an identity with several images in the gallery.
        identity_score: IdentityScore = IdentityScore::Max;
        ..fusion: Fusion;
    }
}

impl Protocol for IdentificationConfig {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| stem(&self.probes))
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, wanted: ImageNeed) -> Result<(), SettingsError> {
        needs_path(&self.gallery, at("gallery"), "the list of the gallery, or its folder")?;
        needs_path(&self.probes, at("probes"), "the list of probes, or their folder")?;
        match set_at(&self.gallery).is_some() && set_at(&self.probes).is_some() {
            true => Ok(()),
            false => needs_images(&self.images, at("images"), wanted),
        }
    }

    fn open(&self, wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let read = |file: &Path| {
            if let Some(set) = set_at(file) {
                let images = ImageSet::of(set.open_images()?);
                let list = IdentityList { images: images.names().to_vec(), identities: people_of(&images) };
                return Ok((list, Box::new(images) as Box<dyn Images>));
            }
            let list = read_identity_list(file)?;
            let images = images(file, &self.images, &list.images, wanted)?;
            Ok::<_, EvaluationError>((list, images))
        };
        let (gallery, probes) = (read(&self.gallery)?, read(&self.probes)?);
        // Two sets may call different images alike.
        let are_lists = [&self.gallery, &self.probes].iter().all(|path| set_at(path).is_none());
        let shares_names = are_lists || self.gallery == self.probes;
        if shares_names {
            gallery.0.disjoint(&probes.0)?;
        }
        let protocol =
            format!("{}: {} in {}", self.name(), file_name(&self.probes), file_name(&self.gallery));
        Ok(Box::new(Open { config: self.clone(), protocol, gallery, probes }))
    }
}

/// The set of images at `path`, if that is no list of images in `images`.
fn set_at(path: &Path) -> Option<SourceConfig> {
    SourceConfig::of_path(path).ok().filter(|set| !matches!(set.kind, SourceKind::List(_)))
}

struct Open {
    config: IdentificationConfig,
    protocol: String,
    gallery: (IdentityList, Box<dyn Images>),
    probes: (IdentityList, Box<dyn Images>),
}

impl OpenProtocol for Open {
    fn images(&self) -> usize {
        self.gallery.1.len() + self.probes.1.len()
    }

    fn sha256(&self) -> String {
        IdentityList::sha256(&[&self.gallery.0, &self.probes.0])
    }

    fn people(&self) -> Vec<String> {
        let lists = [&self.gallery.0, &self.probes.0].into_iter();
        let names: BTreeSet<&String> = lists.flat_map(|list| &list.identities).collect();
        names.into_iter().cloned().collect()
    }

    fn measure(
        &self,
        embedder: &Embedder<'_>,
        measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, MeasurementError> {
        let mut embed = |images: &dyn Images| embedder.embed(images, self.config.fusion.flip, progress);
        let ImageEmbeddings { rows, dim, image_size: gallery_size, .. } = embed(self.gallery.1.as_ref())?;
        let gallery = UnitEmbeddings::new(rows, dim)?;
        let ImageEmbeddings { rows, dim, images_sha256, image_size } = embed(self.probes.1.as_ref())?;
        let probes = UnitEmbeddings::new(rows, dim)?;
        let numbers = IdentityList::numbers(&[&self.gallery.0, &self.probes.0]);
        let gallery = LabelledUnitEmbeddings::new(&gallery, &numbers[0])?;
        let probes = LabelledUnitEmbeddings::new(&probes, &numbers[1])?;
        let search = Search::new(gallery, probes, self.config.identity_score)?;
        let bootstrap = (measurement.bootstrap_rounds > 0)
            .then_some(IdentityBootstrap { rounds: measurement.bootstrap_rounds, seed: measurement.seed });
        let provenance = embedder.provenance(
            self.protocol.clone(),
            self.sha256(),
            images_sha256,
            self.config.fusion.flip,
            Similarity::Cosine,
        );
        let result = IdentificationResult::measure(&search, bootstrap, provenance);
        let curve = Some(ResultCurve {
            kind: CurveKind::OpenSet,
            points: open_set(&search.probes),
            support: result.nonmated_probes,
        });
        let search = SearchOutcome { search, image_size: image_size.filter(|_| image_size == gallery_size) };
        Ok(ProtocolOutcome { curve, search: Some(search), ..ProtocolOutcome::without_pairs(result) })
    }
}

/// The rates of the open set as (FPIR, true-positive identification rate at rank 1), over falling thresholds;
/// nothing without probes of both kinds.
fn open_set(probes: &[ProbeMatch]) -> Vec<(f64, f64)> {
    let descending = |mut scores: Vec<f32>| {
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let (mated, others): (Vec<&ProbeMatch>, Vec<&ProbeMatch>) =
        probes.iter().partition(|found| found.mate.is_some());
    let first = mated.iter().filter_map(|found| found.mate).filter(|mate| mate.rank == 1);
    let found = descending(first.map(|mate| mate.score).collect());
    let alarms = descending(others.iter().map(|found| found.top_score).collect());
    if mated.is_empty() || alarms.is_empty() {
        return Vec::new();
    }
    let share = |of: &[f32], threshold: f32, all: usize| {
        of.partition_point(|score| *score >= threshold) as f64 / all as f64
    };
    let mut thresholds = [&found[..], &alarms].concat();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let points = thresholds.iter().map(|&t| (share(&alarms, t, alarms.len()), share(&found, t, mated.len())));
    std::iter::once((0.0, 0.0)).chain(points).collect()
}

#[cfg(test)]
mod tests {
    use facegrad_verification::Mate;

    use super::*;

    #[test]
    fn the_open_set_curve_by_hand() {
        let found = |top_score, mate: Option<(f32, usize)>| ProbeMatch {
            identity: 0,
            top_identity: 0,
            top_score,
            mate: mate.map(|(score, rank)| Mate { score, rank, average_precision: 0.0 }),
        };
        let probes = [
            found(0.9, Some((0.9, 1))),
            found(0.6, Some((0.6, 1))),
            found(0.8, Some((0.7, 2))),
            found(0.7, None),
            found(0.2, None),
        ];
        let third = 1.0 / 3.0;
        let curve = [(0.0, 0.0), (0.0, third), (0.5, third), (0.5, 2.0 * third), (1.0, 2.0 * third)];
        assert_eq!(open_set(&probes), curve);
        assert_eq!(open_set(&probes[..3]), []);
    }
}
