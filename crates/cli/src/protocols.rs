//! Which protocols a command measures: arguments, a config, or those of the run.

use std::path::{Path, PathBuf};

use facegrad::recognition::{EvaluationConfig, ImageNeed};
use facegrad::settings::{
    Schema, Setting,
    toml::{Table, Value},
};
use facegrad::training::Experiment;
use facegrad::verification::Flip;
use facegrad_files::name_of;

use crate::{arguments::file_to_read, failure::Failure};

/// The arguments that say what to measure.
#[derive(clap::Args, Clone)]
pub struct ProtocolArgs {
    /// A protocol and its keys, as `facegrad explain evaluation` lists them; may be given several times.
    /// Without any, those of --config, or else of the run that the model comes from.
    #[arg(long = "protocol", value_name = "KIND:KEY=VALUE,…")]
    protocols: Vec<String>,
    /// Short for --protocol pair_file: a pair file, LFW's View 1 or View 2, or a list `path path 0/1`.
    #[arg(long, value_parser = file_to_read())]
    pairs: Option<PathBuf>,
    /// The folder that holds the images of --pairs, or of the lists --gallery and --probes; or a set of another kind (.rec,
    /// tar shards, …), whose images these name as `facegrad data pairs` does.
    #[arg(long)]
    images: Option<PathBuf>,
    /// A pair file to choose the threshold of --pairs on (LFW View 1: pairsDevTrain.txt); without it the best
    /// threshold on the other folds, or with a single fold on the same pairs, which the result says.
    #[arg(long, requires = "pairs", value_parser = file_to_read())]
    threshold_pairs: Option<PathBuf>,
    /// Short for --protocol insightface_bin: verification sets in insightface's format.
    #[arg(long, value_name = "FILE", value_parser = file_to_read())]
    bin: Vec<PathBuf>,
    /// Short for --protocol identification, with --probes: the people that probes are searched among, a folder with one
    /// folder of images a person, or with one image a person, or a list of lines `path identity`.
    #[arg(long, value_name = "LIST OR FOLDER", requires = "probes", value_parser = file_to_read())]
    gallery: Option<PathBuf>,
    /// The probes of --gallery, in the same form; those whose person is not in the gallery are strangers.
    #[arg(long, value_name = "LIST OR FOLDER", requires = "gallery", value_parser = file_to_read())]
    probes: Option<PathBuf>,
    /// A config file whose [[evaluation]] sections are measured.
    #[arg(long, conflicts_with_all = ["protocols", "pairs", "bin", "gallery"], value_parser = file_to_read())]
    config: Option<PathBuf>,
    /// How an image and its mirror image become one embedding, in every protocol: none, add, norm_weighted,
    /// unit, concat.
    #[arg(long)]
    flip: Option<String>,
    /// How embeddings are compared, in every protocol: head (by the rule of the loss), cosine, euclidean.
    #[arg(long)]
    score: Option<String>,
    /// What is subtracted from embeddings before: none, other_folds (the mean of the other folds).
    #[arg(long)]
    centring: Option<String>,
    /// What becomes of images that are not there or cannot be read, in every protocol with a list of images: error, skip
    /// (what they are compared in is left out and counted), wrong (it counts as an error at every threshold).
    #[arg(long)]
    missing: Option<String>,
}

impl ProtocolArgs {
    /// The files that are read.
    pub fn lists(&self) -> impl Iterator<Item = &Path> {
        let single = [&self.pairs, &self.threshold_pairs, &self.gallery, &self.probes, &self.config];
        single.into_iter().flatten().chain(&self.bin).map(PathBuf::as_path)
    }

    /// Whether --flip is given.
    pub fn sets_flip(&self) -> bool {
        self.flip.is_some()
    }

    /// The flip fusions that --flip and the keys of --protocol ask for, each with the argument that does.
    pub fn asked_flips(&self) -> Result<Vec<(String, Flip)>, Failure> {
        let mut asked = Vec::new();
        if let Some(flip) = &self.flip {
            asked.push((format!("--flip {flip}"), flip.clone()));
        }
        for argument in &self.protocols {
            if let Some(flip) = parse(argument)?.get("flip").and_then(Value::as_str) {
                asked.push((format!("--protocol {argument}"), flip.to_owned()));
            }
        }
        // What is no flip fusion is told of with the other keys.
        Ok(asked.into_iter().filter_map(|(by, flip)| Some((by, flip.parse().ok()?))).collect())
    }

    /// The protocols asked for; `model` is where to look for those of its run.
    pub fn configs(&self, model: &Path, wanted: ImageNeed) -> Result<Vec<EvaluationConfig>, Failure> {
        let mut sections = Vec::new();
        if let Some(pairs) = &self.pairs {
            let mut table = Table::new();
            table.insert("kind".into(), "pair_file".into());
            table.insert("pairs".into(), name_of(pairs).into());
            for (key, path) in [("images", &self.images), ("threshold_pairs", &self.threshold_pairs)] {
                if let Some(path) = path {
                    table.insert(key.into(), name_of(path).into());
                }
            }
            sections.push(("--pairs".to_owned(), table));
        }
        for file in &self.bin {
            let mut table = Table::new();
            table.insert("kind".into(), "insightface_bin".into());
            table.insert("file".into(), name_of(file).into());
            sections.push(("--bin".into(), table));
        }
        if let (Some(gallery), Some(probes)) = (&self.gallery, &self.probes) {
            let mut table = Table::new();
            table.insert("kind".into(), "identification".into());
            for (key, path) in
                [("gallery", Some(gallery)), ("probes", Some(probes)), ("images", self.images.as_ref())]
            {
                if let Some(path) = path {
                    table.insert(key.into(), name_of(path).into());
                }
            }
            sections.push(("--gallery".into(), table));
        }
        if self.images.is_some() && self.pairs.is_none() && self.gallery.is_none() {
            return Err(Failure::input(
                "--images is the folder of the images of --pairs, or of --gallery and --probes, and neither is given",
            ));
        }
        for argument in &self.protocols {
            sections.push((format!("--protocol {argument}"), parse(argument)?));
        }
        if sections.is_empty() {
            sections = self.of_config(model)?;
        }
        self.override_keys(&mut sections)?;
        let configs = sections.into_iter().map(|(from, table)| {
            let named = |error: &dyn std::fmt::Display| Failure::input(format!("{from}: {error}"));
            let config = EvaluationConfig::read(&Value::Table(table), &"".into()).map_err(|e| named(&e))?;
            config.validate(&str::to_owned, wanted).map_err(|e| named(&e))?;
            Ok(config)
        });
        configs.collect()
    }

    fn of_config(&self, model: &Path) -> Result<Vec<(String, Table)>, Failure> {
        let config = match &self.config {
            Some(config) => config.clone(),
            None => {
                // A run folder, a checkpoint in it, or a file of that.
                let of_run = model.ancestors().take(3).map(|folder| folder.join("config.toml"));
                of_run.into_iter().find(|path| path.is_file()).ok_or_else(|| {
                    Failure::input(format!(
                        "{} belongs to no run with a config.toml; say what to measure with --protocol, --pairs, --bin, --gallery or --config",
                        model.display()
                    ))
                })?
            }
        };
        let (experiment, _) = Experiment::load(&config, &[])?;
        if experiment.evaluation.is_empty() {
            return Err(Failure::input(format!("{} has no [[evaluation]]", config.display())));
        }
        let sections = experiment.evaluation.iter().enumerate().filter_map(|(i, evaluation)| {
            let Some(Value::Table(table)) = evaluation.write() else { return None };
            Some((format!("{}: evaluation.{i}", config.display()), table))
        });
        Ok(sections.collect())
    }

    /// Sets what the flags say wherever a protocol has such a key.
    fn override_keys(&self, sections: &mut [(String, Table)]) -> Result<(), Failure> {
        let flags = [
            ("flip", &self.flip),
            ("score", &self.score),
            ("centring", &self.centring),
            ("missing", &self.missing),
        ];
        for (key, value) in flags {
            let Some(value) = value else { continue };
            let mut taken = false;
            for (_, table) in sections.iter_mut() {
                let kind = table.get("kind").and_then(Value::as_str).unwrap_or_default();
                if has_key(kind, key) {
                    table.insert(key.into(), value.as_str().into());
                    taken = true;
                }
            }
            if !taken {
                return Err(Failure::input(format!(
                    "--{key} has no effect: none of these protocols has the key {key}"
                )));
            }
        }
        Ok(())
    }
}

fn has_key(kind: &str, key: &str) -> bool {
    let Schema::Kinds(kinds) = EvaluationConfig::schema() else { return false };
    let kind = kinds.iter().find(|k| k.name == kind || k.aliases.contains(&kind));
    kind.is_some_and(|kind| kind.keys.iter().any(|k| k.name == key))
}

/// `kind:key=value,key=value` as a table; values are TOML, or text where they are none.
fn parse(argument: &str) -> Result<Table, Failure> {
    let (kind, keys) = argument.split_once(':').unwrap_or((argument, ""));
    let mut table = Table::new();
    for pair in keys.split(',').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::input(format!(
                "--protocol {argument}: \"{pair}\" is no key=value; protocols are written kind:key=value,key=value"
            )));
        };
        let value: Value = format!("value = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| if table.len() == 1 { table.remove("value") } else { None })
            .unwrap_or_else(|| value.into());
        let mut keys: Vec<&str> = key.trim().split('.').collect();
        let last = keys.pop().unwrap_or_default();
        let mut here = &mut table;
        for key in keys {
            let below = here.entry(key).or_insert_with(|| Value::Table(Table::new()));
            here = below.as_table_mut().ok_or_else(|| {
                Failure::input(format!(
                    "--protocol {argument}: {key} is a single value and has no keys below it"
                ))
            })?;
        }
        here.insert(last.into(), value);
    }
    table.insert("kind".into(), kind.into());
    Ok(table)
}
