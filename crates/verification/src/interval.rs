//! How far a measured share may be from the true one.

use serde::{Deserialize, Serialize};

/// A 95 % confidence interval of a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, from 0 to 1.
    pub low: f64,
    /// Upper end, from 0 to 1.
    pub high: f64,
}

/// The 97.5 % point of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of Wilson for `successes` out of `trials`; all of 0 to 1 without trials.
///
/// It takes the trials as independent. Pairs that share images or people are not quite, so the true interval
/// of a verification result is somewhat wider.
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

#[cfg(test)]
mod tests {
    use super::*;

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
