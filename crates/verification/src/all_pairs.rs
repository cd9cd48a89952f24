//! Every pair of a labelled set, in memory that does not grow with the number of pairs.
//!
//! Cosines are computed in blocks of a matrix product and counted on a grid of 2²¹ cells at once; no score is
//! kept. 20,000 embeddings have 200 million pairs, which support a false-accept rate of 1e-6 and below.

mod counts;
mod unit;

use std::{
    collections::HashSet,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use facegrad_results::{
    Better, Fact, Figure, ResultSection, ResultSheet, Scale, ScoreDistribution,
    numbers::{thousands, too_few},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use unit::cosines;
pub use {
    counts::{GridTarAtFar, ScoreCounts, ScoreHistogram},
    unit::{LabelledUnitEmbeddings, UnitEmbeddings, UnitEmbeddingsError},
};

use crate::{
    FAR_TARGETS, Provenance, Roc, Similarity, Unmeasurable,
    text::{EQUAL_SCORES, equal_scores, provenance_facts, reason},
};

/// The side of a block of scores: 1 MiB of them, so that block and embeddings stay in the cache of a core.
const SIDE: usize = 512;

/// Bins of the histogram of a result.
const HISTOGRAM_BINS: usize = 512;

impl ScoreCounts {
    /// Counts the cosine of every pair of different embeddings, each pair once.
    ///
    /// Computed in f32 on every thread of the current pool, with the same result for any number of threads.
    /// Takes 32 MiB and another 17 MiB for each thread.
    pub fn all_pairs(of: LabelledUnitEmbeddings) -> Self {
        let stripes = stripes(of.embeddings().len());
        let blocks = |(i, rows): (usize, &Stripe)| {
            let (rows, columns) = (rows.clone(), stripes[i..].to_vec());
            columns.into_iter().map(move |columns| (rows.clone(), columns))
        };
        count(of, &stripes.iter().enumerate().flat_map(blocks).collect::<Vec<_>>())
    }
}

/// At most [`SIDE`] embeddings, one after the other.
type Stripe = Range<usize>;

fn stripes(n: usize) -> Vec<Stripe> {
    (0..n).step_by(SIDE).map(|start| start..(start + SIDE).min(n)).collect()
}

/// Counts the scores above the diagonal of blocks of rows and columns.
fn count(of: LabelledUnitEmbeddings, blocks: &[(Stripe, Stripe)]) -> ScoreCounts {
    let (embeddings, identities) = (of.embeddings(), of.identities());
    let totals = Mutex::new(ScoreCounts::new());
    let next = AtomicUsize::new(0);
    // Sums of whole numbers do not depend on which thread counted what.
    (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).for_each(|_| {
        let mut scores = vec![0.0; SIDE * SIDE];
        let mut counts = vec![0_u32; 2 * counts::CELLS];
        let mut room = u32::MAX as usize;
        while let Some((rows, columns)) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scores = &mut scores[..rows.len() * columns.len()];
            if room < scores.len() {
                totals.lock().unwrap_or_else(PoisonError::into_inner).take(&mut counts);
                room = u32::MAX as usize;
            }
            room -= scores.len();
            let right = embeddings.rows(columns.start, columns.end);
            cosines(embeddings.rows(rows.start, rows.end), right, embeddings.dim(), scores);
            let people = &identities[columns.clone()];
            for (row, scores) in rows.clone().zip(scores.chunks(columns.len())) {
                let person = identities[row];
                let first = (row + 1).saturating_sub(columns.start);
                for (&score, &other) in scores.iter().zip(people).skip(first) {
                    counts[usize::from(person == other) * counts::CELLS + counts::cell(score)] += 1;
                }
            }
        }
        totals.lock().unwrap_or_else(PoisonError::into_inner).take(&mut counts);
    });
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What all pairs of a labelled set say about a model.
///
/// There are no intervals over identities: they would need every score of every person. The Wilson intervals
/// take pairs as independent and are too narrow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllPairsResult {
    /// Protocol, data, model and switches; `pairs_sha256` is of the list of images and identities.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The number of images.
    pub images: usize,
    /// The number of people.
    pub identities: usize,
    /// The number of genuine pairs.
    pub genuine: usize,
    /// The number of impostor pairs.
    pub impostor: usize,
    /// Thresholds are multiples of this.
    pub resolution: f64,
    /// The area under the ROC.
    pub auc: Option<f64>,
    /// How far the area may be off, as scores are counted on a grid.
    pub auc_error: Option<f64>,
    /// The equal error rate.
    pub eer: Option<f64>,
    /// The true-accept rates at false-accept rates of 1e-1 to 1e-6.
    pub tar_at_far: Vec<GridTarAtFar>,
    /// Why there is no area, equal error rate and true-accept rate.
    pub roc_unmeasurable: Option<Unmeasurable>,
    /// Genuine and impostor pairs in 512 bins over −1 to 1.
    pub histogram: ScoreHistogram,
    /// Whether all scores are equal, so that nobody is told apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equal_scores: bool,
}

impl AllPairsResult {
    /// Measures everything that `counts`, of all pairs of `of`, support. The score of the provenance becomes
    /// the cosine.
    pub fn measure(counts: &ScoreCounts, of: LabelledUnitEmbeddings, provenance: Provenance) -> Self {
        let roc = counts.roc();
        let curve = roc.as_ref().ok();
        Self {
            provenance: Provenance { score: Similarity::Cosine, ..provenance },
            images: of.identities().len(),
            identities: of.identities().iter().collect::<HashSet<_>>().len(),
            genuine: counts.genuine(),
            impostor: counts.impostor(),
            resolution: ScoreCounts::RESOLUTION,
            auc: curve.map(Roc::auc),
            auc_error: curve.map(Roc::auc_error),
            eer: curve.map(Roc::eer),
            tar_at_far: curve
                .map(|roc| FAR_TARGETS.map(|target| GridTarAtFar::of(roc, target)).into())
                .unwrap_or_default(),
            roc_unmeasurable: roc.err(),
            histogram: counts.histogram(HISTOGRAM_BINS),
            equal_scores: counts.are_equal(),
        }
    }

    /// The result as lists of figures and facts.
    pub fn sheet(&self) -> ResultSheet {
        use Better::{Higher, Lower};
        let of_roc = |value: Option<f64>| value.ok_or_else(|| reason(self.roc_unmeasurable));
        let mut figures = vec![
            Figure::new("auc", "AUC", Scale::Digits(4), Higher, of_roc(self.auc)),
            Figure::new("eer", "EER", Scale::Percent, Lower, of_roc(self.eer)),
        ];
        if self.tar_at_far.is_empty() {
            let none = of_roc(None);
            figures.push(Figure::new("tar_at_far", "TAR at FAR", Scale::Percent, Higher, none));
        }
        for GridTarAtFar { at, .. } in &self.tar_at_far {
            let few = || too_few(self.impostor, "impostor pairs", at.impostors_needed);
            let measured = at.measured.map(|point| point.tar).ok_or_else(few);
            let (key, label) = (format!("tar_at_far_{:e}", at.target), format!("TAR at FAR {:e}", at.target));
            let figure = Figure::new(key, label, Scale::Percent, Higher, measured);
            figures.push(figure.note(at.measured.map_or_else(String::new, |point| {
                format!(", FAR {:.2e}, threshold {:.4}", point.far, point.threshold)
            })));
        }
        let (genuine, impostor) = (thousands(self.genuine), thousands(self.impostor));
        let (images, identities) = (thousands(self.images), thousands(self.identities));
        let mut facts = vec![
            Fact::new("pairs", format!("all: {genuine} genuine, {impostor} impostor")),
            Fact::new("images", format!("{images} of {identities} people")),
        ];
        facts.extend(equal_scores(self.equal_scores));
        facts.extend(provenance_facts(&self.provenance));
        let shared =
            "Pairs of one set share people, so there are no intervals: by pairs they would be too narrow.";
        let remarks = [Some(shared), self.equal_scores.then_some(EQUAL_SCORES)];
        ResultSheet {
            protocol: self.provenance.protocol.clone(),
            headlines: vec![("auc", "AUC")],
            sections: vec![ResultSection { figures, facts, ..ResultSection::default() }],
            remarks: remarks.into_iter().flatten().map(str::to_owned).collect(),
            scores: Some(ScoreDistribution {
                range: (-1.0, 1.0),
                genuine: self.histogram.genuine.clone(),
                impostor: self.histogram.impostor.clone(),
            }),
            ..ResultSheet::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::{
        ScoredPair, Scores,
        text::{provenance, survives_json},
    };

    /// `n` embeddings of `people` people around directions of their own.
    fn faces(n: usize, people: usize, dim: usize, spread: f32) -> (UnitEmbeddings, Vec<usize>) {
        let of: Vec<usize> = (0..n).map(|i| i % people).collect();
        let direction = |person: usize| {
            let mut stream = Stream::new(1, Purpose::Bootstrap, 1, person as u64);
            (0..dim).map(|_| stream.normal()).collect::<Vec<_>>()
        };
        let mut noise = Stream::new(1, Purpose::Bootstrap, 0, 0);
        let numbers = of.iter().flat_map(|&person| {
            direction(person).into_iter().map(|x| x + spread * noise.normal()).collect::<Vec<_>>()
        });
        (UnitEmbeddings::new(numbers.collect(), dim).unwrap(), of)
    }

    fn cosine(a: &UnitEmbeddings, i: usize, b: &UnitEmbeddings, j: usize) -> f64 {
        a.rows(i, i + 1).iter().zip(b.rows(j, j + 1)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    /// The exact curve of the same pairs, scored in f64.
    fn exact(embeddings: &UnitEmbeddings, of: &[usize]) -> Roc {
        let pairs = (0..of.len()).flat_map(|i| (i + 1..of.len()).map(move |j| (i, j)));
        let scored = pairs.map(|(i, j)| ScoredPair {
            score: cosine(embeddings, i, embeddings, j).clamp(-1.0, 1.0),
            same: of[i] == of[j],
            fold: 0,
        });
        Roc::new(&Scores::new(scored.collect()).unwrap()).unwrap()
    }

    #[test]
    fn brute_force_agrees_within_the_resolution() {
        // Several blocks, the last of them short.
        for (n, people, dim, spread) in [(1100, 90, 24, 0.8), (513, 7, 3, 0.3), (40, 4, 130, 1.0)] {
            let (embeddings, of) = faces(n, people, dim, spread);
            let counts = ScoreCounts::all_pairs(LabelledUnitEmbeddings::new(&embeddings, &of).unwrap());
            let (exact, grid) = (exact(&embeddings, &of), counts.roc().unwrap());
            assert_eq!((counts.genuine(), counts.impostor()), (exact.genuine(), exact.impostor()));
            // What the exact curve accepts at a threshold.
            let accepts = |threshold: f64| {
                let end = exact.points().partition_point(|point| point.threshold >= threshold);
                let point = exact.points()[end.max(1) - 1];
                (point.true_accepts, point.false_accepts)
            };
            // f32 products of unit vectors of this length are this good.
            let rounding = 5e-7;
            for point in grid.points().iter().step_by(97) {
                let (least, most) =
                    (accepts(point.threshold + rounding), accepts(point.threshold - rounding));
                assert!(least.0 <= point.true_accepts && point.true_accepts <= most.0, "{point:?}");
                assert!(least.1 <= point.false_accepts && point.false_accepts <= most.1, "{point:?}");
            }
            let (auc, error) = (grid.auc(), grid.auc_error());
            assert!((auc - exact.auc()).abs() < error + 1e-6, "{auc} {}", exact.auc());
            assert!((grid.eer() - exact.eer()).abs() < 1e-3);
            for target in [1e-1, 1e-2, 1e-3, 1e-4] {
                let (grid, exact) = (GridTarAtFar::of(&grid, target), exact.tar_at_far(target));
                assert_eq!(grid.at.impostors_needed, exact.impostors_needed);
                assert_eq!(grid.at.measured.is_some(), exact.measured.is_some());
                let (Some(on_grid), Some(exact)) = (grid.at.measured, exact.measured) else { continue };
                assert!(on_grid.far <= target);
                let slack = 2.0 / counts.genuine() as f64;
                assert!(on_grid.tar <= exact.tar + slack, "{on_grid:?} {exact:?}");
                assert!(exact.tar <= grid.tar_at_most.unwrap() + slack, "{grid:?} {exact:?}");
            }
        }
    }

    #[test]
    fn ties_and_ends_are_exact() {
        // Directions whose products are exact in f32: 0, 1/2, −1/2, 1 and −1.
        let rows =
            [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, -1.0, -1.0], [2.0, 0.0, 0.0, 0.0]];
        let of = [0, 1, 0, 1, 2, 0];
        let numbers = [0, 1, 2, 3, 0, 0].iter().flat_map(|&i: &usize| rows[i]);
        let embeddings = UnitEmbeddings::new(numbers.collect(), 4).unwrap();
        let labelled = LabelledUnitEmbeddings::new(&embeddings, &of).unwrap();
        let counts = ScoreCounts::all_pairs(labelled);
        let (grid, exact) = (counts.roc().unwrap(), exact(&embeddings, &of));
        assert_eq!(grid.points()[1..], exact.points()[1..]);
        assert_eq!((grid.auc(), grid.eer()), (exact.auc(), exact.eer()));
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (embeddings, of) = faces(1500, 100, 64, 0.8);
        let labelled = LabelledUnitEmbeddings::new(&embeddings, &of).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ScoreCounts::all_pairs(labelled))
        };
        let one = with(1);
        assert!(one == with(2) && one == with(5));
    }

    #[test]
    fn results_survive_json_and_say_what_was_measured() {
        let (embeddings, of) = faces(300, 30, 16, 0.5);
        let labelled = LabelledUnitEmbeddings::new(&embeddings, &of).unwrap();
        let counts = ScoreCounts::all_pairs(labelled);
        let result = AllPairsResult::measure(&counts, labelled, provenance("all pairs"));
        survives_json(&result);
        let table = result.sheet().to_text();
        assert!(table.starts_with("all pairs\nAUC "), "{table}");
        assert!(table.contains("  all: 1,350 genuine, 43,500 impostor\n"), "{table}");
        assert!(table.contains("not measurable: 43,500 impostor pairs, it takes 100,000\n"), "{table}");
        assert!(!result.equal_scores && !table.contains("All scores are equal"), "{table}");
        let equal = UnitEmbeddings::new([0.3, -0.7, 1.1].repeat(300), 3).unwrap();
        let collapsed = LabelledUnitEmbeddings::new(&equal, &of).unwrap();
        let counts = ScoreCounts::all_pairs(collapsed);
        let said = AllPairsResult::measure(&counts, collapsed, provenance("collapsed")).sheet();
        let line = "All scores are equal: the model tells nobody apart, as one that has collapsed.";
        assert!(
            said.to_text().contains(line) && said.remarks.iter().any(|remark| remark == line),
            "{said:?}"
        );
        let one = vec![0; 300];
        let same = LabelledUnitEmbeddings::new(&embeddings, &one).unwrap();
        let result = AllPairsResult::measure(&ScoreCounts::all_pairs(same), same, provenance("one"));
        assert!(result.sheet().to_text().contains("  not measurable: only genuine pairs\n"));
    }
}
