//! What the course of a run says of it: that nothing was learned, and that nothing was left to learn from.

use facegrad_losses::{Progress, telemetry::ACTIVE_SHARE};
use facegrad_results::numbers::significant;

use crate::{checkpoint::State, config::Experiment, log::StepLine, preflight::Preflight};

/// Fewer steps say nothing of a loss.
const FEWEST_STEPS: usize = 60;
/// How often an identity was seen before its loss should have moved, on average.
const SEEN: usize = 20;
/// Where the mean is not known as well, relative to what guessing gives, nothing is said.
const MOST_NOISE: f64 = 0.04;
/// A loss that is as low as this share of what guessing gives is one of something learned.
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
pub(crate) fn telling_loss(loss: f64, measures: &std::collections::BTreeMap<String, f64>) -> f64 {
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
    // Before the first of them the rate warms up, and whatever is learned at once is.
    let (early, late) = (state.course.part(0.25, 0.5)?, state.course.part(0.75, 1.0)?);
    let guessed = |step| experiment.guessing_loss(identities, Progress { step, total });
    let (before, now) = (guessed(early.step)?, guessed(late.step)?);
    let fallen = early.mean / before - late.mean / now;
    let noise = (early.error / before).hypot(late.error / now);
    let is_stuck = late.mean >= LEARNED * now && fallen < (2.0 * noise).max(0.01 * late.mean / now);
    (is_stuck && noise <= MOST_NOISE).then(|| {
        format!(
            "the loss did not fall below that of guessing: it was {} over the last quarter, where {} takes no look at the image, and it falls no more; labels, optimizer.learning_rate or images are not as they should be",
            significant(late.mean),
            significant(now)
        )
    })
}
