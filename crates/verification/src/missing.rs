//! Lists of pairs whose images are not all there: what becomes of the pairs of a lost image.
//!
//! An image is lost if its file is not there, cannot be read, or has no embedding. Its pairs have no score. They are left
//! out, or decided wrongly at every threshold: a genuine pair is rejected, an impostor pair accepted. Thresholds are chosen
//! on the pairs that are there, either way: errors that every threshold makes do not favour one.

use facegrad_results::numbers::thousands;
use facegrad_settings::choice;
use serde::{Deserialize, Serialize};

use crate::{Pair, PairList};

choice! {
    /// What becomes of images of a list that are not there or cannot be read.
    pub enum Missing {
        /// They are an error that names them.
        Error = "error",
        /// What they are compared in is left out and counted.
        Skip = "skip",
        /// What they are compared in is an error at every threshold.
        Wrong = "wrong",
    }
}

/// A pair that has no score, as one of its images is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostPair {
    /// Its place in the list, from 0.
    pub index: usize,
    /// The person on either image, as [`PairList::people`] has it.
    pub people: [usize; 2],
    /// Whether both show the same person.
    pub same: bool,
    /// The fold of the pair.
    pub fold: usize,
}

/// How many of `lost` are genuine and how many impostor pairs.
pub(crate) fn by_class(lost: &[LostPair]) -> [usize; 2] {
    let genuine = lost.iter().filter(|pair| pair.same).count();
    [genuine, lost.len() - genuine]
}

/// A list without the pairs of lost images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemainingPairs<I = String> {
    /// The pairs of images that are there, in folds of the same numbers.
    pub list: PairList<I>,
    /// Where each image of `list` is in the whole list.
    pub positions: Vec<usize>,
    /// The pairs that are not in it, in their order.
    pub lost: Vec<LostPair>,
}

impl<I: Clone> PairList<I> {
    /// The list without the pairs of images that are lost, and without these.
    ///
    /// # Panics
    /// If `is_lost` does not say so of each image.
    pub fn without(&self, is_lost: &[bool]) -> RemainingPairs<I> {
        assert_eq!(is_lost.len(), self.images().len(), "whether each image is lost");
        let positions: Vec<usize> = (0..is_lost.len()).filter(|&image| !is_lost[image]).collect();
        let mut there = vec![None; is_lost.len()];
        positions.iter().enumerate().for_each(|(new, &old)| there[old] = Some(new));
        let (mut pairs, mut lost) = (Vec::with_capacity(self.pairs().len()), Vec::new());
        for (index, &Pair { a, b, same, fold }) in self.pairs().iter().enumerate() {
            match (there[a], there[b]) {
                (Some(a), Some(b)) => pairs.push(Pair { a, b, same, fold }),
                _ => lost.push(LostPair { index, people: [a, b].map(|i| self.people()[i]), same, fold }),
            }
        }
        RemainingPairs { list: self.selected(&positions, pairs), positions, lost }
    }
}

/// Images of a list that are not there or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostImages {
    /// What became of what they are compared in: left out, or counted as errors at every threshold.
    pub missing: Missing,
    /// How many there are.
    pub images: usize,
    /// The first of them, and what is wrong with it.
    pub first: String,
}

impl LostImages {
    /// Of which images something is and what was done with it, as the end of a sentence.
    pub(crate) fn describe(&self) -> String {
        let images = match self.images {
            1 => "1 image".into(),
            several => format!("{} images", thousands(several)),
        };
        let done = match self.missing {
            Missing::Wrong => "counted as errors at every threshold",
            _ => "left out",
        };
        format!("of {images} that cannot be used, {done} (first: {})", self.first)
    }

    /// The columns of CSV.
    pub(crate) fn columns(&self) -> [(String, String); 2] {
        [("missing".into(), self.missing.to_string()), ("lost_images".into(), self.images.to_string())]
    }
}

/// What the lost images of a list did to a result of pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostPairs {
    /// Which images, and what became of their pairs.
    #[serde(flatten)]
    pub of: LostImages,
    /// The number of genuine pairs that they are in.
    pub genuine: usize,
    /// The number of impostor pairs that they are in.
    pub impostor: usize,
    /// The number of pairs that are left out of those that the threshold was chosen on.
    #[serde(default)]
    pub development: usize,
    /// The accuracy over the pairs that are there.
    pub accuracy_of_rest: Option<f64>,
    /// The accuracy over all pairs, where the lost ones count as errors.
    pub accuracy_with_errors: Option<f64>,
}

impl LostPairs {
    /// What became of them, in words.
    pub fn describe(&self) -> String {
        let [genuine, impostor] = [self.genuine, self.impostor].map(thousands);
        let development = match self.development {
            0 => String::new(),
            pairs => format!("; {} of the pairs for the threshold are left out", thousands(pairs)),
        };
        format!("{genuine} genuine, {impostor} impostor, {}{development}", self.of.describe())
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};
    use facegrad_results::Interval;

    use super::*;
    use crate::{
        Bootstrap, DETECTION_COSTS, People, Resampling, Roc, ScoredPair, Scores, Similarity, Unmeasurable,
        VerificationResult, accuracy, insightface, k_fold,
        text::{provenance, survives_json},
    };

    /// Pairs of `people` people with two images each in five folds, and embeddings of three numbers around their people.
    fn set(people: usize) -> (PairList<String>, Vec<f32>) {
        let mut stream = Stream::new(5, Purpose::Pairs, 0, 0);
        let images = (0..2 * people).map(|i| format!("{}/{i}.jpg", i / 2)).collect();
        let pair = |k: usize| {
            let (person, fold) = (k / 4 % people, k / 4 % people % 5);
            let other = (person + 5 * (1 + k % 4)) % people;
            let same = k.is_multiple_of(4);
            let b = if same { 2 * person + 1 } else { 2 * other };
            Pair { a: 2 * person, b, same, fold }
        };
        let mut pairs: Vec<Pair> = (0..4 * people).map(pair).collect();
        pairs.sort_by_key(|pair| pair.fold);
        let mut rows = Vec::new();
        for _ in 0..people {
            let of_person = [(); 3].map(|()| stream.normal());
            (0..2).for_each(|_| rows.extend(of_person.map(|x| x + 0.6 * stream.normal())));
        }
        (PairList::new(images, pairs, Some((0..2 * people).map(|i| i / 2).collect())), rows)
    }

    fn rows_of(positions: &[usize], rows: &[f32]) -> Vec<f32> {
        positions.iter().flat_map(|&image| &rows[3 * image..3 * image + 3]).copied().collect()
    }

    /// The set without images 0, 7 and 31, its scores, and those where a lost pair has a score that no other reaches: what a
    /// threshold between the others decides is the same.
    fn without_three() -> (RemainingPairs, Vec<f32>, Scores, Scores) {
        let (list, rows) = set(40);
        let is_lost: Vec<bool> = (0..80).map(|image| [0, 7, 31].contains(&image)).collect();
        let rest = list.without(&is_lost);
        let rows = rows_of(&rest.positions, &rows);
        let scores = Scores::of(Similarity::Cosine, &rows, 3, &rest.list).unwrap();
        let extreme = |pair: &LostPair| ScoredPair {
            score: if pair.same { -9.0 } else { 9.0 },
            same: pair.same,
            fold: pair.fold,
        };
        let all = scores.pairs().iter().copied().chain(rest.lost.iter().map(extreme)).collect();
        (rest, rows, scores, Scores::new(all).unwrap())
    }

    #[test]
    fn a_list_without_images_keeps_its_other_pairs_and_knows_those_that_went() {
        let images = ["a/1", "a/2", "b/1", "c/1"].map(String::from).into();
        let pair = |a, b, same, fold| Pair { a, b, same, fold };
        let pairs =
            vec![pair(0, 1, true, 0), pair(1, 2, false, 0), pair(0, 2, false, 3), pair(2, 3, false, 3)];
        let list = PairList::new(images, pairs, Some(vec![4, 4, 5, 6]));
        let rest = list.without(&[false, true, false, false]);
        assert_eq!(rest.list.images(), ["a/1", "b/1", "c/1"]);
        assert_eq!(rest.list.people(), [4, 5, 6]);
        assert_eq!(rest.list.pairs(), [pair(0, 1, false, 3), pair(1, 2, false, 3)]);
        assert_eq!(rest.positions, [0, 2, 3]);
        let lost = |index, people, same, fold| LostPair { index, people, same, fold };
        assert_eq!(rest.lost, [lost(0, [4, 4], true, 0), lost(1, [4, 5], false, 0)]);
        let whole = list.without(&[false; 4]);
        assert_eq!((whole.list, whole.lost), (list, vec![]));
    }

    #[test]
    fn a_lost_pair_is_wrong_at_every_threshold() {
        let (rest, _, scores, extreme) = without_three();
        let [genuine, impostor] = by_class(&rest.lost);
        assert!(genuine > 1 && impostor > 4);
        let counted = scores.clone().with_errors(rest.lost.clone());
        let (roc, of_rest, of_extreme) =
            (Roc::new(&counted).unwrap(), Roc::new(&scores).unwrap(), Roc::new(&extreme).unwrap());
        assert_eq!((roc.genuine(), roc.impostor()), (of_extreme.genuine(), of_extreme.impostor()));
        assert_eq!(roc.auc(), of_extreme.auc());
        assert!((roc.eer() - of_extreme.eer()).abs() < 1e-15);
        assert!(roc.auc() < of_rest.auc() && roc.eer() > of_rest.eer());
        // The point that rejects all that can be rejected, those between, and no point that accepts a lost genuine pair.
        assert_eq!(roc.curve()[0], (impostor as f64 / roc.impostor() as f64, 0.0));
        assert_eq!(roc.points()[1..], of_extreme.points()[2..of_extreme.points().len() - 1]);
        for cost in DETECTION_COSTS {
            let measured = roc.min_dcf(cost).measured;
            assert!(measured.is_none_or(|point| point.far > 0.0 && point.cost <= 99.0), "{measured:?}");
        }
        // 119 impostor pairs are enough for 0.1, and with a tenth of them lost no threshold keeps within it.
        let far = impostor as f64 / roc.impostor() as f64;
        let target = if far > 0.1 { 0.1 } else { far * 0.99 };
        assert_eq!(of_rest.tar_at_far(0.1).measured.map(|point| point.far <= 0.1), Some(true));
        assert_eq!(roc.with_errors(0, 30).tar_at_far(target.max(0.1)).measured, None);
    }

    #[test]
    fn folds_choose_their_thresholds_without_lost_pairs_and_count_them_as_errors() {
        let (rest, _, scores, _) = without_three();
        let of_rest = k_fold(&scores).unwrap();
        let counted = accuracy(&scores.clone().with_errors(rest.lost.clone()), None).unwrap();
        for (fold, before) in counted.folds.iter().zip(&of_rest.folds) {
            let lost = rest.lost.iter().filter(|pair| pair.fold == fold.fold).count();
            assert_eq!((fold.fold, fold.threshold), (before.fold, before.threshold));
            assert_eq!((fold.pairs, fold.correct()), (before.pairs + lost, before.correct()));
            assert_eq!(fold.accuracy, before.correct() as f64 / fold.pairs as f64);
        }
        assert!(counted.mean < of_rest.mean && counted.interval.high < of_rest.interval.high);
        // A fold that has lost all its pairs is all wrong.
        let gone = LostPair { index: 0, people: [0, 1], same: false, fold: 9 };
        let with_gone = of_rest.clone().with_errors(&[gone]);
        assert_eq!(with_gone.folds.len(), 6);
        assert!((with_gone.mean - of_rest.mean * 5.0 / 6.0).abs() < 1e-12);
        // A single threshold for all pairs has one fold, whatever that of the pair.
        let one = crate::same_pairs(&scores).unwrap().with_errors(&[gone]);
        assert_eq!((one.folds.len(), one.folds[0].false_accepts), (1, one.folds[0].false_accepts));
        assert_eq!(one.folds[0].pairs, scores.pairs().len() + 1);
    }

    #[test]
    fn resampled_people_take_their_lost_pairs_along() {
        let (rest, _, scores, extreme) = without_three();
        let people = People::with_lost(&rest.list, &rest.lost);
        let resampling = Resampling { people: Some(&people), rounds: 200, seed: 3 };
        let counted = scores.clone().with_errors(rest.lost.clone());
        let measured = accuracy(&counted, None).unwrap();
        let bootstrap = Bootstrap::new(&counted, Some(&measured), &resampling).unwrap();
        // The same pairs with scores that decide them wrongly: but for the thresholds beyond them, all is equal.
        let (list, _) = set(40);
        let order = rest.lost.iter().map(|pair| list.pairs()[pair.index]);
        let there = (0..list.pairs().len()).filter(|k| rest.lost.iter().all(|pair| pair.index != *k));
        let pairs: Vec<Pair> = there.map(|k| list.pairs()[k]).chain(order).collect();
        let ordered = PairList::new(list.images().to_vec(), pairs, Some(list.people().to_vec()));
        let all = People::of(&ordered);
        let of_extreme = Resampling { people: Some(&all), ..resampling };
        let direct = Bootstrap::new(&extreme, Some(&measured), &of_extreme).unwrap();
        let near = |a: Interval, b: Interval| {
            assert!((a.low - b.low).abs() < 1e-12 && (a.high - b.high).abs() < 1e-12, "{a:?} {b:?}");
        };
        near(bootstrap.accuracy.unwrap(), direct.accuracy.unwrap());
        near(bootstrap.auc, direct.auc);
        near(bootstrap.eer, direct.eer);
        assert_eq!(bootstrap.rounds, direct.rounds);
        assert!(bootstrap.accuracy.unwrap().contains(measured.mean));
        // People of another list of lost pairs are those of other pairs.
        let others = People::of(&rest.list);
        let wrong = Resampling { people: Some(&others), ..resampling };
        assert_eq!(Bootstrap::new(&counted, None, &wrong), Err(crate::NoBootstrap::OtherPairs));
    }

    #[test]
    fn insightface_counts_them_in_tenths_of_the_whole_list() {
        let (rest, rows, ..) = without_three();
        let of_rest = insightface::evaluate(&rows, 3, &rest.list).unwrap();
        let counted = insightface::evaluate_with_errors(&rows, 3, &rest.list, &rest.lost).unwrap();
        let pairs = |result: &insightface::InsightfaceResult| -> usize {
            result.folds.iter().map(|fold| fold.pairs).sum()
        };
        assert_eq!(pairs(&counted), pairs(&of_rest) + rest.lost.len());
        assert!(counted.accuracy < of_rest.accuracy, "{} {}", counted.accuracy, of_rest.accuracy);
        let lost_of_first = rest.lost.iter().filter(|pair| pair.index < counted.folds[0].pairs).count();
        assert!(lost_of_first > 0);
        let most = 1.0 - lost_of_first as f64 / counted.folds[0].pairs as f64;
        assert!(counted.folds[0].accuracy <= most);
        assert_eq!(counted.val, None);
        assert_eq!(counted.val_unmeasurable, Some(Unmeasurable::LostImpostors));
        // Lost genuine pairs alone are rejected at the threshold, which they do not change.
        let genuine: Vec<LostPair> = rest.lost.iter().filter(|pair| pair.same).copied().collect();
        let counted = insightface::evaluate_with_errors(&rows, 3, &rest.list, &genuine).unwrap();
        assert!(counted.val.unwrap().val < of_rest.val.unwrap().val);
    }

    #[test]
    fn a_result_says_both_numbers_and_what_was_done() {
        let (rest, _, scores, _) = without_three();
        let [genuine, impostor] = by_class(&rest.lost);
        let counted = scores.clone().with_errors(rest.lost.clone());
        let [of_rest, with_errors] = [&scores, &counted].map(|scores| accuracy(scores, None));
        let lost = |missing| LostPairs {
            of: LostImages { missing, images: 3, first: "0/0.jpg: it is not there".into() },
            genuine,
            impostor,
            development: 0,
            accuracy_of_rest: of_rest.as_ref().ok().map(|accuracy| accuracy.mean),
            accuracy_with_errors: with_errors.as_ref().ok().map(|accuracy| accuracy.mean),
        };
        let none = Resampling::default();
        let result = |scores, accuracy: &Result<_, _>, missing| {
            VerificationResult::of(scores, Clone::clone(accuracy), provenance("p"), &none)
                .with_lost(Some(lost(missing)))
        };
        let skipped = result(&scores, &of_rest, Missing::Skip);
        let wrong = result(&counted, &with_errors, Missing::Wrong);
        survives_json(&skipped);
        assert_eq!(skipped.genuine + genuine, wrong.genuine);
        let value = |result: &VerificationResult, key: &str| result.sheet().value(key).unwrap();
        assert_eq!(value(&skipped, "accuracy"), value(&wrong, "accuracy_of_rest"));
        assert_eq!(value(&skipped, "accuracy_with_errors"), value(&wrong, "accuracy"));
        let said = skipped.sheet().to_text();
        let line = format!(
            "lost pairs         {genuine} genuine, {impostor} impostor, of 3 images that cannot be used, left out (first: 0/0.jpg: it is not there)\n"
        );
        assert!(said.contains("\naccuracy with lost pairs as errors "), "{said}");
        assert!(said.contains(line.trim_start_matches("lost pairs").trim_start()), "{said}");
        let said = wrong.sheet().to_text();
        assert!(said.contains("\naccuracy without lost pairs "), "{said}");
        assert!(said.contains("counted as errors at every threshold (first: "), "{said}");
        let csv = facegrad_results::to_csv(&[&wrong.sheet()]);
        let header = csv.lines().next().unwrap();
        assert!(header.contains(",missing,lost_images,lost_genuine,lost_impostor,accuracy,"), "{header}");
        // One lost impostor pair in ten leaves no threshold at a false-accept rate of one in a hundred.
        let more =
            scores
                .clone()
                .with_errors(vec![LostPair { index: 0, people: [0, 1], same: false, fold: 0 }; 900]);
        let text = result(&more, &accuracy(&more, None), Missing::Wrong).sheet().to_text();
        let reason = "not measurable: more impostor pairs than that are of lost images and count as accepted";
        assert!(
            text.lines().any(|line| line.starts_with("TAR at FAR 1 %") && line.contains(reason)),
            "{text}"
        );
    }
}
