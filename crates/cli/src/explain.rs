//! `facegrad explain`: everything a config can say, from the structs that read it.

use std::{fmt::Write, process::ExitCode};

use facegrad::backbones::table;
use facegrad::losses::{
    CriterionConfig, EmbeddingLossConfig, HeadConfig, RegularisationConfig,
    functions::{FUNCTIONS, SYMBOLS},
};
use facegrad::settings::{Key, Kind, Schema, Setting, nearest};
use facegrad::training::Experiment;
use facegrad_results::{Align, TextTable};

use crate::{arguments::size, failure::Failure, say};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad explain\n          facegrad explain arcface --classes 10572\n          facegrad explain backbone --size 112x96\n          facegrad explain data.train"
)]
pub struct Args {
    /// A section (run, data.train, head …), a kind (arcface, iresnet18, cosine …) or a key (head.margin); nothing lists the sections.
    topic: Option<String>,
    /// Height and width in pixels for which `explain backbone` counts, such as 112 or 112x96.
    #[arg(long, default_value = "112", value_parser = size)]
    size: [usize; 2],
    /// Number of identities for which a head's expected first loss is given.
    #[arg(long, default_value_t = 1000)]
    classes: usize,
    /// Embedding size for which a head's expected first loss is given.
    #[arg(long, default_value_t = 512)]
    embedding: usize,
}

#[cfg(test)]
impl Args {
    pub fn size(&self) -> [usize; 2] {
        self.size
    }
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let root = Experiment::schema();
    let text = match args.topic.as_deref() {
        None => sections(&root),
        Some("backbone") => backbones(&args)?,
        Some("functions") => functions(),
        Some(topic) => explain(&root, topic, &args)?,
    };
    say!("{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn sections(root: &Schema) -> String {
    let mut table = TextTable::new(&[Align::Left]);
    for key in keys(root) {
        table.row([format!("[{}]", key.name), first_line(&key.doc).to_owned()]);
    }
    format!(
        "A config file has these sections. `facegrad explain SECTION` tells the keys of one.\n\n{table}\n`facegrad explain functions` lists loss functions that are no part of a config.\n"
    )
}

fn explain(root: &Schema, topic: &str, args: &Args) -> Result<String, Failure> {
    let parts: Vec<&str> = topic.split('.').collect();
    if let Some(schema) = parts.iter().try_fold(root, |schema, part| schema.child(part)) {
        return Ok(match schema {
            Schema::Value(_) => {
                let (parent, name) = parts.split_at(parts.len() - 1);
                let parent = parent.iter().try_fold(root, |schema, part| schema.child(part)).unwrap_or(root);
                keys(parent)
                    .iter()
                    .filter(|k| k.name == name[0])
                    .map(|k| key_lines(std::slice::from_ref(k)))
                    .collect()
            }
            _ => section(topic, schema),
        });
    }
    let mut found = Vec::new();
    find_kinds(root, "", &mut found);
    let (section_name, key_name) = topic.rsplit_once('.').unwrap_or(("", topic));
    // `auxiliary.triplet`: a kind that several sections have.
    if let Some((at, kind)) = found.iter().find(|(at, kind)| at == section_name && kind.name == key_name) {
        return Ok(explain_kind(at, kind, args));
    }
    // `head.margin`: a key of some kinds of a section.
    let with_key: Vec<_> = found
        .iter()
        .filter(|(at, _)| at == section_name)
        .filter_map(|(_, kind)| kind.keys.iter().find(|k| k.name == key_name).map(|key| (kind, key)))
        .collect();
    if !with_key.is_empty() {
        let mut text = String::new();
        for (kind, key) in with_key {
            let _ = write!(
                text,
                "{section_name}.kind = \"{}\"\n{}",
                kind.name,
                key_lines(std::slice::from_ref(key))
            );
        }
        return Ok(text);
    }
    if let Some((at, kind)) =
        found.iter().find(|(_, kind)| kind.name == topic || kind.aliases.contains(&topic))
    {
        return Ok(explain_kind(at, kind, args));
    }
    let mut names: Vec<String> = keys(root).iter().map(|k| k.name.to_owned()).collect();
    names.extend(found.iter().map(|(_, kind)| kind.name.to_owned()));
    let hint = match nearest(topic, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`facegrad explain` lists the sections".into(),
    };
    Err(Failure::input(format!("there is nothing called {topic} to explain; {hint}")))
}

fn section(name: &str, schema: &Schema) -> String {
    match schema {
        Schema::Value(what) => format!("{name}: {what}\n"),
        Schema::Section(keys) => format!("[{name}]\n{}", key_lines(keys)),
        Schema::List(inner) => format!("[[{name}]], any number of times\n{}", section(name, inner)),
        Schema::Kinds(kinds) => {
            let mut table = TextTable::new(&[Align::Left]);
            for kind in kinds {
                let names =
                    std::iter::once(&kind.name).chain(kind.aliases).copied().collect::<Vec<_>>().join(" | ");
                table.row([names, first_line(&kind.doc).to_owned()]);
            }
            format!("{name}.kind is one of\n\n{table}\n`facegrad explain KIND` tells the keys of one.\n")
        }
    }
}

fn explain_kind(at: &str, kind: &Kind, args: &Args) -> String {
    let mut text = format!("{at}.kind = \"{}\"\n{}\n", kind.name, kind.doc);
    let facts = facts(at, kind, args.classes.max(2), args.embedding.max(1));
    let width = facts.lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (number, (label, fact)) in facts.lines.iter().enumerate() {
        let gap = if number == 0 { "\n" } else { "" };
        let _ = writeln!(text, "{gap}{label:width$}  {}", indented(fact));
    }
    if let Some(loss) = facts.first_loss {
        let _ = writeln!(text, "{loss}");
    }
    if at == "head" && EmbeddingLossConfig::of_kind(kind.name).is_some() {
        let _ = writeln!(
            text,
            "also      [[auxiliary]] kind = \"{0}\" beside another head, with a weight: facegrad explain auxiliary.{0}",
            kind.name
        );
    }
    if kind.keys.is_empty() { text } else { format!("{text}\n{}", key_lines(&kind.keys)) }
}

/// What is known of a kind beside its keys.
pub struct Facts {
    /// The formula, where the gradient goes, the source: each with its name.
    pub lines: Vec<(&'static str, &'static str)>,
    /// The loss of a head to expect before the first step, as a sentence.
    pub first_loss: Option<String>,
}

/// What is known of a kind of the section at `at`, beside its keys.
pub fn facts(at: &str, kind: &Kind, classes: usize, embedding: usize) -> Facts {
    let mut facts = Facts { lines: Vec::new(), first_loss: None };
    if ["head", "auxiliary"].contains(&at)
        && let Some(head) = HeadConfig::of_kind(kind.name)
    {
        let description = head.description();
        facts.lines = vec![
            ("formula", description.formula),
            ("gradient", description.gradient),
            ("source", description.source),
        ];
        facts.first_loss = head.expected_first_loss(classes, embedding).map(|loss| {
            let criterion = head.criterion().map(|c| format!(", {}", c.kind())).unwrap_or_default();
            format!(
                "first loss with {classes} identities and embeddings of {embedding}: about {loss:.2} (random unit features{criterion})"
            )
        });
    }
    if at == "criterion"
        && let Some(criterion) = CriterionConfig::of_kind(kind.name)
    {
        facts.lines = vec![("formula", criterion.formula()), ("source", criterion.source())];
    }
    if at == "regularisation"
        && let Some(penalty) = RegularisationConfig::of_kind(kind.name)
    {
        facts.lines = vec![("formula", penalty.formula()), ("source", penalty.source())];
    }
    facts
}

/// The lines of a text that begins behind a word such as `formula`.
fn indented(text: &str) -> String {
    text.replace('\n', "\n          ")
}

/// Every kind below `schema`, with the path of its section.
fn find_kinds(schema: &Schema, at: &str, found: &mut Vec<(String, Kind)>) {
    let join = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match schema {
        Schema::Value(_) => {}
        Schema::Section(keys) => keys.iter().for_each(|key| find_kinds(&key.schema, &join(key.name), found)),
        Schema::List(inner) => find_kinds(inner, at, found),
        Schema::Kinds(kinds) => {
            for kind in kinds {
                found.push((at.to_owned(), kind.clone()));
                kind.keys.iter().for_each(|key| find_kinds(&key.schema, &join(key.name), found));
            }
        }
    }
}

pub fn keys(schema: &Schema) -> &[Key] {
    match schema {
        Schema::Section(keys) => keys,
        Schema::List(inner) => keys(inner),
        Schema::Value(_) | Schema::Kinds(_) => &[],
    }
}

/// What a key may be: type, range and default, in words.
pub fn value_of(key: &Key) -> String {
    let what = match &key.schema {
        Schema::Value(what) => what.clone(),
        Schema::Section(_) => "a section of its own, with the keys below".into(),
        Schema::Kinds(_) => "a section of its own".into(),
        Schema::List(_) => "a list of sections".into(),
    };
    let is_value = matches!(key.schema, Schema::Value(_));
    let default = match key.default.as_str() {
        "" => ", may be left out".into(),
        _ if !is_value => String::new(),
        default => format!(", default {default}"),
    };
    let range = key.range.as_ref().map(|range| format!(", {range}")).unwrap_or_default();
    format!("{what}{range}{default}")
}

fn key_lines(keys: &[Key]) -> String {
    let mut text = String::new();
    for key in keys {
        let what = value_of(key);
        let doc = key.doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "  {}: {what}\n      {doc}", key.name);
        for (word, meaning) in key.choices.iter().filter(|(_, meaning)| !meaning.is_empty()) {
            let meaning = meaning.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            let _ = writeln!(text, "        \"{word}\": {meaning}");
        }
        // Small sections, such as a schedule of λ, are part of their owner.
        if let Schema::Section(keys) = &key.schema
            && keys.iter().all(|key| matches!(key.schema, Schema::Value(_)))
        {
            for line in key_lines(keys).lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    text
}

fn functions() -> String {
    let mut rows = TextTable::new(&[Align::Left]);
    for function in FUNCTIONS {
        rows.row([function.name.to_owned(), function.formula.to_owned(), function.doc.to_owned()]);
    }
    format!(
        "Losses of regression and of classification by a margin, as functions of the crate facegrad-losses; {SYMBOLS}.\n\n{rows}"
    )
}

fn backbones(args: &Args) -> Result<String, Failure> {
    let [height, width] = args.size;
    let mut rows = TextTable::new(&[Align::Left, Align::Right, Align::Right, Align::Left]);
    rows.row(["backbone.kind", "parameters", "multiply-adds", "what it is"]);
    for row in table(args.size) {
        rows.row([
            row.kind.to_owned(),
            format!("{:.2} M", row.cost.parameters as f64 / 1e6),
            format!("{:.3} G", row.cost.multiply_adds as f64 / 1e9),
            format!("{} {}", row.doc, row.source),
        ]);
    }
    Ok(format!(
        "At {height}x{width} pixels, with default keys; multiply-adds of convolutions and linear layers.\n\n{rows}\n`facegrad explain KIND` tells the keys of one.\n"
    ))
}

fn first_line(doc: &str) -> &str {
    doc.lines().next().unwrap_or_default()
}
