//! How far a measured share may be from the true one.

use facegrad_results::Interval;

/// From the 2.5 % to the 97.5 % point of resampled `values`, straight lines between neighbours (type 7 of
/// Hyndman and Fan 1996); nothing for fewer than 40, of which the tails would hold less than one.
///
/// Source: the percentile interval of Efron, "Bootstrap methods: another look at the jackknife", 1979.
pub(crate) fn of_resamples(mut values: Vec<f64>) -> Option<Interval> {
    if values.len() < FEWEST_ROUNDS {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let point = |share: f64| {
        let position = share * (values.len() - 1) as f64;
        let (below, above) = (values[position.floor() as usize], values[position.ceil() as usize]);
        below + position.fract() * (above - below)
    };
    Some(Interval { low: point(0.025), high: point(0.975) })
}

/// The fewest resamples that give a 95 % interval.
pub(crate) const FEWEST_ROUNDS: usize = 40;

/// The 97.5 % point of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of Wilson for `successes` out of `trials`; all of 0 to 1 without trials.
///
/// It takes the trials as independent. Pairs that share images or people are not, so the true interval of a
/// verification result is wider ([`Bootstrap`](crate::Bootstrap)).
///
/// Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
pub fn wilson(successes: usize, trials: usize) -> Interval {
    if trials == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, share) = (trials as f64, successes as f64 / trials as f64);
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the ends, where rounding would leave a trace.
    let low = if successes == 0 { 0.0 } else { (middle - half) / scale };
    let high = if successes == trials { 1.0 } else { (middle + half) / scale };
    Interval { low, high }
}

/// Half the width of the 95 % interval of the mean of independent, normally distributed `values`, by Student's
/// t; nothing for fewer than two.
///
/// Source: "Student", "The probable error of a mean", 1908.
pub fn student_half_width(values: &[f64]) -> Option<f64> {
    let (_, deviation) = mean_and_deviation(values)?;
    Some(student_t(values.len() - 1) * deviation / (values.len() as f64).sqrt())
}

/// The mean of `values` and their standard deviation, with divisor n − 1; nothing for fewer than two.
pub(crate) fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (squares / (n - 1.0)).sqrt()))
}

/// Half the width of the 95 % interval around a mean with this standard error, from many trials.
pub fn normal_half_width(standard_error: f64) -> f64 {
    Z * standard_error
}

/// The 97.5 % point of Student's t distribution with `freedom` degrees of freedom, at least 1.
fn student_t(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, std::f64::consts::FRAC_PI_2);
    // Each halving adds a bit of the angle.
    for _ in 0..f64::MANTISSA_DIGITS {
        let middle = (low + high) / 2.0;
        *(if student_central(middle, freedom) < 0.95 { &mut low } else { &mut high }) = middle;
    }
    (freedom as f64).sqrt() * ((low + high) / 2.0).tan()
}

/// The probability that the absolute value of Student's t with `freedom` degrees of freedom, at least 1, is
/// that of `t` or larger; exact to 1e-13, so that smaller ones come out as about zero.
pub(crate) fn student_two_sided(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / (freedom as f64).sqrt()).atan();
    (1.0 - student_central(angle, freedom)).clamp(0.0, 1.0)
}

/// The probability that a fair coin falls at least as unevenly as `heads` to `tails`: twice the smaller tail of
/// the binomial distribution, summed term by term. In O(`heads` + `tails`).
pub(crate) fn binomial_two_sided(heads: usize, tails: usize) -> f64 {
    let (fewer, n) = (heads.min(tails), heads + tails);
    // In units of the largest term, that of the middle.
    let (mut term, mut half, mut tail) = (1.0, 0.0, 0.0);
    for i in (0..=n / 2).rev() {
        half += term;
        tail += if i <= fewer { term } else { 0.0 };
        term *= i as f64 / (n - i + 1) as f64;
    }
    let all = if n.is_multiple_of(2) { 2.0 * half - 1.0 } else { 2.0 * half };
    (2.0 * tail / all).min(1.0)
}

/// The probability of |t| < sqrt(freedom) tan(angle), a finite sum.
///
/// Source: Abramowitz & Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
fn student_central(angle: f64, freedom: usize) -> f64 {
    let (sin, cos) = angle.sin_cos();
    let is_odd = freedom % 2 == 1;
    let mut term = if is_odd { cos } else { 1.0 };
    let mut sum = 0.0;
    for power in (usize::from(is_odd)..=freedom.saturating_sub(2)).step_by(2) {
        sum += term;
        term *= cos * cos * (power + 1) as f64 / (power + 2) as f64;
    }
    if is_odd { (angle + sin * sum) * std::f64::consts::FRAC_2_PI } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tuples of numbers that scipy computed (reference/paired.py).
    fn reference(key: &str) -> Vec<Vec<f64>> {
        let mut all: serde_json::Value =
            serde_json::from_str(include_str!("../reference/paired.json")).unwrap();
        serde_json::from_value(all[key].take()).unwrap()
    }

    #[test]
    fn probabilities_are_those_of_scipy() {
        for row in reference("student_p") {
            let [t, freedom, p] = row[..] else { panic!("{row:?}") };
            assert!((student_two_sided(t, freedom as usize) - p).abs() < 1e-13, "{row:?}");
        }
        for row in reference("mcnemar") {
            let [heads, tails, p] = row[..] else { panic!("{row:?}") };
            let found = binomial_two_sided(heads as usize, tails as usize);
            assert!((found - p).abs() < 1e-9 * p, "{row:?}: {found}");
            assert_eq!(found, binomial_two_sided(tails as usize, heads as usize));
        }
        // Twice two to the power of −5,000, smaller than any number.
        assert_eq!(binomial_two_sided(0, 5000), 0.0);
        assert_eq!(binomial_two_sided(0, 1), 1.0);
    }

    #[test]
    fn the_interval_of_resamples() {
        // 0 to 200 in any order: the points are 5 and 195; of 41 values from 0 to 40, 1 and 39.
        let shuffled = |n: u32| (0..n).map(|i| f64::from(i * 7 % n)).collect();
        let interval = of_resamples(shuffled(201)).unwrap();
        assert!((interval.low - 5.0).abs() < 1e-12 && (interval.high - 195.0).abs() < 1e-12);
        let between = of_resamples((0..100).map(f64::from).collect()).unwrap();
        assert!((between.low - 2.475).abs() < 1e-12 && (between.high - 96.525).abs() < 1e-12);
        assert_eq!(of_resamples(shuffled(39)), None);
        assert!(between.contains(50.0) && !between.contains(1.0) && !between.contains(97.0));
    }

    #[test]
    fn points_of_student_s_t_as_tables_have_them() {
        for (freedom, point) in [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (5, 2.570_582),
            (9, 2.262_157),
            (10, 2.228_139),
            (30, 2.042_272),
            (100, 1.983_972),
            (101, 1.983_731),
            (1000, 1.962_339),
        ] {
            assert!((student_t(freedom) - point).abs() < 1e-6, "{freedom}: {}", student_t(freedom));
        }
        // Many degrees of freedom are the normal distribution, to first order 1 / freedom.
        assert!((student_t(1_000_000) - Z).abs() < 3e-6);
    }

    #[test]
    fn the_interval_of_a_mean() {
        // Deviation 1 over 3 values: 4.302653 / sqrt(3).
        assert!((student_half_width(&[1.0, 2.0, 3.0]).unwrap() - 2.484_138).abs() < 1e-6);
        assert_eq!(student_half_width(&[0.7, 0.7]), Some(0.0));
        assert_eq!((student_half_width(&[0.7]), student_half_width(&[])), (None, None));
        assert!((normal_half_width(0.01) - 0.0196).abs() < 1e-6);
    }

    #[test]
    fn wilson_solves_its_equation() {
        // The ends are the shares p whose z score for the measured share is the 97.5 % point.
        for (successes, trials) in [(1, 10), (81, 263), (885, 1000), (5999, 6000), (0, 7), (7, 7)] {
            let Interval { low, high } = wilson(successes, trials);
            let (n, share) = (trials as f64, successes as f64 / trials as f64);
            for end in [low, high] {
                if end > 0.0 && end < 1.0 {
                    let z = (share - end).abs() / (end * (1.0 - end) / n).sqrt();
                    assert!((z - Z).abs() < 1e-9, "{successes} of {trials}: {z}");
                }
            }
            assert!(low <= share && share <= high);
        }
    }

    #[test]
    fn wilson_at_the_ends() {
        // n = 10, none: z² / (n + z²) = 0.27753.
        let none = wilson(0, 10);
        assert_eq!(none.low, 0.0);
        assert!((none.high - 0.277_532).abs() < 1e-5, "{none:?}");
        let all = wilson(10, 10);
        assert_eq!(all.high, 1.0);
        assert!((all.low - (1.0 - none.high)).abs() < 1e-12);
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
    }
}
