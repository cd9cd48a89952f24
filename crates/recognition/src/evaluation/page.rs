//! From what was measured to the page that shows it.

use std::collections::HashMap;

use facegrad_embeddings::{Pca, Tsne};
use facegrad_pictures::{ImageFormat, encode};
use facegrad_report::{
    DataHash, EmbeddingMap, Entry, Estimate, EstimateAt, EvaluationReport, Fold, ImagePair, MapClass,
    ModelCard, ModelIdentification, ModelVerification, PairedDifference, ProtocolResults, RankRate,
    ScoreCounts, Table, Threshold, Thumbnail, thousands,
};
use facegrad_verification::{
    AllPairsResult, Centring, Contender, FnirAtFpir, IdentificationResult, Interval, PairedComparison,
    PairedError, People, Provenance, Resampling, Roc, ScoredPair, TarAtFar, Unmeasurable, Verdict,
    VerificationResult, compare,
};

use super::{Measured, MeasuredPairs, Measurement, OpenProtocol, Outcome};

/// A model, and what was measured of it on each protocol.
pub struct Contestant {
    /// What the page calls it.
    pub name: String,
    /// What is known of it.
    pub card: Vec<Entry>,
    /// One for each protocol.
    pub measured: Vec<Measured>,
}

/// What a page shows beside numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOptions {
    /// So many of the worst false accepts and of the worst false rejects are shown.
    pub worst: usize,
    /// Side of a thumbnail in pixels.
    pub thumbnail: usize,
    /// So many people are on the maps of embeddings.
    pub people: usize,
    /// So many embeddings are on a map at most.
    pub points: usize,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self { worst: 20, thumbnail: 88, people: 12, points: 600 }
    }
}

/// The report of what `contestants` reach on `protocols`, which are given by name; title, facts, run and command
/// are left to the caller.
pub fn report(
    protocols: &[(String, Box<dyn OpenProtocol>)],
    contestants: &[Contestant],
    comparisons: &[Comparison],
    options: &PageOptions,
) -> EvaluationReport {
    let mut page = EvaluationReport::default();
    for (i, (name, protocol)) in protocols.iter().enumerate() {
        let mut results = ProtocolResults { name: name.clone(), ..Default::default() };
        for contestant in contestants {
            let Some(measured) = contestant.measured.get(i) else { continue };
            match &measured.outcome {
                Outcome::Verification(result) => {
                    results.about = result.provenance.protocol.clone();
                    let pairs = measured.pairs.as_ref();
                    let mut shown = verification(&contestant.name, result, pairs);
                    if let Some(pairs) = pairs {
                        let worst = |same| worst(protocol.as_ref(), pairs, result, same, options);
                        (shown.false_accepts, shown.false_rejects) = (worst(false), worst(true));
                        page.maps.extend(maps(name, &contestant.name, pairs, options));
                    }
                    if let Some(compat) = as_insightface(&contestant.name, result) {
                        results.tables.push(compat);
                    }
                    results.verification.push(shown);
                }
                Outcome::AllPairs(result) => {
                    results.about = result.provenance.protocol.clone();
                    results.verification.push(all_pairs(&contestant.name, result, measured));
                }
                Outcome::Identification(result) => {
                    results.about = result.provenance.protocol.clone();
                    let curve = measured.curve.clone().unwrap_or_default();
                    results.identification.push(identification(&contestant.name, result, curve));
                }
                Outcome::Blufr(_) | Outcome::Ijb(_) => {
                    results.tables.push(as_text(&contestant.name, &measured.outcome));
                }
            }
        }
        for Comparison { protocol, a, b, outcome } in comparisons {
            if let (true, Ok(outcome)) = (protocol == name, outcome) {
                page.differences.extend(difference_rows(protocol, a, b, outcome));
            }
        }
        let sha256 = protocol.sha256();
        if !sha256.is_empty() {
            page.data.push(DataHash { name: format!("lists of {name}"), sha256 });
        }
        let images = contestants.first().and_then(|c| provenance(&c.measured.get(i)?.outcome));
        if let Some(of) = images.filter(|of| !of.images_sha256.is_empty()) {
            page.data.push(DataHash { name: format!("pixels of {name}"), sha256: of.images_sha256.clone() });
        }
        page.protocols.push(results);
    }
    if !page.differences.is_empty() {
        page.differences_note = "Both models on the same pairs. Accuracy: a paired t-test over the folds and the \
             exact test of McNemar over the decisions, both of which must show it. Areas and rates: the 95 % interval \
             of the difference when the same people are drawn for both. Each row stands alone: of twenty without a \
             true difference one shows one."
            .into();
    }
    page.models = contestants
        .iter()
        .filter(|contestant| !contestant.card.is_empty())
        .map(|contestant| ModelCard { model: contestant.name.clone(), entries: contestant.card.clone() })
        .collect();
    page
}

fn provenance(outcome: &Outcome) -> Option<&Provenance> {
    match outcome {
        Outcome::Verification(result) => Some(&result.provenance),
        Outcome::Identification(result) => Some(&result.provenance),
        Outcome::AllPairs(result) => Some(&result.provenance),
        Outcome::Blufr(result) => Some(&result.provenance),
        Outcome::Ijb(_) => None,
    }
}

fn ends(interval: Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

fn reason(reason: Option<Unmeasurable>) -> String {
    reason.map_or_else(|| "not measured".into(), |reason| reason.to_string())
}

fn too_few(there: usize, what: &str, needed: usize) -> String {
    format!(
        "not measurable: {} {what}, it takes {}",
        thousands(&there.to_string()),
        thousands(&needed.to_string())
    )
}

fn switches(of: &Provenance) -> Vec<Entry> {
    let mut switches = vec![
        Entry::new("flip fusion", of.flip.to_string()),
        Entry::new("score", of.score.to_string()),
        Entry::new("backend", of.backend.clone()),
    ];
    if of.centring != Centring::None {
        switches.push(Entry::new("centring", of.centring.to_string()));
    }
    switches.extend(of.switches.iter().map(|(name, value)| Entry::new(name, value)));
    switches.extend(of.seed.map(|seed| Entry::new("seed of the pairs", seed.to_string())));
    switches
}

fn verification(
    model: &str,
    result: &VerificationResult,
    pairs: Option<&MeasuredPairs>,
) -> ModelVerification {
    let bootstrap = result.bootstrap.as_ref();
    let accuracy = result.accuracy.as_ref();
    let measured = |value: Option<f64>, by_people: Option<Interval>| {
        let estimate = |value| Estimate { value, by_people: by_people.map(ends), ..Default::default() };
        Some(value.map(estimate).ok_or_else(|| reason(result.roc_unmeasurable)))
    };
    let of_accuracy = accuracy.map(|accuracy| Estimate {
        value: accuracy.mean,
        deviation: accuracy.standard_deviation,
        standard_error: Some(accuracy.standard_error),
        by_pairs: Some(ends(accuracy.interval)),
        by_people: bootstrap.and_then(|bootstrap| bootstrap.accuracy).map(ends),
    });
    let min_dcf = result.min_dcf.first().map(|cost| match &cost.measured {
        Some(point) => Ok(Estimate {
            value: point.cost,
            by_people: bootstrap.and_then(|bootstrap| bootstrap.dcf(cost.at)).map(ends),
            ..Default::default()
        }),
        None => Err(too_few(result.impostor, "impostor pairs", cost.impostors_needed)),
    });
    let mut switches = switches(&result.provenance);
    if let Some(cost) = result.min_dcf.first() {
        switches.push(Entry::new("minDCF at", format!("P {}, costs 1", cost.at.p_target)));
    }
    if let Some(accuracy) = accuracy {
        let from = match accuracy.threshold_from {
            facegrad_verification::ThresholdFrom::OtherFolds => "best on the other folds",
            facegrad_verification::ThresholdFrom::OtherPairs => "best on the development pairs",
            facegrad_verification::ThresholdFrom::SamePairs => "best on the same pairs",
        };
        switches.push(Entry::new("threshold", from));
        switches.push(Entry::new("folds", accuracy.folds.len().to_string()));
    }
    let mut remarks = Vec::new();
    if accuracy.is_some_and(|a| a.threshold_from == facegrad_verification::ThresholdFrom::SamePairs) {
        remarks.push(
            "The threshold was chosen on the very pairs it is applied to: the accuracy is flattered.".into(),
        );
    }
    if result.people.is_some() && !result.people_named {
        remarks.push(
            "The list does not name people: images that genuine pairs connect count as one person.".into(),
        );
    }
    let mut thresholds: Vec<Threshold> = accuracy
        .map(|accuracy| Threshold { name: "of the accuracy".into(), value: accuracy.threshold() })
        .into_iter()
        .collect();
    // A picture has room for a few.
    let reached = result.tar_at_far.iter().filter_map(|at| Some((at.target, at.measured?.threshold)));
    thresholds.extend(
        reached
            .skip(1)
            .take(2)
            .map(|(far, value)| Threshold { name: format!("FAR {} %", far * 100.0), value }),
    );
    let (genuine, impostor) = pairs.map(|p| (p.scores.genuine(), p.scores.impostor())).unwrap_or_default();
    let also: Vec<f64> = thresholds.iter().map(|threshold| threshold.value).collect();
    ModelVerification {
        model: model.into(),
        switches,
        remarks,
        genuine: result.genuine as u64,
        impostor: result.impostor as u64,
        accuracy: Some(of_accuracy.ok_or_else(|| reason(result.accuracy_unmeasurable))),
        auc: measured(result.auc, bootstrap.map(|bootstrap| bootstrap.auc)),
        eer: measured(result.eer, bootstrap.map(|bootstrap| bootstrap.eer)),
        min_dcf,
        tar_at_far: tar_at_far(&result.tar_at_far, result.impostor, |target| {
            bootstrap.and_then(|bootstrap| bootstrap.tar(target)).map(ends)
        }),
        thresholds,
        roc: pairs.and_then(|p| Roc::new(&p.scores).ok()).map(|roc| roc.curve()).unwrap_or_default(),
        scores: ScoreCounts::of(&genuine, &impostor, &also),
        folds: match accuracy {
            Some(accuracy) if accuracy.folds.len() > 1 => accuracy
                .folds
                .iter()
                .map(|fold| Fold { accuracy: fold.accuracy, threshold: fold.threshold })
                .collect(),
            _ => Vec::new(),
        },
        ..Default::default()
    }
}

fn tar_at_far(
    all: &[TarAtFar],
    impostor: usize,
    by_people: impl Fn(f64) -> Option<(f64, f64)>,
) -> Vec<EstimateAt> {
    let of = |at: &TarAtFar| EstimateAt {
        rate: at.target,
        reached: match &at.measured {
            Some(point) => Ok(Estimate {
                value: point.tar,
                by_pairs: Some(ends(point.interval)),
                by_people: by_people(at.target),
                ..Default::default()
            }),
            None => Err(too_few(impostor, "impostor pairs", at.impostors_needed)),
        },
    };
    all.iter().map(of).collect()
}

fn all_pairs(model: &str, result: &AllPairsResult, measured: &Measured) -> ModelVerification {
    let estimate = |value: Option<f64>| {
        let estimate = |value| Estimate { value, ..Default::default() };
        Some(value.map(estimate).ok_or_else(|| reason(result.roc_unmeasurable)))
    };
    let rates: Vec<TarAtFar> = result.tar_at_far.iter().map(|at| at.at).collect();
    ModelVerification {
        model: model.into(),
        switches: switches(&result.provenance),
        remarks: vec!["Pairs of one set share people, so that intervals by pairs are too narrow.".into()],
        genuine: result.genuine as u64,
        impostor: result.impostor as u64,
        auc: estimate(result.auc),
        eer: estimate(result.eer),
        tar_at_far: tar_at_far(&rates, result.impostor, |_| None),
        roc: measured.curve.clone().unwrap_or_default(),
        scores: ScoreCounts {
            range: (-1.0, 1.0),
            genuine: result.histogram.genuine.clone(),
            impostor: result.histogram.impostor.clone(),
        },
        ..Default::default()
    }
}

fn identification(
    model: &str,
    result: &IdentificationResult,
    open_set: Vec<(f64, f64)>,
) -> ModelIdentification {
    let rate = |rate: &facegrad_verification::Rate| Estimate {
        value: rate.value,
        by_pairs: Some(ends(rate.wilson)),
        by_people: rate.bootstrap.map(ends),
        ..Default::default()
    };
    let closed = result.closed_set.as_ref();
    let fnir = |at: &FnirAtFpir| EstimateAt {
        rate: at.target,
        reached: match &at.measured {
            Some(point) => Ok(rate(&point.fnir)),
            None => Err(too_few(result.nonmated_probes, "probes without a mate", at.nonmated_needed)),
        },
    };
    let mut switches = switches(&result.provenance);
    switches.push(Entry::new("score of an identity", result.identity_score.to_string()));
    switches.push(Entry::new(
        "gallery",
        format!("{} images of {} people", result.gallery_images, result.gallery_identities),
    ));
    ModelIdentification {
        model: model.into(),
        switches,
        remarks: Vec::new(),
        mated: result.mated_probes as u64,
        non_mated: result.nonmated_probes as u64,
        ranks: closed
            .iter()
            .flat_map(|closed| &closed.ranks)
            .map(|at| RankRate {
                rank: at.rank as u64,
                found: at.measured.as_ref().map(rate).ok_or_else(|| {
                    format!("not measurable: the gallery has no more than {} people", at.rank)
                }),
            })
            .collect(),
        mean_average_precision: closed.map(|closed| {
            Ok(Estimate {
                value: closed.mean_average_precision,
                by_people: closed.mean_average_precision_bootstrap.map(ends),
                ..Default::default()
            })
        }),
        fnir_at_fpir: result.open_set.iter().map(fnir).collect(),
        cmc: closed
            .iter()
            .flat_map(|closed| closed.cmc.iter().enumerate())
            .map(|(i, share)| (i as f64 + 1.0, *share))
            .collect(),
        open_set,
    }
}

/// The numbers of insightface's procedure.
fn as_insightface(model: &str, result: &VerificationResult) -> Option<Table> {
    let compat = result.insightface.as_ref()?;
    let share = |share: f64| format!("{:.3} %", share * 100.0);
    let val = match &compat.val {
        Some(val) => format!("{} ± {} at FAR {}", share(val.val), share(val.deviation), share(val.far)),
        None => reason(compat.val_unmeasurable),
    };
    Some(Table {
        title: format!("{model}: by insightface's procedure"),
        header: vec!["figure".into(), "value".into()],
        rows: vec![
            vec!["accuracy".into(), format!("{} ± {}", share(compat.accuracy), share(compat.deviation))],
            vec!["VAL at FAR 0.1 %".into(), val],
        ],
        note:
            "For comparison with published tables: squared distances of unit vectors, thresholds in steps of \
               0.01 and 0.001, folds in the order of the list, ± the deviation over folds."
                .into(),
    })
}

/// A result as a table, as its plain text has it, for protocols without pictures; `model` may be empty.
pub fn as_text(model: &str, outcome: &Outcome) -> Table {
    let text = outcome.to_table();
    let mut lines = text.lines();
    let protocol = lines.next().unwrap_or_default();
    let title = if model.is_empty() { protocol.to_owned() } else { format!("{model}: {protocol}") };
    // Columns of the plain table are two spaces or more apart.
    let cells = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let rows: Vec<Vec<String>> = lines.map(cells).filter(|row| !row.is_empty()).collect();
    let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
    Table { title, header: vec![String::new(); widest], rows, note: String::new() }
}

/// The worst false accepts (`same` false) or false rejects of the thresholds of the accuracy.
fn worst(
    protocol: &dyn OpenProtocol,
    pairs: &MeasuredPairs,
    result: &VerificationResult,
    same: bool,
    options: &PageOptions,
) -> Vec<ImagePair> {
    let Some(accuracy) = &result.accuracy else { return Vec::new() };
    let thresholds: HashMap<usize, f64> =
        accuracy.folds.iter().map(|fold| (fold.fold, fold.threshold)).collect();
    let threshold = |pair: &ScoredPair| match accuracy.folds.len() {
        1 => accuracy.threshold(),
        _ => thresholds.get(&pair.fold).copied().unwrap_or_default(),
    };
    let mut wrong: Vec<(usize, f64)> = pairs
        .scores
        .pairs()
        .iter()
        .enumerate()
        .filter(|(_, pair)| pair.same == same && (pair.score >= threshold(pair)) != same)
        .map(|(i, pair)| (i, pair.score))
        .collect();
    let order =
        |a: &(usize, f64), b: &(usize, f64)| if same { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) };
    wrong.sort_by(order);
    let side = [options.thumbnail; 2];
    let thumbnail = |image: usize| Thumbnail {
        bytes: protocol
            .picture(image, side)
            .and_then(|picture| encode(&picture, ImageFormat::Jpeg).ok())
            .unwrap_or_default(),
        alt: pairs.list.images()[image].clone(),
    };
    wrong
        .iter()
        .take(options.worst)
        .map(|&(i, score)| {
            let pair = pairs.list.pairs()[i];
            let name = |image: usize| pairs.list.images()[image].clone();
            ImagePair {
                left: thumbnail(pair.a),
                right: thumbnail(pair.b),
                score,
                caption: format!("{} and {}", name(pair.a), name(pair.b)),
            }
        })
        .collect()
}

/// The people with most images, laid out by principal components and by t-SNE.
fn maps(protocol: &str, model: &str, pairs: &MeasuredPairs, options: &PageOptions) -> Vec<EmbeddingMap> {
    let (list, dim) = (&pairs.list, pairs.embedded.dim);
    let mut by_person: HashMap<usize, Vec<usize>> = HashMap::new();
    for (image, person) in list.people().iter().enumerate() {
        by_person.entry(*person).or_default().push(image);
    }
    let mut people: Vec<(usize, Vec<usize>)> = by_person.into_iter().collect();
    people.sort_by_key(|(person, images)| (std::cmp::Reverse(images.len()), *person));
    people.truncate(options.people);
    let each = options.points / people.len().max(1);
    people.iter_mut().for_each(|(_, images)| images.truncate(each.max(1)));
    // With fewer than three images a person there is nothing to see.
    people.retain(|(_, images)| images.len() > 2);
    let images: Vec<usize> = people.iter().flat_map(|(_, images)| images.clone()).collect();
    if people.len() < 2 {
        return Vec::new();
    }
    let mut rows = Vec::with_capacity(images.len() * dim);
    for &image in &images {
        let row = &pairs.embedded.rows[image * dim..(image + 1) * dim];
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
        rows.extend(row.iter().map(|x| (f64::from(*x) / length) as f32));
    }
    let name = |image: usize| {
        let name = &list.images()[image];
        if list.names_people() {
            name.split('/').next().unwrap_or(name).replace('_', " ")
        } else {
            name.clone()
        }
    };
    let classes = |point: &dyn Fn(usize) -> (f64, f64)| {
        let mut next = 0;
        let class = |(_, images): &(usize, Vec<usize>)| {
            let points = (next..next + images.len()).map(point).collect();
            next += images.len();
            MapClass { name: name(images[0]), points }
        };
        people.iter().map(class).collect::<Vec<_>>()
    };
    let mut maps = Vec::new();
    let about =
        format!("the {} people with most images of {protocol}, unit embeddings of {model}", people.len());
    if let Ok(pca) = Pca::fit(&rows, dim)
        && let Ok(points) = pca.project(&rows, 2)
    {
        let share = |k: usize| {
            format!("component {k} ({:.0} % of the variance)", (pca.share(k) - pca.share(k - 1)) * 100.0)
        };
        maps.push(EmbeddingMap {
            title: format!("principal components: {protocol}, {model}"),
            x_label: share(1),
            y_label: share(2),
            classes: classes(&|i| (f64::from(points[2 * i]), f64::from(points[2 * i + 1]))),
            note: about.clone(),
        });
    }
    if let Ok(map) = Tsne::default().map(&rows, dim) {
        maps.push(EmbeddingMap {
            title: format!("t-SNE: {protocol}, {model}"),
            classes: classes(&|i| (f64::from(map.points[i][0]), f64::from(map.points[i][1]))),
            note: format!("{about}; {map}"),
            ..Default::default()
        });
    }
    maps
}

/// Two models on the pairs of one protocol.
pub struct Comparison {
    /// What the protocol is called.
    pub protocol: String,
    /// What the page calls the one model.
    pub a: String,
    /// What it calls the other.
    pub b: String,
    /// Whether the difference is more than noise, or why they cannot be compared.
    pub outcome: Result<PairedComparison, PairedError>,
}

/// Every two of `contestants` on each of `protocols` that lists pairs.
pub fn comparisons(
    protocols: &[(String, Box<dyn OpenProtocol>)],
    contestants: &[Contestant],
    measurement: &Measurement,
) -> Vec<Comparison> {
    let mut all = Vec::new();
    for (k, a) in contestants.iter().enumerate() {
        for b in &contestants[k + 1..] {
            for ((protocol, _), (of_a, of_b)) in protocols.iter().zip(a.measured.iter().zip(&b.measured)) {
                let (Some(of_a), Some(of_b)) = (&of_a.pairs, &of_b.pairs) else { continue };
                let people = People::of(&of_a.list);
                let Measurement { bootstrap_rounds: rounds, seed, .. } = *measurement;
                let resampling = Resampling { people: Some(&people), rounds, seed };
                let outcome = compare(contender(of_a), contender(of_b), &resampling);
                all.push(Comparison {
                    protocol: protocol.clone(),
                    a: a.name.clone(),
                    b: b.name.clone(),
                    outcome,
                });
            }
        }
    }
    all
}

fn contender(pairs: &MeasuredPairs) -> Contender<'_> {
    Contender { scores: &pairs.scores, development: pairs.development.as_ref() }
}

fn difference_rows(protocol: &str, a: &str, b: &str, comparison: &PairedComparison) -> Vec<PairedDifference> {
    let points = |share: f64| format!("{:+.2} points", share * 100.0);
    let range = |interval: Interval| format!("{:+.2} to {:+.2}", interval.low * 100.0, interval.high * 100.0);
    let verdict = |verdict: Verdict| match verdict {
        Verdict::A => format!("{a} is better"),
        Verdict::B => format!("{b} is better"),
        Verdict::NotShown => "no difference shown".into(),
    };
    let row = |figure: String, difference, interval, p_value, verdict| PairedDifference {
        protocol: protocol.into(),
        figure,
        a: a.into(),
        b: b.into(),
        difference,
        interval,
        p_value,
        verdict,
    };
    let probability = |p: f64| if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") };
    let accuracy = &comparison.accuracy;
    let mut tests: Vec<String> = accuracy
        .over_folds
        .iter()
        .map(|test| format!("{} (t-test over folds)", probability(test.p)))
        .collect();
    tests.push(format!("{} (McNemar over pairs)", probability(accuracy.over_pairs.p)));
    let mut rows = vec![row(
        "accuracy".into(),
        points(accuracy.a - accuracy.b),
        accuracy.over_folds.map(|test| range(test.interval)).unwrap_or_default(),
        tests.join(", "),
        verdict(accuracy.verdict),
    )];
    if let Some(auc) = &comparison.auc {
        rows.push(row(
            "AUC".into(),
            format!("{:+.4}", auc.a - auc.b),
            auc.interval.map(|i| format!("{:+.4} to {:+.4}", i.low, i.high)).unwrap_or_default(),
            String::new(),
            verdict(auc.verdict),
        ));
    }
    rows.extend(comparison.tar_at_far.iter().map(|at| {
        row(
            format!("TAR at FAR {} %", at.target * 100.0),
            points(at.difference.a - at.difference.b),
            at.difference.interval.map(range).unwrap_or_default(),
            String::new(),
            verdict(at.difference.verdict),
        )
    }));
    rows
}
