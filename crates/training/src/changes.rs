//! What differs between the config that a checkpoint was written with and the one that its run goes on with.

use std::{collections::BTreeMap, fmt};

use facegrad_devices::Chosen;
use facegrad_settings::toml::{Table, Value};

use crate::{
    config::Experiment,
    error::TrainError,
    recognizer::{Shapes, parameter_shapes},
};

/// Changed keys that are named; more are counted.
const NAMED: usize = 8;

/// A key that has another value than before, or is on one side only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) key: String,
    was: Option<Value>,
    now: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, was {}", self.key, in_words(&self.now), in_words(&self.was))
    }
}

fn in_words(value: &Option<Value>) -> String {
    value.as_ref().map_or("not given".into(), Value::to_string)
}

/// The keys that differ, in the order of the alphabet; those of evaluations, which change nothing of the training, last.
pub(crate) fn changes(was: &Table, now: &Table) -> Vec<Change> {
    let (was, now) = (keys(was), keys(now));
    let mut all: Vec<&String> = was.keys().chain(now.keys()).collect();
    all.sort_unstable_by_key(|key| (key.starts_with("evaluation."), *key));
    all.dedup();
    let change = |key: &String| Change {
        key: key.clone(),
        was: was.get(key).map(|value| (*value).clone()),
        now: now.get(key).map(|value| (*value).clone()),
    };
    all.into_iter().map(change).filter(|change| change.was != change.now).collect()
}

/// Every key as `--set` names it, such as `evaluation.0.name`, with its value.
fn keys(table: &Table) -> BTreeMap<String, &Value> {
    fn add<'a>(key: String, value: &'a Value, to: &mut BTreeMap<String, &'a Value>) {
        match value {
            Value::Table(table) => {
                table.iter().for_each(|(name, value)| add(format!("{key}.{name}"), value, to))
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                items.iter().enumerate().for_each(|(i, item)| add(format!("{key}.{i}"), item, to));
            }
            // A list of sections that is empty has no keys.
            Value::Array(items) if items.is_empty() => {}
            value => drop(to.insert(key, value)),
        }
    }
    let mut all = BTreeMap::new();
    table.iter().for_each(|(name, value)| add(name.clone(), value, &mut all));
    all
}

/// The changes, named.
pub(crate) fn listed(changes: &[Change]) -> String {
    let mut named: Vec<String> = changes.iter().take(NAMED).map(Change::to_string).collect();
    if changes.len() > NAMED {
        named.push(format!("and {} more", changes.len() - NAMED));
    }
    named.join("; ")
}

/// The config that a checkpoint was written with.
pub(crate) struct Before {
    keys: Table,
    /// None where this version refuses it.
    pub(crate) experiment: Option<Experiment>,
}

impl Before {
    /// Of a config as [`Experiment::to_toml`] writes it; none where that is no config, as in checkpoints that have none.
    pub(crate) fn read(config: &str) -> Option<Self> {
        let keys: Table = config.parse().ok().filter(|keys: &Table| !keys.is_empty())?;
        let experiment = Experiment::resolve(keys.clone(), &[]).ok().map(|(experiment, _)| experiment);
        // In the words of this version, so that a key it has beside, at its default, is no change.
        let again = experiment.as_ref().and_then(|experiment| experiment.to_toml().parse().ok());
        Some(Self { keys: again.unwrap_or(keys), experiment })
    }

    /// What `now` has changed.
    pub(crate) fn changes(&self, now: &Experiment) -> Vec<Change> {
        now.to_toml().parse().map(|now| changes(&self.keys, &now)).unwrap_or_default()
    }
}

/// Refuses `changes` that the weights of a checkpoint cannot go on with, before anything is opened or built.
///
/// # Errors
/// Names the key.
pub(crate) fn check_weights(
    changes: &[Change],
    was: &Experiment,
    now: &Experiment,
    chosen: &Chosen,
) -> Result<(), TrainError> {
    let of = |section: &str| {
        let mut keys = changes.iter().filter(|change| change.key.starts_with(section));
        let kind = keys.clone().find(|change| change.key.ends_with(".kind"));
        kind.or_else(|| keys.find(|change| change.key != "backbone.dropout"))
    };
    let (were, are) = (loss_weights(was, chosen)?, loss_weights(now, chosen)?);
    let fixed = [
        of("backbone.").map(|change| (change, "its weights are of that network")),
        of("data.size").map(|change| (change, "its weights are for images of that size")),
        of("head.").filter(|_| were[0] != are[0]).map(|change| (change, "its weights are of that head")),
        of("auxiliary.").filter(|_| were[1] != are[1]).map(|change| (change, "its weights are of that loss")),
    ];
    let Some((Change { key, was, now }, why)) = fixed.into_iter().flatten().next() else { return Ok(()) };
    let was = was.as_ref().map_or("without".into(), |was| format!("with {was}"));
    Err(TrainError::FixedKey { key: key.clone(), was, now: in_words(now), why })
}

/// Names and shapes of the weights of the head and of the losses beside it, as for two identities.
fn loss_weights(experiment: &Experiment, chosen: &Chosen) -> Result<[Shapes; 2], TrainError> {
    const IDENTITIES: usize = 2;
    let (embedding, seed) = (experiment.backbone.embedding_size(), experiment.run.seed);
    let head = experiment.head.init(IDENTITIES, embedding, seed, &chosen.device)?;
    let auxiliary = experiment.auxiliary.iter();
    let auxiliary: Vec<_> =
        auxiliary.map(|loss| loss.init(IDENTITIES, embedding, seed, &chosen.device)).collect();
    Ok([parameter_shapes(&head), parameter_shapes(&auxiliary)])
}

#[cfg(test)]
mod tests {
    use facegrad_devices::{Backend, choose};

    use super::*;

    const CONFIG: &str = r#"
        run = { epochs = 4, batch = 8 }
        data = { size = [20, 20], train = { kind = "synthetic" } }
        backbone = { kind = "nano", width = 0.5 }
        head = { kind = "arcface", scale = 32.0 }
        [[evaluation]]
        kind = "drawn_pairs"
        source = { kind = "synthetic" }
    "#;

    fn experiment(changes: &[&str]) -> Experiment {
        let changes: Vec<_> = changes.iter().map(|change| change.parse().unwrap()).collect();
        Experiment::resolve(CONFIG.parse().unwrap(), &changes).unwrap().0
    }

    fn changed(set: &[&str]) -> Vec<Change> {
        Before::read(&experiment(&[]).to_toml()).unwrap().changes(&experiment(set))
    }

    #[test]
    fn every_changed_key_is_named_with_both_values() {
        assert_eq!(changed(&[]), []);
        assert_eq!(
            listed(&changed(&["run.batch=16", "evaluation.0.folds=3", "head.scale=16", "run.steps=9"])),
            "head.scale is 16.0, was 32.0; run.batch is 16, was 8; run.epochs is not given, was 4.0; \
             run.steps is 9, was not given; evaluation.0.folds is 3, was 10"
        );
        let many = listed(&changed(&["optimizer.kind=adamw", "schedule.kind=step", "sampler.kind=pk"]));
        assert_eq!(many.matches(", was ").count(), NAMED, "{many}");
        assert!(many.ends_with(" more"), "{many}");
    }

    #[test]
    fn a_key_that_another_version_had_is_a_change_and_one_that_it_lacked_is_none() {
        let config = experiment(&[]).to_toml();
        let lacking = config.replace("keep = 2\n", "");
        assert_ne!(lacking, config);
        assert_eq!(Before::read(&lacking).unwrap().changes(&experiment(&[])), []);
        let before = Before::read(&config.replace("keep = 2\n", "kept = 2\n")).unwrap();
        assert_eq!(
            listed(&before.changes(&experiment(&[]))),
            "run.keep is 2, was not given; run.kept is not given, was 2"
        );
        assert!(Before::read("no config").is_none() && Before::read("").is_none());
    }

    #[test]
    fn what_weights_are_made_for_stays() {
        let chosen = choose(Backend::Flex, None).unwrap();
        let check = |set: &[&str]| {
            let check = check_weights(&changed(set), &experiment(&[]), &experiment(set), &chosen);
            check.err().map(|error| error.to_string())
        };
        for (set, sentence) in [
            (
                "data.size=[24, 24]",
                "data.size is [24, 24], and the checkpoint was trained with [20, 20]: its weights are for images of that size; ",
            ),
            (
                "backbone.width=0.25",
                "backbone.width is 0.25, and the checkpoint was trained with 0.5: its weights are of that network; ",
            ),
            ("backbone.embedding=64", "backbone.embedding is 64, and the checkpoint was trained with 256: "),
            (
                "backbone.kind=mobilefacenet",
                "backbone.kind is \"mobilefacenet\", and the checkpoint was trained with \"nano\": ",
            ),
            (
                "head.kind=softmax",
                "head.kind is \"softmax\", and the checkpoint was trained with \"arcface\": its weights are of that head; ",
            ),
            (
                "auxiliary=[{kind=\"center\"}]",
                "auxiliary.0.kind is \"center\", and the checkpoint was trained without: its weights are of that loss; ",
            ),
        ] {
            let said = check(&[set]).unwrap_or_default();
            assert!(said.starts_with(sentence), "{said}");
        }
        for set in [
            "head.scale=16",
            "head.margin=0.3",
            "backbone.dropout=0.2",
            "optimizer.kind=adamw",
            "run.batch=4",
        ] {
            assert_eq!(check(&[set]), None);
        }
        // One that has no weights may come and go.
        assert_eq!(check(&["sampler.kind=pk", "auxiliary=[{kind=\"triplet\"}]"]), None);
    }
}
