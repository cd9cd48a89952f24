//! Probes searched in a gallery.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use facegrad_faces::{SourceConfig, SourceKind};
use facegrad_results::{CurveKind, ResultCurve};
use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{
    IdentificationResult, IdentityBootstrap, IdentityList, IdentityScore, LabelledUnitEmbeddings, LostFaces,
    LostImages, Missing, ProbeMatch, RemainingProbes, Search, Similarity, read_identity_list,
};

use super::{
    EvaluationError, Fusion, ImageNeed, Listed, Measurement, MeasurementError, OpenProtocol, Protocol,
    ProtocolOutcome, SearchOutcome, embed_listed, file_name, needs_images, needs_path, stem, unit,
};
use crate::{Embedder, ImageSet, Images, people_of};

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
        /// What becomes of probes that are not there or cannot be read, and of those whose person has no image in the
        /// gallery for that reason.
        missing: Missing = Missing::Error;
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
            let listed =
                Listed { list: file, folder: &self.images, names: &list.images, missing: self.missing };
            let images = listed.find(wanted, |is_lost| touched(&list, is_lost))?;
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

    fn remarks(&self) -> Vec<String> {
        [&self.gallery.1, &self.probes.1].into_iter().filter_map(|images| images.remark()).collect()
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
        let IdentificationConfig { fusion: Fusion { flip }, missing, identity_score, .. } = self.config;
        let mut embed = |(list, images): &(IdentityList, Box<dyn Images>)| {
            let touched = |is_lost: &[bool]| touched(list, is_lost);
            let mut usable = embed_listed(embedder, images.as_ref(), flip, missing, progress, touched)?;
            Ok::<_, MeasurementError>((unit(&mut usable, images.as_ref())?, usable))
        };
        let (gallery_rows, gallery) = embed(&self.gallery)?;
        let (probe_rows, probes) = embed(&self.probes)?;
        let numbers = IdentityList::numbers(&[&self.gallery.0, &self.probes.0]);
        let rest = RemainingProbes::of((&numbers[0], &gallery.is_lost), (&numbers[1], &probes.is_lost));
        let people = |numbers: &[usize], there: &[usize]| -> Vec<usize> {
            there.iter().map(|&image| numbers[image]).collect()
        };
        // Of the probes with embeddings, those whose person is still in the gallery.
        let there: Vec<usize> = (0..probes.is_lost.len()).filter(|&probe| !probes.is_lost[probe]).collect();
        let kept: HashSet<usize> = rest.probes.iter().copied().collect();
        let rows: Vec<usize> = (0..there.len()).filter(|&row| kept.contains(&there[row])).collect();
        let probe_rows = probe_rows.select(&rows);
        let people = [people(&numbers[0], &rest.gallery), people(&numbers[1], &rest.probes)];
        let search = Search::new(
            LabelledUnitEmbeddings::new(&gallery_rows, &people[0])?,
            LabelledUnitEmbeddings::new(&probe_rows, &people[1])?,
            identity_score,
        )?;
        let first = gallery.first_lost.as_ref().or(probes.first_lost.as_ref());
        let lost = first.map(|first| {
            let images = gallery.lost() + probes.lost();
            let of = LostImages { missing, images, first: first.to_string() };
            LostFaces::new(of, gallery.lost(), &search, &rest.lost)
        });
        let search = match missing {
            Missing::Wrong => search.with_errors(rest.lost),
            _ => search,
        };
        let bootstrap = (measurement.bootstrap_rounds > 0)
            .then_some(IdentityBootstrap { rounds: measurement.bootstrap_rounds, seed: measurement.seed });
        let mut provenance = embedder.provenance(
            self.protocol.clone(),
            self.sha256(),
            probes.embedded.images_sha256,
            flip,
            Similarity::Cosine,
        );
        provenance.image_remarks = self.remarks();
        let result = IdentificationResult::measure(&search, bootstrap, provenance).with_lost(lost);
        let curve = Some(ResultCurve {
            kind: CurveKind::OpenSet,
            points: open_set(&search),
            support: result.nonmated_probes,
        });
        let image_size = probes.embedded.image_size;
        let image_size = image_size.filter(|_| image_size == gallery.embedded.image_size);
        let search = SearchOutcome { search, image_size };
        Ok(ProtocolOutcome { curve, search: Some(search), ..ProtocolOutcome::without_pairs(result) })
    }
}

/// How many images of a list are lost, in words.
fn touched(list: &IdentityList, is_lost: &[bool]) -> String {
    let people = |wanted: &dyn Fn(usize) -> bool| {
        let images = (0..list.images.len()).filter(|&image| wanted(image));
        images.map(|image| &list.identities[image]).collect::<BTreeSet<_>>().len()
    };
    let (lost, all) = (people(&|image| is_lost[image]), people(&|_| true));
    format!("of {lost} of its {all} people")
}

/// The rates of the open set as (FPIR, true-positive identification rate at rank 1), over falling thresholds;
/// nothing without probes of both kinds.
fn open_set(search: &Search) -> Vec<(f64, f64)> {
    let descending = |mut scores: Vec<f32>| {
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let Search { probes, lost, .. } = search;
    let (mated, others): (Vec<&ProbeMatch>, Vec<&ProbeMatch>) =
        probes.iter().partition(|found| found.mate.is_some());
    let first = mated.iter().filter_map(|found| found.mate).filter(|mate| mate.rank == 1);
    let found = descending(first.map(|mate| mate.score).collect());
    let alarms = descending(others.iter().map(|found| found.top_score).collect());
    if mated.is_empty() || alarms.is_empty() {
        return Vec::new();
    }
    let (all_mated, all_others) = (mated.len() + lost.mated.len(), alarms.len() + lost.nonmated.len());
    let reached = |of: &[f32], threshold: f32| of.partition_point(|score| *score >= threshold);
    let point = |found_there: usize, alarms_there: usize| {
        let alarms = alarms_there + lost.nonmated.len();
        (alarms as f64 / all_others as f64, found_there as f64 / all_mated as f64)
    };
    let mut thresholds = [&found[..], &alarms].concat();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let points = thresholds.iter().map(|&t| point(reached(&found, t), reached(&alarms, t)));
    std::iter::once(point(0, 0)).chain(points).collect()
}

#[cfg(test)]
mod tests {
    use facegrad_verification::{LostProbes, Mate};

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
        let search = |probes: &[ProbeMatch], lost: LostProbes| Search {
            probes: probes.to_vec(),
            gallery_images: 3,
            gallery_identities: 3,
            rule: IdentityScore::Max,
            lost,
        };
        let none = LostProbes::default;
        assert_eq!(open_set(&search(&probes, none())), curve);
        assert_eq!(open_set(&search(&probes[..3], none())), []);
        // A lost mated probe finds nobody, a lost stranger is a false alarm throughout.
        let lost = LostProbes { mated: vec![1], nonmated: vec![2] };
        let curve = open_set(&search(&probes, lost));
        assert_eq!((curve[0], curve[4]), ((third, 0.0), (1.0, 0.5)));
    }
}
