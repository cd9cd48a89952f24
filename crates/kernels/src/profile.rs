//! Where the time of a piece of work goes: a recorder of operators and of the phases they run in.
//!
//! It is off until [`start`], and then costs one load of a flag an operator. The operators of this crate record
//! themselves; phases are named by whoever runs them. An operator inside another one is part of that one.

use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    map::Dims,
    problem::{Conv, GradientMask},
};

/// What an operator does, as far as it does not depend on how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations: two for a multiply-add.
    pub operations: u64,
    /// Bytes that must be read or written at least once.
    pub bytes: u64,
}

/// The time of one kind of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The phase, empty outside of all phases.
    pub phase: &'static str,
    /// The operator, empty for what a phase did beside its operators.
    pub operator: String,
    /// How often.
    pub count: u64,
    /// How long in all.
    pub time: Duration,
    /// How much in all; nothing where it was not said.
    pub work: Work,
}

static ON: AtomicBool = AtomicBool::new(false);
static RECORD: Mutex<Record> = Mutex::new(Record { phase: "", entries: Vec::new() });

struct Record {
    phase: &'static str,
    entries: Vec<Entry>,
}

thread_local! {
    /// Whether this thread is in an operator that is being recorded.
    static IN_OPERATOR: Cell<bool> = const { Cell::new(false) };
}

fn record() -> MutexGuard<'static, Record> {
    // Entries are whole at any time, so those of a thread that failed are as good as others.
    RECORD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    fn add(&mut self, phase: &'static str, operator: &str, count: u64, time: Duration, work: Work) {
        let found = self.entries.iter_mut().find(|e| e.phase == phase && e.operator == operator);
        match found {
            Some(entry) => {
                entry.count += count;
                entry.time += time;
                entry.work.operations += work.operations;
                entry.work.bytes += work.bytes;
            }
            None => self.entries.push(Entry { phase, operator: operator.into(), count, time, work }),
        }
    }
}

/// Whether anything is recorded.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Forgets what was recorded, and records from here on.
pub fn start() {
    *record() = Record { phase: "", entries: Vec::new() };
    ON.store(true, Ordering::Relaxed);
}

/// Ends the recording of work that took `total`: what was recorded, phase by phase in the order they began.
/// The times add up to `total`, with one entry in each phase, and one outside of them, for the rest.
pub fn stop(total: Duration) -> Vec<Entry> {
    ON.store(false, Ordering::Relaxed);
    let recorded = std::mem::take(&mut record().entries);
    let mut phases: Vec<&'static str> = Vec::new();
    for entry in recorded.iter().filter(|entry| !entry.phase.is_empty()) {
        if !phases.contains(&entry.phase) {
            phases.push(entry.phase);
        }
    }
    let is_phase = |entry: &Entry| !entry.phase.is_empty() && entry.operator.is_empty();
    let in_phases: Duration = recorded.iter().filter(|entry| is_phase(entry)).map(|e| e.time).sum();
    let mut entries = Vec::new();
    for phase in phases.into_iter().chain([""]) {
        let operators = recorded.iter().filter(|entry| entry.phase == phase && !entry.operator.is_empty());
        let in_operators: Duration = operators.clone().map(|entry| entry.time).sum();
        let whole = recorded.iter().find(|entry| is_phase(entry) && entry.phase == phase);
        let (count, time) = match whole {
            Some(whole) => (whole.count, whole.time),
            None => (1, total.saturating_sub(in_phases)),
        };
        entries.extend(operators.cloned());
        let time = time.saturating_sub(in_operators);
        entries.push(Entry { phase, operator: String::new(), count, time, work: Work::default() });
    }
    entries
}

/// Time is recorded until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Scope(Option<Open>);

#[derive(Debug)]
struct Open {
    begin: Instant,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Phase(&'static str),
    Operator { name: String, work: Work },
}

/// A phase of the work, of which there is one at a time. The operators of all threads belong to it.
pub fn phase(name: &'static str) -> Scope {
    if !is_on() {
        return Scope(None);
    }
    record().phase = name;
    Scope(Some(Open { begin: Instant::now(), kind: Kind::Phase(name) }))
}

/// An operator; `describe` gives its name and work, and is called while recording only.
#[inline]
pub fn operator(describe: impl FnOnce() -> (String, Work)) -> Scope {
    if !is_on() || IN_OPERATOR.replace(true) {
        return Scope(None);
    }
    let (name, work) = describe();
    Scope(Some(Open { begin: Instant::now(), kind: Kind::Operator { name, work } }))
}

impl Drop for Scope {
    fn drop(&mut self) {
        let Some(Open { begin, kind }) = self.0.take() else { return };
        let time = begin.elapsed();
        let mut record = record();
        match kind {
            Kind::Phase(name) => {
                record.phase = "";
                record.add(name, "", 1, time, Work::default());
            }
            Kind::Operator { name, work } => {
                IN_OPERATOR.set(false);
                let phase = record.phase;
                record.add(phase, &name, 1, time, work);
            }
        }
    }
}

/// The name and work of [`crate::conv::forward`].
pub(crate) fn conv_forward(conv: &Conv, input: Dims) -> (String, Work) {
    let (elements, products) = extent(conv, input);
    (name(conv, input, "forward"), Work { operations: 2 * products, bytes: 4 * elements })
}

/// The name and work of [`crate::conv::backward`].
pub(crate) fn conv_backward(conv: &Conv, input: Dims, mask: GradientMask) -> (String, Work) {
    let (elements, products) = extent(conv, input);
    let gradients = u64::from(mask.input) + u64::from(mask.weight);
    let written =
        if mask.input { input.elements() } else { 0 } + if mask.weight { conv.weights() } else { 0 };
    let work = Work { operations: 2 * products * gradients, bytes: 4 * (elements + written as u64) };
    let what = if mask.input { "backward" } else { "backward, weight" };
    (name(conv, input, what), work)
}

/// The name and work of [`crate::linear::Linear::apply`].
pub(crate) fn linear([batch, inputs, outputs]: [usize; 3]) -> (String, Work) {
    let (weights, vectors) = (inputs * outputs, batch * (inputs + outputs));
    let work = Work { operations: 2 * (batch * weights) as u64, bytes: 4 * (weights + vectors) as u64 };
    (format!("linear {inputs}->{outputs}"), work)
}

/// The name and work of an operator that passes `maps` times over maps of shape `dims`.
pub(crate) fn maps(operator: &str, dims: Dims, maps: usize) -> (String, Work) {
    let Dims { height, width, channels, .. } = dims;
    let bytes = (4 * maps * dims.elements()) as u64;
    (format!("{operator} {channels} {height}x{width}"), Work { operations: 0, bytes })
}

/// Numbers of input, weight and output, and multiply-adds.
fn extent(conv: &Conv, input: Dims) -> (u64, u64) {
    let output = conv.output(input);
    let elements = input.elements() + conv.weights() + output.elements();
    (elements as u64, (output.pixels() * conv.weights()) as u64)
}

/// Such as `conv 3x3 s1 64->64 56x56 forward`, with the size of the input.
fn name(conv: &Conv, input: Dims, what: &str) -> String {
    let Conv { inputs, outputs, kernel: [kernel_height, kernel_width], stride, groups, .. } = *conv;
    let Dims { height, width, .. } = input;
    let kind = match groups {
        1 => "conv".to_owned(),
        n if n == inputs && n == outputs => "depthwise".to_owned(),
        n => format!("conv in {n} groups"),
    };
    let channels = if kind == "depthwise" { format!("{inputs}") } else { format!("{inputs}->{outputs}") };
    format!("{kind} {kernel_height}x{kernel_width} s{stride} {channels} {height}x{width} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, Transform, conv, join};

    #[test]
    fn times_add_up_and_nothing_is_counted_twice() {
        let conv = Conv { inputs: 3, outputs: 4, kernel: [3, 3], stride: 2, padding: 1, groups: 1 };
        let dims = Dims { batch: 2, height: 6, width: 5, channels: 3 };
        let (x, weight) = (vec![1.0; dims.elements()], vec![1.0; conv.weights()]);
        let input = Input { x: &x, dims, transform: Transform::default() };
        let begin = Instant::now();
        assert!(!is_on());
        start();
        {
            let _phase = phase("first");
            conv::forward(&conv, input, &weight, None, false);
            conv::forward(&conv, input, &weight, None, true);
        }
        join(input, Some(input), false);
        {
            let _phase = phase("second");
            let _outer = operator(|| ("outer".into(), Work { operations: 8, bytes: 4 }));
            join(input, None, false);
        }
        let total = begin.elapsed();
        let entries = stop(total);
        assert!(!is_on());
        // Other tests run operators meanwhile; those here are the only ones with this input.
        let of = |phase: &str, operator: &str| {
            entries.iter().find(|entry| entry.phase == phase && entry.operator == operator)
        };
        let forward = of("first", "conv 3x3 s2 3->4 6x5 forward").unwrap();
        assert_eq!(forward.count, 2);
        // Outputs are 3x3: 2 images x 9 pixels x 108 weights.
        assert_eq!(forward.work.operations, 2 * 2 * (2 * 9 * 108));
        assert_eq!(forward.work.bytes, 2 * 4 * (180 + 108 + 72));
        assert_eq!(of("", "join of 2 3 6x5").unwrap().work.bytes, 4 * 3 * 180);
        assert_eq!(of("second", "outer").unwrap().work, Work { operations: 8, bytes: 4 });
        assert!(of("second", "join of 1 3 6x5").is_none());
        let phases: Vec<_> = entries.iter().filter(|e| e.operator.is_empty()).map(|e| e.phase).collect();
        assert_eq!(phases, ["first", "second", ""]);
    }

    #[test]
    fn names_tell_operators_apart() {
        let dims = Dims { batch: 2, height: 8, width: 8, channels: 4 };
        let conv = Conv { inputs: 4, outputs: 4, kernel: [3, 3], stride: 1, padding: 1, groups: 4 };
        assert_eq!(conv_forward(&conv, dims).0, "depthwise 3x3 s1 4 8x8 forward");
        let mask = GradientMask { input: false, weight: true, bias: false };
        let conv = Conv { groups: 2, ..conv };
        let (name, work) = conv_backward(&conv, dims, mask);
        assert_eq!(name, "conv in 2 groups 3x3 s1 4->4 8x8 backward, weight");
        assert_eq!(work.operations, 2 * (2 * 64 * 72));
        let (name, work) = linear([3, 100, 10]);
        assert_eq!(name, "linear 100->10");
        assert_eq!(work, Work { operations: 2 * 3 * 1000, bytes: 4 * (1000 + 330) });
    }
}
