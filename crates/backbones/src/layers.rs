//! The layers that networks are made of, as modules.
//!
//! Every family runs through [`run`], so a faster way to compute a layer, or several in a row, goes in there
//! and serves all of them.

use burn::{
    module::{Module, RunningState},
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, PaddingConfig2d, conv::Conv2d},
    tensor::Tensor,
};
use facegrad_operators as operators;

use crate::{
    activation::Act,
    fused,
    initial::Weights,
    layout::{Conv, EmbeddingNorm, Projection, Step},
};

/// One layer on a feature map.
#[derive(Module, Debug)]
pub enum Layer {
    /// A convolution.
    Conv(Conv2d),
    /// Batch normalisation.
    Norm(BatchNorm),
    /// A non-linearity.
    Act(Act),
    /// The sum of two branches.
    Residual(Residual),
}

/// The sum of two branches; an empty branch is the identity.
#[derive(Module, Debug)]
pub struct Residual {
    pub(crate) body: Vec<Layer>,
    pub(crate) shortcut: Vec<Layer>,
}

/// Dropout, a linear layer on the flattened map, and the normalisation of the embedding.
#[derive(Module, Debug)]
pub struct Embed {
    dropout: Dropout,
    pub(crate) linear: Linear,
    pub(crate) norm: Option<BatchNorm>,
}

/// The layers of `steps` with their initial weights.
pub(crate) fn build(steps: &[Step], weights: &mut Weights) -> Vec<Layer> {
    steps
        .iter()
        .map(|step| match step {
            Step::Conv(layout) => Layer::Conv(conv(layout, weights)),
            Step::Norm { channels } => Layer::Norm(norm(*channels, weights)),
            Step::Act { kind, channels } => Layer::Act(Act::new(*kind, *channels, weights)),
            Step::Residual { body, shortcut } => {
                Layer::Residual(Residual { body: build(body, weights), shortcut: build(shortcut, weights) })
            }
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

/// Gives every normalisation of `layers` running statistics that nothing else shares.
pub(crate) fn own_statistics(layers: &mut [Layer]) {
    for layer in layers {
        match layer {
            Layer::Norm(norm) => own_statistics_of(norm),
            Layer::Residual(block) => {
                own_statistics(&mut block.body);
                own_statistics(&mut block.shortcut);
            }
            Layer::Conv(_) | Layer::Act(_) => {}
        }
    }
}

/// Gives `norm` running statistics that nothing else shares.
pub(crate) fn own_statistics_of(norm: &mut BatchNorm) {
    norm.running_mean = RunningState::new(norm.running_mean.value());
    norm.running_var = RunningState::new(norm.running_var.value());
}

/// Runs `layers`, on the kernels for CPUs where these take the map.
///
/// # Shapes
/// - map: `[batch, channels, height, width]`
/// - output: the same axes, in the sizes of the last layer
pub(crate) fn run(layers: &[Layer], map: Tensor<4>) -> Tensor<4> {
    if operators::supports(&map) { fused::run(layers, map) } else { composed(layers, map) }
}

/// Runs `layers` one after the other, each by the operations of Burn.
pub(crate) fn composed(layers: &[Layer], map: Tensor<4>) -> Tensor<4> {
    layers.iter().fold(map, |map, layer| match layer {
        Layer::Conv(conv) => conv.forward(map),
        Layer::Norm(norm) => norm.forward(map),
        Layer::Act(act) => act.forward(map),
        Layer::Residual(block) => composed(&block.shortcut, map.clone()) + composed(&block.body, map),
    })
}

impl Embed {
    pub(crate) fn new(inputs: usize, layout: &Projection, weights: &mut Weights) -> Self {
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
        Self { dropout: DropoutConfig::new(layout.dropout).init(), linear, norm }
    }

    /// # Shapes
    /// - map: `[batch, channels, height, width]`
    /// - output: `[batch, embedding]`
    pub(crate) fn forward(&self, map: Tensor<4>) -> Tensor<2> {
        let Linear { weight, bias } = &self.linear;
        let vectors: Tensor<2> = self.dropout.forward(map).flatten(1, 3);
        let embedding = match operators::supports(&vectors) {
            true => operators::linear(vectors, weight.val(), bias.as_ref().map(|bias| bias.val())),
            false => self.linear.forward(vectors),
        };
        match &self.norm {
            Some(norm) => norm.forward(embedding),
            None => embedding,
        }
    }
}
