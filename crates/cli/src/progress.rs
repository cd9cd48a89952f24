//! Progress on the screen: a bar with rate and time left on a terminal, a few lines elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two progress lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A bar on a terminal, occasional lines elsewhere, both on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Progress from `done` to `total` of `what`.
    pub fn new(what: &str, done: usize, total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64).with_position(done as u64);
            let template = format!("{{bar:30}} {{pos}}/{{len}} {what}, {{eta}} left  {{msg}}");
            bar.set_style(
                ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self { bar, total, started: now, last_line: now }
    }

    /// Moves to `done`; `message` is shown behind the bar, or as a line every now and then.
    pub fn set(&mut self, done: usize, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(done as u64);
                bar.set_message(message.to_owned());
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let elapsed = self.started.elapsed().as_secs();
                eprintln!("{done}/{} after {elapsed} s  {message}", self.total);
            }
            None => {}
        }
    }

    /// Shows what is going on behind the bar; nothing elsewhere.
    pub fn note(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
