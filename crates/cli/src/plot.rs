//! `facegrad plot`: pictures for documents.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::losses::{Curve, HeadConfig};
use facegrad::settings::{Kind, Override, Schema, Setting, apply_overrides, nearest, toml};
use facegrad::training::Experiment;
use facegrad_report::LogitCurve;

use crate::{
    failure::{Failure, write_file},
    say,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Draw heads as functions of the angle: target logits, and the decision margin between two classes.
    Logits(LogitsArgs),
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad plot logits --heads arcface,cosface,softmax --out logits.svg\n          facegrad plot logits --heads arcface,cosface --set head.margin=0.3 > logits.svg"
)]
pub struct LogitsArgs {
    /// The heads to draw, as `facegrad explain head` names them.
    #[arg(long, value_delimiter = ',', required = true)]
    heads: Vec<String>,
    /// Set a key of every head that has it, such as head.margin=0.4; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The SVG file to write; without it, the picture goes to standard output.
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
}

pub fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Logits(args) => logits(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the target is, in radians, for heads whose other logits depend on it.
const BESIDE_TARGET_AT: f64 = std::f64::consts::FRAC_PI_3;

fn logits(args: &LogitsArgs) -> Result<(), Failure> {
    args.out.as_deref().map_or(Ok(()), |file| check_file("--out", file))?;
    let heads = heads(&args.heads, &args.overrides)?;
    let others: Vec<_> =
        heads.iter().map(|(_, curve)| |theta| (curve.other)(theta, BESIDE_TARGET_AT)).collect();
    let curves: Vec<LogitCurve> = (heads.iter().zip(&others))
        .map(|((name, curve), other)| LogitCurve { name, target: &curve.target, other })
        .collect();
    let svg = facegrad_report::logits(&curves).to_svg();
    match &args.out {
        Some(file) => write_file(file, svg.as_bytes()),
        None => {
            say!("{}", svg.trim_end());
            Ok(())
        }
    }
}

/// The heads called `names` as curves, each with the overrides of keys that it has; its label tells those.
fn heads(names: &[String], overrides: &[String]) -> Result<Vec<(String, Curve)>, Failure> {
    let Schema::Kinds(known) = HeadConfig::schema() else { unreachable!("heads are declared as kinds") };
    let kinds: Vec<&Kind> = names.iter().map(|name| kind(name, &known)).collect::<Result<_, _>>()?;
    if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(Failure::input(format!("--heads names {twice} twice; once is enough")));
    }
    let mut tables: Vec<toml::Table> = names
        .iter()
        .map(|name| toml::Table::from_iter([("kind".into(), name.as_str().into())]))
        .map(|head| toml::Table::from_iter([("head".into(), head.into())]))
        .collect();
    let mut labels = names.to_vec();
    for argument in overrides {
        let parsed: Override = argument.parse()?;
        let path = parsed.key();
        let key = path.strip_prefix("head.").filter(|key| *key != "kind").ok_or_else(|| {
            Failure::input(format!(
                "--set {path} has no effect on this picture: it takes keys of the heads that --heads names, such as \
                 head.margin"
            ))
        })?;
        let has_key = |kind: &Kind| kind.keys.iter().any(|known| Some(known.name) == key.split('.').next());
        // A key that none of them has is set on all: reading it says what is wrong.
        let nobody_has_it = !kinds.iter().any(|kind| has_key(kind));
        for ((kind, table), label) in kinds.iter().zip(&mut tables).zip(&mut labels) {
            if has_key(kind) || nobody_has_it {
                let set = std::slice::from_ref(&parsed);
                apply_overrides(table, set, &Experiment::schema())?;
                label.push_str(&format!(", {}", argument.trim().trim_start_matches("head.")));
            }
        }
    }
    let curve = |(table, (name, label)): (toml::Table, (&String, String))| {
        let config = HeadConfig::read(&table["head"], &"head".into())?;
        let curve = config.curve().ok_or_else(|| {
            Failure::input(format!(
                "{name} has no logits of classes that depend on the angle alone; leave it out of --heads"
            ))
        })?;
        Ok((label, curve))
    };
    tables.into_iter().zip(names.iter().zip(labels)).map(curve).collect()
}

fn kind<'a>(name: &str, known: &'a [Kind]) -> Result<&'a Kind, Failure> {
    let is_meant = |kind: &&Kind| kind.name == name || kind.aliases.contains(&name);
    known.iter().find(is_meant).ok_or_else(|| {
        let names = known.iter().flat_map(|kind| std::iter::once(&kind.name).chain(kind.aliases)).copied();
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near}?"),
            None => "`facegrad explain head` lists them".into(),
        };
        Failure::input(format!("--heads: there is no head called \"{name}\"; {hint}"))
    })
}

/// Refuses a file that cannot become the picture which `option` asks for, before time is spent on it.
pub fn check_file(option: &str, file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    if file.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg")) {
        return Err(Failure::input(format!(
            "{option} is {shown}; the picture is an SVG, so a name in .svg is expected"
        )));
    }
    if file.is_dir() {
        return Err(Failure::input(format!("{option} is {shown}, which is a folder")));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => {
            let folder = folder.display();
            Err(Failure::input(format!("{option} is {shown}, but there is no folder {folder}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_key_goes_to_every_head_that_has_it() {
        let heads = heads(&text(&["arcface", "am_softmax", "softmax"]), &text(&["head.margin=0.25"]))
            .unwrap_or_default();
        let labels: Vec<&str> = heads.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(labels, ["arcface, margin=0.25", "am_softmax, margin=0.25", "softmax"]);
        let at_0: Vec<f64> = heads.iter().map(|(_, curve)| (curve.target)(0.0)).collect();
        for (found, expected) in at_0.into_iter().zip([0.25f64.cos(), 0.75, 1.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
        assert!(heads.iter().all(|(_, curve)| ((curve.other)(0.5, 0.0) - 0.5f64.cos()).abs() < 1e-12));
    }

    #[test]
    fn what_cannot_be_drawn_is_a_sentence() {
        for (names, set, sentence) in [
            (
                &["arcfaec"][..],
                &[][..],
                "--heads: there is no head called \"arcfaec\"; did you mean arcface?",
            ),
            (
                &["arcface", "x"],
                &[],
                "--heads: there is no head called \"x\"; `facegrad explain head` lists them",
            ),
            (&["arcface", "arcface"], &[], "--heads names arcface twice; once is enough"),
            (&["arcface"], &["head.margin"], "--set head.margin is not of the form section.key=value"),
            (
                &["arcface"],
                &["run.seed=1"],
                "--set run.seed has no effect on this picture: it takes keys of the heads that --heads names, such as \
                 head.margin",
            ),
            (
                &["arcface"],
                &["head.kind=softmax"],
                "--set head.kind has no effect on this picture: it takes keys of the heads that --heads names, such as \
                 head.margin",
            ),
            (&["arcface", "softmax"], &["head.margin=2"], "head.margin is 2; it must be from 0 to 1.5"),
            (
                &["arcface"],
                &["head.margni=1"],
                "head.margni is not a key of this section; did you mean head.margin?",
            ),
        ] {
            let error = heads(&text(names), &text(set)).err().map(|failure| failure.to_string());
            assert_eq!(error.as_deref(), Some(sentence));
        }
        let error = heads(&text(&["softmax"]), &text(&["head.margin=0.1"])).err().unwrap().to_string();
        assert!(
            error.starts_with("head.margin has no effect with head.kind = \"softmax\"; it belongs to "),
            "{error}"
        );
    }
}
