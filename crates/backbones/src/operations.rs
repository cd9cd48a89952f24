//! What a network asks of the CPU kernels in training, to measure that one by one: the operators of the plan without
//! their place in it, so that equal ones are equal.

use facegrad_kernels::Dims;

use crate::{
    BackboneConfig, BackboneError,
    plan::{MapReading, Operator, OperatorKind},
};

/// An operator between the image and the last linear layer, in which every layer and every map has the number 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What is computed.
    pub kind: OperatorKind,
    /// How the input is read.
    pub reading: MapReading,
    /// The shape of the input.
    pub input: Dims,
    /// Whether a normalisation follows, which needs the moments of the output.
    pub moments: bool,
    /// Whether the input has a gradient: the images have none.
    pub input_gradient: bool,
}

impl BackboneConfig {
    /// The operations of a forward pass on `batch` images of `input` = `[height, width]` pixels, in their order.
    ///
    /// # Errors
    /// [`BackboneError::TooSmall`].
    pub fn operations(&self, input: [usize; 2], batch: usize) -> Result<Vec<Operation>, BackboneError> {
        let plan = self.plan(input)?;
        let placeless = |reading: MapReading| MapReading {
            map: 0,
            norm: reading.norm.map(|_| 0),
            act: reading.act.map(|_| 0),
        };
        let of = |Operator { kind, input, output }: &Operator| Operation {
            kind: match kind.clone() {
                OperatorKind::Conv { conv, bias, finish, .. } => {
                    OperatorKind::Conv { layer: 0, conv, bias, finish }
                }
                OperatorKind::Join { add } => OperatorKind::Join { add: add.map(placeless) },
                OperatorKind::Composed { kind, .. } => OperatorKind::Composed { layer: 0, kind },
            },
            reading: placeless(*input),
            input: Dims { batch, ..plan.dims(input.map) },
            moments: plan.map(*output).needs_moments(),
            input_gradient: input.map != 0,
        };
        Ok(plan.operators().iter().map(of).collect())
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
                .filter_map(|operation| match &operation.kind {
                    OperatorKind::Conv { conv, .. } => {
                        Some(conv.output(operation.input).pixels() * conv.weights())
                    }
                    OperatorKind::Join { .. } | OperatorKind::Composed { .. } => None,
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
            .map(|Operation { kind, reading, moments, .. }| match kind {
                OperatorKind::Conv { conv, .. } => {
                    let (kernel, stride) = (conv.kernel[0], conv.stride);
                    let [norm, act] = [reading.norm.is_some(), reading.act.is_some()];
                    format!("{kernel}x s{stride} {norm} {act} {moments}")
                }
                OperatorKind::Join { add } => {
                    let shortcut = add.is_some_and(|add| add.norm.is_some());
                    format!("join {} {shortcut} {moments}", reading.norm.is_some())
                }
                OperatorKind::Composed { kind, .. } => format!("{kind:?}"),
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
