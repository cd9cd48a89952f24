//! What a run writes down as it goes: `log.jsonl`, one line an event, and `metrics.csv`, one line a step.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use facegrad_files as files;

pub(crate) const LOG: &str = "log.jsonl";
const METRICS: &str = "metrics.csv";

/// The measurements of one training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    #[serde(flatten)]
    pub measures: BTreeMap<String, f64>,
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
            if step == 0 {
                return false;
            }
            let parsed: Option<Value> = serde_json::from_str(line).ok();
            parsed.is_some_and(|v| v.get("step").and_then(Value::as_u64).unwrap_or(0) <= step as u64)
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

    /// One line of the log: `fields` with the name of the event in front.
    pub(crate) fn event(&mut self, event: &str, fields: Value) -> io::Result<()> {
        let mut line = json!({ "event": event });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        // One write call a line, so that a kill leaves whole lines.
        self.log.write_all(format!("{line}\n").as_bytes())
    }

    /// A training step, in both files.
    pub(crate) fn step(&mut self, line: &StepLine) -> io::Result<()> {
        self.event("step", serde_json::to_value(line)?)?;
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
        let lines = BufReader::new(File::open(self.path.join(LOG))?).lines();
        let parse = |line: io::Result<String>| -> io::Result<Option<StepLine>> {
            let mut value: Value = serde_json::from_str(&line?)?;
            if value["event"] != "step" {
                return Ok(None);
            }
            // What is left are numbers.
            value.as_object_mut().map(|fields| fields.remove("event"));
            Ok(Some(serde_json::from_value(value)?))
        };
        lines.filter_map(|line| parse(line).transpose()).collect()
    }
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
        log.event("start", json!({ "name": "x" })).unwrap();
        (1..=4).for_each(|step| log.step(&line(step)).unwrap());
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
}
