//! What a network asks of the CPU kernels in training, to measure them one by one: the operations of `fused.rs`
//! without the numbers.

use facegrad_kernels::{Conv, Dims};

use crate::{
    BackboneConfig, BackboneError,
    layout::{self, Step},
};

/// What is done to the elements of a map on their way into an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Batch normalisation.
    pub norm: bool,
    /// A non-linearity, whatever its kind.
    pub act: bool,
}

/// One operation of the layers between the image and the last linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A convolution.
    Conv {
        /// Which.
        conv: Conv,
        /// The shape of its input.
        input: Dims,
        /// How it reads that.
        reading: Reading,
        /// Whether a bias is added.
        bias: bool,
        /// Whether a normalisation follows, which needs the moments of the output.
        moments: bool,
        /// Whether the input has a gradient: the images have none.
        input_gradient: bool,
    },
    /// The sum of two branches, or the end of one that a normalisation cannot wait for.
    Join {
        /// The shape of the maps.
        dims: Dims,
        /// How the body is read.
        body: Reading,
        /// How the shortcut is read.
        shortcut: Option<Reading>,
        /// Whether a normalisation follows.
        moments: bool,
    },
}

impl BackboneConfig {
    /// The operations of a forward pass on `batch` images of `input` = `[height, width]` pixels, in their order.
    ///
    /// # Errors
    /// [`BackboneError::TooSmall`].
    pub fn operations(&self, input: [usize; 2], batch: usize) -> Result<Vec<Operation>, BackboneError> {
        let layout = self.checked_layout(input)?;
        let [height, width] = input;
        let image = Map { dims: Dims { batch, height, width, channels: 3 }, reading: Reading::default() };
        let mut operations = Vec::new();
        let last = walk(&layout.steps, image, false, &mut operations);
        materialise(last, false, &mut operations);
        Ok(operations)
    }
}

/// A map in memory and what waits to be done to it.
#[derive(Clone, Copy)]
struct Map {
    dims: Dims,
    reading: Reading,
}

/// Adds the operations of `steps` on `map`; `then_norm` tells whether a normalisation follows the last one.
fn walk(steps: &[Step], mut map: Map, then_norm: bool, operations: &mut Vec<Operation>) -> Map {
    for (i, step) in steps.iter().enumerate() {
        let moments = steps.get(i + 1).map_or(then_norm, begins_with_norm);
        match step {
            Step::Norm { .. } => {
                // Two normalisations cannot wait at once, and none waits behind a non-linearity.
                map = materialise(map, true, operations);
                map.reading.norm = true;
            }
            Step::Act { .. } => {
                map = if map.reading.act { materialise(map, false, operations) } else { map };
                map.reading.act = true;
            }
            Step::Conv(layout) => {
                let conv = kernel(layout);
                operations.push(Operation::Conv {
                    conv,
                    input: map.dims,
                    reading: map.reading,
                    bias: layout.bias,
                    moments,
                    input_gradient: !operations.is_empty(),
                });
                map = Map { dims: conv.output(map.dims), reading: Reading::default() };
            }
            Step::Residual { body, shortcut } => {
                map = materialise(map, begins_with_norm(step), operations);
                let body = walk(body, map, false, operations);
                let shortcut = walk(shortcut, map, false, operations);
                operations.push(Operation::Join {
                    dims: body.dims,
                    body: body.reading,
                    shortcut: Some(shortcut.reading),
                    moments,
                });
                map = Map { dims: body.dims, reading: Reading::default() };
            }
        }
    }
    map
}

/// Does what waits to be done to `map`.
fn materialise(map: Map, moments: bool, operations: &mut Vec<Operation>) -> Map {
    if map.reading == Reading::default() {
        return map;
    }
    operations.push(Operation::Join { dims: map.dims, body: map.reading, shortcut: None, moments });
    Map { reading: Reading::default(), ..map }
}

fn begins_with_norm(step: &Step) -> bool {
    match step {
        Step::Norm { .. } => true,
        Step::Residual { body, shortcut } => {
            [body, shortcut].iter().any(|branch| branch.first().is_some_and(begins_with_norm))
        }
        Step::Conv(_) | Step::Act { .. } => false,
    }
}

fn kernel(layout: &layout::Conv) -> Conv {
    let layout::Conv { inputs, outputs, kernel, stride, padding, groups, .. } = *layout;
    Conv { inputs, outputs, kernel, stride, padding, groups }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_of_every_network_are_those_it_costs() {
        for kind in BackboneConfig::KINDS {
            let config = BackboneConfig::of_kind(kind).unwrap();
            let operations = config.operations([112, 112], 2).unwrap();
            let products: usize = operations
                .iter()
                .filter_map(|operation| match operation {
                    Operation::Conv { conv, input, .. } => {
                        Some(conv.output(*input).pixels() * conv.weights())
                    }
                    Operation::Join { .. } => None,
                })
                .sum();
            let layout = config.checked_layout([112, 112]).unwrap();
            let linear = layout.inputs * config.embedding_size();
            assert_eq!(products as u64, 2 * (layout.cost.multiply_adds - linear as u64), "{kind}");
        }
    }

    #[test]
    fn a_block_of_iresnet_is_two_convolutions_and_a_join() {
        let operations = BackboneConfig::of_kind("iresnet18").unwrap().operations([112, 112], 1).unwrap();
        let short: Vec<String> = operations
            .iter()
            .take(7)
            .map(|operation| match operation {
                Operation::Conv { conv, reading, moments, .. } => {
                    format!("{}x s{} {} {} {moments}", conv.kernel[0], conv.stride, reading.norm, reading.act)
                }
                Operation::Join { body, shortcut, moments, .. } => {
                    format!("join {} {} {moments}", body.norm, shortcut.is_some_and(|s| s.norm))
                }
            })
            .collect();
        let expected = [
            "3x s1 false false true",
            "join true false true",
            "3x s1 true false true",
            "3x s2 true true true",
            "1x s2 false false true",
            "join true true true",
            "3x s1 true false true",
        ];
        assert_eq!(short, expected);
    }
}
