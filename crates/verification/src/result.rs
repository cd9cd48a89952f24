//! What a verification protocol measured, with every switch that changes the numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, Align, Bootstrap, Centring, DETECTION_COSTS, FAR_TARGETS, Flip, Interval, MinDcf, NoBootstrap,
    Resampling, Roc, Scores, Similarity, Table, TarAtFar, ThresholdFrom, Unmeasurable,
    insightface::InsightfaceResult,
    k_fold, same_pairs,
    text::{fine, fine_span, in_percent, percent, points, reason, span, thousands},
    transfer,
};

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
    /// What was subtracted from the embeddings before.
    #[serde(default)]
    pub centring: Centring,
    /// Further switches that change the numbers, by name, such as `whitening`.
    #[serde(default)]
    pub switches: BTreeMap<String, String>,
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
    /// The true-accept rate at each of [`FAR_TARGETS`].
    pub tar_at_far: Vec<TarAtFar>,
    /// The minimum of each of [`DETECTION_COSTS`].
    #[serde(default)]
    pub min_dcf: Vec<MinDcf>,
    /// The average precision of the list of pairs by falling score.
    #[serde(default)]
    pub average_precision: Option<f64>,
    /// The same by insightface's procedure, for comparison with published tables, where it was asked for.
    #[serde(default)]
    pub insightface: Option<InsightfaceResult>,
    /// Why there is no area, equal error rate, true-accept rate and detection cost.
    pub roc_unmeasurable: Option<Unmeasurable>,
    /// The number of distinct images, where it is known.
    #[serde(default)]
    pub images: Option<usize>,
    /// The number of people on them.
    #[serde(default)]
    pub people: Option<usize>,
    /// Whether the source of the pairs names the people; if not, images that genuine pairs connect count as one.
    #[serde(default)]
    pub people_named: bool,
    /// Intervals that take into account that pairs share people.
    #[serde(default)]
    pub bootstrap: Option<Bootstrap>,
    /// Why there are none.
    #[serde(default)]
    pub no_bootstrap: Option<NoBootstrap>,
}

/// The accuracy of `scores` by the rule that the pairs allow.
///
/// The threshold is the best on `development` where there are such pairs (LFW View 1), else for each fold the
/// best on the other folds (View 2), and with a single fold the best on the same pairs.
///
/// # Errors
/// If the pairs, or those that a threshold is chosen on, are not of both classes.
pub fn accuracy(scores: &Scores, development: Option<&Scores>) -> Result<Accuracy, Unmeasurable> {
    match development {
        Some(development) => transfer(development, scores),
        None => match k_fold(scores) {
            Err(Unmeasurable::OneFold) => same_pairs(scores),
            by_folds => by_folds,
        },
    }
}

impl VerificationResult {
    /// Measures everything that `scores` support.
    ///
    /// The threshold of the accuracy is the best on `development` where there are such pairs (LFW View 1),
    /// else for each fold the best on the other folds (View 2), and with a single fold the best on the same
    /// pairs, which the result says.
    ///
    /// The people of `resampling` are those of the pairs of `scores`; without rounds there are no intervals by people,
    /// as during training.
    pub fn measure(
        scores: &Scores,
        development: Option<&Scores>,
        provenance: Provenance,
        resampling: &Resampling<'_>,
    ) -> Self {
        Self::of(scores, accuracy(scores, development), provenance, resampling)
    }

    /// Measures everything that `scores` support beside `accuracy`, which was measured by a rule of its own, such
    /// as [`k_fold_centred`](crate::k_fold_centred).
    pub fn of(
        scores: &Scores,
        accuracy: Result<Accuracy, Unmeasurable>,
        provenance: Provenance,
        resampling: &Resampling<'_>,
    ) -> Self {
        let roc = Roc::new(scores);
        let curve = roc.as_ref().ok();
        let bootstrap = Bootstrap::new(scores, accuracy.as_ref().ok(), resampling);
        let people = resampling.people;
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
            min_dcf: curve
                .map(|roc| DETECTION_COSTS.iter().map(|&cost| roc.min_dcf(cost)).collect())
                .unwrap_or_default(),
            average_precision: curve.map(Roc::average_precision),
            insightface: None,
            roc_unmeasurable: roc.err(),
            images: people.map(|people| people.images()),
            people: people.map(|people| people.count()),
            people_named: people.is_some_and(|people| people.named()),
            no_bootstrap: bootstrap.as_ref().err().copied(),
            bootstrap: bootstrap.ok(),
        }
    }

    /// The result as aligned plain text; ends with a line feed.
    pub fn to_table(&self) -> String {
        let folds = self.accuracy.iter().filter(|accuracy| accuracy.folds.len() > 1).map(fold_table);
        format!(
            "{}\n{}\n{}{}",
            self.provenance.protocol,
            self.numbers(),
            self.circumstances(),
            folds.collect::<String>()
        )
    }

    /// What was measured, with intervals.
    fn numbers(&self) -> Table {
        let mut table = Table::new(&[Align::Left]);
        let bootstrap = self.bootstrap.as_ref();
        let mut row = |name: &str, value: String, by_pairs: String, by_people: String, note: String| {
            let people = bootstrap.map(|_| by_people);
            table.row(
                [Some(name.to_owned()), Some(value), Some(by_pairs), people, Some(note)]
                    .into_iter()
                    .flatten(),
            );
        };
        let blank = String::new;
        let missing = || "–".to_owned();
        row(
            "",
            "measured".into(),
            "95 % by pairs (Wilson)".into(),
            "95 % by people (bootstrap)".into(),
            blank(),
        );
        match &self.accuracy {
            Some(accuracy) => row(
                "accuracy",
                format!("{} ± {}", percent(accuracy.mean), points(accuracy.standard_error)),
                span(accuracy.interval),
                bootstrap.and_then(|b| b.accuracy).map_or_else(blank, span),
                match accuracy.standard_deviation {
                    Some(deviation) => {
                        format!("± standard error; deviation over folds {}", points(deviation))
                    }
                    None => "± standard error".into(),
                },
            ),
            None => row("accuracy", missing(), blank(), blank(), reason(self.accuracy_unmeasurable)),
        }
        let Some((auc, eer)) = self.auc.zip(self.eer) else {
            for name in ["AUC", "EER", "TAR at FAR", "minDCF"] {
                row(name, missing(), blank(), blank(), reason(self.roc_unmeasurable));
            }
            return table;
        };
        let plain = |interval: Interval| format!("{:.4} to {:.4}", interval.low, interval.high);
        row("AUC", format!("{auc:.4}"), blank(), bootstrap.map_or_else(blank, |b| plain(b.auc)), blank());
        row("EER", percent(eer), blank(), bootstrap.map_or_else(blank, |b| span(b.eer)), blank());
        if let Some(precision) = self.average_precision {
            row("average precision", format!("{precision:.4}"), blank(), blank(), blank());
        }
        for at in &self.tar_at_far {
            let name = format!("TAR at FAR {} %", in_percent(at.target));
            let Some(point) = &at.measured else {
                row(&name, missing(), blank(), blank(), self.too_few(0, at.impostors_needed));
                continue;
            };
            let far_interval = point.far_interval.map(|interval| format!(" ({})", fine_span(interval)));
            let note = format!(
                "FAR {} %{}, threshold {:.4}",
                fine(point.far),
                far_interval.unwrap_or_default(),
                point.threshold
            );
            let by_people = bootstrap.and_then(|b| b.tar(at.target)).map_or_else(blank, span);
            row(&name, percent(point.tar), span(point.interval), by_people, note);
        }
        for entry in &self.min_dcf {
            let name = format!("minDCF at P {}", entry.at.p_target);
            let Some(point) = &entry.measured else {
                let note = self.too_few(entry.genuine_needed, entry.impostors_needed);
                row(&name, missing(), blank(), blank(), note);
                continue;
            };
            let note = format!(
                "FAR {} %, false-reject rate {}, threshold {:.4}",
                fine(point.far),
                percent(point.frr),
                point.threshold
            );
            let by_people = bootstrap.and_then(|b| b.dcf(entry.at)).map_or_else(blank, plain);
            row(&name, format!("{:.4}", point.cost), blank(), by_people, note);
        }
        if let Some(compat) = &self.insightface {
            let value = format!("{} ± {}", percent(compat.accuracy), points(compat.deviation));
            let note = format!("± deviation over {} folds, thresholds in steps of 0.01", compat.folds.len());
            row("accuracy as insightface", value, blank(), blank(), note);
            let (value, note) = match (&compat.val, compat.val_unmeasurable) {
                (Some(val), _) => (
                    format!("{} ± {}", percent(val.val), points(val.deviation)),
                    format!("FAR {} %, thresholds in steps of 0.001", fine(val.far)),
                ),
                (None, why) => (missing(), reason(why)),
            };
            row("VAL at FAR 0.1 % as insightface", value, blank(), blank(), note);
        }
        table
    }

    /// Data, model and switches.
    fn circumstances(&self) -> Table {
        let Provenance {
            protocol: _,
            pairs_sha256,
            images_sha256,
            model_sha256,
            backend,
            seed,
            flip,
            score,
            centring,
            switches,
        } = &self.provenance;
        let mut table = Table::new(&[Align::Left]);
        if let Some(accuracy) = &self.accuracy {
            table.row(["threshold".into(), threshold_text(accuracy)]);
        }
        let (genuine, impostor) = (thousands(self.genuine), thousands(self.impostor));
        table.row(["pairs", &format!("{genuine} genuine, {impostor} impostor, SHA-256 {pairs_sha256}")]);
        let images = self.images.map(|images| format!("{}, ", thousands(images)));
        table.row(["images", &format!("{}SHA-256 {images_sha256}", images.unwrap_or_default())]);
        if let Some(people) = self.people {
            let not_named = "; the list does not name them: images that genuine pairs connect are one person";
            table.row([
                "people",
                &format!("{}{}", thousands(people), if self.people_named { "" } else { not_named }),
            ]);
        }
        let centred =
            if *centring == Centring::None { String::new() } else { format!(", centring {centring}") };
        table.row(["scores", &format!("{score}, flip fusion {flip}{centred}")]);
        for (name, value) in switches {
            table.row([name, value]);
        }
        if let Some(model) = model_sha256 {
            table.row(["model", &format!("SHA-256 {model}")]);
        }
        table.row(["backend", backend]);
        if let Some(seed) = seed {
            table.row(["seed", &seed.to_string()]);
        }
        match (&self.bootstrap, self.no_bootstrap) {
            (Some(bootstrap), _) => {
                let mut text = format!("{} rounds, seed {}", thousands(bootstrap.rounds), bootstrap.seed);
                if bootstrap.left_out > 0 {
                    text += &format!("; {} more drew a single class", thousands(bootstrap.left_out));
                }
                table.row(["bootstrap", &text]);
            }
            (None, None | Some(NoBootstrap::NotAskedFor)) => {}
            (None, Some(reason)) => table.row(["bootstrap", &reason.to_string()]),
        }
        table
    }

    fn too_few(&self, genuine_needed: usize, impostors_needed: usize) -> String {
        let (class, are, needed) = if self.impostor < impostors_needed {
            ("impostor", self.impostor, impostors_needed)
        } else {
            ("genuine", self.genuine, genuine_needed)
        };
        format!("not measurable: {} {class} pairs, it takes {}", thousands(are), thousands(needed))
    }

    /// The names of the columns of [`VerificationResult::to_csv`], as one line with its line feed.
    pub fn csv_header() -> String {
        csv_line(columns(None).into_iter().map(|(name, _)| name))
    }

    /// The result as one line with its line feed, in columns that are the same for every result, so that lines
    /// of several can follow one header. Shares are from 0 to 1; what was not measured is empty. Intervals end
    /// in `_low` and `_high`, by pairs unless the name says `by_people`.
    pub fn to_csv(&self) -> String {
        csv_line(columns(Some(self)).into_iter().map(|(_, value)| value))
    }
}

/// The name of each column and what a result has there; names alone without one.
fn columns(of: Option<&VerificationResult>) -> Vec<(String, String)> {
    let mut columns = Columns(Vec::new());
    let accuracy = of.and_then(|r| r.accuracy.as_ref());
    let bootstrap = of.and_then(|r| r.bootstrap.as_ref());
    columns.add("protocol", of.map(|r| &r.provenance.protocol));
    columns.add("model_sha256", of.and_then(|r| r.provenance.model_sha256.as_ref()));
    columns.add("pairs_sha256", of.map(|r| &r.provenance.pairs_sha256));
    columns.add("images_sha256", of.map(|r| &r.provenance.images_sha256));
    columns.add("backend", of.map(|r| &r.provenance.backend));
    columns.add("seed", of.and_then(|r| r.provenance.seed));
    columns.add("flip", of.map(|r| r.provenance.flip));
    columns.add("score", of.map(|r| r.provenance.score));
    columns.add("centring", of.map(|r| r.provenance.centring));
    let switch = |(name, value): (&String, &String)| format!("{name}={value}");
    columns
        .add("switches", of.map(|r| r.provenance.switches.iter().map(switch).collect::<Vec<_>>().join("; ")));
    columns.add("genuine", of.map(|r| r.genuine));
    columns.add("impostor", of.map(|r| r.impostor));
    columns.add("images", of.and_then(|r| r.images));
    columns.add("people", of.and_then(|r| r.people));
    columns.add("people_named", of.and_then(|r| r.people.map(|_| r.people_named)));
    columns.add("accuracy", accuracy.map(|a| a.mean));
    columns.interval("accuracy", accuracy.map(|a| a.interval));
    columns.interval("accuracy_by_people", bootstrap.and_then(|b| b.accuracy));
    columns.add("accuracy_standard_deviation", accuracy.and_then(|a| a.standard_deviation));
    columns.add("accuracy_standard_error", accuracy.map(|a| a.standard_error));
    columns.add("folds", accuracy.map(|a| a.folds.len()));
    columns.add("threshold", accuracy.map(Accuracy::threshold));
    columns.add("threshold_from", accuracy.map(|a| a.threshold_from));
    columns.add("accuracy_unmeasurable", of.and_then(|r| r.accuracy_unmeasurable));
    columns.add("auc", of.and_then(|r| r.auc));
    columns.interval("auc_by_people", bootstrap.map(|b| b.auc));
    columns.add("eer", of.and_then(|r| r.eer));
    columns.interval("eer_by_people", bootstrap.map(|b| b.eer));
    columns.add("average_precision", of.and_then(|r| r.average_precision));
    let compat = of.and_then(|r| r.insightface.as_ref());
    columns.add("accuracy_as_insightface", compat.map(|c| c.accuracy));
    columns.add("val_as_insightface", compat.and_then(|c| c.val.as_ref()).map(|val| val.val));
    for target in FAR_TARGETS {
        let point = of.and_then(|r| r.tar_at_far.iter().find(|at| at.target == target)?.measured);
        let name = format!("tar_at_far_{target:e}");
        columns.add(&name, point.map(|p| p.tar));
        columns.interval(&name, point.map(|p| p.interval));
        columns.interval(&format!("{name}_by_people"), bootstrap.and_then(|b| b.tar(target)));
        columns.add(&format!("{name}_far"), point.map(|p| p.far));
        columns.interval(&format!("{name}_far"), point.and_then(|p| p.far_interval));
        columns.add(&format!("{name}_threshold"), point.map(|p| p.threshold));
    }
    for cost in DETECTION_COSTS {
        let point = of.and_then(|r| r.min_dcf.iter().find(|entry| entry.at == cost)?.measured);
        let name = format!("min_dcf_{}", cost.p_target);
        columns.add(&name, point.map(|p| p.cost));
        columns.interval(&format!("{name}_by_people"), bootstrap.and_then(|b| b.dcf(cost)));
        columns.add(&format!("{name}_threshold"), point.map(|p| p.threshold));
    }
    columns.add("roc_unmeasurable", of.and_then(|r| r.roc_unmeasurable));
    columns.add("bootstrap_rounds", bootstrap.map(|b| b.rounds));
    columns.add("bootstrap_left_out", bootstrap.map(|b| b.left_out));
    columns.add("bootstrap_seed", bootstrap.map(|b| b.seed));
    columns.add("no_bootstrap", of.and_then(|r| r.no_bootstrap));
    columns.0
}

/// Names and values.
struct Columns(Vec<(String, String)>);

impl Columns {
    fn add(&mut self, name: &str, value: Option<impl ToString>) {
        self.0.push((name.to_owned(), value.map(|value| value.to_string()).unwrap_or_default()));
    }

    fn interval(&mut self, name: &str, interval: Option<Interval>) {
        self.add(&format!("{name}_low"), interval.map(|interval| interval.low));
        self.add(&format!("{name}_high"), interval.map(|interval| interval.high));
    }
}

/// Cells as a line of CSV (RFC 4180, but for the line feed).
fn csv_line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        People, ScoredPair,
        bootstrap::tests::Population,
        scores::scores,
        text::{self, survives_json},
    };

    fn provenance() -> Provenance {
        let switches = [("whitening".into(), "128 of 512".into())].into();
        Provenance { switches, ..text::provenance("LFW View 1") }
    }

    fn measure(scores: &Scores) -> VerificationResult {
        VerificationResult::measure(scores, None, provenance(), &Resampling::default())
    }

    /// 80 people in two folds with 1,390 impostor pairs, and 100 rounds.
    fn resampled(seed: u64) -> VerificationResult {
        let population = Population {
            people: 80,
            genuine_each: 4,
            neighbours: 20,
            folds: 2,
            genuine_mean: 2.5,
            genuine: [0.5, 0.8],
            impostor: [0.3, 0.8],
        };
        let (scores, list) = population.sample(seed);
        let people = People::of(&list);
        let resampling = Resampling { people: Some(&people), rounds: 100, seed: 3 };
        VerificationResult::measure(&scores, None, provenance(), &resampling)
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
            let resampling = Resampling::default();
            let result = VerificationResult::measure(scores, development, provenance(), &resampling);
            result.accuracy.unwrap().threshold_from
        };
        assert_eq!(from(&one, None), ThresholdFrom::SamePairs);
        assert_eq!(from(&one, Some(&one)), ThresholdFrom::OtherPairs);
        assert_eq!(from(&two_folds(), None), ThresholdFrom::OtherFolds);
        assert_eq!(from(&two_folds(), Some(&one)), ThresholdFrom::OtherPairs);
    }

    #[test]
    fn results_survive_json() {
        let plain = [two_folds(), scores(&[0.5], &[]), scores(&[], &[])];
        for result in plain.iter().map(measure).chain([resampled(1)]) {
            survives_json(&result);
        }
        let json = serde_json::to_value(measure(&scores(&[0.5], &[]))).unwrap();
        assert_eq!(json["flip"], "add");
        assert_eq!(json["score"], "cosine");
        assert_eq!(json["switches"]["whitening"], "128 of 512");
        assert_eq!(json["roc_unmeasurable"], "only_genuine");
        assert_eq!(json["no_bootstrap"], "not_asked_for");
        assert!(json["auc"].is_null() && json["accuracy"].is_null());
    }

    #[test]
    fn results_of_older_versions_are_read() {
        let old = r#"{"protocol":"p","pairs_sha256":"","images_sha256":"","model_sha256":null,
            "backend":"flex","seed":1,"flip":"add","score":"cosine","genuine":9,"impostor":900,"accuracy":null,
            "accuracy_unmeasurable":"no_pairs","auc":0.75,"eer":0.3,"tar_at_far":[{"target":0.1,"impostors_needed":100,
            "measured":{"threshold":0.5,"far":0.1,"tar":0.75,"interval":{"low":0.5,"high":1}}}],
            "roc_unmeasurable":null}"#;
        let result: VerificationResult = serde_json::from_str(old).unwrap();
        assert_eq!((result.people, result.bootstrap.is_some(), result.min_dcf.len()), (None, false, 0));
        assert!(
            result.to_table().contains("75.00 %   50.00 to 100.00         FAR 10.00 %, threshold 0.5000\n")
        );
        assert_eq!(
            result.to_csv().matches(',').count(),
            VerificationResult::csv_header().matches(',').count()
        );
    }

    #[test]
    fn the_table_says_what_was_measured() {
        let table = measure(&two_folds()).to_table();
        // 260 of 300 and 110 of 150 with the Wilson intervals of an independent computation.
        for line in [
            "                     measured        95 % by pairs (Wilson)",
            "accuracy             86.67 % ± 0.00  82.35 to 90.05          ± standard error; deviation over folds 0.00",
            "AUC                  0.8169",
            "TAR at FAR 10 %      73.33 %         65.74 to 79.76          FAR 10.00 % (6.15 to 15.84), threshold 0.0271",
            "TAR at FAR 0.0001 %  –                                       not measurable: 150 impostor pairs, it takes 10,000,000",
            "minDCF at P 0.001    –                                       not measurable: 150 impostor pairs, it takes 9,990",
            "pairs      150 genuine, 150 impostor, SHA-256 c0ffee",
            "images     SHA-256 decade",
            "scores     cosine, flip fusion add",
            "whitening  128 of 512",
            "fold  accuracy  threshold  false rejects  false accepts",
        ] {
            assert!(table.lines().any(|found| found == line), "{line}\n{table}");
        }
        assert!(table.starts_with("LFW View 1\n "));
        assert!(!table.contains(" \n") && !table.contains("bootstrap"), "{table}");
    }

    #[test]
    fn intervals_stand_side_by_side() {
        let result = resampled(1);
        let table = result.to_table();
        let bootstrap = result.bootstrap.as_ref().unwrap();
        let accuracy = result.accuracy.as_ref().unwrap();
        let header = table.lines().nth(1).unwrap();
        let columns = ["95 % by pairs (Wilson)", "95 % by people (bootstrap)"].map(|name| {
            let start = header.find(name).unwrap();
            (start, name.len())
        });
        // By characters, since ± is more than a byte.
        let cell = |line: &str, (start, length): (usize, usize)| {
            line.chars().skip(start).take(length).collect::<String>().trim().to_owned()
        };
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(cell(line("accuracy"), columns[0]), span(accuracy.interval));
        assert_eq!(cell(line("accuracy"), columns[1]), span(bootstrap.accuracy.unwrap()));
        assert_eq!(cell(line("EER"), columns[1]), span(bootstrap.eer));
        assert_eq!(cell(line("TAR at FAR 1 %"), columns[1]), span(bootstrap.tar(0.01).unwrap()));
        let dcf = bootstrap.dcf(DETECTION_COSTS[0]).unwrap();
        assert_eq!(cell(line("minDCF at P 0.01"), columns[1]), format!("{:.4} to {:.4}", dcf.low, dcf.high));
        assert!(
            table.contains("\npeople     80\n") && table.contains("\nbootstrap  100 rounds, seed 3\n"),
            "{table}"
        );
        assert!(bootstrap.auc.contains(result.auc.unwrap()));
    }

    #[test]
    fn the_table_says_what_was_not() {
        let table = measure(&scores(&[0.5, 0.6], &[])).to_table();
        for name in ["accuracy", "AUC", "EER", "TAR at FAR", "minDCF"] {
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with("not measurable: only genuine pairs"), "{table}");
        }
        let flattered = measure(&scores(&[0.5], &[0.1])).to_table();
        assert!(
            flattered.contains("0.3000, the best on these very pairs: the accuracy is flattered"),
            "{flattered}"
        );
        let resampling = Resampling { people: None, rounds: 100, seed: 1 };
        let unknown = VerificationResult::measure(&two_folds(), None, provenance(), &resampling).to_table();
        assert!(unknown.contains("\nbootstrap  not measurable: who is on the images is not known\n"));
    }

    #[test]
    fn results_stack_as_csv() {
        let mut odd = measure(&scores(&[0.5], &[]));
        odd.provenance.protocol = "a \"b\", c\nd".into();
        let results = [resampled(1), resampled(2), odd];
        let text = VerificationResult::csv_header() + &results.each_ref().map(|r| r.to_csv()).concat();
        // A reader of quotes, apart from the writer.
        let (mut rows, mut cell, mut quoted) = (vec![Vec::new()], String::new(), false);
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => cell.push(rest.next().unwrap()),
                '"' => quoted = !quoted,
                ',' | '\n' if !quoted => {
                    rows.last_mut().unwrap().push(std::mem::take(&mut cell));
                    if c == '\n' {
                        rows.push(Vec::new());
                    }
                }
                _ => cell.push(c),
            }
        }
        assert_eq!(rows.pop(), Some(Vec::new()));
        assert_eq!(rows.len(), 4);
        let names: std::collections::BTreeSet<_> = rows[0].iter().collect();
        assert_eq!(names.len(), rows[0].len(), "a name twice");
        let at = |row: usize, name: &str| {
            assert_eq!(rows[row].len(), rows[0].len());
            rows[row][rows[0].iter().position(|found| found == name).unwrap()].as_str()
        };
        for (row, result) in (1..).zip(&results[..2]) {
            let bootstrap = result.bootstrap.as_ref().unwrap();
            assert_eq!(at(row, "auc").parse(), Ok(result.auc.unwrap()));
            assert_eq!(at(row, "eer_by_people_high").parse(), Ok(bootstrap.eer.high));
            assert_eq!(at(row, "tar_at_far_1e-2").parse(), Ok(result.tar_at_far[1].measured.unwrap().tar));
            assert_eq!(
                at(row, "tar_at_far_1e-2_by_people_low").parse(),
                Ok(bootstrap.tar(0.01).unwrap().low)
            );
            assert_eq!(at(row, "min_dcf_0.01").parse(), Ok(result.min_dcf[0].measured.unwrap().cost));
            assert_eq!((at(row, "tar_at_far_1e-6"), at(row, "switches")), ("", "whitening=128 of 512"));
            assert_eq!((at(row, "people"), at(row, "people_named")), ("80", "true"));
        }
        assert_eq!((at(3, "protocol"), at(3, "auc")), ("a \"b\", c\nd", ""));
        assert_eq!(at(3, "roc_unmeasurable"), "not measurable: only genuine pairs");
    }
}
