//! IResNet, the residual network of ArcFace.

use facegrad_settings::{settings, within};

use crate::{
    Activation,
    initial::Init,
    layers::ComposedKind,
    layout::{Conv, EmbeddingNorm, Layout, Projection, Trunk},
    squeeze_excitation::SqueezeExcitationKind,
};

/// The block itself is that of Han et al., "Deep Pyramidal Residual Networks", 2017.
pub(crate) const SOURCE: &str = "Deng et al., ArcFace, CVPR 2019; layout of insightface arcface_torch";

const INIT: Init = Init::Normal(0.1);

settings! {
    /// Keys of the IResNet family.
    pub struct IResNetConfig {
        /// Length of the embedding.
        embedding: usize = 512, within(1, 65536);
        /// The non-linearity.
        activation: Activation = Activation::PRelu;
        /// Chance that an element of the last feature map is dropped while training.
        dropout: f64 = 0.0, within(0, 0.9);
        /// Whether squeeze-and-excitation (Hu et al., 2018) ends each block, as in the IR-SE networks of AdaFace.
        squeeze_excitation: bool = false;
    }
}

/// Four stages of `units` blocks; each stage halves the map.
pub(crate) fn layout(units: [usize; 4], config: &IResNetConfig, input: [usize; 2]) -> Layout {
    let mut net = Trunk::new(input).conv(Conv::new(64, 3, INIT)).norm().act(config.activation);
    for (channels, units) in [64, 128, 256, 512].into_iter().zip(units) {
        for unit in 0..units {
            let stride = if unit == 0 { 2 } else { 1 };
            net = block(net, channels, stride, config.activation, config.squeeze_excitation, INIT);
        }
    }
    net.norm().project(Projection {
        embedding: config.embedding,
        dropout: config.dropout,
        bias: true,
        norm: EmbeddingNorm::UnitScale,
        init: Init::UniformFanIn,
    })
}

/// Normalisation, convolution, normalisation, non-linearity, convolution (which has the stride),
/// normalisation, and squeeze-and-excitation where asked for; around it the identity, or a convolution and
/// normalisation where the map changes size.
pub(crate) fn block(
    net: Trunk,
    channels: usize,
    stride: usize,
    activation: Activation,
    squeeze_excitation: bool,
    init: Init,
) -> Trunk {
    let resized = stride != 1 || net.map().channels != channels;
    net.residual(
        |body| {
            let body = body
                .norm()
                .conv(Conv::new(channels, 3, init))
                .norm()
                .act(activation)
                .conv(Conv::new(channels, 3, init).stride(stride))
                .norm();
            let scales = || ComposedKind::new(SqueezeExcitationKind { channels, reduction: 16 });
            if squeeze_excitation { body.composed(scales()) } else { body }
        },
        |shortcut| {
            if resized { shortcut.conv(Conv::new(channels, 1, init).stride(stride)).norm() } else { shortcut }
        },
    )
}
