//! A head that facegrad has not: the margin shrinks where a face is hard to tell.
//!
//!     cargo run --release --example your_own_head
//!
//! Heads in config files are those of the registry (CONTRIBUTING.md); one from outside takes a loop of one's own.

use std::{error::Error, sync::Arc};

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Distribution, Tensor};
use facegrad::loader::{Loader, LoaderConfig, Plan, SamplerConfig};
use facegrad::losses::heads::ClassHeadOutput;
use facegrad::losses::{ClassLogits, EmbeddingBatch, Labels, LogitRule, Progress, Telemetry, l2_normalise};
use facegrad::synthetic::{SyntheticConfig, SyntheticFaces};
use facegrad::{BackboneConfig, Backend, CriterionConfig, burn, choose, recognition::to_input};

/// z_y = s (cos θ_y − m (1 + cos θ_y) / 2), z_j = s cos θ_j; the weights are `[classes, embedding]`.
#[derive(Module, Debug)]
struct SoftMargin {
    weight: Param<Tensor<2>>,
}

impl SoftMargin {
    /// Logits for a batch.
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, margin) = (16.0, 0.2);
        let (x, w) = (l2_normalise(batch.embeddings.clone()).0, l2_normalise(self.weight.val()).0);
        let cosines = x.matmul(w.transpose());
        let cosine = cosines.clone().gather(1, batch.labels.column()).squeeze_dim::<1>(1);
        let target = (cosine.clone() - (cosine + 1.0) * (margin / 2.0)) * scale;
        let logits = ClassLogits::new(cosines, target, batch.labels.clone(), LogitRule::Scaled { scale });
        ClassHeadOutput::new(logits, Telemetry::default())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = choose(Backend::built_in()[0], None)?.device.autodiff();
    let drawn = SyntheticConfig { identities: 8, images: 8, size: 20, ..Default::default() };
    let plan = Plan { seed: 1, batch: 16, size: [20, 20], start_step: 0, end_step: 10 };
    let (faces, shuffle) = (Arc::new(SyntheticFaces::new(&drawn)), SamplerConfig::default());
    let mut batches = Loader::start(faces, plan, &shuffle, Default::default(), LoaderConfig::default())?;
    let backbone = BackboneConfig::of_kind("nano").ok_or("there is no such backbone")?;
    let weight = Tensor::random([8, backbone.embedding_size()], Distribution::Normal(0.0, 0.01), &device);
    let head = SoftMargin { weight: Param::from_tensor(weight) };
    let mut model = (backbone.init([20, 20], 1, &device)?, head);
    let mut optimizer = SgdConfig::new().init();
    while let Some(batch) = batches.next().transpose()? {
        let embeddings = model.0.forward(to_input(&batch.pixels, [20, 20], &device));
        let (step, labels) = (batch.step, Labels::new(&batch.labels, &device));
        let progress = Progress { step, total: 10 };
        let output = model.1.forward(&EmbeddingBatch { embeddings, labels, progress, watched: false });
        let loss = output.loss(&CriterionConfig::default());
        println!("step {step}: loss {:.3}", loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.1, model, gradients);
    }
    Ok(())
}
