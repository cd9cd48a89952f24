//! A network of one's own under a head of facegrad's.
//!
//!     cargo run --release --example your_own_backbone
//!
//! Backbones in config files are those of the registry (CONTRIBUTING.md). From outside, any Burn module will do.

use std::{error::Error, sync::Arc};

use burn::module::Module;
use burn::nn::{Linear, LinearConfig, conv::Conv2d, conv::Conv2dConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor, activation::relu};
use facegrad::loader::{Loader, LoaderConfig, Plan, SamplerConfig};
use facegrad::losses::{EmbeddingBatch, HeadOutput, Labels, Progress};
use facegrad::synthetic::{SyntheticConfig, SyntheticFaces};
use facegrad::{Backend, CriterionConfig, HeadConfig, burn, choose, recognition::to_input};

/// A convolution that halves the image, and a layer to an embedding.
#[derive(Module, Debug)]
struct Plain {
    conv: Conv2d,
    linear: Linear,
}

impl Plain {
    fn new(device: &Device) -> Self {
        let halve = Conv2dConfig::new([3, 8], [3, 3]).with_stride([2, 2]);
        Self { conv: halve.init(device), linear: LinearConfig::new(8 * 9 * 9, 32).init(device) }
    }

    /// Images `[batch, 3, 20, 20]` to embeddings `[batch, 32]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.linear.forward(relu(self.conv.forward(images)).flatten::<2>(1, 3))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = choose(Backend::built_in()[0], None)?.device.autodiff();
    let drawn = SyntheticConfig { identities: 8, images: 8, size: 20, ..Default::default() };
    let plan = Plan { seed: 1, batch: 16, size: [20, 20], start_step: 0, end_step: 10 };
    let (faces, shuffle) = (Arc::new(SyntheticFaces::new(&drawn)), SamplerConfig::default());
    let mut batches = Loader::start(faces, plan, &shuffle, Default::default(), LoaderConfig::default())?;
    let arcface = HeadConfig::of_kind("arcface").ok_or("there is no such head")?;
    let mut model = (Plain::new(&device), arcface.init(8, 32, 1, &device)?);
    let mut optimizer = SgdConfig::new().init();
    while let Some(batch) = batches.next().transpose()? {
        let embeddings = model.0.forward(to_input(&batch.pixels, [20, 20], &device));
        let (step, labels) = (batch.step, Labels::new(&batch.labels, &device));
        let progress = Progress { step, total: 10 };
        let loss = match model.1.forward(&EmbeddingBatch { embeddings, labels, progress, watched: false })? {
            HeadOutput::Logits(output) => output.loss(&CriterionConfig::default()),
            HeadOutput::Loss(output) => output.loss,
        };
        println!("step {step}: loss {:.3}", loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.05, model, gradients);
    }
    Ok(())
}
