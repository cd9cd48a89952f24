//! Operating points: thresholds for the scores of a model, each with the error rates measured at it and with
//! all that has to be the same for them to hold. They are kept in the model file.

use std::{fmt, str::FromStr};

use facegrad_results::Interval;
use facegrad_verification::{
    Centring, Flip, LostPairs, Pair, PairList, Roc, ScoreError, Scores, Similarity, Unmeasurable,
    best_threshold, wilson,
};
use serde::{Deserialize, Serialize};

use crate::ProtocolOutcome;

/// What a threshold is chosen for. It is also the name of the operating point, such as `far=1e-3`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ThresholdTarget {
    /// `far=<rate>`: the lowest threshold whose false-accept rate is not above this.
    Far(f64),
    /// `eer`: the threshold where the false-accept rate is nearest to the false-reject rate.
    EqualErrors,
    /// `accuracy`: the threshold that decides most pairs correctly.
    BestAccuracy,
}

impl fmt::Display for ThresholdTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The shortest digits that give the number again, so that each rate has one name.
            Self::Far(rate) => write!(f, "far={rate:e}"),
            Self::EqualErrors => f.write_str("eer"),
            Self::BestAccuracy => f.write_str("accuracy"),
        }
    }
}

impl FromStr for ThresholdTarget {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "eer" => Ok(Self::EqualErrors),
            "accuracy" => Ok(Self::BestAccuracy),
            _ => word
                .strip_prefix("far=")
                .and_then(|rate| rate.parse().ok())
                .filter(|rate| *rate >= LOWEST_FAR && *rate < 1.0)
                .map(Self::Far)
                .ok_or_else(|| {
                    format!("\"{word}\" is no operating point; they are far=<rate from {LOWEST_FAR:e} to below 1>, eer and accuracy")
                }),
        }
    }
}

/// No list of pairs supports lower rates.
const LOWEST_FAR: f64 = 1e-12;

impl TryFrom<String> for ThresholdTarget {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse()
    }
}

impl From<ThresholdTarget> for String {
    fn from(target: ThresholdTarget) -> Self {
        target.to_string()
    }
}

/// A threshold, what it was measured on, and what has to be the same for that to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedPoint {
    /// What the threshold is chosen for.
    #[serde(rename = "name")]
    pub target: ThresholdTarget,
    /// Two images with at least this score are taken for one person.
    pub threshold: f64,
    /// The false-accept rate, on the pairs that the threshold was chosen on.
    pub far: f64,
    /// Its 95 % interval (Wilson).
    pub far_interval: Interval,
    /// The true-accept rate, on the same pairs.
    pub tar: f64,
    /// Its 95 % interval (Wilson).
    pub tar_interval: Interval,
    /// Number of genuine pairs.
    pub genuine: usize,
    /// Number of impostor pairs.
    pub impostor: usize,
    /// Pairs of images that were not there or could not be read, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostPairs>,
    /// The protocol in words.
    pub protocol: String,
    /// SHA-256 of the list of pairs.
    pub pairs_sha256: String,
    /// SHA-256 of the pixels, as the network saw them, in the order of the list.
    pub images_sha256: String,
    /// Height and width of the images before they were resized for the network; absent if they differed.
    pub image_size: Option<[usize; 2]>,
    /// How an image and its mirror image were fused.
    pub flip: Flip,
    /// How embeddings were compared.
    pub score: Similarity,
    /// What computed the embeddings.
    pub backend: String,
    /// SHA-256 of the tensors of the model, by which a point knows whose it is.
    pub tensors_sha256: String,
}

impl NamedPoint {
    /// The score of two embeddings as this point compares them; `names` are for errors.
    ///
    /// # Shapes
    /// - `rows`: `[2, dim]`, fused by [`flip`](Self::flip), not normalised
    ///
    /// # Errors
    /// If the rows are not of this shape, or one has no direction.
    pub fn score_of(&self, rows: &[f32], dim: usize, names: [String; 2]) -> Result<f64, ScoreError> {
        // Whether it is genuine is the question, and no part of the score.
        let pair = Pair { a: 0, b: 1, same: false, fold: 0 };
        let list = PairList::new(names.to_vec(), vec![pair], None);
        Ok(Scores::of(self.score, rows, dim, &list)?.pairs()[0].score)
    }

    /// Whether two images with this score are taken for one person.
    pub fn accepts(&self, score: f64) -> bool {
        score >= self.threshold
    }

    /// How often a search of `comparisons` images of other people names somebody (FPIR), if the comparisons were
    /// independent of each other: 1 − (1 − FAR)^comparisons, by the false-accept rate that the point was chosen for, or
    /// the measured one where it was chosen for something else.
    pub fn false_positive_rate(&self, comparisons: usize) -> f64 {
        let far = match self.target {
            ThresholdTarget::Far(rate) => rate,
            _ => self.far,
        };
        -(comparisons as f64 * (-far).ln_1p()).exp_m1()
    }

    /// The error rates and what they were measured on, on one line.
    pub fn describe(&self) -> String {
        format!(
            "FAR {} and TAR {}, on the {} genuine and {} impostor pairs the threshold was chosen on: {}{}",
            rate(self.far, self.far_interval),
            rate(self.tar, self.tar_interval),
            self.genuine,
            self.impostor,
            self.protocol,
            self.lost.as_ref().map_or_else(String::new, |lost| format!("; lost pairs: {}", lost.describe()))
        )
    }
}

/// A rate with its interval in per cent, such as `0.10 % (0.05 to 0.19)`.
pub fn rate(value: f64, interval: Interval) -> String {
    format!("{} % ({} to {})", points(value), points(interval.low), points(interval.high))
}

/// A share in percentage points: two decimals, and at least two digits that are not zero.
fn points(share: f64) -> String {
    let points = share * 100.0;
    let decimals = if points > 0.0 { (1.0 - points.log10().floor()).clamp(2.0, 12.0) } else { 2.0 };
    format!("{points:.*}", decimals as usize)
}

/// The operating points that a measurement supports, and those it does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// In the order asked for.
    pub points: Vec<NamedPoint>,
    /// Those for which there are too few pairs.
    pub too_few: Vec<TooFewPairs>,
}

/// A point that the pairs are too few for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TooFewPairs {
    /// What the threshold would be chosen for.
    #[serde(rename = "name")]
    pub target: ThresholdTarget,
    /// Genuine pairs needed.
    pub genuine_needed: usize,
    /// Genuine pairs there are.
    pub genuine: usize,
    /// Impostor pairs needed.
    pub impostors_needed: usize,
    /// Impostor pairs there are.
    pub impostor: usize,
    /// Impostor pairs of these that are lost and count as accepted.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_impostors: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl fmt::Display for TooFewPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, needed, found) = match self.impostor < self.impostors_needed {
            true => ("impostor", self.impostors_needed, self.impostor),
            false if self.genuine >= self.genuine_needed => {
                return write!(
                    f,
                    "{} is out of reach: {} of the {} impostor pairs are of lost images and count as accepted",
                    self.target, self.lost_impostors, self.impostor
                );
            }
            false => ("genuine", self.genuine_needed, self.genuine),
        };
        write!(f, "{} needs {needed} {what} pairs, and there are {found}", self.target)
    }
}

/// Why a measurement gives no operating points.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum CalibrationError {
    /// The protocol compares no pairs.
    #[error(
        "thresholds are measured on pairs of images, and this protocol is of another kind; take one of pairs"
    )]
    NoPairs,
    /// Two images alone cannot be scored in this way.
    #[error(
        "{0}; two images alone cannot be compared in that way, so its thresholds would not hold for them"
    )]
    NotForTwoImages(String),
    /// Not both kinds of pairs.
    #[error("{protocol} has {what}, and a threshold has to be weighed between genuine and impostor pairs")]
    OneClass { protocol: String, what: &'static str },
}

/// Fewer pairs of either kind do not say where errors are equal or accuracy is best; as many as FAR 0.1 needs.
const FEWEST: usize = 100;

/// The operating points at `targets` of the model with these tensors, from what was measured of it.
///
/// A point is left out if the pairs are too few for it: a false-accept rate needs ten times its inverse of
/// impostor pairs ([`Roc::tar_at_far`]), the others 100 pairs of either kind.
///
/// # Errors
/// If what was measured are no pairs of both kinds, or scores that two images alone do not have.
pub fn calibrate(
    measured: &ProtocolOutcome,
    tensors_sha256: &str,
    targets: &[ThresholdTarget],
) -> Result<Calibration, CalibrationError> {
    let (Some(result), Some(pairs)) = (measured.outcome.verification(), &measured.pairs) else {
        return Err(CalibrationError::NoPairs);
    };
    let from = &result.provenance;
    if from.centring != Centring::None {
        let how = format!("with centring {} the mean of many embeddings is subtracted", from.centring);
        return Err(CalibrationError::NotForTwoImages(how));
    }
    if let Some((switch, value)) = from.switches.iter().next() {
        return Err(CalibrationError::NotForTwoImages(format!("it was measured with {switch} {value}")));
    }
    let scores = &pairs.scores;
    let roc = Roc::new(scores).map_err(|reason| CalibrationError::OneClass {
        protocol: from.protocol.clone(),
        what: match reason {
            Unmeasurable::OnlyGenuine => "genuine pairs only",
            Unmeasurable::OnlyImpostor => "impostor pairs only",
            _ => "no pairs",
        },
    })?;
    let lost_impostors = scores.lost().iter().filter(|pair| !pair.same).count();
    let mut calibration = Calibration { points: Vec::new(), too_few: Vec::new() };
    for &target in targets {
        match threshold(target, &roc, scores) {
            Err(too_few) => calibration.too_few.push(too_few),
            Ok(threshold) => {
                let accepted = |threshold: f64| {
                    let count = |same: bool| {
                        let of_class = scores.pairs().iter().filter(|pair| pair.same == same);
                        of_class.filter(|pair| pair.score >= threshold).count()
                    };
                    (count(true), count(false) + lost_impostors)
                };
                let short = shortened(threshold);
                let threshold = if accepted(short) == accepted(threshold) { short } else { threshold };
                let (true_accepts, false_accepts) = accepted(threshold);
                calibration.points.push(NamedPoint {
                    target,
                    threshold,
                    far: false_accepts as f64 / roc.impostor() as f64,
                    far_interval: wilson(false_accepts, roc.impostor()),
                    tar: true_accepts as f64 / roc.genuine() as f64,
                    tar_interval: wilson(true_accepts, roc.genuine()),
                    genuine: roc.genuine(),
                    impostor: roc.impostor(),
                    lost: result.lost.clone(),
                    protocol: from.protocol.clone(),
                    pairs_sha256: from.pairs_sha256.clone(),
                    images_sha256: from.images_sha256.clone(),
                    image_size: pairs.embedded.image_size,
                    flip: from.flip,
                    score: from.score,
                    backend: from.backend.clone(),
                    tensors_sha256: tensors_sha256.into(),
                });
            }
        }
    }
    Ok(calibration)
}

/// The highest number of twelve digits that is not above `threshold`: JSON gives it back to the last bit, which
/// readers of JSON do not promise of longer numbers, and it is exact far beyond what backends agree on.
fn shortened(threshold: f64) -> f64 {
    let rounded = |value: f64| format!("{value:.11e}").parse().unwrap_or(value);
    let nearest = rounded(threshold);
    if nearest <= threshold { nearest } else { rounded(threshold - threshold.abs() * 5e-12) }
}

/// The threshold for `target`, if there are pairs enough.
fn threshold(target: ThresholdTarget, roc: &Roc, scores: &Scores) -> Result<f64, TooFewPairs> {
    let (genuine, impostor) = (roc.genuine(), roc.impostor());
    let needs = |genuine_needed, impostors_needed| TooFewPairs {
        target,
        genuine_needed,
        genuine,
        impostors_needed,
        impostor,
        lost_impostors: scores.lost().iter().filter(|pair| !pair.same).count(),
    };
    if let ThresholdTarget::Far(rate) = target {
        let at = roc.tar_at_far(rate);
        return at.measured.map(|point| point.threshold).ok_or_else(|| needs(1, at.impostors_needed));
    }
    if genuine.min(impostor) < FEWEST {
        return Err(needs(FEWEST, FEWEST));
    }
    match target {
        ThresholdTarget::BestAccuracy => {
            best_threshold(scores.pairs()).map(|best| best.value).map_err(|_| needs(FEWEST, FEWEST))
        }
        _ => {
            let gap = |point: &_| (roc.far(point) + roc.tar(point) - 1.0).abs();
            let nearest = roc.points().iter().min_by(|a, b| gap(a).total_cmp(&gap(b)));
            nearest.map(|point| point.threshold).ok_or_else(|| needs(FEWEST, FEWEST))
        }
    }
}

/// `new` points together with those of `old` that they do not replace: false-accept rates first, falling.
pub fn merged(old: &[NamedPoint], new: &[NamedPoint]) -> Vec<NamedPoint> {
    let kept = old.iter().filter(|old| new.iter().all(|new| new.target != old.target));
    let mut all: Vec<NamedPoint> = kept.chain(new).cloned().collect();
    let rank = |point: &NamedPoint| match point.target {
        ThresholdTarget::Far(rate) => -rate,
        ThresholdTarget::EqualErrors => 1.0,
        ThresholdTarget::BestAccuracy => 2.0,
    };
    all.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    all
}

/// Readers of JSON may miss the last bit of a number.
const ROUNDING: f64 = 1e-15;

/// Most points that a model file may have.
const MOST: usize = 100;

/// What is wrong with the points of a model file with these tensors, if something is: a file is not trusted to
/// be what was written.
pub(crate) fn check(points: &[NamedPoint], tensors_sha256: &str) -> Result<(), String> {
    if points.len() > MOST {
        return Err(format!("it has {} operating points, and {MOST} is the most", points.len()));
    }
    for (i, point) in points.iter().enumerate() {
        let holds = |value: f64, interval: Interval| {
            interval.low >= 0.0
                && interval.high <= 1.0
                && interval.low <= value + ROUNDING
                && value <= interval.high + ROUNDING
        };
        let in_range = match point.score {
            // Just above 1 rejects all.
            Similarity::Cosine => (-1.0..=1.0 + f64::EPSILON).contains(&point.threshold),
            Similarity::Euclidean => point.threshold.is_finite() && point.threshold <= f64::EPSILON,
        };
        let problem = if points[..i].iter().any(|other| other.target == point.target) {
            "is there twice"
        } else if !in_range {
            "has a threshold that no score can be at"
        } else if !holds(point.far, point.far_interval)
            || !holds(point.tar, point.tar_interval)
            || matches!(point.target, ThresholdTarget::Far(rate) if point.far > rate + ROUNDING)
        {
            "has error rates that cannot be"
        } else if point.genuine == 0 || point.impostor == 0 {
            "was measured on no pairs"
        } else if point.tensors_sha256 != tensors_sha256 {
            "was measured with other weights"
        } else {
            continue;
        };
        return Err(format!("its operating point {} {problem}; calibrate it anew", point.target));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};
    use facegrad_verification::{Provenance, Resampling, ScoredPair, VerificationResult, accuracy};

    use super::*;
    use crate::{ImageEmbeddings, ProtocolResult, evaluation::PairOutcome};

    /// What a protocol measures where genuine pairs score 0.3 higher on average than impostor pairs.
    fn measured(genuine: usize, impostor: usize, change: impl Fn(&mut Provenance)) -> ProtocolOutcome {
        let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
        let pair = |i: usize| ScoredPair {
            score: f64::from(stream.uniform()) * 0.6 + if i < genuine { 0.3 } else { 0.0 },
            same: i < genuine,
            fold: 0,
        };
        let scores = Scores::new((0..genuine + impostor).map(pair).collect()).unwrap();
        let mut provenance = Provenance {
            protocol: "drawn".into(),
            pairs_sha256: "p".into(),
            images_sha256: "i".into(),
            model_sha256: None,
            backend: "flex".into(),
            seed: None,
            flip: Flip::Add,
            score: Similarity::Cosine,
            centring: Centring::None,
            switches: Default::default(),
            image_remarks: Vec::new(),
        };
        change(&mut provenance);
        let resampling = Resampling { people: None, rounds: 0, seed: 0 };
        let result = VerificationResult::of(&scores, accuracy(&scores, None), provenance, &resampling);
        let image_size = Some([112, 96]);
        let embedded = ImageEmbeddings { rows: Vec::new(), dim: 1, images_sha256: String::new(), image_size };
        let list = PairList::new(Vec::new(), Vec::new(), None);
        let pairs = PairOutcome { list, positions: Vec::new(), scores, development: None, embedded };
        ProtocolOutcome { outcome: ProtocolResult::Verification(result), pairs: Some(pairs), curve: None }
    }

    fn targets(words: &[&str]) -> Vec<ThresholdTarget> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn a_rate_has_one_name() {
        for (word, name) in [
            ("far=0.001", "far=1e-3"),
            ("far=1e-3", "far=1e-3"),
            ("far=0.05", "far=5e-2"),
            ("far=1E-06", "far=1e-6"),
            ("eer", "eer"),
            ("accuracy", "accuracy"),
        ] {
            let target: ThresholdTarget = word.parse().unwrap();
            assert_eq!(target.to_string(), name);
            assert_eq!(name.parse::<ThresholdTarget>().unwrap(), target);
            assert_eq!(serde_json::to_string(&target).unwrap(), format!("\"{name}\""));
        }
        for word in
            ["", "far", "far=", "far=0", "far=-1e-3", "far=1", "far=nan", "far=inf", "FAR=0.1", "1e-3"]
        {
            let said = word.parse::<ThresholdTarget>().unwrap_err();
            assert!(said.starts_with(&format!("\"{word}\" is no operating point; ")), "{said}");
        }
    }

    #[test]
    fn points_are_those_that_counting_gives() {
        let measured = measured(300, 1000, |_| {});
        let found =
            calibrate(&measured, "t", &targets(&["far=1e-1", "far=1e-2", "far=1e-3", "eer", "accuracy"]));
        let Calibration { points, too_few } = found.unwrap();
        let scores = &measured.pairs.as_ref().unwrap().scores;
        let share = |scores: Vec<f64>, threshold: f64| {
            scores.iter().filter(|score| **score >= threshold).count() as f64 / scores.len() as f64
        };
        let rates = |threshold| (share(scores.impostor(), threshold), share(scores.genuine(), threshold));
        for point in &points {
            assert_eq!(rates(point.threshold), (point.far, point.tar), "{}", point.target);
            assert!(point.far_interval.contains(point.far) && point.tar_interval.contains(point.tar));
            assert_eq!((point.genuine, point.impostor, point.image_size), (300, 1000, Some([112, 96])));
        }
        let all: Vec<f64> = scores.pairs().iter().map(|pair| pair.score).collect();
        for (point, target) in points.iter().zip([0.1, 0.01]) {
            assert!(point.far <= target);
            // Every lower threshold that decides otherwise accepts too many.
            assert!(
                all.iter()
                    .filter(|s| **s < point.threshold)
                    .all(|s| rates(*s).0 > target || rates(*s) == rates(point.threshold))
            );
        }
        let [_, _, eer, accuracy] = &points[..] else { panic!("{points:?}") };
        let gap = |threshold| {
            let (far, tar) = rates(threshold);
            (far + tar - 1.0).abs()
        };
        assert!(all.iter().all(|score| gap(*score) >= gap(eer.threshold)));
        let correct = |threshold| {
            let (far, tar) = rates(threshold);
            tar * 300.0 + (1.0 - far) * 1000.0
        };
        assert!(all.iter().all(|score| correct(*score) <= correct(accuracy.threshold) + 1e-9));
        let [far] = too_few[..] else { panic!("{too_few:?}") };
        assert_eq!(far.to_string(), "far=1e-3 needs 10000 impostor pairs, and there are 1000");
    }

    #[test]
    fn what_gives_no_points_is_said() {
        let all = targets(&["far=1e-1", "eer", "accuracy"]);
        let error = |measured: &ProtocolOutcome| calibrate(measured, "t", &all).unwrap_err().to_string();
        let sentence = "drawn has impostor pairs only, and a threshold has to be weighed between genuine and impostor pairs";
        assert_eq!(error(&measured(0, 200, |_| {})), sentence);
        assert!(error(&measured(200, 0, |_| {})).contains("genuine pairs only"));
        assert!(error(&measured(0, 0, |_| {})).contains("no pairs"));
        let centred = measured(200, 200, |from| from.centring = Centring::OtherFolds);
        assert!(error(&centred).starts_with("with centring other_folds the mean of many embeddings"));
        let whitened =
            measured(200, 200, |from| drop(from.switches.insert("whitening".into(), "pca".into())));
        assert!(error(&whitened).starts_with("it was measured with whitening pca; two images alone"));
        let mut without = measured(200, 200, |_| {});
        without.pairs = None;
        assert_eq!(calibrate(&without, "t", &all), Err(CalibrationError::NoPairs));
        // Too few of either kind.
        let few = calibrate(&measured(99, 200, |_| {}), "t", &all).unwrap();
        assert_eq!(few.points.len(), 1);
        assert_eq!(few.too_few[0].to_string(), "eer needs 100 genuine pairs, and there are 99");
        assert_eq!(calibrate(&measured(99, 99, |_| {}), "t", &all).unwrap().points, []);
    }

    #[test]
    fn points_replace_those_of_their_name_and_are_read_again() {
        let old =
            calibrate(&measured(300, 1000, |_| {}), "t", &targets(&["eer", "far=1e-1"])).unwrap().points;
        let new =
            calibrate(&measured(400, 1000, |_| {}), "t", &targets(&["far=1e-2", "far=1e-1"])).unwrap().points;
        let both = merged(&old, &new);
        let names: Vec<String> =
            both.iter().map(|point| format!("{} {}", point.target, point.genuine)).collect();
        assert_eq!(names, ["far=1e-1 400", "far=1e-2 400", "eer 300"]);
        check(&both, "t").unwrap();
        let text = serde_json::to_string(&both).unwrap();
        let read: Vec<NamedPoint> = serde_json::from_str(&text).unwrap();
        for (read, written) in read.iter().zip(&both) {
            assert_eq!((read.threshold, read.target), (written.threshold, written.target));
        }
        check(&read, "t").unwrap();
    }

    #[test]
    fn damaged_points_are_refused() {
        let point = &calibrate(&measured(300, 1000, |_| {}), "t", &targets(&["far=1e-1"])).unwrap().points[0];
        let harmed = |harm: fn(&mut NamedPoint)| {
            let mut point = point.clone();
            harm(&mut point);
            check(&[point], "t").unwrap_err()
        };
        assert_eq!(
            harmed(|point| point.threshold = 1.5),
            "its operating point far=1e-1 has a threshold that no score can be at; calibrate it anew"
        );
        assert!(harmed(|point| point.threshold = f64::NAN).contains("no score can be at"));
        assert!(
            harmed(|point| (point.score, point.threshold) = (Similarity::Euclidean, 0.1))
                .contains("no score")
        );
        assert!(harmed(|point| point.far = 0.11).contains("error rates that cannot be"));
        assert!(harmed(|point| point.tar_interval.high = 2.0).contains("error rates that cannot be"));
        assert!(harmed(|point| point.impostor = 0).contains("was measured on no pairs"));
        assert!(harmed(|point| point.tensors_sha256 = "u".into()).contains("with other weights"));
        assert!(check(&[point.clone(), point.clone()], "t").unwrap_err().contains("is there twice"));
        assert!(check(&vec![point.clone(); 101], "t").unwrap_err().contains("100 is the most"));
    }

    #[test]
    fn a_score_is_that_of_the_pair_and_accepted_from_the_threshold_on() {
        let mut point =
            calibrate(&measured(300, 1000, |_| {}), "t", &targets(&["far=1e-1"])).unwrap().points.remove(0);
        let rows = [3.0, 4.0, 4.0, 3.0];
        let names = || ["a".to_owned(), "b".to_owned()];
        assert_eq!(point.score_of(&rows, 2, names()).unwrap(), 24.0 / 25.0);
        point.score = Similarity::Euclidean;
        assert_eq!(point.score_of(&rows, 2, names()).unwrap(), -2.0_f64.sqrt());
        assert!(point.score_of(&rows, 3, names()).is_err());
        assert!(point.accepts(point.threshold) && !point.accepts(point.threshold.next_down()));
    }

    #[test]
    fn a_search_names_a_stranger_as_often_as_one_of_its_comparisons_does() {
        let points =
            calibrate(&measured(300, 1000, |_| {}), "t", &targets(&["far=1e-1", "eer"])).unwrap().points;
        let [far, eer] = &points[..] else { panic!("{points:?}") };
        let near = |found: f64, right: f64| assert!((found - right).abs() < 1e-12, "{found} {right}");
        near(far.false_positive_rate(0), 0.0);
        near(far.false_positive_rate(1), 0.1);
        near(far.false_positive_rate(2), 0.19);
        near(eer.false_positive_rate(1), eer.far);
        let rare = NamedPoint { target: ThresholdTarget::Far(1e-9), ..far.clone() };
        near(rare.false_positive_rate(1000), 1e-6 - 999.0 * 500.0 * 1e-18);
    }

    #[test]
    fn a_short_threshold_is_not_above_the_long_one() {
        let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
        for i in 0..1000 {
            let long = (f64::from(stream.uniform()) - 0.5) / 3.0 * 10_f64.powi(i % 9 - 4);
            let short = shortened(long);
            assert!(short <= long && (long - short) <= long.abs() * 1.1e-11, "{long} {short}");
            assert!(short.to_string().trim_start_matches(['-', '0', '.']).len() <= 13, "{short}");
            assert_eq!(serde_json::from_str::<f64>(&serde_json::to_string(&short).unwrap()).unwrap(), short);
        }
        assert_eq!((shortened(0.0), shortened(0.25), shortened(-1.0)), (0.0, 0.25, -1.0));
    }

    #[test]
    fn small_rates_keep_their_digits() {
        let interval = Interval { low: 0.0, high: 1.0 };
        for (value, text) in
            [(0.5, "50.00"), (0.001, "0.10"), (0.000_012, "0.0012"), (1e-6, "0.00010"), (0.0, "0.00")]
        {
            assert_eq!(rate(value, interval), format!("{text} % (0.00 to 100.00)"));
        }
    }
}
