//! Center loss: embeddings are pulled to a moving centre of their class.

use burn::{
    module::{Module, Param},
    tensor::{IndexingUpdateOp, Tensor},
};
use facegrad_settings::{settings, within};

use super::{Description, EmbeddingLossKind, EmbeddingLossModule, LossOutput, Setup};
use crate::{
    EmbeddingBatch, Labels,
    telemetry::{CENTRE_SPREAD, Telemetry},
};

settings! {
    /// Pulls embeddings to the centre of their class, which follows them.
    pub struct CenterConfig {
        /// Share α of the way that a centre goes to the embeddings of a batch; not tied to the learning rate.
        alpha: f64 = 0.5, within(0.0, 1.0);
    }
}

/// ½ Σ_i ‖x_i − c_{y_i}‖² / B.
///
/// The division by B is that of the authors' code; the paper's sum has none. Their code also moves the centres by
/// the learning rate of the step, here α is a share of its own.
#[derive(Module, Debug)]
pub struct Center {
    /// Centres, `[classes, embedding]`: state that is saved, and that no optimizer changes.
    pub centres: Param<Tensor<2>>,
    #[module(skip)]
    alpha: f64,
}

impl EmbeddingLossKind for CenterConfig {
    fn description(&self) -> Description {
        Description {
            formula: "L = ½ Σ_i ‖x_i − c_{y_i}‖² / B;  after the step c_j ← c_j − α Σ_{y_i=j} (c_j − x_i) / (1 + n_j)",
            source: "Wen et al., A Discriminative Feature Learning Approach, ECCV 2016, eq. 2 and 4",
            gradient: "(x_i − c_{y_i}) / B to the embeddings; centres are moved by their own rule, n_j being the samples of class j in the batch",
        }
    }

    fn needs_pairs(&self) -> bool {
        false
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn weight(&self) -> f64 {
        0.003
    }

    /// The first centres are 0.
    fn expected_first_loss(&self, _classes: usize, _embedding: usize) -> Option<f64> {
        Some(0.5)
    }
}

impl Center {
    pub(crate) fn new(config: &CenterConfig, setup: &Setup) -> Self {
        let centres = Tensor::zeros([setup.classes, setup.embedding], setup.device);
        Self { centres: Param::from_tensor(centres).set_require_grad(false), alpha: config.alpha }
    }
}

impl EmbeddingLossModule for Center {
    fn forward(&self, batch: &EmbeddingBatch) -> LossOutput {
        let centres = self.centres.val();
        let own = centres.clone().select(0, batch.labels.indices());
        let samples = batch.embeddings.dims()[0] as f64;
        let loss = (batch.embeddings.clone() - own).square().sum() * (0.5 / samples);
        let mut telemetry = Telemetry::default();
        if batch.watched {
            let centres = centres.inner();
            let distance = (centres.clone() - centres.mean_dim(0)).square().sum_dim(1).sqrt();
            telemetry = telemetry.mean(CENTRE_SPREAD, distance);
        }
        LossOutput { loss, telemetry }
    }

    fn classes(&self) -> Option<usize> {
        Some(self.centres.dims()[0])
    }

    fn after_step(&mut self, embeddings: Tensor<2>, labels: &Labels) {
        let classes = labels.classes();
        let step = |class: &usize| {
            let samples = classes.iter().filter(|other| *other == class).count();
            (self.alpha / (1.0 + samples as f64)) as f32
        };
        let steps: Vec<f32> = classes.iter().map(step).collect();
        self.centres = self.centres.clone().map(|centres| {
            let centres = centres.inner();
            let indices = labels.indices().inner();
            let steps = Tensor::<1>::from_data(steps.as_slice(), &centres.device()).unsqueeze_dim::<2>(1);
            let change = (embeddings - centres.clone().select(0, indices.clone())) * steps;
            Tensor::from_inner(centres.select_assign(0, indices, change, IndexingUpdateOp::Add))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Progress;
    use crate::reference::{Case, Rows, check_loss, for_each_form, reading, setup};
    use burn::{
        optim::{GradientsParams, SgdConfig, decay::WeightDecayConfig},
        tensor::Device,
    };

    fn center(centres: Tensor<2>, alpha: f64) -> Center {
        Center { centres: Param::from_tensor(centres.detach()).set_require_grad(false), alpha }
    }

    fn reference(x: &Rows, centres: &Rows, labels: &[usize]) -> f64 {
        let of_sample = |(x, label): (&Vec<f64>, &usize)| -> f64 {
            x.iter().zip(&centres[*label]).map(|(x, c)| (x - c) * (x - c)).sum()
        };
        0.5 * x.iter().zip(labels).map(of_sample).sum::<f64>() / x.len() as f64
    }

    fn cases() -> Vec<Case> {
        let mut cases = Case::all();
        // A polynomial: smooth everywhere. A zero row and one of 1e-6 only give the difference quotient of the
        // reference no step to take.
        for case in &mut cases {
            case.smooth = case.x.iter().chain(&case.w).all(|row| row.iter().any(|v| v.abs() > 1e-3));
        }
        let mut coinciding = Case::random("embeddings at their centres", 4, 5, 6, 1.0);
        coinciding.x = coinciding.labels.iter().map(|label| coinciding.w[*label].clone()).collect();
        cases.push(coinciding);
        cases
    }

    #[test]
    fn value_and_gradient_match_the_reference_and_centres_get_none() {
        for case in cases() {
            let fixed = case.w.clone();
            let loss = |batch: &EmbeddingBatch, centres: Tensor<2>| center(centres, 0.5).forward(batch).loss;
            check_loss("center", &case, loss, |x, _, labels| reference(x, &fixed, labels));
        }
    }

    #[test]
    fn the_gradient_is_the_way_from_the_centre_over_the_batch() {
        for_each_form("center", |device, what| {
            for norm in [0.0, 1e-6, 1.0, 1e4] {
                let device = device.clone().autodiff();
                let mut batch = batch(&device);
                batch.embeddings = (batch.embeddings * norm).require_grad();
                let centres = Tensor::from_floats(CENTRES.map(|row| row.map(|v| v as f32)), &device);
                let center = center(centres, 0.5);
                let found = read(batch.embeddings.grad(&center.forward(&batch).loss.backward()).unwrap());
                let own = center.centres.val().select(0, batch.labels.indices());
                let expected = read((batch.embeddings.detach() - own) * 0.2);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() <= 1e-6 * expected.abs(),
                        "{what}: {found} against {expected}"
                    );
                }
            }
        });
    }

    fn read(tensor: Tensor<2>) -> Vec<f64> {
        tensor.into_data().try_to_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
    }

    /// Labels 0, 0, 0, 2, 2 of four classes.
    fn batch(device: &Device) -> EmbeddingBatch {
        let rows = [[1.0, 2.0], [3.0, -2.0], [5.0, 6.0], [-1.0, 0.5], [0.0, 8.0]];
        EmbeddingBatch {
            embeddings: Tensor::from_floats(rows, device),
            labels: Labels::new(&[0, 0, 0, 2, 2], device),
            progress: Progress::START,
            watched: true,
        }
    }

    const CENTRES: [[f64; 2]; 4] = [[0.5, -1.0], [7.0, 7.0], [2.0, 2.0], [-3.0, 0.0]];

    fn after_step(device: &Device, alpha: f64) -> Vec<f64> {
        let centres = Tensor::<2>::from_floats(CENTRES.map(|row| row.map(|v| v as f32)), device);
        let batch = batch(device);
        let mut moved = center(centres, alpha);
        moved.after_step(batch.embeddings.inner(), &batch.labels);
        assert!(!moved.centres.val().is_require_grad());
        read(moved.centres.val())
    }

    #[test]
    fn the_update_equals_its_sum_over_samples() {
        let rows = [[1.0, 2.0], [3.0, -2.0], [5.0, 6.0], [-1.0, 0.5], [0.0, 8.0]];
        let labels = [0, 0, 0, 2, 2];
        for alpha in [0.5, 0.1, 1.0, 0.0] {
            let mut expected = Vec::new();
            for (j, centre) in CENTRES.iter().enumerate() {
                let samples: Vec<_> = (0..5).filter(|i| labels[*i] == j).collect();
                for k in 0..2 {
                    let sum: f64 = samples.iter().map(|i| centre[k] - rows[*i][k]).sum();
                    expected.push(centre[k] - alpha * sum / (1.0 + samples.len() as f64));
                }
            }
            for_each_form("center update", |device, what| {
                for device in [device.clone(), device.clone().autodiff()] {
                    for (found, expected) in after_step(&device, alpha).iter().zip(&expected) {
                        assert!((found - expected).abs() < 1e-6, "{what}: {found} against {expected}");
                    }
                }
            });
        }
    }

    #[test]
    fn a_class_moves_by_n_in_1_plus_n_of_alpha_to_its_mean_and_an_absent_one_stays() {
        for_each_form("center update", |device, what| {
            let found = after_step(device, 0.5);
            let mean = [3.0, 2.0];
            for k in 0..2 {
                let share = (found[k] - CENTRES[0][k]) / (mean[k] - CENTRES[0][k]);
                assert!((share - 0.5 * 3.0 / 4.0).abs() < 1e-6, "{what}: {share}");
            }
            assert_eq!(found[2..4], [7.0, 7.0], "{what}");
            assert_eq!(found[6..8], [-3.0, 0.0], "{what}");
        });
    }

    #[test]
    fn no_optimizer_changes_the_centres() {
        let device = Device::flex().autodiff();
        let center = center(Tensor::from_floats(CENTRES.map(|row| row.map(|v| v as f32)), &device), 0.5);
        let mut batch = batch(&device);
        batch.embeddings = batch.embeddings.require_grad();
        let grads = center.forward(&batch).loss.backward();
        let grads = GradientsParams::from_grads(grads, &center);
        assert!(grads.is_empty());
        let decay = WeightDecayConfig::new(0.1);
        let center = SgdConfig::new().with_weight_decay(Some(decay)).init().step(0.1, center, grads);
        assert_eq!(read(center.centres.val()), CENTRES.concat());
    }

    #[test]
    fn the_first_loss_of_unit_features_is_a_half() {
        let device = Device::flex();
        let config = CenterConfig::default();
        let mut batch = batch(&device);
        batch.embeddings = crate::l2_normalise(batch.embeddings).0;
        let found = Center::new(&config, &setup(3, 2, 1, &device)).forward(&batch).loss.into_scalar::<f32>();
        assert!((f64::from(found) - config.expected_first_loss(3, 2).unwrap()).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_spread_of_centres_is_told_and_finite_where_all_are_equal() {
        for_each_form("center", |device, what| {
            let spread = |centres: Tensor<2>| {
                reading(center(centres, 0.5).forward(&batch(device)).telemetry, CENTRE_SPREAD)
            };
            assert_eq!(spread(Tensor::zeros([4, 2], device)), 0.0, "{what}");
            let square = [[3.0, 4.0], [-3.0, -4.0], [-4.0, 3.0], [4.0, -3.0]];
            assert!((spread(Tensor::from_floats(square, device)) - 5.0).abs() < 1e-6, "{what}");
        });
    }
}
