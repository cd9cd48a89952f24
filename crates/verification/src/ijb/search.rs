//! 1:N: probes against galleries of templates.
//!
//! A probe is *mated* in a gallery if its person is there. Closed set: the share of the mated probes whose
//! person is among the `k` best matches. Open set: a threshold decides whether a probe is in the gallery at all.
//! FPIR, the false-positive identification rate, is the share of the probes *not* mated there whose best match
//! scores at least the threshold; TPIR, the true-positive identification rate, is the share of the mated probes
//! whose person is the best match and scores at least the threshold.
//!
//! The two galleries of a benchmark share no person, and a probe is mated in one of them. They are searched one
//! after the other and never merged: the probes of the one are what makes the open set of the other.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use facegrad_matrices::row_products;
use facegrad_results::Interval;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{PairScores, SubjectList, Templates};
use crate::{roc::needed, wilson};

/// The ranks at which a closed-set rate is asked for.
const RANKS: [usize; 3] = [1, 5, 10];

/// The false-positive identification rates at which a true-positive rate is asked for.
const FPIR_TARGETS: [f64; 2] = [0.01, 0.1];

/// Probes whose scores are in memory at once, for each thread.
const PROBES_AT_ONCE: usize = 128;

/// Why galleries cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum SearchError {
    /// A list without templates.
    #[error("{} names no templates, so there is nothing to search", file.display())]
    Empty { file: PathBuf },
    /// A person with two templates in one gallery.
    #[error("subject {subject} has two templates in {}; a gallery has one for each person", file.display())]
    TwoTemplates { file: PathBuf, subject: u32 },
}

/// The closed-set rate at one rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankRate {
    /// How many of the best matches are looked at.
    pub rank: usize,
    /// The share of mated probes whose person is among them.
    pub rate: f64,
    /// Its 95 % interval (Wilson).
    pub interval: Interval,
}

/// A threshold and its open-set rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchPoint {
    /// Best matches with at least this score are taken.
    pub threshold: f64,
    /// The false-positive identification rate.
    pub fpir: f64,
    /// The true-positive identification rate, at rank 1.
    pub tpir: f64,
    /// The 95 % interval of the true-positive identification rate (Wilson).
    pub interval: Interval,
}

/// The true-positive identification rate at a false-positive rate that is not above a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TpirAtFpir {
    /// The false-positive identification rate not to exceed.
    pub target: f64,
    /// How many probes that are not mated it takes to measure at this target: 10 / `target`.
    pub unmated_needed: usize,
    /// The operating point; absent if there are fewer, or no mated probes.
    pub measured: Option<SearchPoint>,
}

/// What the search of one gallery measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GallerySearch {
    /// SHA-256 of the list of the gallery.
    pub gallery_sha256: String,
    /// The number of people in the gallery.
    pub subjects: usize,
    /// The number of probes whose person is in the gallery.
    pub mated: usize,
    /// The number of the other probes.
    pub unmated: usize,
    /// The closed-set rates at ranks 1, 5 and 10; none without mated probes. Others that score the same as the
    /// person of the probe count as better.
    pub ranks: Vec<RankRate>,
    /// The open-set rates at false-positive rates of 1 % and 10 %, never above these.
    pub tpir_at_fpir: Vec<TpirAtFpir>,
}

/// The mean over galleries of the closed-set rate at one rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanRank {
    /// The rank.
    pub rank: usize,
    /// The mean; absent if a gallery has none.
    pub rate: Option<f64>,
}

/// The mean over galleries of the open-set rate at one target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanTpir {
    /// The false-positive identification rate not to exceed.
    pub target: f64,
    /// The mean; absent if a gallery has none.
    pub tpir: Option<f64>,
}

/// A number of insightface's `ijb_1n.py`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InsightfaceRecall {
    /// What it calls FAR: among all scores of a probe with a person it does not show, as many are taken for
    /// the threshold as this share of the number of *probes*.
    pub far: f64,
    /// The share of the probes that score above the threshold with their own person, at whatever rank.
    pub recall: f64,
    /// The threshold.
    pub threshold: f64,
}

/// What insightface's `ijb_1n.py` prints; for comparison with published tables only.
///
/// It merges the galleries into one, in which every probe is mated, so that nothing of it is open-set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightfaceSearch {
    /// The rates at ranks 1, 5 and 10.
    pub ranks: Vec<RankRate>,
    /// The recalls at what it calls FAR 1 % and 10 %.
    pub recalls: Vec<InsightfaceRecall>,
}

/// What the 1:N protocol measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IjbSearch {
    /// SHA-256 of the list of probes.
    pub probes_sha256: String,
    /// The number of probes.
    pub probes: usize,
    /// Each gallery on its own.
    pub galleries: Vec<GallerySearch>,
    /// The mean over the galleries of each closed-set rate.
    pub mean_ranks: Vec<MeanRank>,
    /// The mean over the galleries of each open-set rate.
    pub mean_tpir: Vec<MeanTpir>,
    /// What insightface prints; absent if a probe has not exactly one template in all galleries together, which
    /// insightface refuses.
    pub insightface: Option<InsightfaceSearch>,
}

impl IjbSearch {
    /// Searches each of `galleries` for each of `probes`; scores are cosines, computed in f32.
    ///
    /// # Errors
    /// If a list is empty or a gallery has two templates of a person.
    ///
    /// # Panics
    /// If the lists were read for other templates.
    pub fn measure(
        templates: &Templates,
        galleries: &[SubjectList],
        probes: &SubjectList,
    ) -> Result<Self, SearchError> {
        for list in galleries.iter().chain([probes]) {
            if list.subjects.is_empty() {
                return Err(SearchError::Empty { file: list.file.clone() });
            }
        }
        for gallery in galleries {
            if let Some(subject) = repeated(&gallery.subjects) {
                return Err(SearchError::TwoTemplates { file: gallery.file.clone(), subject });
            }
        }
        let searched: Vec<GallerySearch> =
            galleries.iter().map(|gallery| search(templates, gallery, probes)).collect();
        let mean = |rate: &dyn Fn(&GallerySearch) -> Option<f64>| {
            let rates: Option<Vec<f64>> = searched.iter().map(rate).collect();
            rates
                .filter(|rates| !rates.is_empty())
                .map(|rates| rates.iter().sum::<f64>() / rates.len() as f64)
        };
        let mean_ranks = RANKS.iter().enumerate().map(|(i, &rank)| MeanRank {
            rank,
            rate: mean(&|gallery| gallery.ranks.get(i).map(|rank| rank.rate)),
        });
        let mean_tpir = FPIR_TARGETS.iter().enumerate().map(|(i, &target)| MeanTpir {
            target,
            tpir: mean(&|gallery| gallery.tpir_at_fpir[i].measured.map(|point| point.tpir)),
        });
        Ok(Self {
            probes_sha256: probes.sha256.clone(),
            probes: probes.subjects.len(),
            mean_ranks: mean_ranks.collect(),
            mean_tpir: mean_tpir.collect(),
            insightface: as_insightface(templates, galleries, probes),
            galleries: searched,
        })
    }
}

/// A person with two templates.
fn repeated(subjects: &[(u32, u32)]) -> Option<u32> {
    let mut seen = HashSet::new();
    subjects.iter().map(|&(_, subject)| subject).find(|&subject| !seen.insert(subject))
}

fn search(templates: &Templates, gallery: &SubjectList, probes: &SubjectList) -> GallerySearch {
    let (outcomes, _) = compare(templates, &gallery.subjects, &probes.subjects, 0);
    let mates: Vec<Mate> = outcomes.iter().filter_map(|outcome| outcome.mate).collect();
    let unmated = outcomes.iter().filter(|outcome| outcome.mate.is_none());
    let best_of_unmated: Vec<f32> = unmated.map(|outcome| outcome.best).collect();
    let found: Vec<f32> = mates.iter().filter(|mate| mate.rank == 1).map(|mate| mate.score).collect();
    let tpir_at_fpir = FPIR_TARGETS.iter().map(|&target| {
        let unmated_needed = needed(target);
        let enough = best_of_unmated.len() >= unmated_needed && !mates.is_empty();
        let measured = enough.then(|| lowest_threshold(&found, &best_of_unmated, mates.len(), target));
        TpirAtFpir { target, unmated_needed, measured: measured.flatten() }
    });
    GallerySearch {
        gallery_sha256: gallery.sha256.clone(),
        subjects: gallery.subjects.len(),
        mated: mates.len(),
        unmated: best_of_unmated.len(),
        ranks: rank_rates(&mates),
        tpir_at_fpir: tpir_at_fpir.collect(),
    }
}

/// The operating point at the lowest score that takes no larger share of `unmated` than `target`; `found` are
/// the scores of those of `mated` probes whose person is the best match.
fn lowest_threshold(found: &[f32], unmated: &[f32], mated: usize, target: f64) -> Option<SearchPoint> {
    // The cosines of unit vectors are finite.
    let scores = PairScores::sorted(found.to_vec(), unmated.to_vec());
    let fpir = |false_accepts: usize| false_accepts as f64 / unmated.len() as f64;
    let point = scores.points().take_while(|point| fpir(point.false_accepts) <= target).last()?;
    Some(SearchPoint {
        threshold: point.threshold,
        fpir: fpir(point.false_accepts),
        tpir: point.true_accepts as f64 / mated as f64,
        interval: wilson(point.true_accepts, mated),
    })
}

fn rank_rates(mates: &[Mate]) -> Vec<RankRate> {
    if mates.is_empty() {
        return Vec::new();
    }
    let rate = |&rank: &usize| {
        let found = mates.iter().filter(|mate| mate.rank <= rank).count();
        RankRate { rank, rate: found as f64 / mates.len() as f64, interval: wilson(found, mates.len()) }
    };
    RANKS.iter().map(rate).collect()
}

/// The procedure of insightface's `ijb_1n.py`, if it would go through.
fn as_insightface(
    templates: &Templates,
    galleries: &[SubjectList],
    probes: &SubjectList,
) -> Option<InsightfaceSearch> {
    let mut merged: Vec<(u32, u32)> =
        galleries.iter().flat_map(|gallery| &gallery.subjects).copied().collect();
    merged.sort_unstable();
    merged.dedup_by_key(|entry| entry.0);
    let count = probes.subjects.len();
    let places = FPIR_TARGETS.map(|far| (far * count as f64).ceil() as usize);
    if repeated(&merged).is_some() {
        return None;
    }
    let (outcomes, highest) = compare(templates, &merged, &probes.subjects, places[FPIR_TARGETS.len() - 1]);
    let mates: Vec<Mate> = outcomes.iter().map(|outcome| outcome.mate).collect::<Option<_>>()?;
    let recalls = FPIR_TARGETS.iter().zip(places).map(|(&far, place)| {
        let threshold = *highest.get(place - 1)?;
        let recalled = mates.iter().filter(|mate| mate.score > threshold).count();
        Some(InsightfaceRecall { far, recall: recalled as f64 / count as f64, threshold: threshold.into() })
    });
    Some(InsightfaceSearch { ranks: rank_rates(&mates), recalls: recalls.collect::<Option<_>>()? })
}

/// How one probe fared in a gallery.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcome {
    /// The template of its person, if there is one.
    mate: Option<Mate>,
    /// The highest score.
    best: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Mate {
    score: f32,
    /// One more than the number of other people that score at least the same.
    rank: usize,
}

/// Compares every probe with every template of a gallery, both `(position, subject)`; also gives the `keep`
/// highest scores with other people, from the highest.
fn compare(
    templates: &Templates,
    gallery: &[(u32, u32)],
    probes: &[(u32, u32)],
    keep: usize,
) -> (Vec<Outcome>, Vec<f32>) {
    let dim = templates.dim();
    let gather = |subjects: &[(u32, u32)]| -> Vec<f32> {
        subjects.iter().flat_map(|&(position, _)| templates.vector(position as usize)).copied().collect()
    };
    let columns = gather(gallery);
    let column_of: HashMap<u32, usize> =
        gallery.iter().zip(0..).map(|(&(_, subject), i)| (subject, i)).collect();
    let blocks: Vec<(Vec<Outcome>, Vec<f32>)> = probes
        .par_chunks(PROBES_AT_ONCE)
        .map(|probes| {
            let mut scores = vec![0.0; probes.len() * gallery.len()];
            row_products(&gather(probes), &columns, dim, &mut scores);
            let mut outcomes = Vec::with_capacity(probes.len());
            let mut others = Vec::new();
            for (scores, (_, subject)) in scores.chunks_exact(gallery.len()).zip(probes) {
                let mate = column_of.get(subject).copied();
                let other = scores.iter().enumerate().filter(|&(column, _)| Some(column) != mate);
                let other = other.map(|(_, &score)| score);
                if keep > 0 {
                    others.extend(other.clone());
                }
                outcomes.push(Outcome {
                    mate: mate.map(|column| Mate {
                        score: scores[column],
                        rank: 1 + other.filter(|&score| score >= scores[column]).count(),
                    }),
                    best: scores.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                });
            }
            (outcomes, highest(others, keep))
        })
        .collect();
    let (outcomes, others): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
    let mut others = highest(others.concat(), keep);
    others.sort_unstable_by(|a, b| b.total_cmp(a));
    (outcomes.concat(), others)
}

/// The `keep` highest of `scores`, in any order.
fn highest(mut scores: Vec<f32>, keep: usize) -> Vec<f32> {
    if scores.len() > keep {
        scores.select_nth_unstable_by(keep, |a, b| b.total_cmp(a));
        scores.truncate(keep);
        scores.shrink_to_fit();
    }
    scores
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::ijb::{
        MediaList, TemplateNorm,
        templates::tests::{lists, rows},
    };

    /// Templates 0 to `embeddings`, of one image each.
    fn templates(folder: &Path, embeddings: &[Vec<f32>]) -> Templates {
        let images: Vec<(u32, u32, f32)> = (0..embeddings.len() as u32).map(|i| (i, i, 1.0)).collect();
        let (media, _): (MediaList, _) = lists(folder, &images);
        Templates::pool(&media, TemplateNorm::Keep, None, embeddings[0].len(), rows(embeddings)).unwrap()
    }

    /// A list of `(template, subject)`.
    fn list(folder: &Path, templates: &Templates, name: &str, subjects: &[(u32, u32)]) -> SubjectList {
        let lines = subjects.iter().map(|(template, subject)| format!("{template},{subject},x.jpg\n"));
        let file = folder.join(name);
        fs::write(&file, format!("TEMPLATE_ID,SUBJECT_ID,FILENAME\n{}", lines.collect::<String>())).unwrap();
        SubjectList::read(&file, templates.ids()).unwrap()
    }

    #[test]
    fn as_defined() {
        let folder = tempfile::tempdir().unwrap();
        let mut stream = Stream::new(3, Purpose::Pairs, 0, 0);
        // Templates 0 to 39 are the galleries, people 0 to 39; the others are probes, one in six of nobody.
        let (people, probes, dim) = (40, 2400, 8);
        let centres: Vec<Vec<f32>> = (0..60).map(|_| (0..dim).map(|_| stream.normal()).collect()).collect();
        let subject = |template: u32| if template < people { template } else { (template - people) % 48 };
        let embeddings: Vec<Vec<f32>> = (0..people + probes)
            .map(|t| centres[subject(t) as usize].iter().map(|x| x + 0.25 * stream.normal()).collect())
            .collect();
        let templates = templates(folder.path(), &embeddings);
        let of = |range: std::ops::Range<u32>| range.map(|t| (t, subject(t))).collect::<Vec<_>>();
        let list = |name, subjects: Vec<(u32, u32)>| list(folder.path(), &templates, name, &subjects);
        let galleries = [list("g1", of(0..25)), list("g2", of(25..people))];
        let probe_list = list("probes", of(people..people + probes));
        let result = IjbSearch::measure(&templates, &galleries, &probe_list).unwrap();
        assert_eq!(result.insightface, None, "people 40 to 47 are in no gallery");
        assert_eq!((result.probes, result.probes_sha256.as_str()), (2400, &*probe_list.sha256));

        for (found, gallery) in result.galleries.iter().zip([0..25, 25..people]) {
            let score = |a: u32, b: u32| -> f64 {
                let [a, b] = [a, b].map(|t| templates.vector(t as usize));
                a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            let (mut mates, mut unmated) = (Vec::new(), Vec::new());
            for probe in people..people + probes {
                let mut all: Vec<(f64, u32)> = gallery.clone().map(|g| (score(probe, g), g)).collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0));
                match all.iter().position(|&(_, g)| g == subject(probe)) {
                    Some(place) => mates.push((place + 1, all[place].0)),
                    None => unmated.push(all[0].0),
                }
            }
            assert_eq!((found.mated, found.unmated), (mates.len(), unmated.len()));
            assert_eq!(found.subjects, gallery.len());
            for rank in &found.ranks {
                let hits = mates.iter().filter(|mate| mate.0 <= rank.rank).count();
                assert_eq!(
                    (rank.rate, rank.interval),
                    (hits as f64 / mates.len() as f64, wilson(hits, mates.len()))
                );
            }
            assert!(found.ranks[0].rate < found.ranks[2].rate, "the task is neither trivial nor hopeless");
            for at in &found.tpir_at_fpir {
                assert_eq!(at.unmated_needed, if at.target == 0.1 { 100 } else { 1000 });
                let point = at.measured.unwrap();
                // By trying every score as the threshold.
                let fpir = |t: f64| unmated.iter().filter(|&&s| s >= t).count() as f64 / unmated.len() as f64;
                let tpir = |t: f64| {
                    mates.iter().filter(|mate| mate.0 == 1 && mate.1 >= t).count() as f64 / mates.len() as f64
                };
                let tried = mates.iter().map(|mate| mate.1).chain(unmated.iter().copied());
                let best = tried.filter(|&t| fpir(t) <= at.target).map(tpir).fold(0.0, f64::max);
                assert_eq!(point.tpir, best);
                assert!(point.fpir <= at.target && point.tpir > 0.2, "{point:?}");
                assert_eq!(point.fpir, fpir(point.threshold - 1e-6));
            }
        }
        let [first, second] = [0, 1].map(|g| result.galleries[g].ranks[1].rate);
        assert_eq!(result.mean_ranks[1], MeanRank { rank: 5, rate: Some((first + second) / 2.0) });
        let [first, second] = [0, 1].map(|g| result.galleries[g].tpir_at_fpir[0].measured.unwrap().tpir);
        assert_eq!(result.mean_tpir[0], MeanTpir { target: 0.01, tpir: Some((first + second) / 2.0) });
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| IjbSearch::measure(&templates, &galleries, &probe_list)).unwrap(), result);
    }

    #[test]
    fn ties_count_against_and_too_few_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let [x, y] = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let templates = templates(folder.path(), &[x.clone(), x.clone(), y.clone(), x, y]);
        let list = |name, subjects: &[(u32, u32)]| list(folder.path(), &templates, name, subjects);
        let gallery = [list("g", &[(0, 5), (1, 6), (2, 7)])];
        let result = IjbSearch::measure(&templates, &gallery, &list("p", &[(3, 5), (4, 9)])).unwrap();
        let found = &result.galleries[0];
        assert_eq!((found.mated, found.unmated), (1, 1));
        assert_eq!(found.ranks.iter().map(|rank| rank.rate).collect::<Vec<_>>(), [0.0, 1.0, 1.0]);
        assert!(found.tpir_at_fpir.iter().all(|at| at.measured.is_none()));
        assert!(result.mean_tpir.iter().all(|mean| mean.tpir.is_none()));
        let nobody = IjbSearch::measure(&templates, &gallery, &list("p", &[(4, 9)])).unwrap();
        assert!(nobody.galleries[0].ranks.is_empty() && nobody.mean_ranks[0].rate.is_none());

        let probes = list("p", &[(3, 5)]);
        let twice = IjbSearch::measure(&templates, &[list("g", &[(0, 5), (1, 5)])], &probes).unwrap_err();
        let message = format!(
            "subject 5 has two templates in {}; a gallery has one for each person",
            folder.path().join("g").display()
        );
        assert_eq!(twice.to_string(), message);
        let empty = IjbSearch::measure(&templates, &[list("g", &[])], &probes).unwrap_err().to_string();
        assert!(empty.ends_with("g names no templates, so there is nothing to search"), "{empty}");
    }
}
