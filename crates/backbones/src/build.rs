//! Layouts made into layers with their initial weights.

use burn::nn::{BatchNorm, BatchNormConfig, DropoutConfig, Linear, PaddingConfig2d, conv::Conv2d};

use crate::{
    activation::ActivationLayer,
    initial::Weights,
    layers::{EmbeddingLayer, Layer, Residual},
    layout::{Conv, EmbeddingNorm, Projection, Step},
};

/// The layers of `steps`.
pub(crate) fn layers(steps: &[Step], weights: &mut Weights) -> Vec<Layer> {
    steps
        .iter()
        .map(|step| match step {
            Step::Conv(layout) => Layer::Conv(conv(layout, weights)),
            Step::Norm { channels } => Layer::Norm(norm(*channels, weights)),
            Step::Act { kind, channels } => Layer::Act(ActivationLayer::new(*kind, *channels, weights)),
            Step::Residual { body, shortcut } => {
                Layer::Residual(Residual { body: layers(body, weights), shortcut: layers(shortcut, weights) })
            }
            Step::Composed(kind) => kind.0.init(weights),
        })
        .collect()
}

fn conv(layout: &Conv, weights: &mut Weights) -> Conv2d {
    let [outputs, inputs, height, width] = layout.weight();
    let area = height * width;
    Conv2d {
        weight: weights.draw(layout.weight(), layout.init, inputs * area, outputs * area),
        bias: layout.bias.then(|| weights.constant(outputs, 0.0)),
        stride: [layout.stride; 2],
        kernel_size: layout.kernel,
        dilation: [1; 2],
        groups: layout.groups,
        padding: PaddingConfig2d::Explicit(layout.padding, layout.padding, layout.padding, layout.padding),
    }
}

/// With epsilon 1e-5 and momentum 0.1, as in PyTorch.
fn norm(channels: usize, weights: &Weights) -> BatchNorm {
    BatchNormConfig::new(channels).with_epsilon(1e-5).with_momentum(0.1).init(weights.device())
}

/// The end of a network whose last map has `inputs` elements, with its initial weights.
pub(crate) fn embed(inputs: usize, layout: &Projection, weights: &mut Weights) -> EmbeddingLayer {
    let outputs = layout.embedding;
    let linear = Linear {
        weight: weights.draw([inputs, outputs], layout.init, inputs, outputs),
        bias: layout.bias.then(|| weights.constant(outputs, 0.0)),
    };
    let norm = match layout.norm {
        EmbeddingNorm::None => None,
        EmbeddingNorm::Full => Some(norm(outputs, weights)),
        EmbeddingNorm::UnitScale => {
            let norm = norm(outputs, weights);
            Some(BatchNorm { gamma: norm.gamma.set_require_grad(false), ..norm })
        }
    };
    EmbeddingLayer { dropout: DropoutConfig::new(layout.dropout).init(), linear, norm }
}
