//! `facegrad data show`.

use std::process::ExitCode;

use facegrad_datasets::{Card, CardCount};
use facegrad_results::numbers::thousands;

use super::card::find;
use crate::{failure::Failure, say};

/// Columns that a page has; terminals have 80 or more.
const WIDTH: usize = 80;
/// Columns of the labels at its left.
const LABEL: usize = 10;

#[derive(clap::Args)]
#[command(after_help = "Example: facegrad data show lfw")]
pub struct Args {
    /// The name of a card (facegrad data list has them all), or a card of your own: a file that ends in .toml.
    card: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let card = find(&args.card)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(card.as_ref())?);
    } else {
        say!("{}", page(&card).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The card, for a terminal.
fn page(card: &Card) -> String {
    let mut page = format!("{} ({})\n\n", card.title, card.name);
    let mut part = |label: &str, text: &str| page.push_str(&labelled(label, text));
    part("", &card.about);
    part("made by", &card.made_by);
    part("paper", card.paper.as_deref().unwrap_or_default());
    let uses: Vec<String> = card.uses.iter().map(ToString::to_string).collect();
    part("for", &uses.join(", "));
    part("licence", &format!("{}. {}", capital(&card.licence), card.terms));
    part("people", &card.people);
    for (index, count) in card.counts.iter().enumerate() {
        part(if index == 0 { "counts" } else { "" }, &counted(count));
    }
    part("layout", &card.layout);
    for (index, problem) in card.problems.iter().enumerate() {
        part(if index == 0 { "problems" } else { "" }, problem);
    }
    for (index, measured) in card.measured.iter().enumerate() {
        let text = format!("{}: {} ({})", measured.what, measured.value, measured.command);
        part(if index == 0 { "measured" } else { "" }, &text);
    }
    part("homepage", card.homepage.as_deref().unwrap_or_default());
    part("get it", &format!("{}.", card.ask));
    for (index, file) in card.files.iter().enumerate() {
        let text = format!(
            "{}, {} bytes, SHA-256 {}, from {}",
            file.name,
            thousands(file.bytes),
            file.sha256,
            file.url
        );
        part(if index == 0 { "files" } else { "" }, &text);
    }
    for reading in &card.reading {
        page.push('\n');
        page.push_str(&labelled("read it", &reading.what));
        for line in reading.config.trim().lines() {
            page.push_str(&format!("{:LABEL$}    {line}\n", ""));
        }
    }
    page
}

fn counted(count: &CardCount) -> String {
    let known: Vec<String> =
        count.known().into_iter().map(|(number, what)| format!("{} {what}", thousands(number))).collect();
    let known = known.join(", ");
    match &count.part {
        Some(part) => format!("{known} ({part})"),
        None => known,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A text with a label at its left, in lines of [`WIDTH`] columns; nothing for no text. A word that is longer than a
/// line, such as an address, is left whole.
fn labelled(label: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = format!("{label:LABEL$}");
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = " ".repeat(LABEL);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    if !is_empty {
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use facegrad_datasets::cards;

    use super::*;

    #[test]
    fn a_page_says_all_that_is_on_the_card_within_the_width() {
        for card in cards() {
            let page = page(card);
            let words: Vec<&str> = page.split_whitespace().collect();
            let text = words.join(" ");
            for part in
                [&card.title, &card.about, &card.terms, &card.people, &card.layout, &card.ask, &card.made_by]
            {
                assert!(text.contains(part.as_str()), "{}: {part}", card.name);
            }
            assert!(card.problems.iter().all(|problem| text.contains(problem)), "{}", card.name);
            assert!(card.reading.iter().all(|reading| text.contains(&reading.what)), "{}", card.name);
            let too_long = |line: &&str| line.chars().count() > WIDTH && line.split_whitespace().count() > 2;
            assert_eq!(page.lines().find(too_long), None, "{}", card.name);
        }
    }

    #[test]
    fn long_words_are_left_whole_and_no_text_is_no_line() {
        let address = format!("https://{}", "a".repeat(90));
        assert_eq!(labelled("files", &format!("x {address} y")).lines().count(), 3);
        assert!(labelled("files", &address).starts_with("files     https://aaa"));
        assert_eq!(labelled("files", " "), "");
        assert_eq!(capital("none stated"), "None stated");
    }
}
