//! What a verification protocol measured, with every switch that changes the numbers.

use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, Align, Flip, Interval, Roc, Scores, Similarity, Table, TarAtFar, ThresholdFrom, Unmeasurable,
    k_fold, same_pairs, transfer,
};

/// The false-accept rates at which a true-accept rate is asked for.
const FAR_TARGETS: [f64; 4] = [1e-1, 1e-2, 1e-3, 1e-4];

/// Where the numbers of a result come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The protocol, such as `LFW View 1`.
    pub protocol: String,
    /// SHA-256 of the list of pairs ([`PairList::sha256`](crate::PairList::sha256)).
    pub pairs_sha256: String,
    /// SHA-256 of the pixels that were embedded, in the order of the list.
    pub images_sha256: String,
    /// SHA-256 of the model file, if there is one.
    pub model_sha256: Option<String>,
    /// The backend that computed the embeddings.
    pub backend: String,
    /// The seed of what was drawn: generated pairs, the initial weights of an untrained network.
    pub seed: Option<u64>,
    /// How an image and its mirror image were fused.
    pub flip: Flip,
    /// How embeddings were compared.
    pub score: Similarity,
}

/// What a verification protocol measured.
///
/// Numbers that the pairs do not support are absent, and `unmeasurable` or the number itself says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerificationResult {
    /// Protocol, data, model and switches.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The number of genuine pairs.
    pub genuine: usize,
    /// The number of impostor pairs.
    pub impostor: usize,
    /// Accuracy, intervals, thresholds and folds.
    pub accuracy: Option<Accuracy>,
    /// Why there is no accuracy.
    pub accuracy_unmeasurable: Option<Unmeasurable>,
    /// The area under the ROC.
    pub auc: Option<f64>,
    /// The equal error rate.
    pub eer: Option<f64>,
    /// The true-accept rates at false-accept rates of 1e-1, 1e-2, 1e-3 and 1e-4.
    pub tar_at_far: Vec<TarAtFar>,
    /// Why there is no area, equal error rate and true-accept rate.
    pub roc_unmeasurable: Option<Unmeasurable>,
}

impl VerificationResult {
    /// Measures everything that `scores` support.
    ///
    /// The threshold of the accuracy is the best on `development` where there are such pairs (LFW View 1),
    /// else for each fold the best on the other folds (View 2), and with a single fold the best on the same
    /// pairs, which the result says.
    pub fn measure(scores: &Scores, development: Option<&Scores>, provenance: Provenance) -> Self {
        let accuracy = match development {
            Some(development) => transfer(development, scores),
            None => match k_fold(scores) {
                Err(Unmeasurable::OneFold) => same_pairs(scores),
                by_folds => by_folds,
            },
        };
        let roc = Roc::new(scores);
        let curve = roc.as_ref().ok();
        Self {
            provenance,
            genuine: scores.pairs().iter().filter(|pair| pair.same).count(),
            impostor: scores.pairs().iter().filter(|pair| !pair.same).count(),
            accuracy_unmeasurable: accuracy.as_ref().err().copied(),
            accuracy: accuracy.ok(),
            auc: curve.map(Roc::auc),
            eer: curve.map(Roc::eer),
            tar_at_far: curve
                .map(|roc| FAR_TARGETS.iter().map(|&target| roc.tar_at_far(target)).collect())
                .unwrap_or_default(),
            roc_unmeasurable: roc.err(),
        }
    }

    /// The result as aligned plain text; ends with a line feed.
    pub fn to_table(&self) -> String {
        let mut table = Table::new(&[Align::Left]);
        match (&self.accuracy, &self.accuracy_unmeasurable) {
            (Some(accuracy), _) => {
                table.row(["accuracy".into(), accuracy_text(accuracy)]);
                table.row(["threshold".into(), threshold_text(accuracy)]);
            }
            (None, reason) => table.row(["accuracy".into(), reason_text(*reason)]),
        }
        let or_reason = |value: Option<String>| value.unwrap_or_else(|| reason_text(self.roc_unmeasurable));
        table.row(["AUC".into(), or_reason(self.auc.map(|auc| format!("{auc:.4}")))]);
        table.row(["EER".into(), or_reason(self.eer.map(percent))]);
        if self.tar_at_far.is_empty() {
            table.row(["TAR at FAR".into(), or_reason(None)]);
        }
        for at in &self.tar_at_far {
            table.row([format!("TAR at FAR {} %", at.target * 100.0), self.tar_text(at)]);
        }
        let Provenance { protocol, pairs_sha256, images_sha256, model_sha256, backend, seed, flip, score } =
            &self.provenance;
        let (genuine, impostor) = (thousands(self.genuine), thousands(self.impostor));
        table.row(["pairs", &format!("{genuine} genuine, {impostor} impostor, SHA-256 {pairs_sha256}")]);
        table.row(["images", &format!("SHA-256 {images_sha256}")]);
        table.row(["scores", &format!("{score}, flip fusion {flip}")]);
        if let Some(model) = model_sha256 {
            table.row(["model", &format!("SHA-256 {model}")]);
        }
        table.row(["backend", backend]);
        if let Some(seed) = seed {
            table.row(["seed", &seed.to_string()]);
        }
        let folds = self.accuracy.iter().filter(|accuracy| accuracy.folds.len() > 1).map(fold_table);
        format!("{protocol}\n{table}{}", folds.collect::<String>())
    }

    fn tar_text(&self, at: &TarAtFar) -> String {
        match &at.measured {
            None => format!(
                "not measurable: {} impostor pairs, it takes {}",
                thousands(self.impostor),
                thousands(at.impostors_needed)
            ),
            Some(point) => format!(
                "{} ({}), FAR {}, threshold {:.4}",
                percent(point.tar),
                interval_text(&point.interval),
                percent(point.far),
                point.threshold
            ),
        }
    }
}

fn accuracy_text(accuracy: &Accuracy) -> String {
    let deviation = accuracy.standard_deviation.map(|d| format!(", deviation over folds {}", points(d)));
    format!(
        "{} ± {} standard error ({}){}",
        percent(accuracy.mean),
        points(accuracy.standard_error),
        interval_text(&accuracy.interval),
        deviation.unwrap_or_default()
    )
}

fn threshold_text(accuracy: &Accuracy) -> String {
    let threshold = accuracy.threshold();
    match accuracy.threshold_from {
        ThresholdFrom::OtherFolds => {
            format!("{threshold:.4} on average, for each fold the best on the others")
        }
        ThresholdFrom::OtherPairs => format!("{threshold:.4}, the best on the development pairs"),
        ThresholdFrom::SamePairs => {
            format!("{threshold:.4}, the best on these very pairs: the accuracy is flattered")
        }
    }
}

fn fold_table(accuracy: &Accuracy) -> String {
    let mut table = Table::new(&[Align::Right; 5]);
    table.row(["fold", "accuracy", "threshold", "false rejects", "false accepts"]);
    for fold in &accuracy.folds {
        table.row([
            (fold.fold + 1).to_string(),
            percent(fold.accuracy),
            format!("{:.4}", fold.threshold),
            fold.false_rejects.to_string(),
            fold.false_accepts.to_string(),
        ]);
    }
    format!("\n{table}")
}

fn reason_text(reason: Option<Unmeasurable>) -> String {
    reason.map_or("not measured".into(), |reason| reason.to_string())
}

fn interval_text(interval: &Interval) -> String {
    format!("95 %: {} to {}", points(interval.low), points(interval.high))
}

/// A share in per cent.
fn percent(share: f64) -> String {
    format!("{} %", points(share))
}

/// A share in percentage points, without the sign.
fn points(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// A whole number with its thousands set apart.
fn thousands(n: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ScoredPair, scores::scores};

    fn provenance() -> Provenance {
        Provenance {
            protocol: "LFW View 1".into(),
            pairs_sha256: "c0ffee".into(),
            images_sha256: "decade".into(),
            model_sha256: None,
            backend: "flex".into(),
            seed: Some(7),
            flip: Flip::Add,
            score: Similarity::Cosine,
        }
    }

    /// 150 pairs of each class in two folds; 20 genuine pairs of each fold score too low.
    fn two_folds() -> Scores {
        let pairs = (0..300).map(|i| {
            let (same, fold) = (i % 2 == 0, i / 150);
            let score = f64::from(i) / 1e4 + if same && i % 150 >= 40 { 0.5 } else { 0.0 };
            ScoredPair { score, same, fold: fold as usize }
        });
        Scores::new(pairs.collect()).unwrap()
    }

    #[test]
    fn the_source_of_the_threshold_follows_from_the_pairs() {
        let one = scores(&[0.9, 0.8], &[0.1]);
        let from = |scores: &Scores, development| {
            VerificationResult::measure(scores, development, provenance()).accuracy.unwrap().threshold_from
        };
        assert_eq!(from(&one, None), ThresholdFrom::SamePairs);
        assert_eq!(from(&one, Some(&one)), ThresholdFrom::OtherPairs);
        assert_eq!(from(&two_folds(), None), ThresholdFrom::OtherFolds);
        assert_eq!(from(&two_folds(), Some(&one)), ThresholdFrom::OtherPairs);
    }

    #[test]
    fn results_survive_json() {
        for scores in [two_folds(), scores(&[0.5], &[]), scores(&[], &[])] {
            let result = VerificationResult::measure(&scores, None, provenance());
            let json = serde_json::to_string(&result).unwrap();
            assert_eq!(serde_json::from_str::<VerificationResult>(&json).unwrap(), result, "{json}");
        }
        let json =
            serde_json::to_value(VerificationResult::measure(&scores(&[0.5], &[]), None, provenance()))
                .unwrap();
        assert_eq!(json["flip"], "add");
        assert_eq!(json["score"], "cosine");
        assert_eq!(json["roc_unmeasurable"], "only_genuine");
        assert!(json["auc"].is_null() && json["accuracy"].is_null());
    }

    #[test]
    fn the_table_says_what_was_measured() {
        let table = VerificationResult::measure(&two_folds(), None, provenance()).to_table();
        // 260 of 300 and 110 of 150 with the Wilson intervals of an independent computation.
        let accuracy = "accuracy           86.67 % ± 0.00 standard error (95 %: 82.35 to 90.05), deviation over folds 0.00";
        assert!(table.starts_with(&format!("LFW View 1\n{accuracy}\n")), "{table}");
        assert!(table.contains("\nTAR at FAR 10 %    73.33 % (95 %: 65.74 to 79.76), FAR "), "{table}");
        assert!(
            table.contains("\nTAR at FAR 0.01 %  not measurable: 150 impostor pairs, it takes 100,000\n")
        );
        assert!(table.contains("\npairs              150 genuine, 150 impostor, SHA-256 c0ffee\n"));
        assert!(table.contains(
            "\nscores             cosine, flip fusion add\nbackend            flex\nseed               7\n"
        ));
        assert!(
            table.contains("\n\nfold  accuracy  threshold  false rejects  false accepts\n   1   86.67 %  ")
        );
        assert!(!table.contains(" \n"));
    }

    #[test]
    fn the_table_says_what_was_not() {
        let table = VerificationResult::measure(&scores(&[0.5, 0.6], &[]), None, provenance()).to_table();
        for line in ["accuracy    ", "AUC         ", "EER         ", "TAR at FAR  "] {
            assert!(table.contains(&format!("\n{line}not measurable: only genuine pairs\n")), "{table}");
        }
        let flattered = VerificationResult::measure(&scores(&[0.5], &[0.1]), None, provenance()).to_table();
        assert!(
            flattered.contains("0.3000, the best on these very pairs: the accuracy is flattered"),
            "{flattered}"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
