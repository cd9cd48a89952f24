//! The report of a training run: one HTML page that needs nothing but itself.

use crate::{
    LossCurve, RocSeries, Table,
    chart::{DrawError, number, thousands},
    html::{Escaped, Images, NBSP, document, figure, join, percent, push, row},
    loss_curve, roc_curve, score_histogram,
};

/// What [`run_report`] shows. All text is escaped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunReport {
    /// The name of the run.
    pub name: String,
    /// How the run ended, such as `finished after 2,000 steps`.
    pub state: String,
    /// The results on each evaluation set of pairs.
    pub evaluations: Vec<Evaluation>,
    /// The results on other evaluation sets.
    pub tables: Vec<Table>,
    /// The course of loss and accuracy.
    pub loss: LossCurve,
    /// The backbone and head, such as `nano, 128-d, cosface`.
    pub model: String,
    /// The number of trained parameters.
    pub parameters: u64,
    /// The time the run took, in seconds.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
    /// The backend, and where it ran.
    pub backend: String,
    /// The seed.
    pub seed: u64,
    /// The version of the program.
    pub version: String,
    /// The data sets.
    pub data: Vec<DataHash>,
    /// The command that started the run.
    pub command: String,
    /// The resolved config.
    pub config: String,
    /// The images that could not be used.
    pub skipped: Vec<SkippedImage>,
}

/// The result on one evaluation set. What could not be measured holds the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The protocol, such as `LFW View 1`.
    pub protocol: String,
    /// The switches that change the numbers, such as `cosine, flip fusion add`.
    pub switches: String,
    /// The accuracy.
    pub accuracy: Result<Rate, String>,
    /// The accuracy of the untrained network on the same pairs, from 0 to 1.
    pub untrained: Option<f64>,
    /// The area under the ROC.
    pub auc: Result<f64, String>,
    /// The equal error rate, from 0 to 1.
    pub eer: Result<f64, String>,
    /// The true-accept rates.
    pub tar_at_far: Vec<TarAtFar>,
    /// The threshold of the accuracy.
    pub threshold: Option<f64>,
    /// Where the threshold was chosen.
    pub threshold_from: String,
    /// The scores of the genuine pairs.
    pub genuine: Vec<f64>,
    /// The scores of the impostor pairs.
    pub impostor: Vec<f64>,
    /// The ROC, as (FAR, TAR); empty if not measurable.
    pub roc: Vec<(f64, f64)>,
}

/// A share and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The share, from 0 to 1.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
}

/// The true-accept rate at a false-accept rate.
#[derive(Debug, Clone, PartialEq)]
pub struct TarAtFar {
    /// The false-accept rate not to exceed, from 0 to 1.
    pub far: f64,
    /// The true-accept rate, or why there is none.
    pub tar: Result<Rate, String>,
}

/// A data set and what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataHash {
    /// What it was used for and its name.
    pub name: String,
    /// Its SHA-256.
    pub sha256: String,
}

/// An image that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedImage {
    /// The file.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// More skipped images than these are counted, not listed.
const LISTED: usize = 200;

/// The page, as HTML.
///
/// It loads nothing and runs nothing: styles and pictures are within, and a content security policy forbids
/// the rest. It follows the reader's choice of light or dark and fits narrow screens.
///
/// # Errors
/// If a picture cannot be drawn.
pub fn run_report(report: &RunReport) -> Result<String, DrawError> {
    let mut body = format!("<h1>{}</h1>\n", Escaped(&report.name));
    let facts = [report.state.as_str(), &report.model, &report.backend].map(|text| Escaped(text).to_string());
    push(&mut body, format_args!("<p class=\"quiet\">{}</p>\n", join(&facts, " · ")));

    for evaluation in &report.evaluations {
        body.push_str(&evaluation_section(evaluation)?);
    }
    report.tables.iter().for_each(|table| body.push_str(&table.to_html()));
    if !report.loss.loss.is_empty() || !report.loss.accuracy.is_empty() {
        let picture = figure(&loss_curve(&report.loss)?, "Loss and accuracy over the run");
        push(
            &mut body,
            format_args!("<h2>Course of the run</h2>\n<div class=\"pictures\">{picture}</div>\n"),
        );
    }

    let mut rows = vec![
        ("model", report.model.clone()),
        ("trained parameters", thousands(&report.parameters.to_string())),
        ("backend", report.backend.clone()),
        ("time", duration(report.seconds)),
        ("speed", format!("{} images/s", number((report.images_per_second * 10.0).round() / 10.0))),
        ("seed", report.seed.to_string()),
        ("version", report.version.clone()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let mut table: String = rows.iter().map(|(name, value)| row(name, Escaped(value))).collect();
    table.push_str(&row("command", format_args!("<code>{}</code>", Escaped(&report.command))));
    for data in &report.data {
        table.push_str(&row(&data.name, format_args!("<code>SHA-256 {}</code>", Escaped(&data.sha256))));
    }
    push(&mut body, format_args!("<h2>Run</h2>\n<div class=\"card\"><table>\n{table}</table></div>\n"));

    body.push_str(&skipped_section(&report.skipped));
    push(
        &mut body,
        format_args!(
            "<h2>Config</h2>\n<details class=\"card\"><summary>All keys, defaults included</summary><pre>{}</pre></details>\n",
            Escaped(&report.config)
        ),
    );
    Ok(document(&report.name, Images::Forbidden, &body))
}

fn evaluation_section(evaluation: &Evaluation) -> Result<String, DrawError> {
    let (genuine, impostor) = (evaluation.genuine.len(), evaluation.impostor.len());
    let mut section = format!(
        "<h2>{}</h2>\n<p class=\"quiet\">{} genuine and {} impostor pairs; {}</p>\n<div class=\"numbers\">\n",
        Escaped(&evaluation.protocol),
        number(genuine as f64),
        number(impostor as f64),
        Escaped(&evaluation.switches)
    );
    section.push_str(&match &evaluation.accuracy {
        Ok(rate) => {
            let mut notes = vec![interval(rate)];
            notes.extend(evaluation.untrained.map(|share| format!("untrained network: {}", percent(share))));
            notes.extend(
                evaluation.threshold.map(|t| format!("threshold {t:.3}, {}", evaluation.threshold_from)),
            );
            card("accuracy", &percent(rate.value), &notes)
        }
        Err(reason) => missing("accuracy", reason),
    });
    section.push_str(&match &evaluation.auc {
        Ok(auc) => card("AUC", &format!("{auc:.4}"), &["area under the ROC; 0.5 is chance".into()]),
        Err(reason) => missing("AUC", reason),
    });
    section.push_str(&match &evaluation.eer {
        Ok(eer) => card("EER", &percent(*eer), &["equal error rate; half is chance".into()]),
        Err(reason) => missing("EER", reason),
    });
    for at in &evaluation.tar_at_far {
        let name = format!("TAR at FAR{NBSP}{}{NBSP}%", number((at.far * 1e8).round() / 1e6));
        section.push_str(&match &at.tar {
            Ok(rate) => card(&name, &percent(rate.value), &[interval(rate)]),
            Err(reason) => missing(&name, reason),
        });
    }
    section.push_str("</div>\n<div class=\"pictures\">\n");
    if !evaluation.roc.is_empty() {
        let curve = RocSeries {
            name: evaluation.protocol.clone(),
            points: evaluation.roc.clone(),
            impostors: impostor,
        };
        section.push_str(&figure(&roc_curve("True accepts over false accepts", &[curve])?, "ROC curve"));
    }
    if genuine + impostor > 0 {
        let picture =
            score_histogram("Scores", &evaluation.genuine, &evaluation.impostor, evaluation.threshold)?;
        section.push_str(&figure(&picture, "Histogram of the scores"));
    }
    section.push_str("</div>\n");
    Ok(section)
}

fn skipped_section(skipped: &[SkippedImage]) -> String {
    if skipped.is_empty() {
        return "<h2>Skipped images</h2>\n<p class=\"quiet\">None.</p>\n".into();
    }
    let mut rows: String =
        skipped.iter().take(LISTED).map(|image| row(&image.file, Escaped(&image.reason))).collect();
    if skipped.len() > LISTED {
        rows.push_str(&row("…", format_args!("and {} more", number((skipped.len() - LISTED) as f64))));
    }
    format!(
        "<h2>Skipped images</h2>\n<details class=\"card\"><summary>{} could not be used</summary>\
         <table class=\"files\">\n{rows}</table></details>\n",
        number(skipped.len() as f64)
    )
}

/// A number with notes; `notes` is plain text.
fn card(name: &str, value: &str, notes: &[String]) -> String {
    let notes: String =
        notes.iter().map(|note| format!("<p class=\"quiet\">{}</p>", Escaped(note))).collect();
    format!(
        "<div class=\"card\"><div>{}</div><div class=\"number\">{}</div>{notes}</div>\n",
        Escaped(name),
        Escaped(value)
    )
}

fn missing(name: &str, reason: &str) -> String {
    format!(
        "<div class=\"card\"><div>{}</div><div class=\"number missing quiet\">{}</div></div>\n",
        Escaped(name),
        Escaped(reason)
    )
}

fn interval(rate: &Rate) -> String {
    format!("95{NBSP}%: {:.2} to {:.2}{NBSP}%", rate.interval.0 * 100.0, rate.interval.1 * 100.0)
}

pub(crate) fn duration(seconds: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Series, chart::texts_of_well_formed};

    const HOSTILE: &str = "<script>alert('1')</script> & \"more\"";

    fn report(text: &str) -> RunReport {
        RunReport {
            name: text.into(),
            state: text.into(),
            evaluations: vec![
                Evaluation {
                    protocol: text.into(),
                    switches: text.into(),
                    accuracy: Ok(Rate { value: 0.885, interval: (0.8637, 0.9033) }),
                    untrained: Some(0.612),
                    auc: Ok(0.9512),
                    eer: Ok(0.1234),
                    tar_at_far: vec![
                        TarAtFar { far: 0.1, tar: Ok(Rate { value: 0.8, interval: (0.75, 0.85) }) },
                        TarAtFar { far: 1e-4, tar: Err(text.into()) },
                    ],
                    threshold: Some(0.31),
                    threshold_from: text.into(),
                    genuine: vec![0.3, 0.5, 0.8],
                    impostor: vec![-0.1, 0.1, 0.35],
                    roc: vec![(0.0, 0.0), (0.0, 0.6), (0.3, 0.6), (0.3, 1.0), (1.0, 1.0)],
                },
                Evaluation {
                    protocol: text.into(),
                    switches: text.into(),
                    accuracy: Err(text.into()),
                    untrained: None,
                    auc: Err(text.into()),
                    eer: Err(text.into()),
                    tar_at_far: vec![],
                    threshold: None,
                    threshold_from: text.into(),
                    genuine: vec![0.3],
                    impostor: vec![],
                    roc: vec![],
                },
            ],
            tables: vec![Table {
                title: text.into(),
                header: vec![text.into()],
                rows: vec![vec![text.into()]],
                note: text.into(),
            }],
            loss: LossCurve {
                title: text.into(),
                x_label: text.into(),
                loss: vec![(1.0, 5.0), (2.0, 4.0)],
                expected_first_loss: Some(5.1),
                accuracy: vec![Series { name: text.into(), points: vec![(0.0, 0.6), (2.0, 0.9)] }],
            },
            model: text.into(),
            parameters: 2_280_000,
            seconds: 125.0,
            images_per_second: 129.04,
            backend: text.into(),
            seed: 1,
            version: text.into(),
            data: vec![DataHash { name: text.into(), sha256: text.into() }],
            command: text.into(),
            config: text.into(),
            skipped: vec![SkippedImage { file: text.into(), reason: text.into() }; 203],
        }
    }

    #[test]
    fn all_text_is_escaped() {
        let page = run_report(&report(HOSTILE)).unwrap();
        assert!(!page.contains("<script") && !page.contains("\"more\"") && !page.contains("'1'"));
        assert!(page.contains("&lt;script&gt;alert("));
        // HTML elements without an end tag are written as such; all others are closed.
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        texts_of_well_formed(body);
    }

    #[test]
    fn the_page_refers_to_nothing_outside() {
        let page = run_report(&report("plain")).unwrap();
        for word in ["http:", "https:", "//", "url(", "@import", "src=", "href=", "<link", "<script", "<img"]
        {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn the_headline_numbers_are_there() {
        let page = run_report(&report("LFW View 1")).unwrap().replace(NBSP, " ");
        for text in [
            "88.50 %",
            "95 %: 86.37 to 90.33 %",
            "untrained network: 61.20 %",
            "0.9512",
            "12.34 %",
            "TAR at FAR 10 %",
            "TAR at FAR 0.01 %",
            "2,280,000",
            "2 min 5 s",
            "129 images/s",
            "203 could not be used",
            "and 3 more",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert_eq!(page.matches("<svg ").count(), 4);
    }

    #[test]
    fn a_run_without_results_has_a_page() {
        let page = run_report(&RunReport { name: "empty".into(), ..RunReport::default() }).unwrap();
        assert!(page.contains("<h1>empty</h1>") && !page.contains("<svg"));
    }

    #[test]
    fn durations() {
        let texts = [0.25, 59.94, 61.0, 3600.0, 7384.0, f64::NAN].map(duration);
        assert_eq!(texts, ["0.2 s", "1 min 0 s", "1 min 1 s", "1 h 0 min", "2 h 3 min", ""]);
    }
}
