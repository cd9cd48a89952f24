//! Exponential and logarithms of vectors.

use pulp::Simd;

use crate::simd::fma;

/// ln 2 in two parts: a product of the first with a whole number below 2¹⁴ is exact.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];

/// 1.5·2²³: adding it rounds a small number to a whole one, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// eˣ, within 2 units in the last place: 0 below ln 2⁻¹⁵⁰, ∞ above ln 2¹²⁸, NaN of NaN.
///
/// The polynomial is that of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let [low, high] = [simd.splat_f32s(-104.0), simd.splat_f32s(89.0)];
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    let x = simd.select_f32s(simd.greater_than_f32s(x, high), high, x);
    let n = whole(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E)));
    let r = fma(simd, n, simd.splat_f32s(-LN_2[0]), x);
    let r = fma(simd, n, simd.splat_f32s(-LN_2[1]), r);
    let terms = [0.5, 1.666_666_5e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_2e-3, 1.987_569_2e-4];
    let y = fma(simd, polynomial(simd, r, &terms), simd.mul_f32s(r, r), r);
    let y = simd.add_f32s(y, simd.splat_f32s(1.0));
    // 2ⁿ as two factors, for it may be out of range where eˣ is not.
    let half = whole(simd, simd.mul_f32s(n, simd.splat_f32s(0.5)));
    simd.mul_f32s(simd.mul_f32s(y, power(simd, half)), power(simd, simd.sub_f32s(n, half)))
}

/// ln x for x > 0 that is not subnormal, NaN of NaN.
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // x = 2ⁿ·m, with m between √½ and √2.
    let bits = simd.transmute_u32s_f32s(x);
    let mantissa = simd.and_u32s(bits, simd.splat_u32s(0x007f_ffff));
    let m = simd.transmute_f32s_u32s(simd.or_u32s(mantissa, simd.splat_u32s(0x3f80_0000)));
    let exponent = simd.wrapping_dyn_shr_u32s(bits, simd.splat_u32s(23));
    // A whole number below 2²³ in the lowest bits of 2²³ is added to it.
    let n = simd.transmute_f32s_u32s(simd.or_u32s(exponent, simd.splat_u32s(0x4b00_0000)));
    let n = simd.sub_f32s(n, simd.splat_f32s(8_388_608.0 + 127.0));
    let large = simd.greater_than_f32s(m, simd.splat_f32s(std::f32::consts::SQRT_2));
    let m = simd.select_f32s(large, simd.mul_f32s(m, simd.splat_f32s(0.5)), m);
    let n = simd.select_f32s(large, simd.add_f32s(n, simd.splat_f32s(1.0)), n);
    let one = simd.splat_f32s(1.0);
    let s = simd.div_f32s(simd.sub_f32s(m, one), simd.add_f32s(m, one));
    let ln_m = twice_artanh(simd, s, &[1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0]);
    let small = fma(simd, n, simd.splat_f32s(LN_2[1]), ln_m);
    let y = fma(simd, n, simd.splat_f32s(LN_2[0]), small);
    // The bits of NaN look like a number.
    simd.add_f32s(y, simd.sub_f32s(x, x))
}

/// ln(1 + x) for x from 0 to 1, precise however small x is.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let s = simd.div_f32s(x, simd.add_f32s(x, simd.splat_f32s(2.0)));
    let terms =
        [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0, 1.0 / 17.0];
    twice_artanh(simd, s, &terms)
}

/// 2 artanh s = ln((1 + s) / (1 − s)) by its series.
#[inline(always)]
fn twice_artanh<S: Simd>(simd: S, s: S::f32s, terms: &[f32]) -> S::f32s {
    simd.mul_f32s(simd.add_f32s(s, s), polynomial(simd, simd.mul_f32s(s, s), terms))
}

/// Σ terms[k]·xᵏ.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::f32s, terms: &[f32]) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for term in terms.iter().rev() {
        sum = fma(simd, sum, x, simd.splat_f32s(*term));
    }
    sum
}

/// The whole number next to x, of an |x| below 2²².
#[inline(always)]
fn whole<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.sub_f32s(simd.add_f32s(x, simd.splat_f32s(ROUND)), simd.splat_f32s(ROUND))
}

/// 2ⁿ for a whole n from −126 to 127.
#[inline(always)]
fn power<S: Simd>(simd: S, n: S::f32s) -> S::f32s {
    let bits = simd.transmute_u32s_f32s(simd.add_f32s(n, simd.splat_f32s(ROUND + 127.0)));
    simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23)))
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::{
        simd::{self, Isa},
        tests::on_each_isa,
    };

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Ln,
        Ln1p,
    }

    struct Map<'a>(Function, &'a mut [f32]);

    impl WithSimd for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.1);
            assert!(rest.is_empty());
            for x in vectors {
                *x = match self.0 {
                    Function::Exp => exp(simd, *x),
                    Function::Ln => ln(simd, *x),
                    Function::Ln1p => ln_1p(simd, *x),
                };
            }
        }
    }

    fn of(function: Function, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        y.resize(x.len().next_multiple_of(16), 0.5);
        simd::dispatch(Map(function, &mut y));
        y.truncate(x.len());
        y
    }

    /// Distance from the exact value in units of the last place of what it rounds to.
    #[track_caller]
    fn assert_close(x: f32, found: f32, exact: f64, units: f64, isa: Isa) {
        let rounded = exact as f32;
        if rounded.is_infinite() || found.is_infinite() {
            assert_eq!(found, rounded, "of {x} with {}", isa.name());
            return;
        }
        let unit = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
        let off = (f64::from(found) - exact).abs() / unit;
        assert!(off <= units, "{found} is {off} units from {exact}, of {x} with {}", isa.name());
    }

    #[test]
    fn exp_is_within_two_units_over_the_whole_range() {
        // Every 997th float from −200 to 0 and from 0 to 100: some two million.
        let below = (0..(200.0f32).to_bits()).step_by(997).map(|bits| -f32::from_bits(bits));
        let above = (0..(100.0f32).to_bits()).step_by(997).map(f32::from_bits);
        let borders = [-103.9, -103.95, -103.98, -104.0, -87.4, -87.3, 88.7, 88.72, 88.73, 89.0, 1e30, -1e30];
        let x: Vec<f32> = below.chain(above).chain(borders).collect();
        on_each_isa(|isa| {
            for (x, y) in x.iter().zip(of(Function::Exp, &x)) {
                assert_close(*x, y, f64::from(*x).exp(), 2.0, isa);
            }
            let special = of(Function::Exp, &[f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0, -0.0]);
            assert_eq!(special[..2], [0.0, f32::INFINITY]);
            assert!(special[2].is_nan());
            assert_eq!(special[3..], [1.0, 1.0]);
        });
    }

    #[test]
    fn logarithms_are_within_three_units() {
        let small = (f32::MIN_POSITIVE.to_bits()..(8.0f32).to_bits()).step_by(997).map(f32::from_bits);
        let x: Vec<f32> = small.chain([f32::MIN_POSITIVE, 1.0, 1.0f32.next_down(), 1e30, f32::MAX]).collect();
        let unit: Vec<f32> = x.iter().copied().filter(|x| *x <= 1.0).chain([0.0, 1e-44]).collect();
        on_each_isa(|isa| {
            for (x, y) in x.iter().zip(of(Function::Ln, &x)) {
                assert_close(*x, y, f64::from(*x).ln(), 3.0, isa);
            }
            for (x, y) in unit.iter().zip(of(Function::Ln1p, &unit)) {
                assert_close(*x, y, f64::from(*x).ln_1p(), 3.0, isa);
            }
            assert!(of(Function::Ln, &[f32::NAN])[0].is_nan() && of(Function::Ln1p, &[f32::NAN])[0].is_nan());
        });
    }
}
