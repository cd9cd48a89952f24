//! Heads without a network under them: what a forward and a backward pass cost, in time and in memory.

use std::time::Instant;

use burn::{
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use facegrad_devices::process;
use facegrad_losses::{
    CriterionConfig, EmbeddingBatch, Head, HeadConfig, HeadError, HeadOutput, Labels, Progress, composed,
};
use facegrad_random::{Purpose, Stream};
use facegrad_training::StepError;
use serde::{Deserialize, Serialize};

use crate::{BenchError, median};

/// A head to be measured.
#[derive(Debug, Clone)]
pub struct HeadTask {
    /// The head.
    pub head: HeadConfig,
    /// For heads that make logits.
    pub criterion: CriterionConfig,
    /// Numbers of rows of class weights.
    pub classes: usize,
    /// Length of an embedding.
    pub embedding: usize,
    /// Embeddings in a batch.
    pub batch: usize,
    /// Forward and backward passes, after one to warm up.
    pub passes: usize,
    /// Whether the losses are made of Burn's operations, in place of facegrad's own.
    pub composed: bool,
}

/// What one head costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadCost {
    /// Median of a forward and a backward pass, in seconds.
    pub seconds: f64,
    /// The most memory held beside what the process had before it built the head, in bytes.
    pub memory: Option<u64>,
}

impl HeadTask {
    /// Forward and backward passes in this process. What a process has held at most cannot be taken back, so the memory
    /// is that of the head only in a process that does nothing else.
    ///
    /// # Errors
    /// If the classes are too few for the head, or the device fails.
    pub fn measure(&self, device: &Device) -> Result<HeadCost, BenchError> {
        let before = process::memory();
        let head = LoneHead::new(self, device)?;
        let timed = || -> Result<f64, BenchError> {
            let begin = Instant::now();
            head.pass()?;
            Ok(begin.elapsed().as_secs_f64())
        };
        let passes = || -> Result<Vec<f64>, BenchError> {
            timed()?;
            (0..self.passes).map(|_| timed()).collect()
        };
        let seconds = if self.composed { composed(passes) } else { passes() }?;
        let memory = process::peak_memory().zip(before).map(|(peak, before)| peak.saturating_sub(before));
        Ok(HeadCost { seconds: median(&seconds), memory })
    }
}

/// A head, and random embeddings for it.
struct LoneHead<'a> {
    head: Head,
    criterion: &'a CriterionConfig,
    /// `[batch, embedding]`.
    embeddings: TensorData,
    labels: Labels,
    /// With autodiff.
    device: Device,
}

impl<'a> LoneHead<'a> {
    fn new(task: &'a HeadTask, device: &Device) -> Result<Self, HeadError> {
        let &HeadTask { classes, embedding, batch, .. } = task;
        let device = device.clone().autodiff();
        let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
        let values: Vec<f32> = (0..batch * embedding).map(|_| stream.normal()).collect();
        // A prime stride visits all classes before it repeats one.
        let labels: Vec<usize> = (0..batch).map(|i| i * 7919 % classes).collect();
        Ok(Self {
            head: task.head.init(classes, embedding, 1, &device)?,
            criterion: &task.criterion,
            embeddings: TensorData::new(values, [batch, embedding]),
            labels: Labels::new(&labels, &device),
            device,
        })
    }

    /// The loss, and its gradients with respect to embeddings and class weights, which are dropped.
    fn pass(&self) -> Result<f64, StepError> {
        let embeddings = Tensor::<2>::from_data(self.embeddings.clone(), &self.device).require_grad();
        let progress = Progress { step: 1000, total: 1_000_000 };
        let labels = self.labels.clone();
        let batch = EmbeddingBatch { embeddings: embeddings.clone(), labels, progress, watched: false };
        let loss = match self.head.forward(&batch)? {
            HeadOutput::Logits(output) => output.loss(self.criterion),
            HeadOutput::Loss(output) => output.loss,
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

/// Heads beside the first of them, over numbers of classes, measured in turns.
#[derive(Debug, Clone)]
pub struct HeadComparison {
    /// The kinds, the one that the others are compared with first.
    pub kinds: Vec<&'static str>,
    /// Numbers of classes.
    pub classes: Vec<usize>,
    /// For each number of classes, for each round, for each kind.
    costs: Vec<Vec<Vec<HeadCost>>>,
}

/// What the rounds of one head come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSummary {
    /// Median of the rounds, in seconds.
    pub seconds: f64,
    /// Median of the ratio to the first head of the same round, which had the machine in the same mood.
    pub ratio: f64,
    /// The least of the rounds, in bytes.
    pub memory: Option<u64>,
}

impl HeadComparison {
    /// Asks `measure` for the cost of each kind with each number of classes in each of `rounds`.
    ///
    /// # Errors
    /// The first of `measure`.
    pub fn new<E>(
        kinds: Vec<&'static str>,
        classes: Vec<usize>,
        rounds: usize,
        measure: &mut dyn FnMut(&str, usize) -> Result<HeadCost, E>,
    ) -> Result<Self, E> {
        let mut round = |classes| kinds.iter().map(|kind| measure(kind, classes)).collect();
        let costs = classes.iter().map(|&classes| (0..rounds).map(|_| round(classes)).collect());
        let costs = costs.collect::<Result<_, E>>()?;
        Ok(Self { kinds, classes, costs })
    }

    /// The kind at `kind` with the number of classes at `classes`.
    pub fn summary(&self, kind: usize, classes: usize) -> HeadSummary {
        let rounds = &self.costs[classes];
        let of =
            |value: &dyn Fn(&Vec<HeadCost>) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
        HeadSummary {
            seconds: of(&|round| round[kind].seconds),
            ratio: of(&|round| round[kind].seconds / round[0].seconds),
            memory: rounds.iter().filter_map(|round| round[kind].memory).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_to_the_first_head_of_the_same_round() {
        // The machine is slower from round to round; the second head takes twice the time of the first.
        let mut calls = 0;
        let compared =
            HeadComparison::new(vec!["softmax", "arcface"], vec![10, 20], 3, &mut |kind, classes| {
                let round = calls / 2 % 3 + 1;
                calls += 1;
                let times = if kind == "arcface" { 2.0 } else { 1.0 };
                let seconds = (round * classes) as f64 * times;
                Ok::<_, ()>(HeadCost { seconds, memory: Some(100 / round as u64) })
            })
            .unwrap();
        assert_eq!(calls, 12);
        let summary = HeadSummary { seconds: 80.0, ratio: 2.0, memory: Some(33) };
        assert_eq!(compared.summary(1, 1), summary);
        assert_eq!(compared.summary(0, 0), HeadSummary { seconds: 20.0, ratio: 1.0, ..summary });
    }
}
