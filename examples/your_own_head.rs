//! A head that facegrad has not, from a program of one's own: the margin shrinks where a face is hard to tell.
//!
//!     cargo run --release --example your_own_head
//!
//! Heads in config files are those of the registry (CONTRIBUTING.md: one file, one line). Here a head from outside
//! goes with a backbone and a criterion of facegrad's in a small loop.

use std::error::Error;

use burn::{
    module::{Module, Param},
    optim::{GradientsParams, SgdConfig},
    tensor::{Distribution, Tensor},
};
use facegrad::{
    BackboneConfig, Backend, CriterionConfig, FaceSource, burn, choose,
    losses::{
        Batch, Labels, Logits, Progress, Rule, Telemetry,
        heads::{HeadModule, HeadOutput},
        l2_normalise,
    },
    recognition::to_input,
    synthetic::{SyntheticConfig, SyntheticFaces},
};

/// z_y = s (cos θ_y − m (1 + cos θ_y) / 2), z_j = s cos θ_j; the weights are `[classes, embedding]`.
#[derive(Module, Debug)]
struct SoftMargin(Param<Tensor<2>>);

impl HeadModule for SoftMargin {
    fn forward(&self, batch: &Batch) -> HeadOutput {
        let (scale, margin) = (16.0, 0.2);
        let (x, w) = (l2_normalise(batch.embeddings.clone()).0, l2_normalise(self.0.val()).0);
        let cosines = x.matmul(w.transpose());
        let target = cosines.clone().gather(1, batch.labels.column()).squeeze_dim::<1>(1);
        let target = (target.clone() - (target + 1.0) * (margin / 2.0)) * scale;
        let logits = Logits::new(cosines, target, batch.labels.clone(), Rule::Scaled { scale });
        HeadOutput::new(logits, Telemetry::default())
    }

    fn classes(&self) -> usize {
        self.0.dims()[0]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = choose(Backend::built_in()[0], None)?.device.autodiff();
    let faces =
        SyntheticFaces::new(&SyntheticConfig { identities: 8, images: 8, size: 20, ..Default::default() });
    let backbone = BackboneConfig::of_kind("nano").ok_or("there is no such backbone")?;
    let criterion = CriterionConfig::of_kind("cross_entropy").ok_or("there is no such criterion")?;
    let weight = Tensor::random([8, backbone.embedding_size()], Distribution::Normal(0.0, 0.01), &device);
    let mut model = (backbone.init([20, 20], 1, &device)?, SoftMargin(Param::from_tensor(weight)));
    let mut optimizer = SgdConfig::new().init();
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
        let loss = model.1.forward(&batch).loss(&criterion);
        println!("step {step}: loss {:.3}", loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.1, model, gradients);
    }
    Ok(())
}
