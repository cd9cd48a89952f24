//! Progress on the screen: a bar with rate and time left on a terminal, a few lines elsewhere.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// Time between two progress lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A bar on a terminal, occasional lines elsewhere, both on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    unit: Unit,
    first: usize,
    total: usize,
    started: Instant,
    last_line: Instant,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Images, steps and the like.
    Pieces,
    /// Bytes of a file.
    Bytes,
}

impl Progress {
    /// Progress from `done` to `total` of `what`.
    pub fn new(what: &str, done: usize, total: usize) -> Self {
        let template = format!("{{bar:30}} {{pos}}/{{len}} {what}, {{eta}} left  {{msg}}");
        Self::with(Unit::Pieces, &template, done, total)
    }

    /// Progress from `done` to `total` bytes of the file `name`, with the rate.
    pub fn bytes(name: &str, done: u64, total: u64) -> Self {
        // A file that is larger than memory can be addressed shows a full bar too early, no more.
        let in_memory = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let template =
            format!("{{bar:30}} {{bytes}}/{{total_bytes}} {name}, {{bytes_per_sec}}, {{eta}} left  {{msg}}");
        Self::with(Unit::Bytes, &template, in_memory(done), in_memory(total))
    }

    fn with(unit: Unit, template: &str, done: usize, total: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64).with_position(done as u64);
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self { bar, unit, first: done, total, started: now, last_line: now }
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
                let line = line(self.unit, [self.first, done, self.total], self.started.elapsed());
                crate::remark!("{line}  {message}");
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

    /// Shows that an evaluation goes on which is at image `done` of `total`.
    pub fn evaluating(&self, name: &str, done: usize, total: usize) {
        if done < total {
            self.note(&format!("evaluating {name}: {done}/{total} images"));
        }
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => crate::remark!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line about a run as a whole; `json` says that standard output is for that.
pub fn head(json: bool, line: &str) {
    if json { crate::remark!("{line}") } else { crate::say!("{line}") }
}

/// Progress of work that goes through stages, each with a bar of its own.
#[derive(Default)]
pub struct Stages {
    shown: Option<(String, Progress)>,
    rate: f64,
}

impl Stages {
    /// `done` of `total` images, with how many come in a second; `what` they are names the stage. A stage that does not
    /// begin at 0 goes on with what an earlier call of the program has done, and says so.
    pub fn show(&mut self, what: &str, done: usize, total: usize) {
        let progress = self.stage(what, || {
            if done > 0 {
                crate::remark!("going on after {done} of {total} images");
            }
            Progress::new(what, done, total)
        });
        let new = done - progress.first;
        let rate = new as f64 / progress.started.elapsed().as_secs_f64().max(1e-9);
        progress.set(done, &if new > 0 { format!("{rate:.1} images/s") } else { String::new() });
        self.rate = rate;
    }

    /// The progress of the file `name` of `total` bytes, of which `done` are there when it begins.
    pub fn file(&mut self, name: &str, done: u64, total: u64) -> &mut Progress {
        self.stage(name, || Progress::bytes(name, done, total))
    }

    /// The progress of the stage `what`, which is `begun` where another was shown.
    fn stage(&mut self, what: &str, begun: impl FnOnce() -> Progress) -> &mut Progress {
        if self.shown.as_ref().is_some_and(|(shown, _)| shown != what) {
            self.finish();
        }
        &mut self.shown.get_or_insert_with(|| (what.into(), begun())).1
    }

    /// Images a second of this call, in the stage that was shown last.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some((_, progress)) = self.shown.take() {
            progress.finish();
        }
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Progress of `total` images, which is told how many more are done and never asks for an end.
pub fn counted(total: usize) -> impl FnMut(usize) -> bool {
    let (mut stages, mut done) = (Stages::default(), 0);
    stages.show("images", 0, total);
    move |images| {
        done += images;
        stages.show("images", done, total);
        true
    }
}

/// How far `[first, done, total]` got in a time, where there is no terminal.
fn line(unit: Unit, [first, done, total]: [usize; 3], elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match unit {
        Unit::Pieces => format!("{done}/{total} after {seconds} s"),
        Unit::Bytes => {
            let rate = done.saturating_sub(first) as f64 / elapsed.as_secs_f64().max(1e-9);
            let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
            let [done, total, rate] = [done as u64, total as u64, rate as u64].map(HumanBytes);
            // Far beyond what anybody waits for, while nothing has come yet.
            let left = if left < 1e7 { format!(", {left:.0} s left") } else { String::new() };
            format!("{done}/{total} after {seconds} s, {rate}/s{left}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_the_rate_of_what_came_now() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(line(Unit::Pieces, [5, 20, 100], elapsed), "20/100 after 10 s");
        let [first, done, total] = [10 << 20, 30 << 20, 50 << 20];
        let text = line(Unit::Bytes, [first, done, total], elapsed);
        assert_eq!(text, "30.00 MiB/50.00 MiB after 10 s, 2.00 MiB/s, 10 s left");
        let text = line(Unit::Bytes, [first, first, total], elapsed);
        assert_eq!(text, "10.00 MiB/50.00 MiB after 10 s, 0 B/s");
    }
}
