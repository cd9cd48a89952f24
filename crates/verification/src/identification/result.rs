//! What a search says about a model, with every switch that changes the numbers.

use std::collections::HashMap;

use facegrad_random::{Purpose, Stream};
use facegrad_results::{
    Better, CurveKind, Fact, Figure, Interval, ResultCurve, ResultSection, ResultSheet, Scale,
    numbers::{percent, thousands, too_few},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{IdentityScore, LostProbes, Mate, Search};
use crate::{
    LostImages, Missing, Provenance, Similarity,
    roc::needed,
    text::{EQUAL_SCORES, equal_scores, provenance_facts},
    wilson,
};

/// The ranks of the headline.
const RANKS: [usize; 3] = [1, 5, 20];

/// The highest rank of the curve.
const CMC_RANKS: usize = 100;

/// The false-positive identification rates at which a false-negative rate is asked for.
const FPIR_TARGETS: [f64; 3] = [1e-1, 1e-2, 1e-3];

pub(super) const LOST_PROBES: &str =
    "not measurable: more non-mated probes than that are of lost images and count as false alarms";

const NO_MATES: &str = "not measurable: no probe has its person in the gallery";

/// A share of probes, with 95 % intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The share, from 0 to 1.
    pub value: f64,
    /// The interval of Wilson, which takes probes as independent.
    pub wilson: Interval,
    /// The interval over people: probes of one person go together. Absent without resampling.
    pub bootstrap: Option<Interval>,
}

/// The share of mated probes whose person is among the highest scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankRate {
    /// How many of the highest scores.
    pub rank: usize,
    /// The share; absent if the gallery has no more people than that, so that no probe could miss.
    pub measured: Option<Rate>,
}

/// The closed set: mated probes only, no threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClosedSet {
    /// The identification rates at ranks 1, 5 and 20.
    pub ranks: Vec<RankRate>,
    /// The cumulative match characteristic from rank 1, up to rank 100 or the people of the gallery.
    pub cmc: Vec<f64>,
    /// The mean over mated probes of the average precision of their gallery images.
    pub mean_average_precision: f64,
    /// The 95 % interval of the mean average precision over people. Absent without resampling.
    pub mean_average_precision_bootstrap: Option<Interval>,
}

/// The false-negative identification rate at a false-positive identification rate not above a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FnirAtFpir {
    /// The false-positive identification rate not to exceed.
    pub target: f64,
    /// How many non-mated probes it takes to measure at this target: 10 / `target`.
    pub nonmated_needed: usize,
    /// The operating point; absent if there are fewer non-mated probes than that, or no mated probes.
    pub measured: Option<OpenSetPoint>,
}

/// A threshold and its error rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OpenSetPoint {
    /// Scores that reach it are answers; the lowest one with an allowed rate.
    pub threshold: f64,
    /// The share of non-mated probes whose highest score reaches the threshold.
    pub fpir: f64,
    /// The share of mated probes that are not of rank 1 with a score that reaches the threshold: one minus the
    /// detection and identification rate (DIR) at rank 1.
    pub fnir: Rate,
    /// The share of mated probes whose own score does not reach the threshold, at any rank: what NIST reports
    /// in identification mode.
    pub fnir_any_rank: Rate,
}

/// Resampling of people for intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityBootstrap {
    /// How often the people on the probes are drawn anew, with replacement.
    pub rounds: usize,
    /// The seed of the draws.
    pub seed: u64,
}

/// What identification measured.
///
/// Ties count against the system: an identity with the score of the mate ranks before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdentificationResult {
    /// Protocol, data, model and switches; `pairs_sha256` is of the lists of gallery and probes.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The score of an identity with several images in the gallery.
    pub identity_score: IdentityScore,
    /// The number of images in the gallery.
    pub gallery_images: usize,
    /// The number of people in the gallery.
    pub gallery_identities: usize,
    /// The number of probes whose person is in the gallery, with those that are lost and count as errors.
    pub mated_probes: usize,
    /// The number of probes whose person is not, in the same way.
    pub nonmated_probes: usize,
    /// The images that are not there or cannot be read, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostFaces>,
    /// The number of people on the probes.
    pub probe_identities: usize,
    /// How intervals over people were drawn.
    pub bootstrap: Option<IdentityBootstrap>,
    /// CMC and mean average precision; absent without mated probes.
    pub closed_set: Option<ClosedSet>,
    /// The false-negative rates at false-positive rates of 1e-1, 1e-2 and 1e-3.
    pub open_set: Vec<FnirAtFpir>,
    /// Whether all scores are equal, so that nobody is told apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equal_scores: bool,
}

/// What the lost images of gallery and probes did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostFaces {
    /// Which images, and what became of the probes.
    #[serde(flatten)]
    pub of: LostImages,
    /// The number of images of the gallery that are lost: nobody is found by them.
    pub gallery: usize,
    /// The number of mated probes that are lost, or whose person has lost all images of the gallery.
    pub mated: usize,
    /// The number of non-mated probes that are lost.
    pub nonmated: usize,
    /// The share of mated probes that find their person first, without the lost ones.
    pub rank_1_of_rest: Option<f64>,
    /// The same where lost probes find nobody.
    pub rank_1_with_errors: Option<f64>,
}

impl LostFaces {
    /// What became of `lost` probes, beside the others of `search`, and of `gallery` images.
    pub fn new(of: LostImages, gallery: usize, search: &Search, lost: &LostProbes) -> Self {
        let with = |lost: LostProbes| search.clone().with_errors(lost).rank_1();
        Self {
            of,
            gallery,
            mated: lost.mated.len(),
            nonmated: lost.nonmated.len(),
            rank_1_of_rest: with(LostProbes::default()),
            rank_1_with_errors: with(lost.clone()),
        }
    }

    /// What became of them, in words.
    pub fn describe(&self) -> String {
        let [gallery, mated, nonmated] = [self.gallery, self.mated, self.nonmated].map(thousands);
        format!(
            "{gallery} images of the gallery; {mated} mated, {nonmated} non-mated, {}",
            self.of.describe()
        )
    }
}

impl IdentificationResult {
    /// Measures everything that the search supports. The score of the provenance becomes the cosine.
    pub fn measure(search: &Search, bootstrap: Option<IdentityBootstrap>, provenance: Provenance) -> Self {
        let probes = Probes::new(search);
        let rounds: Vec<Rates> = bootstrap.map_or_else(Vec::new, |bootstrap| {
            (0..bootstrap.rounds)
                .into_par_iter()
                .map(|round| probes.rates(&probes.draw(bootstrap.seed, round), &FPIR_TARGETS))
                .collect()
        });
        let rates = probes.rates(&vec![1; probes.identities], &FPIR_TARGETS);
        let closed_set = rates.mean_average_precision.map(|mean_average_precision| ClosedSet {
            ranks: RANKS
                .iter()
                .enumerate()
                .map(|(i, &rank)| {
                    let can_miss = search.gallery_identities > rank;
                    RankRate {
                        rank,
                        measured: rates.share(&rounds, &|rates| rates.within[i]).filter(|_| can_miss),
                    }
                })
                .collect(),
            cmc: probes.cmc(search.gallery_identities.min(CMC_RANKS)),
            mean_average_precision,
            mean_average_precision_bootstrap: percentiles(
                rounds.iter().filter_map(|rates| rates.mean_average_precision),
            ),
        });
        let targets = FPIR_TARGETS.iter().enumerate();
        let open_set = targets.map(|(i, &target)| rates.fnir_at_fpir(&rounds, i, target));
        Self {
            provenance: Provenance { score: Similarity::Cosine, ..provenance },
            identity_score: search.rule,
            gallery_images: search.gallery_images,
            gallery_identities: search.gallery_identities,
            mated_probes: rates.mated,
            nonmated_probes: rates.nonmated,
            lost: None,
            probe_identities: probes.identities,
            bootstrap: bootstrap.filter(|bootstrap| bootstrap.rounds > 0),
            closed_set,
            open_set: open_set.collect(),
            equal_scores: search.are_equal(),
        }
    }

    /// The same, with what lost images did, if there are any.
    pub fn with_lost(self, lost: Option<LostFaces>) -> Self {
        Self { lost, ..self }
    }

    /// The result as lists of figures, the CMC and facts.
    pub fn sheet(&self) -> ResultSheet {
        use Better::{Higher, Lower};
        let closed = self.closed_set.as_ref();
        let mut figures = Vec::new();
        if closed.is_none() {
            figures.push(Figure::new("rank_1", "closed set", Scale::Percent, Higher, Err(NO_MATES.into())));
        }
        for RankRate { rank, measured } in closed.iter().flat_map(|closed| &closed.ranks) {
            let (key, label) = (format!("rank_{rank}"), format!("rank {rank}"));
            let few = || too_few(self.gallery_identities, "people in the gallery", rank + 1);
            figures.push(rate_figure(key, label, Higher, measured.as_ref().ok_or_else(few)));
        }
        if let Some(lost) = &self.lost {
            // The other number: which of the two is the rate depends on what was asked for.
            let (key, label, other) = match lost.of.missing {
                Missing::Wrong => ("rank_1_of_rest", "rank 1 without lost probes", lost.rank_1_of_rest),
                _ => ("rank_1_with_errors", "rank 1 with lost probes as errors", lost.rank_1_with_errors),
            };
            figures.push(Figure::new(
                key,
                label,
                Scale::Percent,
                Higher,
                other.ok_or_else(|| NO_MATES.into()),
            ));
        }
        if let Some(closed) = closed {
            let mean = Ok(closed.mean_average_precision);
            let figure = Figure::new("mean_average_precision", "mAP", Scale::Percent, Higher, mean);
            figures.push(figure.by_people(closed.mean_average_precision_bootstrap));
        }
        for at in &self.open_set {
            let (key, label) =
                (format!("fnir_at_fpir_{:e}", at.target), format!("FNIR at FPIR {} %", at.target * 100.0));
            let measured =
                at.measured.as_ref().map(|point| &point.fnir).ok_or_else(|| match self.mated_probes {
                    0 => NO_MATES.into(),
                    _ if self.nonmated_probes >= at.nonmated_needed => LOST_PROBES.into(),
                    _ => too_few(self.nonmated_probes, "non-mated probes", at.nonmated_needed),
                });
            let note = at.measured.as_ref().map_or_else(String::new, |point| {
                format!(
                    "; at any rank {}; FPIR {}, threshold {:.4}",
                    percent(point.fnir_any_rank.value),
                    percent(point.fpir),
                    point.threshold
                )
            });
            figures.push(rate_figure(key, label, Lower, measured).note(note));
        }
        let mut facts = vec![
            Fact::new(
                "gallery",
                format!(
                    "{} images of {} people, score of a person: {}",
                    thousands(self.gallery_images),
                    thousands(self.gallery_identities),
                    self.identity_score
                ),
            ),
            Fact::new(
                "probes",
                format!(
                    "{} mated, {} non-mated, of {} people",
                    thousands(self.mated_probes),
                    thousands(self.nonmated_probes),
                    thousands(self.probe_identities)
                ),
            ),
        ];
        facts.extend(self.lost.iter().map(|lost| Fact::new("lost", lost.describe())));
        facts.extend(self.bootstrap.map(|IdentityBootstrap { rounds, seed }| {
            Fact::new("resampling", format!("{} draws of people, seed {seed}", thousands(rounds)))
        }));
        facts.extend(equal_scores(self.equal_scores));
        facts.extend(provenance_facts(&self.provenance));
        let lost = self.lost.iter().map(|lost| format!("Lost: {}.", lost.describe()));
        let remarks = lost.chain(self.equal_scores.then(|| EQUAL_SCORES.to_owned())).collect();
        let cmc = closed.filter(|closed| !closed.cmc.is_empty()).map(|closed| ResultCurve {
            kind: CurveKind::Cmc,
            points: closed.cmc.iter().enumerate().map(|(i, share)| (i as f64 + 1.0, *share)).collect(),
            support: 0,
        });
        ResultSheet {
            protocol: self.provenance.protocol.clone(),
            headlines: vec![("rank_1", "rank-1 rate")],
            sections: vec![ResultSection { figures, facts, ..ResultSection::default() }],
            remarks,
            curves: cmc.into_iter().collect(),
            ..ResultSheet::default()
        }
    }
}

fn rate_figure(key: String, label: String, better: Better, measured: Result<&Rate, String>) -> Figure {
    let rate = measured.as_ref().ok().copied();
    Figure::new(key, label, Scale::Percent, better, measured.map(|rate| rate.value))
        .by_pairs(rate.map(|rate| rate.wilson))
        .by_people(rate.and_then(|rate| rate.bootstrap))
}

/// The detection and identification rate at rank 1 where the false-positive identification rate is not above
/// `target`, with the rates and intervals of the point.
pub(super) fn fnir_at_fpir(search: &Search, target: f64) -> FnirAtFpir {
    let probes = Probes::new(search);
    probes.rates(&vec![1; probes.identities], &[target]).fnir_at_fpir(&[], 0, target)
}

/// Probes by class, with their people numbered from 0.
struct Probes {
    mated: Vec<(usize, Mate)>,
    /// Highest scores first.
    nonmated: Vec<(usize, f32)>,
    identities: usize,
}

/// Rates of probes, each counted as often as its person was drawn.
struct Rates {
    mated: usize,
    nonmated: usize,
    /// At each of [`RANKS`]; absent without mated probes, like the mean average precision.
    within: [Option<f64>; RANKS.len()],
    mean_average_precision: Option<f64>,
    /// At each target; absent without probes of both classes.
    open: Vec<Option<Open>>,
}

impl Rates {
    /// A rate of mated probes, with the interval over the rates of resampling `rounds`.
    fn share(&self, rounds: &[Self], of: &dyn Fn(&Self) -> Option<f64>) -> Option<Rate> {
        of(self).map(|value| Rate {
            value,
            wilson: wilson((value * self.mated as f64).round() as usize, self.mated),
            bootstrap: percentiles(rounds.iter().filter_map(of)),
        })
    }

    /// The rates at target `i`, which is `target`.
    fn fnir_at_fpir(&self, rounds: &[Self], i: usize, target: f64) -> FnirAtFpir {
        let nonmated_needed = needed(target);
        let open = self.open[i].filter(|_| self.nonmated >= nonmated_needed);
        let measured = open.and_then(|open| {
            Some(OpenSetPoint {
                threshold: open.threshold.into(),
                fpir: open.fpir,
                fnir: self.share(rounds, &|rates| rates.open[i].map(|open| open.fnir))?,
                fnir_any_rank: self.share(rounds, &|rates| rates.open[i].map(|open| open.fnir_any_rank))?,
            })
        });
        FnirAtFpir { target, nonmated_needed, measured }
    }
}

#[derive(Clone, Copy)]
struct Open {
    threshold: f32,
    fpir: f64,
    fnir: f64,
    fnir_any_rank: f64,
}

impl Probes {
    fn new(search: &Search) -> Self {
        let mut numbers = HashMap::new();
        let mut number = |identity| {
            let next = numbers.len();
            *numbers.entry(identity).or_insert(next)
        };
        let (mut mated, mut nonmated) = (Vec::new(), Vec::new());
        for found in &search.probes {
            let number = number(found.identity);
            match found.mate {
                Some(mate) => mated.push((number, mate)),
                None => nonmated.push((number, found.top_score)),
            }
        }
        // At no rank and below every threshold; above every threshold.
        let nobody = Mate { score: f32::NEG_INFINITY, rank: usize::MAX, average_precision: 0.0 };
        mated.extend(search.lost.mated.iter().map(|&person| (number(person), nobody)));
        nonmated.extend(search.lost.nonmated.iter().map(|&person| (number(person), f32::INFINITY)));
        nonmated.sort_by(|a, b| b.1.total_cmp(&a.1));
        Self { mated, nonmated, identities: numbers.len() }
    }

    /// How often each person is drawn in a round.
    fn draw(&self, seed: u64, round: usize) -> Vec<usize> {
        // The first index keeps these draws apart from those of pairs.
        let mut stream = Stream::new(seed, Purpose::Bootstrap, 1, round as u64);
        let mut times = vec![0; self.identities];
        (0..self.identities).for_each(|_| times[stream.below(self.identities)] += 1);
        times
    }

    fn rates(&self, times: &[usize], targets: &[f64]) -> Rates {
        let sum = |wanted: &dyn Fn(&Mate) -> bool| -> usize {
            self.mated.iter().filter(|(_, mate)| wanted(mate)).map(|(person, _)| times[*person]).sum()
        };
        let mated = sum(&|_| true);
        let nonmated: usize = self.nonmated.iter().map(|(person, _)| times[*person]).sum();
        let of_mated = |count: usize| (mated > 0).then(|| count as f64 / mated as f64);
        let precision =
            self.mated.iter().map(|(person, mate)| times[*person] as f64 * mate.average_precision);
        let open = targets.iter().map(|&target| {
            let (threshold, false_positives) = self.threshold(times, nonmated, target)?;
            let missed = |wanted: &dyn Fn(&Mate) -> bool| of_mated(mated - sum(wanted));
            Some(Open {
                threshold,
                fpir: false_positives as f64 / nonmated as f64,
                fnir: missed(&|mate| mate.rank == 1 && mate.score >= threshold)?,
                fnir_any_rank: missed(&|mate| mate.score >= threshold)?,
            })
        });
        Rates {
            mated,
            nonmated,
            within: RANKS.map(|rank| of_mated(sum(&|mate| mate.rank <= rank))),
            mean_average_precision: (mated > 0).then(|| precision.sum::<f64>() / mated as f64),
            open: open.collect(),
        }
    }

    /// The lowest threshold that not more than this share of non-mated probes reach, and how many reach it; nothing where
    /// more are false alarms at every threshold.
    fn threshold(&self, times: &[usize], nonmated: usize, target: f64) -> Option<(f32, usize)> {
        let mut reached = 0;
        for tied in self.nonmated.chunk_by(|a, b| a.1 == b.1) {
            let more: usize = tied.iter().map(|(person, _)| times[*person]).sum();
            if (reached + more) as f64 / nonmated as f64 > target {
                return tied[0].1.is_finite().then(|| (tied[0].1.next_up(), reached));
            }
            reached += more;
        }
        None
    }

    /// The share of mated probes at each rank or a lower one, from rank 1 to `ranks`.
    fn cmc(&self, ranks: usize) -> Vec<f64> {
        let mut at = vec![0_usize; ranks];
        let ranks = self.mated.iter().filter_map(|(_, mate)| mate.rank.checked_sub(1));
        ranks.for_each(|rank| at.get_mut(rank).into_iter().for_each(|count| *count += 1));
        let cumulative = at.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum as f64 / self.mated.len() as f64)
        });
        cumulative.collect()
    }
}

/// The 95 % interval of resampled values: their 2.5 % and 97.5 % points, rounded outwards.
fn percentiles(values: impl Iterator<Item = f64>) -> Option<Interval> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let low = (0.025 * last as f64).floor() as usize;
    Some(Interval { low: values[low], high: values[last - low] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LabelledUnitEmbeddings, ProbeMatch, UnitEmbeddings,
        text::{provenance, survives_json},
    };

    /// `gallery` and `probes` are angles in degrees and identities.
    fn search(gallery: &[(f32, usize)], probes: &[(f32, usize)]) -> Search {
        let [gallery, probes] = [gallery, probes].map(|set| {
            let numbers = set.iter().flat_map(|(angle, _)| {
                let (sin, cos) = angle.to_radians().sin_cos();
                [cos, sin]
            });
            let identities: Vec<usize> = set.iter().map(|(_, identity)| *identity).collect();
            (UnitEmbeddings::new(numbers.collect(), 2).unwrap(), identities)
        });
        let [gallery, probes] =
            [&gallery, &probes].map(|(rows, of)| LabelledUnitEmbeddings::new(rows, of).unwrap());
        Search::new(gallery, probes, IdentityScore::Max).unwrap()
    }

    #[test]
    fn by_hand() {
        let gallery: Vec<(f32, usize)> = (0..30).map(|i| (6.0 * i as f32, i)).collect();
        // Three of four at rank 1, the last at rank 3: its neighbours are at 6, 0 and 12 degrees.
        let mut probes = vec![(0.5, 0), (7.0, 1), (13.0, 2), (5.0, 2)];
        // A hundred strangers whose nearest identity is 3 degrees away or less.
        probes.extend((0..100).map(|i| (60.0 + 0.03 * i as f32, 1000 + i)));
        let result = IdentificationResult::measure(
            &search(&gallery, &probes),
            Some(IdentityBootstrap { rounds: 200, seed: 1 }),
            provenance("closed and open"),
        );
        let closed = result.closed_set.clone().unwrap();
        assert_eq!(closed.ranks[0].measured.unwrap().value, 0.75);
        assert_eq!(closed.ranks[0].measured.unwrap().wilson, wilson(3, 4));
        assert_eq!(closed.ranks[1].measured.unwrap().value, 1.0);
        assert_eq!((closed.cmc.len(), &closed.cmc[..4]), (30, &[0.75, 0.75, 1.0, 1.0][..]));
        // One image each: the average precision is one over the rank.
        assert!((closed.mean_average_precision - (3.0 + 1.0 / 3.0) / 4.0).abs() < 1e-15);
        let point = result.open_set[0].measured.unwrap();
        // Ten strangers lie within 0.285 degrees of an identity: 60 to 60.27.
        assert_eq!(point.fpir, 0.1);
        let at = point.threshold.acos().to_degrees();
        assert!((0.27..0.31).contains(&at), "{at}");
        // No probe lies that near its own.
        assert_eq!((point.fnir.value, point.fnir_any_rank.value), (1.0, 1.0));
        assert_eq!(result.open_set[1].measured, None);
        assert_eq!((result.mated_probes, result.nonmated_probes, result.probe_identities), (4, 100, 103));
        survives_json(&result);
        let table = result.sheet().to_text();
        assert!(
            table.starts_with("closed and open\nrank 1              75.00 % (95 %: 30.06 to 95.44; over"),
            "{table}"
        );
        assert!(
            table.contains("\nFNIR at FPIR 1 %    not measurable: 100 non-mated probes, it takes 1,000\n"),
            "{table}"
        );
        assert!(
            table.contains("\ngallery             30 images of 30 people, score of a person: max\n"),
            "{table}"
        );
    }

    #[test]
    fn scikit_learn_agrees() {
        // reference/identification.py wrote the data and what numpy and scikit-learn make of it.
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../reference/identification.json")).unwrap();
        let numbers = |key: &str| -> Vec<f64> {
            reference[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let set = |rows: &str, of: &str| {
            let rows = numbers(rows).into_iter().map(|x| x as f32).collect();
            let of: Vec<usize> = numbers(of).into_iter().map(|x| x as usize).collect();
            (UnitEmbeddings::new(rows, 8).unwrap(), of)
        };
        assert_eq!(reference["dim"], 8);
        let [gallery, probes] = [set("gallery", "gallery_of"), set("probes", "probes_of")];
        let [gallery, probes] =
            [&gallery, &probes].map(|(rows, of)| LabelledUnitEmbeddings::new(rows, of).unwrap());
        let search = Search::new(gallery, probes, IdentityScore::Max).unwrap();
        let result = IdentificationResult::measure(&search, None, provenance("reference"));
        let closed = result.closed_set.unwrap();
        let near = |got: &[f64], expected: &[f64]| {
            assert_eq!(got.len(), expected.len());
            got.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
        };
        near(&closed.cmc, &numbers("cmc"));
        let precision = search.probes.iter().filter_map(|found| Some(found.mate?.average_precision));
        near(&precision.collect::<Vec<_>>(), &numbers("average_precision"));
        near(&[closed.mean_average_precision], &[reference["mean_average_precision"].as_f64().unwrap()]);
        for (expected, got) in reference["open_set"].as_array().unwrap().iter().zip(result.open_set) {
            let point = got.measured.unwrap();
            let got = [got.target, point.fpir, point.fnir.value, point.fnir_any_rank.value];
            near(
                &got,
                &["target", "fpir", "fnir", "fnir_any_rank"].map(|key| expected[key].as_f64().unwrap()),
            );
        }
    }

    #[test]
    fn rank_1_and_any_rank_differ_where_another_scores_higher() {
        let gallery = [(0.0, 0), (90.0, 1)];
        // Mated: at home; nearer to the other, but near enough to its own.
        let mut probes = vec![(1.0, 0), (46.0, 0)];
        probes.extend((0..100).map(|i| (-60.0 - 0.1 * i as f32, 7)));
        let point = search(&gallery, &probes);
        let point = fnir_at_fpir(&point, 0.1).measured.unwrap();
        assert_eq!((point.fnir.value, point.fnir_any_rank.value, point.fpir), (0.5, 0.0, 0.1));
    }

    #[test]
    fn a_tie_that_would_carry_the_rate_over_the_target_is_left_out() {
        let gallery = [(0.0, 0), (90.0, 1)];
        let mut probes = vec![(0.0, 0), (60.0, 1)];
        probes.extend((0..100).map(|i| (if i < 20 { 45.0 } else { 200.0 }, 7)));
        let at = fnir_at_fpir(&search(&gallery, &probes), 0.1).measured.unwrap();
        assert_eq!((at.fpir, at.fnir.value), (0.0, 0.0));
        assert!(at.threshold > 0.5_f64.sqrt() - 1e-7 && at.threshold < 0.71);
        // One probe fewer than ten false positives take.
        assert_eq!(fnir_at_fpir(&search(&gallery, &probes[..101]), 0.1).measured, None);
    }

    #[test]
    fn brute_force_thresholds_agree() {
        let mut stream = Stream::new(3, Purpose::Bootstrap, 0, 0);
        let gallery: Vec<(f32, usize)> = (0..40).map(|i| (stream.range(0.0, 360.0), i / 2)).collect();
        let probes: Vec<(f32, usize)> =
            (0..600).map(|_| (stream.range(0.0, 360.0).round(), stream.below(60))).collect();
        let search = search(&gallery, &probes);
        let (mated, non): (Vec<&ProbeMatch>, Vec<&ProbeMatch>) =
            search.probes.iter().partition(|f| f.mate.is_some());
        for target in [0.05, 0.1, 0.3] {
            let got = fnir_at_fpir(&search, target).measured.unwrap();
            let rates = |t: f64| {
                let fpir =
                    non.iter().filter(|f| f64::from(f.top_score) >= t).count() as f64 / non.len() as f64;
                let hit = |f: &&&ProbeMatch| f.mate.is_some_and(|m| m.rank == 1 && f64::from(m.score) >= t);
                (fpir, 1.0 - mated.iter().filter(hit).count() as f64 / mated.len() as f64)
            };
            let scores = search.probes.iter().flat_map(|f| [Some(f.top_score), f.mate.map(|m| m.score)]);
            let best = scores.flatten().map(|t| rates(t.into())).filter(|(fpir, _)| *fpir <= target);
            let best = best.map(|(_, fnir)| fnir).fold(1.0, f64::min);
            assert!((got.fnir.value - best).abs() < 1e-12, "{got:?} {best}");
            assert!(got.fpir <= target);
        }
    }

    #[test]
    fn intervals_over_people_are_wider_than_over_probes_that_repeat() {
        // Twenty people with fifty equal probes each, half of the people always right.
        let gallery: Vec<(f32, usize)> = (0..20).map(|i| (18.0 * i as f32, i)).collect();
        let probe = |i: usize| (18.0 * (i % 20 + i % 2) as f32 + 1.0, i % 20);
        let probes: Vec<(f32, usize)> = (0..1000).map(probe).collect();
        let search = search(&gallery, &probes);
        let with = |seed| {
            let bootstrap = Some(IdentityBootstrap { rounds: 500, seed });
            IdentificationResult::measure(&search, bootstrap, provenance("people"))
        };
        let rate = with(1).closed_set.unwrap().ranks[0].measured.unwrap();
        let over_people = rate.bootstrap.unwrap();
        assert_eq!(rate.value, 0.5);
        // Deviation √(1/4 / 20) = 0.112; over probes it would be 0.016.
        assert!((over_people.high - over_people.low) > 0.3 && (over_people.high - over_people.low) < 0.6);
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }

    #[test]
    fn what_the_probes_cannot_support_is_absent() {
        let measure = |gallery: &[(f32, usize)], probes: &[(f32, usize)]| {
            let bootstrap = Some(IdentityBootstrap { rounds: 10, seed: 1 });
            IdentificationResult::measure(&search(gallery, probes), bootstrap, provenance("none"))
        };
        let strangers = measure(&[(0.0, 0)], &vec![(1.0, 1); 200]);
        assert_eq!(strangers.closed_set, None);
        assert!(strangers.open_set.iter().all(|at| at.measured.is_none()));
        assert!(
            strangers
                .sheet()
                .to_text()
                .contains("\nclosed set          not measurable: no probe has its person")
        );
        survives_json(&strangers);
        let collapsed = measure(&[(0.0, 0), (0.0, 1)], &[(0.0, 0), (0.0, 1), (0.0, 5)]);
        assert!(collapsed.equal_scores && collapsed.sheet().to_text().contains("All scores are equal: "));
        // In a gallery of one nobody can miss.
        let alone = measure(&[(0.0, 0)], &[(1.0, 0)]);
        assert!(!alone.equal_scores);
        assert!(alone.closed_set.unwrap().ranks.iter().all(|rank| rank.measured.is_none()));
        let empty = measure(&[(0.0, 0)], &[]);
        assert_eq!((empty.closed_set, empty.probe_identities), (None, 0));
    }

    #[test]
    fn lost_probes_are_left_out_or_find_nobody() {
        use crate::RemainingProbes;
        // Person 0 has two images in the gallery and loses one, person 2 loses the only one.
        let gallery = [(0.0, 0), (2.0, 0), (90.0, 1), (180.0, 2)];
        let is_lost = |lost: &[usize], of: usize| (0..of).map(|i| lost.contains(&i)).collect::<Vec<bool>>();
        let mut probes = vec![(1.0, 0), (3.0, 0), (91.0, 1), (179.0, 2), (5.0, 1)];
        probes.extend((0..200).map(|i| (20.0 + 0.1 * i as f32, 7)));
        let people = |of: &[(f32, usize)]| of.iter().map(|(_, person)| *person).collect::<Vec<usize>>();
        let rest = RemainingProbes::of(
            (&people(&gallery), &is_lost(&[0, 3], 4)),
            (&people(&probes), &is_lost(&[1, 10, 11], probes.len())),
        );
        assert_eq!((&rest.gallery[..], &rest.probes[..4]), (&[1, 2][..], &[0, 2, 4, 5][..]));
        assert_eq!(rest.lost, LostProbes { mated: vec![0, 2], nonmated: vec![7, 7] });
        let there = |of: &[(f32, usize)], kept: &[usize]| kept.iter().map(|&i| of[i]).collect::<Vec<_>>();
        let found = search(&there(&gallery, &rest.gallery), &there(&probes, &rest.probes));
        let lost = |missing| {
            let of = LostImages { missing, images: 5, first: "a.jpg: it is not there".into() };
            Some(LostFaces::new(of, 2, &found, &rest.lost))
        };
        let skipped = IdentificationResult::measure(&found, None, provenance("skip"));
        let skipped = skipped.with_lost(lost(Missing::Skip));
        let wrong = found.clone().with_errors(rest.lost.clone());
        let wrong = IdentificationResult::measure(&wrong, None, provenance("wrong"));
        let wrong = wrong.with_lost(lost(Missing::Wrong));
        assert_eq!((skipped.mated_probes, skipped.nonmated_probes), (3, 198));
        assert_eq!((wrong.mated_probes, wrong.nonmated_probes), (5, 200));
        // One probe of person 1 finds person 0.
        let rank_1 = |result: &IdentificationResult| result.sheet().value("rank_1").unwrap();
        assert_eq!((rank_1(&skipped), rank_1(&wrong)), (2.0 / 3.0, 0.4));
        assert_eq!(skipped.sheet().value("rank_1_with_errors"), Some(0.4));
        assert_eq!(wrong.sheet().value("rank_1_of_rest"), Some(2.0 / 3.0));
        assert_eq!(wrong.closed_set.as_ref().unwrap().cmc, [0.4, 0.6]);
        let fpir =
            |result: &IdentificationResult, i: usize| result.open_set[i].measured.map(|point| point.fpir);
        // Two of 200 are false alarms at every threshold: with 18 more a tenth, and never less than a hundredth.
        assert_eq!((fpir(&wrong, 0), fpir(&skipped, 0)), (Some(0.1), Some(19.0 / 198.0)));
        survives_json(&wrong);
        let said = wrong.sheet().to_text();
        let lost = "2 images of the gallery; 2 mated, 2 non-mated, of 5 images that cannot be used, counted as errors at every threshold (first: a.jpg: it is not there)";
        assert!(said.lines().any(|line| line.starts_with("lost ") && line.ends_with(lost)), "{said}");
        let more = LostProbes { mated: vec![], nonmated: vec![7; 40] };
        let more = IdentificationResult::measure(&found.clone().with_errors(more), None, provenance("more"));
        assert!(more.open_set[0].measured.is_none());
        let said = more.sheet().to_text();
        assert!(said.contains(&format!("FNIR at FPIR 10 %   {LOST_PROBES}\n")), "{said}");
    }
}
