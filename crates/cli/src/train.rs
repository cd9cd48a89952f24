//! `facegrad train`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::settings::{Override, UnusedKey};
use facegrad::training::{
    EarlierRun, EvaluationRecord, Event, Experiment, Preflight, RunOutcome, RunStart, SavedRun, Trainer,
};

use crate::{
    arguments::{DeviceArgs, file_to_read},
    command_line,
    failure::{Failure, INTERRUPTED, stop_on_signal},
    progress::{Progress, head},
    say,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad train configs/quickstart.toml\n          facegrad train configs/quickstart.toml --set head.kind=softmax --set run.seed=2\n          facegrad train configs/quickstart.toml --preflight\n          facegrad train --resume checkpoints/quickstart\n          facegrad train --resume checkpoints/quickstart --set run.epochs=6"
)]
pub struct Args {
    /// The config file.
    #[arg(required_unless_present = "resume", conflicts_with = "resume", value_parser = file_to_read())]
    config: Option<PathBuf>,
    /// Replace one key of the config, such as head.kind=softmax or run.epochs=3; may be repeated. With --resume the
    /// config in the run folder is changed.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Continue a run from its last checkpoint, or from the checkpoint folder given.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Print what the run would do, what memory and time it would take and what may be wrong, and stop: nothing is
    /// trained or written. The exit code is 2 if it cannot work.
    #[arg(long, conflicts_with = "resume")]
    preflight: bool,
    /// Show Burn's terminal dashboard, with plots, instead of a progress bar; q in it stops and saves.
    #[cfg(feature = "dashboard")]
    #[arg(long)]
    dashboard: bool,
    /// Print how the run ended, or the preflight, as JSON on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let overrides: Vec<Override> =
        args.overrides.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let trainer = match (&args.resume, &args.config) {
        (Some(run), _) => {
            let saved = SavedRun::open(run, &overrides)?;
            tell_left_out(&saved.left_out, &saved.config());
            let before = saved.backend().map(str::to_owned);
            let device = args.device.or_as_before(before.as_deref());
            let chosen = device.choose()?;
            if let Some(before) = before.filter(|before| *before != chosen.description) {
                crate::remark!(
                    "note: this run was trained with {before} and goes on with {}: the weights will not be identical to an uninterrupted run",
                    chosen.description
                );
            }
            Trainer::resume(saved, chosen, command_line::typed())?.timed()
        }
        (None, Some(config)) => {
            let (experiment, left_out) = Experiment::load(config, &overrides)?;
            tell_left_out(&left_out, config);
            let chosen = args.device.choose()?;
            if args.preflight {
                return tell_preflight(&Preflight::of(experiment, &chosen)?, args.json);
            }
            Trainer::new(experiment, chosen, command_line::typed())?.timed()
        }
        (None, None) => unreachable!("clap requires one of them"),
    };
    let stop = stop_on_signal("this step and saving")?;
    #[cfg(feature = "dashboard")]
    if args.dashboard {
        let mut dashboard = facegrad::training::Dashboard::default();
        let outcome = trainer.run(&stop, &mut |event| {
            dashboard.show(&event);
            if dashboard.should_stop() {
                stop.ask();
            }
        });
        drop(dashboard);
        return tell(&outcome?, args.json);
    }
    let mut screen = Screen { json: args.json, ..Default::default() };
    let outcome = trainer.run(&stop, &mut |event| screen.show(event))?;
    screen.finish();
    tell(&outcome, args.json)
}

/// Says which keys of `config` what the command line sets leaves without effect.
fn tell_left_out(left_out: &[UnusedKey], config: &Path) {
    for UnusedKey { key, why } in left_out {
        crate::remark!("note: {key} of {} is left out: {why}", config.display());
    }
}

/// What the screen shows of a run.
#[derive(Default)]
struct Screen {
    /// Standard output is for the JSON of the outcome.
    json: bool,
    progress: Option<Progress>,
    expected_first_loss: Option<f64>,
    total: usize,
}

impl Screen {
    fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Started(started) => {
                let continued = match started.step {
                    0 => String::new(),
                    step => format!(", continued after step {step}"),
                };
                let preflight = &started.preflight;
                let run = format!("{}, {}{continued}", started.folder.display(), length(preflight));
                lines(preflight, &run).iter().for_each(|line| head(self.json, line));
                standing(started).iter().for_each(|note| head(self.json, &format!("note     {note}")));
                self.progress = Some(Progress::new("steps", started.step, preflight.total));
                self.expected_first_loss = preflight.expected_first_loss;
                self.total = preflight.total;
            }
            Event::Step(line) => {
                let Some(progress) = &mut self.progress else { return };
                if line.step == 1 {
                    let expected = self.expected_first_loss;
                    let expected =
                        expected.map(|loss| format!("; random features would give about {loss:.3}"));
                    progress.line(&format!("step 1: loss {:.3}{}", line.loss, expected.unwrap_or_default()));
                }
                let wait = if line.waited > 0.05 {
                    format!(", {:.0} % of the time waiting for images", line.waited * 100.0)
                } else {
                    String::new()
                };
                let measures: String = line
                    .measures
                    .iter()
                    .map(|(name, value)| format!(", {} {}", name.replace('_', " "), short(*value)))
                    .collect();
                let message =
                    format!("loss {:.3}{measures}, {:.1} images/s{wait}", line.loss, line.images_per_second);
                progress.set(line.step, &message);
            }
            Event::Evaluating(name, done, total) => {
                if let Some(progress) = &self.progress {
                    progress.evaluating(name, done, total);
                }
            }
            Event::Evaluated { step, name, measured, best } => {
                let sheet = measured.outcome.sheet();
                let accuracy = match sheet.headline() {
                    Some(headline) => {
                        let error = headline.standard_error.map(|error| format!(" ± {:.2}", error * 100.0));
                        let error = error.unwrap_or_default();
                        format!("{} {:.2} %{error}", headline.name, headline.value * 100.0)
                    }
                    None => "accuracy not measurable".into(),
                };
                let auc = sheet.value("auc").map(|auc| format!(", AUC {auc:.4}")).unwrap_or_default();
                let when = if step == 0 { "untrained".into() } else { format!("step {step}/{}", self.total) };
                let best = if best { ", best so far" } else { "" };
                if let Some(progress) = &self.progress {
                    progress.line(&format!("{when}: {name} {accuracy}{auc}{best}"));
                }
            }
            Event::Skipped(image) => {
                if let Some(progress) = &self.progress {
                    progress.line(&format!("skipped {image}"));
                }
            }
        }
    }

    fn finish(&self) {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
    }
}

/// How long the run is.
fn length(preflight: &Preflight) -> String {
    format!("{} steps, {} an epoch", preflight.total, preflight.steps_per_epoch)
}

/// Whether the run is finished already, and how the one stands whose name it wanted, each with the command that goes
/// on with it.
fn standing(started: &RunStart) -> Vec<String> {
    let resume = |folder: &Path, set: Option<&str>| {
        let set = set.map(|set| format!(" --set {}", command_line::word(set))).unwrap_or_default();
        format!("facegrad train --resume {}{set}", command_line::word(folder))
    };
    let mut notes = Vec::new();
    let (step, total) = (started.step, started.preflight.total);
    if step == total {
        let longer = resume(&started.folder, Some(&started.longer));
        notes.push(format!("the run is finished ({step} of {total} steps); to train longer: {longer}"));
    }
    if let Some(EarlierRun { folder, step, total, longer }) = &started.earlier {
        let steps = if *total > 0 { format!(" ({step} of {total} steps)") } else { String::new() };
        let (stands, goes_on) = match *total > 0 && step == total {
            true => ("is finished", format!("to train that one longer: {}", resume(folder, Some(longer)))),
            false => ("is not finished", format!("to go on with that one: {}", resume(folder, None))),
        };
        let folder = folder.display();
        notes.push(format!(
            "{folder} is there already and {stands}{steps}, so that this is another run; {goes_on}"
        ));
    }
    notes
}

/// The preflight, with `run` saying which run it is.
fn lines(preflight: &Preflight, run: &str) -> Vec<String> {
    let Preflight { identities, images_per_identity, .. } = preflight;
    let mut lines = vec![
        format!("backend  {}", preflight.backend),
        format!("data     {}", preflight.data),
        format!("sampler  {}", preflight.sampler),
        format!("model    {}", preflight.model),
        format!("run      {run}"),
        format!("classes  {identities}, with {images_per_identity}"),
    ];
    lines.extend(preflight.expected_first_loss.map(|loss| format!("loss     about {loss:.3} at first")));
    lines.push(match &preflight.memory {
        Some(memory) => format!("memory   {memory}"),
        None => "memory   not known beforehand on this backend".into(),
    });
    lines.push(match &preflight.time {
        Some(time) => format!("time     {time}"),
        None => "time     known after the first steps on this backend".into(),
    });
    lines.extend(preflight.notes.iter().map(|note| format!("note     {note}")));
    lines
}

/// Prints the preflight of a run that is not made.
fn tell_preflight(preflight: &Preflight, json: bool) -> Result<ExitCode, Failure> {
    if json {
        say!("{}", serde_json::to_string_pretty(preflight)?);
    } else {
        lines(preflight, &length(preflight)).iter().for_each(|line| say!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        1e4.. => format!("{value:.1e}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Prints how the run ended, and turns it into the exit code.
fn tell(outcome: &RunOutcome, json: bool) -> Result<ExitCode, Failure> {
    if json {
        say!("{}", serde_json::to_string_pretty(outcome)?);
    } else {
        let what = if outcome.interrupted { "stopped" } else { "done" };
        say!("{what}: {} steps in {:.0} s", outcome.step, outcome.seconds);
        let mut names: Vec<&str> = outcome.evaluations.iter().map(|record| record.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            say!("{}", summary(name, outcome.evaluations.iter().filter(|record| record.name == name)));
        }
        outcome.findings.iter().for_each(|finding| say!("note     {finding}"));
        say!("report   {}", outcome.folder.join("report.html").display());
        if outcome.interrupted {
            say!("continue with: facegrad train --resume {}", command_line::word(&outcome.folder));
        }
    }
    Ok(if outcome.interrupted { INTERRUPTED.into() } else { ExitCode::SUCCESS })
}

/// Such as `unseen: 93.20 % ± 0.51 after 480 steps, best 93.40 % at step 400; untrained 58.10 %`.
fn summary<'a>(name: &str, records: impl Iterator<Item = &'a EvaluationRecord>) -> String {
    let records: Vec<_> = records.collect();
    let percent = |record: &EvaluationRecord| match (record.accuracy, record.standard_error) {
        (Some(a), Some(e)) => format!("{:.2} % ± {:.2}", a * 100.0, e * 100.0),
        _ => "not measurable".into(),
    };
    let trained = records.iter().filter(|r| r.step > 0);
    let last = trained.clone().next_back();
    let best = trained.rev().max_by(|a, b| a.accuracy.unwrap_or(0.0).total_cmp(&b.accuracy.unwrap_or(0.0)));
    let untrained = records.iter().find(|r| r.step == 0);
    let mut parts = Vec::new();
    if let Some(last) = last {
        parts.push(format!("{} after {} steps", percent(last), last.step));
    }
    if let (Some(best), Some(last)) = (best, last)
        && best.step != last.step
    {
        parts.push(format!("best {} after {}", percent(best), best.step));
    }
    if let Some(untrained) = untrained {
        parts.push(format!("untrained {}", percent(untrained)));
    }
    format!("{name}: accuracy {}", parts.join("; "))
}
