//! What an optimizer does to each parameter, in one pass over memory, and the norm of the gradients.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    profile::{self, Scope, Work},
    simd::{self, fma},
};

/// Numbers that a task takes at a time: four such arrays fit in the cache of a core.
const CHUNK: usize = 1 << 14;

/// Lanes of a sum of squares, the same on every processor.
const LANES: usize = 32;

/// Σ x², of f64 sums.
pub fn squared_norm(x: &[f32]) -> f64 {
    let _profile = scope("gradient norm", x.len(), 1);
    if x.len() <= CHUNK {
        return simd::dispatch(Squares(x));
    }
    let sums: Vec<f64> = x.par_chunks(CHUNK).map(|x| simd::dispatch(Squares(x))).collect();
    sums.iter().sum()
}

struct Squares<'a>(&'a [f32]);

impl WithSimd for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0f64; LANES];
        let (whole, rest) = self.0.as_chunks::<LANES>();
        for x in whole {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
        }
        sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
        sums.iter().sum()
    }
}

/// A step of stochastic gradient descent with momentum, and with weight decay added to the gradient:
/// d = f·g + λ·w, v ← μ·v + d, w ← w − η·v, or w ← w − η·(μ·v + d) in Nesterov's form (Sutskever et al., 2013).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// η.
    pub learning_rate: f64,
    /// μ.
    pub momentum: f64,
    /// Whether in Nesterov's form.
    pub nesterov: bool,
    /// λ.
    pub weight_decay: f64,
    /// f, which cuts the norm of the gradients.
    pub gradient_factor: f64,
}

impl Sgd {
    /// Changes the weights w and, where there is momentum, v, which is 0 before the first step.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn step(&self, weight: &mut [f32], gradient: &[f32], velocity: Option<&mut [f32]>) {
        let numbers = [self.learning_rate, self.momentum, self.weight_decay, self.gradient_factor];
        let [rate, momentum, decay, factor] = numbers.map(|number| number as f32);
        match velocity {
            Some(velocity) => {
                let rule = Momentum { rate, momentum, nesterov: self.nesterov, decay, factor };
                change(&rule, "sgd", [weight, velocity], gradient);
            }
            None => change(&Plain { rate, decay, factor }, "sgd", [weight], gradient),
        }
    }
}

/// A step of Adam with decoupled weight decay (Loshchilov & Hutter, 2019): m ← β₁·m + (1 − β₁)·f·g,
/// v ← β₂·v + (1 − β₂)·(f·g)², w ← (1 − η·λ)·w − η·m̂ / (√v̂ + ε), where m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// η.
    pub learning_rate: f64,
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
    /// f, which cuts the norm of the gradients.
    pub gradient_factor: f64,
    /// t, 1 at the first step.
    pub time: usize,
}

impl AdamW {
    /// Changes the weights w and the moments m and v, which are 0 before the first step.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn step(&self, weight: &mut [f32], gradient: &[f32], moments: [&mut [f32]; 2]) {
        let [correction1, correction2] = self.corrections();
        let rule = Adaptive {
            kept: (1.0 - self.learning_rate * self.weight_decay) as f32,
            rate: (self.learning_rate / correction1) as f32,
            betas: [self.beta1, self.beta2].map(|beta| beta as f32),
            rests: [self.beta1, self.beta2].map(|beta| (1.0 - beta) as f32),
            factor: self.gradient_factor as f32,
            inverse: (1.0 / correction2) as f32,
            epsilon: self.epsilon as f32,
        };
        let [first, second] = moments;
        change(&rule, "adamw", [weight, first, second], gradient);
    }

    /// 1 − β₁ᵗ and 1 − β₂ᵗ.
    pub fn corrections(&self) -> [f64; 2] {
        [self.beta1, self.beta2].map(|beta| 1.0 - beta.powf(self.time as f64))
    }
}

fn scope(name: &'static str, length: usize, passes: usize) -> Scope {
    profile::operator(|| (name.into(), Work { operations: 0, bytes: (4 * passes * length) as u64 }))
}

/// How N numbers of a parameter change with the gradient.
trait Rule<const N: usize>: Sync {
    fn apply<S: Simd>(&self, simd: S, old: [S::f32s; N], g: S::f32s) -> [S::f32s; N];
}

/// Changes `arrays`, in parallel where that pays.
fn change<const N: usize>(
    rule: &impl Rule<N>,
    name: &'static str,
    mut arrays: [&mut [f32]; N],
    gradient: &[f32],
) {
    assert!(arrays.iter().all(|array| array.len() == gradient.len()));
    let _profile = scope(name, gradient.len(), 2 * N + 1);
    if gradient.len() <= CHUNK {
        return simd::dispatch(Change { rule, arrays, gradient });
    }
    let mut tasks = Vec::with_capacity(gradient.len().div_ceil(CHUNK));
    for gradient in gradient.chunks(CHUNK) {
        let arrays = arrays.each_mut().map(|left| {
            let (first, rest) = std::mem::take(left).split_at_mut(gradient.len());
            *left = rest;
            first
        });
        tasks.push(Change { rule, arrays, gradient });
    }
    tasks.into_par_iter().for_each(simd::dispatch);
}

struct Change<'a, R, const N: usize> {
    rule: &'a R,
    arrays: [&'a mut [f32]; N],
    gradient: &'a [f32],
}

impl<R: Rule<N>, const N: usize> WithSimd for Change<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rule, arrays, gradient } = self;
        let (gradient, gradient_rest) = S::as_simd_f32s(gradient);
        let arrays = arrays.map(|array| S::as_mut_simd_f32s(array));
        assert!(arrays.iter().all(|(array, _)| array.len() == gradient.len()));
        // Loops over k and not `map`: its closures would be functions without vector instructions.
        let mut old = [simd.splat_f32s(0.0); N];
        for (i, g) in gradient.iter().enumerate() {
            for k in 0..N {
                old[k] = arrays[k].0[i];
            }
            let new = rule.apply(simd, old, *g);
            for k in 0..N {
                arrays[k].0[i] = new[k];
            }
        }
        if !gradient_rest.is_empty() {
            for k in 0..N {
                old[k] = simd.partial_load_f32s(arrays[k].1);
            }
            let new = rule.apply(simd, old, simd.partial_load_f32s(gradient_rest));
            for k in 0..N {
                simd.partial_store_f32s(arrays[k].1, new[k]);
            }
        }
    }
}

/// [`Sgd`] without momentum: of w.
struct Plain {
    rate: f32,
    decay: f32,
    factor: f32,
}

impl Rule<1> for Plain {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [w]: [S::f32s; 1], g: S::f32s) -> [S::f32s; 1] {
        let Self { rate, decay, factor } = *self;
        let d = fma(simd, simd.splat_f32s(decay), w, simd.mul_f32s(simd.splat_f32s(factor), g));
        [simd.sub_f32s(w, simd.mul_f32s(simd.splat_f32s(rate), d))]
    }
}

/// [`Sgd`] with momentum: of w and v.
struct Momentum {
    rate: f32,
    momentum: f32,
    nesterov: bool,
    decay: f32,
    factor: f32,
}

impl Rule<2> for Momentum {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [w, v]: [S::f32s; 2], g: S::f32s) -> [S::f32s; 2] {
        let Self { rate, momentum, nesterov, decay, factor } = *self;
        let momentum = simd.splat_f32s(momentum);
        let d = fma(simd, simd.splat_f32s(decay), w, simd.mul_f32s(simd.splat_f32s(factor), g));
        let v = fma(simd, momentum, v, d);
        let step = if nesterov { fma(simd, momentum, v, d) } else { v };
        [simd.sub_f32s(w, simd.mul_f32s(simd.splat_f32s(rate), step)), v]
    }
}

/// [`AdamW`]: of w, m and v.
struct Adaptive {
    /// 1 − η·λ.
    kept: f32,
    /// η / (1 − β₁ᵗ).
    rate: f32,
    betas: [f32; 2],
    /// 1 − β₁ and 1 − β₂.
    rests: [f32; 2],
    factor: f32,
    /// 1 / (1 − β₂ᵗ).
    inverse: f32,
    epsilon: f32,
}

impl Rule<3> for Adaptive {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [w, m, v]: [S::f32s; 3], g: S::f32s) -> [S::f32s; 3] {
        let ([beta1, beta2], [rest1, rest2]) = (self.betas, self.rests);
        // Cut first: the square of a gradient that needs cutting may be out of range.
        let g = simd.mul_f32s(simd.splat_f32s(self.factor), g);
        let m = fma(simd, simd.splat_f32s(beta1), m, simd.mul_f32s(simd.splat_f32s(rest1), g));
        let square = simd.mul_f32s(simd.splat_f32s(rest2), simd.mul_f32s(g, g));
        let v = fma(simd, simd.splat_f32s(beta2), v, square);
        let root = simd.sqrt_f32s(simd.mul_f32s(v, simd.splat_f32s(self.inverse)));
        let root = simd.add_f32s(root, simd.splat_f32s(self.epsilon));
        let step = simd.div_f32s(simd.mul_f32s(simd.splat_f32s(self.rate), m), root);
        [simd.sub_f32s(simd.mul_f32s(simd.splat_f32s(self.kept), w), step), m, v]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        simd::Isa,
        tests::{noise, on_each_isa},
    };

    /// None, less than a vector, less than a chunk, and more than one.
    const LENGTHS: [usize; 5] = [0, 1, 45, 1000, 2 * CHUNK + 77];

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f64], what: &str, isa: Isa) {
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-6, "{what} {i} is {found}, not {expected}, with {}", isa.name());
        }
    }

    /// The bits of what `f` gives on one thread and on three.
    fn on_any_number_of_threads(f: impl Fn() -> Vec<f32> + Sync) -> Vec<f32> {
        let [one, three] = [1, 3]
            .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f));
        assert!(one.iter().zip(&three).all(|(one, three)| one.to_bits() == three.to_bits()));
        one
    }

    #[test]
    fn a_norm_is_exact_to_f64_and_the_same_everywhere() {
        for length in LENGTHS {
            let x = noise(length, 5);
            let expected: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let found = std::sync::Mutex::new(Vec::new());
            on_each_isa(|isa| {
                let norm = squared_norm(&x);
                assert!((norm - expected).abs() <= 1e-12 * expected, "{norm} with {}", isa.name());
                found.lock().unwrap().push(norm);
            });
            let found = found.into_inner().unwrap();
            assert!(found.iter().all(|norm| norm.to_bits() == found[0].to_bits()));
        }
        assert!((squared_norm(&[1e30, 1e-30]) - 1e60).abs() < 1e54, "squares do not leave the range");
        let mut x = noise(2 * CHUNK, 6);
        x[CHUNK + 3] = f32::NAN;
        assert!(squared_norm(&x).is_nan());
    }

    #[test]
    fn sgd_is_the_formula() {
        for (momentum, nesterov, weight_decay) in
            [(0.9, false, 5e-4), (0.9, true, 5e-4), (0.5, false, 0.0), (0.0, false, 0.01)]
        {
            let sgd = Sgd { learning_rate: 0.1, momentum, nesterov, weight_decay, gradient_factor: 0.3 };
            for length in LENGTHS {
                let start = noise(length, 1);
                let gradients = [2, 3, 4].map(|seed| noise(length, seed));
                let mut w: Vec<f64> = start.iter().map(|w| f64::from(*w)).collect();
                let mut v = vec![0.0; length];
                for g in &gradients {
                    for ((w, v), g) in w.iter_mut().zip(&mut v).zip(g) {
                        let d = 0.3 * f64::from(*g) + weight_decay * *w;
                        *v = momentum * *v + d;
                        *w -= 0.1 * if nesterov { momentum * *v + d } else { *v };
                    }
                }
                on_each_isa(|isa| {
                    let found = on_any_number_of_threads(|| {
                        let (mut w, mut v) = (start.clone(), vec![0.0; length]);
                        for g in &gradients {
                            sgd.step(&mut w, g, (momentum > 0.0).then_some(&mut v));
                        }
                        w.extend(v);
                        w
                    });
                    assert_close(&found[..length], &w, "weight", isa);
                    if momentum > 0.0 {
                        assert_close(&found[length..], &v, "velocity", isa);
                    }
                });
            }
        }
    }

    #[test]
    fn adamw_is_the_formula() {
        for (weight_decay, factor) in [(0.05, 0.3), (0.0, 1.0)] {
            for length in LENGTHS {
                let start = noise(length, 1);
                let gradients = [2, 3, 4].map(|seed| noise(length, seed));
                let steps: Vec<AdamW> = (1..=3)
                    .map(|time| AdamW {
                        learning_rate: 0.01,
                        beta1: 0.9,
                        beta2: 0.999,
                        epsilon: 1e-8,
                        weight_decay,
                        gradient_factor: factor,
                        time,
                    })
                    .collect();
                let mut w: Vec<f64> = start.iter().map(|w| f64::from(*w)).collect();
                let (mut m, mut v) = (vec![0.0; length], vec![0.0; length]);
                for (t, g) in (1..).zip(&gradients) {
                    for (((w, m), v), g) in w.iter_mut().zip(&mut m).zip(&mut v).zip(g) {
                        let g = factor * f64::from(*g);
                        *m = 0.9 * *m + 0.1 * g;
                        *v = 0.999 * *v + 0.001 * g * g;
                        let (m, v) = (*m / (1.0 - 0.9f64.powi(t)), *v / (1.0 - 0.999f64.powi(t)));
                        *w = (1.0 - 0.01 * weight_decay) * *w - 0.01 * m / (v.sqrt() + 1e-8);
                    }
                }
                on_each_isa(|isa| {
                    let found = on_any_number_of_threads(|| {
                        let (mut w, mut m, mut v) = (start.clone(), vec![0.0; length], vec![0.0; length]);
                        for (step, g) in steps.iter().zip(&gradients) {
                            step.step(&mut w, g, [&mut m, &mut v]);
                        }
                        [w, m, v].concat()
                    });
                    assert_close(&found[..length], &w, "weight", isa);
                    assert_close(&found[length..2 * length], &m, "first moment", isa);
                    assert_close(&found[2 * length..], &v, "second moment", isa);
                });
            }
        }
    }

    #[test]
    fn nan_passes_through() {
        on_each_isa(|isa| {
            let sgd = Sgd {
                learning_rate: 0.1,
                momentum: 0.9,
                nesterov: true,
                weight_decay: 0.0,
                gradient_factor: 1.0,
            };
            let (mut weight, mut velocity) = ([1.0; 40], [0.0; 40]);
            let mut gradient = [0.0; 40];
            gradient[3] = f32::NAN;
            gradient[39] = f32::NAN;
            sgd.step(&mut weight, &gradient, Some(&mut velocity));
            let expected: Vec<bool> = (0..40).map(|i| i == 3 || i == 39).collect();
            let found: Vec<bool> = weight.iter().map(|w| w.is_nan()).collect();
            assert_eq!(found, expected, "{}", isa.name());
        });
    }
}
