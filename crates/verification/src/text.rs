//! What the sheets of all protocols say in the same words.

use facegrad_results::Fact;

use crate::{Provenance, Unmeasurable};

/// What is said of a model that gives all pairs the same score.
pub(crate) const EQUAL_SCORES: &str =
    "All scores are equal: the model tells nobody apart, as one that has collapsed.";

/// Scores that differ by no more are equal.
pub(crate) const ROUNDING: f64 = 1e-6;

/// That all scores are equal, if they are.
pub(crate) fn equal_scores(equal: bool) -> Option<Fact> {
    equal.then(|| Fact::new("equal scores", EQUAL_SCORES))
}

/// Whether several scores are equal but for rounding.
pub(crate) fn are_equal(scores: impl Iterator<Item = f64> + Clone) -> bool {
    let (lowest, highest) =
        (scores.clone().fold(f64::MAX, f64::min), scores.clone().fold(f64::MIN, f64::max));
    scores.take(2).count() > 1 && highest - lowest <= ROUNDING
}

/// Why a number is absent.
pub(crate) fn reason(reason: Option<Unmeasurable>) -> String {
    reason.map_or("not measured".into(), |reason| reason.to_string())
}

/// Where the numbers of a result come from.
pub(crate) fn provenance_facts(of: &Provenance) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("list", format!("SHA-256 {}", of.pairs_sha256)),
        Fact::new("pixels", format!("SHA-256 {}", of.images_sha256)),
        Fact::new("scores", format!("{}, flip fusion {}", of.score, of.flip)),
    ];
    facts.extend(of.image_remarks.iter().map(|remark| Fact::new("images", remark)));
    facts.extend(of.switches.iter().map(|(name, value)| Fact::new(name, value)));
    facts.extend(model_facts(of.model_sha256.as_deref(), &of.backend));
    facts.extend(of.seed.map(|seed| Fact::new("seed", seed.to_string())));
    facts
}

/// Which model computed the embeddings, and on what.
pub(crate) fn model_facts(model_sha256: Option<&str>, backend: &str) -> Vec<Fact> {
    let model = model_sha256.map(|sha256| Fact::new("model", format!("SHA-256 {sha256}")));
    model.into_iter().chain([Fact::new("backend", backend)]).collect()
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
        image_remarks: Vec::new(),
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
