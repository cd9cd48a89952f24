//! Numbers and provenance as the tables of results write them.

use crate::{Interval, Provenance, Table, Unmeasurable};

/// A share in per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", points(share))
}

/// A share in percentage points, without the sign.
pub(crate) fn points(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// The ends of an interval of a share, in percentage points.
pub(crate) fn span(interval: Interval) -> String {
    format!("{} to {}", points(interval.low), points(interval.high))
}

/// A share in percentage points: two digits after the point, or two that are not zero.
pub(crate) fn fine(share: f64) -> String {
    let digits = if share > 0.0 { (-1.0 - share.log10()).ceil().clamp(2.0, 8.0) } else { 2.0 };
    format!("{:.*}", digits as usize, share * 100.0)
}

/// The ends of an interval of a share, with as many digits as a small one needs.
pub(crate) fn fine_span(interval: Interval) -> String {
    format!("{} to {}", fine(interval.low), fine(interval.high))
}

/// A target in per cent, without the digits that the multiplication leaves.
pub(crate) fn in_percent(target: f64) -> f64 {
    (target * 1e10).round() / 1e8
}

/// Why a number is absent.
pub(crate) fn reason(reason: Option<Unmeasurable>) -> String {
    reason.map_or("not measured".into(), |reason| reason.to_string())
}

/// Why a rate is absent: there are only `n` of what it takes `needed` of.
pub(crate) fn too_few(n: usize, what: &str, needed: usize) -> String {
    format!("not measurable: {} {what}, it takes {}", thousands(n), thousands(needed))
}

/// A whole number with its thousands set apart.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Adds where the numbers of a result come from.
pub(crate) fn provenance_rows(table: &mut Table, of: &Provenance) {
    table.row(["list", &format!("SHA-256 {}", of.pairs_sha256)]);
    table.row(["pixels", &format!("SHA-256 {}", of.images_sha256)]);
    table.row(["scores", &format!("{}, flip fusion {}", of.score, of.flip)]);
    of.switches.iter().for_each(|(name, value)| table.row([name, value]));
    if let Some(model) = &of.model_sha256 {
        table.row(["model", &format!("SHA-256 {model}")]);
    }
    table.row(["backend", &of.backend]);
    if let Some(seed) = of.seed {
        table.row(["seed", &seed.to_string()]);
    }
}

/// Where the numbers of tests come from.
#[cfg(test)]
pub(crate) fn provenance(protocol: &str) -> Provenance {
    Provenance {
        protocol: protocol.into(),
        pairs_sha256: "c0ffee".into(),
        images_sha256: "decade".into(),
        model_sha256: None,
        backend: "flex".into(),
        seed: Some(7),
        flip: crate::Flip::Add,
        score: crate::Similarity::Cosine,
        centring: crate::Centring::None,
        switches: std::collections::BTreeMap::new(),
    }
}

/// Checks that a result is the same after it was written as JSON and read again, up to the last bits of its
/// numbers, which the JSON library may read differently.
#[cfg(test)]
pub(crate) fn survives_json<T: serde::Serialize + serde::de::DeserializeOwned>(result: &T) {
    use serde_json::Value;
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= 1e-15 * a.abs()
            }
            _ => a == b,
        }
    }
    let written = serde_json::to_value(result).unwrap();
    let read: T = serde_json::from_str(&serde_json::to_string(result).unwrap()).unwrap();
    assert!(same(&written, &serde_json::to_value(&read).unwrap()), "{written}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FAR_TARGETS;

    #[test]
    fn small_shares_keep_their_digits() {
        let shares = [0.0, 0.5, 0.05, 0.000_123, 0.000_001_5].map(fine);
        assert_eq!(shares, ["0.00", "50.00", "5.00", "0.012", "0.00015"]);
        assert_eq!(FAR_TARGETS.map(in_percent), [10.0, 1.0, 0.1, 0.01, 0.001, 0.0001]);
        assert_eq!(span(Interval { low: 0.1, high: 0.98765 }), "10.00 to 98.77");
        assert_eq!(fine_span(Interval { low: 0.000_123, high: 0.1 }), "0.012 to 10.00");
    }

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 999, 1000, 1_234_567, 1_000_005].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567", "1,000,005"]);
    }
}
