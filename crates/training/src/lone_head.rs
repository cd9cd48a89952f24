//! A head without a network under it, to see what it costs.

use burn::{
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use facegrad_losses::{Batch, CriterionConfig, Head, HeadConfig, HeadError, Labels, Output, Progress};
use facegrad_random::{Purpose, Stream};

use crate::learner::StepError;

/// A head, and random embeddings for it.
pub struct LoneHead {
    head: Head,
    criterion: CriterionConfig,
    /// `[batch, embedding]`.
    embeddings: TensorData,
    labels: Labels,
    /// With autodiff.
    device: Device,
}

impl LoneHead {
    /// A head for `classes`, with `batch` embeddings of length `embedding` whose classes are all over them;
    /// `criterion` is for heads that make logits.
    ///
    /// # Errors
    /// If the classes are too few for the head.
    pub fn new(
        head: &HeadConfig,
        criterion: Option<CriterionConfig>,
        classes: usize,
        embedding: usize,
        batch: usize,
        device: &Device,
    ) -> Result<Self, HeadError> {
        let device = device.clone().autodiff();
        let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
        let values: Vec<f32> = (0..batch * embedding).map(|_| stream.normal()).collect();
        // A prime stride visits all classes before it repeats one.
        let labels: Vec<usize> = (0..batch).map(|i| i * 7919 % classes).collect();
        Ok(Self {
            head: head.init(classes, embedding, 1, &device)?,
            criterion: criterion.unwrap_or_default(),
            embeddings: TensorData::new(values, [batch, embedding]),
            labels: Labels::new(&labels, &device),
            device,
        })
    }

    /// The loss, and its gradients with respect to embeddings and class weights, which are dropped.
    ///
    /// # Errors
    /// If the device fails.
    pub fn pass(&self) -> Result<f64, StepError> {
        let embeddings = Tensor::<2>::from_data(self.embeddings.clone(), &self.device).require_grad();
        let progress = Progress { step: 1000, total: 1_000_000 };
        let labels = self.labels.clone();
        let batch = Batch { embeddings: embeddings.clone(), labels, progress, watched: false };
        let loss = match self.head.forward(&batch)? {
            Output::Logits(output) => output.loss(&self.criterion),
            Output::Loss(output) => output.loss,
        };
        drop(batch);
        let mut grads = loss.backward();
        let to_embeddings = embeddings.grad_remove(&mut grads);
        let _to_weights = GradientsParams::from_grads(grads, &self.head);
        // A number that depends on the whole pass, so that a device has to finish it.
        let sum = loss.inner();
        let sum = match to_embeddings {
            Some(grad) => sum + grad.sum(),
            None => sum,
        };
        let sum = sum.into_data().try_to_vec::<f32>();
        let sum = sum.map_err(|error| StepError::Backend(format!("{error:?}")))?;
        Ok(sum.first().copied().map_or(f64::NAN, f64::from))
    }
}
