//! The logits of a batch, reduced to a number a row, and the gradients of that.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    CHUNK, check,
    rule::{Circle, Hard, Logit, LogitRule, Scaled, Sharpened, with_rule},
    scope,
    terms::{Above, Exp, Hinge, One, Plain, Sigmoid, Softplus},
    walk::{Part, change, largest, parts, sum},
};
use crate::{profile::Scope, scratch, simd};

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
        delta: f64,
    },
    /// max(0, max zⱼ − z_y + δ). The gradient is that of the first largest.
    HingeMax {
        /// δ.
        delta: f64,
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
    /// The threshold of [`LogitRule::Hard`], of each row.
    pub threshold: Option<&'a [f32]>,
    /// From p to zⱼ.
    pub rule: LogitRule,
    /// From the logits to the result.
    pub reduction: Reduction,
}

/// The gradients of [`Logits::forward`].
#[derive(Debug, Clone, PartialEq)]
pub struct LogitGradients {
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
    pub fn backward(&self, mut products: Vec<f32>, value: &[f64], g: &[f32]) -> LogitGradients {
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
    pub fn backward_from(&self, products: &[f32], value: &[f64], g: &[f32]) -> LogitGradients {
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
            None => assert!(!matches!(self.rule, LogitRule::Hard { .. }), "hard examples need a threshold"),
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
            Reduction::HingeMax { delta } => match f64::from(largest) - z + delta {
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

    fn gradients(&self, products: Vec<f32>, sums: Vec<f64>, value: &[f64], g: &[f32]) -> LogitGradients {
        let offset = sums.iter().zip(g).map(|(sum, g)| (sum * f64::from(*g)) as f32).collect();
        let of_target = |row: usize| match self.reduction {
            Reduction::LogSumExp => (f64::from(self.target[row]) - value[row]).exp(),
            Reduction::Sum => 1.0,
            Reduction::HingeSum { .. } | Reduction::HingeMax { .. } => -sums[row],
            Reduction::Softplus => 0.0,
        };
        let target = (0..g.len()).map(|row| (of_target(row) * f64::from(g[row])) as f32).collect();
        LogitGradients { products, target, offset }
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
                terms(sum(simd, p, f, Hinge(logits.target[row] - delta as f32)))
            }
            Reduction::HingeMax { .. } => Part { largest: largest(simd, p, f), sum: 0.0 },
            Reduction::Softplus => terms(sum(simd, p, f, Softplus)),
        })
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
            Reduction::HingeSum { delta } => change(simd, p, f, Above(logits.target[row] - delta as f32), g),
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
