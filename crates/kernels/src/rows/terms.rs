//! What a reduction adds up of each logit, and its derivatives.

use pulp::Simd;

use crate::math;

/// max(0, x), and NaN of NaN.
#[inline(always)]
pub(super) fn positive<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// What a reduction adds up, or the derivative of what it does, of a logit.
pub(super) trait Term: Copy {
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s;
}

/// z.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Term for Plain {
    #[inline(always)]
    fn at<S: Simd>(self, _: S, z: S::f32s) -> S::f32s {
        z
    }
}

/// 1.
#[derive(Clone, Copy)]
pub(super) struct One;

impl Term for One {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, _: S::f32s) -> S::f32s {
        simd.splat_f32s(1.0)
    }
}

/// e^(z − c).
#[derive(Clone, Copy)]
pub(super) struct Exp(pub(super) f32);

impl Term for Exp {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        math::exp(simd, simd.sub_f32s(z, simd.splat_f32s(self.0)))
    }
}

/// max(0, z − c).
#[derive(Clone, Copy)]
pub(super) struct Hinge(pub(super) f32);

impl Term for Hinge {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        positive(simd, simd.sub_f32s(z, simd.splat_f32s(self.0)))
    }
}

/// The derivative of [`Hinge`]: whether z > c.
#[derive(Clone, Copy)]
pub(super) struct Above(pub(super) f32);

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
pub(super) struct Softplus;

impl Term for Softplus {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, z: S::f32s) -> S::f32s {
        simd.add_f32s(positive(simd, z), math::ln_1p(simd, exp_of_negative(simd, z)))
    }
}

/// The derivative of [`Softplus`], 1 / (1 + e⁻ᶻ).
#[derive(Clone, Copy)]
pub(super) struct Sigmoid;

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
pub(super) fn exp_of_negative<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    math::exp(simd, simd.or_f32s(z, simd.splat_f32s(-0.0)))
}
