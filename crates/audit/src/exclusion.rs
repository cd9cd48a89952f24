//! Which images to leave out of training, as a list that `data.train.exclude` takes.

use std::{collections::BTreeMap, path::Path};

use facegrad_faces::FaceSource;
use facegrad_settings::choice;

use crate::{Findings, Sameness, TRUSTED};

choice! {
    /// A reason to leave an image out.
    pub enum Exclude {
        /// It cannot be read.
        Unreadable = "unreadable",
        /// It repeats an earlier image of its identity pixel by pixel.
        Duplicate = "duplicate",
        /// It is an earlier image of its identity, changed a little.
        NearDuplicate = "near-duplicate",
        /// It is filed under several identities: nobody knows whose it is, so all copies are left out.
        CrossIdentity = "cross-identity",
        /// It looks like another identity.
        Mislabelled = "mislabelled",
        /// It, or its identity, is in the evaluation set.
        Overlap = "overlap",
        /// It looks like nobody in the set.
        Odd = "odd",
        /// It is of another size than most.
        WrongSize = "wrong-size",
        /// Its face lies elsewhere than those of the set.
        Unaligned = "unaligned",
        /// It shows nothing: one colour, or hardly more.
        Plain = "plain",
    }
}

impl Exclude {
    /// What is left out unless one says otherwise: what training should not see whatever the model.
    pub const USUAL: [Self; 6] = [
        Self::Unreadable,
        Self::Duplicate,
        Self::NearDuplicate,
        Self::CrossIdentity,
        Self::Mislabelled,
        Self::Overlap,
    ];

    /// [`USUAL`](Self::USUAL), without what embeddings say of labels if they hardly know the identities.
    pub fn usual(findings: &Findings) -> Vec<Self> {
        let is_trusted = findings.labels.as_ref().is_none_or(|labels| labels.usual.recognised >= TRUSTED);
        Self::USUAL.into_iter().filter(|reason| is_trusted || *reason != Self::Mislabelled).collect()
    }
}

/// An image to leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The image.
    pub image: usize,
    /// Why.
    pub reason: Exclude,
    /// What it is about, such as the image it repeats.
    pub detail: String,
}

/// The images to leave out for the reasons `what`, in their order, each once, for the first reason in the order of
/// [`Exclude`]. `against` is the other set, if there was one.
pub fn exclusions(
    findings: &Findings,
    source: &dyn FaceSource,
    against: Option<&dyn FaceSource>,
    what: &[Exclude],
) -> Vec<Exclusion> {
    let mut found: BTreeMap<usize, Exclusion> = BTreeMap::new();
    let mut add = |image: usize, reason: Exclude, detail: String| {
        if what.contains(&reason) {
            let rank = |reason: Exclude| Exclude::ALL.iter().position(|other| *other == reason);
            let exclusion = Exclusion { image, reason, detail };
            let held = found.entry(image).or_insert_with(|| exclusion.clone());
            if rank(reason) < rank(held.reason) {
                *held = exclusion;
            }
        }
    };
    let identity = |label: usize| source.identities()[label].clone();
    for unreadable in &findings.unreadable {
        add(unreadable.image, Exclude::Unreadable, unreadable.reason.clone());
    }
    for group in &findings.duplicates {
        let first = source.key(group.first);
        if Findings::is_across(group, source) {
            for image in group.images() {
                let other = group.images().find(|&other| source.label(other) != source.label(image));
                let other = other.map(|other| source.key(other)).unwrap_or_default();
                add(image, Exclude::CrossIdentity, format!("also {other}"));
            }
            continue;
        }
        for &(image, sameness) in &group.others {
            let (reason, detail) = match sameness {
                Sameness::File => (Exclude::Duplicate, format!("the same file as {first}")),
                Sameness::Pixels => (Exclude::Duplicate, format!("the same pixels as {first}")),
                Sameness::Near { difference, mirrored } => {
                    let mirrored = if mirrored { ", mirrored" } else { "" };
                    (Exclude::NearDuplicate, format!("like {first}{mirrored}, difference {difference:.1}"))
                }
            };
            add(image, reason, detail);
        }
    }
    if let Some(labels) = &findings.labels {
        for found in &labels.mislabelled {
            let detail =
                format!("looks like {} ({:.3}, own {:.3})", identity(found.nearest), found.other, found.own);
            add(found.image, Exclude::Mislabelled, detail);
        }
        for found in &labels.odd {
            add(found.image, Exclude::Odd, format!("own {:.3}", found.own));
        }
    }
    if let (Some(overlap), Some(against)) = (&findings.against, against) {
        for common in &overlap.images {
            add(common.image, Exclude::Overlap, format!("also {}", against.key(common.other)));
        }
        let named = overlap.names.iter().map(|&(a, b)| (a, b, "the name of"));
        let alike = overlap.people.iter().map(|alike| (alike.a, alike.b, "looks like"));
        let people: BTreeMap<usize, String> = alike
            .chain(named)
            .map(|(a, b, how)| (a, format!("{how} {} of the evaluation set", against.identities()[b])))
            .collect();
        for image in 0..source.len() {
            if let Some(detail) = people.get(&source.label(image)) {
                add(image, Exclude::Overlap, detail.clone());
            }
        }
    }
    for &image in &findings.wrong_size {
        add(image, Exclude::WrongSize, String::new());
    }
    for &(image, likeness) in &findings.unaligned {
        add(image, Exclude::Unaligned, format!("likeness {likeness:.2}"));
    }
    for &(image, off) in &findings.misplaced {
        add(image, Exclude::Unaligned, format!("eyes {off:.1} pixels off"));
    }
    for &image in &findings.plain {
        add(image, Exclude::Plain, String::new());
    }
    found.into_values().collect()
}

/// The identities of which `exclusions` leave nothing, in their order.
pub fn emptied(findings: &Findings, source: &dyn FaceSource, exclusions: &[Exclusion]) -> Vec<usize> {
    let mut left = findings.counts.clone();
    exclusions.iter().for_each(|exclusion| left[source.label(exclusion.image)] -= 1);
    (0..left.len()).filter(|&label| left[label] == 0 && findings.counts[label] > 0).collect()
}

/// Writes the list as CSV with the columns `image`, `reason`, `identity` and `detail`, completely or not at all.
///
/// # Errors
/// What the system says.
pub fn write_exclusions(
    exclusions: &[Exclusion],
    source: &dyn FaceSource,
    path: &Path,
) -> std::io::Result<()> {
    let mut text = String::from("image,reason,identity,detail\n");
    for Exclusion { image, reason, detail } in exclusions {
        let identity = &source.identities()[source.label(*image)];
        let cells = [&source.key(*image), reason.as_str(), identity, detail];
        text.push_str(&cells.map(quoted).join(","));
        text.push('\n');
    }
    facegrad_files::replace(path, text.as_bytes())
}

/// Writes a list of images as CSV with the columns `image` and `identity`, completely or not at all.
///
/// # Errors
/// What the system says.
pub fn write_images(images: &[usize], source: &dyn FaceSource, path: &Path) -> std::io::Result<()> {
    let mut text = String::from("image,identity\n");
    for &image in images {
        let identity = &source.identities()[source.label(image)];
        text.push_str(&[&source.key(image), identity].map(|cell| quoted(cell)).join(","));
        text.push('\n');
    }
    facegrad_files::replace(path, text.as_bytes())
}

/// A cell of CSV (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(' ') {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}
