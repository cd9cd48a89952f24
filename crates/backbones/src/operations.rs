//! What a network asks of the CPU kernels in training, to measure that one by one: the operators of the plan without
//! their place in it, so that equal ones are equal.

use facegrad_kernels::{Conv, Dims};

use crate::{
    BackboneConfig, BackboneError, ComposedKind,
    plan::{self, OperatorKind},
};

/// What is done to the elements of a map on their way into an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transforms {
    /// Batch normalisation.
    pub norm: bool,
    /// A non-linearity, whatever its kind.
    pub act: bool,
}

/// One operation of the layers between the image and the last linear layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// A convolution.
    Conv {
        /// Which.
        conv: Conv,
        /// The shape of its input.
        input: Dims,
        /// How it reads that.
        reading: Transforms,
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
        body: Transforms,
        /// How the shortcut is read.
        shortcut: Option<Transforms>,
        /// Whether a normalisation follows.
        moments: bool,
    },
    /// A layer that nothing fuses with, which has no kernels.
    Composed {
        /// Which.
        kind: ComposedKind,
        /// The shape of its input.
        input: Dims,
    },
}

impl BackboneConfig {
    /// The operations of a forward pass on `batch` images of `input` = `[height, width]` pixels, in their order.
    ///
    /// # Errors
    /// [`BackboneError::TooSmall`].
    pub fn operations(&self, input: [usize; 2], batch: usize) -> Result<Vec<Operation>, BackboneError> {
        let plan = self.plan(input)?;
        let of = |operator: &plan::Operator| {
            let input = Dims { batch, ..plan.dims(operator.input.map) };
            let reading = Transforms::of(operator.input);
            let moments = plan.map(operator.output).needs_moments();
            match &operator.kind {
                &OperatorKind::Conv { conv, bias, .. } => {
                    let input_gradient = operator.input.map != 0;
                    Operation::Conv { conv, input, reading, bias, moments, input_gradient }
                }
                OperatorKind::Join { add } => {
                    Operation::Join { dims: input, body: reading, shortcut: add.map(Transforms::of), moments }
                }
                OperatorKind::Composed { kind, .. } => Operation::Composed { kind: kind.clone(), input },
            }
        };
        Ok(plan.operators().iter().map(of).collect())
    }
}

impl Transforms {
    fn of(reading: plan::MapReading) -> Self {
        Self { norm: reading.norm.is_some(), act: reading.act.is_some() }
    }
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
                    Operation::Join { .. } | Operation::Composed { .. } => None,
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
                Operation::Composed { kind, .. } => format!("{kind:?}"),
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
