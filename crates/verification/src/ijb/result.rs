//! What the protocols of the benchmark measured, with every switch that changes the numbers.

use std::{collections::BTreeMap, iter};

use facegrad_results::{
    Better, Fact, Figure, ResultSection, ResultSheet, Scale,
    numbers::{in_percent, percent, thousands, too_few},
};
use serde::{Deserialize, Serialize};

use super::{
    GallerySearch, IjbSearch, IjbVerification, InsightfaceSearch, NearestPoint, Pooling, RankRate, Templates,
};
use crate::{
    Flip,
    text::{equal_scores, model_facts, reason},
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
    /// What is to be known of how the images were found, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_remarks: Vec<String>,
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
    pub pooled: Pooling,
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

    /// The result as lists of figures and facts: a section for 1:1, one for each gallery of 1:N, and their mean.
    pub fn sheet(&self) -> ResultSheet {
        let IjbSource { protocol, images_sha256, model_sha256, backend, flip, switches, image_remarks } =
            &self.source;
        let Pooling { images, media, templates, norm, detector_score, media_sha256, faces_sha256 } =
            &self.pooled;
        let [images, media, templates] = [images, media, templates].map(|&n| thousands(n));
        let detector = if *detector_score { "weighted" } else { "not weighted" };
        let mut facts = vec![
            Fact::new("templates", format!("{templates} of {media} media, {images} images")),
            Fact::new("pooling", format!("flip fusion {flip}, norm {norm}, {detector} by detector score")),
            Fact::new("scores", "cosine"),
        ];
        facts.extend(switches.iter().map(|(name, value)| Fact::new(name, value)));
        facts.push(Fact::new("media list", format!("SHA-256 {media_sha256}")));
        facts.extend(faces_sha256.iter().map(|faces| Fact::new("face list", format!("SHA-256 {faces}"))));
        facts.push(Fact::new("images", format!("SHA-256 {images_sha256}")));
        facts.extend(image_remarks.iter().map(|remark| Fact::new("images", remark)));
        facts.extend(model_facts(model_sha256.as_deref(), backend));
        let mut sections = vec![ResultSection { facts, ..ResultSection::default() }];
        sections.extend(self.verification.as_ref().map(verification_section));
        sections.extend(self.search.iter().flat_map(search_sections));
        ResultSheet {
            protocol: protocol.clone(),
            headlines: vec![("tar_at_far_1e-4", "TAR at FAR 0.01 %"), ("mean_rank_1", "rank-1 rate")],
            sections,
            ..ResultSheet::default()
        }
    }
}

/// A figure of which more is better, as all of this benchmark but the EER.
fn share(key: String, label: String, measured: Result<f64, String>) -> Figure {
    Figure::new(key, label, Scale::Percent, Better::Higher, measured)
}

fn verification_section(result: &IjbVerification) -> ResultSection {
    let of_roc = |value: Option<f64>| value.ok_or_else(|| reason(result.unmeasurable));
    let mut figures = vec![
        Figure::new("auc", "AUC", Scale::Digits(6), Better::Higher, of_roc(result.auc)),
        Figure::new("eer", "EER", Scale::Percent, Better::Lower, of_roc(result.eer)),
    ];
    if result.tar_at_far.is_empty() {
        figures.push(share("tar_at_far".into(), "TAR at FAR".into(), of_roc(None)));
    }
    for at in &result.tar_at_far {
        let few = || too_few(result.impostor, "impostor pairs", at.impostors_needed);
        let figure = share(
            format!("tar_at_far_{:e}", at.target),
            format!("TAR at FAR {:e}", at.target),
            at.measured.map(|point| point.tar).ok_or_else(few),
        );
        figures.push(figure.by_pairs(at.measured.map(|point| point.interval)).note(
            at.measured.map_or_else(String::new, |point| {
                format!(", FAR {:.3e}, threshold {:.4}", point.far, point.threshold)
            }),
        ));
    }
    for NearestPoint { target, far, tar, threshold } in &result.insightface {
        let (key, label) = (format!("insightface_at_{target:e}"), format!("insightface at {target:e}"));
        figures.push(share(key, label, Ok(*tar)).note(format!(", FAR {far:.3e}, threshold {threshold:.4}")));
    }
    let (genuine, impostor) = (thousands(result.genuine), thousands(result.impostor));
    let pairs = format!("{genuine} genuine, {impostor} impostor, SHA-256 {}", result.pairs_sha256);
    ResultSection {
        title: "1:1".into(),
        figures,
        facts: iter::once(Fact::new("pairs", pairs)).chain(equal_scores(result.equal_scores)).collect(),
        ..ResultSection::default()
    }
}

fn search_sections(result: &IjbSearch) -> Vec<ResultSection> {
    let galleries = result.galleries.iter().enumerate();
    let mut sections: Vec<ResultSection> =
        galleries.map(|(i, gallery)| gallery_section(i + 1, gallery)).collect();
    let or_not = |rate: Option<f64>| rate.ok_or_else(|| "not measurable in every gallery".to_owned());
    let ranks = result.mean_ranks.iter().map(|mean| {
        share(format!("mean_rank_{}", mean.rank), format!("rank {}", mean.rank), or_not(mean.rate))
    });
    let tpir = result.mean_tpir.iter().map(|mean| {
        let label = format!("TPIR at FPIR {} %", in_percent(mean.target));
        share(format!("mean_tpir_at_fpir_{:e}", mean.target), label, or_not(mean.tpir))
    });
    let probes = format!("{}, SHA-256 {}", thousands(result.probes), result.probes_sha256);
    sections.push(ResultSection {
        title: format!("1:N, mean of {} galleries", result.galleries.len()),
        figures: ranks.chain(tpir).collect(),
        facts: vec![Fact::new("probes", probes)],
        ..ResultSection::default()
    });
    sections.extend(result.insightface.as_ref().map(|InsightfaceSearch { ranks, recalls }| {
        let ranks = ranks.iter().map(|rank| rank_figure("insightface", rank));
        let recalls = recalls.iter().map(|at| {
            let label = format!("recall at {} % of probes", in_percent(at.far));
            share(format!("insightface_recall_at_{:e}", at.far), label, Ok(at.recall))
                .note(format!(", threshold {:.4}", at.threshold))
        });
        ResultSection {
            title: "1:N as insightface, galleries merged".into(),
            figures: ranks.chain(recalls).collect(),
            ..ResultSection::default()
        }
    }));
    sections
}

fn gallery_section(number: usize, gallery: &GallerySearch) -> ResultSection {
    let of = format!("gallery_{number}");
    let mut figures = Vec::new();
    if gallery.ranks.is_empty() {
        let none = "not measurable: no probe is of a person in the gallery".to_owned();
        figures.push(share(format!("{of}_rank_1"), "rank".into(), Err(none)));
    }
    figures.extend(gallery.ranks.iter().map(|rank| rank_figure(&of, rank)));
    let [mated, unmated, subjects] = [gallery.mated, gallery.unmated, gallery.subjects].map(thousands);
    figures.extend(gallery.tpir_at_fpir.iter().map(|at| {
        let absent = || {
            format!(
                "not measurable: {mated} probes of people in the gallery and {unmated} of others, it takes 1 and {}",
                thousands(at.unmated_needed)
            )
        };
        share(
            format!("{of}_tpir_at_fpir_{:e}", at.target),
            format!("TPIR at FPIR {} %", in_percent(at.target)),
            at.measured.as_ref().map(|point| point.tpir).ok_or_else(absent),
        )
        .by_pairs(at.measured.as_ref().map(|point| point.interval))
        .note(at.measured.as_ref().map_or_else(String::new, |point| {
            format!(", FPIR {}, threshold {:.4}", percent(point.fpir), point.threshold)
        }))
    }));
    ResultSection {
        title: format!("1:N, gallery {number}"),
        figures,
        facts: vec![
            Fact::new("probes", format!("{mated} of people in the gallery, {unmated} of others")),
            Fact::new("gallery", format!("{subjects} people, SHA-256 {}", gallery.gallery_sha256)),
        ],
        ..ResultSection::default()
    }
}

fn rank_figure(of: &str, RankRate { rank, rate, interval }: &RankRate) -> Figure {
    share(format!("{of}_rank_{rank}"), format!("rank {rank}"), Ok(*rate)).by_pairs(Some(*interval))
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, fs, path::PathBuf};

    use serde_json::Value;

    use super::*;
    use crate::ijb::{FaceList, MediaList, PairScores, SubjectList, TemplateNorm};

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
            image_remarks: Vec::new(),
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
    fn run(reference: &Value, norm: TemplateNorm, weighted: bool) -> (Templates, IjbResult) {
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
        let cases = [
            (TemplateNorm::Keep, true),
            (TemplateNorm::Keep, false),
            (TemplateNorm::Unit, true),
            (TemplateNorm::Unit, false),
        ];
        for (case, (norm, weighted)) in reference["cases"].as_array().unwrap().iter().zip(cases) {
            assert_eq!(case["use_norm_score"], norm == TemplateNorm::Keep);
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
        let (_, result) = run(&reference(), TemplateNorm::Unit, true);
        let json = serde_json::to_string(&result).unwrap();
        let read: IjbResult = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&read.pooled, read.sheet().to_text()),
            (&result.pooled, result.sheet().to_text()),
            "{json}"
        );
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!((&json["norm"], &json["flip"]), (&"unit".into(), &"add".into()));
        assert_eq!(json["detector_score"], true);
    }

    #[test]
    fn the_table_says_what_was_measured() {
        let (_, mut result) = run(&reference(), TemplateNorm::Keep, true);
        let table = result.sheet().to_text();
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
        let table = result.sheet().to_text();
        assert!(table.contains("\nAUC         not measurable: only genuine pairs\n"), "{table}");
        assert!(table.contains("\nTAR at FAR  not measurable: only genuine pairs\n"), "{table}");
        assert!(table.ends_with("\npairs       1 genuine, 0 impostor, SHA-256 c0ffee\n"), "{table}");
    }
}
