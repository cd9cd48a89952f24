//! MobileFaceNet: inverted bottlenecks and a depthwise convolution in place of the large linear layer.

use facegrad_settings::{settings, within};

use crate::{
    Activation,
    initial::Init,
    layout::{Conv, EmbeddingNorm, Layout, Projection, Trunk},
};

pub(crate) const SOURCE: &str = "Chen et al., MobileFaceNets, CCBR 2018; layout of FaceX-Zoo";
pub(crate) const MBF_SOURCE: &str =
    "Chen et al., MobileFaceNets, CCBR 2018; layout of insightface arcface_torch";

const INIT: Init = Init::KaimingFanOut;

settings! {
    /// Keys of the MobileFaceNet family.
    pub struct MobileFaceNetConfig {
        /// Length of the embedding.
        embedding: usize = 512, within(1, 65536);
        /// The non-linearity.
        activation: Activation = Activation::PRelu;
        /// Chance that an element of the last feature vector is dropped while training.
        dropout: f64 = 0.0, within(0, 0.9);
    }
}

/// The original, with `width` 1; insightface's has `width` 2, but as many channels inside the bottlenecks
/// and as many groups in the second convolution as with `width` 1.
pub(crate) fn layout(width: usize, config: &MobileFaceNetConfig, input: [usize; 2]) -> Layout {
    let act = config.activation;
    let (narrow, wide) = (64 * width, 128 * width);
    let mut net = Trunk::new(input)
        .conv(Conv::new(narrow, 3, INIT).stride(2))
        .norm()
        .act(act)
        .conv(Conv::new(narrow, 3, INIT).groups(64))
        .norm()
        .act(act);
    // Output channels, inner channels and number of blocks after the first, which halves the map.
    for (channels, first, inner, repeats) in [(narrow, 128, 128, 4), (wide, 256, 256, 6), (wide, 512, 256, 2)]
    {
        net = bottleneck(net, channels, first, 2, act);
        for _ in 0..repeats {
            net = net.residual(|body| bottleneck(body, channels, inner, 1, act), |shortcut| shortcut);
        }
    }
    net.conv(Conv::new(512, 1, INIT)).norm().act(act).global_conv(INIT).norm().project(Projection {
        embedding: config.embedding,
        dropout: config.dropout,
        bias: false,
        norm: EmbeddingNorm::Full,
        init: INIT,
    })
}

/// A 1x1 convolution to `inner` channels, a depthwise one with the stride, and a 1x1 convolution to
/// `channels` without non-linearity.
fn bottleneck(net: Trunk, channels: usize, inner: usize, stride: usize, act: Activation) -> Trunk {
    net.conv(Conv::new(inner, 1, INIT))
        .norm()
        .act(act)
        .conv(Conv::new(inner, 3, INIT).stride(stride).groups(inner))
        .norm()
        .act(act)
        .conv(Conv::new(channels, 1, INIT))
        .norm()
}
