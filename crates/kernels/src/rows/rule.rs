//! From the products of a row to its logits.

use pulp::Simd;

use super::terms::positive;
use crate::{math, simd::fma};

/// How a product p of another class than the label's becomes a logit z, where s is `scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LogitRule {
    /// z = s·p.
    Scaled {
        /// s.
        scale: f64,
    },
    /// z = s·p, and s·(a·p² + b·p + c) where p is above the threshold of its row: a = 0 for MV-softmax (Wang et
    /// al., AAAI 2020, equation 8), c = 0 for CurricularFace (Huang et al., CVPR 2020, equation 10).
    Hard {
        /// s.
        scale: f64,
        /// a, b and c.
        polynomial: [f64; 3],
    },
    /// z = s·α·(p − m), where α = max(0, p + m) (Sun et al., Circle loss, CVPR 2020, equations 5 and 8).
    Circle {
        /// s.
        scale: f64,
        /// m.
        margin: f64,
        /// Whether α is a constant to the gradient.
        detached: bool,
    },
    /// z = s·g(p) + shift, where g(p) = 2·((p + 1) / 2)ᵗ − 1 of p clamped to −1..1 (Wen et al., SphereFace2,
    /// ICLR 2022, equation 9).
    Sharpened {
        /// s.
        scale: f64,
        /// t, above 0.
        power: f64,
        /// What is added.
        shift: f64,
        /// Whether g(p) − p is a constant to the gradient, which makes dz/dp = s.
        detached: bool,
    },
}

impl LogitRule {
    /// s.
    pub fn scale(self) -> f64 {
        match self {
            Self::Scaled { scale }
            | Self::Hard { scale, .. }
            | Self::Circle { scale, .. }
            | Self::Sharpened { scale, .. } => scale,
        }
    }
}

/// A logit z(p) of another class.
pub(super) trait Logit: Copy {
    fn at<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s;

    /// dz/dp.
    fn slope<S: Simd>(self, simd: S, p: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
pub(super) struct Scaled {
    pub(super) scale: f32,
    pub(super) offset: f32,
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
pub(super) struct Hard {
    pub(super) scaled: Scaled,
    pub(super) threshold: f32,
    pub(super) polynomial: [f32; 3],
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
pub(super) struct Circle {
    pub(super) scaled: Scaled,
    pub(super) margin: f32,
    pub(super) detached: bool,
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
pub(super) struct Sharpened {
    pub(super) scaled: Scaled,
    pub(super) power: f32,
    pub(super) detached: bool,
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
        if self.detached {
            return self.scaled.slope(simd, p);
        }
        let zero = simd.splat_f32s(0.0);
        let [low, high] = [-1.0, 1.0].map(|p| simd.splat_f32s(p));
        let slope = simd.splat_f32s(self.scaled.scale * self.power);
        let slope = simd.mul_f32s(slope, Self::power(simd, p, self.power - 1.0));
        let slope = simd.select_f32s(simd.less_than_f32s(p, low), zero, slope);
        simd.select_f32s(simd.greater_than_f32s(p, high), zero, slope)
    }
}

/// Evaluates `$body` with `$f` the rule of `$logits` at `$row`.
macro_rules! with_rule {
    ($logits:expr, $row:expr, |$f:ident| $body:expr) => {{
        let offset = $logits.offset.map_or(0.0, |offset| offset[$row]);
        match $logits.rule {
            LogitRule::Scaled { scale } => {
                let $f = Scaled { scale: scale as f32, offset };
                $body
            }
            LogitRule::Hard { scale, polynomial } => {
                let scaled = Scaled { scale: scale as f32, offset };
                let threshold = $logits.threshold.map_or(f32::INFINITY, |threshold| threshold[$row]);
                let $f = Hard { scaled, threshold, polynomial: polynomial.map(|number| number as f32) };
                $body
            }
            LogitRule::Circle { scale, margin, detached } => {
                let scaled = Scaled { scale: scale as f32, offset };
                let $f = Circle { scaled, margin: margin as f32, detached };
                $body
            }
            LogitRule::Sharpened { scale, power, shift, detached } => {
                let scaled = Scaled { scale: scale as f32, offset: offset + shift as f32 };
                let $f = Sharpened { scaled, power: power as f32, detached };
                $body
            }
        }
    }};
}

pub(super) use with_rule;
