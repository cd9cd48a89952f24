//! Several configs with several seeds under one budget: `facegrad compare`.
//!
//! Every run has a folder of its own below one folder, and what the table says is read from these folders.
//! So a comparison that was stopped at any instant goes on where it was: what is done is not done again.

mod budget;
mod page;
mod record;
mod table;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use facegrad_devices::Chosen;
use facegrad_files::{Stop, name_of};
use facegrad_settings::{Override, UnusedKey};

pub use self::{
    record::{RunRecord, RunResult, RunState},
    table::{ComparisonTable, ConfigRow, MeanFigures},
};
use crate::{
    config::{ConfigError, Experiment},
    error::TrainError,
    events::Event,
    every::Every,
    resume::SavedRun,
    run_folder::{CONFIG, folder_name, is_folder_name},
    train::Trainer,
};

/// What to compare.
#[derive(Debug, Clone)]
pub struct ComparisonPlan {
    /// The config files.
    pub configs: Vec<PathBuf>,
    /// Changes to every one of them.
    pub overrides: Vec<Override>,
    /// Optimizer steps of each run.
    pub steps: usize,
    /// The seeds with which each config is trained.
    pub seeds: Vec<u64>,
    /// The evaluation whose numbers are compared; without it the `run.select_by` of the first config, or its
    /// first evaluation.
    pub evaluation: Option<String>,
    /// Where the run folders and the table go.
    pub folder: PathBuf,
    /// The command line, for the record.
    pub command: String,
}

/// Configs that were read and fit together.
#[derive(Debug)]
pub struct Comparison {
    /// What was asked for, with the evaluation filled in.
    plan: ComparisonPlan,
    evaluation: String,
    entries: Vec<Entry>,
}

/// A config of the comparison.
#[derive(Debug)]
struct Entry {
    /// The name of its file, without extension.
    name: String,
    experiment: Experiment,
}

/// What happens in a comparison, for whoever shows it.
#[derive(Debug)]
pub enum ComparisonEvent<'a> {
    /// A run begins, or goes on after `step` steps.
    Started {
        /// Its place in the order, from 1.
        number: usize,
        /// The run.
        run: &'a RunRecord,
        /// Steps already done.
        step: usize,
    },
    /// Something happens in that run.
    Run(Event<'a>),
    /// The run is over.
    Ended {
        /// Its place in the order, from 1.
        number: usize,
        /// The run.
        run: &'a RunRecord,
        /// Seconds this took, evaluation included.
        seconds: f64,
        /// Seconds that the runs still to be trained may take.
        left: f64,
    },
}

/// Why configs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ComparisonError {
    /// A config that cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Two configs whose rows and folders would have one name.
    #[error(
        "{} and {} would have the same name in the table; give one of the files another name", first.display(), second.display()
    )]
    SameName { first: PathBuf, second: PathBuf },
    /// A file name that cannot name a folder.
    #[error(
        "{} names the folders of its runs, so its name must be letters, digits, '-', '_', '.' and spaces", .0.display()
    )]
    Name(PathBuf),
    /// A seed twice.
    #[error("--seeds has {0} twice; every seed makes one run of each config")]
    SameSeed(u64),
    /// A `--set` of what a comparison decides.
    #[error("--set {key} has no effect here: {instead}")]
    NotYours { key: String, instead: &'static str },
    /// A config without the evaluation.
    #[error("{} has no [[evaluation]] called \"{wanted}\"{there}", config.display())]
    NoSuchEvaluation { config: PathBuf, wanted: String, there: String },
    /// A config without any evaluation.
    #[error("{} has no [[evaluation]]; without one there is no accuracy to compare", .0.display())]
    NoEvaluation(PathBuf),
    /// The folder of the comparison.
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// The keys that a comparison decides, and how.
const DECIDED: [(&str, &str); 7] = [
    ("run.steps", "--steps says how long every config is trained"),
    ("run.epochs", "--steps says how long every config is trained"),
    ("run.seed", "every config is trained with each of --seeds"),
    ("run.name", "a run is called after its config and seed"),
    ("run.folder", "--out says where the run folders go"),
    ("run.evaluate_every", "every run is evaluated before its first and after its last step"),
    ("run.keep", "the last checkpoint of every run is kept"),
];

impl Comparison {
    /// Reads the configs; also returns the keys that overrides left out of each.
    ///
    /// # Errors
    /// If a config cannot be read, lacks the evaluation, or cannot be told from another by its name.
    pub fn new(plan: ComparisonPlan) -> Result<(Self, Vec<(PathBuf, UnusedKey)>), ComparisonError> {
        for given in plan.overrides.iter().map(Override::key) {
            if let Some((_, instead)) = DECIDED.iter().find(|(key, _)| *key == given) {
                return Err(ComparisonError::NotYours { key: given, instead });
            }
        }
        for (i, seed) in plan.seeds.iter().enumerate() {
            if plan.seeds[..i].contains(seed) {
                return Err(ComparisonError::SameSeed(*seed));
            }
        }
        let mut paths: HashMap<String, &Path> = HashMap::new();
        let (mut entries, mut notes) = (Vec::new(), Vec::new());
        for path in &plan.configs {
            let (experiment, left_out) = load(path, &plan)?;
            let left_out = left_out.into_iter().filter(|left_out| left_out.key != "run.epochs");
            notes.extend(left_out.map(|left_out| (path.clone(), left_out)));
            let name = name_of(Path::new(path.file_stem().unwrap_or_default()));
            if !is_folder_name(&name) {
                return Err(ComparisonError::Name(path.clone()));
            }
            if let Some(first) = paths.insert(name.clone(), path) {
                return Err(ComparisonError::SameName { first: first.into(), second: path.clone() });
            }
            entries.push(Entry { name, experiment });
        }
        let mut evaluation = plan.evaluation.clone();
        for (path, entry) in plan.configs.iter().zip(&entries) {
            let names: Vec<String> = entry.experiment.evaluation.iter().map(|e| e.name()).collect();
            let Some(first) = names.first() else {
                return Err(ComparisonError::NoEvaluation(path.clone()));
            };
            let selected = entry.experiment.run.select_by.as_deref().unwrap_or(first);
            let wanted = evaluation.get_or_insert_with(|| selected.to_owned());
            if !names.contains(wanted) {
                let there =
                    format!("; it has {}, and --eval chooses one that all configs have", names.join(", "));
                let (config, wanted) = (path.clone(), wanted.clone());
                return Err(ComparisonError::NoSuchEvaluation { config, wanted, there });
            }
        }
        Ok((Self { evaluation: evaluation.unwrap_or_default(), plan, entries }, notes))
    }

    /// The number of runs.
    pub fn runs(&self) -> usize {
        self.entries.len() * self.plan.seeds.len()
    }

    /// What differs between the configs beside the loss, a clause for each key; empty for a fair comparison.
    pub fn differences(&self) -> Vec<String> {
        budget::differences(&self.entries, &self.evaluation)
    }

    /// What is done so far.
    pub fn table(&self) -> ComparisonTable {
        let records: Vec<RunRecord> = self.order().map(|(entry, seed)| self.find(entry, seed)).collect();
        self.tabulate(&records)
    }

    /// Trains what is not done yet, until `stop` becomes true, and writes the table whenever a run has ended.
    ///
    /// A run that diverges or fails is a line of the table and does not stop the others.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn run(
        &self,
        chosen: &Chosen,
        stop: &Stop,
        show: &mut dyn FnMut(ComparisonEvent<'_>),
    ) -> Result<ComparisonTable, ComparisonError> {
        let folder = &self.plan.folder;
        fs::create_dir_all(folder)
            .map_err(|source| ComparisonError::Unwritable { path: folder.clone(), source })?;
        let mut records: Vec<RunRecord> = self.order().map(|(entry, seed)| self.find(entry, seed)).collect();
        let (mut trained, mut seconds) = (0, 0.0);
        for (i, (entry, seed)) in self.order().enumerate() {
            if stop.is_asked() {
                break;
            }
            let step = match records[i].state {
                RunState::Waiting { step } => step,
                _ => continue,
            };
            show(ComparisonEvent::Started { number: i + 1, run: &records[i], step });
            let started = Instant::now();
            let failed = self.train(entry, seed, chosen, stop, show).err();
            records[i] = self.find(entry, seed);
            if stop.is_asked() && matches!(records[i].state, RunState::Waiting { .. }) {
                break;
            }
            if let (Some(error), RunState::Waiting { step }) = (failed, &records[i].state) {
                records[i].state = RunState::Failed { step: *step, reason: error.to_string() };
            }
            (trained, seconds) = (trained + 1, seconds + started.elapsed().as_secs_f64());
            let waiting = records.iter().filter(|run| matches!(run.state, RunState::Waiting { .. })).count();
            show(ComparisonEvent::Ended {
                number: i + 1,
                run: &records[i],
                seconds: started.elapsed().as_secs_f64(),
                left: seconds / f64::from(trained) * waiting as f64,
            });
            self.write(&self.tabulate(&records))?;
        }
        let table = self.tabulate(&records);
        self.write(&table)?;
        Ok(table)
    }

    /// All configs with the first seed, then with the next, so that every config has results early and a
    /// machine that slows down slows all alike.
    fn order(&self) -> impl Iterator<Item = (&Entry, u64)> {
        self.plan.seeds.iter().flat_map(|seed| self.entries.iter().map(|entry| (entry, *seed)))
    }

    /// One run, from the beginning or from its last checkpoint.
    fn train(
        &self,
        entry: &Entry,
        seed: u64,
        chosen: &Chosen,
        stop: &Stop,
        show: &mut dyn FnMut(ComparisonEvent<'_>),
    ) -> Result<(), TrainError> {
        let experiment = self.experiment(entry, seed);
        let command = self.plan.command.clone();
        let trainer = match self.folder_of(&experiment) {
            Some(folder) => Trainer::resume(SavedRun::open(&folder, &[])?, chosen.clone(), command)?,
            None => Trainer::new(experiment, chosen.clone(), command)?,
        };
        trainer.run(stop, &mut |event| show(ComparisonEvent::Run(event))).map(drop)
    }

    /// A config as it is trained with a seed.
    fn experiment(&self, entry: &Entry, seed: u64) -> Experiment {
        let mut experiment = entry.experiment.clone();
        experiment.run.name = format!("{}-seed{seed}", entry.name);
        experiment.run.folder = self.plan.folder.clone();
        experiment.run.seed = seed;
        experiment.run.evaluate_every = Every::Steps(self.plan.steps);
        experiment.run.keep = 1;
        experiment
    }

    /// The folder with a run of the very same experiment, if there is one. Runs of a config as it was before a
    /// change are left alone; the changed one gets a folder with a number, as for `facegrad train`.
    fn folder_of(&self, experiment: &Experiment) -> Option<PathBuf> {
        let wanted = experiment.to_toml();
        let numbered = (1..).map(|number| folder_name(&experiment.run, number));
        numbered.take_while(|folder| folder.is_dir()).find(|folder| {
            let Ok((mut theirs, _)) = Experiment::load(&folder.join(CONFIG), &[]) else { return false };
            // The same folder by another path.
            theirs.run.folder.clone_from(&experiment.run.folder);
            theirs.to_toml() == wanted
        })
    }

    /// What is known of a run.
    fn find(&self, entry: &Entry, seed: u64) -> RunRecord {
        let experiment = self.experiment(entry, seed);
        let folder = self.folder_of(&experiment);
        let state = match &folder {
            Some(folder) => record::read(folder, &self.evaluation, &experiment, self.plan.steps),
            None => RunState::Waiting { step: 0 },
        };
        RunRecord { config: entry.name.clone(), seed, folder, state }
    }
}

/// A config with the changes of the plan, for as many steps as the plan says.
fn load(path: &Path, plan: &ComparisonPlan) -> Result<(Experiment, Vec<UnusedKey>), ConfigError> {
    let steps = format!("run.steps={}", plan.steps).parse();
    let steps =
        steps.map_err(|error| ConfigError::Settings { path: path.into(), source: Box::new(error) })?;
    let overrides: Vec<Override> = plan.overrides.iter().cloned().chain([steps]).collect();
    Experiment::load(path, &overrides)
}
