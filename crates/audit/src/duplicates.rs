//! Images that are there more than once: the same file, the same pixels, or the same photograph changed a little.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::{Fingerprint, HammingIndex, ImageRecord, SetSurvey, Thumbnail};

/// What counts as a near duplicate.
///
/// The defaults are measured by `examples/near_duplicates.rs` on 30,000 aligned faces, which look alike: copies that
/// were encoded again, shrunk to a half, darkened, or mirrored are found, and few of those cropped by 2 % are missed.
/// Between identities there are more pairs, and what is found there is left out altogether, so less is taken for one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearness {
    /// Perceptual hashes differ in this many of their 64 bits at most.
    pub bits: u32,
    /// Thumbnails of one identity differ by this many grey levels at most; see [`Thumbnail::difference`].
    pub within: f32,
    /// The same of two identities, or of two sets.
    pub across: f32,
}

impl Default for Nearness {
    fn default() -> Self {
        Self { bits: 8, within: 6.0, across: 4.0 }
    }
}

/// How two images are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sameness {
    /// The same bytes.
    File,
    /// Other bytes that decode to the same pixels.
    Pixels,
    /// The same photograph, changed.
    Near {
        /// How far the thumbnails are apart, in grey levels.
        difference: f32,
        /// Whether one is the mirror image of the other.
        mirrored: bool,
    },
}

impl Sameness {
    /// How images of the same pixels are the same.
    fn of_pixels(a: &ImageRecord, b: &ImageRecord) -> Self {
        if a.file == b.file { Self::File } else { Self::Pixels }
    }

    /// 0 for the same file; larger for what is less alike.
    fn distance(self) -> f32 {
        match self {
            Self::File => 0.0,
            Self::Pixels => f32::MIN_POSITIVE,
            Self::Near { difference, .. } => 1.0 + difference,
        }
    }

    fn nearer(self, other: Option<Self>) -> Self {
        other.filter(|other| other.distance() <= self.distance()).unwrap_or(self)
    }
}

/// Images that are the same; a chain counts as one group.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateGroup {
    /// The first of them.
    pub first: usize,
    /// The others in their order, each with how it is the same as that of the group which it is most like.
    pub others: Vec<(usize, Sameness)>,
}

impl DuplicateGroup {
    /// All images of the group, in their order.
    pub fn images(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.others.iter().map(|(image, _)| *image))
    }
}

/// An image of a set that is also in another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharedImage {
    /// The image.
    pub image: usize,
    /// That of the other set which it is most like.
    pub other: usize,
    /// How they are the same.
    pub sameness: Sameness,
}

/// No image is compared with more than this many whose hashes are near: of many that are alike, each is linked to
/// some, and so to all.
const MOST_CANDIDATES: usize = 100;
/// Pairs whose thumbnails are in memory at a time.
const PAIRS_AT_A_TIME: usize = 50_000;
/// Images whose candidates are looked for at a time.
const IMAGES_AT_A_TIME: usize = 16_384;

/// Reads the thumbnail of an image once more.
pub type Thumbnails<'a> = &'a (dyn Fn(usize) -> Option<Thumbnail> + Sync);

/// The groups of images of one set that are the same, in the order of their first images. `labels` has the identity
/// of each image. `progress` is told how many images are compared and says whether to go on; `None` if it said no.
pub fn duplicates(
    survey: &SetSurvey,
    labels: &[usize],
    nearness: &Nearness,
    thumbnails: Thumbnails,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<Vec<DuplicateGroup>> {
    let mut links: Vec<(usize, usize, Sameness)> = Vec::new();
    let mut different: Vec<(usize, Fingerprint)> = Vec::new();
    let records = survey.records.iter().enumerate();
    let mut records: Vec<(usize, &ImageRecord)> =
        records.filter_map(|(image, record)| Some((image, record.as_ref()?))).collect();
    records.par_sort_unstable_by_key(|(image, record)| (record.pixels, *image));
    for run in records.chunk_by(|a, b| a.1.pixels == b.1.pixels) {
        let (first, record) = run[0];
        different.extend(record.fingerprints().map(|fingerprint| (first, fingerprint)));
        links.extend(
            run[1..].iter().map(|(image, other)| (first, *image, Sameness::of_pixels(record, other))),
        );
    }
    different.sort_by_key(|(image, _)| *image);

    let index = LookAlikes::new(&different, nearness.bits);
    for first in (0..different.len()).step_by(IMAGES_AT_A_TIME) {
        let some = first..(first + IMAGES_AT_A_TIME).min(different.len());
        let candidates: Vec<Pair> =
            some.into_par_iter().flat_map_iter(|at| index.pairs(different[at], Some(at))).collect();
        let limit = |pair: &Pair| {
            if labels[pair.a] == labels[pair.b] { nearness.within } else { nearness.across }
        };
        links.extend(verified(&candidates, thumbnails, thumbnails, &limit));
        if !progress(different.get(first + IMAGES_AT_A_TIME).map_or(survey.records.len(), |next| next.0)) {
            return None;
        }
    }
    Some(groups(survey.records.len(), &links))
}

/// The images of a set that are also in another, each with that which it is most like, in their order.
pub fn common(
    (survey, thumbnails): (&SetSurvey, Thumbnails),
    (other, other_thumbnails): (&SetSurvey, Thumbnails),
    nearness: &Nearness,
) -> Vec<SharedImage> {
    let mut exact: HashMap<[u8; 16], (usize, &ImageRecord)> = HashMap::new();
    let mut different: Vec<(usize, Fingerprint)> = Vec::new();
    for (image, record) in other.records.iter().enumerate() {
        let Some(record) = record else { continue };
        exact.entry(record.pixels).or_insert((image, record));
        different.extend(record.fingerprints().map(|fingerprint| (image, fingerprint)));
    }
    let index = LookAlikes::new(&different, nearness.bits);
    let mut found: Vec<SharedImage> = Vec::new();
    for first in (0..survey.records.len()).step_by(IMAGES_AT_A_TIME) {
        let some = first..(first + IMAGES_AT_A_TIME).min(survey.records.len());
        let mut others = Vec::new();
        for image in some {
            let Some(record) = &survey.records[image] else { continue };
            if let Some(&(other, twin)) = exact.get(&record.pixels) {
                found.push(SharedImage { image, other, sameness: Sameness::of_pixels(record, twin) });
            } else {
                others.extend(record.fingerprints().map(|fingerprint| (image, fingerprint)));
            }
        }
        let candidates: Vec<Pair> =
            others.into_par_iter().flat_map_iter(|image| index.pairs(image, None)).collect();
        let near = verified(&candidates, thumbnails, other_thumbnails, &|_| nearness.across);
        found.extend(near.into_iter().map(|(image, other, sameness)| SharedImage { image, other, sameness }));
    }
    found.sort_by(|a, b| {
        let by_distance = a.sameness.distance().total_cmp(&b.sameness.distance());
        a.image.cmp(&b.image).then(by_distance).then(a.other.cmp(&b.other))
    });
    found.dedup_by_key(|common| common.image);
    found
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    a: usize,
    b: usize,
    mirrored: bool,
}

/// Images that others may look like.
struct LookAlikes {
    images: Vec<usize>,
    index: HammingIndex,
}

impl LookAlikes {
    fn new(images: &[(usize, Fingerprint)], bits: u32) -> Self {
        let hashes = images.iter().map(|(_, fingerprint)| fingerprint.hash).collect();
        Self {
            images: images.iter().map(|(image, _)| *image).collect(),
            index: HammingIndex::new(hashes, bits),
        }
    }

    /// An image with those whose hashes are near its own or that of its mirror image; only with those after its own
    /// position `at`, if it is one of them, and never with itself.
    fn pairs(
        &self,
        (image, fingerprint): (usize, Fingerprint),
        at: Option<usize>,
    ) -> impl Iterator<Item = Pair> {
        let near = |hash: u64, mirrored: bool| {
            let near = self.index.near(hash).into_iter();
            near.map(move |(position, bits)| (bits, position, mirrored))
        };
        let mut found: Vec<(u32, usize, bool)> =
            near(fingerprint.hash, false).chain(near(fingerprint.mirrored, true)).collect();
        found.retain(|&(_, position, _)| at.is_none_or(|at| position > at && self.images[position] != image));
        found.sort_unstable();
        found.truncate(MOST_CANDIDATES);
        found.into_iter().map(move |(_, position, mirrored)| Pair {
            a: image,
            b: self.images[position],
            mirrored,
        })
    }
}

/// The pairs whose thumbnails differ by no more than `limit`.
fn verified(
    pairs: &[Pair],
    of_a: Thumbnails,
    of_b: Thumbnails,
    limit: &(dyn Fn(&Pair) -> f32 + Sync),
) -> Vec<(usize, usize, Sameness)> {
    let mut found = Vec::new();
    for pairs in pairs.chunks(PAIRS_AT_A_TIME) {
        let load = |side: fn(&Pair) -> usize, thumbnails: Thumbnails| -> HashMap<usize, Thumbnail> {
            let mut images: Vec<usize> = pairs.iter().map(side).collect();
            images.sort_unstable();
            images.dedup();
            images.into_par_iter().filter_map(|image| Some((image, thumbnails(image)?))).collect()
        };
        let (of_a, of_b) = (load(|pair| pair.a, of_a), load(|pair| pair.b, of_b));
        let judged: Vec<Option<(usize, usize, Sameness)>> = pairs
            .par_iter()
            .map(|pair| {
                let difference = of_a.get(&pair.a)?.difference(of_b.get(&pair.b)?, pair.mirrored)?;
                let sameness = Sameness::Near { difference, mirrored: pair.mirrored };
                (difference <= limit(pair)).then_some((pair.a, pair.b, sameness))
            })
            .collect();
        found.extend(judged.into_iter().flatten());
    }
    found
}

/// The groups that links connect.
fn groups(images: usize, links: &[(usize, usize, Sameness)]) -> Vec<DuplicateGroup> {
    // Each image leads to an earlier one of its group, the first to itself.
    let mut leads_to: Vec<u32> = (0..images as u32).collect();
    fn first(leads_to: &mut [u32], image: usize) -> usize {
        let mut at = image;
        while leads_to[at] as usize != at {
            leads_to[at] = leads_to[leads_to[at] as usize];
            at = leads_to[at] as usize;
        }
        at
    }
    let mut nearest: HashMap<usize, Sameness> = HashMap::new();
    for &(a, b, sameness) in links {
        let (first_a, first_b) = (first(&mut leads_to, a), first(&mut leads_to, b));
        leads_to[first_a.max(first_b)] = first_a.min(first_b) as u32;
        for image in [a, b] {
            let nearer = sameness.nearer(nearest.get(&image).copied());
            nearest.insert(image, nearer);
        }
    }
    let mut members: Vec<(usize, usize, Sameness)> =
        nearest.into_iter().map(|(image, sameness)| (first(&mut leads_to, image), image, sameness)).collect();
    members.sort_unstable_by_key(|(first, image, _)| (*first, *image));
    members
        .chunk_by(|a, b| a.0 == b.0)
        .map(|group| DuplicateGroup {
            first: group[0].0,
            others: group[1..].iter().map(|(_, image, sameness)| (*image, *sameness)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use facegrad_faces::{FaceError, FaceSource, StoredImage};
    use facegrad_pictures::Picture;
    use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;
    use crate::survey::thumbnail;

    /// Pictures as a set; each label is a digit.
    struct Pictures(Vec<(usize, Picture)>, Vec<String>);

    impl FaceSource for Pictures {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn identities(&self) -> &[String] {
            &self.1
        }
        fn label(&self, index: usize) -> usize {
            self.0[index].0
        }
        fn name(&self, index: usize) -> String {
            index.to_string()
        }
        fn key(&self, index: usize) -> String {
            index.to_string()
        }
        fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
            Ok(StoredImage::Pixels(self.0[index].1.clone()))
        }
        fn fingerprint(&self) -> String {
            String::new()
        }
    }

    fn dim(picture: &Picture) -> Picture {
        let pixels = picture.pixels().iter().map(|&v| (f32::from(v) * 0.8 + 10.0) as u8).collect();
        Picture::new(picture.width(), picture.height(), pixels)
    }

    fn mirrored(picture: &Picture) -> Picture {
        let rows = picture.pixels().chunks_exact(picture.width() * 3);
        let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
        Picture::new(picture.width(), picture.height(), pixels)
    }

    fn set(pictures: Vec<(usize, Picture)>) -> (Pictures, SetSurvey) {
        let set = Pictures(pictures, (0..10).map(|i| i.to_string()).collect());
        let survey = SetSurvey::of(&set, &mut |_| true).unwrap();
        (set, survey)
    }

    fn faces() -> Vec<(usize, Picture)> {
        let faces = SyntheticFaces::new(&SyntheticConfig { identities: 8, images: 5, ..Default::default() });
        (0..40).map(|i| (faces.label(i), faces.load(i, [112, 112]).unwrap())).collect()
    }

    #[test]
    fn planted_duplicates_are_found_and_nothing_else() {
        let mut pictures = faces();
        for (of, label) in [(0, 0), (0, 3), (7, 1)] {
            pictures.push((label, pictures[of].1.clone()));
        }
        pictures.push((2, dim(&pictures[12].1)));
        pictures.push((2, mirrored(&dim(&pictures[13].1))));
        // A chain: a copy of a copy.
        pictures.push((2, dim(&pictures[43].1)));
        let (set, survey) = set(pictures);
        let labels: Vec<usize> = (0..set.len()).map(|i| set.label(i)).collect();
        let load = |image: usize| thumbnail(&set, image);
        let found = duplicates(&survey, &labels, &Nearness::default(), &load, &mut |_| true).unwrap();
        let images: Vec<Vec<usize>> = found.iter().map(|group| group.images().collect()).collect();
        assert_eq!(images, [vec![0, 40, 41], vec![7, 42], vec![12, 43, 45], vec![13, 44]]);
        assert_eq!(found[0].others[0].1, Sameness::File);
        assert!(
            matches!(found[2].others[0].1, Sameness::Near { mirrored: false, difference } if difference < 2.0)
        );
        assert!(matches!(found[3].others[0].1, Sameness::Near { mirrored: true, .. }));
        assert_eq!(duplicates(&survey, &labels, &Nearness::default(), &load, &mut |_| false), None);
    }

    /// A face of a quarter of the area in the middle of one colour.
    fn pasted(face: &Picture, colour: u8) -> Picture {
        let small = facegrad_pictures::plain(face.clone(), [56, 56]);
        let mut pixels = vec![colour; 112 * 112 * 3];
        for (row, face) in pixels.chunks_exact_mut(112 * 3).skip(28).zip(small.pixels().chunks_exact(56 * 3))
        {
            row[28 * 3..84 * 3].copy_from_slice(face);
        }
        Picture::new(112, 112, pixels)
    }

    /// As a picture of a profile: what is outside of a circle is of one colour.
    fn round(face: &Picture, colour: u8) -> Picture {
        let mut pixels = face.pixels().to_vec();
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let [y, x] = [i / 112, i % 112].map(|at| at as f32 - 55.5);
            if y.hypot(x) > 48.0 {
                pixel.fill(colour);
            }
        }
        Picture::new(112, 112, pixels)
    }

    #[test]
    fn what_surrounds_faces_makes_them_no_duplicates() {
        for surround in [pasted, round] {
            for colour in [255, 0, 128] {
                let mut pictures: Vec<_> =
                    faces().iter().map(|(label, face)| (*label, surround(face, colour))).collect();
                // Copies of the same kind are.
                pictures.push((2, dim(&pictures[12].1)));
                pictures.push((6, mirrored(&dim(&pictures[13].1))));
                let (set, survey) = set(pictures);
                let labels: Vec<usize> = (0..set.len()).map(|i| set.label(i)).collect();
                let load = |image: usize| thumbnail(&set, image);
                let found = duplicates(&survey, &labels, &Nearness::default(), &load, &mut |_| true).unwrap();
                let images: Vec<Vec<usize>> = found.iter().map(|group| group.images().collect()).collect();
                assert_eq!(images, [[12, 40], [13, 41]], "{colour}");
            }
        }
    }

    #[test]
    fn a_face_is_found_in_another_frame_and_without_one() {
        let mut pictures = faces();
        pictures.push((0, pasted(&pictures[0].1, 255)));
        pictures.push((0, pasted(&dim(&pictures[0].1), 20)));
        pictures.push((4, pasted(&mirrored(&pictures[21].1), 255)));
        let (set, survey) = set(pictures);
        let labels: Vec<usize> = (0..set.len()).map(|i| set.label(i)).collect();
        let load = |image: usize| thumbnail(&set, image);
        let found = duplicates(&survey, &labels, &Nearness::default(), &load, &mut |_| true).unwrap();
        let images: Vec<Vec<usize>> = found.iter().map(|group| group.images().collect()).collect();
        assert_eq!(images, [vec![0, 40, 41], vec![21, 42]]);
    }

    #[test]
    fn images_of_another_set_are_found() {
        let pictures = faces();
        let of_other = vec![
            (0, pictures[30].1.clone()),
            (1, mirrored(&dim(&pictures[3].1))),
            (2, mirrored(&pictures[5].1)),
            (2, dim(&pictures[30].1)),
        ];
        let (set_a, a) = set(pictures);
        let (set_b, b) = set(of_other);
        let (load_a, load_b) =
            (|image: usize| thumbnail(&set_a, image), |image: usize| thumbnail(&set_b, image));
        let found = common((&a, &load_a), (&b, &load_b), &Nearness::default());
        let pairs: Vec<(usize, usize)> = found.iter().map(|common| (common.image, common.other)).collect();
        assert_eq!(pairs, [(3, 1), (5, 2), (30, 0)]);
        assert_eq!(found[2].sameness, Sameness::File);
    }

    #[test]
    fn walls_are_the_same_only_if_they_are() {
        let wall = |value: u8| (0, Picture::new(60, 60, vec![value; 60 * 60 * 3]));
        let (set, survey) = set(vec![wall(3), wall(4), wall(3)]);
        let load = |image: usize| thumbnail(&set, image);
        let found = duplicates(&survey, &[0; 3], &Nearness::default(), &load, &mut |_| true).unwrap();
        assert_eq!(found, [DuplicateGroup { first: 0, others: vec![(2, Sameness::File)] }]);
    }
}
