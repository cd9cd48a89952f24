//! The non-linearities a backbone can be built with.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, activation},
};
use facegrad_settings::choice;

use crate::initial::Weights;

choice! {
    /// A non-linearity.
    pub enum Activation {
        /// max(0, x) + a·min(0, x) with one learnt a per channel, 0.25 at first (He et al., 2015).
        PRelu = "prelu",
        /// max(0, x).
        Relu = "relu",
        /// max(0, x), at most 6.
        Relu6 = "relu6",
        /// max(0, x) + 0.1·min(0, x).
        LeakyRelu = "leaky_relu",
        /// x where positive, exp(x) − 1 elsewhere (Clevert et al., 2016).
        Elu = "elu",
        /// A scaled elu that keeps mean 0 and variance 1 (Klambauer et al., 2017).
        Selu = "selu",
        /// 1 / (1 + exp(−x)).
        Sigmoid = "sigmoid",
        /// The hyperbolic tangent.
        Tanh = "tanh",
    }
}

impl Activation {
    /// The number of learnt parameters on a map of `channels` channels.
    pub(crate) fn parameters(self, channels: usize) -> usize {
        if self == Self::PRelu { channels } else { 0 }
    }
}

/// The slope of the leaky relu.
const LEAK: f64 = 0.1;

/// A non-linearity with its parameters.
#[derive(Module, Debug)]
pub struct Act {
    /// The slopes of prelu, of shape `[channels]`.
    alpha: Option<Param<Tensor<1>>>,
    #[module(skip)]
    kind: Activation,
}

impl Act {
    pub(crate) fn new(kind: Activation, channels: usize, weights: &Weights) -> Self {
        let alpha = (kind == Activation::PRelu).then(|| weights.constant(channels, 0.25));
        Self { alpha, kind }
    }

    /// Whether [`Act::slope`] gives one.
    pub(crate) fn has_slope(&self) -> bool {
        matches!(self.kind, Activation::PRelu | Activation::Relu | Activation::LeakyRelu)
    }

    /// The slopes below zero, of shape `[channels]`, if that is all there is to the non-linearity.
    pub(crate) fn slope(&self, channels: usize, device: &Device) -> Option<Tensor<1>> {
        match (self.kind, &self.alpha) {
            (Activation::PRelu, Some(alpha)) => Some(alpha.val()),
            (Activation::Relu, _) => Some(Tensor::zeros([channels], device)),
            (Activation::LeakyRelu, _) => Some(Tensor::full([channels], LEAK, device)),
            _ => None,
        }
    }

    /// Applies the non-linearity to each element.
    ///
    /// # Shapes
    /// - input: `[batch, channels, ...]`
    /// - output: `[batch, channels, ...]`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        match (self.kind, &self.alpha) {
            (Activation::PRelu, Some(alpha)) => activation::prelu(input, alpha.val()),
            (Activation::PRelu, None) => unreachable!("Act::new gives prelu its slopes"),
            (Activation::Relu, _) => activation::relu(input),
            (Activation::Relu6, _) => activation::relu6(input),
            (Activation::LeakyRelu, _) => activation::leaky_relu(input, LEAK),
            (Activation::Elu, _) => elu(input, 1.0),
            (Activation::Selu, _) => elu(input, 1.673_263_242_354_377_2) * 1.050_700_987_355_480_5,
            (Activation::Sigmoid, _) => activation::sigmoid(input),
            (Activation::Tanh, _) => activation::tanh(input),
        }
    }
}

/// max(0, x) + alpha·(exp(min(0, x)) − 1).
///
/// The minimum is taken inside the exponential: Burn's own `elu` takes exp(x) of positive x too, where an
/// overflow turns the gradient into NaN.
fn elu<const D: usize>(input: Tensor<D>, alpha: f64) -> Tensor<D> {
    let negative = (input.clone().clamp_max(0.0).exp() - 1.0) * alpha;
    activation::relu(input) + negative
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Values and gradients of `kind` at −1000, −1, 0.5 and 1000.
    fn at_points(kind: Activation) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let act = Act::new(kind, 1, &Weights::new(0, &device));
        let x = Tensor::<2>::from_data([[-1000.0], [-1.0], [0.5], [1000.0]], &device).require_grad();
        let y = act.forward(x.clone());
        let gradients = y.clone().sum().backward();
        let gradient = x.grad(&gradients).unwrap();
        (y.into_data().try_to_vec().unwrap(), gradient.into_data().try_to_vec().unwrap())
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formulas() {
        let e = (-1.0f32).exp();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let (s, t) = (sigmoid(0.5), 0.5f32.tanh());
        let (scale, alpha) = (1.050_701, 1.673_263_2);
        let expected: [(Activation, [f32; 4], [f32; 4]); 8] = [
            (Activation::PRelu, [-250.0, -0.25, 0.5, 1000.0], [0.25, 0.25, 1.0, 1.0]),
            (Activation::Relu, [0.0, 0.0, 0.5, 1000.0], [0.0, 0.0, 1.0, 1.0]),
            (Activation::Relu6, [0.0, 0.0, 0.5, 6.0], [0.0, 0.0, 1.0, 0.0]),
            (Activation::LeakyRelu, [-100.0, -0.1, 0.5, 1000.0], [0.1, 0.1, 1.0, 1.0]),
            (Activation::Elu, [-1.0, e - 1.0, 0.5, 1000.0], [0.0, e, 1.0, 1.0]),
            (
                Activation::Selu,
                [-scale * alpha, scale * alpha * (e - 1.0), scale * 0.5, scale * 1000.0],
                [0.0, scale * alpha * e, scale, scale],
            ),
            (
                Activation::Sigmoid,
                [0.0, sigmoid(-1.0), s, 1.0],
                [0.0, sigmoid(-1.0) * sigmoid(1.0), s * (1.0 - s), 0.0],
            ),
            (
                Activation::Tanh,
                [-1.0, (-1.0f32).tanh(), t, 1.0],
                [0.0, 1.0 - 1.0f32.tanh().powi(2), 1.0 - t * t, 0.0],
            ),
        ];
        assert_eq!(expected.len(), Activation::ALL.len());
        for (kind, values, gradients) in expected {
            let (found_values, found_gradients) = at_points(kind);
            for (found, expected) in
                found_values.iter().chain(&found_gradients).zip(values.iter().chain(&gradients))
            {
                // Written so that NaN fails.
                let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                assert!(close, "{kind}: {found_values:?} {found_gradients:?}");
            }
        }
    }
}
