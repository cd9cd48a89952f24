//! Two models on the same pairs: is the difference more than noise?

use facegrad_results::{
    Align, Fact, Interval, ResultTable, Scale, TextTable,
    numbers::{in_percent, thousands},
};
use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, NoBootstrap, Resampling, Roc, Scores, Unmeasurable,
    bootstrap::{Decisions, Sample, run},
    interval::{binomial_two_sided, mean_and_deviation, of_resamples, student_two_sided},
    result::accuracy,
    student_half_width,
};

/// A difference that noise would give at least one time in twenty is not taken as one.
const SIGNIFICANT: f64 = 0.05;

/// A model to compare: its scores.
#[derive(Debug, Clone, Copy)]
pub struct Contender<'a> {
    /// The scores of the pairs that both models are compared on.
    pub scores: &'a Scores,
    /// The scores of other pairs, where the threshold is chosen on such (LFW View 1).
    pub development: Option<&'a Scores>,
}

/// Which of two models is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first.
    A,
    /// The second.
    B,
    /// The difference may be noise; which does not say that there is none.
    NotShown,
}

/// Two models on the same pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// The number of pairs.
    pub pairs: usize,
    /// The accuracies.
    pub accuracy: AccuracyDifference,
    /// The areas under the ROC; absent if all pairs are of one class.
    pub auc: Option<PairedDifference>,
    /// The true-accept rates at each false-accept rate that the pairs support.
    pub tar_at_far: Vec<TarDifference>,
    /// The number of bootstrap rounds behind the intervals of areas and true-accept rates.
    pub rounds: usize,
    /// Why these have no interval.
    pub no_bootstrap: Option<NoBootstrap>,
}

/// The accuracies of two models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AccuracyDifference {
    /// That of the first, the mean over the folds.
    pub a: f64,
    /// That of the second.
    pub b: f64,
    /// The test over folds; absent with a single fold, or where the difference is the same in every fold.
    pub over_folds: Option<FoldTest>,
    /// The test over pairs.
    pub over_pairs: McNemar,
    /// Better is who every test says is, at a probability below 0.05.
    pub verdict: Verdict,
}

/// The paired t-test over the accuracies of folds.
///
/// It takes the folds as independent. They are as far as nobody is in two of them; their thresholds come from
/// overlapping pairs, which ties them a little.
///
/// Source: "Student", "The probable error of a mean", 1908.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoldTest {
    /// The number of folds.
    pub folds: usize,
    /// The 95 % interval of the mean difference, the first less the second (Student's t).
    pub interval: Interval,
    /// The probability of a mean difference of this size or larger if there is none.
    pub p: f64,
}

/// The exact test of McNemar on the decisions that differ between two models.
///
/// It takes the pairs as independent. As they share people they are not, so the probability is somewhat too small.
///
/// Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
/// 1947, with the binomial distribution in place of its approximation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// The number of pairs that only the first model decides correctly.
    pub only_a: usize,
    /// The number of pairs that only the second model decides correctly.
    pub only_b: usize,
    /// The probability of a split as uneven as this one or more so, if neither is better.
    pub p: f64,
}

/// A number of two models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// That of the first.
    pub a: f64,
    /// That of the second.
    pub b: f64,
    /// The 95 % interval of the difference, the first less the second, from drawing the same people for both
    /// ([`Bootstrap`](crate::Bootstrap)).
    pub interval: Option<Interval>,
    /// Better is who has the larger number, if zero is not in the interval.
    pub verdict: Verdict,
}

/// The true-accept rates of two models at a false-accept rate, each at its own threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TarDifference {
    /// The false-accept rate not to exceed.
    pub target: f64,
    /// The true-accept rates.
    #[serde(flatten)]
    pub difference: PairedDifference,
}

/// Why two models cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum PairedError {
    /// The lists differ in length.
    #[error("one model has scores for {a} pairs and the other for {b}; compare models on the same pairs")]
    Number { a: usize, b: usize },
    /// As many pairs have no score, but they are others.
    #[error(
        "the pairs of lost images are others for one model than for the other; compare models on the same pairs"
    )]
    Lost,
    /// A pair is genuine for one and impostor for the other, or of another fold.
    #[error(
        "pair {} is {a} for one model and {b} for the other; compare models on the same pairs in the same order",
        index + 1
    )]
    Pair {
        /// The pair, from 0.
        index: usize,
        a: String,
        b: String,
    },
    /// Only one threshold comes from other pairs.
    #[error("the threshold of one model comes from other pairs and that of the other does not")]
    Development,
    /// There is no accuracy to compare.
    #[error("the accuracy of the models is {0}")]
    Unmeasurable(Unmeasurable),
}

/// Compares two models by their scores on the same pairs. The thresholds of the accuracy are chosen for each on its
/// own, by the rule of [`accuracy`].
///
/// Each verdict stands alone: of twenty comparisons without a true difference one shows one.
///
/// # Errors
/// If the pairs differ, or there is no accuracy.
pub fn compare(
    a: Contender<'_>,
    b: Contender<'_>,
    resampling: &Resampling<'_>,
) -> Result<PairedComparison, PairedError> {
    same_pairs(a.scores, b.scores)?;
    match (a.development, b.development) {
        (Some(a), Some(b)) => same_pairs(a, b)?,
        (None, None) => {}
        _ => return Err(PairedError::Development),
    }
    let of = |model: Contender<'_>| accuracy(model.scores, model.development);
    let (of_a, of_b) = (of(a).map_err(PairedError::Unmeasurable)?, of(b).map_err(PairedError::Unmeasurable)?);
    let (rocs, resampled) = match (Roc::new(a.scores), Roc::new(b.scores)) {
        (Ok(roc_a), Ok(roc_b)) => (Some((roc_a, roc_b)), differences(a.scores, b.scores, resampling)),
        _ => (None, Err(NoBootstrap::OneClass)),
    };
    let intervals = resampled.as_ref().ok();
    let tar_at_far = rocs.iter().flat_map(|(roc_a, roc_b)| {
        crate::FAR_TARGETS.into_iter().filter_map(|target| {
            let tar = |roc: &Roc| roc.tar_at_far(target).measured.map(|point| point.tar);
            let interval = intervals.and_then(|found| found.tar.iter().find(|(far, _)| *far == target));
            let difference =
                PairedDifference::new(tar(roc_a)?, tar(roc_b)?, interval.map(|(_, interval)| *interval));
            Some(TarDifference { target, difference })
        })
    });
    Ok(PairedComparison {
        pairs: a.scores.pairs().len() + a.scores.lost().len(),
        accuracy: AccuracyDifference::new((a.scores, &of_a), (b.scores, &of_b)),
        tar_at_far: tar_at_far.collect(),
        auc: rocs
            .as_ref()
            .map(|(a, b)| PairedDifference::new(a.auc(), b.auc(), intervals.map(|found| found.auc))),
        rounds: intervals.map_or(0, |found| found.rounds),
        no_bootstrap: resampled.err(),
    })
}

fn same_pairs(a: &Scores, b: &Scores) -> Result<(), PairedError> {
    let other_lost = a.lost() != b.lost();
    let (a, b) = (a.pairs(), b.pairs());
    if a.len() != b.len() {
        return Err(PairedError::Number { a: a.len(), b: b.len() });
    }
    if other_lost {
        return Err(PairedError::Lost);
    }
    match a.iter().zip(b).position(|(a, b)| (a.same, a.fold) != (b.same, b.fold)) {
        None => Ok(()),
        Some(index) => {
            let words = |pair: &crate::ScoredPair| {
                format!("{} in fold {}", if pair.same { "genuine" } else { "impostor" }, pair.fold + 1)
            };
            Err(PairedError::Pair { index, a: words(&a[index]), b: words(&b[index]) })
        }
    }
}

/// Intervals of differences.
struct Resampled {
    rounds: usize,
    auc: Interval,
    tar: Vec<(f64, Interval)>,
}

/// The intervals of the differences between `a` and `b` with the same people drawn for both.
fn differences(a: &Scores, b: &Scores, resampling: &Resampling<'_>) -> Result<Resampled, NoBootstrap> {
    let people = resampling.check(a)?;
    let sample = |scores| Sample::new(scores, None, people).map_err(|_| NoBootstrap::OneClass);
    let (a, b) = (sample(a)?, sample(b)?);
    let rounds = run(resampling, people, |times| a.weighted(times).zip(b.weighted(times)));
    let of = |value: &dyn Fn(&crate::bootstrap::Measures) -> f64| {
        let differences = rounds.iter().map(|(a, b)| value(a) - value(b));
        of_resamples(differences.collect()).ok_or(NoBootstrap::FewRounds)
    };
    let tar = a.targets.iter().enumerate().map(|(i, &target)| Ok((target, of(&|round| round.tar[i])?)));
    Ok(Resampled { rounds: rounds.len(), auc: of(&|round| round.auc)?, tar: tar.collect::<Result<_, _>>()? })
}

impl Verdict {
    /// Who is ahead by `difference`, the first less the second, if that is `shown` to be more than noise.
    fn of(difference: f64, shown: bool) -> Self {
        match shown {
            true if difference > 0.0 => Self::A,
            true if difference < 0.0 => Self::B,
            _ => Self::NotShown,
        }
    }

    /// The verdict in words, for models of these names.
    pub fn in_words(self, a: &str, b: &str) -> String {
        match self {
            Self::A => format!("{a} is better"),
            Self::B => format!("{b} is better"),
            Self::NotShown => "no difference shown".into(),
        }
    }
}

impl PairedDifference {
    fn new(a: f64, b: f64, interval: Option<Interval>) -> Self {
        let verdict = Verdict::of(a - b, interval.is_some_and(|interval| !interval.contains(0.0)));
        Self { a, b, interval, verdict }
    }
}

impl FoldTest {
    /// The test of the accuracies `a` against `b`, fold by fold.
    fn new(a: &[f64], b: &[f64]) -> Option<Self> {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let folds = differences.len();
        let (mean, deviation) = mean_and_deviation(&differences)?;
        let half_width = student_half_width(&differences)?;
        let error = deviation / (folds as f64).sqrt();
        // Differences of equal accuracies may differ by their rounding.
        (error > 1e-12).then(|| Self {
            folds,
            interval: Interval { low: mean - half_width, high: mean + half_width },
            p: student_two_sided(mean / error, folds - 1),
        })
    }
}

impl AccuracyDifference {
    fn new((scores_a, a): (&Scores, &Accuracy), (scores_b, b): (&Scores, &Accuracy)) -> Self {
        let of_folds =
            |accuracy: &Accuracy| -> Vec<f64> { accuracy.folds.iter().map(|fold| fold.accuracy).collect() };
        let over_folds = FoldTest::new(&of_folds(a), &of_folds(b));
        let (decisions_a, decisions_b) = (Decisions::new(scores_a, a), Decisions::new(scores_b, b));
        let (mut only_a, mut only_b) = (0, 0);
        for index in 0..scores_a.pairs().len() {
            match (decisions_a.of(index).0, decisions_b.of(index).0) {
                (true, false) => only_a += 1,
                (false, true) => only_b += 1,
                _ => {}
            }
        }
        let over_pairs = McNemar { only_a, only_b, p: binomial_two_sided(only_a, only_b) };
        let difference = a.mean - b.mean;
        let shown = over_pairs.p < SIGNIFICANT
            && over_folds.is_none_or(|test| test.p < SIGNIFICANT)
            // Folds of unequal size may make one ahead over folds and the other over pairs.
            && (only_a > only_b) == (difference > 0.0);
        Self { a: a.mean, b: b.mean, over_folds, over_pairs, verdict: Verdict::of(difference, shown) }
    }
}

impl PairedComparison {
    /// The figures side by side, for models of these names, and the tests behind the verdicts.
    pub fn tables(&self, a: &str, b: &str) -> (ResultTable, Vec<Fact>) {
        let signed = |value: f64, digits: usize| format!("{value:+.digits$}");
        let row = |name: String, [of_a, of_b]: [f64; 2], interval: Option<Interval>, scale: Scale| {
            let (times, digits) = if scale == Scale::Percent { (100.0, 2) } else { (1.0, 4) };
            let interval = interval.map(|interval| {
                let Interval { low, high } = interval;
                format!("{} to {}", signed(low * times, digits), signed(high * times, digits))
            });
            let difference = signed((of_a - of_b) * times, digits);
            vec![name, scale.write(of_a), scale.write(of_b), difference, interval.unwrap_or_default()]
        };
        let accuracy = &self.accuracy;
        let over_folds = accuracy.over_folds.map(|test| test.interval);
        let mut rows = vec![row("accuracy".into(), [accuracy.a, accuracy.b], over_folds, Scale::Percent)];
        rows[0].push(accuracy.verdict.in_words(a, b));
        let mut add = |name: String, difference: &PairedDifference, scale: Scale| {
            let PairedDifference { interval, verdict, .. } = difference;
            let mut cells = row(name, [difference.a, difference.b], *interval, scale);
            cells.push(interval.map_or_else(String::new, |_| verdict.in_words(a, b)));
            rows.push(cells);
        };
        if let Some(auc) = &self.auc {
            add("AUC".into(), auc, Scale::Digits(4));
        }
        for at in &self.tar_at_far {
            add(format!("TAR at FAR {} %", in_percent(at.target)), &at.difference, Scale::Percent);
        }
        let McNemar { only_a, only_b, p } = accuracy.over_pairs;
        let mut tests = vec![Fact::new(
            "McNemar's test",
            format!(
                "of {} pairs {} are right with {a} alone, {} with {b} alone: p {}",
                thousands(self.pairs),
                thousands(only_a),
                thousands(only_b),
                p_text(p)
            ),
        )];
        tests.extend(accuracy.over_folds.map(|FoldTest { folds, p, .. }| {
            Fact::new("paired t-test", format!("over {folds} folds: p {}", p_text(p)))
        }));
        let bootstrap = match self.no_bootstrap {
            Some(reason) => reason.to_string(),
            None => format!("{} rounds over people, for AUC and TAR", thousands(self.rounds)),
        };
        tests.push(Fact::new("bootstrap", bootstrap));
        let header =
            ["", a, b, "difference", "95 % of the difference", "verdict"].map(str::to_owned).to_vec();
        (ResultTable { header, rows, ..ResultTable::default() }, tests)
    }

    /// The comparison as aligned plain text, for models of these names; ends with a line feed.
    pub fn to_text(&self, a: &str, b: &str) -> String {
        let (figures, facts) = self.tables(a, b);
        let (mut table, mut notes) = (TextTable::new(&[Align::Left]), TextTable::new(&[Align::Left]));
        for mut row in std::iter::once(figures.header).chain(figures.rows) {
            // It can be seen where two numbers stand side by side.
            row.remove(3);
            table.row(row);
        }
        facts.into_iter().for_each(|fact| notes.row([fact.name, fact.value]));
        format!("{table}\n{notes}")
    }
}

/// A probability.
fn p_text(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{People, ScoredPair, bootstrap::tests::Population, scores::scores};

    fn population() -> Population {
        Population {
            people: 100,
            genuine_each: 4,
            neighbours: 12,
            folds: 5,
            genuine_mean: 2.2,
            genuine: [0.5, 0.8],
            impostor: [0.3, 0.8],
        }
    }

    fn contender(scores: &Scores) -> Contender<'_> {
        Contender { scores, development: None }
    }

    /// The same pairs with other scores.
    fn with(scores: &Scores, mut score: impl FnMut(usize, &ScoredPair) -> f64) -> Scores {
        let pairs = scores.pairs().iter().enumerate();
        Scores::new(pairs.map(|(i, pair)| ScoredPair { score: score(i, pair), ..*pair }).collect()).unwrap()
    }

    #[test]
    fn the_paired_t_test_is_that_of_scipy() {
        #[derive(Deserialize)]
        struct Reference {
            t_tests: Vec<Case>,
        }
        #[derive(Deserialize)]
        struct Case {
            a: Vec<f64>,
            b: Vec<f64>,
            p: f64,
            low: f64,
            high: f64,
        }
        let reference: Reference = serde_json::from_str(include_str!("../reference/paired.json")).unwrap();
        assert_eq!(reference.t_tests.len(), 6);
        for case in reference.t_tests {
            let test = FoldTest::new(&case.a, &case.b).unwrap();
            assert!((test.p - case.p).abs() < 1e-12, "{} and {}", test.p, case.p);
            assert!((test.interval.low - case.low).abs() < 1e-12, "{:?}", test.interval);
            assert!((test.interval.high - case.high).abs() < 1e-12, "{:?}", test.interval);
        }
        assert_eq!(FoldTest::new(&[0.5], &[0.4]), None);
        assert_eq!(FoldTest::new(&[0.3, 0.5, 0.7], &[0.2, 0.4, 0.6]), None, "no spread to measure by");
    }

    #[test]
    fn a_model_against_itself() {
        let (scores, list) = population().sample(1);
        let people = People::of(&list);
        let resampling = Resampling { people: Some(&people), rounds: 100, seed: 1 };
        let found = compare(contender(&scores), contender(&scores), &resampling).unwrap();
        assert_eq!(found.accuracy.over_pairs, McNemar { only_a: 0, only_b: 0, p: 1.0 });
        assert_eq!((found.accuracy.over_folds, found.accuracy.verdict), (None, Verdict::NotShown));
        let auc = found.auc.unwrap();
        assert_eq!((auc.interval, auc.verdict), (Some(Interval { low: 0.0, high: 0.0 }), Verdict::NotShown));
    }

    #[test]
    fn a_worse_model_is_told_from_a_better_one() {
        let (good, list) = population().sample(1);
        let (noise, _) = population().sample(2);
        // The same faces with another draw on top: all genuine pairs lose what tells them apart.
        let bad = with(&good, |i, pair| {
            pair.score + 1.5 * (noise.pairs()[i].score - 2.2 * f64::from(u8::from(pair.same)))
        });
        let people = People::of(&list);
        let resampling = Resampling { people: Some(&people), rounds: 200, seed: 1 };
        let found = compare(contender(&good), contender(&bad), &resampling).unwrap();
        assert_eq!((found.pairs, found.rounds, found.no_bootstrap), (good.pairs().len(), 200, None));
        let auc = found.auc.unwrap();
        assert_eq!((found.accuracy.verdict, auc.verdict), (Verdict::A, Verdict::A), "{found:?}");
        assert!(auc.interval.unwrap().contains(auc.a - auc.b));
        assert_eq!(found.tar_at_far.iter().map(|at| at.target).collect::<Vec<_>>(), [0.1, 0.01]);
        assert!(found.tar_at_far.iter().all(|at| at.difference.verdict == Verdict::A), "{found:?}");
        let test = found.accuracy.over_folds.unwrap();
        assert_eq!(test.folds, 5);
        assert!(test.interval.contains(found.accuracy.a - found.accuracy.b));
        // The other way round everything has the other sign.
        let reverse = compare(contender(&bad), contender(&good), &resampling).unwrap();
        let (swapped, auc_swapped) = (reverse.accuracy, reverse.auc.unwrap());
        assert_eq!((swapped.verdict, auc_swapped.verdict), (Verdict::B, Verdict::B));
        assert_eq!(swapped.over_pairs.p, found.accuracy.over_pairs.p);
        assert_eq!(swapped.over_pairs.only_a, found.accuracy.over_pairs.only_b);
        assert!((swapped.over_folds.unwrap().interval.low + test.interval.high).abs() < 1e-12);
        assert!((auc_swapped.interval.unwrap().low + auc.interval.unwrap().high).abs() < 1e-12);
        let table = found.to_text("resnet", "untrained");
        assert!(table.lines().nth(1).unwrap().ends_with("resnet is better"), "{table}");
        assert!(table.contains("\nbootstrap       200 rounds over people, for AUC and TAR\n"), "{table}");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["accuracy"]["verdict"], "a");
        assert_eq!(json["tar_at_far"][1]["target"], 0.01);
    }

    #[test]
    fn decisions_are_those_of_each_fold() {
        let (scores, list) = population().sample(3);
        let (other, _) = population().sample(4);
        let found = compare(contender(&scores), contender(&other), &Resampling::default()).unwrap();
        let wrong = |scores: &Scores| -> usize {
            let accuracy = crate::k_fold(scores).unwrap();
            accuracy.folds.iter().map(|fold| fold.false_accepts + fold.false_rejects).sum()
        };
        let McNemar { only_a, only_b, .. } = found.accuracy.over_pairs;
        assert_eq!(wrong(&other) + only_b, wrong(&scores) + only_a);
        assert!(only_a + only_b > 20 && list.folds() == 5);
        assert_eq!(found.no_bootstrap, Some(NoBootstrap::NotAskedFor));
        assert_eq!(found.auc.unwrap().interval, None);
        assert!(found.to_text("a", "b").contains("\nbootstrap       not asked for\n"));
    }

    #[test]
    fn equal_models_are_seldom_told_apart() {
        // Two draws for the same people: no true difference.
        let mut shown = [0; 2];
        for seed in 0..60 {
            let (a, list) = population().sample(seed);
            let (noise, _) = population().sample(seed + 1000);
            let (more, _) = population().sample(seed + 2000);
            let noisy = |other: &Scores| {
                with(&a, |i, pair| {
                    pair.score + 0.5 * (other.pairs()[i].score - 2.2 * f64::from(u8::from(pair.same)))
                })
            };
            let people = People::of(&list);
            let resampling = Resampling { people: Some(&people), rounds: 100, seed };
            let found = compare(contender(&noisy(&noise)), contender(&noisy(&more)), &resampling).unwrap();
            shown[0] += u32::from(found.accuracy.verdict != Verdict::NotShown);
            shown[1] += u32::from(found.auc.unwrap().verdict != Verdict::NotShown);
        }
        // Three of 60 are expected at most, and three deviations of 1.7.
        assert!(shown.iter().all(|&times| times <= 8), "{shown:?}");
    }

    #[test]
    fn view_1_takes_its_thresholds_from_elsewhere() {
        let (development, test) = (scores(&[0.9, 0.8], &[0.2, 0.4]), scores(&[0.7, 0.5], &[0.1, 0.3]));
        let a = Contender { scores: &test, development: Some(&development) };
        let found = compare(a, a, &Resampling::default()).unwrap();
        assert_eq!((found.accuracy.a, found.accuracy.over_folds), (0.75, None));
        assert_eq!(compare(a, contender(&test), &Resampling::default()), Err(PairedError::Development));
        // Given thresholds, a list of one class has an accuracy and nothing else.
        let genuine = scores(&[0.9, 0.5], &[]);
        let a = Contender { scores: &genuine, development: Some(&development) };
        let found = compare(a, a, &Resampling::default()).unwrap();
        assert_eq!(
            (found.accuracy.a, found.auc, found.no_bootstrap),
            (0.5, None, Some(NoBootstrap::OneClass))
        );
    }

    #[test]
    fn other_pairs_are_refused() {
        let error = |a: &Scores, b: &Scores| {
            compare(contender(a), contender(b), &Resampling::default()).unwrap_err().to_string()
        };
        let two = scores(&[0.9], &[0.1]);
        assert_eq!(
            error(&two, &scores(&[0.9], &[0.1, 0.2])),
            "one model has scores for 2 pairs and the other for 3; compare models on the same pairs"
        );
        assert_eq!(
            error(&two, &scores(&[0.9, 0.8], &[])),
            "pair 2 is impostor in fold 1 for one model and genuine in fold 1 for the other; compare models on the same pairs in the same order"
        );
        let moved = Scores::new(two.pairs().iter().map(|pair| ScoredPair { fold: 3, ..*pair }).collect());
        assert!(
            error(&two, &moved.unwrap()).contains("genuine in fold 1 for one model and genuine in fold 4")
        );
        let genuine = scores(&[0.9], &[]);
        assert_eq!(
            error(&genuine, &genuine),
            "the accuracy of the models is not measurable: only genuine pairs"
        );
    }
}
