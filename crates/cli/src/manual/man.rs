//! Man pages, from the declarations behind `--help`.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::{footer::Footer, visible};
use crate::version::VERSION;

/// A page for each command, with the name of its file.
pub fn pages(program: &Command) -> Vec<(String, Vec<u8>)> {
    let pages = visible(program).into_iter().filter_map(|command| {
        let man = Man::new(command.clone())
            .source(format!("facegrad {VERSION}"))
            .manual("Face-recognition embedding models");
        let mut page = Vec::new();
        // Memory takes what is written.
        write_page(command, &man, &mut page).ok()?;
        Some((man.get_filename(), page))
    });
    pages.collect()
}

fn write_page(command: &Command, man: &Man, to: &mut dyn Write) -> io::Result<()> {
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(to)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(to)?;
    }
    let footer = Footer::of(command);
    let mut rest = Roff::new();
    if !footer.notes.is_empty() {
        rest.control("SH", ["NOTES"]);
    }
    for (number, note) in footer.notes.into_iter().enumerate() {
        if number > 0 {
            rest.control("PP", []);
        }
        rest.text([roman(note)]);
    }
    if !footer.examples.is_empty() {
        rest.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in footer.examples.iter().flat_map(|example| example.lines()) {
            rest.text([roman(line)]);
        }
        rest.control("fi", []);
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let above = name.rsplit_once('-').map_or("facegrad-explain", |(above, _)| above);
    rest.control("SH", ["SEE ALSO"]).text([bold(above), roman("(1)")]);
    rest.to_writer(to)
}
