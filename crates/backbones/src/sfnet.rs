//! SFNet, the residual network of SphereFace: no normalisation layer, so no running statistics.

use facegrad_settings::{settings, within};

use crate::{
    Activation,
    initial::Init,
    layout::{Conv, EmbeddingNorm, Layout, Projection, Trunk},
};

pub(crate) const SOURCE: &str = "Liu et al., SphereFace, CVPR 2017; layout of the authors' Caffe model";

settings! {
    /// Keys of the SFNet family.
    pub struct SfNetConfig {
        /// Length of the embedding.
        embedding: usize = 512, within(1, 65536);
        /// The non-linearity.
        activation: Activation = Activation::PRelu;
        /// Chance that an element of the last feature map is dropped while training.
        dropout: f64 = 0.0, within(0, 0.9);
    }
}

/// Four stages: a convolution with bias that halves the map, then `units` residual blocks of two
/// convolutions without bias, each followed by the non-linearity.
///
/// OpenSphere's port differs: biases everywhere, ReLU, and the second one after the sum.
pub(crate) fn layout(units: [usize; 4], config: &SfNetConfig, input: [usize; 2]) -> Layout {
    let act = config.activation;
    let mut net = Trunk::new(input);
    for (channels, units) in [64, 128, 256, 512].into_iter().zip(units) {
        net = net.conv(Conv::new(channels, 3, Init::CaffeXavier).stride(2).bias()).act(act);
        let inner = Conv::new(channels, 3, Init::Normal(0.01));
        for _ in 0..units {
            net = net.residual(|body| body.conv(inner).act(act).conv(inner).act(act), |shortcut| shortcut);
        }
    }
    net.project(Projection {
        embedding: config.embedding,
        dropout: config.dropout,
        bias: true,
        norm: EmbeddingNorm::None,
        init: Init::CaffeXavier,
    })
}
