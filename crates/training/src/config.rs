//! The experiment: everything a run depends on, as one config file.

use std::path::{Path, PathBuf};

use crate::{every::Every, optimizer::OptimizerConfig, run_folder::is_folder_name, schedule::ScheduleConfig};
use facegrad_backbones::BackboneConfig;
use facegrad_faces::SourcesConfig;
use facegrad_loader::{LoaderConfig, SamplerConfig};
use facegrad_losses::{
    AuxiliaryConfig, ClassHeadConfig, CriterionConfig, HeadConfig, Progress, RegularisationConfig,
};
use facegrad_pictures::AugmentationConfig;
use facegrad_recognition::{EvaluationConfig, ImageNeed};
use facegrad_settings::{
    Override, Setting, SettingsError, UnusedKey, above, apply_overrides, at_least, settings, toml,
};

settings! {
    /// What to train, for how long, and what to write down.
    pub struct RunConfig {
        /// Name of the run folder.
        name: String = "run".into();
        /// Folder in which run folders are made.
        folder: PathBuf = "checkpoints".into();
        /// Decides initial weights, data order and augmentation.
        seed: u64 = 1;
        /// Passes over the training data; give this or steps.
        epochs: Option<f64> = None, above(0.0);
        /// Optimizer steps; give this or epochs.
        steps: Option<usize> = None, at_least(1);
        /// Images in a step.
        batch: usize = 64, at_least(2);
        /// Steps between two lines of the log.
        log_every: usize = 10, at_least(1);
        /// How often to evaluate, beside before the first and after the last step.
        evaluate_every: Every = Every::Epochs(1.0), above(0.0);
        /// How often to write a checkpoint, beside after the last step and when a model is the best so far.
        checkpoint_every: Every = Every::Epochs(1.0), above(0.0);
        /// Checkpoints kept beside the best one.
        keep: usize = 2, at_least(1);
        /// The evaluation whose accuracy decides which checkpoint is the best; without it the first one.
        select_by: Option<String> = None;
    }
}

settings! {
    /// The training images and how they reach the network.
    pub struct DataConfig {
        /// Where training images come from; several sections, `[[data.train]]`, for several sets.
        train: SourcesConfig = SourcesConfig::default();
        /// Height and width of the network's input, in pixels.
        size: [usize; 2] = [112, 112], at_least(16).up_to(1024);
        /// Decoding ahead of the trainer.
        loader: LoaderConfig = LoaderConfig::default();
    }
}

settings! {
    /// A whole experiment.
    pub struct Experiment {
        /// What to train, for how long, and what to write down.
        run: RunConfig = RunConfig::default();
        /// The training images and how they reach the network.
        data: DataConfig = DataConfig::default();
        /// Which images make a batch.
        sampler: SamplerConfig = SamplerConfig::default();
        /// How training images are changed.
        augmentation: AugmentationConfig = AugmentationConfig::default();
        /// The network.
        backbone: BackboneConfig = BackboneConfig::Nano(Default::default());
        /// How embeddings become logits of the identities, or a loss.
        head: HeadConfig = HeadConfig::Classes(ClassHeadConfig::ArcFace(Default::default()));
        /// How logits become a loss; without it as in the paper of the head.
        criterion: Option<CriterionConfig> = None;
        /// Losses on the embeddings beside the head's.
        auxiliary: Vec<AuxiliaryConfig> = Vec::new();
        /// Penalties on the size of parameters.
        regularisation: Vec<RegularisationConfig> = Vec::new();
        /// How gradients become steps.
        optimizer: OptimizerConfig = OptimizerConfig::default();
        /// How the learning rate changes over the run.
        schedule: ScheduleConfig = ScheduleConfig::default();
        /// Verification tests.
        evaluation: Vec<EvaluationConfig> = Vec::new();
    }
}

/// Why an experiment cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", path.display())]
    NotToml {
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        message: String,
    },
    /// A key or a value is wrong.
    #[error("{}: {source}", path.display())]
    Settings { path: PathBuf, source: Box<SettingsError> },
}

/// Longest config file that is read; a config is a page of text.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

impl Experiment {
    /// Reads a config file and applies `--set` overrides; also returns the keys an override left out.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<(Self, Vec<UnusedKey>), ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
        let text = facegrad_files::read_text_bounded(path, MAX_CONFIG_BYTES).map_err(unreadable)?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..before].iter().filter(|b| **b == b'\n').count() + 1;
            ConfigError::NotToml {
                path: path.into(),
                line,
                message: error.message().trim().replace('\n', ", "),
            }
        })?;
        Self::resolve(table, overrides)
            .map_err(|source| ConfigError::Settings { path: path.into(), source: Box::new(source) })
    }

    /// An experiment from a parsed config and overrides.
    pub fn resolve(
        mut table: toml::Table,
        overrides: &[Override],
    ) -> Result<(Self, Vec<UnusedKey>), SettingsError> {
        let mut left_out = Vec::new();
        // How long to train is said in one of two ways; the command line's takes the place of the file's.
        for (given, other) in [("steps", "epochs"), ("epochs", "steps")] {
            let names = |key| overrides.iter().any(|o| o.key() == format!("run.{key}"));
            let run = table.get_mut("run").and_then(toml::Value::as_table_mut);
            if names(given) && !names(other) && run.is_some_and(|run| run.remove(other).is_some()) {
                let why = format!("run.{given} takes its place");
                left_out.push(UnusedKey { key: format!("run.{other}"), why });
            }
        }
        left_out.extend(apply_overrides(&mut table, overrides, &Self::schema())?);
        let config = toml::Value::Table(table);
        let mut experiment = Self::read(&config, &"".into())?;
        experiment.validate()?;
        experiment.criterion = experiment.criterion.or_else(|| experiment.head.criterion());
        for (section, name, because) in experiment.idle_keys() {
            let key = format!("{section}.{name}");
            if config.get(section).is_none_or(|section| section.get(name).is_none()) {
                continue;
            }
            // What the command line switches off takes the keys of the file that belong to it along.
            if overrides.is_empty() || overrides.iter().any(|o| o.key() == key) {
                return Err(SettingsError::conflict(key, format!("has no effect {because}")));
            }
            left_out.push(UnusedKey { key, why: format!("it has no effect {because}") });
        }
        Ok((experiment, left_out))
    }

    /// The config as it would be written, every default that has an effect spelled out.
    pub fn to_toml(&self) -> String {
        let mut config = self.write().unwrap_or(toml::Value::Table(toml::Table::new()));
        for (section, key, _) in self.idle_keys() {
            if let Some(section) = config.get_mut(section).and_then(toml::Value::as_table_mut) {
                section.remove(key);
            }
        }
        toml::to_string(&config).unwrap_or_default()
    }

    /// Keys that have no effect because of other keys: section, key and why.
    fn idle_keys(&self) -> Vec<(&'static str, &'static str, String)> {
        let augmentation = self.augmentation.idle_keys().into_iter();
        let mut idle: Vec<_> = augmentation
            .map(|(key, switch)| ("augmentation", key, format!("with augmentation.{switch} = 0")))
            .collect();
        if self.evaluation.is_empty() {
            idle.push(("run", "evaluate_every", "without an [[evaluation]]".into()));
        }
        idle
    }

    /// How logits become a loss, for heads that make logits.
    pub(crate) fn criterion(&self) -> CriterionConfig {
        self.criterion.clone().or_else(|| self.head.criterion()).unwrap_or_default()
    }

    /// The loss to expect of `identities` before the first step from random unit features, where there is a
    /// formula for it: for the criterion of the head's paper and nothing beside it.
    pub fn expected_first_loss(&self, identities: usize) -> Option<f64> {
        let is_plain = self.auxiliary.is_empty()
            && self.regularisation.is_empty()
            && self.criterion.as_ref().is_none_or(|given| Some(given) == self.head.criterion().as_ref());
        let embedding = self.backbone.embedding_size();
        self.head.expected_first_loss(identities, embedding).filter(|_| is_plain)
    }

    /// The loss of features that tell nobody apart, for the head alone and under the criterion of its paper, where
    /// there is a formula for it.
    pub(crate) fn guessing_loss(&self, identities: usize, progress: Progress) -> Option<f64> {
        let is_plain =
            self.criterion.as_ref().is_none_or(|given| Some(given) == self.head.criterion().as_ref());
        self.head.guessing_loss(identities, self.run.batch, progress).filter(|_| is_plain)
    }

    /// Optimizer steps of the run, for epochs of `steps_per_epoch` steps.
    pub fn total_steps(&self, steps_per_epoch: usize) -> usize {
        match (self.run.steps, self.run.epochs) {
            (Some(steps), _) => steps,
            (None, Some(epochs)) => ((epochs * steps_per_epoch as f64).round() as usize).max(1),
            (None, None) => 0,
        }
    }

    /// How long the run is, as the config says it.
    pub(crate) fn length(&self) -> String {
        match (self.run.steps, self.run.epochs) {
            (Some(steps), _) => format!("run.steps = {steps}"),
            (None, epochs) => format!("run.epochs = {}", epochs.unwrap_or_default()),
        }
    }

    /// What makes the run twice as long as `steps`, for epochs of `steps_per_epoch` steps, as `--set` takes it.
    pub(crate) fn twice(&self, steps: usize, steps_per_epoch: usize) -> String {
        if self.run.steps.is_some() {
            return format!("run.steps={}", 2 * steps);
        }
        let epochs = 2.0 * steps as f64 / steps_per_epoch.max(1) as f64;
        format!("run.epochs={}", (epochs * 100.0).ceil() / 100.0)
    }

    /// Which losses go with which.
    fn validate_losses(&self) -> Result<(), SettingsError> {
        self.head.validate("head")?;
        let head = self.head.kind();
        let has_classes = matches!(self.head, HeadConfig::Classes(_));
        if !has_classes && self.criterion.is_some() {
            return Err(SettingsError::conflict(
                "criterion",
                format!("has no effect with head.kind = \"{head}\", which is a loss already; leave it out"),
            ));
        }
        let needs_pairs = |needs: bool, section: &str, kind: &str| {
            if !needs || self.sampler.makes_pairs() {
                return Ok(());
            }
            let problem = format!(
                "is \"{kind}\", which compares images of one person with others, and sampler.kind = \"{}\" seldom puts two of one person into a batch; add [sampler] with kind = \"pk\" and images = 4",
                self.sampler.kind()
            );
            Err(SettingsError::conflict(format!("{section}.kind"), problem))
        };
        needs_pairs(self.head.needs_pairs(), "head", head)?;
        for (i, AuxiliaryConfig { loss, .. }) in self.auxiliary.iter().enumerate() {
            let section = format!("auxiliary.{i}");
            loss.validate(&section)?;
            needs_pairs(loss.needs_pairs(), &section, loss.kind())?;
            if loss.needs_classes() && !has_classes {
                let kind = loss.kind();
                let problem = format!(
                    "is \"{kind}\", which needs a head with classes, such as softmax or arcface; head.kind is \"{head}\""
                );
                return Err(SettingsError::conflict(format!("{section}.kind"), problem));
            }
        }
        Ok(())
    }

    /// What no single key can say.
    fn validate(&self) -> Result<(), SettingsError> {
        match (self.run.steps, self.run.epochs) {
            (Some(_), Some(_)) => {
                return Err(SettingsError::conflict(
                    "run.steps",
                    "and run.epochs exclude each other; give one of them",
                ));
            }
            (None, None) => {
                return Err(SettingsError::Missing {
                    key: "run.epochs".into(),
                    expected: "say how long to train with run.epochs or run.steps".into(),
                });
            }
            _ => {}
        }
        let name = &self.run.name;
        if !is_folder_name(name) {
            return Err(SettingsError::conflict(
                "run.name",
                format!(
                    "is \"{name}\"; it names a folder, so it must be letters, digits, '-', '_', '.' and spaces"
                ),
            ));
        }
        self.data.train.validate(&"data.train".into())?;
        self.sampler.validate(self.run.batch)?;
        self.validate_losses()?;
        for (i, evaluation) in self.evaluation.iter().enumerate() {
            let at = |key: &str| format!("evaluation.{i}.{key}");
            let name = evaluation.name();
            if self.evaluation[..i].iter().any(|other| other.name() == name) {
                return Err(SettingsError::conflict(
                    at("name"),
                    format!("\"{name}\" is used twice; give each evaluation its own"),
                ));
            }
            evaluation.validate(&at, ImageNeed::Pixels)?;
        }
        if let Some(wanted) = &self.run.select_by
            && !self.evaluation.iter().any(|e| e.name() == *wanted)
        {
            let names: Vec<_> = self.evaluation.iter().map(|e| e.name()).collect();
            return Err(SettingsError::conflict(
                "run.select_by",
                format!(
                    "is \"{wanted}\", which no [[evaluation]] is called; there are: {}",
                    names.join(", ")
                ),
            ));
        }
        self.optimizer.validate()?;
        if self.optimizer.freezes_backbone() && matches!(self.head, HeadConfig::Embedding(_)) {
            let problem = format!(
                "is 0 and head.kind = \"{}\" has no weights of its own, so that no weight would move; give it more than 0",
                self.head.kind()
            );
            return Err(SettingsError::conflict("optimizer.backbone_factor", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_config_without_end_is_not_read() {
        let error = Experiment::load(Path::new("/dev/zero"), &[]).unwrap_err().to_string();
        assert_eq!(error, "cannot read the config /dev/zero: it is a device, and no regular file");
    }

    #[test]
    fn a_run_in_which_no_weight_can_move_is_refused() {
        let resolve =
            |text: &str| Experiment::resolve(format!("[run]\nepochs = 1\n{text}").parse().unwrap(), &[]);
        for kind in OptimizerConfig::KINDS {
            let optimizer = format!("[optimizer]\nkind = \"{kind}\"\nbackbone_factor = 0\n");
            assert!(resolve(&optimizer).is_ok());
            assert_eq!(
                resolve(&(optimizer.clone() + "head_factor = 0")).unwrap_err().to_string(),
                "optimizer.backbone_factor and optimizer.head_factor are both 0, so that no weight would move; give one of them more"
            );
            let triplet = "[sampler]\nkind = \"pk\"\n[head]\nkind = \"triplet\"";
            assert_eq!(
                resolve(&(optimizer + triplet)).unwrap_err().to_string(),
                "optimizer.backbone_factor is 0 and head.kind = \"triplet\" has no weights of its own, so that no weight would move; give it more than 0"
            );
        }
    }

    #[test]
    fn a_key_without_effect_is_refused_and_not_written() {
        let resolve =
            |text: &str| Experiment::resolve(text.parse().unwrap(), &[]).map(|(experiment, _)| experiment);
        for (text, sentence) in [
            (
                "[augmentation]\nblur_sigma = 1.0",
                "augmentation.blur_sigma has no effect with augmentation.blur = 0",
            ),
            (
                "[augmentation]\ncolour_jitter = 0.0\ncontrast = 0.1",
                "augmentation.contrast has no effect with augmentation.colour_jitter = 0",
            ),
            ("evaluate_every = 5", "run.evaluate_every has no effect without an [[evaluation]]"),
        ] {
            let error = resolve(&format!("[run]\nepochs = 1\n{text}")).unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
        let experiment = resolve("[run]\nepochs = 1\n[augmentation]\nblur = 0.1\nblur_sigma = 1.0").unwrap();
        let written = experiment.to_toml();
        assert!(written.contains("blur_sigma = 1.0") && !written.contains("erasing_area"), "{written}");
        assert_eq!(resolve(&written).unwrap(), experiment);
    }
}
