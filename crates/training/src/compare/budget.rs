//! What a comparison holds equal, and whether it does.

use std::collections::BTreeMap;

use facegrad_settings::{Setting, toml::Value};

use super::Entry;

/// What is compared, and what a comparison decides for all.
const LOSS: [&str; 4] = ["head", "criterion", "auxiliary", "regularisation"];

/// What changes no result.
const HARMLESS: [&str; 12] = [
    "run.name",
    "run.folder",
    "run.seed",
    "run.steps",
    "run.epochs",
    "run.log_every",
    "run.evaluate_every",
    "run.checkpoint_every",
    "run.keep",
    "run.select_by",
    "data.loader.workers",
    "data.loader.queue",
];

/// More configs than these are counted, not listed.
const LISTED: usize = 4;

/// The keys beside the loss in which the configs differ, each as a clause such as
/// `run.batch is 64, but 32 in triplet`.
pub(super) fn differences(entries: &[Entry], evaluation: &str) -> Vec<String> {
    let all: Vec<BTreeMap<String, String>> = entries.iter().map(|entry| keys(entry, evaluation)).collect();
    let mut names: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let differs = |key: &str| all.iter().any(|keys| keys.get(key) != all[0].get(key));
    // Another kind has other keys: it is enough to name the kind.
    let kinds: Vec<&str> =
        names.iter().filter(|key| differs(key)).filter_map(|key| key.strip_suffix("kind")).collect();
    let is_implied =
        |key: &str| !key.ends_with("kind") && kinds.iter().any(|section| key.starts_with(section));
    let named = names.into_iter().filter(|key| differs(key) && !is_implied(key));
    named.map(|key| clause(key, entries, &all)).collect()
}

/// Every key of a config that should be equal, with its value.
fn keys(entry: &Entry, evaluation: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let Some(Value::Table(mut config)) = entry.experiment.write() else { return keys };
    config.retain(|section, _| {
        let section: &str = section;
        !LOSS.contains(&section) && section != "evaluation"
    });
    let compared = entry.experiment.evaluation.iter().find(|e| e.name() == evaluation);
    if let Some(evaluation) = compared.and_then(Setting::write) {
        config.insert("evaluation".into(), evaluation);
    }
    flatten("", &Value::Table(config), &mut keys);
    keys.retain(|key, _| !HARMLESS.contains(&key.as_str()));
    keys
}

/// Adds each value below `at` under its whole key, entries of lists of tables counted from 0.
fn flatten(at: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(name, value)| flatten(&below(name), value, keys)),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&below(&i.to_string()), item, keys));
        }
        // Not all digits of a number like 1e30.
        Value::Float(value) => {
            keys.insert(at.into(), format!("{value:?}"));
        }
        value => {
            keys.insert(at.into(), value.to_string());
        }
    }
}

/// The value that most configs have, and which have others.
fn clause(key: &str, entries: &[Entry], all: &[BTreeMap<String, String>]) -> String {
    let value = |keys: &BTreeMap<String, String>| keys.get(key).map_or("not set".to_owned(), String::clone);
    // In the order of the configs, so that of equally many the first stands in front.
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (entry, keys) in entries.iter().zip(all) {
        let value = value(keys);
        match groups.iter_mut().find(|(other, _)| *other == value) {
            Some((_, names)) => names.push(&entry.name),
            None => groups.push((value, vec![&entry.name])),
        }
    }
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let list = |(value, names): &(String, Vec<&str>)| {
        let more = names.len().saturating_sub(LISTED);
        let shown = names[..names.len() - more].join(", ");
        if more == 0 { format!("{value} in {shown}") } else { format!("{value} in {shown} and {more} more") }
    };
    let others: Vec<String> = groups[1..].iter().map(list).collect();
    format!("{key} is {}, but {}", groups[0].0, others.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;

    fn entry(name: &str, text: &str) -> Entry {
        let evaluations = "[[evaluation]]\nkind = \"drawn_pairs\"\nname = \"a\"\n";
        let text = format!("{text}\n{evaluations}");
        let (experiment, _) = Experiment::resolve(text.parse().unwrap(), &[]).unwrap();
        Entry { name: name.into(), experiment }
    }

    #[test]
    fn the_loss_and_what_changes_nothing_may_differ() {
        let entries = [
            entry("a", "[run]\nsteps = 10\nlog_every = 3\n[head]\nkind = \"softmax\""),
            entry(
                "b",
                "[run]\nepochs = 2\n[head]\nkind = \"arcface\"\nmargin = 0.2\n[data.loader]\nworkers = 1",
            ),
        ];
        assert_eq!(differences(&entries, "a"), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_equal_is_named_once() {
        let entries = [
            entry("a", "[run]\nsteps = 10\nbatch = 16"),
            entry("b", "[run]\nsteps = 10\nbatch = 32"),
            entry("c", "[run]\nsteps = 10\nbatch = 32\n[optimizer]\nkind = \"adamw\""),
        ];
        assert_eq!(
            differences(&entries, "a"),
            ["optimizer.kind is \"sgd\", but \"adamw\" in c", "run.batch is 32, but 16 in a",]
        );
    }

    #[test]
    fn many_configs_are_counted() {
        let mut entries: Vec<Entry> =
            (0..7).map(|i| entry(&format!("c{i}"), "[run]\nsteps = 10\nbatch = 16")).collect();
        entries.extend((0..6).map(|i| entry(&format!("d{i}"), "[run]\nsteps = 10\nbatch = 8")));
        assert_eq!(differences(&entries, "a"), ["run.batch is 16, but 8 in d0, d1, d2, d3 and 2 more"]);
    }
}
