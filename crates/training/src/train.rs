//! The training loop.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use facegrad_backbones::Cost;
use facegrad_devices::{Backend, Chosen};
use facegrad_faces::{FaceError, Opened};
use facegrad_files as files;
use facegrad_loader::{Batch, Loader, LoaderError, Plan};
use facegrad_losses::{Progress, Scoring};
use facegrad_recognition::{
    Embedder, EmbeddingModel, MODEL, Measured, Measurement, ModelCard, OpenProtocol, Preprocessing, Wanted,
    checkpoint, to_bytes,
    weights::{from_safetensors, to_safetensors},
};
use facegrad_verification::Similarity;

use crate::{
    config::Experiment,
    error::TrainError,
    events::{EvaluationRecord, Event, Outcome, Started},
    every::Every,
    log::{LOG, Log, LogEvent, StepLine},
    preflight::{self, Evaluations, ImagesPerIdentity, Preflight, TimeEstimate, Workload},
    recognizer::Recognizer,
    report,
    run_folder::{AUXILIARY, CONFIG, HEAD, OPTIMIZER, STATE, SavedRun, State, lock, new_folder, unwritable},
    step::{Learner, StepError},
    window::Window,
};

/// A run, from its first or a later step to its end.
pub struct Trainer {
    experiment: Experiment,
    chosen: Chosen,
    folder: PathBuf,
    /// Held as long as the trainer lives.
    _lock: File,
    data: Opened,
    /// By name.
    evaluations: Vec<(String, Box<dyn OpenProtocol>)>,
    learner: Learner,
    preflight: Preflight,
    /// Seconds that an image takes to read.
    reading: f64,
    state: State,
    /// The newest measurement of each evaluation.
    measured: Vec<Measured>,
    log: Log,
    /// The step of the newest checkpoint that this trainer wrote or began from.
    saved: Option<usize>,
    total: usize,
    steps_per_epoch: usize,
}

/// All that a run needs but its folder.
struct Prepared {
    experiment: Experiment,
    data: Opened,
    evaluations: Vec<(String, Box<dyn OpenProtocol>)>,
    learner: Learner,
    preflight: Preflight,
    reading: f64,
}

impl Prepared {
    /// Opens and builds it.
    fn new(experiment: Experiment, chosen: &Chosen) -> Result<Self, TrainError> {
        let data = experiment.data.train.open()?;
        let source = data.source.as_ref();
        let identities = source.identities();
        let plan = plan(&experiment, 0, 0);
        let sampler = experiment.sampler.build(source, plan.seed, plan.batch);
        let sampler = sampler.map_err(LoaderError::from)?.describe();
        let steps_per_epoch = plan.steps_per_epoch(source.len());
        let evaluations = experiment.evaluation.iter();
        let evaluations = evaluations.map(|e| Ok((e.name(), e.open(Wanted::Pixels)?)));
        let evaluations: Vec<_> = evaluations.collect::<Result<_, TrainError>>()?;
        let look = preflight::look(source, experiment.augmentation.source_size(plan.size), plan.size)?;
        let program = preflight::of_this_process().unwrap_or(0);
        let learner = Learner::new(&experiment, identities.len(), &chosen.device)?;
        let cost = experiment.backbone.cost(plan.size)?;
        let workload = Workload {
            program,
            backbone: &experiment.backbone,
            size: plan.size,
            batch: plan.batch,
            queue: experiment.data.loader.queue,
            backbone_parameters: cost.parameters,
            head_parameters: learner.loss_parameters() as u64,
            optimizer_slots: experiment.optimizer.slots().into(),
            evaluation_images: evaluations.iter().map(|(_, protocol)| protocol.images() as u64).sum(),
        };
        // Other memory than that of this machine, and other operations with needs of their own.
        let memory = (chosen.backend != Backend::Wgpu).then(|| workload.memory()).transpose()?;
        let mut notes = look.notes;
        notes.extend(preflight::overlap(identities, &evaluations));
        notes.extend(memory.and_then(|memory| memory.note()));
        let [height, width] = plan.size;
        let preflight = Preflight {
            backend: chosen.description.clone(),
            data: data.summary.to_string(),
            images: source.len(),
            identities: identities.len(),
            images_per_identity: ImagesPerIdentity::of(source),
            sampler,
            model: format!(
                "{} at {height}x{width}: {:.2} M parameters, {:.1} M multiply-adds an image; loss {}",
                experiment.backbone.kind(),
                cost.parameters as f64 / 1e6,
                cost.multiply_adds as f64 / 1e6,
                experiment.loss_in_words()
            ),
            total: experiment.total_steps(steps_per_epoch),
            steps_per_epoch,
            expected_first_loss: experiment.expected_first_loss(identities.len()),
            memory,
            time: None,
            notes,
        };
        Ok(Self { reading: look.seconds, experiment, data, evaluations, learner, preflight })
    }
}

impl Preflight {
    /// What a run of `experiment` would do. Everything it needs is opened and built, and nothing is written.
    ///
    /// # Errors
    /// Why it cannot work.
    pub fn of(experiment: Experiment, chosen: &Chosen) -> Result<Self, TrainError> {
        let prepared = Prepared::new(experiment, chosen)?;
        let Prepared { experiment, evaluations, learner, mut preflight, reading, .. } = prepared;
        preflight.time = time(&experiment, chosen, &preflight, &learner, &evaluations, 0, reading);
        Ok(preflight)
    }
}

/// How long the steps after `step` take; unknown on devices that do not compute what is asked of them at once.
fn time(
    experiment: &Experiment,
    chosen: &Chosen,
    preflight: &Preflight,
    learner: &Learner,
    evaluations: &[(String, Box<dyn OpenProtocol>)],
    step: usize,
    reading: f64,
) -> Option<TimeEstimate> {
    if chosen.backend == Backend::Wgpu {
        return None;
    }
    let every = experiment.run.evaluate_every.steps(preflight.steps_per_epoch);
    let evaluations = Evaluations {
        // Before the first step too, unless that was done.
        times: (preflight.total.div_ceil(every)).saturating_sub(step / every) + usize::from(step == 0),
        images: evaluations.iter().map(|(_, protocol)| protocol.images()).sum(),
    };
    let steps = preflight.total.saturating_sub(step);
    preflight::estimate_time(learner, experiment, preflight.identities, steps, &evaluations, reading)
}

impl Trainer {
    /// Prepares a new run in a folder of its own: `<run.folder>/<run.name>`, with a number if that is taken.
    /// Nothing is written before everything the run needs was found.
    pub fn new(experiment: Experiment, chosen: Chosen, command: String) -> Result<Self, TrainError> {
        let state = State::of_new_run(&experiment, &chosen, command);
        let (run, text) = (experiment.run.clone(), experiment.to_toml());
        Self::prepare(experiment, chosen, state, |_| {
            let folder = new_folder(&run)?;
            let config = folder.join(CONFIG);
            files::replace(&config, text.as_bytes()).map_err(|source| unwritable(&config, source))?;
            let lock = lock(&folder)?;
            Ok((folder, lock))
        })
    }

    /// Prepares to continue a run; one without a checkpoint starts again in its folder.
    pub fn resume(saved: SavedRun, chosen: Chosen, command: String) -> Result<Self, TrainError> {
        let SavedRun { experiment, folder, lock, state, checkpoint } = saved;
        let Some(loaded) = checkpoint else {
            let state = State::of_new_run(&experiment, &chosen, command);
            return Self::prepare(experiment, chosen, state, |_| Ok((folder, lock)));
        };
        let data_then = state.data_sha256.clone();
        let mut this = Self::prepare(experiment, chosen, state, |data_now| match data_now == data_then {
            true => Ok((folder, lock)),
            false => Err(TrainError::OtherData { run: folder, theirs: data_then, ours: data_now.into() }),
        })?;
        let unusable = |file: &str, reason| TrainError::Unusable { path: loaded.path.join(file), reason };
        let model = this.learner.model_mut();
        model.backbone = from_safetensors(model.backbone.clone(), loaded.file(MODEL)?)
            .map_err(|reason| unusable(MODEL, reason))?;
        let head = from_safetensors(model.head.clone(), loaded.file(HEAD)?);
        model.head = head.map_err(|reason| unusable(HEAD, reason))?;
        if !model.auxiliary.is_empty() {
            let auxiliary = from_safetensors(model.auxiliary.clone(), loaded.file(AUXILIARY)?);
            model.auxiliary = auxiliary.map_err(|reason| unusable(AUXILIARY, reason))?;
        }
        let loading = this.learner.optimizer.load(loaded.file(OPTIMIZER)?);
        loading.map_err(|reason| unusable(OPTIMIZER, reason))?;
        this.saved = Some(loaded.step);
        // A kill between the best checkpoint and its pointer leaves the pointer behind.
        if let Some((_, step)) = this.state.best
            && this.folder.join(checkpoint::folder_name(step)).is_dir()
        {
            this.point_to_best(step)?;
        }
        Ok(this)
    }

    /// Builds all that a run needs, and asks for its folder, with the SHA-256 of the data, last.
    fn prepare(
        experiment: Experiment,
        chosen: Chosen,
        mut state: State,
        folder: impl FnOnce(&str) -> Result<(PathBuf, File), TrainError>,
    ) -> Result<Self, TrainError> {
        let Prepared { experiment, data, evaluations, learner, preflight, reading } =
            Prepared::new(experiment, &chosen)?;
        state.data_sha256 = data.source.fingerprint();
        let (folder, lock) = folder(&state.data_sha256)?;
        let log = Log::open(&folder, state.step).map_err(|source| unwritable(&folder, source))?;
        Ok(Self {
            experiment,
            chosen,
            folder,
            _lock: lock,
            data,
            evaluations,
            learner,
            state,
            measured: Vec::new(),
            saved: None,
            log,
            total: preflight.total,
            steps_per_epoch: preflight.steps_per_epoch,
            preflight,
            reading,
        })
    }

    /// Measures how long the run will take, which itself takes about a second, and more where a few images do.
    pub fn timed(mut self) -> Self {
        let Self { experiment, chosen, preflight, learner, evaluations, state, reading, .. } = &self;
        self.preflight.time = time(experiment, chosen, preflight, learner, evaluations, state.step, *reading);
        self
    }

    /// Trains to the end, or until `stop` becomes true, and saves a checkpoint either way.
    pub fn run(mut self, stop: &AtomicBool, show: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
        let started = self.started();
        show(Event::Started(&started));
        let Started { step, preflight, .. } = started;
        let (facegrad, preflight) = (env!("CARGO_PKG_VERSION").into(), Box::new(preflight));
        self.log(LogEvent::Start { step, facegrad, preflight })?;
        // The untrained network, or an evaluation that was cut short.
        if self.is_due(self.experiment.run.evaluate_every) && !self.is_evaluated() {
            self.evaluate(stop, show)?;
        }
        let plan = plan(&self.experiment, self.state.step, self.total);
        let (augmentation, config) =
            (self.experiment.augmentation.clone(), self.experiment.data.loader.clone());
        let mut loader =
            Loader::start(self.data.source.clone(), plan, &self.experiment.sampler, augmentation, config)?;
        let mut reported_skips = 0;
        let mut window = Window::start(&loader);
        while self.state.step < self.total && !stop.load(Ordering::Relaxed) {
            let batch = match loader.next() {
                Some(batch) => batch?,
                None => break,
            };
            let is_logged = self.is_logged(self.state.step + 1);
            let mut line = self.step(&batch, is_logged)?;
            let step = self.state.step;
            for skipped in &loader.skipped()[reported_skips..] {
                reported_skips += 1;
                show(Event::Skipped(skipped));
                let FaceError { name, reason } = skipped.clone();
                self.log(LogEvent::Skipped { step, image: name, reason })?;
            }
            window.images += batch.labels.len();
            if is_logged {
                (line.images_per_second, line.waited) = window.close(&loader, &mut self.state.seconds);
                show(Event::Step(&line));
                self.log(LogEvent::Step(line))?;
            }
            if self.is_due(self.experiment.run.evaluate_every) {
                window.pause(&mut self.state.seconds);
                self.evaluate(stop, show)?;
                window.resume();
            }
            if self.is_due(self.experiment.run.checkpoint_every) {
                window.pause(&mut self.state.seconds);
                self.save()?;
                window.resume();
            }
        }
        window.pause(&mut self.state.seconds);
        let skipped = loader.skipped().to_vec();
        // Its threads stop before the report is written.
        drop(loader);
        self.finish(skipped)
    }

    /// Whether a line of the log is due after `step`.
    fn is_logged(&self, step: usize) -> bool {
        step == 1 || step.is_multiple_of(self.experiment.run.log_every) || step == self.total
    }

    /// One optimizer step.
    fn step(&mut self, batch: &Batch, is_logged: bool) -> Result<StepLine, TrainError> {
        let progress = Progress { step: self.state.step, total: self.total };
        let stepped = self.learner.step(&self.experiment, progress, is_logged, &batch.pixels, &batch.labels);
        let stepped = stepped.map_err(|error| match error {
            StepError::NotFinite { what, value } => self.not_finite(batch, what, value),
            StepError::Head(error) => error.into(),
            StepError::Backend(reason) => TrainError::Unusable {
                path: self.chosen.description.clone().into(),
                reason: format!("the backend could not compute step {}: {reason}", self.state.step + 1),
            },
        })?;
        self.state.step += 1;
        self.state.first_loss.get_or_insert(stepped.loss);
        // JSON has no word for what is not finite, and a measure is not what a run must stop for.
        let measures: BTreeMap<_, _> =
            stepped.measures.into_iter().filter(|(_, value)| value.is_finite()).collect();
        if is_logged {
            self.state.measures = measures.clone();
        }
        Ok(StepLine {
            step: self.state.step,
            epoch: self.state.step as f64 / self.steps_per_epoch as f64,
            loss: stepped.loss,
            learning_rate: stepped.learning_rate,
            gradient_norm: stepped.gradient_norm,
            images_per_second: 0.0,
            waited: 0.0,
            measures,
        })
    }

    /// The end of a run that diverged, before the weights were touched: names the step and the images.
    fn not_finite(&mut self, batch: &Batch, what: &'static str, value: f64) -> TrainError {
        let step = self.state.step + 1;
        let names: Vec<_> = batch.indices.iter().map(|i| self.data.source.name(*i)).collect();

        let event =
            LogEvent::NotFinite { step, what: what.into(), value: value.to_string(), images: names.clone() };
        if let Err(error) = self.log(event) {
            return error;
        }
        let kept = checkpoint::kept(&self.folder);
        let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let images = match names.len() {
            0..=3 => shown,
            n => format!("{shown} and {} more, listed in {}", n - 3, self.folder.join(LOG).display()),
        };
        TrainError::NotFinite { step, what, value, kept, images }
    }

    /// Whether what happens `every` so often is due after this step; everything is after the last one.
    fn is_due(&self, every: Every) -> bool {
        let step = self.state.step;
        step == self.total || step.is_multiple_of(every.steps(self.steps_per_epoch))
    }

    fn is_evaluated(&self) -> bool {
        self.state.evaluations.last().is_some_and(|record| record.step == self.state.step)
    }

    /// Measures the model on every evaluation, and saves it if it is the best so far. When `stop` becomes true
    /// it leaves no record; a resumed run makes up for it.
    fn evaluate(&mut self, stop: &AtomicBool, show: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let step = self.state.step;
        let model =
            EmbeddingModel::from_backbone(&self.learner.model().backbone, self.card(), &self.chosen.device);
        let mut all = Vec::new();
        for (name, protocol) in &self.evaluations {
            let mut done = 0;
            let mut progress = |images| {
                done += images;
                show(Event::Evaluating(name, done, protocol.images()));
                !stop.load(Ordering::Relaxed)
            };
            match protocol.measure(&self.embedder(&model), &Measurement::default(), &mut progress) {
                Err(error) if error.is_stopped() => return Ok(()),
                measured => all.push((name.clone(), measured?)),
            }
        }
        let selected = self.experiment.run.select_by.clone();
        let mut improved = false;
        for (i, (name, measured)) in all.iter().enumerate() {
            let outcome = &measured.outcome;
            let sheet = outcome.sheet();
            let headline = sheet.headline();
            let accuracy = headline.map(|headline| headline.value);
            let selects = selected.as_ref().map_or(i == 0, |selected| selected == name);
            let best = match accuracy {
                Some(accuracy) if selects && step > 0 => {
                    self.state.best.is_none_or(|(before, _)| accuracy > before)
                }
                _ => false,
            };
            if best {
                self.state.best = accuracy.map(|accuracy| (accuracy, step));
                improved = true;
            }
            show(Event::Evaluated { step, name, measured, best });
            let result = Box::new(outcome.clone());
            self.log(LogEvent::Evaluation { step, name: name.clone(), best, result })?;
            self.state.evaluations.push(EvaluationRecord {
                step,
                name: name.clone(),
                accuracy,
                standard_error: headline.and_then(|headline| headline.standard_error),
                auc: sheet.value("auc"),
                eer: sheet.value("eer"),
            });
        }
        self.measured = all.into_iter().map(|(_, measured)| measured).collect();
        if improved {
            self.save()?;
            self.point_to_best(step)?;
        }
        Ok(())
    }

    fn point_to_best(&self, step: usize) -> Result<(), TrainError> {
        checkpoint::point(&self.folder, "best", step).map_err(|source| self.unwritable("best", source))
    }

    /// Writes a checkpoint of this step, unless there is one.
    fn save(&mut self) -> Result<(), TrainError> {
        let step = self.state.step;
        if self.saved == Some(step) {
            return Ok(());
        }
        let unusable =
            |file: &str, reason: String| TrainError::Unusable { path: self.folder.join(file), reason };
        let optimizer = self.learner.optimizer.to_bytes();
        let optimizer = optimizer.map_err(|reason| unusable(OPTIMIZER, reason))?;
        let state = serde_json::to_vec_pretty(&self.state).map_err(|e| unusable(STATE, e.to_string()))?;
        let Recognizer { backbone, head, auxiliary } = self.learner.model();
        let model = to_bytes(backbone, &self.card()).map_err(|e| unusable(MODEL, e))?;
        let head = to_safetensors(head, "head").map_err(|e| unusable(HEAD, e))?;
        let mut parts = vec![(MODEL, model), (HEAD, head), (OPTIMIZER, optimizer), (STATE, state)];
        if !auxiliary.is_empty() {
            let auxiliary = to_safetensors(auxiliary, "auxiliary").map_err(|e| unusable(AUXILIARY, e))?;
            parts.push((AUXILIARY, auxiliary));
        }
        self.log.sync().map_err(|source| self.unwritable(LOG, source))?;
        checkpoint::save(&self.folder, step, &parts)?;
        self.saved = Some(step);
        checkpoint::prune(&self.folder, step, self.experiment.run.keep)
            .map_err(|source| self.unwritable("", source))?;
        self.log(LogEvent::Checkpoint { step })
    }

    /// Saves the last checkpoint and writes the report.
    fn finish(mut self, skipped: Vec<FaceError>) -> Result<Outcome, TrainError> {
        // After the last step an evaluation is due, and may have been cut short.
        let interrupted =
            self.state.step < self.total || !(self.evaluations.is_empty() || self.is_evaluated());
        if self.state.step > 0 {
            self.save()?;
        }
        let (step, seconds) = (self.state.step, self.state.seconds);
        self.log(LogEvent::End { step, interrupted, seconds })?;
        self.write_report(&skipped)?;
        Ok(Outcome {
            folder: self.folder,
            step,
            interrupted,
            first_loss: self.state.first_loss,
            evaluations: self.state.evaluations,
            seconds,
        })
    }

    fn write_report(&mut self, skipped: &[FaceError]) -> Result<(), TrainError> {
        if self.measured.is_empty() {
            // A run resumed at its end has nothing of its own to show yet.
            let model = EmbeddingModel::from_backbone(
                &self.learner.model().backbone,
                self.card(),
                &self.chosen.device,
            );
            for (_, protocol) in &self.evaluations {
                let measured =
                    protocol.measure(&self.embedder(&model), &Measurement::default(), &mut |_| true)?;
                self.measured.push(measured);
            }
        }
        let unwritable = |source| self.unwritable("report.html", source);
        let steps = self.log.steps().map_err(unwritable)?;
        let summary = report::Summary {
            experiment: &self.experiment,
            folder: &self.folder,
            started: self.started(),
            command: &self.state.command,
            seconds: self.state.seconds,
            step: self.state.step,
            parameters: self.cost().parameters,
            data_sha256: &self.state.data_sha256,
            evaluations: &self.state.evaluations,
            protocols: &self.evaluations,
            measured: &self.measured,
            steps: &steps,
            skipped,
        };
        report::write(&summary).map_err(unwritable)
    }

    fn log(&mut self, event: LogEvent) -> Result<(), TrainError> {
        self.log.write(&event).map_err(|source| self.unwritable(LOG, source))
    }

    fn unwritable(&self, file: &str, source: io::Error) -> TrainError {
        let kept = checkpoint::kept(&self.folder);
        TrainError::Unwritable { path: self.folder.join(file), source, kept }
    }

    fn embedder<'a>(&'a self, model: &'a EmbeddingModel) -> Embedder<'a> {
        Embedder::model(model, self.experiment.run.batch, &self.chosen.description)
    }

    fn card(&self) -> ModelCard {
        ModelCard {
            backbone: self.experiment.backbone.clone(),
            preprocessing: Preprocessing::of_size(self.experiment.data.size),
            trained_on: self.state.data_sha256.clone(),
            identities: self.data.source.identities().len(),
            step: self.state.step,
            scoring: match self.experiment.head.scoring() {
                Scoring::Cosine => Similarity::Cosine,
                Scoring::Euclidean => Similarity::Euclidean,
            },
            operating_points: Vec::new(),
        }
    }

    fn cost(&self) -> Cost {
        // The backbone was built from the same keys, so its cost exists.
        self.experiment.backbone.cost(self.experiment.data.size).unwrap_or_default()
    }

    fn started(&self) -> Started {
        Started { folder: self.folder.clone(), step: self.state.step, preflight: self.preflight.clone() }
    }
}

fn plan(experiment: &Experiment, start_step: usize, end_step: usize) -> Plan {
    Plan {
        seed: experiment.run.seed,
        batch: experiment.run.batch,
        size: experiment.data.size,
        start_step,
        end_step,
    }
}
