//! What `facegrad bench` prints: the same facts as lines for people and as JSON.

use facegrad::BackboneConfig;
use facegrad_bench::ImageShape;
use facegrad_kernels::{profile::Entry, simd};
use facegrad_results::{Align, TextTable, numbers::points};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{failure::Failure, say};

/// What was measured.
pub struct Facts {
    heading: String,
    lines: TextTable,
    tables: Vec<TextTable>,
    json: Map<String, Value>,
}

impl Facts {
    pub fn new(task: &str, images: ImageShape, backbone: Option<&BackboneConfig>) -> Self {
        let kind = backbone.map(super::in_words);
        let ImageShape { batch, size: size @ [height, width] } = images;
        let what = kind.as_ref().map(|kind| format!(" {kind},")).unwrap_or_default();
        let mut facts = Self {
            heading: format!("{task}:{what} batches of {batch} images of {height}x{width} pixels"),
            lines: TextTable::new(&[Align::Left]),
            tables: Vec::new(),
            json: Map::new(),
        };
        facts.add("task", task);
        facts.add("version", concat!("facegrad ", env!("CARGO_PKG_VERSION")));
        facts.add("backbone", kind);
        facts.add("batch", batch);
        facts.add("size", size);
        facts.add("threads", rayon::current_num_threads());
        facts.add("isa", super::word_of(simd::isa()));
        facts
    }

    /// A fact for JSON; nothing where there is none.
    pub fn add(&mut self, key: &str, value: impl Serialize) {
        let value = json!(value);
        if !value.is_null() {
            self.json.insert(key.into(), value);
        }
    }

    /// Images a second, and the slowest and the fastest of the parts of the measurement.
    pub fn add_speed(&mut self, speed: f64, parts: &[f64], what: &str) {
        let [slowest, fastest] = [f64::min, f64::max].map(|of| parts.iter().copied().fold(speed, of));
        self.add("images_per_second", speed);
        self.add("images_per_second_min", slowest);
        self.add("images_per_second_max", fastest);
        let parts = format!("median of {} {what}; {slowest:.2} to {fastest:.2}", parts.len());
        self.line("speed", format!("{speed:.2} images/s, {parts}"));
    }

    /// A line for people.
    pub fn line(&mut self, name: &str, text: String) {
        self.lines.row([name.to_owned(), text]);
    }

    /// A table for people, below the lines.
    pub fn table(&mut self, table: TextTable) {
        self.tables.push(table);
    }

    pub fn print(self, json: bool) -> Result<(), Failure> {
        if json {
            say!("{}", serde_json::to_string_pretty(&self.json)?);
            return Ok(());
        }
        say!("{}", self.heading);
        say!("{}", self.lines.to_string().trim_end());
        for table in self.tables {
            say!("\n{}", table.to_string().trim_end());
        }
        Ok(())
    }
}

/// What computes, such as `2 threads with AVX-512`.
pub fn processor() -> String {
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "" } else { "s" };
    format!("{threads} thread{plural} with {}", simd::isa().name())
}

/// A rate in billions a second.
pub fn billions(rate: f64) -> String {
    format!("{:.1}", rate / 1e9)
}

/// A share in per cent with one digit, which is as much as such times repeat.
pub fn percent(share: f64) -> String {
    format!("{} %", points(share, 1))
}

pub fn phase(entry: &Entry) -> &str {
    if entry.phase.is_empty() { "between" } else { entry.phase }
}

pub fn operator(entry: &Entry) -> &str {
    if entry.operator.is_empty() { "rest" } else { &entry.operator }
}

/// Every phase with its operators, the longest first, and what is left.
pub fn profile_table(profile: &[Entry]) -> TextTable {
    let total: f64 = profile.iter().map(|entry| entry.time.as_secs_f64()).sum();
    let row = |name: String, count: String, seconds: f64, operations: u64, bytes: u64| {
        let rate = |amount: u64| match amount {
            0 => String::new(),
            amount => billions(amount as f64 / seconds.max(1e-9)),
        };
        let (ms, share) = (format!("{:.2}", seconds * 1e3), percent(seconds / total.max(1e-9)));
        [name, count, ms, share, rate(operations), rate(bytes)]
    };
    let right = Align::Right;
    let mut table = TextTable::new(&[Align::Left, right, right, right, right, right]);
    table.row(["phase and operator", "times", "ms", "share", "GFLOP/s", "GB/s"]);
    for phase_entries in profile.chunk_by(|a, b| a.phase == b.phase) {
        let seconds: f64 = phase_entries.iter().map(|entry| entry.time.as_secs_f64()).sum();
        table.row(row(phase(&phase_entries[0]).to_owned(), String::new(), seconds, 0, 0));
        if phase_entries.len() == 1 {
            continue;
        }
        let mut entries: Vec<&Entry> = phase_entries.iter().collect();
        entries.sort_by_key(|entry| (entry.operator.is_empty(), std::cmp::Reverse(entry.time)));
        for entry in entries {
            let count = if entry.operator.is_empty() { String::new() } else { entry.count.to_string() };
            let (seconds, work) = (entry.time.as_secs_f64(), entry.work);
            table.row(row(format!("  {}", operator(entry)), count, seconds, work.operations, work.bytes));
        }
    }
    table.row(row("all".into(), String::new(), total, 0, 0));
    table
}
