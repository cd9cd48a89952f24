//! Operating points: thresholds for the scores of a model, each with the error rates measured at it and with
//! all that has to be the same for them to hold. They are kept in the model file.

use std::{fmt, str::FromStr};

use facegrad_results::Interval;
use facegrad_verification::{
    Centring, Flip, IdentificationResult, IdentityScore, LostFaces, LostPairs, Pair, PairList, Provenance,
    Roc, ScoreError, Scores, Similarity, TooFewStrangers, Unmeasurable, VerificationResult, best_threshold,
    wilson,
};
use serde::{Deserialize, Serialize};

use crate::{
    ProtocolOutcome, ProtocolResult,
    evaluation::{PairOutcome, SearchOutcome},
};

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
    /// `fpir=<rate>`: a threshold at which a search in a gallery names somebody for not more than this share of
    /// strangers.
    Fpir(f64),
}

impl ThresholdTarget {
    /// Whether searches in a gallery are what it is measured on, and pairs are not.
    pub fn is_of_searches(self) -> bool {
        matches!(self, Self::Fpir(_))
    }
}

impl fmt::Display for ThresholdTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The shortest digits that give the number again, so that each rate has one name.
            Self::Far(rate) => write!(f, "far={rate:e}"),
            Self::EqualErrors => f.write_str("eer"),
            Self::BestAccuracy => f.write_str("accuracy"),
            Self::Fpir(rate) => write!(f, "fpir={rate:e}"),
        }
    }
}

impl FromStr for ThresholdTarget {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let rate = |name: &str| {
            let rate = word.strip_prefix(name)?.parse().ok();
            rate.filter(|rate| *rate >= LOWEST_RATE && *rate < 1.0)
        };
        match word {
            "eer" => Ok(Self::EqualErrors),
            "accuracy" => Ok(Self::BestAccuracy),
            _ => rate("far=").map(Self::Far).or_else(|| rate("fpir=").map(Self::Fpir)).ok_or_else(|| {
                format!("\"{word}\" is no operating point; they are far=<rate from {LOWEST_RATE:e} to below 1>, eer, accuracy and fpir=<rate>")
            }),
        }
    }
}

/// No list of pairs or probes supports lower rates.
const LOWEST_RATE: f64 = 1e-12;

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

/// The error rates at a threshold, and what they were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MeasuredRates {
    /// Of decisions about two images.
    Pairs(PairRates),
    /// Of searches in a gallery.
    Searches(SearchRates),
}

/// Error rates of decisions about two images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairRates {
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
}

/// Error rates of searches in a gallery, which hold for one of this size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchRates {
    /// The false-positive identification rate: the share of probes of strangers that somebody is named for.
    pub fpir: f64,
    /// Its 95 % interval (Wilson, which takes probes as independent).
    pub fpir_interval: Interval,
    /// The true-positive identification rate at rank 1: the share of probes of people in the gallery whose own person is
    /// named first. Absent without such probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpir: Option<f64>,
    /// Its 95 % interval (Wilson).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpir_interval: Option<Interval>,
    /// Number of probes whose person is not in the gallery.
    pub strangers: usize,
    /// Number of people on these.
    pub stranger_people: usize,
    /// Number of probes whose person is in the gallery.
    pub mated: usize,
    /// Number of people in the gallery.
    pub gallery_people: usize,
    /// Number of images in the gallery.
    pub gallery_images: usize,
}

impl SearchRates {
    /// What the rates were measured on, in words.
    fn measured_on(&self) -> String {
        let mated = match self.mated {
            0 => String::new(),
            mated => format!(", and {mated} of people in it,"),
        };
        format!(
            "{} probes of {} people who are not in the gallery{mated} searched among {} people ({} images)",
            self.strangers, self.stranger_people, self.gallery_people, self.gallery_images
        )
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
    /// The error rates, on what the threshold was chosen on.
    #[serde(flatten)]
    pub rates: MeasuredRates,
    /// What became of images that were not there or could not be read, in words, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// The protocol in words.
    pub protocol: String,
    /// SHA-256 of the list of pairs, or of the lists of gallery and probes.
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

    /// The share of strangers that a search in a gallery of so many people and images would name somebody for (FPIR),
    /// from the lower to the higher estimate, if comparisons were independent of each other.
    ///
    /// Of a point of pairs it is 1 − (1 − FAR)^n with one comparison a person, and with one an image, by the
    /// false-accept rate that the point was chosen for, or the measured one where it was chosen for something else. Of a
    /// point of searches it is 1 − (1 − FPIR)^(n / N) by the measured rate among N people, both times, which is the
    /// measured rate itself for a gallery of as many.
    pub fn expected_fpir(&self, people: usize, images: usize) -> [f64; 2] {
        let of = |rate: f64, times: f64| -(times * (-rate).ln_1p()).exp_m1();
        match (self.rates, self.target) {
            (MeasuredRates::Pairs(rates), target) => {
                let far = if let ThresholdTarget::Far(rate) = target { rate } else { rates.far };
                [people, images].map(|comparisons| of(far, comparisons as f64))
            }
            (MeasuredRates::Searches(rates), _) => {
                [of(rates.fpir, people as f64 / rates.gallery_people as f64); 2]
            }
        }
    }

    /// The error rates and what they were measured on, on one line.
    pub fn describe(&self) -> String {
        let rates = match &self.rates {
            MeasuredRates::Pairs(rates) => format!(
                "FAR {} and TAR {}, on the {} genuine and {} impostor pairs the threshold was chosen on: {}",
                rate(rates.far, rates.far_interval),
                rate(rates.tar, rates.tar_interval),
                rates.genuine,
                rates.impostor,
                self.protocol
            ),
            MeasuredRates::Searches(rates) => format!(
                "FPIR {}{}, on the {} that the threshold was chosen on: {}",
                rate(rates.fpir, rates.fpir_interval),
                match rates.tpir.zip(rates.tpir_interval) {
                    Some((tpir, interval)) => format!(" and TPIR {}", rate(tpir, interval)),
                    None => String::new(),
                },
                rates.measured_on(),
                self.protocol
            ),
        };
        match &self.lost {
            Some(lost) => format!("{rates}; lost: {lost}"),
            None => rates,
        }
    }

    /// What the rates were measured on, in words.
    pub fn measured_on(&self) -> String {
        match &self.rates {
            MeasuredRates::Pairs(rates) => {
                format!(
                    "{} genuine and {} impostor pairs of {}",
                    rates.genuine, rates.impostor, self.protocol
                )
            }
            MeasuredRates::Searches(rates) => format!("{}: {}", rates.measured_on(), self.protocol),
        }
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
    /// Those for which there are too few pairs or probes.
    pub too_few: Vec<TooFew>,
}

/// A point that there are too few pairs or probes for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TooFew {
    /// What the threshold would be chosen for.
    #[serde(rename = "name")]
    pub target: ThresholdTarget,
    /// Of what there is too little.
    #[serde(flatten)]
    pub counts: TooFewCounts,
}

/// How much of what there is and should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TooFewCounts {
    /// Pairs.
    Pairs {
        /// Genuine pairs needed.
        genuine_needed: usize,
        /// Genuine pairs there are.
        genuine: usize,
        /// Impostor pairs needed.
        impostors_needed: usize,
        /// Impostor pairs there are.
        impostor: usize,
        /// Impostor pairs of these that are lost and count as accepted.
        #[serde(skip_serializing_if = "is_zero")]
        lost_impostors: usize,
    },
    /// Probes of people who are not in the gallery.
    Strangers {
        /// Probes needed.
        strangers_needed: usize,
        /// Probes there are.
        strangers: usize,
        /// Probes of these that are lost and count as false alarms.
        #[serde(skip_serializing_if = "is_zero")]
        lost_strangers: usize,
    },
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, needed, found) = match self.counts {
            TooFewCounts::Pairs { impostors_needed, impostor, .. } if impostor < impostors_needed => {
                ("impostor pairs", impostors_needed, impostor)
            }
            TooFewCounts::Pairs { genuine_needed, genuine, .. } if genuine < genuine_needed => {
                ("genuine pairs", genuine_needed, genuine)
            }
            TooFewCounts::Strangers { strangers_needed, strangers, .. } if strangers < strangers_needed => {
                ("probes of people who are not in the gallery", strangers_needed, strangers)
            }
            TooFewCounts::Pairs { impostor, lost_impostors, .. } => {
                let lost = "impostor pairs are of lost images and count as accepted";
                return write!(
                    f,
                    "{} is out of reach: {lost_impostors} of the {impostor} {lost}",
                    self.target
                );
            }
            TooFewCounts::Strangers { strangers, lost_strangers, .. } => {
                let lost = "probes of people who are not in the gallery are lost and count as false alarms";
                return write!(
                    f,
                    "{} is out of reach: {lost_strangers} of the {strangers} {lost}",
                    self.target
                );
            }
        };
        write!(f, "{} needs {needed} {what}, and there are {found}", self.target)
    }
}

/// Why a measurement gives no operating points.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum CalibrationError {
    /// The protocol compares no pairs and searches no gallery.
    #[error(
        "thresholds are measured on pairs of images, or on probes searched in a gallery, and this protocol is of another kind; take one of pairs, or identification"
    )]
    NoPairs,
    /// The point is measured on what the protocol has not.
    #[error(
        "{target} is measured on {}, and {protocol} has {}",
        kind_in_words(target.is_of_searches()), kind_in_words(!target.is_of_searches())
    )]
    OtherKind { target: ThresholdTarget, protocol: String },
    /// Two images alone cannot be scored in this way.
    #[error(
        "{0}; two images alone cannot be compared in that way, so its thresholds would not hold for them"
    )]
    NotForTwoImages(String),
    /// Not both kinds of pairs.
    #[error("{protocol} has {what}, and a threshold has to be weighed between genuine and impostor pairs")]
    OneClass { protocol: String, what: &'static str },
}

/// What points are measured on.
fn kind_in_words(searches: bool) -> &'static str {
    match searches {
        true => "probes searched in a gallery (--protocol identification)",
        false => "pairs of images",
    }
}

/// Fewer pairs of either kind do not say where errors are equal or accuracy is best; as many as FAR 0.1 needs.
const FEWEST: usize = 100;

/// The operating points at `targets` of the model with these tensors, from what was measured of it.
///
/// A point is left out if there is too little for it: a false-accept rate needs ten times its inverse of impostor pairs
/// ([`Roc::tar_at_far`]), a false-positive identification rate as many probes of strangers, the others 100 pairs of
/// either kind.
///
/// # Errors
/// If what was measured are neither pairs of both kinds nor searches, a target is not measured on such, or scores are
/// not those that two images alone have.
pub fn calibrate(
    measured: &ProtocolOutcome,
    tensors_sha256: &str,
    targets: &[ThresholdTarget],
) -> Result<Calibration, CalibrationError> {
    let kind = |searches: bool, from: &Provenance| {
        let other = targets.iter().find(|target| target.is_of_searches() != searches);
        other.map_or(Ok(()), |&target| {
            Err(CalibrationError::OtherKind { target, protocol: from.protocol.clone() })
        })
    };
    match (&measured.outcome, &measured.pairs, &measured.search) {
        (ProtocolResult::Verification(result), Some(pairs), _) => {
            kind(false, &result.provenance)?;
            of_pairs(result, pairs, tensors_sha256, targets)
        }
        (ProtocolResult::Identification(result), _, Some(search)) => {
            kind(true, &result.provenance)?;
            of_searches(result, search, tensors_sha256, targets)
        }
        _ => Err(CalibrationError::NoPairs),
    }
}

/// Refuses scores that two images alone do not have.
fn for_two_images(from: &Provenance) -> Result<(), CalibrationError> {
    let how = match (from.centring, from.switches.iter().next()) {
        (Centring::None, None) => return Ok(()),
        (Centring::None, Some((switch, value))) => format!("it was measured with {switch} {value}"),
        (centring, _) => format!("with centring {centring} the mean of many embeddings is subtracted"),
    };
    Err(CalibrationError::NotForTwoImages(how))
}

fn of_pairs(
    result: &VerificationResult,
    pairs: &PairOutcome,
    tensors_sha256: &str,
    targets: &[ThresholdTarget],
) -> Result<Calibration, CalibrationError> {
    let from = &result.provenance;
    for_two_images(from)?;
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
                let rates = MeasuredRates::Pairs(PairRates {
                    far: false_accepts as f64 / roc.impostor() as f64,
                    far_interval: wilson(false_accepts, roc.impostor()),
                    tar: true_accepts as f64 / roc.genuine() as f64,
                    tar_interval: wilson(true_accepts, roc.genuine()),
                    genuine: roc.genuine(),
                    impostor: roc.impostor(),
                });
                let image_size = pairs.embedded.image_size;
                let point = named(target, threshold, rates, from, image_size, tensors_sha256);
                let lost = result.lost.as_ref().map(LostPairs::describe);
                calibration.points.push(NamedPoint { lost, ..point });
            }
        }
    }
    Ok(calibration)
}

fn of_searches(
    result: &IdentificationResult,
    measured: &SearchOutcome,
    tensors_sha256: &str,
    targets: &[ThresholdTarget],
) -> Result<Calibration, CalibrationError> {
    let from = &result.provenance;
    for_two_images(from)?;
    if result.identity_score != IdentityScore::Max {
        let how = format!("it was measured with identity_score {}", result.identity_score);
        return Err(CalibrationError::NotForTwoImages(how));
    }
    let mut calibration = Calibration { points: Vec::new(), too_few: Vec::new() };
    for &target in targets {
        let ThresholdTarget::Fpir(fpir) = target else { continue };
        let found = match measured.search.threshold_at_fpir(fpir) {
            Ok(found) => found,
            Err(TooFewStrangers { needed, found, lost }) => {
                let counts = TooFewCounts::Strangers {
                    strangers_needed: needed,
                    strangers: found,
                    lost_strangers: lost,
                };
                calibration.too_few.push(TooFew { target, counts });
                continue;
            }
        };
        let of_mated = found.mated > 0;
        let rates = MeasuredRates::Searches(SearchRates {
            fpir: found.false_positives as f64 / found.strangers as f64,
            fpir_interval: wilson(found.false_positives, found.strangers),
            tpir: of_mated.then(|| found.true_positives as f64 / found.mated as f64),
            tpir_interval: of_mated.then(|| wilson(found.true_positives, found.mated)),
            strangers: found.strangers,
            stranger_people: found.stranger_identities,
            mated: found.mated,
            gallery_people: result.gallery_identities,
            gallery_images: result.gallery_images,
        });
        // It lies between two scores in f32, further from both than twelve digits.
        let threshold = if found.threshold < 1.0 { shortened(found.threshold) } else { found.threshold };
        let point = named(target, threshold, rates, from, measured.image_size, tensors_sha256);
        let lost = result.lost.as_ref().map(LostFaces::describe);
        calibration.points.push(NamedPoint { lost, ..point });
    }
    Ok(calibration)
}

/// A point with what has to be the same for it to hold.
fn named(
    target: ThresholdTarget,
    threshold: f64,
    rates: MeasuredRates,
    from: &Provenance,
    image_size: Option<[usize; 2]>,
    tensors_sha256: &str,
) -> NamedPoint {
    NamedPoint {
        target,
        threshold,
        rates,
        lost: None,
        protocol: from.protocol.clone(),
        pairs_sha256: from.pairs_sha256.clone(),
        images_sha256: from.images_sha256.clone(),
        image_size,
        flip: from.flip,
        score: from.score,
        backend: from.backend.clone(),
        tensors_sha256: tensors_sha256.into(),
    }
}

/// The highest number of twelve digits that is not above `threshold`: JSON gives it back to the last bit, which
/// readers of JSON do not promise of longer numbers, and it is exact far beyond what backends agree on.
fn shortened(threshold: f64) -> f64 {
    let rounded = |value: f64| format!("{value:.11e}").parse().unwrap_or(value);
    let nearest = rounded(threshold);
    if nearest <= threshold { nearest } else { rounded(threshold - threshold.abs() * 5e-12) }
}

/// The threshold for `target`, if there are pairs enough.
fn threshold(target: ThresholdTarget, roc: &Roc, scores: &Scores) -> Result<f64, TooFew> {
    let (genuine, impostor) = (roc.genuine(), roc.impostor());
    let lost_impostors = scores.lost().iter().filter(|pair| !pair.same).count();
    let needs = |genuine_needed, impostors_needed| TooFew {
        target,
        counts: TooFewCounts::Pairs { genuine_needed, genuine, impostors_needed, impostor, lost_impostors },
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

/// `new` points together with those of `old` that they do not replace: false-accept rates first, falling, and
/// those of searches last.
pub fn merged(old: &[NamedPoint], new: &[NamedPoint]) -> Vec<NamedPoint> {
    let kept = old.iter().filter(|old| new.iter().all(|new| new.target != old.target));
    let mut all: Vec<NamedPoint> = kept.chain(new).cloned().collect();
    let rank = |point: &NamedPoint| match point.target {
        ThresholdTarget::Far(rate) => -rate,
        ThresholdTarget::EqualErrors => 1.0,
        ThresholdTarget::BestAccuracy => 2.0,
        // Rates are below 1.
        ThresholdTarget::Fpir(rate) => 4.0 - rate,
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
        let in_range = match point.score {
            // Just above 1 rejects all.
            Similarity::Cosine => (-1.0..=1.0 + f64::EPSILON).contains(&point.threshold),
            Similarity::Euclidean => point.threshold.is_finite() && point.threshold <= f64::EPSILON,
        };
        let problem = if points[..i].iter().any(|other| other.target == point.target) {
            "is there twice"
        } else if !in_range {
            "has a threshold that no score can be at"
        } else if point.target.is_of_searches() != matches!(point.rates, MeasuredRates::Searches(_)) {
            "has the error rates of another kind"
        } else if !rates_hold(point.target, &point.rates) {
            "has error rates that cannot be"
        } else if is_of_nothing(&point.rates) {
            "was measured on no pairs or probes"
        } else if point.tensors_sha256 != tensors_sha256 {
            "was measured with other weights"
        } else {
            continue;
        };
        return Err(format!("its operating point {} {problem}; calibrate it anew", point.target));
    }
    Ok(())
}

/// Whether the rates lie in their intervals and do not exceed what they were chosen for.
fn rates_hold(target: ThresholdTarget, rates: &MeasuredRates) -> bool {
    let holds = |value: f64, interval: Interval| {
        interval.low >= 0.0
            && interval.high <= 1.0
            && interval.low <= value + ROUNDING
            && value <= interval.high + ROUNDING
    };
    let within = |value: f64| match target {
        ThresholdTarget::Far(rate) | ThresholdTarget::Fpir(rate) => value <= rate + ROUNDING,
        ThresholdTarget::EqualErrors | ThresholdTarget::BestAccuracy => true,
    };
    match rates {
        MeasuredRates::Pairs(rates) => {
            holds(rates.far, rates.far_interval) && holds(rates.tar, rates.tar_interval) && within(rates.far)
        }
        MeasuredRates::Searches(rates) => {
            let of_mated = match (rates.tpir, rates.tpir_interval) {
                (None, None) => rates.mated == 0,
                (Some(tpir), Some(interval)) => holds(tpir, interval),
                _ => false,
            };
            holds(rates.fpir, rates.fpir_interval) && of_mated && within(rates.fpir)
        }
    }
}

/// Whether nothing stands behind the rates.
fn is_of_nothing(rates: &MeasuredRates) -> bool {
    match rates {
        MeasuredRates::Pairs(rates) => rates.genuine == 0 || rates.impostor == 0,
        MeasuredRates::Searches(rates) => {
            rates.strangers == 0 || rates.gallery_people == 0 || rates.gallery_images < rates.gallery_people
        }
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};
    use facegrad_verification::{LostProbes, Mate, ProbeMatch, Resampling, ScoredPair, Search, accuracy};

    use super::*;
    use crate::ImageEmbeddings;

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
        ProtocolOutcome {
            outcome: ProtocolResult::Verification(result),
            pairs: Some(pairs),
            search: None,
            curve: None,
        }
    }

    fn of_pairs(point: &NamedPoint) -> PairRates {
        match point.rates {
            MeasuredRates::Pairs(rates) => rates,
            MeasuredRates::Searches(_) => panic!("{point:?}"),
        }
    }

    /// What an identification measures whose strangers score 0.000, 0.001 and so on, and whose mated probes 0.05 more
    /// than each tenth of them.
    fn searched(strangers: usize, change: impl Fn(&mut IdentificationResult)) -> ProtocolOutcome {
        let probe = |identity, top_score, mate| ProbeMatch { identity, top_identity: 0, top_score, mate };
        let others = (0..strangers).map(|i| probe(100 + i / 4, i as f32 / 1000.0, None));
        let mated = (0..strangers / 10).map(|i| {
            let score = i as f32 / 100.0 + 0.05;
            probe(0, score, Some(Mate { score, rank: 1, average_precision: 1.0 }))
        });
        let search = Search {
            probes: others.chain(mated).collect(),
            gallery_images: 30,
            gallery_identities: 10,
            rule: IdentityScore::Max,
            lost: LostProbes::default(),
        };
        let provenance = measured(100, 100, |_| {}).outcome.verification().unwrap().provenance.clone();
        let mut result = IdentificationResult::measure(&search, None, provenance);
        change(&mut result);
        ProtocolOutcome {
            outcome: ProtocolResult::Identification(result),
            pairs: None,
            search: Some(SearchOutcome { search, image_size: Some([20, 20]) }),
            curve: None,
        }
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
            ("fpir=0.01", "fpir=1e-2"),
        ] {
            let target: ThresholdTarget = word.parse().unwrap();
            assert_eq!(target.to_string(), name);
            assert_eq!(name.parse::<ThresholdTarget>().unwrap(), target);
            assert_eq!(serde_json::to_string(&target).unwrap(), format!("\"{name}\""));
        }
        for word in [
            "",
            "far",
            "far=",
            "far=0",
            "far=-1e-3",
            "far=1",
            "far=nan",
            "far=inf",
            "FAR=0.1",
            "1e-3",
            "fpir=0",
        ] {
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
            let own = of_pairs(point);
            assert_eq!(rates(point.threshold), (own.far, own.tar), "{}", point.target);
            assert!(own.far_interval.contains(own.far) && own.tar_interval.contains(own.tar));
            assert_eq!((own.genuine, own.impostor, point.image_size), (300, 1000, Some([112, 96])));
        }
        let all: Vec<f64> = scores.pairs().iter().map(|pair| pair.score).collect();
        for (point, target) in points.iter().zip([0.1, 0.01]) {
            assert!(of_pairs(point).far <= target);
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
            both.iter().map(|point| format!("{} {}", point.target, of_pairs(point).genuine)).collect();
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
        fn rates(point: &mut NamedPoint) -> &mut PairRates {
            match &mut point.rates {
                MeasuredRates::Pairs(rates) => rates,
                MeasuredRates::Searches(_) => panic!("{:?}", point.target),
            }
        }
        assert!(harmed(|point| rates(point).far = 0.11).contains("error rates that cannot be"));
        assert!(harmed(|point| rates(point).tar_interval.high = 2.0).contains("error rates that cannot be"));
        assert!(harmed(|point| rates(point).impostor = 0).contains("was measured on no pairs"));
        assert!(
            harmed(|point| point.target = ThresholdTarget::Fpir(0.1)).contains("error rates of another kind")
        );
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
        let near = |found: [f64; 2], right: [f64; 2]| {
            assert!((0..2).all(|i| (found[i] - right[i]).abs() < 1e-12), "{found:?} {right:?}");
        };
        near(far.expected_fpir(0, 0), [0.0; 2]);
        near(far.expected_fpir(1, 2), [0.1, 0.19]);
        near(eer.expected_fpir(1, 1), [of_pairs(eer).far; 2]);
        let rare = NamedPoint { target: ThresholdTarget::Far(1e-9), ..far.clone() };
        near(rare.expected_fpir(1000, 1000), [1e-6 - 999.0 * 500.0 * 1e-18; 2]);
    }

    #[test]
    fn a_point_of_searches_is_that_of_its_strangers() {
        let found =
            calibrate(&searched(1000, |_| {}), "t", &targets(&["fpir=1e-1", "fpir=1e-2", "fpir=1e-3"]));
        let Calibration { points, too_few } = found.unwrap();
        let [tenth, hundredth] = &points[..] else { panic!("{points:?}") };
        let MeasuredRates::Searches(rates) = tenth.rates else { panic!("{tenth:?}") };
        // A hundred strangers score 0.900 or more, one 0.899; ten mated probes 0.95 and more, one 0.90.
        assert!(tenth.threshold > 0.8990001 && tenth.threshold < 0.8999999, "{tenth:?}");
        assert_eq!((rates.fpir, rates.tpir), (0.1, Some(0.15)));
        assert_eq!((rates.fpir_interval, rates.tpir_interval), (wilson(100, 1000), Some(wilson(15, 100))));
        assert_eq!((rates.strangers, rates.stranger_people, rates.mated), (1000, 250, 100));
        assert_eq!((rates.gallery_people, rates.gallery_images), (10, 30));
        assert_eq!(
            (tenth.image_size, tenth.flip, tenth.score),
            (Some([20, 20]), Flip::Add, Similarity::Cosine)
        );
        assert!(hundredth.threshold > 0.9890001 && hundredth.threshold < 0.9899999, "{hundredth:?}");
        let [thousandth] = &too_few[..] else { panic!("{too_few:?}") };
        assert_eq!(
            thousandth.to_string(),
            "fpir=1e-3 needs 10000 probes of people who are not in the gallery, and there are 1000"
        );
        // In a gallery of as many people it is what was measured; in another one 1 - 0.9^(n / 10).
        let expected = [(10, 0.1), (20, 0.19), (5, 1.0 - 0.9_f64.sqrt()), (0, 0.0)];
        for (people, right) in expected {
            let [low, high] = tenth.expected_fpir(people, 7 * people);
            assert!((low - right).abs() < 1e-12 && low == high, "{people}: {low} {right}");
        }
        let said = tenth.describe();
        // Wilson by hand: 8.2909 to 12.0152, and 9.3060 to 23.2836.
        let rates = "FPIR 10.00 % (8.29 to 12.02) and TPIR 15.00 % (9.31 to 23.28), on the 1000 probes of 250 people who are \
            not in the gallery, and 100 of people in it, searched among 10 people (30 images) that";
        assert!(said.starts_with(rates), "{said}");

        // It is read again, after the points of pairs, and damage is found.
        let old = calibrate(&measured(300, 1000, |_| {}), "t", &targets(&["far=1e-1"])).unwrap().points;
        let all = merged(&points, &old);
        let names: Vec<String> = all.iter().map(|point| point.target.to_string()).collect();
        assert_eq!(names, ["far=1e-1", "fpir=1e-1", "fpir=1e-2"]);
        let text = serde_json::to_string(&all).unwrap();
        assert!(!text.contains("\"rates\"") && text.contains("\"fpir\":0.1"), "{text}");
        let read: Vec<NamedPoint> = serde_json::from_str(&text).unwrap();
        check(&read, "t").unwrap();
        // But for the last bits of intervals.
        let of = |points: &[NamedPoint]| -> Vec<_> {
            points.iter().map(|point| (point.target, point.threshold, point.describe())).collect()
        };
        assert_eq!(of(&read), of(&all));
        let harmed = |harm: fn(&mut SearchRates)| {
            let mut point = tenth.clone();
            let MeasuredRates::Searches(rates) = &mut point.rates else { panic!() };
            harm(rates);
            check(&[point], "t").unwrap_err()
        };
        assert!(harmed(|rates| rates.fpir = 0.11).contains("error rates that cannot be"));
        assert!(harmed(|rates| rates.tpir = None).contains("error rates that cannot be"));
        assert!(harmed(|rates| rates.gallery_people = 0).contains("was measured on no pairs or probes"));
    }

    #[test]
    fn searches_and_pairs_have_points_of_their_own() {
        let error = |measured: &ProtocolOutcome, names: &[&str]| {
            calibrate(measured, "t", &targets(names)).unwrap_err().to_string()
        };
        assert_eq!(
            error(&searched(1000, |_| {}), &["fpir=1e-1", "eer"]),
            "eer is measured on pairs of images, and drawn has probes searched in a gallery (--protocol identification)"
        );
        assert_eq!(
            error(&measured(300, 1000, |_| {}), &["fpir=1e-1"]),
            "fpir=1e-1 is measured on probes searched in a gallery (--protocol identification), and drawn has pairs of images"
        );
        let mean = searched(1000, |result| result.identity_score = IdentityScore::Mean);
        assert!(error(&mean, &["fpir=1e-1"]).starts_with("it was measured with identity_score mean; two"));
        let whitened = searched(1000, |result| {
            result.provenance.switches.insert("whitening".into(), "pca".into());
        });
        assert!(error(&whitened, &["fpir=1e-1"]).starts_with("it was measured with whitening pca; two"));
        let alone = calibrate(&searched(100, |_| {}), "t", &targets(&["fpir=1e-1"])).unwrap();
        assert_eq!(alone.points.len(), 1);
        assert_eq!(calibrate(&searched(99, |_| {}), "t", &targets(&["fpir=1e-1"])).unwrap().points, []);
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
