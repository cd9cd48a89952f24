//! What a run writes down as it goes: `log.jsonl`, one line an event, and `metrics.csv`, one line a step.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use facegrad_files::Journal;
use facegrad_recognition::ProtocolResult;
use serde::{Deserialize, Deserializer, Serialize};

use crate::preflight::Preflight;

pub(crate) const LOG: &str = "log.jsonl";
const METRICS: &str = "metrics.csv";
/// Longest line that is kept, in bytes; that of a loss that is not finite names the images of a batch.
const MAX_LINE: u64 = 1 << 26;

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
        result: Box<ProtocolResult>,
    },
    /// What the course of the run says is wrong.
    Finding {
        /// Optimizer steps done.
        step: usize,
        /// A sentence.
        finding: String,
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
            | Self::Finding { step, .. }
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
    log: Journal,
    metrics: Journal,
    /// Of the metrics; empty before the first line.
    columns: Vec<String>,
}

impl Log {
    /// Opens the log of `run` after `step` steps: lines of later steps, written by a run that was killed
    /// before its next checkpoint, are dropped, and all of them at step 0.
    pub(crate) fn open(run: &Path, step: usize) -> io::Result<Self> {
        // Lines of events that this version does not know stay.
        let of_log =
            |line: &[u8]| serde_json::from_slice(line).map_or(true, |event: LogEvent| event.step() <= step);
        // The first line, which names the columns, is of no step.
        let of_metrics = |line: &[u8]| {
            let first = line.split(|byte| *byte == b',').next().and_then(|first| str::from_utf8(first).ok());
            first.and_then(|first| first.parse().ok()).is_none_or(|of: usize| of <= step)
        };
        let open = |name: &str, is_kept: &mut dyn FnMut(&[u8]) -> bool| {
            let mut journal = Journal::open(&run.join(name))?;
            if step == 0 {
                journal.cut(0)?
            } else {
                journal.keep_lines(MAX_LINE, is_kept)?
            }
            io::Result::Ok(journal)
        };
        let log = open(LOG, &mut { of_log })?;
        let mut metrics = open(METRICS, &mut { of_metrics })?;
        // A damaged letter costs a column, never the run.
        let header = BufReader::new(metrics.read_from(0)?).split(b'\n').next().transpose()?;
        let columns =
            header.map(|line| String::from_utf8_lossy(&line).split(',').map(str::to_owned).collect());
        let columns = columns.unwrap_or_default();
        Ok(Self { path: run.into(), log, metrics, columns })
    }

    /// A line of the log; a training step is a line of the metrics as well.
    pub(crate) fn write(&mut self, event: &LogEvent) -> io::Result<()> {
        // By way of a value, which has its keys in the order of the alphabet.
        self.log.append_line(&serde_json::to_value(event)?)?;
        match event {
            LogEvent::Step(line) => self.write_metrics(line),
            _ => Ok(()),
        }
    }

    fn write_metrics(&mut self, line: &StepLine) -> io::Result<()> {
        if self.columns.is_empty() {
            let measures = line.measures.keys().map(String::as_str);
            self.columns = BEFORE.into_iter().chain(measures).chain(AFTER).map(str::to_owned).collect();
            self.metrics.append(format!("{}\n", self.columns.join(",")).as_bytes())?;
        }
        let values: Vec<String> = self.columns.iter().map(|name| line.column(name)).collect();
        self.metrics.append(format!("{}\n", values.join(",")).as_bytes())
    }

    /// Has the disk confirm what was written, before a checkpoint relies on it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.log.sync()?;
        self.metrics.sync()
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

/// The log of the run in the folder `run`, without lines that are cut off, damaged, or of another version's kinds.
///
/// # Errors
/// If there is none.
pub(crate) fn events(run: &Path) -> io::Result<impl Iterator<Item = LogEvent>> {
    let lines = BufReader::new(facegrad_files::open(&run.join(LOG))?).split(b'\n');
    Ok(lines.map_while(Result::ok).filter_map(|line| serde_json::from_slice(&line).ok()))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        log.log.append(b"{\"event\":\"st").unwrap();
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
    fn a_damaged_byte_costs_a_line_and_not_the_run() {
        let run = tempfile::tempdir().unwrap();
        let mut log = Log::open(run.path(), 0).unwrap();
        (1..=4).for_each(|step| log.write(&LogEvent::Step(line(step))).unwrap());
        drop(log);
        for (file, at) in [(LOG, 150), (METRICS, 3), (METRICS, 100)] {
            let path = run.path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 0x80;
            fs::write(&path, bytes).unwrap();
        }
        let mut log = Log::open(run.path(), 4).unwrap();
        assert_eq!(log.steps().unwrap().len(), 3);
        log.write(&LogEvent::Step(line(5))).unwrap();
        assert_eq!(log.steps().unwrap().last(), Some(&line(5)));
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
            (
                LogEvent::Finding { step, finding: "nothing".into() },
                r#"{"event":"finding","finding":"nothing","step":7}"#,
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
