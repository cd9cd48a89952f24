//! Face embedding networks: pictures in, embeddings out.
//!
//! [`BackboneConfig`] is the `[backbone]` section of a config file, [`Backbone`] the network it describes, [`table`]
//! what each kind costs. The room knows nothing of losses, of data, or of files.
//!
//! A family of networks is a function from its keys to a layout. The layout gives the layers with their initial
//! weights, and is compiled once into a [`plan`], the list of fused operators that everything else goes through:
//! training on the kernels, the network folded for evaluation, the estimate of memory and the benchmark of operators.
//!
//! To add a backbone, write a file with its keys (a `settings!` struct with at least `embedding`) and a function from
//! those keys and the size of the images to a `Layout`, and add one line to the registry in this file. To add a kind
//! of layer, see `squeeze_excitation.rs` and CONTRIBUTING.md.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use facegrad_backbones::{BackboneConfig, NanoConfig};
//!
//! let config = BackboneConfig::Nano(NanoConfig { embedding: 64, width: 0.25, ..NanoConfig::default() });
//! assert!(config.cost([112, 112])?.parameters < 200_000);
//!
//! let device = Device::flex();
//! let network = config.init([112, 112], 1, &device)?;
//! let embeddings = network.forward(Tensor::zeros([2, 3, 112, 112], &device));
//! assert_eq!(embeddings.dims(), [2, 64]);
//!
//! // The same network, folded: images channels last.
//! let network = network.into_inference().expect("every layer has a kernel");
//! assert_eq!(network.run(&vec![0.0; 112 * 112 * 3], 1).len(), 64);
//! # Ok::<(), facegrad_backbones::BackboneError>(())
//! ```

mod activation;
mod build;
mod fused;
mod inference;
mod initial;
mod iresnet;
mod layers;
mod layout;
mod mobilefacenet;
mod nano;
mod operations;
pub mod plan;
mod sfnet;
mod sizes;
mod squeeze_excitation;

use std::sync::Arc;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use facegrad_settings::{Schema, Setting};

pub use crate::{
    activation::{Activation, ActivationLayer},
    iresnet::IResNetConfig,
    layers::{ComposedKind, EmbeddingLayer, Layer, Residual},
    mobilefacenet::MobileFaceNetConfig,
    nano::NanoConfig,
    operations::Operation,
    sfnet::SfNetConfig,
    sizes::Cost,
    squeeze_excitation::SqueezeExcitation,
};
use crate::{initial::Weights, layout::Layout, plan::NetworkPlan};

/// Declares the kinds: documentation, keys, the value of `kind`, the layout and its source.
macro_rules! registry {
    ($($(#[doc = $doc:literal])* $variant:ident($config:ty) = $kind:literal, $layout:expr, $source:expr;)*) => {
        facegrad_settings::kinds! {
            /// The network that turns images into embeddings.
            pub enum BackboneConfig {
                $( $(#[doc = $doc])* $variant($config) = $kind, )*
            }
        }

        impl BackboneConfig {
            /// The length of the embedding.
            pub fn embedding_size(&self) -> usize {
                match self { $(Self::$variant(config) => config.embedding,)* }
            }

            /// Where the network comes from.
            pub fn source(&self) -> &'static str {
                match self { $(Self::$variant(_) => $source,)* }
            }

            fn layout(&self, input: [usize; 2]) -> Layout {
                match self {
                    $(Self::$variant(config) => {
                        let layout: fn(&$config, [usize; 2]) -> Layout = $layout;
                        layout(config, input)
                    })*
                }
            }
        }
    };
}

registry! {
    /// A small residual network for CPUs: four IResNet blocks.
    Nano(NanoConfig) = "nano", nano::layout, nano::SOURCE;
    /// Residual network of 18 layers.
    IResNet18(IResNetConfig) = "iresnet18", |c, i| iresnet::layout([2, 2, 2, 2], c, i), iresnet::SOURCE;
    /// Residual network of 34 layers.
    IResNet34(IResNetConfig) = "iresnet34", |c, i| iresnet::layout([3, 4, 6, 3], c, i), iresnet::SOURCE;
    /// Residual network of 50 layers.
    IResNet50(IResNetConfig) = "iresnet50", |c, i| iresnet::layout([3, 4, 14, 3], c, i), iresnet::SOURCE;
    /// Residual network of 100 layers.
    IResNet100(IResNetConfig) = "iresnet100", |c, i| iresnet::layout([3, 13, 30, 3], c, i), iresnet::SOURCE;
    /// Residual network of 200 layers.
    IResNet200(IResNetConfig) = "iresnet200", |c, i| iresnet::layout([6, 26, 60, 6], c, i), iresnet::SOURCE;
    /// Mobile network of depthwise bottlenecks.
    MobileFaceNet(MobileFaceNetConfig) = "mobilefacenet",
        |c, i| mobilefacenet::layout(1, c, i), mobilefacenet::SOURCE;
    /// Mobile network with twice the channels between its bottlenecks, insightface's "mbf".
    MobileFaceNetMbf(MobileFaceNetConfig) = "mobilefacenet_mbf",
        |c, i| mobilefacenet::layout(2, c, i), mobilefacenet::MBF_SOURCE;
    /// Plain network of 4 layers without normalisation.
    SfNet4(SfNetConfig) = "sfnet4", |c, i| sfnet::layout([0, 0, 0, 0], c, i), sfnet::SOURCE;
    /// Residual network of 10 layers without normalisation.
    SfNet10(SfNetConfig) = "sfnet10", |c, i| sfnet::layout([0, 1, 2, 0], c, i), sfnet::SOURCE;
    /// Residual network of 20 layers without normalisation.
    SfNet20(SfNetConfig) = "sfnet20", |c, i| sfnet::layout([1, 2, 4, 1], c, i), sfnet::SOURCE;
    /// Residual network of 36 layers without normalisation.
    SfNet36(SfNetConfig) = "sfnet36", |c, i| sfnet::layout([2, 4, 8, 2], c, i), sfnet::SOURCE;
    /// Residual network of 64 layers without normalisation.
    SfNet64(SfNetConfig) = "sfnet64", |c, i| sfnet::layout([3, 8, 16, 3], c, i), sfnet::SOURCE;
}

/// Why a backbone cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum BackboneError {
    /// The images have too few pixels for the strides of the network.
    #[error(
        "backbone {kind} halves the image too often for {height}x{width} pixels (height x width); \
         the smallest it takes is {smallest}x{smallest}"
    )]
    TooSmall {
        kind: &'static str,
        /// Height of the images, in pixels.
        height: usize,
        /// Width of the images, in pixels.
        width: usize,
        /// The smallest height and width, in pixels.
        smallest: usize,
    },
}

impl BackboneConfig {
    /// Builds the network for images of `input` = `[height, width]` pixels with initial weights drawn
    /// from `seed`. The weights are the same on every backend.
    ///
    /// # Errors
    /// [`BackboneError::TooSmall`].
    pub fn init(&self, input: [usize; 2], seed: u64, device: &Device) -> Result<Backbone, BackboneError> {
        let layout = self.checked_layout(input)?;
        let mut weights = Weights::new(seed, device);
        Ok(Backbone {
            layers: build::layers(&layout.steps, &mut weights),
            embed: build::embed(layout.inputs, &layout.projection, &mut weights),
            embedding_size: layout.projection.embedding,
            plan: Arc::new(NetworkPlan::new(&layout, input)),
        })
    }

    /// What the network costs on images of `input` = `[height, width]` pixels.
    ///
    /// # Errors
    /// [`BackboneError::TooSmall`].
    pub fn cost(&self, input: [usize; 2]) -> Result<Cost, BackboneError> {
        self.checked_layout(input).map(|layout| layout.cost)
    }

    /// The smallest height and width of images that the network takes, in pixels.
    pub fn smallest_input(&self) -> usize {
        // Each layout has finitely many strides, so some size is large enough.
        (1..).find(|&size| !self.layout([size; 2]).too_small).unwrap_or(usize::MAX)
    }

    fn checked_layout(&self, input: [usize; 2]) -> Result<Layout, BackboneError> {
        let layout = self.layout(input);
        if layout.too_small {
            let ([height, width], smallest) = (input, self.smallest_input());
            return Err(BackboneError::TooSmall { kind: self.kind(), height, width, smallest });
        }
        Ok(layout)
    }
}

/// A face embedding network.
///
/// It trains, that is, drops out, draws the slopes of rrelu and normalises by the statistics of the batch, when the
/// images are on an autodiff device; [`Module::valid`] gives the network to evaluate with. The draws come from the
/// random state of the device: seed that at each step for a repeatable run.
#[derive(Module, Debug)]
pub struct Backbone {
    layers: Vec<Layer>,
    embed: EmbeddingLayer,
    embedding_size: usize,
    #[module(skip)]
    plan: Arc<NetworkPlan>,
}

impl Backbone {
    /// Embeds images.
    ///
    /// # Shapes
    /// - images: `[batch, 3, height, width]`, of the size the network was built for, with values in about
    ///   −1 to 1
    /// - output: `[batch, embedding]`, not normalised to unit length
    ///
    /// # Panics
    /// If the images have another size.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = match facegrad_operators::supports(&images) {
            true => fused::run(&self.plan, &self.layers, images),
            false => layers::composed(&self.layers, images),
        };
        self.embed.forward(features)
    }

    /// The same network with running statistics of its own. A clone shares them, so that a forward pass through it
    /// in training changes those of the original.
    pub fn with_own_statistics(&self) -> Self {
        let mut network = self.clone();
        layers::own_statistics(&mut network.layers);
        network.embed.norm.iter_mut().for_each(layers::own_statistics_of);
        network
    }

    /// The length of the embedding.
    pub fn embedding_size(&self) -> usize {
        self.embedding_size
    }
}

/// One line of [`table`].
#[derive(Debug, Clone, PartialEq)]
pub struct BackboneSummary {
    /// The value of `backbone.kind`.
    pub kind: &'static str,
    /// What it is, in a line.
    pub doc: String,
    /// Where it comes from.
    pub source: &'static str,
    /// What it costs with its default keys.
    pub cost: Cost,
}

/// Every kind of backbone with what it costs on images of `input` = `[height, width]` pixels; kinds that
/// take no images so small are left out.
pub fn table(input: [usize; 2]) -> Vec<BackboneSummary> {
    let Schema::Kinds(kinds) = BackboneConfig::schema() else { unreachable!("declared as kinds") };
    let row = |kind: facegrad_settings::Kind| {
        let config = BackboneConfig::of_kind(kind.name)?;
        let cost = config.cost(input).ok()?;
        Some(BackboneSummary { kind: kind.name, doc: kind.doc, source: config.source(), cost })
    };
    kinds.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests;
