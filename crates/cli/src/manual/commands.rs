//! `docs/commands.md`: each command with its arguments and options, from the declarations behind `--help`.

use std::fmt::Write;

use clap::{Arg, Command};

use super::{
    footer::{Footer, one_line},
    typed, visible,
};

/// The page.
pub fn page(program: &Command) -> String {
    let mut text = String::from(
        "# Commands\n\nEvery command with its arguments and options, as `facegrad COMMAND --help` tells them. \
         `facegrad manual commands` writes this page.\n\n",
    );
    for command in visible(program).into_iter().skip(1) {
        let name = typed(command);
        let _ = writeln!(text, "- [`{name}`](#{}): {}", name.replace(' ', "-"), about(command));
    }
    text += "\n";
    text += &sentences(program);
    for command in visible(program).into_iter().skip(1) {
        text += &section(command);
    }
    text
}

fn section(command: &Command) -> String {
    let mut text = format!("\n## {}\n\n{}", typed(command), sentences(command));
    if command.has_subcommands() {
        let below: Vec<String> =
            visible(command).into_iter().skip(1).map(|command| format!("`{}`", typed(command))).collect();
        let _ = writeln!(text, "\nIts commands: {}.", below.join(", "));
    } else {
        let usage = command.clone().render_usage().to_string();
        let _ = writeln!(text, "\n```text\n{}\n```", one_line(usage.trim_start_matches("Usage:")).trim());
    }
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(shown).partition(|arg| arg.is_positional());
    if !positional.is_empty() || !options.is_empty() {
        text += "\n";
    }
    for arg in positional.into_iter().chain(options) {
        text += &argument(arg);
    }
    let footer = Footer::of(command);
    if !footer.examples.is_empty() {
        let _ = writeln!(text, "\n```sh\n{}\n```", footer.examples.join("\n"));
    }
    for note in footer.notes {
        let _ = writeln!(text, "\n{}", prose(&note));
    }
    text
}

/// A line on an argument or option: what is typed, what it does, what it may be.
fn argument(arg: &Arg) -> String {
    let mut text = format!("- `{}`", spelling(arg));
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    if !help.is_empty() {
        let _ = write!(text, ": {}", prose(&ended(&one_line(&help))));
    }
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    let values: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    if takes_value && !values.is_empty() && !arg.is_hide_possible_values_set() {
        let words: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        let _ = write!(text, " One of {}.", words.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(text, " Default `{}`.", defaults.join(","));
    }
    text + "\n"
}

/// What is typed for an argument, such as `--set <KEY=VALUE>`.
fn spelling(arg: &Arg) -> String {
    let values: Vec<String> = match arg.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => vec![arg.get_id().as_str().to_uppercase()],
    };
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    let many = arg.get_num_args().is_some_and(|count| count.max_values() > values.len());
    let values = values.join(" ") + if many { "…" } else { "" };
    if arg.is_positional() {
        return values;
    }
    let long = arg.get_long().map(|name| format!("--{name}"));
    let short = arg.get_short().map(|name| format!("-{name}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    if takes_value { format!("{} <{values}>", names.join(", ")) } else { names.join(", ") }
}

fn about(command: &Command) -> String {
    prose(&command.get_about().map(ToString::to_string).unwrap_or_default())
}

/// What a command is for, in full.
fn sentences(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let paragraphs: Vec<String> = about.split("\n\n").map(|text| prose(&ended(&one_line(text)))).collect();
    paragraphs.join("\n\n") + "\n"
}

/// A sentence with its full stop, which the help leaves out.
fn ended(text: &str) -> String {
    if text.ends_with(['.', ':', '?', '!']) { text.into() } else { format!("{text}.") }
}

/// Text for a page: options are code, and nothing is taken for markup that is none.
pub fn prose(text: &str) -> String {
    let mut out = String::new();
    // What is between backticks is code already.
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            let _ = write!(out, "`{part}`");
            continue;
        }
        for (place, word) in part.split(' ').enumerate() {
            let gap = if place > 0 { " " } else { "" };
            let end = word.trim_end_matches(['.', ',', ';', ':', ')']).len();
            let start = word.len() - word.trim_start_matches('(').len();
            let is_option = end > start && word[start..end].starts_with("--") && end > start + 2;
            let is_placeholder = end > start && word[start..end].contains('<');
            if is_option || is_placeholder {
                let _ = write!(out, "{gap}{}`{}`{}", &word[..start], &word[start..end], &word[end..]);
            } else {
                out += gap;
                for c in word.chars() {
                    if "\\<>*".contains(c) {
                        out.push('\\');
                    }
                    out.push(c);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn options_and_placeholders_are_code_and_marks_are_no_markup() {
        for (text, page) in [
            ("With --resume, the config", "With `--resume`, the config"),
            ("(--set a=b) far=<rate>;", "(`--set` a=b) `far=<rate>`;"),
            ("the [[evaluation]] of *", "the [[evaluation]] of \\*"),
            ("`path [x]` a_b -- it", "`path [x]` a_b -- it"),
        ] {
            assert_eq!(prose(text), page);
        }
    }
}
