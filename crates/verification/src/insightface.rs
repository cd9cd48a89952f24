//! The verification procedure of insightface, for comparison with published tables.
//!
//! Most published accuracies on LFW, CFP-FP, AgeDB-30, CALFW and CPLFW come from `eval/verification.py` of
//! insightface's arcface_torch or a copy of it. It differs from [`k_fold`](crate::k_fold) and
//! [`Roc::tar_at_far`](crate::Roc::tar_at_far): distances are compared with thresholds on a grid, folds are
//! tenths of the list in its order, the first of equally good thresholds wins, the deviation has the
//! divisor n, and the threshold of a false-accept rate is read off an interpolated curve, so that the rate may
//! come out above its target. Take it to compare with such a table, and the others to know how good a model is.
//!
//! Given the same embeddings every number is equal to the last digit to what the Python program computes:
//! distances are summed in the order in which numpy sums them on x86-64. The program adds the embeddings of an
//! image and its mirror image in f64, [`Flip::Add`](crate::Flip::Add) in f32; that moves a distance by some
//! 1e-7, and a decision only where the distance crosses a threshold. `reference/insightface.py` made the
//! numbers that the tests compare with.

use std::{fmt, iter};

use serde::{Deserialize, Serialize};

use crate::{LostPair, MeasureError, Pair, PairList, Unmeasurable, scores::lengths};

/// The number of folds.
const FOLDS: usize = 10;

/// The false-accept rate that [`InsightfaceVal`] aims at.
const FAR_TARGET: f64 = 1e-3;

/// What insightface's procedure measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightfaceResult {
    /// The mean of the accuracies of the folds, from 0 to 1.
    pub accuracy: f64,
    /// Their standard deviation, with divisor n.
    pub deviation: f64,
    /// Each fold, in order.
    pub folds: Vec<InsightfaceFold>,
    /// The share of genuine pairs accepted at a false-accept rate; absent if a fold has pairs of one class
    /// only, where insightface divides by zero and stops, or if more pairs than that are lost and count as accepted.
    pub val: Option<InsightfaceVal>,
    /// Why there is none.
    pub val_unmeasurable: Option<Unmeasurable>,
}

/// The decisions in one fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InsightfaceFold {
    /// The share of pairs decided correctly.
    pub accuracy: f64,
    /// Pairs nearer than this squared distance are accepted.
    pub threshold: f64,
    /// The number of pairs.
    pub pairs: usize,
}

/// The share of genuine pairs accepted at a threshold for a false-accept rate (insightface's `val`).
///
/// It is given whatever the number of impostor pairs, as insightface does; from the 3,000 of LFW a rate of
/// 1e-3 is decided by the three nearest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightfaceVal {
    /// The false-accept rate aimed at on the other folds.
    pub target: f64,
    /// The mean over folds of the share of genuine pairs accepted.
    pub val: f64,
    /// Its standard deviation over folds, with divisor n.
    pub deviation: f64,
    /// The mean over folds of the false-accept rate that came out.
    pub far: f64,
    /// For each fold the squared distance below which pairs are accepted.
    pub thresholds: Vec<f64>,
}

/// Measures as insightface does.
///
/// The embeddings are brought to length 1 in f64 and compared by squared distance. For each tenth of the list
/// the threshold is the first of 0, 0.01, …, 3.99 that decides most of the other pairs correctly; `val`
/// interpolates linearly on 0, 0.001, …, 3.999. The folds of the list are not looked at.
///
/// Where several thresholds have the target as their false-accept rate, the interpolation has no single
/// answer. This takes what SciPy answers up to version 1.9.2: the largest of these thresholds, or 0 if they
/// reach to the end of the grid. Later versions refuse a curve with repeated values, so that insightface's
/// program fails on practically any list. If the target is out of reach the threshold is 0, as in insightface.
///
/// # Shapes
/// - `embeddings`: `[list.images(), dim]`, row by row; fused, as they leave the network, of any length but zero
///
/// # Errors
/// If the slice is not of this shape; an embedding is not finite, or zero; there are fewer than ten pairs; or
/// the pairs are not of both classes.
pub fn evaluate<I: fmt::Display>(
    embeddings: &[f32],
    dim: usize,
    list: &PairList<I>,
) -> Result<InsightfaceResult, MeasureError> {
    evaluate_with_errors(embeddings, dim, list, &[])
}

/// [`evaluate`] where pairs that were `lost` from the list count as decided wrongly at every threshold, in their places: the
/// folds are tenths of the whole list.
///
/// # Errors
/// As for [`evaluate`].
pub fn evaluate_with_errors<I: fmt::Display>(
    embeddings: &[f32],
    dim: usize,
    list: &PairList<I>,
    lost: &[LostPair],
) -> Result<InsightfaceResult, MeasureError> {
    if let Some(reason) = Unmeasurable::of_classes(list.genuine() > 0, list.impostor() > 0) {
        return Err(reason.into());
    }
    if list.pairs().len() + lost.len() < FOLDS {
        return Err(Unmeasurable::FewerPairsThanFolds.into());
    }
    let mut measured = distances(embeddings, dim, list)?.into_iter();
    let mut distances = Vec::with_capacity(measured.len() + lost.len());
    for &LostPair { index, same, .. } in lost {
        distances.extend(measured.by_ref().take(index.saturating_sub(distances.len())));
        // A distance that no threshold, or every threshold, is above.
        let value = if same { f64::INFINITY } else { f64::NEG_INFINITY };
        distances.push(Distance { value, same });
    }
    distances.extend(measured);
    let tests = tenths(&distances);
    let folds = accuracies(&distances, &tests);
    let accuracy: Vec<f64> = folds.iter().map(|fold| fold.accuracy).collect();
    let both = |fold: &&[Distance]| fold.iter().any(|pair| pair.same) && fold.iter().any(|pair| !pair.same);
    let val = match tests.iter().all(both) {
        true => val(&distances, &tests),
        false => Err(Unmeasurable::FoldOfOneClass),
    };
    Ok(InsightfaceResult {
        accuracy: mean(&accuracy),
        deviation: deviation(&accuracy),
        folds,
        val_unmeasurable: val.as_ref().err().copied(),
        val: val.ok(),
    })
}

/// The squared distance of one pair.
#[derive(Debug, Clone, Copy)]
struct Distance {
    value: f64,
    same: bool,
}

/// The squared distances of the pairs between embeddings of length 1.
fn distances<I: fmt::Display>(
    embeddings: &[f32],
    dim: usize,
    list: &PairList<I>,
) -> Result<Vec<Distance>, MeasureError> {
    lengths(embeddings, dim, list.images(), true)?;
    let norms: Vec<f64> = embeddings
        .chunks(dim)
        .map(|row| match einsum_of_squares(row).sqrt() {
            // sklearn.preprocessing.normalize leaves what is as short as this as it is.
            norm if norm < 10.0 * f64::EPSILON => 1.0,
            norm => norm,
        })
        .collect();
    let unit = |image: usize| {
        let norm = norms[image];
        embeddings[image * dim..(image + 1) * dim].iter().map(move |&x| f64::from(x) / norm)
    };
    let mut squares = Vec::with_capacity(dim);
    let distance = |pair: &Pair| {
        squares.clear();
        squares.extend(iter::zip(unit(pair.a), unit(pair.b)).map(|(a, b)| (a - b) * (a - b)));
        Distance { value: pairwise_sum(&squares), same: pair.same }
    };
    Ok(list.pairs().iter().map(distance).collect())
}

/// The folds of scikit-learn's `KFold` without shuffling: in order, the first ones longer by one pair where
/// the number of pairs is not a multiple of ten.
fn tenths(pairs: &[Distance]) -> Vec<&[Distance]> {
    let mut rest = pairs;
    let fold = |index| {
        let (fold, after) = rest.split_at(pairs.len() / FOLDS + usize::from(index < pairs.len() % FOLDS));
        rest = after;
        fold
    };
    (0..FOLDS).map(fold).collect()
}

fn accuracies(all: &[Distance], tests: &[&[Distance]]) -> Vec<InsightfaceFold> {
    let thresholds: Vec<f64> = (0..400).map(|i| f64::from(i) * 0.01).collect();
    let total = Scan::of(all, &thresholds);
    let fold = |test: &&[Distance]| {
        let test = Scan::of(test, &thresholds);
        let training = total.without(&test);
        // Of equals `max_by_key` takes the last, which in this direction is the lowest threshold.
        let best = (0..thresholds.len()).rev().max_by_key(|&i| training.correct(i)).unwrap_or(0);
        let pairs = test.genuine + test.impostor;
        let accuracy = test.correct(best) as f64 / pairs as f64;
        InsightfaceFold { accuracy, threshold: thresholds[best], pairs }
    };
    tests.iter().map(fold).collect()
}

fn val(all: &[Distance], tests: &[&[Distance]]) -> Result<InsightfaceVal, Unmeasurable> {
    let grid: Vec<f64> = (0..4000).map(|i| f64::from(i) * 0.001).collect();
    let total = Scan::of(all, &grid);
    let threshold = |test: &&[Distance]| {
        let training = total.without(&Scan::of(test, &grid));
        let far = |accepts: &usize| *accepts as f64 / training.impostor as f64;
        let far: Vec<f64> = training.false_accepts.iter().map(far).collect();
        // The rate grows with the threshold, so the last is the highest. Nothing but lost pairs is accepted at the first.
        match (far[0], far[far.len() - 1]) {
            (lowest, _) if lowest > FAR_TARGET => Err(Unmeasurable::LostImpostors),
            (_, highest) if highest >= FAR_TARGET => Ok(slinear(&far, &grid, FAR_TARGET)),
            _ => Ok(0.0),
        }
    };
    let thresholds: Vec<f64> = tests.iter().map(threshold).collect::<Result<_, _>>()?;
    let share = |same: bool| -> Vec<f64> {
        let of_fold = |(test, threshold): (&&[Distance], &f64)| {
            let of_class = test.iter().filter(|pair| pair.same == same);
            let accepted = of_class.clone().filter(|pair| pair.value < *threshold).count();
            accepted as f64 / of_class.count() as f64
        };
        tests.iter().zip(&thresholds).map(of_fold).collect()
    };
    let (val, far) = (share(true), share(false));
    Ok(InsightfaceVal {
        target: FAR_TARGET,
        val: mean(&val),
        deviation: deviation(&val),
        far: mean(&far),
        thresholds,
    })
}

/// How many pairs each threshold accepts.
struct Scan {
    genuine: usize,
    impostor: usize,
    true_accepts: Vec<usize>,
    false_accepts: Vec<usize>,
}

impl Scan {
    fn of(pairs: &[Distance], thresholds: &[f64]) -> Self {
        let count = |same: bool| {
            // Where the thresholds begin that accept a pair: those above its distance.
            let mut begins = vec![0; thresholds.len() + 1];
            for pair in pairs.iter().filter(|pair| pair.same == same) {
                begins[thresholds.partition_point(|threshold| *threshold <= pair.value)] += 1;
            }
            let of_class = begins.iter().sum();
            begins.pop();
            let accepts = begins.into_iter().scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            });
            (of_class, accepts.collect())
        };
        let ((genuine, true_accepts), (impostor, false_accepts)) = (count(true), count(false));
        Self { genuine, impostor, true_accepts, false_accepts }
    }

    fn without(&self, other: &Self) -> Self {
        let difference = |a: &[usize], b: &[usize]| iter::zip(a, b).map(|(a, b)| a - b).collect();
        Self {
            genuine: self.genuine - other.genuine,
            impostor: self.impostor - other.impostor,
            true_accepts: difference(&self.true_accepts, &other.true_accepts),
            false_accepts: difference(&self.false_accepts, &other.false_accepts),
        }
    }

    /// How many pairs the threshold at `index` decides correctly.
    fn correct(&self, index: usize) -> usize {
        self.true_accepts[index] + self.impostor - self.false_accepts[index]
    }
}

/// The value at `at` of the linear spline through the points `(x, y)`, of which there are at least two, with
/// `x` in ascending order and `at` within its range: SciPy's `interp1d(x, y, kind="slinear")` up to version
/// 1.9.2, in the operations of its B-splines.
fn slinear(x: &[f64], y: &[f64], at: f64) -> f64 {
    let right = x.partition_point(|x| *x <= at).clamp(1, x.len() - 1);
    let (low, high) = (x[right - 1], x[right]);
    if low == high {
        // Where the last points coincide both basis functions are zero.
        return 0.0;
    }
    let width = 1.0 / (high - low);
    y[right - 1] * (width * (high - at)) + y[right] * (width * (at - low))
}

/// `numpy.einsum("ij,ij->i", x, x)` for one row: two lanes, blocks of four pairs of numbers from the last
/// pair to the first.
fn einsum_of_squares(row: &[f32]) -> f64 {
    let mut lanes = [0.0; 2];
    let mut add = |pair: &[f32]| {
        for (lane, &x) in lanes.iter_mut().zip(pair) {
            *lane += f64::from(x) * f64::from(x);
        }
    };
    let blocks = row.chunks_exact(8);
    let rest = blocks.remainder();
    blocks.for_each(|block| block.rchunks_exact(2).for_each(&mut add));
    rest.chunks(2).for_each(&mut add);
    lanes[0] + lanes[1]
}

/// `numpy.sum` of contiguous numbers.
fn pairwise_sum(numbers: &[f64]) -> f64 {
    if numbers.len() < 8 {
        return numbers.iter().fold(0.0, |sum, x| sum + x);
    }
    if numbers.len() <= 128 {
        let (blocks, rest) = numbers.as_chunks::<8>();
        let mut s = blocks[0];
        for block in &blocks[1..] {
            s.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
        }
        let sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
        return rest.iter().fold(sum, |sum, x| sum + x);
    }
    let half = numbers.len() / 2;
    let (first, second) = numbers.split_at(half - half % 8);
    pairwise_sum(first) + pairwise_sum(second)
}

/// `numpy.mean`.
fn mean(values: &[f64]) -> f64 {
    pairwise_sum(values) / values.len() as f64
}

/// `numpy.std`.
fn deviation(values: &[f64]) -> f64 {
    let mean_value = mean(values);
    let squares: Vec<f64> = values.iter().map(|x| (x - mean_value) * (x - mean_value)).collect();
    mean(&squares).sqrt()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The generator of `reference/insightface.py`.
    struct Generator(u64);

    impl Generator {
        fn below(&mut self, n: i64) -> i64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as i64 % n
        }

        fn draw(&mut self) -> i64 {
            (0..4).map(|_| self.below(65536)).sum::<i64>() - 131070
        }
    }

    type Case = (Vec<f32>, usize, PairList<usize>);

    /// All pairs in one fold: the folds of the list are not looked at.
    fn list(images: usize, pairs: Vec<(i64, i64, bool)>) -> PairList<usize> {
        let pair = |(a, b, same)| Pair { a: a as usize, b: b as usize, same, fold: 0 };
        PairList::new((0..images).collect(), pairs.into_iter().map(pair).collect(), None)
    }

    fn people(of: &Value) -> Case {
        let number = |name: &str| of[name].as_i64().unwrap();
        let (people, per_person, dim) = (number("people"), number("per_person"), number("dim"));
        let mut g = Generator(number("seed") as u64);
        let centres: Vec<i64> = (0..people * dim).map(|_| g.draw()).collect();
        let mut embeddings = Vec::new();
        for centre in centres.chunks(dim as usize) {
            for _ in 0..per_person {
                let value = |c: &i64| number("own") * c + number("noise") * g.draw();
                let mut row: Vec<i64> =
                    centre.iter().map(value).map(|x| x.div_euclid(number("step"))).collect();
                if row.iter().all(|x| *x == 0) {
                    row[0] = 1;
                }
                embeddings.extend(row.iter().map(|x| *x as f32));
            }
        }
        let mut pair = |_| {
            let same = g.below(2) == 1;
            let a = g.below(people);
            let b = if same { a } else { (a + 1 + g.below(people - 1)) % people };
            let i = g.below(per_person);
            let j = (i + 1 + g.below(per_person - 1)) % per_person;
            (a * per_person + i, b * per_person + j, same)
        };
        let pairs = (0..number("pairs")).map(&mut pair).collect();
        (embeddings, dim as usize, list((people * per_person) as usize, pairs))
    }

    fn corners(of: &Value) -> Case {
        let number = |name: &str| of[name].as_i64().unwrap();
        let embeddings = vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, -1.0, 1.0];
        let genuine = (0..number("genuine")).map(|i| (0, 2 * (i % 2), true));
        let impostor =
            (0..number("impostor")).map(|i| (0, if i < number("near") { 2 } else { number("far") }, false));
        let fold: Vec<_> = genuine.chain(impostor).collect();
        (embeddings, 2, list(4, fold.repeat(FOLDS)))
    }

    fn cases() -> Vec<(String, Case, Value)> {
        let stored = crate::reference::read(include_str!("../reference/insightface.json"));
        let read = |case: &Value| {
            let made = match case.get("people") {
                Some(of) => people(of),
                None => corners(&case["corners"]),
            };
            (case["name"].as_str().unwrap().to_string(), made, case["expected"].clone())
        };
        stored["cases"].as_array().unwrap().iter().map(read).collect()
    }

    #[test]
    fn every_number_is_that_of_the_python_procedure() {
        for (name, (embeddings, dim, list), expected) in cases() {
            let bits = distances(&embeddings, dim, &list).unwrap();
            let sum = bits.iter().fold(0_u64, |sum, pair| sum.wrapping_add(pair.value.to_bits()));
            assert_eq!(format!("{sum:016x}"), expected["distances"], "{name}");

            let result = evaluate(&embeddings, dim, &list).unwrap();
            let json = serde_json::to_value(&result).unwrap();
            for key in ["accuracy", "deviation", "folds", "val"] {
                // Numbers of JSON are equal if all their bits are.
                assert_eq!(json[key], expected[key], "{name}: {key}");
            }
            let reason = expected["val"].is_null().then_some(Unmeasurable::FoldOfOneClass);
            assert_eq!(result.val_unmeasurable, reason, "{name}");
            assert_eq!(serde_json::from_value::<InsightfaceResult>(json).unwrap(), result);
        }
    }

    #[test]
    fn the_cases_reach_every_branch() {
        let thresholds = |name: &str| -> Vec<f64> {
            let case = cases().into_iter().find(|case| case.0 == name).unwrap();
            evaluate(&case.1.0, case.1.1, &case.1.2).unwrap().val.unwrap().thresholds
        };
        assert_eq!(thresholds("target out of reach"), [0.0; 10]);
        assert_eq!(thresholds("target reached at the end"), [0.0; 10]);
        // The squared distance 2 + √2 is the end of the range.
        assert_eq!(thresholds("target reached over a range"), [3.414; 10]);
        let lengths: Vec<usize> = cases().iter().map(|case| case.1.2.pairs().len() % FOLDS).collect();
        assert!(lengths.contains(&0) && lengths.contains(&7), "{lengths:?}");
        assert!(cases().iter().any(|case| case.2["val"].is_null()));
    }

    #[test]
    fn the_folds_of_the_list_do_not_matter() {
        let (_, (embeddings, dim, list), _) = cases().swap_remove(3);
        let other = list.pairs().iter().enumerate().map(|(i, pair)| Pair { fold: i % 3, ..*pair }).collect();
        let other = PairList::new(list.images().to_vec(), other, None);
        assert_eq!(evaluate(&embeddings, dim, &other), evaluate(&embeddings, dim, &list));
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let (_, (embeddings, dim, whole), _) = cases().swap_remove(3);
        let of = |keep: &dyn Fn(usize, &Pair) -> bool| {
            let pairs = whole.pairs().iter().enumerate().filter(|(i, pair)| keep(*i, pair));
            let pairs = pairs.map(|(_, pair)| *pair).collect();
            evaluate(&embeddings, dim, &PairList::new(whole.images().to_vec(), pairs, None))
        };
        let error = |keep: &dyn Fn(usize, &Pair) -> bool| of(keep).unwrap_err().to_string();
        assert_eq!(error(&|_, pair| pair.same), "not measurable: only genuine pairs");
        assert_eq!(error(&|_, pair| !pair.same), "not measurable: only impostor pairs");
        assert_eq!(error(&|_, _| false), "not measurable: no pairs");
        assert_eq!(error(&|i, _| i < 9), "not measurable: fewer pairs than folds");
        assert!(of(&|i, _| i < 10).is_ok());

        let zero = [&vec![0.0; dim], &embeddings[dim..]].concat();
        let sentence = evaluate(&zero, dim, &whole).unwrap_err().to_string();
        assert!(sentence.starts_with("the embedding of 0 is zero, so"), "{sentence}");
        assert!(evaluate(&embeddings[1..], dim, &whole).is_err());
        assert!(evaluate(&[], 0, &whole).is_err());
    }
}
