//! The training loop: batch after batch a step of the learner, and between the steps what is written down, measured
//! and saved. What comes before the first step is in `preparation.rs` and `resume.rs`; a step is in `learner.rs`.

use std::{collections::BTreeMap, io};

use facegrad_faces::FaceError;
use facegrad_files::Stop;
use facegrad_loader::ImageBatch;
use facegrad_losses::Progress;
use facegrad_recognition::{Embedder, EmbeddingModel, Measurement, ProtocolOutcome, checkpoint::kept};

use crate::{
    checkpoint::{self, State},
    error::TrainError,
    events::{EvaluationRecord, Event, RunOutcome, RunStart},
    every::Every,
    findings::{findings, telling_loss},
    learner::StepError,
    log::{LOG, LogEvent, StepLine},
    preparation::Preparation,
    report,
    resume::EarlierRun,
    run_folder::RunFolder,
    window::Window,
};

/// A run, from its first or a later step to its end.
pub struct Trainer {
    pub(crate) setup: Preparation,
    pub(crate) state: State,
    pub(crate) folder: RunFolder,
    /// The newest measurement of each evaluation.
    measured: Vec<ProtocolOutcome>,
    /// The run whose name it wanted.
    pub(crate) earlier: Option<EarlierRun>,
}

impl Trainer {
    pub(crate) fn begin(setup: Preparation, folder: RunFolder, state: State) -> Self {
        Self { setup, state, folder, measured: Vec::new(), earlier: None }
    }

    /// Trains to the end, or until `stop` becomes true, and saves a checkpoint either way.
    pub fn run(mut self, stop: &Stop, show: &mut dyn FnMut(Event<'_>)) -> Result<RunOutcome, TrainError> {
        let started = self.started();
        show(Event::Started(&started));
        let RunStart { step, preflight, .. } = started;
        let total = preflight.total;
        let (facegrad, preflight) = (env!("CARGO_PKG_VERSION").into(), Box::new(preflight));
        self.folder.log(&LogEvent::Start { step, facegrad, preflight })?;

        let run = self.setup.experiment.run.clone();
        // The untrained network, or an evaluation that was cut short.
        if self.is_due(run.evaluate_every) && !self.is_evaluated() {
            self.evaluate(stop, show)?;
        }
        let mut loader = self.setup.loader(step, total)?;
        let mut reported_skips = 0;
        let mut window = Window::start(&loader);
        while self.state.step < total && !stop.is_asked() {
            let Some(batch) = loader.next() else { break };
            let batch = batch?;
            let next = self.state.step + 1;
            let is_logged = next == 1 || next.is_multiple_of(run.log_every) || next == total;
            let mut line = self.step(&batch, is_logged)?;
            window.images += batch.labels.len();
            for image in &loader.skipped()[reported_skips..] {
                reported_skips += 1;
                show(Event::Skipped(image));
                let FaceError { name, reason } = image.clone();
                self.folder.log(&LogEvent::Skipped { step: line.step, image: name, reason })?;
            }
            if is_logged {
                (line.images_per_second, line.waited) = window.close(&loader, &mut self.state.seconds);
                show(Event::Step(&line));
                self.folder.log(&LogEvent::Step(line))?;
            }
            if self.is_due(run.evaluate_every) {
                window.pause(&mut self.state.seconds);
                self.evaluate(stop, show)?;
                window.resume();
            }
            if self.is_due(run.checkpoint_every) {
                window.pause(&mut self.state.seconds);
                self.save()?;
                window.resume();
            }
        }
        window.pause(&mut self.state.seconds);
        let skipped = loader.skipped().to_vec();
        // Its threads stop before the report is written.
        drop(loader);
        self.finish(&skipped)
    }

    /// One optimizer step, as a line of the log that knows no speed yet.
    fn step(&mut self, batch: &ImageBatch, is_logged: bool) -> Result<StepLine, TrainError> {
        let progress = Progress { step: self.state.step, total: self.setup.preflight.total };
        let stepped = self.setup.learner.step(progress, is_logged, &batch.pixels, &batch.labels);
        let stepped = stepped.map_err(|error| self.step_error(batch, error))?;
        self.state.step += 1;
        self.state.first_loss.get_or_insert(stepped.loss);
        // JSON has no word for what is not finite, and a measure is not what a run must stop for.
        let measures: BTreeMap<_, _> =
            stepped.measures.into_iter().filter(|(_, value)| value.is_finite()).collect();
        self.state.course.add(self.state.step, telling_loss(stepped.loss, &measures));
        if is_logged {
            self.state.measures = measures.clone();
        }
        Ok(StepLine {
            step: self.state.step,
            epoch: self.state.step as f64 / self.setup.preflight.steps_per_epoch as f64,
            loss: stepped.loss,
            learning_rate: stepped.learning_rate,
            gradient_norm: stepped.gradient_norm,
            images_per_second: 0.0,
            waited: 0.0,
            measures,
        })
    }

    /// Why a step was not taken, before it touched the weights. Where the loss diverged, the log says on which images.
    fn step_error(&mut self, batch: &ImageBatch, error: StepError) -> TrainError {
        let step = self.state.step + 1;
        let (what, value) = match error {
            StepError::NotFinite { what, value } => (what, value),
            StepError::Head(error) => return error.into(),
            StepError::Backend(reason) => {
                return TrainError::Backend { device: self.setup.chosen.description.clone(), step, reason };
            }
        };
        let names: Vec<_> = batch.indices.iter().map(|i| self.setup.data.source.name(*i)).collect();
        let images = names.clone();
        let event = LogEvent::NotFinite { step, what: what.into(), value: value.to_string(), images };
        if let Err(error) = self.folder.log(&event) {
            return error;
        }
        let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let log = self.folder.path().join(LOG);
        let images = match names.len() {
            0..=3 => shown,
            n => format!("{shown} and {} more, listed in {}", n - 3, log.display()),
        };
        TrainError::NotFinite { step, what, value, kept: kept(self.folder.path()), images }
    }

    /// Whether what happens `every` so often is due after this step; everything is after the last one.
    fn is_due(&self, every: Every) -> bool {
        let (step, preflight) = (self.state.step, &self.setup.preflight);
        step == preflight.total || step.is_multiple_of(every.steps(preflight.steps_per_epoch))
    }

    fn is_evaluated(&self) -> bool {
        self.state.evaluations.last().is_some_and(|record| record.step == self.state.step)
    }

    /// Measures the model on every evaluation, and saves it if it is the best so far. When `stop` becomes true
    /// it leaves no record; a resumed run makes up for it.
    fn evaluate(&mut self, stop: &Stop, show: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let measured = self.measure(&mut |name, done, images| {
            show(Event::Evaluating(name, done, images));
            !stop.is_asked()
        })?;
        let Some(measured) = measured else { return Ok(()) };
        let step = self.state.step;
        let first = self.setup.evaluations.first().map(|(name, _)| name.clone());
        let selecting = self.setup.experiment.run.select_by.clone().or(first);
        let mut improved = false;
        for ((name, _), measured) in self.setup.evaluations.iter().zip(&measured) {
            let record = EvaluationRecord::new(step, name, measured);
            let is_better = |accuracy| self.state.best.is_none_or(|(before, _)| accuracy > before);
            let best = step > 0 && selecting.as_ref() == Some(name) && record.accuracy.is_some_and(is_better);
            if best {
                self.state.best = record.accuracy.map(|accuracy| (accuracy, step));
                improved = true;
            }
            show(Event::Evaluated { step, name, measured, best });
            let result = Box::new(measured.outcome.clone());
            self.folder.log(&LogEvent::Evaluation { step, name: name.clone(), best, result })?;
            self.state.evaluations.push(record);
        }
        self.measured = measured;
        if improved {
            self.save()?;
            self.folder.point_to_best(step)?;
        }
        Ok(())
    }

    /// What the model is worth on each evaluation; nothing if `progress`, which gets the name of an evaluation, the
    /// images done and those in all, says to stop.
    fn measure(
        &self,
        progress: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Option<Vec<ProtocolOutcome>>, TrainError> {
        let Preparation { experiment, chosen, evaluations, learner, .. } = &self.setup;
        let card = self.setup.card(&self.state);
        let model = EmbeddingModel::from_backbone(&learner.model().backbone, card, &chosen.device);
        let embedder = Embedder::model(&model, experiment.run.batch, &chosen.description);
        let mut all = Vec::new();
        for (name, protocol) in evaluations {
            let mut done = 0;
            let mut progress = |images| {
                done += images;
                progress(name, done, protocol.images())
            };
            match protocol.measure(&embedder, &Measurement::default(), &mut progress) {
                Err(error) if error.is_stopped() => return Ok(None),
                measured => all.push(measured.map_err(|error| error.of(name))?),
            }
        }
        Ok(Some(all))
    }

    /// Writes a checkpoint of this step, unless there is one.
    fn save(&mut self) -> Result<(), TrainError> {
        let Self { setup, state, folder, .. } = self;
        if folder.is_saved(state.step) {
            return Ok(());
        }
        let contents = checkpoint::contents(&setup.learner, &setup.card(state), state);
        let contents =
            contents.map_err(|(file, reason)| folder.unwritable(file, io::Error::other(reason)))?;
        folder.save(state.step, &contents, setup.experiment.run.keep)
    }

    /// Saves the last checkpoint and writes the report.
    fn finish(mut self, skipped: &[FaceError]) -> Result<RunOutcome, TrainError> {
        // After the last step an evaluation is due, and may have been cut short.
        let interrupted = self.state.step < self.setup.preflight.total
            || !(self.setup.evaluations.is_empty() || self.is_evaluated());
        if self.state.step > 0 {
            self.save()?;
        }
        let (step, seconds) = (self.state.step, self.state.seconds);
        let steps = self.folder.steps().map_err(|source| self.folder.unwritable(LOG, source))?;
        let findings = findings(&self.setup.experiment, &self.setup.preflight, &self.state, &steps);
        for finding in &findings {
            self.folder.log(&LogEvent::Finding { step, finding: finding.clone() })?;
        }
        self.folder.log(&LogEvent::End { step, interrupted, seconds })?;
        self.write_report(skipped, &steps, &findings)?;
        let State { first_loss, evaluations, .. } = self.state;
        let folder = self.folder.path().to_owned();
        Ok(RunOutcome { folder, step, interrupted, first_loss, evaluations, findings, seconds })
    }

    fn write_report(
        &mut self,
        skipped: &[FaceError],
        steps: &[StepLine],
        findings: &[String],
    ) -> Result<(), TrainError> {
        if self.measured.is_empty() {
            // A run resumed at its end has nothing of its own to show yet.
            self.measured = self.measure(&mut |_, _, _| true)?.unwrap_or_default();
        }
        let Self { setup, state, folder, measured, .. } = &*self;
        let unwritable = |source| folder.unwritable("report.html", source);
        let summary = report::Summary {
            experiment: &setup.experiment,
            folder: folder.path(),
            started: self.started(),
            command: &state.command,
            seconds: state.seconds,
            step: state.step,
            parameters: setup.parameters,
            data_sha256: &state.data_sha256,
            evaluations: &state.evaluations,
            protocols: &setup.evaluations,
            measured,
            changes: &state.changes,
            findings,
            steps,
            skipped,
        };
        report::write(&summary).map_err(unwritable)
    }

    fn started(&self) -> RunStart {
        RunStart {
            folder: self.folder.path().to_owned(),
            step: self.state.step,
            longer: self.setup.experiment.twice(self.state.step, self.setup.preflight.steps_per_epoch),
            earlier: self.earlier.clone(),
            preflight: self.setup.preflight.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use facegrad_devices::{Backend, choose};

    use super::*;
    use crate::config::Experiment;

    #[test]
    fn a_step_that_fails_names_the_device_or_the_images() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
            run = { steps = 1, batch = 4 }
            data = { size = [20, 20], train = { kind = "synthetic", identities = 4, images = 2, size = 20 } }
            backbone = { kind = "nano", width = 0.25, embedding = 16 }
        "#;
        let (mut experiment, _) = Experiment::resolve(text.parse().unwrap(), &[]).unwrap();
        experiment.run.folder = folder.path().into();
        let chosen = choose(Backend::Flex, None).unwrap();
        let mut trainer = Trainer::new(experiment, chosen.clone(), String::new()).unwrap();
        let batch = trainer.setup.loader(0, 1).unwrap().next().unwrap().unwrap();
        let failed = trainer.step_error(&batch, StepError::Backend("out of memory".into()));
        let sentence = failed.to_string();
        let TrainError::Backend { device, step: 1, reason } = failed else { panic!("{failed:?}") };
        assert_eq!((device, reason), (chosen.description.clone(), "out of memory".into()));
        let expected = format!("{}: the backend could not compute step 1: out of memory", chosen.description);
        assert_eq!(sentence, expected);
        let diverged = trainer.step_error(&batch, StepError::NotFinite { what: "loss", value: f64::NAN });
        let TrainError::NotFinite { step: 1, what: "loss", images, .. } = diverged else {
            panic!("{diverged:?}")
        };
        assert!(images.contains(" and 1 more, listed in ") && images.ends_with(LOG), "{images}");
        assert!(std::fs::read_to_string(folder.path().join("run").join(LOG)).unwrap().contains("not_finite"));
    }
}
