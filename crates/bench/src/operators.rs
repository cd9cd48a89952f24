//! The operators of a backbone one by one, beside the roofline of this machine (Williams, Waterman &
//! Patterson, 2009): its arithmetic peak, or its memory bandwidth where an operator needs that more.

use std::time::{Duration, Instant};

use facegrad_backbones::{
    BackboneConfig, Operation,
    plan::{MapReading, OperatorKind},
};
use facegrad_kernels::{
    Dims, GradientMask, Input, Norm, Transform,
    conv::{self, is_winograd},
    join, peak,
    profile::{self, Work},
    transform_backward,
};
use facegrad_random::{Purpose, Stream};

use crate::{BenchError, ImageShape, PEAK_TIME, median};

/// What the machine can do in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MachineLimits {
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes to and from memory.
    pub bytes: f64,
}

impl MachineLimits {
    /// Measures it.
    pub fn measure() -> Self {
        Self { operations: peak::operations_per_second(PEAK_TIME), bytes: peak::bytes_per_second(PEAK_TIME) }
    }

    /// The shortest time that `work` could take, in seconds.
    pub fn bound(&self, work: Work) -> f64 {
        (work.operations as f64 / self.operations).max(work.bytes as f64 / self.bytes)
    }
}

/// Operators that are computed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Dense filters by Winograd's algorithm.
    Winograd,
    /// Dense filters as a product.
    Direct,
    /// Filters of one pixel.
    Pointwise,
    /// Filters of some channels.
    Grouped,
    /// Joins of branches, transforms, and layers without kernels.
    Elementwise,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Winograd, Self::Direct, Self::Pointwise, Self::Grouped, Self::Elementwise];

    fn of(operation: &Operation) -> Self {
        match &operation.kind {
            OperatorKind::Join { .. } | OperatorKind::Composed { .. } => Self::Elementwise,
            OperatorKind::Conv { conv, .. } if conv.groups > 1 => Self::Grouped,
            OperatorKind::Conv { conv, .. } if conv.kernel == [1, 1] => Self::Pointwise,
            OperatorKind::Conv { conv, .. } if is_winograd(conv, operation.input) => Self::Winograd,
            OperatorKind::Conv { .. } => Self::Direct,
        }
    }
}

/// One pass of an operator, as often as it occurs in the network.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorTiming {
    /// What it is, with its shape.
    pub name: String,
    /// How it is computed.
    pub family: Family,
    /// Whether it is of the backward pass.
    pub is_backward: bool,
    /// Times in the network.
    pub count: usize,
    /// Of one of them.
    pub work: Work,
    /// Seconds of all of them.
    pub total: f64,
    /// Floating-point operations of all of them, also where `work` tells none.
    pub estimate: f64,
}

impl OperatorTiming {
    /// Seconds of one.
    pub fn seconds(&self) -> f64 {
        self.total / self.count as f64
    }

    /// Floating-point operations for each byte that must be moved.
    pub fn intensity(&self) -> f64 {
        self.estimate / self.count as f64 / self.work.bytes as f64
    }
}

/// Times the operators of `backbone`, forward and backward, for `time` each.
///
/// # Errors
/// If it does not take such images.
pub fn time_operators(
    backbone: &BackboneConfig,
    images: ImageShape,
    time: Duration,
) -> Result<Vec<OperatorTiming>, BenchError> {
    // As often as each occurs.
    let mut distinct: Vec<(Operation, usize)> = Vec::new();
    for operation in backbone.operations(images.size, images.batch)? {
        match distinct.iter_mut().find(|(other, _)| *other == operation) {
            Some((_, count)) => *count += 1,
            None => distinct.push((operation, 1)),
        }
    }
    let mut timings: Vec<OperatorTiming> = Vec::new();
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
                None => {
                    timings.push(OperatorTiming { name, family, is_backward, count, work, total, estimate });
                }
            }
        }
    }
    Ok(timings)
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

/// Numbers for an operand, around 0.
fn numbers(count: usize, operand: u64) -> Vec<f32> {
    let mut stream = Stream::new(1, Purpose::Benchmark, 1, operand);
    (0..count).map(|_| stream.range(-1.0, 1.0)).collect()
}

/// A map and the parameters of how it is read.
struct Map {
    x: Vec<f32>,
    dims: Dims,
    reading: MapReading,
    /// γ and σ², β and μ, slopes.
    parameters: [Vec<f32>; 3],
}

impl Map {
    fn new(dims: Dims, reading: MapReading, operand: u64) -> Self {
        let parameters = [1.0, 0.0, 0.25].map(|value| vec![value; dims.channels]);
        Self { x: numbers(dims.elements(), operand), dims, reading, parameters }
    }

    fn input(&self) -> Input<'_> {
        let [one, zero, slope] = &self.parameters;
        let norm = Norm { gamma: one, beta: zero, mean: zero, variance: one, epsilon: 1e-5, of_batch: true };
        let MapReading { norm: by, act, .. } = self.reading;
        let transform = Transform { norm: by.map(|_| norm), slope: act.map(|_| slope.as_slice()) };
        Input { x: &self.x, dims: self.dims, transform }
    }
}

/// The passes of `operation`, as long as `time` each.
fn time_passes(operation: &Operation, time: Duration) -> Vec<Pass> {
    let &Operation { ref kind, reading, input, moments, input_gradient } = operation;
    match *kind {
        OperatorKind::Conv { conv, bias, .. } => {
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
        OperatorKind::Join { add } => {
            let elements = input.elements() as u64;
            let body = Map::new(input, reading, 0);
            let shortcut = add.map(|add| Map::new(input, add, 1));
            let g = numbers(input.elements(), 3);
            let join = timed(time, false, || {
                join(body.input(), shortcut.as_ref().map(Map::input), moments);
            });
            let operations = join_operations(reading, add, moments);
            let mut passes = vec![Pass { estimate: elements * operations, ..join }];
            // The gradient of a branch that is read as it is, is that of the sum.
            let branches = [Some(&body), shortcut.as_ref()].into_iter().flatten();
            for branch in branches.filter(|branch| !branch.input().transform.is_identity()) {
                let backward = timed(time, true, || {
                    transform_backward(branch.input(), g.clone());
                });
                let operations = backward_operations(branch.reading);
                passes.push(Pass { estimate: elements * operations, ..backward });
            }
            passes
        }
        OperatorKind::Composed { ref kind, .. } => {
            let name = kind.title(input);
            let work = Work { operations: 0, bytes: (2 * input.elements() * size_of::<f32>()) as u64 };
            let (begin, mut times) = (Instant::now(), Vec::new());
            while times.len() < 3 || begin.elapsed() < 2 * time {
                times.push(kind.time(input).map(|time| time.as_secs_f64().max(1e-9)));
            }
            let pass = |is_backward: bool, what: &str| {
                let seconds: Vec<f64> = times.iter().map(|times| times[usize::from(is_backward)]).collect();
                // The gradients of the map and of the weights.
                let estimate = kind.operations(input) * (1 + u64::from(is_backward));
                Pass {
                    name: format!("{name} {what}"),
                    is_backward,
                    work,
                    estimate,
                    seconds: median(&seconds),
                }
            };
            vec![pass(false, "forward"), pass(true, "backward")]
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

/// Floating-point operations an element of [`facegrad_kernels::join`], at least.
fn join_operations(body: MapReading, shortcut: Option<MapReading>, moments: bool) -> u64 {
    // The sum of elements and the sum of their squares.
    let moments = if moments { 3 } else { 0 };
    reading_operations(body) + shortcut.map_or(0, |shortcut| reading_operations(shortcut) + 1) + moments
}

/// A multiply-add to normalise, a product with the slope.
fn reading_operations(MapReading { norm, act, .. }: MapReading) -> u64 {
    2 * u64::from(norm.is_some()) + u64::from(act.is_some())
}

/// Floating-point operations an element of [`facegrad_kernels::transform_backward`], at least.
fn backward_operations(MapReading { norm, act, .. }: MapReading) -> u64 {
    let (norm, act) = (norm.is_some(), act.is_some());
    // The sums of the gradient and of its products with the input, and the sum of three products.
    let norm_operations = if norm { 3 + 4 } else { 0 };
    // The product with the slope, the gradient of the slope, and what the slope depends on the sign of.
    let act_operations = if act { 1 + 2 + 2 * u64::from(norm) } else { 0 };
    norm_operations + act_operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_joins_are_those_of_their_parts() {
        let reading =
            |norm: bool, act: bool| MapReading { map: 0, norm: norm.then_some(0), act: act.then_some(0) };
        assert_eq!(join_operations(reading(true, false), Some(reading(false, false)), true), 6);
        assert_eq!(join_operations(reading(true, true), None, false), 3);
        assert_eq!(join_operations(reading(false, true), None, false), 1);
        assert_eq!(backward_operations(reading(true, true)), 12);
        assert_eq!(backward_operations(reading(false, true)), 3);
    }
}
