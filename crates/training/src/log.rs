//! What a run writes down as it goes: `log.jsonl`, one line an event, and `metrics.csv`, one line a step.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files;

const LOG: &str = "log.jsonl";
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
    /// Mean cosine between an embedding and the weight of its class.
    pub target_cosine: f64,
    /// Mean length of an embedding.
    pub feature_norm: f64,
    /// The margin of this step, for heads that have one.
    pub margin: Option<f64>,
    /// The scale of this step, for heads that have one.
    pub scale: Option<f64>,
    /// Training speed since the line before, evaluations not counted.
    pub images_per_second: f64,
    /// Share of that time in which the trainer waited for images.
    pub waited: f64,
}

/// The log files of a run.
pub(crate) struct Log {
    path: PathBuf,
    log: File,
    metrics: File,
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
        let mut this = Self { path: run.into(), log: append(LOG)?, metrics: append(METRICS)? };
        if this.metrics.metadata()?.len() == 0 {
            writeln!(
                this.metrics,
                "step,epoch,loss,learning_rate,gradient_norm,target_cosine,feature_norm,margin,scale,images_per_second,waited"
            )?;
        }
        Ok(this)
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
        let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        let text = format!(
            "{},{},{},{},{},{},{},{},{},{},{}\n",
            line.step,
            line.epoch,
            line.loss,
            line.learning_rate,
            line.gradient_norm,
            line.target_cosine,
            line.feature_norm,
            optional(line.margin),
            optional(line.scale),
            line.images_per_second,
            line.waited
        );
        self.metrics.write_all(text.as_bytes())
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
            let value: Value = serde_json::from_str(&line?)?;
            if value["event"] != "step" {
                return Ok(None);
            }
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
            target_cosine: 0.25,
            feature_norm: 3.0,
            margin: Some(0.5),
            scale: None,
            images_per_second: 10.0,
            waited: 0.0,
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
            metrics.starts_with("step,epoch,loss") && metrics.ends_with("2,0.5,1.5,0.1,2,0.25,3,0.5,,10,0\n")
        );
    }
}
