//! What a run needs before its first step: data, evaluations, a model, and a look at all of them.

use facegrad_devices::{Backend, Chosen, process};
use facegrad_faces::OpenSet;
use facegrad_files as files;
use facegrad_loader::{Loader, LoaderError, Plan};
use facegrad_losses::Scoring;
use facegrad_recognition::{ImageNeed, ModelCard, OpenProtocol, Preprocessing};
use facegrad_verification::Similarity;

use crate::{
    checkpoint::State,
    config::Experiment,
    error::TrainError,
    learner::Learner,
    preflight::{self, Evaluations, ImagesPerIdentity, Preflight, Workload},
    resume::EarlierRun,
    run_folder::{RunFolder, folder_name, unwritable},
    train::Trainer,
};

/// All that a run needs but its folder.
pub(crate) struct Preparation {
    pub(crate) experiment: Experiment,
    pub(crate) chosen: Chosen,
    pub(crate) data: OpenSet,
    /// By name.
    pub(crate) evaluations: Vec<(String, Box<dyn OpenProtocol>)>,
    pub(crate) learner: Learner,
    pub(crate) preflight: Preflight,
    /// Trained numbers of the backbone.
    pub(crate) parameters: u64,
    /// Seconds that an image takes to read.
    pub(crate) reading: f64,
}

impl Preparation {
    /// Opens and builds it.
    ///
    /// # Errors
    /// Why the run cannot work.
    pub(crate) fn new(experiment: Experiment, chosen: Chosen) -> Result<Self, TrainError> {
        let data = experiment.data.train.open()?;
        let source = data.source.as_ref();
        let identities = source.identities();
        let plan = experiment.plan(0, 0);
        let evaluations = experiment.evaluation.iter();
        let evaluations = evaluations.map(|e| Ok((e.name(), e.open(ImageNeed::Pixels)?)));
        let evaluations: Vec<_> = evaluations.collect::<Result<_, TrainError>>()?;
        let cost = experiment.backbone.cost(plan.size)?;
        let workload = Workload {
            program: process::memory().unwrap_or(0),
            backbone: &experiment.backbone,
            size: plan.size,
            batch: plan.batch,
            queue: experiment.data.loader.queue,
            backbone_parameters: cost.parameters,
            head_parameters: experiment.loss_parameters(identities.len()),
            optimizer_slots: experiment.optimizer.slots().into(),
            evaluation_images: evaluations.iter().map(|(_, protocol)| protocol.images() as u64).sum(),
        };
        // Other memory than that of this machine, and other operations with needs of their own.
        let memory = (chosen.backend != Backend::Wgpu).then(|| workload.memory()).transpose()?;
        // Before any of it is asked for.
        memory.map_or(Ok(()), |memory| memory.check())?;
        let sampler = experiment.sampler.build(source, plan.seed, plan.batch);
        let sampler = sampler.map_err(LoaderError::from)?.describe();
        let steps_per_epoch = plan.steps_per_epoch(source.len());
        let look = preflight::look(source, experiment.augmentation.source_size(plan.size), plan.size)?;
        let learner = Learner::new(&experiment, identities.len(), &chosen.device)?;
        let mut notes = data.summary.notes.clone();
        notes.extend(look.notes);
        notes.extend(preflight::overlap(identities, &evaluations));
        notes.extend(preflight::common_images(source, &evaluations));
        notes.extend(evaluations.iter().flat_map(|(name, protocol)| {
            protocol.remarks().into_iter().map(move |remark| format!("evaluation {name}: {remark}"))
        }));
        notes.extend(memory.and_then(|memory| memory.note()));
        if experiment.optimizer.freezes_backbone() {
            notes.push(
                "optimizer.backbone_factor is 0: the network stays as it was drawn, and only the head learns"
                    .into(),
            );
        }
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
        Ok(Self {
            parameters: cost.parameters,
            reading: look.seconds,
            experiment,
            chosen,
            data,
            evaluations,
            learner,
            preflight,
        })
    }

    /// Loads the batches of the steps from `start` to before `end`.
    pub(crate) fn loader(&self, start: usize, end: usize) -> Result<Loader, LoaderError> {
        let Experiment { sampler, augmentation, data, .. } = &self.experiment;
        let (source, plan) = (self.data.source.clone(), self.experiment.plan(start, end));
        Loader::start(source, plan, sampler, augmentation.clone(), data.loader.clone())
    }

    /// What a model file says of the model after `state`.
    pub(crate) fn card(&self, state: &State) -> ModelCard {
        ModelCard {
            backbone: self.experiment.backbone.clone(),
            preprocessing: Preprocessing::of_size(self.experiment.data.size),
            trained_on: state.data_sha256.clone(),
            identities: self.data.source.identities().len(),
            step: state.step,
            scoring: match self.experiment.head.scoring() {
                Scoring::Cosine => Similarity::Cosine,
                Scoring::Euclidean => Similarity::Euclidean,
            },
            operating_points: Vec::new(),
        }
    }

    /// Measures how long the steps after `step` take; unknown on devices that do not compute what is asked of them
    /// at once.
    fn time(&mut self, step: usize) {
        let Self { experiment, evaluations, learner, preflight, .. } = self;
        if self.chosen.backend == Backend::Wgpu {
            return;
        }
        let every = experiment.run.evaluate_every.steps(preflight.steps_per_epoch);
        let evaluations = Evaluations {
            // Before the first step too, unless that was done.
            times: (preflight.total.div_ceil(every)).saturating_sub(step / every) + usize::from(step == 0),
            images: evaluations.iter().map(|(_, protocol)| protocol.images()).sum(),
        };
        let (batch, classes) = (experiment.run.batch, preflight.identities);
        let steps = preflight.total.saturating_sub(step);
        preflight.time = preflight::estimate_time(learner, batch, classes, steps, &evaluations, self.reading);
    }
}

impl Experiment {
    /// The numbers of the head and of the losses beside it, by arithmetic.
    fn loss_parameters(&self, identities: usize) -> u64 {
        let centres = self.auxiliary.iter().filter(|auxiliary| auxiliary.loss.needs_classes()).count() as u64;
        let rows = self.head.weight_rows(identities) + centres * identities as u64;
        rows * self.backbone.embedding_size() as u64
    }

    /// The batches of the steps from `start_step` to before `end_step`.
    pub(crate) fn plan(&self, start_step: usize, end_step: usize) -> Plan {
        Plan { seed: self.run.seed, batch: self.run.batch, size: self.data.size, start_step, end_step }
    }
}

impl Preflight {
    /// What a run of `experiment` would do. Everything it needs is opened and built, and nothing is left written.
    ///
    /// # Errors
    /// Why it cannot work.
    pub fn of(experiment: Experiment, chosen: &Chosen) -> Result<Self, TrainError> {
        let named = folder_name(&experiment.run, 1);
        let is_taken = named.exists();
        let folder = named.parent().unwrap_or(&named);
        files::check_writable(folder).map_err(|source| unwritable(folder, source))?;
        let mut preparation = Preparation::new(experiment, chosen.clone())?;
        preparation.time(0);
        if is_taken {
            let note =
                format!("{} is there already, and the run will have a number behind it", named.display());
            preparation.preflight.notes.push(note);
        }
        Ok(preparation.preflight)
    }
}

impl Trainer {
    /// Prepares a new run in a folder of its own: `<run.folder>/<run.name>`, with a number if that is taken.
    /// Nothing is written before everything the run needs was found.
    pub fn new(experiment: Experiment, chosen: Chosen, command: String) -> Result<Self, TrainError> {
        let preparation = Preparation::new(experiment, chosen)?;
        let state = State::of_new_run(&preparation, command);
        let (folder, before) = RunFolder::create(&preparation.experiment)?;
        let earlier = before.as_deref().and_then(EarlierRun::of);
        let mut trainer = Self::begin(preparation, folder, state);
        trainer.earlier = earlier;
        Ok(trainer)
    }

    /// Measures how long the run will take, which itself takes about a second, and more where a few images do.
    pub fn timed(mut self) -> Self {
        self.setup.time(self.state.step);
        self
    }
}
