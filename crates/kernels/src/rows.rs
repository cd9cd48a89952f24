//! What losses make of the rows of a matrix of products, `[batch, classes]`: a number a row from logits that are
//! never written, and its gradient in the memory of the products.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    math,
    profile::{self, Scope, Work},
    scratch,
    simd::{self, fma},
};

/// Products that a task takes at a time: they stay in the fastest cache for a second pass.
const CHUNK: usize = 1 << 12;

/// How a product p of another class than the label's becomes a logit z, where s is `scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// z = s·p.
    Scaled {
        /// s.
        scale: f32,
    },
    /// z = s·p, and s·(a·p² + b·p + c) where p is above the threshold of its row.
    Hard {
        /// s.
        scale: f32,
        /// a, b and c.
        polynomial: [f32; 3],
    },
    /// z = s·α·(p − m), where α = max(0, p + m).
    Circle {
        /// s.
        scale: f32,
        /// m.
        margin: f32,
        /// Whether α is a constant to the gradient.
        detached: bool,
    },
    /// z = s·(2·((p + 1) / 2)ᵗ − 1) + shift, of p clamped to −1..1.
    Sharpened {
        /// s.
        scale: f32,
        /// t, above 0.
        power: f32,
        /// What is added.
        shift: f32,
    },
}

/// What becomes of the logits of a row, those of the other classes zⱼ and that of the label z_y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reduction {
    /// ln(e^z_y + Σ e^zⱼ).
    LogSumExp,
    /// z_y + Σ zⱼ.
    Sum,
    /// Σ max(0, zⱼ − z_y + δ).
    HingeSum {
        /// δ.
        delta: f32,
    },
    /// max(0, max zⱼ − z_y + δ). The gradient is that of the first largest.
    HingeMax {
        /// δ.
        delta: f32,
    },
    /// Σ ln(1 + e^zⱼ), without z_y.
    Softplus,
}

/// The logits of a batch, as far as they are not in the products.
#[derive(Debug, Clone, Copy)]
pub struct Logits<'a> {
    /// The class of each row, each in `0..classes`.
    pub labels: &'a [usize],
    /// Numbers of a row.
    pub classes: usize,
    /// z_y of each row.
    pub target: &'a [f32],
    /// What is added to zⱼ, of each row.
    pub offset: Option<&'a [f32]>,
    /// The threshold of [`Rule::Hard`], of each row.
    pub threshold: Option<&'a [f32]>,
    /// From p to zⱼ.
    pub rule: Rule,
    /// From the logits to the result.
    pub reduction: Reduction,
}

/// The gradients of [`Logits::forward`].
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// ∂L/∂p, of shape `[batch, classes]`, 0 at the labels.
    pub products: Vec<f32>,
    /// ∂L/∂z_y, of shape `[batch]`.
    pub target: Vec<f32>,
    /// That of the offset, of shape `[batch]`.
    pub offset: Vec<f32>,
}

impl Logits<'_> {
    /// The reduction of each row, in f64 for the backward pass: what rounding to f32 takes off a log-sum-exp of
    /// large logits, all shares would be off by.
    ///
    /// # Shapes
    /// - `products`: `[batch, classes]`
    /// - output: `[batch]`
    ///
    /// # Panics
    /// If a length is another, a label is out of range, or a rule lacks its threshold.
    pub fn forward(&self, products: &[f32]) -> Vec<f64> {
        self.check(products);
        let _profile = self.scope("forward", 1);
        let merge = match self.reduction {
            Reduction::LogSumExp => Part::with_exponentials,
            _ => Part::with_terms,
        };
        let of = |row, p: &[f32]| simd::dispatch(Forward { logits: self, row, p });
        let sums = parts(products, self.labels, self.classes, merge, of);
        sums.iter().zip(self.target).map(|(part, z)| self.finish(*part, f64::from(*z))).collect()
    }

    /// The gradients, where `value` is what [`Logits::forward`] gave and `g` = ∂L/∂value, in the memory of the
    /// products.
    ///
    /// # Panics
    /// As [`Logits::forward`] does.
    pub fn backward(&self, mut products: Vec<f32>, value: &[f64], g: &[f32]) -> Gradients {
        self.check(&products);
        let _profile = self.scope("backward", 2);
        let rows = products.par_chunks_mut(self.classes.max(1)).enumerate();
        let sums = rows.map(|(row, p)| self.change(row, p, value[row], g[row])).collect();
        self.gradients(products, sums, value, g)
    }

    /// The same in new memory.
    ///
    /// # Panics
    /// As [`Logits::forward`] does.
    pub fn backward_from(&self, products: &[f32], value: &[f64], g: &[f32]) -> Gradients {
        self.check(products);
        let _profile = self.scope("backward", 2);
        let mut gradient = Vec::new();
        let pieces = scratch::pieces(products.len(), self.classes);
        let sums = scratch::fill(&mut gradient, pieces, |row, offset, p| {
            p.copy_from_slice(&products[offset..offset + self.classes]);
            self.change(row, p, value[row], g[row])
        });
        self.gradients(gradient, sums, value, g)
    }

    fn check(&self, products: &[f32]) {
        let batch = check(products, self.classes, self.labels);
        assert_eq!(self.target.len(), batch);
        assert!(self.offset.is_none_or(|offset| offset.len() == batch));
        match self.threshold {
            Some(threshold) => assert_eq!(threshold.len(), batch),
            None => assert!(!matches!(self.rule, Rule::Hard { .. }), "hard examples need a threshold"),
        }
    }

    /// The result of a row from the sum of its others.
    fn finish(&self, part: Part, z: f64) -> f64 {
        let Part { largest, sum } = part;
        match self.reduction {
            Reduction::LogSumExp => {
                let all = Part { largest: z as f32, sum: 1.0 }.with_exponentials(part);
                f64::from(all.largest) + all.sum.ln()
            }
            Reduction::Sum => z + sum,
            Reduction::HingeSum { .. } | Reduction::Softplus => sum,
            // Not f64::max, which would lose NaN.
            Reduction::HingeMax { delta } => match f64::from(largest) - z + f64::from(delta) {
                distance if distance <= 0.0 => 0.0,
                distance => distance,
            },
        }
    }

    /// Turns the products of a row into their gradient, and gives the sum of ∂value/∂zⱼ.
    fn change(&self, row: usize, p: &mut [f32], value: f64, g: f32) -> f64 {
        let (exact, value) = (value, value as f32);
        if let Reduction::HingeMax { .. } = self.reduction {
            return self.change_largest(row, p, value, g);
        }
        if let Reduction::LogSumExp = self.reduction {
            // Shares are e^(z − value), so what rounding took off the value is a factor on all of them.
            let rest = Some((f64::from(value) - exact).exp()).filter(|rest| rest.is_finite()).unwrap_or(1.0);
            return rest * self.change_chunks(row, p, value, (f64::from(g) * rest) as f32);
        }
        self.change_chunks(row, p, value, g)
    }

    fn change_chunks(&self, row: usize, p: &mut [f32], value: f32, g: f32) -> f64 {
        let label = self.labels[row];
        let of = |(i, p): (usize, &mut [f32])| {
            let at = label.checked_sub(i * CHUNK).filter(|at| *at < p.len());
            let (before, after) = p.split_at_mut(at.unwrap_or(0));
            let after = match at {
                Some(_) => {
                    after[0] = 0.0;
                    &mut after[1..]
                }
                None => after,
            };
            simd::dispatch(Backward { logits: self, row, p: before, value, g })
                + simd::dispatch(Backward { logits: self, row, p: after, value, g })
        };
        if p.len() <= CHUNK {
            return of((0, p));
        }
        let sums: Vec<f64> = p.par_chunks_mut(CHUNK).enumerate().map(of).collect();
        sums.iter().sum()
    }

    /// The same where only the first largest has a gradient.
    fn change_largest(&self, row: usize, p: &mut [f32], value: f32, g: f32) -> f64 {
        let label = self.labels[row];
        let (before, after) = (&p[..label], &p[label + 1..]);
        let first = simd::dispatch(First { logits: self, row, p: before });
        let second = simd::dispatch(First { logits: self, row, p: after });
        let best = match (first, second) {
            (Some((at, z)), Some((_, other))) if other <= z || z.is_nan() => Some(at),
            (Some((at, _)), None) => Some(at),
            (_, second) => second.map(|(at, _)| label + 1 + at),
        };
        // NaN counts as above 0, so that it shows.
        let best = best.filter(|_| value > 0.0 || value.is_nan());
        let kept = best.map(|at| {
            let mut slope = [p[at]];
            simd::dispatch(Backward { logits: self, row, p: &mut slope, value, g });
            (at, slope[0])
        });
        p.fill(0.0);
        match kept {
            Some((at, slope)) => {
                p[at] = slope;
                1.0
            }
            None => 0.0,
        }
    }

    fn gradients(&self, products: Vec<f32>, sums: Vec<f64>, value: &[f64], g: &[f32]) -> Gradients {
        let offset = sums.iter().zip(g).map(|(sum, g)| (sum * f64::from(*g)) as f32).collect();
        let of_target = |row: usize| match self.reduction {
            Reduction::LogSumExp => (f64::from(self.target[row]) - value[row]).exp(),
            Reduction::Sum => 1.0,
            Reduction::HingeSum { .. } | Reduction::HingeMax { .. } => -sums[row],
            Reduction::Softplus => 0.0,
        };
        let target = (0..g.len()).map(|row| (of_target(row) * f64::from(g[row])) as f32).collect();
        Gradients { products, target, offset }
    }

    fn scope(&self, what: &str, passes: usize) -> Scope {
        let kind = match self.reduction {
            Reduction::LogSumExp => "log-sum-exp",
            Reduction::Sum => "sum of logits",
            Reduction::HingeSum { .. } => "hinge sum",
            Reduction::HingeMax { .. } => "hinge maximum",
            Reduction::Softplus => "softplus sum",
        };
        scope(kind, self.classes, what, passes * self.classes * self.labels.len())
    }
}

/// Checks lengths and labels, and gives the number of rows.
fn check(products: &[f32], classes: usize, labels: &[usize]) -> usize {
    assert_eq!(products.len(), labels.len() * classes);
    assert!(
        labels.iter().all(|label| *label < classes),
        "a label is not below the number of classes, {classes}"
    );
    labels.len()
}

fn scope(kind: &str, classes: usize, what: &str, numbers: usize) -> Scope {
    let work = Work { operations: 0, bytes: (4 * numbers) as u64 };
    profile::operator(|| (format!("{kind} {classes} {what}").trim_end().to_owned(), work))
}

/// The number of the label in each row.
///
/// # Shapes
/// - `products`: `[batch, classes]`
/// - output: `[batch]`
///
/// # Panics
/// If the lengths do not fit or a label is out of range.
pub fn pick(products: &[f32], classes: usize, labels: &[usize]) -> Vec<f32> {
    check(products, classes, labels);
    labels.iter().enumerate().map(|(row, label)| products[row * classes + label]).collect()
}

/// Adds `x`, of shape `[batch]`, to the numbers that [`pick`] gives.
///
/// # Panics
/// As [`pick`] does.
pub fn add_to_picked(products: &mut [f32], classes: usize, labels: &[usize], x: &[f32]) {
    check(products, classes, labels);
    assert_eq!(x.len(), labels.len());
    for (row, (label, x)) in labels.iter().zip(x).enumerate() {
        products[row * classes + label] += x;
    }
}

/// Rows of a matrix, `[batch, length]`.
///
/// # Panics
/// If a label is out of range.
pub fn pick_rows(weight: &[f32], length: usize, labels: &[usize]) -> Vec<f32> {
    labels.iter().flat_map(|label| &weight[label * length..][..length]).copied().collect()
}

/// Adds the rows of `x`, of shape `[batch, length]`, to those that [`pick_rows`] gives.
///
/// # Panics
/// If the lengths do not fit or a label is out of range.
pub fn add_to_picked_rows(weight: &mut [f32], length: usize, labels: &[usize], x: &[f32]) {
    assert_eq!(x.len(), labels.len() * length);
    for (label, x) in labels.iter().zip(x.chunks_exact(length.max(1))) {
        weight[label * length..][..length].iter_mut().zip(x).for_each(|(weight, x)| *weight += x);
    }
}

/// Mean and largest of the numbers of each row without that of the label; NaN and −∞ where there are none.
///
/// # Shapes
/// - `products`: `[batch, classes]`
/// - outputs: `[batch]`
///
/// # Panics
/// If the lengths do not fit or a label is out of range.
pub fn others(products: &[f32], classes: usize, labels: &[usize]) -> [Vec<f32>; 2] {
    check(products, classes, labels);
    let _profile = scope("others", classes, "", products.len());
    let sums = parts(products, labels, classes, Part::with_terms, |_, p| simd::dispatch(Others(p)));
    let mean = sums.iter().map(|part| (part.sum / (classes - 1) as f64) as f32).collect();
    [mean, sums.iter().map(|part| part.largest).collect()]
}

/// The largest of every `group` neighbours; NaN where one of them is.
///
/// # Panics
/// If `group` is 0 or does not divide the length.
pub fn group_max(x: &[f32], group: usize) -> Vec<f32> {
    assert!(x.len().is_multiple_of(group));
    let _profile = scope("largest of groups of", group, "forward", x.len() + x.len() / group);
    let mut y = Vec::new();
    scratch::fill(&mut y, scratch::pieces(x.len() / group, CHUNK), |_, offset, y| {
        for (y, x) in y.iter_mut().zip(x[offset * group..].chunks_exact(group)) {
            *y = x[first_largest(x)];
        }
    });
    y
}

/// The gradient of [`group_max`] from `g` = ∂L/∂y, in the memory of `x`.
///
/// # Panics
/// As [`group_max`] does, and if the length of `g` is not that of its result.
pub fn group_max_backward(mut x: Vec<f32>, group: usize, g: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), g.len() * group);
    let _profile = scope("largest of groups of", group, "backward", 2 * x.len() + g.len());
    x.par_chunks_mut(CHUNK * group).zip(g.par_chunks(CHUNK)).for_each(|(x, g)| {
        for (x, g) in x.chunks_exact_mut(group).zip(g) {
            let best = first_largest(x);
            x.iter_mut().enumerate().for_each(|(i, x)| *x = if i == best { *g } else { 0.0 });
        }
    });
    x
}

/// The index of the first NaN, or else of the first largest.
#[inline(always)]
fn first_largest(x: &[f32]) -> usize {
    let mut best = 0;
    for (i, number) in x.iter().enumerate() {
        if *number > x[best] || (number.is_nan() && !x[best].is_nan()) {
            best = i;
        }
    }
    best
}

/// A part of the others of a row.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// The largest logit; NaN if there is one.
    largest: f32,
    /// Of the exponentials of the distances from the largest, or of what else the reduction adds up.
    sum: f64,
}

impl Part {
    const EMPTY: Self = Self { largest: f32::NEG_INFINITY, sum: 0.0 };

    /// Both parts together, where the sums are of terms.
    fn with_terms(self, other: Self) -> Self {
        let first = self.largest >= other.largest || self.largest.is_nan();
        Self { largest: if first { self.largest } else { other.largest }, sum: self.sum + other.sum }
    }

    /// Both parts together, where the sums are of exponentials.
    fn with_exponentials(self, other: Self) -> Self {
        let largest = self.with_terms(other).largest;
        // A part of nothing has a largest of −∞, whose distance from itself would be NaN.
        let sum = |part: Self| match part.sum == 0.0 {
            true => 0.0,
            false => part.sum * (f64::from(part.largest) - f64::from(largest)).exp(),
        };
        Self { largest, sum: sum(self) + sum(other) }
    }
}

/// Calls `f` with the row and every chunk of it, without the label, and merges what it gives, in order.
fn parts(
    products: &[f32],
    labels: &[usize],
    classes: usize,
    merge: fn(Part, Part) -> Part,
    f: impl Fn(usize, &[f32]) -> Part + Sync,
) -> Vec<Part> {
    let chunks = classes.div_ceil(CHUNK).max(1);
    let found: Vec<Part> = (0..labels.len() * chunks)
        .into_par_iter()
        .map(|i| {
            let (row, start) = (i / chunks, i % chunks * CHUNK);
            let p = &products[row * classes..][..classes];
            let (label, end) = (labels[row], (start + CHUNK).min(classes));
            match (start..end).contains(&label) {
                true => merge(f(row, &p[start..label]), f(row, &p[label + 1..end])),
                false => f(row, &p[start..end]),
            }
        })
        .collect();
    found.chunks_exact(chunks).map(|parts| parts.iter().copied().fold(Part::EMPTY, merge)).collect()
}

/// A logit z(p) of another class.
trait Logit: Copy {
    fn at<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s;

    /// dz/dp.
    fn slope<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
struct Scaled {
    scale: f32,
    offset: f32,
}

impl Logit for Scaled {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        fma(simd, simd.splat_f32s(self.scale), p, simd.splat_f32s(self.offset))
    }

    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, _: S::f32s) -> S::f32s {
        simd.splat_f32s(self.scale)
    }
}

#[derive(Clone, Copy)]
struct Hard {
    scaled: Scaled,
    threshold: f32,
    polynomial: [f32; 3],
}

impl Logit for Hard {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        let [a, b, c] = [0, 1, 2].map(|k| simd.splat_f32s(self.polynomial[k]));
        let y = fma(simd, fma(simd, a, p, b), p, c);
        let hard = simd.greater_than_f32s(p, simd.splat_f32s(self.threshold));
        self.scaled.at(simd, simd.select_f32s(hard, y, p))
    }

    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        let [a, b] = [2.0 * self.polynomial[0], self.polynomial[1]].map(|number| simd.splat_f32s(number));
        let hard = simd.greater_than_f32s(p, simd.splat_f32s(self.threshold));
        let slope = simd.select_f32s(hard, fma(simd, a, p, b), simd.splat_f32s(1.0));
        simd.mul_f32s(slope, simd.splat_f32s(self.scaled.scale))
    }
}

#[derive(Clone, Copy)]
struct Circle {
    scaled: Scaled,
    margin: f32,
    detached: bool,
}

impl Circle {
    /// max(0, p + m).
    #[inline(always)]
    fn alpha<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        positive(simd, simd.add_f32s(p, simd.splat_f32s(self.margin)))
    }
}

impl Logit for Circle {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        let distance = simd.sub_f32s(p, simd.splat_f32s(self.margin));
        self.scaled.at(simd, simd.mul_f32s(self.alpha(simd, p), distance))
    }

    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        let scale = simd.splat_f32s(self.scaled.scale);
        if self.detached {
            return simd.mul_f32s(scale, self.alpha(simd, p));
        }
        let flat = simd.less_than_or_equal_f32s(p, simd.splat_f32s(-self.margin));
        let slope = simd.select_f32s(flat, simd.splat_f32s(0.0), simd.add_f32s(p, p));
        simd.mul_f32s(scale, slope)
    }
}

#[derive(Clone, Copy)]
struct Sharpened {
    scaled: Scaled,
    power: f32,
}

/// (p + 1) / 2 just above p = −1: the slope of a power below 1 is as it is there, so that it is finite.
const LEAST_SHARE: f32 = f32::EPSILON / 4.0;

impl Sharpened {
    /// ((p + 1) / 2)^t of p in −1..1.
    #[inline(always)]
    fn power<S: Simd>(simd: S, p: S::f32s, t: f32) -> S::f32s {
        let half = simd.splat_f32s(0.5);
        let share = fma(simd, p, half, half);
        let none = simd.less_than_f32s(share, simd.splat_f32s(LEAST_SHARE));
        let share = simd.select_f32s(none, simd.splat_f32s(LEAST_SHARE), share);
        math::exp(simd, simd.mul_f32s(math::ln(simd, share), simd.splat_f32s(t)))
    }
}

impl Logit for Sharpened {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        let [low, high] = [-1.0, 1.0].map(|p| simd.splat_f32s(p));
        let p = simd.select_f32s(simd.greater_than_f32s(p, high), high, p);
        let below = simd.less_than_or_equal_f32s(p, low);
        let power = Self::power(simd, simd.select_f32s(below, low, p), self.power);
        let power = simd.select_f32s(below, simd.splat_f32s(0.0), power);
        self.scaled.at(simd, fma(simd, power, simd.splat_f32s(2.0), low))
    }

    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let [low, high] = [-1.0, 1.0].map(|p| simd.splat_f32s(p));
        let slope = simd.splat_f32s(self.scaled.scale * self.power);
        let slope = simd.mul_f32s(slope, Self::power(simd, p, self.power - 1.0));
        let slope = simd.select_f32s(simd.less_than_f32s(p, low), zero, slope);
        simd.select_f32s(simd.greater_than_f32s(p, high), zero, slope)
    }
}

/// max(0, x), and NaN of NaN.
#[inline(always)]
fn positive<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// What a reduction adds up, or the derivative of what it does, of a logit.
trait Term: Copy {
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s;
}

/// z.
#[derive(Clone, Copy)]
struct Plain;

impl Term for Plain {
    #[inline(always)]
    fn at<S: Simd>(self, _: S, z: S::f32s) -> S::f32s {
        z
    }
}

/// 1.
#[derive(Clone, Copy)]
struct One;

impl Term for One {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, _: S::f32s) -> S::f32s {
        simd.splat_f32s(1.0)
    }
}

/// e^(z − c).
#[derive(Clone, Copy)]
struct Exp(f32);

impl Term for Exp {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        math::exp(simd, simd.sub_f32s(z, simd.splat_f32s(self.0)))
    }
}

/// max(0, z − c).
#[derive(Clone, Copy)]
struct Hinge(f32);

impl Term for Hinge {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        positive(simd, simd.sub_f32s(z, simd.splat_f32s(self.0)))
    }
}

/// The derivative of [`Hinge`]: whether z > c.
#[derive(Clone, Copy)]
struct Above(f32);

impl Term for Above {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        let c = simd.splat_f32s(self.0);
        let above = simd.select_f32s(simd.greater_than_f32s(z, c), simd.splat_f32s(1.0), z);
        simd.select_f32s(simd.less_than_or_equal_f32s(z, c), simd.splat_f32s(0.0), above)
    }
}

/// ln(1 + eᶻ).
#[derive(Clone, Copy)]
struct Softplus;

impl Term for Softplus {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        simd.add_f32s(positive(simd, z), math::ln_1p(simd, exp_of_negative(simd, z)))
    }
}

/// The derivative of [`Softplus`], 1 / (1 + e⁻ᶻ).
#[derive(Clone, Copy)]
struct Sigmoid;

impl Term for Sigmoid {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let e = exp_of_negative(simd, z);
        let numerator = simd.select_f32s(simd.less_than_f32s(z, zero), e, one);
        simd.div_f32s(numerator, simd.add_f32s(one, e))
    }
}

/// e^−|z|.
#[inline(always)]
fn exp_of_negative<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    math::exp(simd, simd.or_f32s(z, simd.splat_f32s(-0.0)))
}

/// Evaluates `$body` with `$f` the rule of `$logits` at `$row`.
macro_rules! with_rule {
    ($logits:expr, $row:expr, |$f:ident| $body:expr) => {{
        let offset = $logits.offset.map_or(0.0, |offset| offset[$row]);
        match $logits.rule {
            Rule::Scaled { scale } => {
                let $f = Scaled { scale, offset };
                $body
            }
            Rule::Hard { scale, polynomial } => {
                let threshold = $logits.threshold.map_or(f32::INFINITY, |threshold| threshold[$row]);
                let $f = Hard { scaled: Scaled { scale, offset }, threshold, polynomial };
                $body
            }
            Rule::Circle { scale, margin, detached } => {
                let $f = Circle { scaled: Scaled { scale, offset }, margin, detached };
                $body
            }
            Rule::Sharpened { scale, power, shift } => {
                let $f = Sharpened { scaled: Scaled { scale, offset: offset + shift }, power };
                $body
            }
        }
    }};
}

/// What some numbers of a row add to its result.
struct Forward<'a> {
    logits: &'a Logits<'a>,
    row: usize,
    p: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = Part;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Part {
        let Self { logits, row, p } = self;
        if p.is_empty() {
            return Part::EMPTY;
        }
        let terms = |sum| Part { sum, ..Part::EMPTY };
        with_rule!(logits, row, |f| match logits.reduction {
            Reduction::LogSumExp => {
                let largest = largest(simd, p, f);
                let from = if largest == f32::NEG_INFINITY { 0.0 } else { largest };
                Part { largest, sum: sum(simd, p, f, Exp(from)) }
            }
            Reduction::Sum => terms(sum(simd, p, f, Plain)),
            Reduction::HingeSum { delta } => {
                terms(sum(simd, p, f, Hinge(logits.target[row] - delta)))
            }
            Reduction::HingeMax { .. } => Part { largest: largest(simd, p, f), sum: 0.0 },
            Reduction::Softplus => terms(sum(simd, p, f, Softplus)),
        })
    }
}

/// Sum and largest of some numbers.
struct Others<'a>(&'a [f32]);

impl WithSimd for Others<'_> {
    type Output = Part;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Part {
        let plain = Scaled { scale: 1.0, offset: 0.0 };
        Part { largest: largest(simd, self.0, plain), sum: sum(simd, self.0, plain, Plain) }
    }
}

/// Turns some products of a row into their gradients, and gives the sum of ∂value/∂z.
struct Backward<'a> {
    logits: &'a Logits<'a>,
    row: usize,
    p: &'a mut [f32],
    value: f32,
    g: f32,
}

impl WithSimd for Backward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { logits, row, p, value, g } = self;
        with_rule!(logits, row, |f| match logits.reduction {
            Reduction::LogSumExp => change(simd, p, f, Exp(value), g),
            // Of the largest, the only one that is asked for.
            Reduction::Sum | Reduction::HingeMax { .. } => change(simd, p, f, One, g),
            Reduction::HingeSum { delta } => change(simd, p, f, Above(logits.target[row] - delta), g),
            Reduction::Softplus => change(simd, p, f, Sigmoid, g),
        })
    }
}

/// The first index of the largest logit of some numbers, or of NaN, and the logit.
struct First<'a> {
    logits: &'a Logits<'a>,
    row: usize,
    p: &'a [f32],
}

impl WithSimd for First<'_> {
    type Output = Option<(usize, f32)>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<(usize, f32)> {
        let Self { logits, row, p } = self;
        with_rule!(logits, row, |f| {
            let largest = largest(simd, p, f);
            let mut buffer = [0.0; 16];
            for (i, p) in p.chunks(S::F32_LANES).enumerate() {
                let z = &mut buffer[..p.len()];
                simd.partial_store_f32s(z, f.at(simd, simd.partial_load_f32s(p)));
                for (k, z) in z.iter().enumerate() {
                    if *z == largest || z.is_nan() {
                        return Some((i * S::F32_LANES + k, largest));
                    }
                }
            }
            None
        })
    }
}

/// The largest logit, −∞ of none; NaN if there is one.
#[inline(always)]
fn largest<S: Simd, F: Logit>(simd: S, p: &[f32], f: F) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(p);
    let none = simd.splat_f32s(f32::NEG_INFINITY);
    // NaN is kept apart, for comparisons may lose it.
    let (mut most, mut nan) = ([none; 2], [none; 2]);
    macro_rules! compare {
        ($k:expr, $p:expr) => {{
            let z = f.at(simd, $p);
            let number = simd.equal_f32s(z, z);
            nan[$k] = simd.select_f32s(number, nan[$k], z);
            most[$k] = simd.max_f32s(most[$k], simd.select_f32s(number, z, none));
        }};
    }
    let (pairs, left) = vectors.as_chunks::<2>();
    for pair in pairs {
        compare!(0, pair[0]);
        compare!(1, pair[1]);
    }
    for vector in left {
        compare!(0, *vector);
    }
    if !rest.is_empty() {
        // The first of them once more in the place of those that are missing.
        let mut last = [rest[0]; 16];
        last[..rest.len()].copy_from_slice(rest);
        compare!(0, simd.partial_load_f32s(&last[..S::F32_LANES]));
    }
    let mut lanes = [0.0; 32];
    let (first, second) = lanes.split_at_mut(16);
    simd.partial_store_f32s(&mut first[..S::F32_LANES], nan[0]);
    simd.partial_store_f32s(&mut second[..S::F32_LANES], nan[1]);
    match lanes.iter().find(|z| z.is_nan()) {
        Some(nan) => *nan,
        None => simd.reduce_max_f32s(simd.max_f32s(most[0], most[1])),
    }
}

/// Σ of the terms of the logits.
#[inline(always)]
fn sum<S: Simd, F: Logit, T: Term>(simd: S, p: &[f32], f: F, term: T) -> f64 {
    let (vectors, rest) = S::as_simd_f32s(p);
    let mut sums = [simd.splat_f32s(0.0); 2];
    let (pairs, left) = vectors.as_chunks::<2>();
    for pair in pairs {
        sums[0] = simd.add_f32s(sums[0], term.at(simd, f.at(simd, pair[0])));
        sums[1] = simd.add_f32s(sums[1], term.at(simd, f.at(simd, pair[1])));
    }
    for vector in left {
        sums[0] = simd.add_f32s(sums[0], term.at(simd, f.at(simd, *vector)));
    }
    let mut tail = 0.0;
    if !rest.is_empty() {
        let mut terms = [0.0; 16];
        let terms = &mut terms[..rest.len()];
        simd.partial_store_f32s(terms, term.at(simd, f.at(simd, simd.partial_load_f32s(rest))));
        tail = terms.iter().map(|term| f64::from(*term)).sum();
    }
    f64::from(simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))) + tail
}

/// Turns products into `g` times the derivative of their terms, and gives the sum of `weight` of the logits.
#[inline(always)]
fn change<S: Simd, F: Logit, T: Term>(simd: S, p: &mut [f32], f: F, weight: T, g: f32) -> f64 {
    let (vectors, rest) = S::as_mut_simd_f32s(p);
    let g = simd.splat_f32s(g);
    let mut sum = simd.splat_f32s(0.0);
    for p in vectors {
        let weight = weight.at(simd, f.at(simd, *p));
        sum = simd.add_f32s(sum, weight);
        *p = simd.mul_f32s(simd.mul_f32s(g, weight), f.slope(simd, *p));
    }
    let mut tail = 0.0;
    if !rest.is_empty() {
        let p = simd.partial_load_f32s(rest);
        let weight = weight.at(simd, f.at(simd, p));
        let mut weights = [0.0; 16];
        let weights = &mut weights[..rest.len()];
        simd.partial_store_f32s(weights, weight);
        tail = weights.iter().map(|weight| f64::from(*weight)).sum();
        simd.partial_store_f32s(rest, simd.mul_f32s(simd.mul_f32s(g, weight), f.slope(simd, p)));
    }
    f64::from(simd.reduce_sum_f32s(sum)) + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{noise, on_each_isa};

    const RULES: [Rule; 6] = [
        Rule::Scaled { scale: 7.0 },
        // t + α·p of hard examples, and (t + 1)·p + t.
        Rule::Hard { scale: 7.0, polynomial: [1.0, 0.2, 0.0] },
        Rule::Hard { scale: 3.0, polynomial: [0.0, 1.3, 0.3] },
        Rule::Circle { scale: 7.0, margin: 0.25, detached: false },
        Rule::Circle { scale: 7.0, margin: 0.25, detached: true },
        Rule::Sharpened { scale: 7.0, power: 3.0, shift: -1.5 },
    ];

    const REDUCTIONS: [Reduction; 5] = [
        Reduction::LogSumExp,
        Reduction::Sum,
        Reduction::HingeSum { delta: 1.0 },
        Reduction::HingeMax { delta: 1.0 },
        Reduction::Softplus,
    ];

    /// z and dz/dp by the formulas.
    fn logit(rule: Rule, p: f64, threshold: f64) -> (f64, f64) {
        let (scale, z, slope) = match rule {
            Rule::Scaled { scale } => (scale, p, 1.0),
            Rule::Hard { scale, polynomial } if p > threshold => {
                let [a, b, c] = polynomial.map(f64::from);
                (scale, a * p * p + b * p + c, 2.0 * a * p + b)
            }
            Rule::Hard { scale, .. } => (scale, p, 1.0),
            Rule::Circle { scale, margin, detached } => {
                let m = f64::from(margin);
                let alpha = (p + m).max(0.0);
                let exact = if p > -m { 2.0 * p } else { 0.0 };
                (scale, alpha * (p - m), if detached { alpha } else { exact })
            }
            Rule::Sharpened { scale, power, shift } => {
                let (t, share) = (f64::from(power), (p.clamp(-1.0, 1.0) + 1.0) / 2.0);
                let z = 2.0 * share.powf(t) - 1.0 + f64::from(shift) / f64::from(scale);
                let inside = (-1.0..=1.0).contains(&p);
                (scale, z, if inside { t * share.max(0.5f64.powi(25)).powf(t - 1.0) } else { 0.0 })
            }
        };
        (f64::from(scale) * z, f64::from(scale) * slope)
    }

    /// The result of a row, and the derivatives by z_y and the others.
    fn reduced(reduction: Reduction, target: f64, z: &[f64]) -> (f64, f64, Vec<f64>) {
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match reduction {
            Reduction::LogSumExp => {
                let from = largest.max(target);
                let total = (target - from).exp() + z.iter().map(|z| (z - from).exp()).sum::<f64>();
                let share = |z: f64| (z - from).exp() / total;
                (from + total.ln(), share(target), z.iter().map(|z| share(*z)).collect())
            }
            Reduction::Sum => (target + z.iter().sum::<f64>(), 1.0, vec![1.0; z.len()]),
            Reduction::HingeSum { delta } => {
                let distances = z.iter().map(|z| z - target + f64::from(delta));
                let above: Vec<f64> = distances.clone().map(|d| f64::from(u8::from(d > 0.0))).collect();
                (distances.map(|d| d.max(0.0)).sum(), -above.iter().sum::<f64>(), above)
            }
            Reduction::HingeMax { delta } => {
                let distance = largest - target + f64::from(delta);
                let mut above = vec![0.0; z.len()];
                if distance > 0.0 {
                    above[z.iter().position(|z| *z == largest).unwrap()] = 1.0;
                }
                (distance.max(0.0), -above.iter().sum::<f64>(), above)
            }
            Reduction::Softplus => {
                let value = z.iter().map(|z| z.max(0.0) + (-z.abs()).exp().ln_1p()).sum();
                (value, 0.0, z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect())
            }
        }
    }

    struct Case {
        classes: usize,
        labels: Vec<usize>,
        products: Vec<f32>,
        target: Vec<f32>,
        offset: Vec<f32>,
        threshold: Vec<f32>,
        g: Vec<f32>,
    }

    impl Case {
        /// Labels are at the ends, in the middle, and beside borders of chunks.
        fn new(batch: usize, classes: usize) -> Self {
            let places = [0, classes - 1, classes / 2, CHUNK - 1, CHUNK, 2 * CHUNK];
            let labels = (0..batch).map(|i| places[i % 6] % classes).collect();
            let vector = |seed, scale: f32| noise(batch, seed).iter().map(|x| x * scale).collect();
            Self {
                classes,
                labels,
                products: noise(batch * classes, 1),
                target: vector(2, 5.0),
                offset: vector(3, 0.5),
                threshold: vector(4, 0.5),
                g: vector(5, 1.0),
            }
        }

        fn logits(&self, rule: Rule, reduction: Reduction, offset: bool) -> Logits<'_> {
            Logits {
                labels: &self.labels,
                classes: self.classes,
                target: &self.target,
                offset: offset.then_some(&self.offset),
                threshold: Some(&self.threshold),
                rule,
                reduction,
            }
        }

        /// Results and gradients by the formulas.
        fn reference(&self, logits: &Logits<'_>) -> (Vec<f64>, [Vec<f64>; 3]) {
            let (mut values, mut gradients) = (Vec::new(), [const { Vec::new() }; 3]);
            for (i, p) in self.products.chunks_exact(self.classes).enumerate() {
                let offset = logits.offset.map_or(0.0, |offset| f64::from(offset[i]));
                let (label, g) = (self.labels[i], f64::from(self.g[i]));
                let all = p.iter().map(|p| logit(logits.rule, f64::from(*p), f64::from(self.threshold[i])));
                let mut others: Vec<(f64, f64)> = all.map(|(z, slope)| (z + offset, slope)).collect();
                others.remove(label);
                let z: Vec<f64> = others.iter().map(|(z, _)| *z).collect();
                let (value, by_target, by_others) = reduced(logits.reduction, f64::from(self.target[i]), &z);
                values.push(value);
                let mut products: Vec<f64> =
                    by_others.iter().zip(&others).map(|(by, (_, slope))| g * by * slope).collect();
                products.insert(label, 0.0);
                gradients[0].extend(products);
                gradients[1].push(g * by_target);
                gradients[2].push(g * by_others.iter().sum::<f64>());
            }
            (values, gradients)
        }
    }

    #[track_caller]
    fn assert_close<T: Copy + Into<f64> + std::fmt::Display>(found: &[T], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len());
        let most = expected.iter().fold(1e-3f64, |most, x| most.max(x.abs()));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let off = ((*found).into() - expected).abs() / most;
            // Not `off > 1e-5`, which NaN would pass.
            assert!(off <= 1e-5, "{what}: number {i} is {found}, not {expected}");
        }
    }

    #[test]
    fn reductions_and_gradients_are_the_formulas_whatever_the_threads() {
        for (batch, classes) in [(1, 1), (1, 2), (3, 2), (7, 33), (2, 1000), (6, 2 * CHUNK + 77)] {
            let case = Case::new(batch, classes);
            for (rule, reduction) in RULES.iter().flat_map(|r| REDUCTIONS.map(|reduction| (*r, reduction))) {
                let logits = case.logits(rule, reduction, classes != 33);
                let (values, [products, target, offset]) = case.reference(&logits);
                on_each_isa(|isa| {
                    let what = format!("{batch} of {classes}, {rule:?}, {reduction:?}, {}", isa.name());
                    let run = || {
                        let value = logits.forward(&case.products);
                        let gradients = logits.backward(case.products.clone(), &value, &case.g);
                        assert_eq!(gradients, logits.backward_from(&case.products, &value, &case.g));
                        (value, gradients)
                    };
                    let [(value, gradients), again] = [1, 3].map(|threads| {
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
                    });
                    assert_eq!(
                        (&value, &gradients),
                        (&again.0, &again.1),
                        "{what}: another number of threads"
                    );
                    assert_close(&value, &values, &what);
                    assert_close(&gradients.products, &products, &format!("{what}: products"));
                    assert_close(&gradients.target, &target, &format!("{what}: target"));
                    assert_close(&gradients.offset, &offset, &format!("{what}: offset"));
                });
            }
        }
    }

    #[test]
    fn powers_are_finite_at_and_past_the_ends() {
        let p = [0.3, -1.0, 1.0, -1.1, 1.1, (-1.0f32).next_up(), 1.0f32.next_down()];
        let mut case = Case::new(1, p.len());
        case.products = p.to_vec();
        for power in [0.5, 1.0, 2.0, 7.5] {
            let rule = Rule::Sharpened { scale: 7.0, power, shift: 0.5 };
            let logits = case.logits(rule, Reduction::Sum, false);
            let (values, [products, ..]) = case.reference(&logits);
            on_each_isa(|_| {
                let value = logits.forward(&case.products);
                assert_close(&value, &values, "value");
                assert_close(
                    &logits.backward_from(&case.products, &value, &case.g).products,
                    &products,
                    "gradient",
                );
            });
        }
    }

    #[test]
    fn logits_of_any_size_give_finite_results() {
        let mut case = Case::new(2, 5);
        case.products = [-1e30, 1e30, 0.0, 5.0, 1e30, -1e30, -1e30, -1e30, -1e30, -1e30].to_vec();
        case.target = vec![1e30, -1e30];
        case.g = vec![1.0; 2];
        let rule = Rule::Scaled { scale: 1.0 };
        on_each_isa(|_| {
            for reduction in [Reduction::LogSumExp, Reduction::Softplus, Reduction::HingeMax { delta: 1.0 }] {
                let logits = case.logits(rule, reduction, false);
                let (values, [products, target, _]) = case.reference(&logits);
                let value = logits.forward(&case.products);
                assert_close(&value, &values, "value");
                let found = logits.backward_from(&case.products, &value, &case.g);
                assert!(found.products.iter().chain(&found.target).all(|g| g.is_finite()));
                // Beside 1e30, logarithms of counts are lost, and with them the shares of equal logits.
                if reduction != Reduction::LogSumExp {
                    assert_close(&found.products, &products, "products");
                    assert_close(&found.target, &target, "target");
                }
            }
        });
    }

    #[test]
    fn nan_stays_in_its_row() {
        for classes in [2, 40, CHUNK + 50] {
            let mut case = Case::new(3, classes);
            // Row 1 has its label at the end, so this is another class.
            let at = classes + (classes - 2).min(37);
            case.products[at] = f32::NAN;
            for (rule, reduction) in RULES.iter().flat_map(|r| REDUCTIONS.map(|reduction| (*r, reduction))) {
                let logits = case.logits(rule, reduction, true);
                on_each_isa(|isa| {
                    let what = format!("{classes}, {rule:?}, {reduction:?}, {}", isa.name());
                    let value = logits.forward(&case.products);
                    assert_eq!(
                        value.iter().map(|x| x.is_nan()).collect::<Vec<_>>(),
                        [false, true, false],
                        "{what}"
                    );
                    let gradients = logits.backward_from(&case.products, &value, &case.g);
                    let nan = |i: usize| gradients.products[i].is_nan();
                    assert!((0..3 * classes).all(|i| !nan(i) || i / classes == 1), "{what}");
                    let is_linear = matches!(
                        (rule, reduction),
                        (
                            Rule::Scaled { .. } | Rule::Hard { .. },
                            Reduction::Sum | Reduction::HingeMax { .. }
                        )
                    );
                    assert!(nan(at) || is_linear, "{what}");
                });
            }
            on_each_isa(|_| {
                for found in others(&case.products, classes, &case.labels) {
                    assert_eq!(found.iter().map(|x| x.is_nan()).collect::<Vec<_>>(), [false, true, false]);
                }
            });
        }
    }

    #[test]
    fn of_equal_logits_the_first_has_the_gradient() {
        let mut case = Case::new(2, 40);
        case.products = vec![0.5; 80];
        (case.target, case.g) = (vec![0.0, 100.0], vec![2.0; 2]);
        let logits = case.logits(Rule::Scaled { scale: 3.0 }, Reduction::HingeMax { delta: 1.0 }, false);
        on_each_isa(|_| {
            let value = logits.forward(&case.products);
            assert_eq!(value, [2.5, 0.0]);
            let found = logits.backward_from(&case.products, &value, &case.g);
            // The label of row 0 is 0; row 1 is past its margin.
            assert!(found.products.iter().enumerate().all(|(i, g)| *g == if i == 1 { 6.0 } else { 0.0 }));
            assert_eq!((found.target, found.offset), (vec![-2.0, 0.0], vec![2.0, 0.0]));
        });
    }

    #[test]
    fn others_are_without_the_label() {
        for classes in [2, 31, 3 * CHUNK + 5] {
            let mut case = Case::new(6, classes);
            for (i, label) in case.labels.iter().enumerate() {
                case.products[i * classes + label] = 9.0;
            }
            on_each_isa(|_| {
                let [mean, largest] = others(&case.products, classes, &case.labels);
                for (i, p) in case.products.chunks_exact(classes).enumerate() {
                    let rest = || p.iter().copied().filter(|p| *p != 9.0);
                    let expected = rest().map(f64::from).sum::<f64>() / (classes - 1) as f64;
                    assert!((f64::from(mean[i]) - expected).abs() < 1e-6);
                    assert_eq!(largest[i], rest().fold(-1.0, f32::max));
                }
            });
        }
        assert!(others(&[3.0], 1, &[0])[0][0].is_nan());
    }

    #[test]
    fn the_largest_of_a_group_has_its_gradient() {
        for group in [1, 3] {
            let mut x = noise(group * (CHUNK + 30), 1);
            let groups = x.len() / group;
            // Two equal ones, and NaN.
            x[..group].fill(2.0);
            x[2 * group - 1] = f32::NAN;
            let g = noise(groups, 2);
            let y = group_max(&x, group);
            let back = group_max_backward(x.clone(), group, &g);
            assert_eq!((y[0], back[0]), (2.0, g[0]));
            assert!(back[1..group].iter().all(|g| *g == 0.0));
            assert!(y[1].is_nan() && back[2 * group - 1] == g[1]);
            for i in 2..groups {
                let x = &x[i * group..][..group];
                assert_eq!(y[i], x.iter().copied().fold(-1.0, f32::max));
                for (k, x) in x.iter().enumerate() {
                    assert_eq!(back[i * group + k], if *x == y[i] { g[i] } else { 0.0 });
                }
            }
        }
    }

    #[test]
    fn picked_numbers_and_rows_are_those_of_the_labels() {
        let mut x = noise(12, 1);
        let labels = [3, 0, 3];
        assert_eq!(pick(&x, 4, &labels), [x[3], x[4], x[11]]);
        assert_eq!(pick_rows(&x, 3, &labels), [&x[9..], &x[..3], &x[9..]].concat());
        let old = x.clone();
        add_to_picked(&mut x, 4, &labels, &[1.0, 2.0, 3.0]);
        let mut expected = old.clone();
        (expected[3], expected[4], expected[11]) = (old[3] + 1.0, old[4] + 2.0, old[11] + 3.0);
        assert_eq!(x, expected);
        let mut x = old.clone();
        // The last row twice.
        add_to_picked_rows(&mut x, 3, &labels, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let added = [4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!((0..9).all(|i| x[i] == old[i] + added[i]));
        assert!((0..3).all(|i| x[9 + i] == old[9 + i] + [1.0, 2.0, 3.0][i] + [7.0, 8.0, 9.0][i]));
    }

    #[test]
    #[should_panic(expected = "not below the number of classes, 4")]
    fn labels_are_checked() {
        pick(&[0.0; 8], 4, &[0, 4]);
    }
}
