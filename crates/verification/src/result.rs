//! What a verification protocol measured, with every switch that changes the numbers.

use std::collections::BTreeMap;

use facegrad_results::{
    Better, Fact, Figure, Layout, NamedThreshold, ResultSection, ResultSheet, ResultTable, Scale,
    numbers::{fine, fine_span, in_percent, percent, points, thousands, too_few},
};
use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, Bootstrap, Centring, DETECTION_COSTS, FAR_TARGETS, Flip, FoldAccuracy, LostPairs, MinDcf,
    Missing, NoBootstrap, PairList, Resampling, Roc, Scores, Similarity, TarAtFar, ThresholdFrom,
    Unmeasurable,
    insightface::InsightfaceResult,
    k_fold,
    missing::by_class,
    pairs::repeats_in_words,
    same_pairs,
    text::{EQUAL_SCORES, equal_scores, model_facts, reason},
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
    /// What is to be known of how the images were found, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_remarks: Vec<String>,
}

/// What a verification protocol measured.
///
/// Numbers that the pairs do not support are absent, and `unmeasurable` or the number itself says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerificationResult {
    /// Protocol, data, model and switches.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The number of genuine pairs, with those that are lost and count as errors.
    pub genuine: usize,
    /// The number of impostor pairs, in the same way.
    pub impostor: usize,
    /// The pairs of images that are not there or cannot be read, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostPairs>,
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
    /// How many pairs the list named again; they count once, and are not among the pairs above.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: usize,
    /// What is to be known of how the list was read, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list_remarks: Vec<String>,
    /// Whether all scores are equal, so that nobody is told apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equal_scores: bool,
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
/// best on the other folds (View 2), and with a single fold the best on the same pairs. Pairs without a score have no part
/// in the choice, and are errors.
///
/// # Errors
/// If the pairs, or those that a threshold is chosen on, are not of both classes.
pub fn accuracy(scores: &Scores, development: Option<&Scores>) -> Result<Accuracy, Unmeasurable> {
    let of_scores = match development {
        Some(development) => transfer(development, scores),
        None => match k_fold(scores) {
            Err(Unmeasurable::OneFold) => same_pairs(scores),
            by_folds => by_folds,
        },
    };
    Ok(of_scores?.with_errors(scores.lost()))
}

impl VerificationResult {
    /// Measures everything that `scores` support beside `accuracy`, which was measured by [`accuracy`] or by a rule of
    /// its own, such as [`k_fold_centred`](crate::k_fold_centred).
    ///
    /// The people of `resampling` are those of the pairs of `scores`; without rounds there are no intervals by people,
    /// as during training.
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
        let [lost_genuine, lost_impostor] = by_class(scores.lost());
        Self {
            provenance,
            genuine: scores.pairs().iter().filter(|pair| pair.same).count() + lost_genuine,
            impostor: scores.pairs().iter().filter(|pair| !pair.same).count() + lost_impostor,
            lost: None,
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
            repeats: 0,
            list_remarks: Vec::new(),
            equal_scores: scores.are_equal(),
            no_bootstrap: bootstrap.as_ref().err().copied(),
            bootstrap: bootstrap.ok(),
        }
    }

    /// The same, with what is to be known of the list that the scores are of.
    pub fn of_list<I>(self, list: &PairList<I>) -> Self {
        Self { repeats: list.repeats(), list_remarks: list.remarks().to_vec(), ..self }
    }

    /// The same, with what the lost images of the list did, if there are any.
    pub fn with_lost(self, lost: Option<LostPairs>) -> Self {
        Self { lost, ..self }
    }

    /// The result as lists of figures, curves, facts and tables.
    pub fn sheet(&self) -> ResultSheet {
        let accuracy = self.accuracy.as_ref();
        let flattered = accuracy.is_some_and(|a| a.threshold_from == ThresholdFrom::SamePairs);
        let remarks = [
            (
                flattered,
                "The threshold was chosen on the very pairs it is applied to: the accuracy is flattered.",
            ),
            (
                self.people.is_some() && !self.people_named,
                "The list does not name people: images that genuine pairs connect count as one person.",
            ),
            (self.equal_scores, EQUAL_SCORES),
        ];
        let remarks = remarks.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned());
        let mut thresholds: Vec<NamedThreshold> = accuracy
            .map(|accuracy| NamedThreshold { name: "of the accuracy".into(), value: accuracy.threshold() })
            .into_iter()
            .collect();
        // A picture has room for a few.
        let reached = self.tar_at_far.iter().filter_map(|at| Some((at.target, at.measured?.threshold)));
        thresholds.extend(
            reached
                .skip(1)
                .take(2)
                .map(|(far, value)| NamedThreshold { name: format!("FAR {} %", in_percent(far)), value }),
        );
        ResultSheet {
            protocol: self.provenance.protocol.clone(),
            headlines: vec![("accuracy", "accuracy")],
            sections: vec![ResultSection {
                layout: Layout::Columns,
                figures: self.figures(),
                facts: self.facts(),
                columns: self.columns(),
                tables: accuracy
                    .filter(|accuracy| accuracy.folds.len() > 1)
                    .map(fold_table)
                    .into_iter()
                    .collect(),
                ..ResultSection::default()
            }],
            remarks: remarks
                .chain(self.lost.iter().map(|lost| format!("Lost pairs: {}.", lost.describe())))
                .chain(self.list_remarks.iter().chain(&self.provenance.image_remarks).cloned())
                .collect(),
            thresholds,
            ..ResultSheet::default()
        }
    }

    /// What was measured, with intervals: a metric is a line here.
    fn figures(&self) -> Vec<Figure> {
        use Better::{Higher, Lower};
        use Scale::{Digits, Percent};
        let people = self.bootstrap.as_ref();
        let compat = self.insightface.as_ref();
        let val = compat.and_then(|compat| compat.val.as_ref());
        let of_roc = |value: Option<f64>| value.ok_or_else(|| reason(self.roc_unmeasurable));
        let accuracy = self.accuracy.as_ref();
        let measured = accuracy.map(|a| a.mean).ok_or_else(|| reason(self.accuracy_unmeasurable));
        let deviation = accuracy.and_then(|a| a.standard_deviation);
        let mut figures = vec![
            Figure::new("accuracy", "accuracy", Percent, Higher, measured)
                .by_pairs(accuracy.map(|a| a.interval))
                .by_people(people.and_then(|b| b.accuracy))
                .spread(accuracy.map(|a| a.standard_error), "standard error")
                .note(match deviation {
                    Some(deviation) => {
                        format!("± standard error; deviation over folds {}", points(deviation, 2))
                    }
                    None => "± standard error".into(),
                })
                .column("accuracy_standard_deviation", deviation)
                .column("accuracy_standard_error", accuracy.map(|a| a.standard_error))
                .column("folds", accuracy.map(|a| a.folds.len()))
                .column("threshold", accuracy.map(Accuracy::threshold))
                .column("threshold_from", accuracy.map(|a| a.threshold_from))
                .column("accuracy_unmeasurable", self.accuracy_unmeasurable),
        ];
        if let Some(lost) = &self.lost {
            // The other number: which of the two is the accuracy depends on what was asked for.
            let (key, label, other) = match lost.of.missing {
                Missing::Wrong => ("accuracy_of_rest", "accuracy without lost pairs", lost.accuracy_of_rest),
                _ => {
                    ("accuracy_with_errors", "accuracy with lost pairs as errors", lost.accuracy_with_errors)
                }
            };
            let reason = || reason(self.accuracy_unmeasurable);
            figures.push(Figure::new(key, label, Percent, Higher, other.ok_or_else(reason)));
        }
        figures.extend([
            Figure::new("auc", "AUC", Digits(4), Higher, of_roc(self.auc)).by_people(people.map(|b| b.auc)),
            Figure::new("eer", "EER", Percent, Lower, of_roc(self.eer)).by_people(people.map(|b| b.eer)),
            Figure::optional(
                "average_precision",
                "average precision",
                Digits(4),
                Higher,
                self.average_precision,
            )
            // Their figures stand last, their columns here.
            .column("accuracy_as_insightface", compat.map(|compat| compat.accuracy))
            .column("val_as_insightface", val.map(|val| val.val)),
        ]);
        for target in FAR_TARGETS {
            let at = self.tar_at_far.iter().find(|at| at.target == target);
            let point = at.and_then(|at| at.measured);
            let measured = point.map(|point| point.tar).ok_or_else(|| match at {
                Some(at) if self.impostor >= at.impostors_needed => reason(Some(Unmeasurable::LostImpostors)),
                Some(at) => self.too_few(0, at.impostors_needed),
                None => reason(self.roc_unmeasurable),
            });
            let far_interval = point.and_then(|point| point.far_interval);
            let key = format!("tar_at_far_{target:e}");
            let label = format!("TAR at FAR {} %", in_percent(target));
            figures.push(
                Figure::new(&key, label, Percent, Higher, measured)
                    .by_pairs(point.map(|point| point.interval))
                    .by_people(people.and_then(|b| b.tar(target)))
                    .note(point.map_or_else(String::new, |point| {
                        let around = far_interval.map(|interval| format!(" ({})", fine_span(interval)));
                        let around = around.unwrap_or_default();
                        format!("FAR {} %{around}, threshold {:.4}", fine(point.far), point.threshold)
                    }))
                    .column(format!("{key}_far"), point.map(|point| point.far))
                    .interval_columns(&format!("{key}_far"), far_interval)
                    .column(format!("{key}_threshold"), point.map(|point| point.threshold)),
            );
        }
        for cost in DETECTION_COSTS {
            let entry = self.min_dcf.iter().find(|entry| entry.at == cost);
            let point = entry.and_then(|entry| entry.measured);
            let key = format!("min_dcf_{}", cost.p_target);
            let measured = point.map(|point| point.cost).ok_or_else(|| match entry {
                Some(entry) => self.too_few(entry.genuine_needed, entry.impostors_needed),
                None => reason(self.roc_unmeasurable),
            });
            figures.push(
                Figure::new(&key, format!("minDCF at P {}", cost.p_target), Digits(4), Lower, measured)
                    .by_people(people.and_then(|b| b.dcf(cost)))
                    .note(point.map_or_else(String::new, |point| {
                        format!(
                            "FAR {} %, false-reject rate {}, threshold {:.4}",
                            fine(point.far),
                            percent(point.frr),
                            point.threshold
                        )
                    }))
                    .column(format!("{key}_threshold"), point.map(|point| point.threshold)),
            );
        }
        figures.extend([
            Figure::optional(
                "accuracy_as_insightface",
                "accuracy as insightface",
                Percent,
                Higher,
                compat.map(|compat| compat.accuracy),
            )
            .spread(compat.map(|compat| compat.deviation), "deviation over folds")
            .note(compat.map_or_else(String::new, |compat| {
                format!("± deviation over {} folds, thresholds in steps of 0.01", compat.folds.len())
            })),
            Figure {
                reason: compat.filter(|_| val.is_none()).map(|compat| reason(compat.val_unmeasurable)),
                ..Figure::optional(
                    "val_as_insightface",
                    "VAL at FAR 0.1 % as insightface",
                    Percent,
                    Higher,
                    val.map(|val| val.val),
                )
            }
            .spread(val.map(|val| val.deviation), "deviation over folds")
            .note(val.map_or_else(String::new, |val| {
                format!("FAR {} %, thresholds in steps of 0.001", fine(val.far))
            })),
        ]);
        figures
    }

    /// Data, model and switches.
    fn facts(&self) -> Vec<Fact> {
        let from = &self.provenance;
        let threshold = self.accuracy.as_ref().map(|a| Fact::new("threshold", threshold_text(a)));
        let mut facts: Vec<Fact> = threshold.into_iter().collect();
        let (genuine, impostor) = (thousands(self.genuine), thousands(self.impostor));
        facts.push(Fact::new(
            "pairs",
            format!("{genuine} genuine, {impostor} impostor, SHA-256 {}", from.pairs_sha256),
        ));
        facts.extend(self.lost.iter().map(|lost| Fact::new("lost pairs", lost.describe())));
        let remarks = self.list_remarks.iter().chain(&from.image_remarks);
        facts.extend(remarks.map(|remark| Fact::new("list", remark)));
        facts.extend(equal_scores(self.equal_scores));
        facts.extend(repeats_in_words(self.repeats).map(|repeats| Fact::new("repeats", repeats)));
        let images = self.images.map(|images| format!("{}, ", thousands(images))).unwrap_or_default();
        facts.push(Fact::new("images", format!("{images}SHA-256 {}", from.images_sha256)));
        if let Some(people) = self.people {
            let not_named = "; the list does not name them: images that genuine pairs connect are one person";
            let named = if self.people_named { "" } else { not_named };
            facts.push(Fact::new("people", format!("{}{named}", thousands(people))));
        }
        let centred = match from.centring {
            Centring::None => String::new(),
            centring => format!(", centring {centring}"),
        };
        facts.push(Fact::new("scores", format!("{}, flip fusion {}{centred}", from.score, from.flip)));
        facts.extend(from.switches.iter().map(|(name, value)| Fact::new(name, value)));
        facts.extend(model_facts(from.model_sha256.as_deref(), &from.backend));
        facts.extend(from.seed.map(|seed| Fact::new("seed", seed.to_string())));
        match (&self.bootstrap, self.no_bootstrap) {
            (Some(bootstrap), _) => {
                let mut text = format!("{} rounds, seed {}", thousands(bootstrap.rounds), bootstrap.seed);
                if bootstrap.left_out > 0 {
                    text += &format!("; {} more drew a single class", thousands(bootstrap.left_out));
                }
                facts.push(Fact::new("bootstrap", text));
            }
            (None, None | Some(NoBootstrap::NotAskedFor)) => {}
            (None, Some(reason)) => facts.push(Fact::new("bootstrap", reason.to_string())),
        }
        facts
    }

    /// The columns of CSV before and after those of the figures.
    fn columns(&self) -> [Vec<(String, String)>; 2] {
        fn text(value: Option<impl ToString>) -> String {
            value.map(|value| value.to_string()).unwrap_or_default()
        }
        let from = &self.provenance;
        let bootstrap = self.bootstrap.as_ref();
        let switch = |(name, value): (&String, &String)| format!("{name}={value}");
        let before = [
            ("protocol", from.protocol.clone()),
            ("model_sha256", text(from.model_sha256.as_ref())),
            ("pairs_sha256", from.pairs_sha256.clone()),
            ("images_sha256", from.images_sha256.clone()),
            ("backend", from.backend.clone()),
            ("seed", text(from.seed)),
            ("flip", from.flip.to_string()),
            ("score", from.score.to_string()),
            ("centring", from.centring.to_string()),
            ("switches", from.switches.iter().map(switch).collect::<Vec<_>>().join("; ")),
            ("genuine", self.genuine.to_string()),
            ("impostor", self.impostor.to_string()),
            ("images", text(self.images)),
            ("people", text(self.people)),
            ("people_named", text(self.people.map(|_| self.people_named))),
        ];
        let after = [
            ("roc_unmeasurable", text(self.roc_unmeasurable)),
            ("bootstrap_rounds", text(bootstrap.map(|b| b.rounds))),
            ("bootstrap_left_out", text(bootstrap.map(|b| b.left_out))),
            ("bootstrap_seed", text(bootstrap.map(|b| b.seed))),
            ("no_bootstrap", text(self.no_bootstrap)),
        ];
        let lost = self.lost.iter().flat_map(|lost| {
            let count = |name: &str, pairs: usize| (name.to_owned(), pairs.to_string());
            let [genuine, impostor] =
                [count("lost_genuine", lost.genuine), count("lost_impostor", lost.impostor)];
            lost.of.columns().into_iter().chain([genuine, impostor])
        });
        let named = |(name, value): (&str, String)| (name.to_owned(), value);
        [before.into_iter().map(named).chain(lost).collect(), after.into_iter().map(named).collect()]
    }

    fn too_few(&self, genuine_needed: usize, impostors_needed: usize) -> String {
        let (class, are, needed) = if self.impostor < impostors_needed {
            ("impostor", self.impostor, impostors_needed)
        } else {
            ("genuine", self.genuine, genuine_needed)
        };
        too_few(are, &format!("{class} pairs"), needed)
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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

fn fold_table(accuracy: &Accuracy) -> ResultTable {
    let row = |fold: &FoldAccuracy| {
        vec![
            (fold.fold + 1).to_string(),
            percent(fold.accuracy),
            format!("{:.4}", fold.threshold),
            fold.false_rejects.to_string(),
            fold.false_accepts.to_string(),
        ]
    };
    ResultTable {
        title: "Folds".into(),
        header: ["fold", "accuracy", "threshold", "false rejects", "false accepts"].map(Into::into).into(),
        rows: accuracy.folds.iter().map(row).collect(),
        ..ResultTable::default()
    }
}

#[cfg(test)]
mod tests {
    use facegrad_results::{numbers::span, to_csv};

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
        VerificationResult::of(scores, accuracy(scores, None), provenance(), &Resampling::default())
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
        VerificationResult::of(&scores, accuracy(&scores, None), provenance(), &resampling)
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
            let result =
                VerificationResult::of(scores, accuracy(scores, development), provenance(), &resampling);
            result.accuracy.unwrap().threshold_from
        };
        assert_eq!(from(&one, None), ThresholdFrom::SamePairs);
        assert_eq!(from(&one, Some(&one)), ThresholdFrom::OtherPairs);
        assert_eq!(from(&two_folds(), None), ThresholdFrom::OtherFolds);
        assert_eq!(from(&two_folds(), Some(&one)), ThresholdFrom::OtherPairs);
    }

    #[test]
    fn repeats_and_equal_scores_are_told() {
        let text = "p1,p2,same,score\na,b,1,3\nb,a,1,3\na,c,0,4\n";
        let list = PairList::parse(text, std::path::Path::new("pairs.csv"), None).unwrap();
        let result = measure(&scores(&[0.5, 0.5], &[0.5 + 1e-9])).of_list(&list);
        let table = result.sheet().to_text();
        for told in [
            "1 more pairs were listed again and count once",
            "All scores are equal: the model tells nobody apart",
            "The column \"score\" of the list is passed over.",
        ] {
            assert!(table.contains(told), "{table}");
        }
        survives_json(&result);
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!((&json["repeats"], &json["equal_scores"]), (&1.into(), &true.into()));
        assert!(!measure(&scores(&[0.5, 0.5], &[0.4])).equal_scores);
        assert!(!measure(&scores(&[0.5], &[])).equal_scores);
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
            result
                .sheet()
                .to_text()
                .contains("75.00 %   50.00 to 100.00         FAR 10.00 %, threshold 0.5000\n")
        );
        assert_eq!(
            to_csv(&[&result.sheet()]).lines().map(|line| line.matches(',').count()).max(),
            to_csv(&[&result.sheet()]).lines().map(|line| line.matches(',').count()).min()
        );
    }

    #[test]
    fn the_table_says_what_was_measured() {
        let table = measure(&two_folds()).sheet().to_text();
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
        let table = result.sheet().to_text();
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
        let table = measure(&scores(&[0.5, 0.6], &[])).sheet().to_text();
        for name in ["accuracy", "AUC", "EER", "TAR at FAR", "minDCF"] {
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with("not measurable: only genuine pairs"), "{table}");
        }
        let flattered = measure(&scores(&[0.5], &[0.1])).sheet().to_text();
        assert!(
            flattered.contains("0.3000, the best on these very pairs: the accuracy is flattered"),
            "{flattered}"
        );
        let resampling = Resampling { people: None, rounds: 100, seed: 1 };
        let unknown =
            VerificationResult::of(&two_folds(), accuracy(&two_folds(), None), provenance(), &resampling)
                .sheet()
                .to_text();
        assert!(unknown.contains("\nbootstrap  not measurable: who is on the images is not known\n"));
    }

    #[test]
    fn results_stack_as_csv() {
        let mut odd = measure(&scores(&[0.5], &[]));
        odd.provenance.protocol = "a \"b\", c\nd".into();
        let results = [resampled(1), resampled(2), odd];
        let sheets = results.each_ref().map(|result| result.sheet());
        let text = to_csv(&sheets.each_ref());
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
