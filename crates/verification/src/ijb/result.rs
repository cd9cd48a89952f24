//! What the protocols of the benchmark measured, with every switch that changes the numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    GallerySearch, IjbSearch, IjbVerification, InsightfaceSearch, Nearest, Pooled, RankRate, Templates,
};
use crate::{
    Align, Flip, Table, TarAtFar,
    text::{in_percent, percent, reason, span, thousands, too_few},
};

/// Where the embeddings of the images come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IjbSource {
    /// The protocol, such as `IJB-C`.
    pub protocol: String,
    /// SHA-256 of the pixels that were embedded, in the order of the list of media.
    pub images_sha256: String,
    /// SHA-256 of the model file, if there is one.
    pub model_sha256: Option<String>,
    /// The backend that computed the embeddings.
    pub backend: String,
    /// How an image and its mirror image were fused.
    pub flip: Flip,
    /// Further switches that change the numbers, by name, such as `whitening`.
    #[serde(default)]
    pub switches: BTreeMap<String, String>,
}

/// What the protocols of the benchmark measured. Scores are cosines of templates.
///
/// Numbers that the lists do not support are absent, and `unmeasurable` or the number itself says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IjbResult {
    /// Protocol, images, model and flip fusion.
    #[serde(flatten)]
    pub source: IjbSource,
    /// How templates were pooled, and from which lists.
    #[serde(flatten)]
    pub pooled: Pooled,
    /// 1:1, if it was run.
    pub verification: Option<IjbVerification>,
    /// 1:N, if it was run.
    pub search: Option<IjbSearch>,
}

impl IjbResult {
    /// What was measured on `templates`.
    pub fn new(
        source: IjbSource,
        templates: &Templates,
        verification: Option<IjbVerification>,
        search: Option<IjbSearch>,
    ) -> Self {
        Self { source, pooled: templates.pooled().clone(), verification, search }
    }

    /// The result as aligned plain text; ends with a line feed.
    pub fn to_table(&self) -> String {
        let IjbSource { protocol, images_sha256, model_sha256, backend, flip, switches } = &self.source;
        let Pooled { images, media, templates, norm, detector_score, media_sha256, faces_sha256 } =
            &self.pooled;
        let mut table = Table::new(&[Align::Left]);
        let counts = [images, media, templates].map(|&n| thousands(n));
        let [images, media, templates] = counts;
        table.row(["templates", &format!("{templates} of {media} media, {images} images")]);
        let detector = if *detector_score { "weighted" } else { "not weighted" };
        table.row(["pooling", &format!("flip fusion {flip}, norm {norm}, {detector} by detector score")]);
        table.row(["scores", "cosine"]);
        switches.iter().for_each(|(name, value)| table.row([name, value]));
        table.row(["media list", &format!("SHA-256 {media_sha256}")]);
        if let Some(faces) = faces_sha256 {
            table.row(["face list", &format!("SHA-256 {faces}")]);
        }
        table.row(["images", &format!("SHA-256 {images_sha256}")]);
        if let Some(model) = model_sha256 {
            table.row(["model", &format!("SHA-256 {model}")]);
        }
        table.row(["backend", backend]);
        let verification = self.verification.as_ref().map(verification_text).unwrap_or_default();
        let search = self.search.as_ref().map(search_text).unwrap_or_default();
        format!("{protocol}\n{table}{verification}{search}")
    }
}

fn verification_text(result: &IjbVerification) -> String {
    let mut table = Table::new(&[Align::Left]);
    let or_reason = |value: Option<String>| value.unwrap_or_else(|| reason(result.unmeasurable));
    table.row(["AUC".into(), or_reason(result.auc.map(|auc| format!("{auc:.6}")))]);
    table.row(["EER".into(), or_reason(result.eer.map(percent))]);
    if result.tar_at_far.is_empty() {
        table.row(["TAR at FAR".into(), or_reason(None)]);
    }
    for at in &result.tar_at_far {
        table.row([format!("TAR at FAR {:e}", at.target), tar_text(at, result.impostor)]);
    }
    for Nearest { target, far, tar, threshold } in &result.insightface {
        let text = format!("{}, FAR {far:.3e}, threshold {threshold:.4}", percent(*tar));
        table.row([format!("insightface at {target:e}"), text]);
    }
    let (genuine, impostor) = (thousands(result.genuine), thousands(result.impostor));
    table.row(["pairs", &format!("{genuine} genuine, {impostor} impostor, SHA-256 {}", result.pairs_sha256)]);
    format!("\n1:1\n{table}")
}

fn tar_text(at: &TarAtFar, impostor: usize) -> String {
    match &at.measured {
        None => too_few(impostor, "impostor pairs", at.impostors_needed),
        Some(point) => format!(
            "{} (95 %: {}), FAR {:.3e}, threshold {:.4}",
            percent(point.tar),
            span(point.interval),
            point.far,
            point.threshold
        ),
    }
}

fn search_text(result: &IjbSearch) -> String {
    let mut text = String::new();
    for (i, gallery) in result.galleries.iter().enumerate() {
        text += &format!("\n1:N, gallery {}\n{}", i + 1, gallery_table(gallery));
    }
    let mut table = Table::new(&[Align::Left]);
    let or_not = |rate: Option<f64>| rate.map_or("not measurable in every gallery".into(), percent);
    for mean in &result.mean_ranks {
        table.row([format!("rank {}", mean.rank), or_not(mean.rate)]);
    }
    for mean in &result.mean_tpir {
        table.row([format!("TPIR at FPIR {} %", in_percent(mean.target)), or_not(mean.tpir)]);
    }
    let probes = format!("{}, SHA-256 {}", thousands(result.probes), result.probes_sha256);
    table.row(["probes", &probes]);
    text += &format!("\n1:N, mean of {} galleries\n{table}", result.galleries.len());
    if let Some(InsightfaceSearch { ranks, recalls }) = &result.insightface {
        let mut table = Table::new(&[Align::Left]);
        ranks.iter().for_each(|rank| rank_row(&mut table, rank));
        for at in recalls {
            let recall = format!("{}, threshold {:.4}", percent(at.recall), at.threshold);
            table.row([format!("recall at {} % of probes", in_percent(at.far)), recall]);
        }
        text += &format!("\n1:N as insightface, galleries merged\n{table}");
    }
    text
}

fn gallery_table(gallery: &GallerySearch) -> Table {
    let mut table = Table::new(&[Align::Left]);
    if gallery.ranks.is_empty() {
        table.row(["rank", "not measurable: no probe is of a person in the gallery"]);
    }
    gallery.ranks.iter().for_each(|rank| rank_row(&mut table, rank));
    for at in &gallery.tpir_at_fpir {
        let text = match &at.measured {
            None => format!(
                "not measurable: {} probes of people in the gallery and {} of others, it takes 1 and {}",
                thousands(gallery.mated),
                thousands(gallery.unmated),
                thousands(at.unmated_needed)
            ),
            Some(point) => format!(
                "{} (95 %: {}), FPIR {}, threshold {:.4}",
                percent(point.tpir),
                span(point.interval),
                percent(point.fpir),
                point.threshold
            ),
        };
        table.row([format!("TPIR at FPIR {} %", in_percent(at.target)), text]);
    }
    let [mated, unmated, subjects] = [gallery.mated, gallery.unmated, gallery.subjects].map(thousands);
    table.row(["probes", &format!("{mated} of people in the gallery, {unmated} of others")]);
    table.row(["gallery", &format!("{subjects} people, SHA-256 {}", gallery.gallery_sha256)]);
    table
}

fn rank_row(table: &mut Table, RankRate { rank, rate, interval }: &RankRate) {
    table.row([format!("rank {rank}"), format!("{} (95 %: {})", percent(*rate), span(*interval))]);
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, fs, path::PathBuf};

    use serde_json::Value;

    use super::*;
    use crate::ijb::{FaceList, MediaList, Norm, PairScores, SubjectList};

    /// The numbers of reference/ijb.py.
    fn reference() -> Value {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference/ijb.json");
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }

    fn source(flip: Flip) -> IjbSource {
        IjbSource {
            protocol: "IJB-C".into(),
            images_sha256: "decade".into(),
            model_sha256: Some("facade".into()),
            backend: "flex".into(),
            flip,
            switches: BTreeMap::new(),
        }
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    /// Equal but for the last digit, which reading JSON may change.
    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (x, y) in found.iter().zip(expected) {
            assert!((x - y).abs() < 1e-12, "{found:?} {expected:?}");
        }
    }

    /// The benchmark of the reference, run from its files: `norm`, with detector scores or without.
    fn run(reference: &Value, norm: Norm, weighted: bool) -> (Templates, IjbResult) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let file = folder.path().join(name);
            fs::write(&file, reference["files"][name].as_str().unwrap()).unwrap();
            file
        };
        let media = MediaList::read(&file("media")).unwrap();
        let faces = FaceList::read(&file("faces"), &media).unwrap();
        let rows: Vec<Vec<f64>> = reference["embeddings"].as_array().unwrap().iter().map(numbers).collect();
        let row = |image: usize, into: &mut [f32]| -> Result<(), Infallible> {
            for (into, x) in into.iter_mut().zip(&rows[image]) {
                *into = *x as f32;
            }
            Ok(())
        };
        let faces = weighted.then_some(&faces);
        let templates = Templates::pool(&media, norm, faces, rows[0].len(), row).unwrap();
        let list = |name| SubjectList::read(&file(name), templates.ids()).unwrap();
        let verification = IjbVerification::measure(&templates, &file("pairs")).unwrap();
        let search = IjbSearch::measure(&templates, &[list("G1"), list("G2")], &list("probes")).unwrap();
        let result = IjbResult::new(source(Flip::Add), &templates, Some(verification), Some(search));
        (templates, result)
    }

    #[test]
    fn as_insightface_does_it() {
        let reference = reference();
        let cases = [(Norm::Keep, true), (Norm::Keep, false), (Norm::Unit, true), (Norm::Unit, false)];
        for (case, (norm, weighted)) in reference["cases"].as_array().unwrap().iter().zip(cases) {
            assert_eq!(case["use_norm_score"], norm == Norm::Keep);
            assert_eq!(case["use_detector_score"], weighted);
            let (templates, result) = run(&reference, norm, weighted);
            let first = numbers(&case["first_template"]);
            for (x, y) in templates.vector(0).iter().zip(first) {
                assert!((f64::from(*x) - y).abs() < 1e-6);
            }
            let verification = result.verification.unwrap();
            assert!((verification.auc.unwrap() - case["auc"].as_f64().unwrap()).abs() < 1e-9);
            let expected = numbers(&case["tpr_at_nearest_fpr"]);
            assert_eq!(verification.insightface.len(), 6);
            // The reference has its targets in ascending order.
            for (found, expected) in verification.insightface.iter().rev().zip(expected) {
                assert!((found.tar - expected).abs() < 1e-12, "{found:?} {expected}");
            }
            let found = result.search.unwrap().insightface.unwrap();
            let ranks: Vec<f64> = found.ranks.iter().map(|rank| rank.rate).collect();
            assert_close(&ranks, &numbers(&case["top"]));
            let recalls: Vec<f64> = found.recalls.iter().map(|at| at.recall).collect();
            assert_close(&recalls, &numbers(&case["recall"]));
            for (at, threshold) in found.recalls.iter().zip(numbers(&case["threshold"])) {
                assert!((at.threshold - threshold).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn the_nearest_point_of_scikit_learn_s_curve() {
        for case in reference()["curves"].as_array().unwrap() {
            let scores = |class: &str| numbers(&case[class]).iter().map(|&score| score as f32).collect();
            let scores = PairScores::new(scores("genuine"), scores("impostor")).unwrap();
            let targets = numbers(&case["targets"]);
            let (fpr, tpr) = (numbers(&case["fpr"]), numbers(&case["tpr"]));
            for ((found, fpr), tpr) in scores.nearest(&targets).iter().zip(fpr).zip(tpr) {
                assert_close(&[found.far, found.tar], &[fpr, tpr]);
            }
            assert!((scores.auc() - case["auc"].as_f64().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn results_survive_json() {
        let (_, result) = run(&reference(), Norm::Unit, true);
        let json = serde_json::to_string(&result).unwrap();
        let read: IjbResult = serde_json::from_str(&json).unwrap();
        assert_eq!((&read.pooled, read.to_table()), (&result.pooled, result.to_table()), "{json}");
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!((&json["norm"], &json["flip"]), (&"unit".into(), &"add".into()));
        assert_eq!(json["detector_score"], true);
    }

    #[test]
    fn the_table_says_what_was_measured() {
        let (_, mut result) = run(&reference(), Norm::Keep, true);
        let table = result.to_table();
        assert!(table.starts_with("IJB-C\ntemplates   "), "{table}");
        assert!(
            table.contains("\npooling     flip fusion add, norm keep, weighted by detector score\n"),
            "{table}"
        );
        assert!(table.contains("\n1:1\nAUC "), "{table}");
        assert!(table.contains("\nTAR at FAR 1e-1 "), "{table}");
        assert!(table.contains("\nTAR at FAR 1e-6      not measurable: "), "{table}");
        assert!(table.contains("\ninsightface at 1e-6  "), "{table}");
        assert!(table.contains("\n1:N, gallery 2\nrank 1 "), "{table}");
        assert!(table.contains("\nTPIR at FPIR 1 %   not measurable: "), "{table}");
        assert!(table.contains("\n1:N, mean of 2 galleries\nrank 1 "), "{table}");
        assert!(table.contains("\n1:N as insightface, galleries merged\n"), "{table}");
        assert!(!table.contains(" \n"));
        result.verification =
            Some(IjbVerification::of(&PairScores::new(vec![0.5], vec![]).unwrap(), "c0ffee".into()));
        result.search = None;
        let table = result.to_table();
        assert!(table.contains("\nAUC         not measurable: only genuine pairs\n"), "{table}");
        assert!(table.contains("\nTAR at FAR  not measurable: only genuine pairs\n"), "{table}");
        assert!(table.ends_with("\npairs       1 genuine, 0 impostor, SHA-256 c0ffee\n"), "{table}");
    }
}
