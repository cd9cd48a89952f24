//! A small residual network for CPUs.

use facegrad_settings::{settings, within};

use crate::{
    Activation,
    initial::Init,
    iresnet,
    layout::{Conv, EmbeddingNorm, Layout, Projection, Trunk},
};

pub(crate) const SOURCE: &str = "facegrad";

const INIT: Init = Init::KaimingFanOut;

settings! {
    /// Keys of nano.
    pub struct NanoConfig {
        /// Length of the embedding.
        embedding: usize = 256, within(1, 65536);
        /// The non-linearity.
        activation: Activation = Activation::PRelu;
        /// Chance that an element of the last feature map is dropped while training.
        dropout: f64 = 0.0, within(0, 0.9);
        /// Factor on the numbers of channels, which are 32, 64, 128 and 256.
        width: f64 = 1.0, within(0.25, 8.0);
        /// Stride of the first convolution; 1 keeps more detail of small images and costs four times as much.
        stem_stride: usize = 2, within(1, 2);
    }
}

/// A convolution, then four IResNet blocks; each halves the map.
pub(crate) fn layout(config: &NanoConfig, input: [usize; 2]) -> Layout {
    let channels = [32.0, 64.0, 128.0, 256.0].map(|channels| (channels * config.width).round() as usize);
    let stem = Conv::new(channels[0], 3, INIT).stride(config.stem_stride);
    let mut net = Trunk::new(input).conv(stem).norm().act(config.activation);
    for channels in channels {
        net = iresnet::block(net, channels, 2, config.activation, false, INIT);
    }
    net.norm().project(Projection {
        embedding: config.embedding,
        dropout: config.dropout,
        bias: true,
        norm: EmbeddingNorm::UnitScale,
        init: Init::UniformFanIn,
    })
}
