//! All that an audit finds, by the numbers of images and identities.

use std::collections::BTreeMap;

use facegrad_faces::{FaceSource, OpenSet};
use facegrad_pictures::arcface_landmarks;

use crate::{
    Affinity, AffinityStatistics, DuplicateGroup, FileFormat, IdentityPair, LabelledEmbeddings,
    MixedIdentity, Nearness, Sameness, SetSurvey, SharedImage, SuspectLabel, UnreadableEntry, common,
    duplicates, names, thumbnail,
};

/// What an audit looks for.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditOptions {
    /// Identities with fewer images are listed.
    pub min_images: usize,
    /// The size that images should have (height, width); without it that of most.
    pub size: Option<[usize; 2]>,
    /// What counts as a near duplicate.
    pub nearness: Nearness,
    /// Where the eyes, the nose and the corners of the mouth are on each image, in pixels, where that is known; empty
    /// if it is of none.
    pub landmarks: Vec<Option<[[f32; 2]; 5]>>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { min_images: 2, size: None, nearness: Nearness::default(), landmarks: Vec::new() }
    }
}

/// Faces whose likeness to the mean face is below this lie elsewhere: around the eyes, nose and mouth they are rather
/// the opposite of it. See [`MeanFace`](crate::MeanFace).
pub const LEAST_LIKENESS: f32 = 0.0;
/// A set whose median is below this has no mean face: its images are not aligned to one another.
pub const ALIGNED_LIKENESS: f32 = 0.3;

/// Eyes that are farther than this from where the template has them lie elsewhere, in pixels of a face of 112 x 112.
/// Two detectors place the eyes of one face 3 pixels apart at most on 19 of 20 faces (see `docs/design.md`).
pub const MOST_OFF: f32 = 6.0;

/// What was found in a set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// How many images the set has.
    pub images: usize,
    /// How many identities.
    pub identities: usize,
    /// How many images each identity has, by label.
    pub counts: Vec<usize>,
    /// Images that cannot be used.
    pub unreadable: Vec<UnreadableEntry>,
    /// How many images are of each size (width, height), the most common first.
    pub sizes: Vec<((u16, u16), usize)>,
    /// The size that images should have (width, height).
    pub size: Option<(u16, u16)>,
    /// Images of another size.
    pub wrong_size: Vec<usize>,
    /// How many files are of each format.
    pub formats: Vec<(FileFormat, usize)>,
    /// Files whose names say that they are of another format.
    pub misnamed: Vec<usize>,
    /// Images that show nothing: of one colour, or hardly more.
    pub plain: Vec<usize>,
    /// How many images are grey.
    pub grey: usize,
    /// How many files are turned by their EXIF data.
    pub turned: usize,
    /// How many files have more than 8 bits a sample.
    pub deep: usize,
    /// How many JPEG files are CMYK.
    pub cmyk: usize,
    /// The median likeness to the mean face, if there is one.
    pub likeness: Option<f32>,
    /// Faces that lie elsewhere than those of the set, the worst first; empty in a set that is not aligned.
    pub unaligned: Vec<(usize, f32)>,
    /// How many readable images have landmarks.
    pub with_landmarks: usize,
    /// Images with an eye farther than [`MOST_OFF`] from where the template has it, and how far; the worst first.
    pub misplaced: Vec<(usize, f32)>,
    /// Images that are there more than once, with those of one identity only and of several.
    pub duplicates: Vec<DuplicateGroup>,
    /// Identities with too few images.
    pub few: Vec<usize>,
    /// Identities that have the same name in other spellings.
    pub alike_names: Vec<Vec<usize>>,
    /// What is also in another set.
    pub against: Option<Overlap>,
    /// What embeddings say.
    pub labels: Option<LabelFindings>,
}

/// What a set has in common with another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlap {
    /// Identities with the same name, as (label, label in the other).
    pub names: Vec<(usize, usize)>,
    /// Images that are in both.
    pub images: Vec<SharedImage>,
    /// Identities that look like one person, as (label, label in the other).
    pub people: Vec<IdentityPair>,
}

/// What embeddings say of labels; images and identities are those of the set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelFindings {
    /// What is usual.
    pub usual: AffinityStatistics,
    /// Images that look like another identity, the clearest first.
    pub mislabelled: Vec<SuspectLabel>,
    /// Images that look like nobody, the oddest first.
    pub odd: Vec<SuspectLabel>,
    /// Identities that are likely two people.
    pub merged: Vec<MixedIdentity>,
    /// Identities that are likely one person.
    pub split: Vec<IdentityPair>,
    /// The most typical image of each identity that has any.
    pub typical: Vec<Option<usize>>,
}

/// The other set of an audit, surveyed.
pub struct EvaluationSet<'a> {
    /// The set.
    pub source: &'a dyn FaceSource,
    /// What its images are.
    pub survey: &'a SetSurvey,
}

/// The labels of all images of a set.
pub fn labels(source: &dyn FaceSource) -> Vec<usize> {
    (0..source.len()).map(|image| source.label(image)).collect()
}

/// How far the eye that is farther off is from its place in the template, in pixels of a face of 112 x 112; `size` is
/// that of the image (height, width).
fn eyes_off(landmarks: [[f32; 2]; 5], size: [u16; 2]) -> f32 {
    let [height, width] = size.map(usize::from);
    let template = arcface_landmarks([height, width]);
    let off = |eye: usize| {
        let [x, y] = [0, 1].map(|axis| landmarks[eye][axis] - template[eye][axis]);
        x.hypot(y) * 112.0 / height as f32
    };
    off(0).max(off(1))
}

impl Findings {
    /// What the survey of a set says, without embeddings. `progress` is told how many images are compared and says
    /// whether to go on; `None` if it said no.
    pub fn of(
        opened: &OpenSet,
        survey: SetSurvey,
        against: Option<EvaluationSet>,
        options: &AuditOptions,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Option<Self> {
        let source = opened.source.as_ref();
        let labels = labels(source);
        let load = |image: usize| thumbnail(source, image);
        let duplicates = duplicates(&survey, &labels, &options.nearness, &load, progress)?;
        let overlap = against.map(|against| {
            let load_other = |image: usize| thumbnail(against.source, image);
            Overlap {
                names: names::common(source.identities(), against.source.identities()),
                images: common((&survey, &load), (against.survey, &load_other), &options.nearness),
                people: Vec::new(),
            }
        });

        let mut counts = vec![0; source.identities().len()];
        labels.iter().for_each(|&label| counts[label] += 1);
        let few = (0..counts.len()).filter(|&label| counts[label] < options.min_images).collect();
        let sizes = sizes(&survey);
        let of_most = sizes.first().filter(|(_, count)| *count * 2 > survey.records.len());
        let size = match options.size {
            Some([height, width]) => Some((width as u16, height as u16)),
            None => of_most.map(|(size, _)| *size),
        };
        let mut found = Self {
            images: source.len(),
            identities: source.identities().len(),
            counts,
            unreadable: survey.unreadable,
            sizes,
            size,
            duplicates,
            few,
            alike_names: names::alike(source.identities()),
            against: overlap,
            ..Self::default()
        };
        let mut formats: BTreeMap<FileFormat, usize> = BTreeMap::new();
        let mut likenesses = Vec::new();
        for (image, record) in survey.records.iter().enumerate() {
            let Some(record) = record else { continue };
            if found.size.is_some_and(|size| size != (record.width, record.height)) {
                found.wrong_size.push(image);
            }
            if record.misnamed {
                found.misnamed.push(image);
            }
            if record.fingerprint.is_none() {
                found.plain.push(image);
            }
            found.grey += usize::from(record.grey);
            if let Some(content) = record.content {
                *formats.entry(content.format).or_default() += 1;
                found.turned += usize::from(content.turned);
                found.deep += usize::from(content.deep);
                found.cmyk += usize::from(content.cmyk);
            }
            likenesses.extend(record.likeness.map(|likeness| (image, likeness)));
            if let Some(landmarks) = options.landmarks.get(image).copied().flatten() {
                found.with_landmarks += 1;
                let off = eyes_off(landmarks, [record.height, record.width]);
                found.misplaced.extend((off > MOST_OFF).then_some((image, off)));
            }
        }
        found.misplaced.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.formats = formats.into_iter().collect();
        likenesses.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found.likeness = likenesses.get(likenesses.len() / 2).map(|(_, likeness)| *likeness);
        if found.likeness.is_some_and(|median| median >= ALIGNED_LIKENESS) {
            found.unaligned =
                likenesses.into_iter().take_while(|(_, likeness)| *likeness < LEAST_LIKENESS).collect();
        }
        Some(found)
    }

    /// Adds what embeddings say. `images` has the image of each row, in rising order; `against` the embeddings of the
    /// other set with its own labels.
    pub fn add_embeddings(
        &mut self,
        embeddings: &LabelledEmbeddings,
        images: &[usize],
        against: Option<&LabelledEmbeddings>,
    ) {
        let affinities: Vec<Affinity> = embeddings.affinities();
        let usual = embeddings.usual(&affinities);
        let (mislabelled, odd) = embeddings.mislabelled(&affinities);
        let of_set = |found: Vec<SuspectLabel>| -> Vec<SuspectLabel> {
            found.into_iter().map(|found| SuspectLabel { image: images[found.image], ..found }).collect()
        };
        let merged = embeddings.merged().into_iter().map(|merged| MixedIdentity {
            part: merged.part.into_iter().map(|row| images[row]).collect(),
            ..merged
        });
        if let (Some(overlap), Some(against)) = (&mut self.against, against) {
            overlap.people = embeddings.common(against, &usual);
        }
        self.labels = Some(LabelFindings {
            usual,
            mislabelled: of_set(mislabelled),
            odd: of_set(odd),
            merged: merged.collect(),
            split: embeddings.split_identities(&usual),
            typical: embeddings.typical().into_iter().map(|row| row.map(|row| images[row])).collect(),
        });
    }

    /// Whether a group of duplicates has images of several identities.
    pub fn is_across(group: &DuplicateGroup, source: &dyn FaceSource) -> bool {
        group.others.iter().any(|(image, _)| source.label(*image) != source.label(group.first))
    }

    /// How many images repeat an earlier one of the same identity, as the same pixels and as near duplicates, in groups
    /// of one identity.
    pub fn repeated(&self, source: &dyn FaceSource) -> (usize, usize) {
        let within = self.duplicates.iter().filter(|group| !Self::is_across(group, source));
        let others = within.flat_map(|group| group.others.iter());
        others.fold((0, 0), |(exact, near), (_, sameness)| match sameness {
            Sameness::Near { .. } => (exact, near + 1),
            Sameness::File | Sameness::Pixels => (exact + 1, near),
        })
    }

    /// The smallest, the median and the largest number of images of an identity; zeros without identities.
    pub fn count_range(&self) -> (usize, usize, usize) {
        let mut sorted = self.counts.clone();
        sorted.sort_unstable();
        let at = |at: usize| sorted.get(at).copied().unwrap_or(0);
        (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
    }

    /// How many identities have how many images, in bins that double: (from, to, identities).
    pub fn count_bins(&self) -> Vec<(usize, usize, usize)> {
        let most = self.count_range().2;
        let mut bins = vec![(1, 1, 0)];
        while bins.last().is_some_and(|(_, to, _)| *to < most) {
            let from = bins.last().map_or(1, |(_, to, _)| to + 1);
            bins.push((from, 2 * from - 1, 0));
        }
        for &count in &self.counts {
            if let Some(bin) = bins.iter_mut().find(|(from, to, _)| (*from..=*to).contains(&count)) {
                bin.2 += 1;
            }
        }
        let first = bins.iter().position(|(.., identities)| *identities > 0).unwrap_or(0);
        bins.split_off(first)
    }
}

fn sizes(survey: &SetSurvey) -> Vec<((u16, u16), usize)> {
    let mut sizes: BTreeMap<(u16, u16), usize> = BTreeMap::new();
    for record in survey.records.iter().flatten() {
        *sizes.entry((record.width, record.height)).or_default() += 1;
    }
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(size, count)| (std::cmp::Reverse(*count), *size));
    sizes
}

#[cfg(test)]
mod tests {
    use facegrad_faces::SourceConfig;
    use facegrad_pictures::ImageFormat;
    use facegrad_synthetic::{SyntheticConfig, write_folder};

    use super::*;
    use crate::{Exclude, emptied, exclusions, json, table, write_exclusions};

    /// A folder of 6 people with 5 images each, to which `change` is done.
    fn set(change: impl Fn(&std::path::Path)) -> (tempfile::TempDir, OpenSet) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("faces");
        let recipe = SyntheticConfig { identities: 6, images: 5, size: 64, ..Default::default() };
        write_folder(&recipe, ImageFormat::Png, &root, &mut |_, _| {}).unwrap();
        change(&root);
        let opened = SourceConfig::of_path(&root).unwrap().open_any().unwrap();
        (folder, opened)
    }

    fn findings(opened: &OpenSet) -> Findings {
        let survey = SetSurvey::of(opened.source.as_ref(), &mut |_| true).unwrap();
        Findings::of(opened, survey, None, &AuditOptions::default(), &mut |_| true).unwrap()
    }

    #[test]
    fn a_clean_set_has_nothing_to_leave_out() {
        let (_folder, opened) = set(|_| {});
        let (found, source) = (findings(&opened), opened.source.as_ref());
        assert_eq!(exclusions(&found, source, None, Exclude::ALL), []);
        assert_eq!((found.count_range(), found.count_bins()), ((5, 5, 5), vec![(4, 7, 6)]));
        assert_eq!((found.size, &found.formats[..]), (Some((64, 64)), &[(FileFormat::Png, 30)][..]));
        let text = table(&found, source, None);
        assert!(text.starts_with("images          30 images of 6 identities\n"), "{text}");
        assert_eq!(json(&found, source, None, &[])["duplicates"], serde_json::json!([]));
    }

    #[test]
    fn an_image_is_left_out_once_and_for_the_first_reason() {
        let (folder, opened) = set(|root| {
            // Under two identities, and twice in one of them.
            for name in ["000001/x.png", "000001/y, \"2\".png"] {
                std::fs::copy(root.join("000000/0000.png"), root.join(name)).unwrap();
            }
            std::fs::copy(root.join("000002/0000.png"), root.join("000002/again.png")).unwrap();
        });
        let (mut found, source) = (findings(&opened), opened.source.as_ref());
        let at = |key: &str| (0..source.len()).find(|&image| source.key(image) == key).unwrap();
        found.wrong_size = vec![at("000002/again.png"), at("000003/0001.png")];
        let list = exclusions(&found, source, None, Exclude::ALL);
        let of =
            |key: &str| list.iter().find(|exclusion| exclusion.image == at(key)).map(|found| found.reason);
        for key in ["000000/0000.png", "000001/x.png", "000001/y, \"2\".png"] {
            assert_eq!(of(key), Some(Exclude::CrossIdentity), "{key}");
        }
        assert_eq!(of("000002/again.png"), Some(Exclude::Duplicate));
        assert_eq!(of("000003/0001.png"), Some(Exclude::WrongSize));
        assert_eq!(list.len(), 5);
        assert!(list.windows(2).all(|two| two[0].image < two[1].image));
        assert_eq!(found.repeated(source), (1, 0));

        let path = folder.path().join("out.csv");
        write_exclusions(&list, source, &path).unwrap();
        let mut config = SourceConfig::of_path(&folder.path().join("faces")).unwrap();
        config.subset.exclude = Some(path);
        assert_eq!(config.open_any().unwrap().source.len(), source.len() - 5);
    }

    #[test]
    fn who_loses_all_images_is_named_and_what_shows_nothing_is_listed() {
        let (_folder, opened) = set(|root| {
            // One file under two people, of whom one has nothing else.
            std::fs::create_dir(root.join("single")).unwrap();
            std::fs::copy(root.join("000000/0000.png"), root.join("single/0000.png")).unwrap();
            // Grey, and grey but for a pixel.
            std::fs::create_dir(root.join("grey")).unwrap();
            let mut pixels = vec![117; 64 * 64];
            std::fs::write(root.join("grey/0.pgm"), [&b"P5 64 64 255\n"[..], &pixels].concat()).unwrap();
            pixels[2000] = 255;
            std::fs::write(root.join("grey/1.pgm"), [&b"P5 64 64 255\n"[..], &pixels].concat()).unwrap();
        });
        let (found, source) = (findings(&opened), opened.source.as_ref());
        let label = |name: &str| source.identities().iter().position(|identity| identity == name).unwrap();
        let list = exclusions(&found, source, None, &Exclude::USUAL);
        assert_eq!(emptied(&found, source, &list), [label("single")]);
        assert_eq!(json(&found, source, None, &list)["excluded"]["identities_emptied"][0], "single");
        let plain: Vec<String> = found.plain.iter().map(|&image| source.key(image)).collect();
        assert_eq!(plain, ["grey/0.pgm", "grey/1.pgm"]);
        assert!(table(&found, source, None).contains("2 images of one colour, or hardly more"));
        let list = exclusions(&found, source, None, &[Exclude::Plain]);
        assert_eq!(emptied(&found, source, &list), [label("grey")]);
    }

    #[test]
    fn what_embeddings_say_is_of_the_images_of_the_set() {
        // The first image is not readable: row 0 is image 1.
        let (_folder, opened) = set(|root| std::fs::write(root.join("000000/0000.png"), "no image").unwrap());
        let mut found = findings(&opened);
        let source = opened.source.as_ref();
        let images: Vec<usize> = (1..source.len()).collect();
        let person = |image: usize| if image == 8 { 4 } else { source.label(image) };
        let rows = images.iter().flat_map(|&image| {
            (0..8).map(move |k| if k == person(image) { 1.0 } else { 0.01 * ((image * 7 + k) % 5) as f32 })
        });
        let labels = images.iter().map(|&image| source.label(image)).collect();
        let embeddings = LabelledEmbeddings::new(rows.collect(), 8, labels, 6).unwrap();
        found.add_embeddings(&embeddings, &images, None);
        let labels = found.labels.as_ref().unwrap();
        assert!(labels.usual.recognised > 0.9);
        assert_eq!(labels.mislabelled.len(), 1);
        assert_eq!((labels.mislabelled[0].image, labels.mislabelled[0].nearest), (8, 4));
        assert_eq!(labels.typical.len(), 6);
        let list = exclusions(&found, source, None, &Exclude::USUAL);
        let reasons: Vec<(usize, Exclude)> = list.iter().map(|found| (found.image, found.reason)).collect();
        assert_eq!(reasons, [(0, Exclude::Unreadable), (8, Exclude::Mislabelled)]);
        assert_eq!(Exclude::usual(&found), Exclude::USUAL);
        if let Some(labels) = &mut found.labels {
            labels.usual.recognised = 0.5;
        }
        assert!(!Exclude::usual(&found).contains(&Exclude::Mislabelled));
        assert!(
            table(&found, source, None)
                .contains("50.0 % of the images are nearest to their own identity: too few")
        );
        assert_eq!(json(&found, source, None, &list)["labels"]["mislabelled"][0]["nearest"], "000004");
    }
}
