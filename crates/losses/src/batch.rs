//! What a loss is computed from: the embeddings of a batch and whose they are.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{HeadError, Progress};

/// Embeddings with their labels, at a point of the run.
#[derive(Debug, Clone)]
pub struct EmbeddingBatch {
    /// `[batch, embedding]`, of any length.
    pub embeddings: Tensor<2>,
    /// `[batch]`.
    pub labels: Labels,
    /// How far the run is.
    pub progress: Progress,
    /// Whether someone reads the telemetry of this step; without, costly measures are left out.
    pub watched: bool,
}

/// The classes of a batch, `[batch]`: on the host for checks and miners, on the device for formulas.
#[derive(Debug, Clone)]
pub struct Labels {
    classes: Arc<[usize]>,
    on_device: Tensor<1, Int>,
}

impl Labels {
    /// Labels for tensors on `device`.
    pub fn new(classes: &[usize], device: &Device) -> Self {
        let indices: Vec<i32> = classes.iter().map(|class| *class as i32).collect();
        let on_device = Tensor::from_data(TensorData::new(indices, [classes.len()]), device);
        Self { classes: classes.into(), on_device }
    }

    /// The class of each sample.
    pub fn classes(&self) -> &Arc<[usize]> {
        &self.classes
    }

    /// # Errors
    /// If one is not in `0..classes`.
    pub(crate) fn check(&self, classes: usize) -> Result<(), HeadError> {
        match self.classes.iter().position(|label| *label >= classes) {
            Some(sample) => Err(HeadError::Label { sample, label: self.classes[sample], classes }),
            None => Ok(()),
        }
    }

    /// `[batch, 1]`, as `gather` and `scatter` along the classes want them.
    pub fn column(&self) -> Tensor<2, Int> {
        self.on_device.clone().unsqueeze_dim(1)
    }

    /// `[batch]`.
    pub fn indices(&self) -> Tensor<1, Int> {
        self.on_device.clone()
    }
}
