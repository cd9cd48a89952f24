//! Intervals that take into account that pairs share people.

use std::{collections::HashMap, fmt};

use facegrad_random::{Purpose, Stream};
use facegrad_results::Interval;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, DETECTION_COSTS, DetectionCost, FAR_TARGETS, LostPair, Pair, PairList, Roc, Scores,
    Unmeasurable, interval::of_resamples,
};

/// The fewest people that are resampled: the spread over fewer says little of the spread over all.
const FEWEST_PEOPLE: usize = 10;

/// Who is on the images of each pair of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    /// The person on either image of a pair, numbered from 0 in the order of the pairs.
    of_pairs: Vec<[u32; 2]>,
    /// The same of the pairs that have no score and count as errors.
    of_lost: Vec<[u32; 2]>,
    count: usize,
    named: bool,
    images: usize,
}

impl People {
    /// The people of `list`, pair by pair.
    pub fn of<I>(list: &PairList<I>) -> Self {
        Self::with_lost(list, &[])
    }

    /// The people of `list`, pair by pair, and those of the pairs that were taken from it and
    /// [count as errors](Scores::with_errors).
    pub fn with_lost<I>(list: &PairList<I>, lost: &[LostPair]) -> Self {
        let mut numbers = HashMap::new();
        let mut number = |person: usize| {
            let next = numbers.len() as u32;
            *numbers.entry(person).or_insert(next)
        };
        let people = |pair: &Pair| [pair.a, pair.b].map(|image| list.people()[image]);
        let of_pairs = list.pairs().iter().map(|pair| people(pair).map(&mut number)).collect();
        let of_lost = lost.iter().map(|pair| pair.people.map(&mut number)).collect();
        let (named, images) = (list.names_people(), list.images().len());
        Self { of_pairs, of_lost, count: numbers.len(), named, images }
    }

    /// The number of people.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the source of the list named them ([`PairList::names_people`]).
    pub fn named(&self) -> bool {
        self.named
    }

    /// The number of distinct images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// How often each person is drawn in a round, in as many draws as there are people.
    fn draw(&self, times: &mut [u32], seed: u64, round: usize) {
        times.fill(0);
        let mut stream = Stream::new(seed, Purpose::Bootstrap, 0, round as u64);
        for _ in 0..self.count {
            times[stream.below(self.count)] += 1;
        }
    }
}

/// How a result is resampled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resampling<'a> {
    /// Who is on the images of each pair, where that is known.
    pub people: Option<&'a People>,
    /// The number of rounds, such as 1,000; with 0 there is no resampling.
    pub rounds: usize,
    /// The seed of the draws.
    pub seed: u64,
}

impl<'a> Resampling<'a> {
    /// The people to resample the pairs of `scores` by.
    pub(crate) fn check(&self, scores: &Scores) -> Result<&'a People, NoBootstrap> {
        let (pairs, lost) = (scores.pairs().len(), scores.lost().len());
        match self.people {
            _ if self.rounds == 0 => Err(NoBootstrap::NotAskedFor),
            None => Err(NoBootstrap::PeopleUnknown),
            Some(people) if (people.of_pairs.len(), people.of_lost.len()) != (pairs, lost) => {
                Err(NoBootstrap::OtherPairs)
            }
            Some(people) if people.count < FEWEST_PEOPLE => Err(NoBootstrap::FewPeople),
            Some(people) => Ok(people),
        }
    }
}

/// Why there are no intervals by people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoBootstrap {
    /// Zero rounds.
    NotAskedFor,
    /// Nobody said who is on the images.
    PeopleUnknown,
    /// The people are those of a list with another number of pairs.
    OtherPairs,
    /// There are fewer than 10 people.
    FewPeople,
    /// All pairs are genuine, or all are impostor pairs.
    OneClass,
    /// Fewer than 40 rounds had pairs of both classes.
    FewRounds,
}

impl fmt::Display for NoBootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotAskedFor => "not asked for",
            Self::PeopleUnknown => "not measurable: who is on the images is not known",
            Self::OtherPairs => "not measurable: the people are those of another list of pairs",
            Self::FewPeople => "not measurable: fewer than 10 people",
            Self::OneClass => "not measurable: all pairs are of one class",
            Self::FewRounds => "not measurable: fewer than 40 rounds with pairs of both classes",
        })
    }
}

/// 95 % intervals from resampling people.
///
/// In each round as many people are drawn, with replacement, as there are. A pair counts as often as both its
/// people were drawn together: the product of their numbers, and for a genuine pair the number of its one
/// person. What all pairs of a person have in common, such as a face that is easily mistaken, thus comes and goes
/// as a whole, which an interval that takes pairs as independent ([`wilson`](crate::wilson)) does not see.
///
/// The interval is cautious: what is peculiar to an impostor pair, and not to one of its people, counts with three
/// times its variance (Owen 2007). A rate of impostor pairs thus gets an interval that is up to √3 times too wide
/// where people matter little or have few pairs each; genuine pairs have no such excess. A percentile interval of
/// few people is a little too narrow, on the other hand: with 40, about 93 % in the tests below.
///
/// The thresholds of the accuracy are those chosen on all pairs, so its interval is that of these decisions. At
/// the best threshold the accuracy does not change to first order, so that choosing again would add little; and
/// thresholds from other pairs (LFW View 1) must stay as they are. The share of either class stays as it is in
/// the list. The thresholds of the true-accept rates, the equal error rate and the detection costs are chosen
/// anew in each round.
///
/// Sources: Snijders and Borgatti, "Non-parametric standard errors and tests for network statistics", 1999 (the
/// vertex bootstrap); Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems: the subsets
/// bootstrap", 2004; Owen, "The pigeonhole bootstrap", 2007; Fogliato, Patil and Perona, "Confidence intervals
/// for error rates in 1:1 matching tasks", 2024, for a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// The number of rounds that gave numbers.
    pub rounds: usize,
    /// The number of rounds left out because they drew no genuine or no impostor pair.
    pub left_out: usize,
    /// The seed of the draws.
    pub seed: u64,
    /// The accuracy, at the thresholds chosen on all pairs.
    pub accuracy: Option<Interval>,
    /// The area under the ROC.
    pub auc: Interval,
    /// The equal error rate.
    pub eer: Interval,
    /// The true-accept rate at each false-accept rate that the pairs support.
    pub tar_at_far: Vec<TarInterval>,
    /// The minimum of each detection cost that the pairs support.
    pub min_dcf: Vec<DcfInterval>,
}

/// The interval of a true-accept rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TarInterval {
    /// The false-accept rate not to exceed.
    pub target: f64,
    /// The interval.
    pub interval: Interval,
}

/// The interval of the minimum of a detection cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DcfInterval {
    /// What errors cost.
    #[serde(flatten)]
    pub at: DetectionCost,
    /// The interval.
    pub interval: Interval,
}

impl Bootstrap {
    /// The intervals of what `scores` support; that of `accuracy` if there is one. They do not depend on the
    /// number of threads.
    ///
    /// # Errors
    /// If the pairs, the people or the rounds do not suffice.
    pub fn new(
        scores: &Scores,
        accuracy: Option<&Accuracy>,
        resampling: &Resampling<'_>,
    ) -> Result<Self, NoBootstrap> {
        let people = resampling.check(scores)?;
        let sample = Sample::new(scores, accuracy, people).map_err(|_| NoBootstrap::OneClass)?;
        let rounds = run(resampling, people, |times| sample.weighted(times));
        let of = |value: &dyn Fn(&Measures) -> f64| {
            of_resamples(rounds.iter().map(value).collect()).ok_or(NoBootstrap::FewRounds)
        };
        let tar = |(i, &target): (usize, &f64)| Ok(TarInterval { target, interval: of(&|m| m.tar[i])? });
        let dcf =
            |(i, &at): (usize, &DetectionCost)| Ok(DcfInterval { at, interval: of(&|m| m.min_dcf[i])? });
        Ok(Self {
            rounds: rounds.len(),
            left_out: resampling.rounds - rounds.len(),
            seed: resampling.seed,
            accuracy: accuracy.map(|_| of(&|m| m.accuracy)).transpose()?,
            auc: of(&|m| m.auc)?,
            eer: of(&|m| m.eer)?,
            tar_at_far: sample.targets.iter().enumerate().map(tar).collect::<Result<_, _>>()?,
            min_dcf: sample.costs.iter().enumerate().map(dcf).collect::<Result<_, _>>()?,
        })
    }

    /// The interval of the true-accept rate at a false-accept rate of `target`.
    pub fn tar(&self, target: f64) -> Option<Interval> {
        self.tar_at_far.iter().find(|at| at.target == target).map(|at| at.interval)
    }

    /// The interval of the minimum of the detection cost `cost`.
    pub fn dcf(&self, cost: DetectionCost) -> Option<Interval> {
        self.min_dcf.iter().find(|entry| entry.at == cost).map(|entry| entry.interval)
    }
}

/// What `measure` says of each round in which it says something; it is told how often each person was drawn.
pub(crate) fn run<T: Send>(
    resampling: &Resampling<'_>,
    people: &People,
    measure: impl Fn(&[u32]) -> Option<T> + Sync,
) -> Vec<T> {
    let rounds: Vec<Option<T>> = (0..resampling.rounds)
        .into_par_iter()
        .map_init(
            || vec![0; people.count],
            |times, round| {
                people.draw(times, resampling.seed, round);
                measure(times)
            },
        )
        .collect();
    rounds.into_iter().flatten().collect()
}

/// Scores in descending order, ready to be measured many times under different weights.
pub(crate) struct Sample {
    pairs: Vec<Ranked>,
    /// Pairs that are decided wrongly at every threshold.
    lost: Vec<Ranked>,
    /// The share of impostor and genuine pairs in the accuracy.
    shares: [f64; 2],
    pub(crate) targets: Vec<f64>,
    costs: Vec<DetectionCost>,
}

struct Ranked {
    people: [u32; 2],
    /// The weight of the pair in the accuracy, which is the mean of those of the folds.
    share: f64,
    same: bool,
    correct: bool,
    /// Whether the next pair has a lower score.
    ends_tie: bool,
}

/// What is measured in each round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measures {
    accuracy: f64,
    pub(crate) auc: f64,
    eer: f64,
    pub(crate) tar: Vec<f64>,
    min_dcf: Vec<f64>,
}

impl Sample {
    /// `scores` with their people; without `accuracy` that of the rounds is of no meaning.
    ///
    /// # Errors
    /// If the pairs are not of both classes.
    pub(crate) fn new(
        scores: &Scores,
        accuracy: Option<&Accuracy>,
        people: &People,
    ) -> Result<Self, Unmeasurable> {
        let roc = Roc::new(scores)?;
        let targets = FAR_TARGETS.into_iter().filter(|&far| roc.tar_at_far(far).measured.is_some());
        let costs = DETECTION_COSTS.into_iter().filter(|&cost| roc.min_dcf(cost).measured.is_some());
        let mut order: Vec<u32> = (0..scores.pairs().len() as u32).collect();
        let score = |&pair: &u32| scores.pairs()[pair as usize].score;
        order.sort_by(|a, b| score(b).total_cmp(&score(a)));

        let decisions = accuracy.map(|accuracy| Decisions::new(scores, accuracy));
        let mut shares = [0.0; 2];
        let ranked = order.iter().enumerate().map(|(rank, &index)| {
            let pair = scores.pairs()[index as usize];
            let (correct, share) = decisions.as_ref().map_or((false, 1.0), |all| all.of(index as usize));
            shares[usize::from(pair.same)] += share;
            let ends_tie = order.get(rank + 1).is_none_or(|next| score(next) != pair.score);
            Ranked { people: people.of_pairs[index as usize], share, same: pair.same, correct, ends_tie }
        });
        let pairs = ranked.collect();
        let lost = scores.lost().iter().zip(&people.of_lost).map(|(pair, &people)| {
            let share = decisions.as_ref().map_or(1.0, |all| all.share(pair.fold));
            shares[usize::from(pair.same)] += share;
            Ranked { people, share, same: pair.same, correct: false, ends_tie: true }
        });
        let lost = lost.collect();
        Ok(Self { pairs, lost, shares, targets: targets.collect(), costs: costs.collect() })
    }

    /// The measures if each pair counts as often as its people; nothing if a class has no weight.
    pub(crate) fn weighted(&self, times: &[u32]) -> Option<Measures> {
        let weight = |pair: &Ranked| {
            let [a, b] = pair.people.map(|person| u64::from(times[person as usize]));
            if pair.people[0] == pair.people[1] { a } else { a * b }
        };
        // By class: impostor, genuine.
        let mut total = [0_u64; 2];
        let (mut share, mut correct) = ([0.0; 2], [0.0; 2]);
        for pair in self.pairs.iter().chain(&self.lost) {
            let (class, weight) = (usize::from(pair.same), weight(pair));
            total[class] += weight;
            share[class] += weight as f64 * pair.share;
            correct[class] += if pair.correct { weight as f64 * pair.share } else { 0.0 };
        }
        if total.contains(&0) {
            return None;
        }
        let accuracy = (0..2).map(|class| self.shares[class] * correct[class] / share[class]).sum();

        let [impostor, genuine] = total.map(|total| total as f64);
        // At the point that rejects every pair that can be.
        let mut accepted = [self.lost.iter().filter(|pair| !pair.same).map(weight).sum::<u64>(), 0];
        let mut before = accepted;
        let mut far_before = accepted[0] as f64 / impostor;
        let mut gap_before = far_before - 1.0;
        let mut twice_area = 0_u128;
        let mut eer = None;
        let mut tars = vec![0.0; self.targets.len()];
        let reject_all = |cost: &DetectionCost| (cost.per_rate(), cost.of(far_before, 1.0));
        let mut costs: Vec<_> = self.costs.iter().map(reject_all).collect();
        for pair in &self.pairs {
            accepted[usize::from(pair.same)] += weight(pair);
            if !pair.ends_tie || accepted == before {
                continue;
            }
            let (far, tar) = (accepted[0] as f64 / impostor, accepted[1] as f64 / genuine);
            twice_area += u128::from(accepted[0] - before[0]) * u128::from(accepted[1] + before[1]);
            let gap = far + tar - 1.0;
            if gap >= 0.0 && eer.is_none() {
                eer = Some(far_before + gap_before / (gap_before - gap) * (far - far_before));
            }
            for (best, target) in tars.iter_mut().zip(&self.targets) {
                *best = if far <= *target { tar } else { *best };
            }
            for ([per_miss, per_false_accept], least) in &mut costs {
                *least = least.min(*per_miss * (1.0 - tar) + *per_false_accept * far);
            }
            (before, far_before, gap_before) = (accepted, far, gap);
        }
        let auc = twice_area as f64 / (2.0 * genuine * impostor);
        let min_dcf = costs.into_iter().map(|(_, least)| least).collect();
        Some(Measures { accuracy, auc, eer: eer?, tar: tars, min_dcf })
    }
}

/// What an accuracy decides on each pair.
pub(crate) struct Decisions<'a> {
    scores: &'a Scores,
    /// The threshold of each fold and the weight of its pairs in the accuracy; of all pairs if there is one.
    folds: HashMap<usize, (f64, f64)>,
    all: Option<(f64, f64)>,
}

impl<'a> Decisions<'a> {
    /// The decisions of `accuracy`, which was measured on `scores`.
    pub(crate) fn new(scores: &'a Scores, accuracy: &Accuracy) -> Self {
        let count = accuracy.folds.len() as f64;
        let of = |fold: &crate::FoldAccuracy| (fold.threshold, 1.0 / (count * fold.pairs as f64));
        let all = match accuracy.folds.as_slice() {
            [one] => Some(of(one)),
            _ => None,
        };
        Self { scores, folds: accuracy.folds.iter().map(|fold| (fold.fold, of(fold))).collect(), all }
    }

    /// Whether pair `index` is decided correctly, and its weight in the accuracy.
    pub(crate) fn of(&self, index: usize) -> (bool, f64) {
        let pair = self.scores.pairs()[index];
        // A fold that the accuracy does not know has no part in it.
        match self.fold(pair.fold) {
            Some((threshold, share)) => ((pair.score >= threshold) == pair.same, share),
            None => (false, 0.0),
        }
    }

    /// The weight of a pair of `fold` in the accuracy.
    fn share(&self, fold: usize) -> f64 {
        self.fold(fold).map_or(0.0, |(_, share)| share)
    }

    fn fold(&self, fold: usize) -> Option<(f64, f64)> {
        self.all.or_else(|| self.folds.get(&fold).copied())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Pair, ScoredPair, interval::FEWEST_ROUNDS, k_fold, same_pairs, wilson};

    /// Genuine pairs of each of `n` people and impostor pairs between them, with what the people add to scores.
    pub(crate) struct Population {
        pub(crate) people: usize,
        pub(crate) genuine_each: usize,
        /// How many people after each it is compared with; `people − 1` and more is everybody.
        pub(crate) neighbours: usize,
        pub(crate) folds: usize,
        pub(crate) genuine_mean: f64,
        /// The deviation that a person adds to the scores of their genuine pairs, and that a pair adds.
        pub(crate) genuine: [f64; 2],
        /// The deviation that a person adds to the scores of their impostor pairs, and that a pair adds.
        pub(crate) impostor: [f64; 2],
    }

    impl Population {
        /// A sample from the population. Image 2p and 2p + 1 are of person p, who is in fold p % folds.
        pub(crate) fn sample(&self, seed: u64) -> (Scores, PairList<usize>) {
            let mut stream = Stream::new(seed, Purpose::Network, 0, 0);
            let mut normal = || f64::from(stream.normal());
            let n = self.people;
            let traits: Vec<[f64; 2]> = (0..n).map(|_| [normal(), normal()]).collect();
            let (mut pairs, mut scores) = (Vec::new(), Vec::new());
            for person in 0..n {
                let fold = person % self.folds;
                for _ in 0..self.genuine_each {
                    pairs.push(Pair { a: 2 * person, b: 2 * person + 1, same: true, fold });
                    let [of_person, of_pair] = self.genuine;
                    scores.push(self.genuine_mean + of_person * traits[person][0] + of_pair * normal());
                }
                for other in person + 1..(person + 1 + self.neighbours).min(n) {
                    pairs.push(Pair { a: 2 * person, b: 2 * other, same: false, fold });
                    let [of_person, of_pair] = self.impostor;
                    scores.push(of_person * (traits[person][1] + traits[other][1]) + of_pair * normal());
                }
            }
            let scored = pairs.iter().zip(&scores);
            let scored = scored.map(|(p, &score)| ScoredPair { score, same: p.same, fold: p.fold });
            let scores = Scores::new(scored.collect()).unwrap();
            (scores, PairList::new((0..2 * n).collect(), pairs, Some((0..2 * n).map(|i| i / 2).collect())))
        }
    }

    fn small(folds: usize) -> Population {
        Population {
            people: 30,
            genuine_each: 6,
            neighbours: 30,
            folds,
            genuine_mean: 2.0,
            genuine: [0.5, 0.8],
            impostor: [0.4, 0.8],
        }
    }

    /// The pairs, each as often as its people were drawn.
    fn replicated(scores: &Scores, list: &PairList<usize>, times: &[u32]) -> Scores {
        let mut pairs = Vec::new();
        for (scored, pair) in scores.pairs().iter().zip(list.pairs()) {
            let [a, b] = [pair.a, pair.b].map(|image| times[list.people()[image]]);
            let copies = if pair.same { a } else { a * b };
            (0..copies).for_each(|_| pairs.push(*scored));
        }
        Scores::new(pairs).unwrap()
    }

    #[test]
    fn weights_are_the_same_as_copies() {
        for seed in 0..8 {
            let (scores, list) = small(1).sample(seed);
            // Rounded, so that there are ties.
            let round = |pair: &ScoredPair| ScoredPair { score: (pair.score * 10.0).round() / 10.0, ..*pair };
            let scores = Scores::new(scores.pairs().iter().map(round).collect()).unwrap();
            let people = People::of(&list);
            // All ones first: the pairs as they are.
            let mut times = vec![1; people.count()];
            if seed > 0 {
                people.draw(&mut times, seed, 3);
            }
            assert_eq!(times.iter().sum::<u32>(), 30);
            let accuracy = same_pairs(&scores).unwrap();
            let found = Sample::new(&scores, Some(&accuracy), &people).unwrap().weighted(&times).unwrap();
            let copies = replicated(&scores, &list, &times);
            let roc = Roc::new(&copies).unwrap();
            assert_eq!((found.auc, found.eer), (roc.auc(), roc.eer()));
            assert_eq!(found.tar, [roc.tar_at_far(0.1).measured.unwrap().tar], "435 impostor pairs");
            assert!(found.min_dcf.is_empty());
            let correct = |same: bool| {
                let of_class = || copies.pairs().iter().filter(|pair| pair.same == same);
                let right = of_class().filter(|pair| (pair.score >= accuracy.threshold()) == same);
                right.count() as f64 / of_class().count() as f64
            };
            let expected = (180.0 * correct(true) + 435.0 * correct(false)) / 615.0;
            assert!((found.accuracy - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_minimum_of_the_detection_cost_follows_the_weights() {
        let population = Population { people: 50, ..small(1) };
        let (scores, list) = population.sample(1);
        let people = People::of(&list);
        let mut times = vec![0; 50];
        people.draw(&mut times, 1, 0);
        let found = Sample::new(&scores, None, &people).unwrap().weighted(&times).unwrap();
        let cost = DetectionCost::equal(0.01);
        let copies = Roc::new(&replicated(&scores, &list, &times)).unwrap().min_dcf(cost);
        assert_eq!(found.min_dcf, [copies.measured.unwrap().cost]);
    }

    #[test]
    fn unweighted_it_is_the_accuracy_of_the_folds() {
        let (scores, list) = small(4).sample(1);
        let (accuracy, people) = (k_fold(&scores).unwrap(), People::of(&list));
        let sample = Sample::new(&scores, Some(&accuracy), &people).unwrap();
        let measured = sample.weighted(&vec![1; people.count()]).unwrap();
        assert!((measured.accuracy - accuracy.mean).abs() < 1e-12);
        let interval = Bootstrap::new(
            &scores,
            Some(&accuracy),
            &Resampling { people: Some(&people), rounds: 200, seed: 1 },
        )
        .unwrap()
        .accuracy
        .unwrap();
        assert!(interval.contains(accuracy.mean) && interval.high - interval.low > 0.005, "{interval:?}");
    }

    /// The share below `x` of the standard normal distribution.
    fn normal_share(x: f64) -> f64 {
        // φ(x) · (x + x³ / 3 + x⁵ / 15 + …)
        let terms =
            (0..100).scan(x, |term, i| Some(std::mem::replace(term, *term * x * x / f64::from(2 * i + 3))));
        0.5 + terms.sum::<f64>() * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
    }

    #[test]
    fn the_truth_is_in_the_interval_as_often_as_promised() {
        let mut population = Population { people: 40, ..small(1) };
        let deviation =
            |[of_person, of_pair]: [f64; 2], times: f64| (times * of_person.powi(2) + of_pair.powi(2)).sqrt();
        let (genuine, impostor) = (deviation(population.genuine, 1.0), deviation(population.impostor, 2.0));
        // So that four of five genuine pairs score above nine of ten impostor pairs.
        population.genuine_mean = impostor * 1.281_551_565_5 + genuine * 0.841_621_233_6;
        let auc = normal_share(population.genuine_mean / genuine.hypot(impostor));
        let samples = 100;
        let [mut auc_in, mut tar_in, mut wilson_in] = [0; 3];
        for seed in 0..samples {
            let (scores, list) = population.sample(seed);
            let people = People::of(&list);
            let resampling = Resampling { people: Some(&people), rounds: 200, seed };
            let bootstrap = Bootstrap::new(&scores, None, &resampling).unwrap();
            assert_eq!((bootstrap.rounds, bootstrap.left_out), (200, 0));
            let by_pairs = Roc::new(&scores).unwrap().tar_at_far(0.1).measured.unwrap().interval;
            auc_in += u32::from(bootstrap.auc.contains(auc));
            tar_in += u32::from(bootstrap.tar(0.1).unwrap().contains(0.8));
            wilson_in += u32::from(by_pairs.contains(0.8));
        }
        // Of 100 samples 95 and three deviations, 2.2 each, and some more as people are few.
        println!("AUC {auc_in}, TAR {tar_in}, Wilson {wilson_in}");
        assert!((86..=100).contains(&auc_in), "{auc_in}");
        assert!((86..=100).contains(&tar_in), "{tar_in}");
        assert!(wilson_in < 85, "{wilson_in}");
    }

    /// The width of the bootstrap interval of the accuracy divided by that of Wilson.
    fn widening(population: &Population) -> f64 {
        let (scores, list) = population.sample(1);
        let (accuracy, people) = (same_pairs(&scores).unwrap(), People::of(&list));
        let resampling = Resampling { people: Some(&people), rounds: 400, seed: 1 };
        let by_people = Bootstrap::new(&scores, Some(&accuracy), &resampling).unwrap().accuracy.unwrap();
        (by_people.high - by_people.low) / (accuracy.interval.high - accuracy.interval.low)
    }

    #[test]
    fn it_is_wider_than_wilson_where_pairs_of_a_person_are_alike() {
        // Twenty genuine pairs of a person that nearly agree count as little more than one: √20 = 4.5.
        let mut population = Population {
            people: 200,
            genuine_each: 20,
            neighbours: 20,
            folds: 1,
            genuine_mean: 1.0,
            genuine: [1.0, 0.05],
            // No errors of theirs.
            impostor: [0.0, 0.01],
        };
        let alike = widening(&population);
        assert!(alike > 3.0, "{alike}");
        // What a person adds is nothing: 4,000 independent pairs.
        population.genuine = [0.0, 1.0];
        let independent = widening(&population);
        assert!((0.8..1.25).contains(&independent), "{independent}");
    }

    #[test]
    fn independent_impostor_pairs_get_a_wide_interval() {
        // What the documentation says: a variance three times as large, for those who share nobody.
        let pairs: Vec<Pair> =
            (0..600).map(|i| Pair { a: 2 * i, b: 2 * i + 1, same: i < 5, fold: 0 }).collect();
        let mut stream = Stream::new(1, Purpose::Network, 0, 0);
        let scored =
            pairs.iter().map(|p| ScoredPair { score: stream.normal().into(), same: p.same, fold: 0 });
        let scores = Scores::new(scored.collect()).unwrap();
        let list = PairList::new((0..1200).collect::<Vec<usize>>(), pairs, None);
        let people = People::of(&list);
        assert_eq!((people.count(), people.named(), people.images()), (1195, false, 1200));
        let roc = Roc::new(&scores).unwrap();
        let sample = Sample::new(&scores, None, &people).unwrap();
        // The false-accept rate at a fixed threshold, through the accuracy of one that rejects every genuine pair.
        let point = roc.points().iter().find(|point| roc.far(point) > 0.2).unwrap();
        let far = |times: &[u32]| {
            let mut totals = [0.0; 2];
            for (scored, people) in scores.pairs().iter().zip(&people.of_pairs).filter(|(p, _)| !p.same) {
                let weight: u32 = people.iter().map(|&person| times[person as usize]).product();
                totals[usize::from(scored.score >= point.threshold)] += f64::from(weight);
            }
            sample.weighted(times).map(|_| totals[1] / (totals[0] + totals[1]))
        };
        let resampling = Resampling { people: Some(&people), rounds: 2000, seed: 1 };
        let interval = of_resamples(run(&resampling, &people, far)).unwrap();
        let by_pairs = wilson(point.false_accepts, roc.impostor());
        let ratio = (interval.high - interval.low) / (by_pairs.high - by_pairs.low);
        assert!((1.55..1.9).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let (scores, list) = small(3).sample(2);
        let (accuracy, people) = (k_fold(&scores).unwrap(), People::of(&list));
        let with = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let resampling = Resampling { people: Some(&people), rounds: 100, seed };
            pool.install(|| Bootstrap::new(&scores, Some(&accuracy), &resampling).unwrap())
        };
        assert_eq!(with(1, 1), with(3, 1));
        assert_ne!(with(1, 1), with(1, 2));
        // Nor does the order of the pairs.
        let mut order: Vec<usize> = (0..scores.pairs().len()).collect();
        Stream::new(1, Purpose::Order, 0, 0).shuffle(&mut order);
        let shuffled = Scores::new(order.iter().map(|&i| scores.pairs()[i]).collect()).unwrap();
        let mut people_too = people.clone();
        people_too.of_pairs = order.iter().map(|&i| people.of_pairs[i]).collect();
        let resampling = Resampling { people: Some(&people_too), rounds: 100, seed: 1 };
        let other = Bootstrap::new(&shuffled, None, &resampling).unwrap();
        let one = with(1, 1);
        assert_eq!((other.auc, other.eer, other.tar_at_far), (one.auc, one.eer, one.tar_at_far));
    }

    #[test]
    fn rounds_without_a_class_are_left_out_and_counted() {
        // All genuine pairs are of one person, who is missing in (1 − 1/20)^20 = 36 % of the rounds.
        let pair = |i: usize, same: bool| Pair {
            a: 2 * i,
            b: 2 * ((i + usize::from(!same)) % 20) + 1,
            same,
            fold: 0,
        };
        let pairs: Vec<Pair> = (0..20).map(|i| pair(i, false)).chain([pair(0, true); 3]).collect();
        let list = PairList::new((0..40).collect(), pairs, Some((0..40).map(|i| i / 2).collect::<Vec<_>>()));
        let scored = list.pairs().iter().zip(0..);
        let scored = scored.map(|(p, i)| ScoredPair { score: f64::from(i * 7 % 23), same: p.same, fold: 0 });
        let scores = Scores::new(scored.collect()).unwrap();
        let people = People::of(&list);
        let bootstrap =
            |rounds| Bootstrap::new(&scores, None, &Resampling { people: Some(&people), rounds, seed: 1 });
        let found = bootstrap(1000).unwrap();
        assert_eq!(found.rounds + found.left_out, 1000);
        assert!((300..420).contains(&found.left_out), "{}", found.left_out);
        assert_eq!(bootstrap(41), Err(NoBootstrap::FewRounds));
    }

    #[test]
    fn what_cannot_be_resampled_is_said() {
        let (scores, list) = small(1).sample(1);
        let people = People::of(&list);
        let bootstrap =
            |people, rounds| Bootstrap::new(&scores, None, &Resampling { people, rounds, seed: 1 });
        assert_eq!(bootstrap(Some(&people), 0), Err(NoBootstrap::NotAskedFor));
        assert_eq!(bootstrap(None, 100), Err(NoBootstrap::PeopleUnknown));
        assert_eq!(bootstrap(Some(&people), FEWEST_ROUNDS - 1), Err(NoBootstrap::FewRounds));
        let (few, few_list) = Population { people: 9, ..small(1) }.sample(1);
        let few_people = People::of(&few_list);
        assert_eq!(bootstrap(Some(&few_people), 100), Err(NoBootstrap::OtherPairs));
        let resampling = Resampling { people: Some(&few_people), rounds: 100, seed: 1 };
        assert_eq!(Bootstrap::new(&few, None, &resampling), Err(NoBootstrap::FewPeople));
        let (genuine, list) = Population { neighbours: 0, ..small(1) }.sample(1);
        let people = People::of(&list);
        let resampling = Resampling { people: Some(&people), rounds: 100, seed: 1 };
        assert_eq!(Bootstrap::new(&genuine, None, &resampling), Err(NoBootstrap::OneClass));
    }
}
