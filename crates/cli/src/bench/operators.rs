//! The operators of a backbone one by one, beside the roofline of this machine (Williams, Waterman &
//! Patterson, 2009): its arithmetic peak, or its memory bandwidth where an operator needs that more.

use std::time::{Duration, Instant};

use facegrad_backbones::{Operation, Reading};
use facegrad_kernels::{
    Dims, GradientMask, Input, Norm, Transform, conv, join, peak,
    profile::{self, Work},
    transform_backward,
};
use facegrad_random::{Purpose, Stream};
use facegrad_report::OperatorPoint;
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use super::{
    Ops, backbone, median,
    network::PEAK_TIME,
    output::{Facts, billions, percent, processor},
    plot::{self, Family},
    seconds,
};
use crate::{
    failure::Failure,
    plot::{check_file, write_file},
};

pub fn run(args: Ops) -> Result<(), Failure> {
    let (size, time) = (args.common.apply()?, seconds(args.seconds)?);
    let backbone = backbone(&args.backbone, size)?;
    args.plot.as_deref().map_or(Ok(()), |file| check_file("--plot", file))?;
    let operations = backbone.operations(size, args.common.batch).map_err(Failure::input)?;
    // As often as each occurs.
    let mut distinct: Vec<(Operation, usize)> = Vec::new();
    for operation in operations {
        match distinct.iter_mut().find(|(other, _)| *other == operation) {
            Some((_, count)) => *count += 1,
            None => distinct.push((operation, 1)),
        }
    }
    let roofline = Roofline {
        operations: peak::operations_per_second(PEAK_TIME),
        bytes: peak::bytes_per_second(PEAK_TIME),
    };
    let mut timings: Vec<Timing> = Vec::new();
    for (operation, count) in distinct {
        let family = Family::of(&operation);
        for Pass { name, is_backward, work, estimate, seconds } in time_passes(&operation, time) {
            let (total, estimate) = (seconds * count as f64, estimate as f64 * count as f64);
            // One row for a shape, however its inputs are read.
            match timings.iter_mut().find(|timing| timing.name == name) {
                Some(timing) => {
                    timing.count += count;
                    timing.total += total;
                    timing.estimate += estimate;
                }
                None => timings.push(Timing { name, family, is_backward, count, work, total, estimate }),
            }
        }
    }
    let step: f64 = timings.iter().map(|timing| timing.total).sum();
    let speed = args.common.batch as f64 / step;

    let mut facts = Facts::new("ops", &args.common, size, Some(&backbone));
    facts.add("peak_gflops", roofline.operations / 1e9);
    facts.add("peak_gigabytes_per_second", roofline.bytes / 1e9);
    facts.add("step_ms", step * 1e3);
    facts.add("images_per_second", speed);
    facts.add("operators", timings.iter().map(|timing| timing.json(&roofline)).collect::<Value>());
    facts.line("threads", processor());
    facts.line(
        "peak",
        format!("{} GFLOP/s, {} GB/s", billions(roofline.operations), billions(roofline.bytes)),
    );
    facts.line("in all", format!("{:.1} ms a training step, {speed:.2} images/s", step * 1e3));
    let right = Align::Right;
    let mut table = TextTable::new(&[Align::Left, right, right, right, right, right, right]);
    table.row(["operator", "times", "ms each", "share", "GFLOP/s", "GB/s", "of roofline"]);
    for timing in &timings {
        table.row(timing.cells(&roofline, step));
    }
    facts.table(table);
    facts.print(args.common.json)?;
    let Some(file) = &args.plot else { return Ok(()) };
    let picture = facegrad_report::roofline(&facegrad_report::Roofline {
        title: format!("{}, batch {}, {}", backbone.kind(), args.common.batch, processor()),
        operations_per_second: roofline.operations,
        bytes_per_second: roofline.bytes,
        families: plot::families(timings.iter().map(|timing| (timing.family, timing.point()))),
        notes: plot::notes(size),
    });
    write_file(file, &picture.map_err(Failure::work)?)
}

/// What the machine can do in a second.
struct Roofline {
    operations: f64,
    bytes: f64,
}

impl Roofline {
    /// The shortest time that `work` could take.
    fn bound(&self, work: Work) -> f64 {
        (work.operations as f64 / self.operations).max(work.bytes as f64 / self.bytes)
    }
}

/// A pass of an operation, once.
struct Pass {
    name: String,
    is_backward: bool,
    work: Work,
    /// Floating-point operations, also where `work` tells none.
    estimate: u64,
    /// The median.
    seconds: f64,
}

/// One pass of an operator.
struct Timing {
    name: String,
    family: Family,
    is_backward: bool,
    /// Times in the network.
    count: usize,
    /// Of one of them.
    work: Work,
    /// Seconds of all of them.
    total: f64,
    /// Floating-point operations of all of them, also where `work` tells none.
    estimate: f64,
}

impl Timing {
    /// Seconds of one.
    fn seconds(&self) -> f64 {
        self.total / self.count as f64
    }

    fn point(&self) -> OperatorPoint {
        OperatorPoint {
            name: self.name.clone(),
            is_backward: self.is_backward,
            intensity: self.estimate / self.count as f64 / self.work.bytes as f64,
            operations_per_second: self.estimate / self.total,
        }
    }

    fn json(&self, roofline: &Roofline) -> Value {
        json!({
            "name": self.name,
            "count": self.count,
            "ms": self.seconds() * 1e3,
            "gflops": self.work.operations as f64 / self.seconds() / 1e9,
            "gigabytes_per_second": self.work.bytes as f64 / self.seconds() / 1e9,
            "share_of_peak": self.work.operations as f64 / self.seconds() / roofline.operations,
            "share_of_roofline": roofline.bound(self.work) / self.seconds(),
        })
    }

    fn cells(&self, roofline: &Roofline, step: f64) -> [String; 7] {
        let rate = |amount: u64| match amount {
            0 => String::new(),
            amount => billions(amount as f64 / self.seconds()),
        };
        [
            self.name.clone(),
            self.count.to_string(),
            format!("{:.3}", self.seconds() * 1e3),
            percent(self.total / step),
            rate(self.work.operations),
            rate(self.work.bytes),
            percent(roofline.bound(self.work) / self.seconds()),
        ]
    }
}

/// Numbers for an operand, around 0.
fn numbers(count: usize, operand: u64) -> Vec<f32> {
    let mut stream = Stream::new(1, Purpose::Benchmark, 1, operand);
    (0..count).map(|_| stream.range(-1.0, 1.0)).collect()
}

/// A map and the parameters of how it is read.
struct Map {
    x: Vec<f32>,
    dims: Dims,
    reading: Reading,
    /// γ and σ², β and μ, slopes.
    parameters: [Vec<f32>; 3],
}

impl Map {
    fn new(dims: Dims, reading: Reading, operand: u64) -> Self {
        let parameters = [1.0, 0.0, 0.25].map(|value| vec![value; dims.channels]);
        Self { x: numbers(dims.elements(), operand), dims, reading, parameters }
    }

    fn input(&self) -> Input<'_> {
        let [one, zero, slope] = &self.parameters;
        let norm = Norm { gamma: one, beta: zero, mean: zero, variance: one, epsilon: 1e-5, of_batch: true };
        let Reading { norm: normalised, act } = self.reading;
        let transform =
            Transform { norm: normalised.then_some(norm), slope: act.then_some(slope.as_slice()) };
        Input { x: &self.x, dims: self.dims, transform }
    }
}

/// The passes of `operation`, as long as `time` each.
fn time_passes(operation: &Operation, time: Duration) -> Vec<Pass> {
    match *operation {
        Operation::Conv { conv, input, reading, bias, moments, input_gradient } => {
            let map = Map::new(input, reading, 0);
            let weight = numbers(conv.weights(), 1);
            let bias_values = bias.then(|| numbers(conv.outputs, 2));
            let g = numbers(conv.output(input).elements(), 3);
            let mask = GradientMask { input: input_gradient, weight: true, bias };
            vec![
                timed(time, false, || {
                    conv::forward(&conv, map.input(), &weight, bias_values.as_deref(), moments);
                }),
                timed(time, true, || {
                    conv::backward(&conv, map.input(), &weight, &g, mask);
                }),
            ]
        }
        Operation::Join { dims, body: body_reading, shortcut: shortcut_reading, moments } => {
            let elements = dims.elements() as u64;
            let body = Map::new(dims, body_reading, 0);
            let shortcut = shortcut_reading.map(|reading| Map::new(dims, reading, 1));
            let g = numbers(dims.elements(), 3);
            let join = timed(time, false, || {
                join(body.input(), shortcut.as_ref().map(Map::input), moments);
            });
            let operations = plot::join_operations(body_reading, shortcut_reading, moments);
            let mut passes = vec![Pass { estimate: elements * operations, ..join }];
            // The gradient of a branch that is read as it is, is that of the sum.
            let branches = [Some(&body), shortcut.as_ref()].into_iter().flatten();
            for branch in branches.filter(|branch| !branch.input().transform.is_identity()) {
                let backward = timed(time, true, || {
                    transform_backward(branch.input(), g.clone());
                });
                let operations = plot::backward_operations(branch.reading);
                passes.push(Pass { estimate: elements * operations, ..backward });
            }
            passes
        }
    }
}

/// Runs an operator for `time`, and at least three times after a warm-up; it describes itself.
fn timed(time: Duration, is_backward: bool, mut run: impl FnMut()) -> Pass {
    run();
    let (begin, mut times) = (Instant::now(), Vec::new());
    loop {
        profile::start();
        run();
        // One operator, and the nothing around it.
        let entries = profile::stop(Duration::ZERO);
        let Some(entry) = entries.into_iter().find(|entry| !entry.operator.is_empty()) else {
            unreachable!("every operator of the kernels records itself")
        };
        times.push(entry.time.as_secs_f64().max(1e-9));
        if times.len() >= 3 && begin.elapsed() >= time {
            let (name, work) = (entry.operator, entry.work);
            return Pass { name, is_backward, work, estimate: work.operations, seconds: median(&times) };
        }
    }
}
