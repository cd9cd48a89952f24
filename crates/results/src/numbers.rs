//! Numbers as results write them.

use crate::Interval;

/// A share in percentage points with this many digits, without the sign: `12.34` of 0.1234 with two.
pub fn points(share: f64, digits: usize) -> String {
    format!("{:.digits$}", share * 100.0)
}

/// A share in per cent with two digits: `12.34 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", points(share, 2))
}

/// A share in percentage points: two digits after the point, or two that are not zero.
pub fn fine(share: f64) -> String {
    let digits = if share > 0.0 { (-1.0 - share.log10()).ceil().clamp(2.0, 8.0) } else { 2.0 };
    points(share, digits as usize)
}

/// The ends of an interval of a share, in percentage points.
pub fn span(interval: Interval) -> String {
    format!("{} to {}", points(interval.low, 2), points(interval.high, 2))
}

/// The ends of an interval of a share, with as many digits as a small one needs.
pub fn fine_span(interval: Interval) -> String {
    format!("{} to {}", fine(interval.low), fine(interval.high))
}

/// A target in per cent, without the digits that the multiplication leaves.
pub fn in_percent(target: f64) -> f64 {
    (target * 1e10).round() / 1e8
}

/// A whole number with its thousands set apart.
pub fn thousands(n: impl std::fmt::Display) -> String {
    grouped(&n.to_string())
}

/// Digits with their thousands set apart.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with no more than four digits after the point, thousands set apart, as axes have it.
pub fn number(value: f64) -> String {
    // What is left of zero when an axis is divided into steps.
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1e9) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        return "0".into();
    }
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{sign}{}{fraction}", grouped(whole))
}

/// A number with three digits that count: `0.000472`, `12.3`, `1.20e-7`.
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    match digits {
        ..=-4 | 9.. => format!("{value:.2e}"),
        _ => {
            let unit = 10f64.powi(digits);
            ((value * unit).round() / unit).to_string()
        }
    }
}

/// A size in MiB or GiB, of three digits at most: `1.5 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    match mebibytes {
        10_000.0.. => format!("{:.0} GiB", mebibytes / 1024.0),
        1000.0.. => format!("{:.1} GiB", mebibytes / 1024.0),
        10.0.. => format!("{mebibytes:.0} MiB"),
        _ => format!("{mebibytes:.1} MiB"),
    }
}

/// Such as `40.0 s`, `1 min 15 s`, `3 h 5 min`; nothing for what is no time.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return String::new();
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Why a rate is absent: there are only `n` of what it takes `needed` of.
pub fn too_few(n: usize, what: &str, needed: usize) -> String {
    format!("not measurable: {} {what}, it takes {}", thousands(n), thousands(needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_three_digits() {
        let sizes = [5 << 20, 300 << 20, 1500 << 20, 20 << 30].map(bytes);
        assert_eq!(sizes, ["5.0 MiB", "300 MiB", "1.5 GiB", "20 GiB"]);
    }

    #[test]
    fn small_shares_keep_their_digits() {
        let shares = [0.0, 0.5, 0.05, 0.000_123, 0.000_001_5].map(fine);
        assert_eq!(shares, ["0.00", "50.00", "5.00", "0.012", "0.00015"]);
        let targets = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6].map(in_percent);
        assert_eq!(targets, [10.0, 1.0, 0.1, 0.01, 0.001, 0.0001]);
        assert_eq!(span(Interval { low: 0.1, high: 0.98765 }), "10.00 to 98.77");
        assert_eq!(fine_span(Interval { low: 0.000_123, high: 0.1 }), "0.012 to 10.00");
    }

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 999, 1000, 1_234_567, 1_000_005].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567", "1,000,005"]);
        let numbers = [0, 999, 1000, 5_822_653, 10_000u64].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "5,822,653", "10,000"]);
    }

    #[test]
    fn three_digits_count() {
        let texts = [0.1, 0.053_412, 0.000_471_9, 1234.0, 1e-6, 4.2e7, 99.96, 0.0, -0.5].map(significant);
        assert_eq!(texts, ["0.1", "0.0534", "0.000472", "1230", "0.000001", "4.20e7", "100", "0", "-0.5"]);
    }

    #[test]
    fn durations() {
        let texts = [0.25, 59.94, 61.0, 3600.0, 7384.0, f64::NAN].map(duration);
        assert_eq!(texts, ["0.2 s", "1 min 0 s", "1 min 1 s", "1 h 0 min", "2 h 3 min", ""]);
    }
}
