//! The layers that networks are made of, as modules.
//!
//! [`composed`] runs them one after the other, on any backend; the kernels run them by the plan.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use burn::{
    module::{Module, RunningState},
    nn::{BatchNorm, Dropout, Linear, conv::Conv2d},
    tensor::{Device, Distribution, Tensor},
};
use facegrad_kernels::{Dims, infer::ImageFunction};
use facegrad_operators as operators;

use crate::{
    activation::ActivationLayer,
    initial::Weights,
    sizes::{Cost, Map},
    squeeze_excitation::SqueezeExcitation,
};

/// One layer on a feature map.
#[derive(Module, Debug)]
pub enum Layer {
    /// A convolution.
    Conv(Conv2d),
    /// Batch normalisation.
    Norm(BatchNorm),
    /// A non-linearity.
    Act(ActivationLayer),
    /// The sum of two branches.
    Residual(Residual),
    /// Squeeze-and-excitation.
    SqueezeExcitation(SqueezeExcitation),
}

impl Layer {
    /// The layer, where it is one that nothing fuses with. Each such kind has its line here.
    pub(crate) fn composed(&self) -> Option<&dyn ComposedLayer> {
        match self {
            Self::SqueezeExcitation(layer) => Some(layer),
            Self::Conv(_) | Self::Norm(_) | Self::Act(_) | Self::Residual(_) => None,
        }
    }
}

/// A kind of layer that nothing fuses with, and its sizes. On every backend it is composed of the operations of Burn.
pub(crate) trait LayerKind: Debug + Send + Sync {
    /// What tables call it: its name and sizes, but for those of the map.
    fn name(&self) -> String;
    /// The map that it makes of `map`.
    fn output(&self, map: Map) -> Map;
    /// What it costs on `map`.
    fn cost(&self, map: Map) -> Cost;
    /// With its initial weights.
    fn init(&self, weights: &mut Weights) -> Layer;
}

/// A layer of a [`LayerKind`], with its weights.
pub(crate) trait ComposedLayer {
    /// # Shapes
    /// - map: `[batch, channels, height, width]` where `channels` is 1, `[batch, height, width, channels]` where it is 3
    /// - output: the same axes
    fn forward(&self, map: Tensor<4>, channels: usize) -> Tensor<4>;
    /// The layer as it is evaluated, on maps of the shape `map`.
    fn evaluated(&self, map: Dims) -> ImageFunction;
}

/// A layer that nothing fuses with, such as squeeze-and-excitation, before it has weights.
#[derive(Debug, Clone)]
pub struct ComposedKind(pub(crate) Arc<dyn LayerKind>);

impl PartialEq for ComposedKind {
    /// Whether both have the same name and sizes.
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl ComposedKind {
    pub(crate) fn new(kind: impl LayerKind + 'static) -> Self {
        Self(Arc::new(kind))
    }

    /// What tables call it on maps of the shape `map`.
    pub fn title(&self, map: Dims) -> String {
        format!("{} {}x{}", self.0.name(), map.height, map.width)
    }

    /// Runs the layer once on maps of noise of the shape `input`, on Burn's default device: how long the forward pass
    /// takes, and how long the backward pass.
    pub fn time(&self, input: Dims) -> [Duration; 2] {
        let device = Device::default().autodiff();
        let layer = self.0.init(&mut Weights::new(0, &device));
        let Some(layer) = layer.composed() else { unreachable!("its kind is one that nothing fuses with") };
        let Dims { batch, height, width, channels } = input;
        let map =
            Tensor::random([batch, height, width, channels], Distribution::Default, &device).require_grad();
        // Draws the weights.
        layer.forward(map.clone(), 3);
        let begin = Instant::now();
        let output = layer.forward(map, 3);
        let forward = begin.elapsed();
        let begin = Instant::now();
        output.backward();
        [forward, begin.elapsed()]
    }

    /// Floating-point operations of the forward pass on maps of the shape `input`, at least: those of its weights, and
    /// one for each number that it reads.
    pub fn operations(&self, input: Dims) -> u64 {
        let Dims { batch, height, width, channels } = input;
        2 * batch as u64 * self.0.cost(Map { channels, height, width }).multiply_adds
            + input.elements() as u64
    }
}

/// The sum of two branches; an empty branch is the identity.
#[derive(Module, Debug)]
pub struct Residual {
    pub(crate) body: Vec<Layer>,
    pub(crate) shortcut: Vec<Layer>,
}

/// Dropout, a linear layer on the flattened map, and the normalisation of the embedding.
#[derive(Module, Debug)]
pub struct EmbeddingLayer {
    pub(crate) dropout: Dropout,
    pub(crate) linear: Linear,
    pub(crate) norm: Option<BatchNorm>,
}

/// The layers other than residual blocks, numbered as in a [`NetworkPlan`](crate::plan::NetworkPlan).
pub(crate) fn in_order(layers: &[Layer]) -> Vec<&Layer> {
    let leaves = layers.iter().flat_map(|layer| match layer {
        Layer::Residual(block) => [in_order(&block.body), in_order(&block.shortcut)].concat(),
        layer => vec![layer],
    });
    leaves.collect()
}

/// As [`in_order`].
pub(crate) fn into_order(layers: Vec<Layer>) -> Vec<Layer> {
    let leaves = layers.into_iter().flat_map(|layer| match layer {
        Layer::Residual(block) => [block.body, block.shortcut].into_iter().flat_map(into_order).collect(),
        layer => vec![layer],
    });
    leaves.collect()
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
            Layer::Conv(_) | Layer::Act(_) | Layer::SqueezeExcitation(_) => {}
        }
    }
}

/// Gives `norm` running statistics that nothing else shares.
pub(crate) fn own_statistics_of(norm: &mut BatchNorm) {
    norm.running_mean = RunningState::new(norm.running_mean.value());
    norm.running_var = RunningState::new(norm.running_var.value());
}

/// Runs `layers` one after the other, each by the operations of Burn.
///
/// # Shapes
/// - map: `[batch, channels, height, width]`
/// - output: the same axes, in the sizes of the last layer
pub(crate) fn composed(layers: &[Layer], map: Tensor<4>) -> Tensor<4> {
    layers.iter().fold(map, |map, layer| match layer {
        Layer::Conv(conv) => conv.forward(map),
        Layer::Norm(norm) => norm.forward(map),
        Layer::Act(act) => act.forward(map),
        Layer::Residual(block) => composed(&block.shortcut, map.clone()) + composed(&block.body, map),
        Layer::SqueezeExcitation(layer) => layer.forward(map, 1),
    })
}

impl EmbeddingLayer {
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
