//! What a run writes down as it goes: `log.jsonl`, one line an event, and `metrics.csv`, one line a step.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use facegrad_files as files;
use facegrad_recognition::Outcome;
use serde::{Deserialize, Deserializer, Serialize};

use crate::preflight::Preflight;

pub(crate) const LOG: &str = "log.jsonl";
const METRICS: &str = "metrics.csv";

/// A line of `log.jsonl`. What a line of another version lacks is read as nothing, and what it has beside is
/// passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LogEvent {
    /// The run begins, or goes on.
    Start {
        /// Optimizer steps done before.
        step: usize,
        /// The version of the program.
        #[serde(default)]
        facegrad: String,
        /// What the run is about to do.
        #[serde(flatten)]
        preflight: Box<Preflight>,
    },
    /// A training step.
    Step(StepLine),
    /// An image that cannot be used.
    Skipped {
        /// Optimizer steps done.
        step: usize,
        /// Its name in the data.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The loss or a gradient became NaN or infinite, which ends the run before the step is taken.
    NotFinite {
        /// The step, counted from 1.
        step: usize,
        /// Embedding, loss or gradient norm.
        what: String,
        /// Its value, for which JSON has no word.
        value: String,
        /// The images of the batch.
        #[serde(default)]
        images: Vec<String>,
    },
    /// An evaluation.
    Evaluation {
        /// Optimizer steps done; 0 is the untrained network.
        step: usize,
        /// Name of the evaluation in the config.
        name: String,
        /// Whether it chose a new best checkpoint.
        #[serde(default)]
        best: bool,
        /// What was measured.
        result: Box<Outcome>,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Optimizer steps done.
        step: usize,
    },
    /// The run ended in good order.
    End {
        /// Optimizer steps done.
        step: usize,
        /// Whether it was stopped before its last step.
        interrupted: bool,
        /// Seconds spent in training steps, over all sessions of the run.
        seconds: f64,
    },
}

impl LogEvent {
    /// The step that the line stands at.
    pub fn step(&self) -> usize {
        match self {
            Self::Start { step, .. }
            | Self::Step(StepLine { step, .. })
            | Self::Skipped { step, .. }
            | Self::NotFinite { step, .. }
            | Self::Evaluation { step, .. }
            | Self::Checkpoint { step }
            | Self::End { step, .. } => *step,
        }
    }
}

/// The measurements of one training step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepLine {
    /// Optimizer steps done, this one included.
    pub step: usize,
    /// Passes over the training data, as a fraction.
    pub epoch: f64,
    /// The mean loss of the batch.
    pub loss: f64,
    /// The learning rate of the backbone.
    pub learning_rate: f64,
    /// The norm over all gradients, before clipping.
    pub gradient_norm: f64,
    /// Training speed since the line before, evaluations not counted.
    pub images_per_second: f64,
    /// Share of that time in which the trainer waited for images.
    pub waited: f64,
    /// What the losses tell of themselves, by name, such as `target_cosine`; finite numbers only.
    #[serde(flatten, deserialize_with = "numbers")]
    pub measures: BTreeMap<String, f64>,
}

/// The measures that have a value.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let measures = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?.into_iter();
    Ok(measures.filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The columns of `metrics.csv` before and after the measures of the losses, which the first line of a run adds.
const BEFORE: [&str; 5] = ["step", "epoch", "loss", "learning_rate", "gradient_norm"];
const AFTER: [&str; 2] = ["images_per_second", "waited"];

impl StepLine {
    /// The number in a column of `metrics.csv`; empty where the step has none.
    fn column(&self, name: &str) -> String {
        match name {
            "step" => self.step.to_string(),
            "epoch" => self.epoch.to_string(),
            "loss" => self.loss.to_string(),
            "learning_rate" => self.learning_rate.to_string(),
            "gradient_norm" => self.gradient_norm.to_string(),
            "images_per_second" => self.images_per_second.to_string(),
            "waited" => self.waited.to_string(),
            name => self.measures.get(name).map(f64::to_string).unwrap_or_default(),
        }
    }
}

/// The log files of a run.
pub(crate) struct Log {
    path: PathBuf,
    log: File,
    metrics: File,
    /// Of the metrics; empty before the first line.
    columns: Vec<String>,
}

impl Log {
    /// Opens the log of `run` after `step` steps: lines of later steps, written by a run that was killed
    /// before its next checkpoint, are dropped, and all of them at step 0.
    pub(crate) fn open(run: &Path, step: usize) -> io::Result<Self> {
        let is_kept = |line: &str| {
            step > 0 && serde_json::from_str(line).is_ok_and(|event: LogEvent| event.step() <= step)
        };
        keep_lines(&run.join(LOG), is_kept)?;
        let is_kept = |line: &str| {
            line.split(',')
                .next()
                .is_some_and(|first| first.parse().map_or(first == "step", |s: usize| s <= step))
        };
        keep_lines(&run.join(METRICS), is_kept)?;
        let append = |name: &str| OpenOptions::new().create(true).append(true).open(run.join(name));
        let metrics = append(METRICS)?;
        let header = BufReader::new(File::open(run.join(METRICS))?).lines().next().transpose()?;
        let columns = header.map(|line| line.split(',').map(str::to_owned).collect()).unwrap_or_default();
        Ok(Self { path: run.into(), log: append(LOG)?, metrics, columns })
    }

    /// A line of the log; a training step is a line of the metrics as well.
    pub(crate) fn write(&mut self, event: &LogEvent) -> io::Result<()> {
        // By way of a value, which has its keys in the order of the alphabet. One write call a line, so that a kill
        // leaves whole lines.
        let line = serde_json::to_value(event)?;
        self.log.write_all(format!("{line}\n").as_bytes())?;
        match event {
            LogEvent::Step(line) => self.write_metrics(line),
            _ => Ok(()),
        }
    }

    fn write_metrics(&mut self, line: &StepLine) -> io::Result<()> {
        if self.columns.is_empty() {
            let measures = line.measures.keys().map(String::as_str);
            self.columns = BEFORE.into_iter().chain(measures).chain(AFTER).map(str::to_owned).collect();
            self.metrics.write_all(format!("{}\n", self.columns.join(",")).as_bytes())?;
        }
        let values: Vec<String> = self.columns.iter().map(|name| line.column(name)).collect();
        self.metrics.write_all(format!("{}\n", values.join(",")).as_bytes())
    }

    /// Has the disk confirm what was written, before a checkpoint relies on it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.log.sync_all()?;
        self.metrics.sync_all()
    }

    /// The training steps logged so far.
    pub(crate) fn steps(&self) -> io::Result<Vec<StepLine>> {
        let step = |event| match event {
            LogEvent::Step(line) => Some(line),
            _ => None,
        };
        Ok(events(&self.path)?.filter_map(step).collect())
    }
}

/// The log of the run in the folder `run`, without lines that are cut off or of another version's kinds.
///
/// # Errors
/// If there is none.
pub(crate) fn events(run: &Path) -> io::Result<impl Iterator<Item = LogEvent>> {
    let lines = BufReader::new(File::open(run.join(LOG))?).lines();
    Ok(lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()))
}

/// Rewrites a text file to the lines that `keep` accepts; a last line without a line feed is dropped as well.
fn keep_lines(path: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let kept: String =
        text.split_inclusive('\n').filter(|line| line.ends_with('\n') && keep(line.trim_end())).collect();
    if kept.len() == text.len() { Ok(()) } else { files::replace(path, kept.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: usize) -> StepLine {
        StepLine {
            step,
            epoch: 0.5,
            loss: 1.5,
            learning_rate: 0.1,
            gradient_norm: 2.0,
            images_per_second: 10.0,
            waited: 0.0,
            measures: [("margin".to_owned(), 0.5), ("target_cosine".to_owned(), 0.25)].into(),
        }
    }

    #[test]
    fn reopening_at_a_step_drops_what_came_after_it_and_half_lines() {
        let run = tempfile::tempdir().unwrap();
        let mut log = Log::open(run.path(), 0).unwrap();
        log.write(&LogEvent::Start { step: 0, facegrad: "x".into(), preflight: Box::default() }).unwrap();
        (1..=4).for_each(|step| log.write(&LogEvent::Step(line(step))).unwrap());
        log.log.write_all(b"{\"event\":\"st").unwrap();
        drop(log);
        let log = Log::open(run.path(), 2).unwrap();
        assert_eq!(log.steps().unwrap(), [line(1), line(2)]);
        let metrics = fs::read_to_string(run.path().join(METRICS)).unwrap();
        assert_eq!(metrics.lines().count(), 3);
        assert!(
            metrics.starts_with("step,epoch,loss") && metrics.ends_with("2,0.5,1.5,0.1,2,0.5,0.25,10,0\n")
        );
    }

    #[test]
    fn every_event_is_a_line_with_these_bytes_and_is_read_again() {
        let step = 7;
        let image = "a/1.jpg".to_owned();
        let cases = [
            (
                LogEvent::Start { step, facegrad: "1.2".into(), preflight: Box::default() },
                r#"{"backend":"","data":"","event":"start","expected_first_loss":null,"facegrad":"1.2","identities":0,"images":0,"images_per_identity":{"least":0,"median":0,"most":0},"memory":null,"model":"","notes":[],"sampler":"","step":7,"steps_per_epoch":0,"time":null,"total":0}"#,
            ),
            (
                LogEvent::Step(line(step)),
                r#"{"epoch":0.5,"event":"step","gradient_norm":2.0,"images_per_second":10.0,"learning_rate":0.1,"loss":1.5,"margin":0.5,"step":7,"target_cosine":0.25,"waited":0.0}"#,
            ),
            (
                LogEvent::Skipped { step, image: image.clone(), reason: "it is empty".into() },
                r#"{"event":"skipped","image":"a/1.jpg","reason":"it is empty","step":7}"#,
            ),
            (
                LogEvent::NotFinite { step, what: "loss".into(), value: "NaN".into(), images: vec![image] },
                r#"{"event":"not_finite","images":["a/1.jpg"],"step":7,"value":"NaN","what":"loss"}"#,
            ),
            (LogEvent::Checkpoint { step }, r#"{"event":"checkpoint","step":7}"#),
            (
                LogEvent::End { step, interrupted: true, seconds: 1.5 },
                r#"{"event":"end","interrupted":true,"seconds":1.5,"step":7}"#,
            ),
        ];
        for (event, bytes) in cases {
            let run = tempfile::tempdir().unwrap();
            Log::open(run.path(), 0).unwrap().write(&event).unwrap();
            assert_eq!(fs::read_to_string(run.path().join(LOG)).unwrap(), format!("{bytes}\n"));
            assert_eq!(events(run.path()).unwrap().collect::<Vec<_>>(), [event]);
        }
    }
}
