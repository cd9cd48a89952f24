//! A network of one's own under a head of facegrad's.
//!
//!     cargo run --release --example your_own_backbone
//!
//! Backbones in config files are those of the registry (CONTRIBUTING.md: one file, one line), which become folded for
//! inference and are measured by `facegrad bench`. From outside, any Burn module that gives embeddings will do.

use std::error::Error;

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
    },
    optim::{GradientsParams, SgdConfig},
    tensor::{Device, Tensor, activation::relu},
};
use facegrad::{
    Backend, CriterionConfig, FaceSource, HeadConfig, burn, choose,
    losses::{Batch, Labels, Output, Progress},
    recognition::to_input,
    synthetic::{SyntheticConfig, SyntheticFaces},
};

/// Two convolutions that halve the image, and a layer to an embedding.
#[derive(Module, Debug)]
struct Plain {
    first: Conv2d,
    second: Conv2d,
    embed: Linear,
}

impl Plain {
    fn new(device: &Device) -> Self {
        let halving = |channels| Conv2dConfig::new(channels, [3, 3]).with_stride([2, 2]).init(device);
        Self {
            first: halving([3, 8]),
            second: halving([8, 16]),
            embed: LinearConfig::new(16 * 4 * 4, 32).init(device),
        }
    }

    /// Images `[batch, 3, 20, 20]` to embeddings `[batch, 32]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = relu(self.second.forward(relu(self.first.forward(images))));
        self.embed.forward(features.flatten::<2>(1, 3))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = choose(Backend::built_in()[0], None)?.device.autodiff();
    let faces =
        SyntheticFaces::new(&SyntheticConfig { identities: 8, images: 8, size: 20, ..Default::default() });
    let head = HeadConfig::of_kind("arcface").ok_or("there is no such head")?.init(8, 32, 1, &device)?;
    let criterion = CriterionConfig::of_kind("cross_entropy").ok_or("there is no such criterion")?;
    let (mut model, mut optimizer) = ((Plain::new(&device), head), SgdConfig::new().init());
    for step in 0..10 {
        let images: Vec<usize> = (0..16).map(|i| (step * 16 + i * 5) % faces.len()).collect();
        let pixels: Vec<Vec<u8>> = images
            .iter()
            .map(|&i| Ok(faces.load(i, [20, 20])?.pixels().to_vec()))
            .collect::<Result<_, Box<dyn Error>>>()?;
        let labels: Vec<usize> = images.iter().map(|&i| faces.label(i)).collect();
        let embeddings = model.0.forward(to_input(&pixels.concat(), [20, 20], &device));
        let progress = Progress { step, total: 10 };
        let batch = Batch { embeddings, labels: Labels::new(&labels, &device), progress, watched: false };
        let Output::Logits(output) = model.1.forward(&batch)? else {
            return Err("ArcFace has logits".into());
        };
        let loss = output.loss(&criterion);
        println!("step {step}: loss {:.3}", loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.05, model, gradients);
    }
    Ok(())
}
