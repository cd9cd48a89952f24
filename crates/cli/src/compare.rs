//! `facegrad compare`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::settings::Override;
use facegrad::training::{
    Event,
    compare::{Comparison, ComparisonEvent, ComparisonPlan, ComparisonTable, RunRecord, RunState},
};
use facegrad_results::{
    Align, TextTable,
    numbers::{duration, percent},
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
    after_help = "Example: facegrad compare configs/losses/*.toml --steps 300 --seeds 1,2,3\n\nStopped by Ctrl-C, a crash or a kill, the same command goes on where it was. A run that diverges is a row of\nthe table; one that fails for another reason is too, and the exit code is then 1."
)]
pub struct Args {
    /// The config files; each is a row of the table.
    #[arg(required = true, value_parser = file_to_read())]
    configs: Vec<PathBuf>,
    /// Optimizer steps of each run, instead of what the configs say.
    #[arg(long, value_parser = steps)]
    steps: usize,
    /// The seeds with which each config is trained, such as 1,2,3.
    #[arg(long, value_delimiter = ',', required = true)]
    seeds: Vec<u64>,
    /// Folder for the run folders and for compare.html, compare.md, compare.svg and compare.json.
    #[arg(long, default_value = "checkpoints/compare")]
    out: PathBuf,
    /// The evaluation that is compared; default run.select_by of the first config, or its first one.
    #[arg(long, value_name = "NAME")]
    eval: Option<String>,
    /// Replace one key of every config, such as run.batch=32; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the table as JSON on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

fn steps(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number of at least 1".into()),
        Ok(steps) => Ok(steps),
    }
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let overrides: Vec<Override> =
        args.overrides.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(Failure::input)?;
    let plan = ComparisonPlan {
        configs: args.configs,
        overrides,
        steps: args.steps,
        seeds: args.seeds,
        evaluation: args.eval,
        folder: args.out.clone(),
        command: command_line::typed(),
    };
    let (comparison, notes) = Comparison::new(plan)?;
    for (config, left_out) in notes {
        crate::remark!("note: {} of {} is left out: {}", left_out.key, config.display(), left_out.why);
    }
    let chosen = args.device.choose()?;
    let before = comparison.table();
    let mut screen = Screen { runs: comparison.runs(), progress: None };
    head(args.json, &format!("backend  {}", chosen.description));
    let done = match before.runs_over {
        0 => String::new(),
        over => format!(", {over} of them done before"),
    };
    head(
        args.json,
        &format!("runs     {} of {} steps in {}{done}", before.runs, before.steps, args.out.display()),
    );
    if !before.differences.is_empty() {
        crate::remark!("note: not under the same budget: {}", before.differences.join("; "));
    }
    let stop = stop_on_signal("this step and saving")?;
    let table = comparison.run(&chosen, &stop, &mut |event| screen.show(event))?;
    screen.finish();
    tell(&table, &args.out, args.json)
}

/// What the screen shows of a comparison.
struct Screen {
    runs: usize,
    /// The steps of the run that goes on.
    progress: Option<Progress>,
}

impl Screen {
    fn show(&mut self, event: ComparisonEvent<'_>) {
        match event {
            ComparisonEvent::Started { number, run, step } => {
                let from = if step > 0 { format!(" goes on after step {step}") } else { " begins".into() };
                crate::remark!("{}{from}", self.name(number, run));
            }
            ComparisonEvent::Run(Event::Started(started)) => {
                self.progress = Some(Progress::new("steps", started.step, started.preflight.total));
            }
            ComparisonEvent::Run(Event::Step(line)) => {
                if let Some(progress) = &mut self.progress {
                    let message = format!("loss {:.3}, {:.1} images/s", line.loss, line.images_per_second);
                    progress.set(line.step, &message);
                }
            }
            ComparisonEvent::Run(Event::Evaluating(name, done, total)) => {
                if let Some(progress) = &self.progress {
                    progress.evaluating(name, done, total);
                }
            }
            // The log of the run has them.
            ComparisonEvent::Run(Event::Evaluated { .. } | Event::Skipped(_)) => {}
            ComparisonEvent::Ended { number, run, seconds, left } => {
                self.finish();
                let left =
                    if left > 0.0 { format!(", about {} left", duration(left)) } else { String::new() };
                let (name, took) = (self.name(number, run), duration(seconds));
                crate::remark!("{name} {} in {took}{left}", ending(run));
            }
        }
    }

    fn name(&self, number: usize, run: &RunRecord) -> String {
        format!("[{number}/{}] {}, seed {}:", self.runs, run.config, run.seed)
    }

    fn finish(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }
}

/// How a run ended, in a few words.
fn ending(run: &RunRecord) -> String {
    match &run.state {
        RunState::Finished(finished) => match finished.result.sheet().headline() {
            Some(headline) => format!("{} {}", headline.name, percent(headline.value)),
            None => "accuracy not measurable".into(),
        },
        RunState::Diverged { step, reason } => format!("diverged at step {step}, {reason},"),
        RunState::Failed { reason, .. } => format!("failed: {reason};"),
        RunState::Waiting { step } => format!("stopped after step {step}"),
    }
}

/// Prints the table, and turns it into the exit code.
fn tell(table: &ComparisonTable, out: &std::path::Path, json: bool) -> Result<ExitCode, Failure> {
    let is_over = table.runs_over == table.runs;
    if json {
        say!("{}", serde_json::to_string_pretty(table)?);
    } else {
        let results = table.results();
        let align = |column| if column < 2 { Align::Left } else { Align::Right };
        let mut text = TextTable::new(&(0..results.header.len()).map(align).collect::<Vec<_>>());
        std::iter::once(&results.header).chain(&results.rows).for_each(|row| text.row(row.iter().cloned()));
        say!("{}", text.to_string().trim_end());
        for (row, remark) in
            results.rows.iter().zip(&results.remarks).filter(|(_, remark)| !remark.is_empty())
        {
            say!("{}: {remark}", row[0]);
        }
        say!("report   {}", out.join("compare.html").display());
        if !is_over {
            say!("stopped: {} of {} runs are done; the same command goes on", table.runs_over, table.runs);
        }
    }
    if !is_over {
        return Ok(INTERRUPTED.into());
    }
    match table.failures() {
        0 => Ok(ExitCode::SUCCESS),
        failed => Err(Failure::work(format!(
            "{failed} of {} runs failed; the same command tries them again",
            table.runs
        ))),
    }
}
