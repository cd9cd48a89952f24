//! What the course of a run says of it: that nothing was learned, and that nothing was left to learn from.

use std::collections::BTreeMap;

use facegrad_losses::{Progress, telemetry::ACTIVE_SHARE};
use facegrad_results::numbers::significant;

use crate::{checkpoint::State, config::Experiment, log::StepLine, preflight::Preflight};

/// Fewer steps say nothing of a loss.
const FEWEST_STEPS: usize = 60;
/// How often an identity must have been seen, on average, before its loss should be below that of guessing: with any
/// head, runs that learn have left it by then, or fall by a fifth in a quarter of the run.
const SEEN: usize = 100;
/// A loss that falls by less from the third quarter of a run to the last, relative to it, stays where it is.
const LEAST_FALL: f64 = 0.06;
/// Where that is not known as well, nothing is said.
const MOST_NOISE: f64 = 0.05;
/// A loss that is below this share of what guessing gives is one of something learned.
const LEARNED: f64 = 0.97;
/// Logged steps without an active pair or triplet that are worth a word: all of them, at least so many,
const FEWEST_LINES: usize = 3;
/// or the last, at least so many
const FEWEST_LAST_LINES: usize = 5;
/// over so many steps.
const LAST_STEPS: usize = 100;

/// A sentence for each thing that is wrong with a run after `state`, whose logged steps are `lines`.
pub(crate) fn findings(
    experiment: &Experiment,
    preflight: &Preflight,
    state: &State,
    lines: &[StepLine],
) -> Vec<String> {
    let mut findings = inactive(experiment, lines);
    findings.extend(guessing(experiment, preflight, state));
    findings
}

/// The loss that tells whether anything is learned: that of the head, without penalties and losses beside it.
pub(crate) fn telling_loss(loss: f64, measures: &BTreeMap<String, f64>) -> f64 {
    measures.get("head_loss").unwrap_or(&loss) - measures.get("penalty").unwrap_or(&0.0)
}

/// The losses of whose pairs or triplets none was active, in all of the run or in the last of it.
fn inactive(experiment: &Experiment, lines: &[StepLine]) -> Vec<String> {
    let head = [(experiment.head.kind(), ACTIVE_SHARE.to_owned())];
    let auxiliary = experiment.auxiliary.iter().map(|auxiliary| auxiliary.loss.kind());
    let losses = head.into_iter().chain(auxiliary.map(|kind| (kind, format!("{kind}_{ACTIVE_SHARE}"))));
    losses.filter_map(|(kind, measure)| inactive_loss(kind, &measure, lines)).collect()
}

fn inactive_loss(kind: &str, measure: &str, lines: &[StepLine]) -> Option<String> {
    let shares: Vec<(usize, f64)> =
        lines.iter().filter_map(|line| Some((line.step, *line.measures.get(measure)?))).collect();
    let idle = shares.iter().rev().take_while(|(_, share)| *share == 0.0).count();
    let all = shares.len();
    let what = if kind == "triplet" { "triplet" } else { "pair" };
    if idle == all {
        return (all >= FEWEST_LINES).then(|| {
            format!(
                "no {what} was active in {all} of {all} logged steps, and the {kind} loss moved nothing: the images of a person may be copies of each other, or its margin too small"
            )
        });
    }
    let (first, last) = (shares.get(all - idle)?.0, shares.last()?.0);
    (idle >= FEWEST_LAST_LINES && last - first >= LAST_STEPS).then(|| {
        format!(
            "no {what} was active in the last {idle} of {all} logged steps, from step {first} on, and the {kind} loss moved nothing any more"
        )
    })
}

/// Whether the loss stayed at what features give that tell nobody apart, and does not fall any more.
fn guessing(experiment: &Experiment, preflight: &Preflight, state: &State) -> Option<String> {
    let Preflight { identities, total, .. } = *preflight;
    if state.step < FEWEST_STEPS.max(SEEN * identities / experiment.run.batch) {
        return None;
    }
    let (before, last) = (state.course.part(0.5, 0.75)?, state.course.part(0.75, 1.0)?);
    let guessed = |step| experiment.guessing_loss(identities, Progress { step, total });
    // Of what guessing gives at that step, since margins have schedules.
    let (guessed_before, guessed_last) = (guessed(before.step)?, guessed(last.step)?);
    let fall = before.mean / guessed_before / (last.mean / guessed_last) - 1.0;
    let noise = (before.error / before.mean).hypot(last.error / last.mean);
    let is_stuck = last.mean >= LEARNED * guessed_last && fall < LEAST_FALL && noise <= MOST_NOISE;
    is_stuck.then(|| {
        format!(
            "the loss stayed at that of guessing or above: it was {} in the last quarter of the run and falls no more, and {} is what comes of not looking at the image; see whether labels, optimizer.learning_rate and images are right",
            significant(last.mean),
            significant(guessed_last)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::Course;

    fn experiment(head: &str) -> Experiment {
        let text =
            format!("run = {{ steps = 400, batch = 8 }}\nsampler = {{ kind = \"pk\" }}\nhead = {{ {head} }}");
        Experiment::resolve(text.parse().unwrap(), &[]).unwrap().0
    }

    /// Whether a run of `steps` steps on six people is found to guess, whose loss at a share of it is `loss`.
    fn is_found(head: &str, steps: usize, loss: impl Fn(f64) -> f64) -> bool {
        let mut course = Course::default();
        for step in 1..=steps {
            // Of single batches, about a tenth up and down.
            let jitter = 0.1 * (step as f64 * 2.399).sin();
            course.add(step, loss(step as f64 / steps as f64) * (1.0 + jitter));
        }
        let state = State { step: steps, course, ..State::default() };
        let preflight = Preflight { identities: 6, total: steps, ..Preflight::default() };
        let found = findings(&experiment(head), &preflight, &state, &[]);
        assert!(found.iter().all(|finding| finding.contains("that of guessing")), "{found:?}");
        !found.is_empty()
    }

    #[test]
    fn a_loss_that_stays_at_that_of_guessing_is_found() {
        const ARCFACE: &str = r#"kind = "arcface", scale = 32.0"#;
        // ln 5 + 32 (1 − cos 0.5) = 5.54; random features begin at 23.
        for stuck in [5.5, 9.3, 23.0, 40.0] {
            assert!(is_found(ARCFACE, 150, |_| stuck), "{stuck}");
            assert!(is_found(ARCFACE, 150, |share| stuck + 20.0 * (-12.0 * share).exp()), "{stuck} soon");
        }
        assert!(!is_found(ARCFACE, 150, |_| 5.2), "less than guessing");
        assert!(!is_found(ARCFACE, 150, |share| 23.0 - 14.0 * share), "still falling");
        assert!(!is_found(ARCFACE, 74, |_| 23.0), "too few images a person");
        // Its margin rises to 0.5, and guessing with it; a fall of the one is none of the other.
        let rising = r#"kind = "cosface", scale = 32.0, margin = { kind = "linear", from = 0.0, to = 0.5, until = 1.0 }"#;
        assert!(is_found(rising, 400, |share| 5f64.ln() + 16.0 * share + 0.3));
        assert!(!is_found(rising, 400, |share| 5f64.ln() + 8.0 * share));
        // Collapsed, and the best that no look at the image can do for ln K, and one image among seven.
        assert!(is_found(r#"kind = "triplet", margin = 0.2"#, 400, |_| 0.2));
        assert!(is_found(r#"kind = "softmax""#, 400, |_| 6f64.ln()));
        assert!(is_found(r#"kind = "supcon""#, 400, |_| 7f64.ln()));
        assert!(!is_found(r#"kind = "multi_similarity""#, 400, |_| 7.0), "no formula, no word");
    }

    fn lines(shares: &[f64]) -> Vec<StepLine> {
        let line = |(i, share): (usize, &f64)| StepLine {
            step: 10 * (i + 1),
            measures: BTreeMap::from([
                (ACTIVE_SHARE.to_owned(), *share),
                ("triplet_active_share".into(), *share),
            ]),
            ..StepLine::default()
        };
        shares.iter().enumerate().map(line).collect()
    }

    #[test]
    fn triplets_of_which_none_is_active_are_found() {
        let triplet = experiment(r#"kind = "triplet""#);
        let found = |shares: &[f64]| inactive(&triplet, &lines(shares));
        let all = found(&[0.0; 3]);
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("no triplet was active in 3 of 3 logged steps, "), "{all:?}");
        let last = found(&[&[0.5; 4][..], &[0.0; 11]].concat());
        let sentence = "no triplet was active in the last 11 of 15 logged steps, from step 50 on, ";
        assert!(last[0].starts_with(sentence), "{last:?}");
        for active in [&[0.0; 2][..], &[0.0, 0.0, 0.1], &[0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[]] {
            assert!(found(active).is_empty(), "{active:?}");
        }
        let head = inactive_loss("softmax", "softmax_active_share", &lines(&[0.0; 5]));
        let beside = inactive_loss("triplet", "triplet_active_share", &lines(&[0.0; 5]));
        assert!(head.is_none() && beside.is_some());
    }
}
