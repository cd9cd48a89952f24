//! The search of every probe in the gallery.

use std::collections::{HashMap, HashSet};

use facegrad_settings::choice;
use rayon::prelude::*;

use crate::{
    LabelledUnitEmbeddings, UnitEmbeddings, UnitEmbeddingsError, all_pairs::cosines, text::are_equal,
};

choice! {
    /// The score of an identity with several images in the gallery; with one image each, all are the same.
    pub enum IdentityScore {
        /// The highest cosine with one of its images.
        Max = "max",
        /// The cosine with its template: the mean of its unit embeddings, scaled to length one.
        Mean = "mean",
    }
}

/// Probes that are scored at a time, with a gallery of usual size.
const ROWS: usize = 64;

/// Scores that a thread holds at a time: 64 MiB, for [`ROWS`] probes and 262,144 images.
const SCORES: usize = 1 << 24;

/// Why a search cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum SearchError {
    /// Gallery and probes do not go together.
    #[error(transparent)]
    Embeddings(#[from] UnitEmbeddingsError),
    /// Nothing to search in.
    #[error("the gallery is empty; it takes at least one image of one person")]
    NoGallery,
    /// The embeddings of an identity cancel out.
    #[error(
        "the mean of the {images} gallery embeddings of identity {identity} is zero, so it is no template"
    )]
    Template { identity: usize, images: usize },
}

/// What a search of each probe in a gallery found.
///
/// Scores are cosines, computed in f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// What was found, in the order of the probes.
    pub probes: Vec<ProbeMatch>,
    /// The number of images in the gallery.
    pub gallery_images: usize,
    /// The number of identities in the gallery.
    pub gallery_identities: usize,
    /// The score of an identity with several images.
    pub rule: IdentityScore,
    /// Probes that were not searched and count as errors.
    pub lost: LostProbes,
}

/// Who is on probes that could not be searched as the lists have them, as numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostProbes {
    /// Probes with their person in the gallery: they find nobody, at any rank and threshold.
    pub mated: Vec<usize>,
    /// Probes without: they are false alarms at every threshold.
    pub nonmated: Vec<usize>,
}

/// The images of a gallery and of probes that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemainingProbes {
    /// Positions in the list of the gallery.
    pub gallery: Vec<usize>,
    /// Positions in the list of probes: those that are there and whose person has not lost all images of the gallery. Such
    /// probes would turn from mated to non-mated.
    pub probes: Vec<usize>,
    /// The other probes.
    pub lost: LostProbes,
}

impl RemainingProbes {
    /// What remains of a `gallery` and of `probes`, each the person on its images and whether an image is lost.
    pub fn of(gallery: (&[usize], &[bool]), probes: (&[usize], &[bool])) -> Self {
        let is_there =
            |of: (&[usize], &[bool])| (0..of.0.len()).filter(|&image| !of.1[image]).collect::<Vec<usize>>();
        let there = is_there(gallery);
        let listed: HashSet<usize> = gallery.0.iter().copied().collect();
        let enrolled: HashSet<usize> = there.iter().map(|&image| gallery.0[image]).collect();
        let (mut kept, mut lost) = (Vec::new(), LostProbes::default());
        for (probe, (&person, &is_lost)) in probes.0.iter().zip(probes.1).enumerate() {
            match (listed.contains(&person), is_lost || !enrolled.contains(&person)) {
                (true, true) => lost.mated.push(person),
                (false, true) if is_lost => lost.nonmated.push(person),
                _ => kept.push(probe),
            }
        }
        Self { gallery: there, probes: kept, lost }
    }
}

/// What the search of one probe found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbeMatch {
    /// Who is on the probe.
    pub identity: usize,
    /// The identity with the highest score; among equals, the one first mentioned in the gallery.
    pub top_identity: usize,
    /// Its score.
    pub top_score: f32,
    /// The probe's own identity in the gallery; absent if it is not there.
    pub mate: Option<Mate>,
}

/// How a probe found its own identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mate {
    /// The score of the identity.
    pub score: f32,
    /// Its rank, from 1: one more than the identities that score as high or higher.
    pub rank: usize,
    /// The average precision of its images among all images of the gallery.
    pub average_precision: f64,
}

impl Search {
    /// Searches every probe in the gallery.
    ///
    /// Ties count against the system: an identity with the score of the mate ranks before it. Images with
    /// equal scores are retrieved together, as in scikit-learn's `average_precision_score`.
    ///
    /// Runs on every thread of the current pool, with the same result for any number of threads; each holds
    /// the scores of 64 probes, or of at least 16 with a gallery beyond 262,144 images.
    ///
    /// # Errors
    /// If the gallery is empty, the embeddings are of different lengths, or those of an identity cancel out
    /// under [`IdentityScore::Mean`].
    pub fn new(
        gallery: LabelledUnitEmbeddings,
        probes: LabelledUnitEmbeddings,
        rule: IdentityScore,
    ) -> Result<Self, SearchError> {
        probes.matches(&gallery)?;
        let gallery = Gallery::new(gallery, rule)?;
        let images = gallery.of.len();
        let rows = (SCORES / images).clamp(16, ROWS);
        let count = probes.embeddings().len();
        // Blocks of fixed size: the number of threads must not change how a product is computed.
        let blocks: Vec<usize> = (0..count).step_by(rows).collect();
        let found = blocks.into_par_iter().flat_map_iter(|start| {
            let end = (start + rows).min(count);
            gallery.search(probes.embeddings().rows(start, end), &probes.identities()[start..end])
        });
        Ok(Self {
            probes: found.collect(),
            gallery_images: images,
            gallery_identities: gallery.identities.len(),
            rule,
            lost: LostProbes::default(),
        })
    }

    /// The same with probes that count as errors.
    pub fn with_errors(self, lost: LostProbes) -> Self {
        Self { lost, ..self }
    }

    /// Whether every probe has the same score with everybody, but for rounding: with its own person and with whoever is most
    /// alike.
    pub(crate) fn are_equal(&self) -> bool {
        let scores = |found: &ProbeMatch| {
            [Some(found.top_score), found.mate.map(|mate| mate.score)].into_iter().flatten().map(f64::from)
        };
        self.gallery_identities > 1 && are_equal(self.probes.iter().flat_map(scores))
    }

    /// The share of mated probes that find their person first, with those that count as errors; nothing without mated
    /// probes.
    pub(crate) fn rank_1(&self) -> Option<f64> {
        let mates = self.probes.iter().filter_map(|found| found.mate);
        let mated = mates.clone().count() + self.lost.mated.len();
        (mated > 0).then(|| mates.filter(|mate| mate.rank == 1).count() as f64 / mated as f64)
    }
}

/// A gallery whose identities are numbered from 0 in the order of their first mention.
struct Gallery<'a> {
    embeddings: &'a UnitEmbeddings,
    /// The number of the identity of each image.
    of: Vec<usize>,
    /// Each identity, as the caller names it.
    identities: Vec<usize>,
    /// The number of each identity.
    numbers: HashMap<usize, usize>,
    /// One row for each identity, if these are what probes are compared with.
    templates: Option<UnitEmbeddings>,
}

impl<'a> Gallery<'a> {
    fn new(gallery: LabelledUnitEmbeddings<'a>, rule: IdentityScore) -> Result<Self, SearchError> {
        if gallery.embeddings().is_empty() {
            return Err(SearchError::NoGallery);
        }
        let (mut identities, mut numbers) = (Vec::new(), HashMap::new());
        let number = |&identity: &usize| {
            *numbers.entry(identity).or_insert_with(|| {
                identities.push(identity);
                identities.len() - 1
            })
        };
        let of: Vec<usize> = gallery.identities().iter().map(number).collect();
        let templates = match rule {
            IdentityScore::Max => None,
            IdentityScore::Mean => Some(templates(gallery.embeddings(), &of, &identities)?),
        };
        Ok(Self { embeddings: gallery.embeddings(), of, identities, numbers, templates })
    }

    /// Searches probes, given row by row.
    fn search(&self, probes: &[f32], identities: &[usize]) -> Vec<ProbeMatch> {
        let dim = self.embeddings.dim();
        let scores = |of: &UnitEmbeddings| {
            let mut scores = vec![0.0; identities.len() * of.len()];
            cosines(probes, of.rows(0, of.len()), dim, &mut scores);
            scores
        };
        let by_image = scores(self.embeddings);
        let by_template = self.templates.as_ref().map(scores);
        let people = self.identities.len();
        let mut best = vec![0.0; people];
        let found = identities.iter().zip(by_image.chunks(self.of.len())).enumerate();
        let found = found.map(|(row, (&identity, by_image))| {
            match &by_template {
                Some(scores) => best.copy_from_slice(&scores[row * people..][..people]),
                None => {
                    best.fill(f32::NEG_INFINITY);
                    for (&of, &score) in self.of.iter().zip(by_image) {
                        best[of] = score.max(best[of]);
                    }
                }
            }
            let (mut top, mut top_score) = (0, f32::NEG_INFINITY);
            for (number, &score) in best.iter().enumerate() {
                if score > top_score {
                    (top, top_score) = (number, score);
                }
            }
            let mate = self.numbers.get(&identity).map(|&number| Mate {
                score: best[number],
                // The mate itself is among those that score as high: it is the one that makes ranks start at 1.
                rank: best.iter().filter(|&&score| score >= best[number]).count(),
                average_precision: self.average_precision(number, by_image),
            });
            ProbeMatch { identity, top_identity: self.identities[top], top_score, mate }
        });
        found.collect()
    }

    /// The mean over the images of an identity of the share of its images among all that score as high.
    fn average_precision(&self, number: usize, by_image: &[f32]) -> f64 {
        let own = self.of.iter().zip(by_image).filter(|(of, _)| **of == number);
        let mut relevant: Vec<f32> = own.map(|(_, &score)| score).collect();
        relevant.sort_by(|a, b| b.total_cmp(a));
        // How many images score below the one before and as high as this one.
        let mut retrieved = vec![0_usize; relevant.len() + 1];
        for score in by_image {
            retrieved[relevant.partition_point(|own| own > score)] += 1;
        }
        let (mut all, mut sum, mut start) = (0, 0.0, 0);
        for tied in relevant.chunk_by(|a, b| a == b) {
            let end = start + tied.len();
            all += retrieved[start];
            sum += tied.len() as f64 * (end as f64 / all as f64);
            start = end;
        }
        sum / relevant.len() as f64
    }
}

/// The mean of the embeddings of each identity, in f64.
fn templates(
    embeddings: &UnitEmbeddings,
    of: &[usize],
    identities: &[usize],
) -> Result<UnitEmbeddings, SearchError> {
    let dim = embeddings.dim();
    let mut sums = vec![0.0_f64; identities.len() * dim];
    for (image, number) in of.iter().enumerate() {
        let sum = &mut sums[number * dim..(number + 1) * dim];
        sum.iter_mut().zip(embeddings.rows(image, image + 1)).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    // Length one is what counts, so the sum serves as the mean.
    UnitEmbeddings::new(sums.iter().map(|&x| x as f32).collect(), dim).map_err(|error| match error {
        UnitEmbeddingsError::Direction { index, .. } => SearchError::Template {
            identity: identities[index],
            images: of.iter().filter(|&&number| number == index).count(),
        },
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;

    /// Embeddings with small whole numbers of one length, so that products are exact in f32 and tie often.
    fn random(n: usize, people: usize, seed: u64) -> (UnitEmbeddings, Vec<usize>) {
        let mut stream = Stream::new(seed, Purpose::Bootstrap, 0, 0);
        let of = (0..n).map(|_| 10 * stream.below(people)).collect();
        // Sixteen signs have length 4, so the entries of the unit vectors are a quarter.
        let numbers = (0..16 * n).map(|_| if stream.chance(0.5) { 1.0 } else { -1.0 }).collect();
        (UnitEmbeddings::new(numbers, 16).unwrap(), of)
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    /// One probe, from the definitions.
    fn naive(
        gallery: LabelledUnitEmbeddings,
        probe: &[f32],
        identity: usize,
        rule: IdentityScore,
    ) -> ProbeMatch {
        let (rows, of) = (gallery.embeddings(), gallery.identities());
        let images: Vec<f32> = (0..rows.len()).map(|i| dot(probe, rows.rows(i, i + 1))).collect();
        let mut identities = Vec::new();
        of.iter().for_each(|id| {
            if !identities.contains(id) {
                identities.push(*id)
            }
        });
        let score = |id: usize| match rule {
            IdentityScore::Max => {
                let own = images.iter().zip(of).filter(|(_, of)| **of == id);
                own.map(|(score, _)| *score).fold(f32::MIN, f32::max)
            }
            IdentityScore::Mean => {
                let own = (0..rows.len()).filter(|&i| of[i] == id);
                let sum = own.fold(vec![0.0; rows.dim()], |sum: Vec<f32>, i| {
                    sum.iter().zip(rows.rows(i, i + 1)).map(|(a, b)| a + b).collect()
                });
                dot(probe, UnitEmbeddings::new(sum, rows.dim()).unwrap().rows(0, 1))
            }
        };
        let scores: Vec<f32> = identities.iter().map(|&id| score(id)).collect();
        let top_score = scores.iter().copied().fold(f32::MIN, f32::max);
        let top_identity = identities[scores.iter().position(|&s| s == top_score).unwrap()];
        let mate = identities.iter().position(|&id| id == identity).map(|own| {
            let before = (0..scores.len()).filter(|&i| i != own && scores[i] >= scores[own]).count();
            let relevant: Vec<usize> = (0..images.len()).filter(|&i| of[i] == identity).collect();
            let precision = relevant.iter().map(|&r| {
                let above = (0..images.len()).filter(|&i| images[i] >= images[r]);
                let (hits, all) = above.fold((0, 0), |(h, n), i| (h + usize::from(of[i] == identity), n + 1));
                hits as f64 / f64::from(all)
            });
            let average_precision = precision.sum::<f64>() / relevant.len() as f64;
            Mate { score: scores[own], rank: before + 1, average_precision }
        });
        ProbeMatch { identity, top_identity, top_score, mate }
    }

    #[test]
    fn a_naive_search_agrees() {
        for (images, people, probes, seed) in
            [(150, 40, 200, 1), (30, 30, 70, 2), (7, 1, 3, 3), (1, 1, 65, 4)]
        {
            let (gallery, of) = random(images, people, seed);
            let (rows, who) = random(probes, 2 * people, seed + 100);
            let gallery = LabelledUnitEmbeddings::new(&gallery, &of).unwrap();
            let search =
                |rule| Search::new(gallery, LabelledUnitEmbeddings::new(&rows, &who).unwrap(), rule).unwrap();
            let max = search(IdentityScore::Max);
            for (i, found) in max.probes.iter().enumerate() {
                let mut expected = naive(gallery, rows.rows(i, i + 1), who[i], IdentityScore::Max);
                if let (Some(mate), Some(expected)) = (found.mate, &mut expected.mate) {
                    // Summed in another order.
                    assert!((mate.average_precision - expected.average_precision).abs() < 1e-14);
                    expected.average_precision = mate.average_precision;
                }
                assert_eq!(*found, expected);
            }
            // Templates are not exact in f32, so that ties may fall either way.
            for (i, found) in search(IdentityScore::Mean).probes.iter().enumerate() {
                let expected = naive(gallery, rows.rows(i, i + 1), who[i], IdentityScore::Mean);
                assert!((found.top_score - expected.top_score).abs() < 1e-6);
                let (Some(mate), Some(expected)) = (found.mate, expected.mate) else {
                    assert_eq!(found.mate, expected.mate);
                    continue;
                };
                assert!((mate.score - expected.score).abs() < 1e-6);
                assert!((mate.average_precision - expected.average_precision).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn by_hand() {
        // Identities 5 (two images), 6 and 7; the probe of 5 lies on its second image.
        let rows = [[0.0, 1.0], [0.6, 0.8], [1.0, 0.0], [0.6, 0.8]].concat();
        let gallery = UnitEmbeddings::new(rows, 2).unwrap();
        let gallery = LabelledUnitEmbeddings::new(&gallery, &[5, 5, 6, 7]).unwrap();
        let probes = UnitEmbeddings::new(vec![0.6, 0.8, 1.0, 0.0, 1.0, 0.0], 2).unwrap();
        let probes = LabelledUnitEmbeddings::new(&probes, &[5, 6, 8]).unwrap();
        let search = Search::new(gallery, probes, IdentityScore::Max).unwrap();
        assert_eq!((search.gallery_images, search.gallery_identities), (4, 3));
        let [of_5, of_6, of_8] = &search.probes[..] else { panic!() };
        // 7 has the same score, so it ranks before; its image comes together with the first of 5.
        let mate = of_5.mate.unwrap();
        assert_eq!((mate.rank, of_5.top_identity), (2, 5));
        assert!((mate.average_precision - (1.0 / 2.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15, "{mate:?}");
        assert_eq!(of_6.mate.unwrap(), Mate { score: 1.0, rank: 1, average_precision: 1.0 });
        assert_eq!((of_8.mate, of_8.top_identity, of_8.top_score), (None, 6, 1.0));
        // The template of 5 lies between its images, so that it is 7 alone that is met exactly.
        let mean = Search::new(gallery, probes, IdentityScore::Mean).unwrap();
        assert_eq!((mean.probes[0].top_identity, mean.probes[0].mate.unwrap().rank), (7, 2));
    }

    #[test]
    fn what_cannot_be_searched_is_said() {
        let two = UnitEmbeddings::new(vec![1.0, 0.0, -1.0, 0.0], 2).unwrap();
        let two = LabelledUnitEmbeddings::new(&two, &[4, 4]).unwrap();
        let error = Search::new(two, two, IdentityScore::Mean).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the mean of the 2 gallery embeddings of identity 4 is zero, so it is no template"
        );
        let none = UnitEmbeddings::new(vec![], 2).unwrap();
        let none = LabelledUnitEmbeddings::new(&none, &[]).unwrap();
        assert_eq!(Search::new(none, two, IdentityScore::Max), Err(SearchError::NoGallery));
        assert!(Search::new(two, none, IdentityScore::Max).unwrap().probes.is_empty());
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (gallery, of) = random(300, 50, 1);
        let (rows, who) = random(500, 60, 2);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let search = || {
                let [gallery, probes] = [(&gallery, &of), (&rows, &who)]
                    .map(|(e, of)| LabelledUnitEmbeddings::new(e, of).unwrap());
                Search::new(gallery, probes, IdentityScore::Mean).unwrap()
            };
            pool.install(search)
        };
        let one = with(1);
        assert!(one == with(2) && one == with(5));
    }
}
