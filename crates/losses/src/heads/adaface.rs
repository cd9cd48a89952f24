//! AdaFace: a margin that depends on the length of the embedding, which stands for the quality of the image.

use std::f64::consts::PI;

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::{above, settings, within};

use super::{
    ClassHeadOutput, Cosines, Description, Fallback, HeadKind, HeadModule, Setup, angular::AngularMargins,
    first_loss,
};
use crate::{
    Curve, EmbeddingBatch, Progress, Schedule,
    telemetry::{MARGIN_ANGLE, MARGIN_COSINE, NORM_MEAN, NORM_STD},
};

settings! {
    /// Quality adaptive margin loss: long embeddings get a margin on the cosine, short ones on the angle.
    pub struct AdaFaceConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Margin m.
        margin: Schedule = Schedule::Constant(0.4), within(0.0, 1.0);
        /// Concentration h: how many margins a standard deviation of the length shifts between the two forms.
        h: f64 = 0.333, within(0.0, 10.0);
        /// Share of a batch in the running mean and standard deviation of the lengths.
        t_alpha: f64 = 0.01, within(0.0, 1.0);
    }
}

/// z_y = s (cos(θ_y + g_angle) − g_add), z_j = s cos θ_j.
///
/// The released code also clamps every cosine to ±(1 − 1e-3), because the derivative of its arccos is infinite
/// at ±1. The addition theorem needs no clamp, so cosines are used as they are.
#[derive(Module, Debug)]
pub struct AdaFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    /// Running mean and standard deviation of the lengths of embeddings, `[2]`: state that is saved, and that
    /// no optimizer changes.
    pub lengths: Param<Tensor<1>>,
    #[module(skip)]
    config: AdaFaceConfig,
}

/// How near θ + g_angle comes to 0 and π, and what is added to the standard deviation.
const EPSILON: f64 = 1e-3;
/// The lengths are clipped to this range before anything is made of them.
const LENGTHS: [f64; 2] = [1e-3, 100.0];
/// The running mean and standard deviation at the start.
const START: [f32; 2] = [20.0, 100.0];

impl HeadKind for AdaFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s (cos(clip(θ_y + g_angle, 1e-3, π − 1e-3)) − g_add);  z_j = s cos θ_j\n\
         g_angle = −m ẑ, g_add = m + m ẑ, ẑ = clip(h (n − μ)/(σ + 1e-3), −1, 1) with the length n = clip(‖x‖, 1e-3, 100)\n\
         μ, σ running mean and deviation of n, from 20 and 100; the batch is counted with the share t_alpha before they are used, and one sample alone leaves σ",
            source: "Kim et al., AdaFace, CVPR 2022, section 3, and the authors' code, which also clamps every cosine to ±(1 − 1e-3); here none is",
            gradient: "∂z_y/∂cos θ_y = s sin(θ_y + g_angle)/sin θ_y, 0 where the angle is clipped; ẑ is a constant, so to embeddings and weights along the sphere only",
        }
    }

    /// Unit features are far shorter than the lengths that the running mean and deviation start with.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        let [mean, deviation] = START.map(f64::from);
        let (mean, deviation) = (mean + self.t_alpha * (1.0 - mean), deviation * (1.0 - self.t_alpha));
        let quality = (self.h * (1.0 - mean) / (deviation + EPSILON)).clamp(-1.0, 1.0);
        first_loss::cross_entropy(classes, embedding, 1, &self.curve_of(quality, Progress::START))
    }

    /// For an embedding of mean length, ẑ = 0.
    fn curve(&self, progress: Progress) -> Curve {
        self.curve_of(0.0, progress)
    }
}

impl AdaFaceConfig {
    /// For embeddings with the ẑ `quality`.
    fn curve_of(&self, quality: f64, progress: Progress) -> Curve {
        let margin = self.margin.at(progress);
        let [angle, cosine] = [-margin * quality, margin + margin * quality];
        let target = move |theta: f64| (theta + angle).clamp(EPSILON, PI - EPSILON).cos() - cosine;
        Curve::new(self.scale.at(progress), target, f64::cos)
    }
}

impl AdaFace {
    pub(crate) fn new(config: &AdaFaceConfig, setup: &Setup) -> Self {
        let lengths = Param::from_tensor(Tensor::from_floats(START, setup.device));
        Self {
            weight: config.weights(setup),
            lengths: lengths.set_require_grad(false),
            config: config.clone(),
        }
    }

    /// Mean and standard deviation, `[1]` each, after the lengths `[batch]` of a batch.
    fn updated(&self, lengths: Tensor<1>) -> [Tensor<1>; 2] {
        let share = self.config.t_alpha;
        let old = self.lengths.val().inner();
        let [old_mean, old_std] = [old.clone().narrow(0, 0, 1), old.narrow(0, 1, 1)];
        let mean = lengths.clone().mean() * share + old_mean * (1.0 - share);
        // The standard deviation of a single length is 0/0: it says nothing, so the old one stays.
        let std = match lengths.dims()[0] {
            0 | 1 => old_std,
            _ => lengths.var(0).sqrt() * share + old_std * (1.0 - share),
        };
        [mean, std]
    }
}

impl HeadModule for AdaFace {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, m) = (self.config.scale.at(batch.progress), self.config.margin.at(batch.progress));
        let cosines = Cosines::of(batch, self.weight.val());
        let lengths = cosines.norm.clone().inner().clamp(LENGTHS[0], LENGTHS[1]);
        let [mean, std] = self.updated(lengths.clone());
        let quality = ((lengths - mean.clone()) / (std.clone() + EPSILON) * self.config.h).clamp(-1.0, 1.0);
        let angle_margin = quality.clone() * -m;
        let cosine_margin = quality * m + m;

        let angle = cosines.target.clone().inner().clamp(-1.0, 1.0).acos() + angle_margin.clone();
        let shifted = AngularMargins::of(angle_margin.clone()).add_to(cosines.target.clone(), Fallback::None);
        let shifted = shifted
            .mask_fill(angle.clone().lower_elem(EPSILON), EPSILON.cos())
            .mask_fill(angle.greater_elem(PI - EPSILON), -EPSILON.cos());
        let target = shifted - cosine_margin.clone();
        let output = cosines
            .scaled(target, scale)
            .mean(MARGIN_ANGLE, angle_margin)
            .mean(MARGIN_COSINE, cosine_margin)
            .mean(NORM_MEAN, mean.clone())
            .mean(NORM_STD, std.clone());
        ClassHeadOutput { memory: Some(Tensor::cat(vec![mean, std], 0)), ..output }
    }

    fn remember(&mut self, memory: Tensor<1>) {
        self.lengths = self.lengths.clone().map(|_| Tensor::from_inner(memory));
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Labels,
        reference::{
            Case, Rows, check_bad_keys, check_first_loss, check_head, check_head_of_many_classes, check_kink,
            for_each_form, setup, tensor,
        },
    };

    fn head(config: &AdaFaceConfig, lengths: [f32; 2]) -> impl Fn(Tensor<2>) -> AdaFace + '_ {
        move |weight| AdaFace {
            lengths: Param::from_tensor(Tensor::from_floats(lengths, &weight.device()))
                .set_require_grad(false),
            weight: Param::from_tensor(weight),
            config: config.clone(),
        }
    }

    fn clipped(x: &Rows) -> Vec<f64> {
        Case::norms(x).into_iter().map(|norm| norm.clamp(0.001, 100.0)).collect()
    }

    /// Mean and standard deviation after a batch, in plain loops.
    fn statistics(norms: &[f64], old: [f64; 2], share: f64) -> [f64; 2] {
        let n = norms.len() as f64;
        let mean = norms.iter().sum::<f64>() / n;
        let std = (norms.iter().map(|norm| (norm - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let mean = share * mean + (1.0 - share) * old[0];
        [mean, if norms.len() == 1 { old[1] } else { share * std + (1.0 - share) * old[1] }]
    }

    /// ẑ of each sample.
    fn qualities(x: &Rows, old: [f64; 2], config: &AdaFaceConfig) -> Vec<f64> {
        let norms = clipped(x);
        let [mean, std] = statistics(&norms, old, config.t_alpha);
        norms.iter().map(|norm| ((norm - mean) / (std + 1e-3) * config.h).clamp(-1.0, 1.0)).collect()
    }

    fn target(cosine: f64, m: f64, quality: f64) -> f64 {
        let theta = cosine.clamp(-1.0, 1.0).acos();
        (theta - m * quality).clamp(1e-3, PI - 1e-3).cos() - (m + m * quality)
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        // The paper's start; a batch's own statistics, where ẑ differs from sample to sample; and ẑ = ±1.
        for (s, m, h, t_alpha, lengths) in [
            (64.0, 0.4, 0.333, 0.01, [20.0, 100.0]),
            (16.0, 0.4, 0.333, 1.0, [20.0, 100.0]),
            (8.0, 0.9, 5.0, 0.5, [2.0, 0.5]),
        ] {
            let config = AdaFaceConfig { scale: s.into(), margin: m.into(), h, t_alpha };
            for case in Case::all() {
                let quality = qualities(&case.x, lengths, &config);
                let lengths = lengths.map(|v| v as f32);
                check_head("adaface", &case, head(&config, lengths), |x, w, labels| {
                    Case::logits_of_samples(x, w, labels, s, |i, c| target(c, m, quality[i]))
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        let (s, m) = (16.0, 0.4);
        // ẑ = −0.6 and 0.6: the angle is clipped at π, and at 0.
        for mean in [20.0, -16.0] {
            let config =
                AdaFaceConfig { scale: s.into(), margin: m.into(), t_alpha: 0.0, ..Default::default() };
            for theta in [0.0, 1e-3, 0.24, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI - 0.24, PI] {
                let case = Case::at_angle(theta);
                let quality = qualities(&case.x, [mean, 10.0], &config)[0];
                let head = head(&config, [mean as f32, 10.0]);
                check_kink("adaface", &case, head, s, |c| target(c, m, quality));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let (config, case) = (AdaFaceConfig::default(), Case::many_classes());
        let quality = qualities(&case.x, [20.0, 100.0], &config);
        check_head_of_many_classes("adaface", &case, head(&config, START), |x, w, labels| {
            Case::logits_of_samples(x, w, labels, 64.0, |i, c| target(c, 0.4, quality[i]))
        });
    }

    #[test]
    fn without_concentration_it_is_cosface() {
        let config = AdaFaceConfig { h: 0.0, ..Default::default() };
        for case in Case::all().into_iter().take(2) {
            check_head("adaface, h = 0", &case, head(&config, START), |x, w, labels| {
                Case::cosine_logits(x, w, labels, 64.0, |c| c - 0.4)
            });
        }
    }

    #[test]
    fn the_running_statistics_follow_the_batches_and_a_single_sample_leaves_the_deviation() {
        for_each_form("adaface", |device, what| {
            let device = device.clone().autodiff();
            let config = AdaFaceConfig { t_alpha: 0.25, ..Default::default() };
            let mut head = AdaFace::new(&config, &setup(3, 2, 1, &device));
            let mut expected = [20.0, 100.0];
            for rows in [vec![[3.0, 4.0], [6.0, 8.0], [0.0, 500.0]], vec![[0.0, 2.0]]] {
                let x: Rows = rows.iter().map(|row| row.to_vec()).collect();
                expected = statistics(&clipped(&x), expected, 0.25);
                let embeddings = tensor(&x, &device);
                let labels = Labels::new(&vec![0; x.len()], &device);
                let batch = EmbeddingBatch { embeddings, labels, progress: Progress::START, watched: true };
                let output = head.forward(&batch);
                head.remember(output.memory.expect("statistics"));
                let found = head.lengths.val().into_data().try_to_vec::<f32>().expect("f32");
                for (found, expected) in found.iter().zip(expected) {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-5 * expected,
                        "{what}: {found} {expected}"
                    );
                }
                assert!(!head.lengths.is_require_grad(), "{what}: the optimizer would change them");
            }
            // (5 + 10 + 100)/3 · ¼ + 20 · ¾, then 2 · ¼ + ¾ of that.
            assert!((expected[0] - 18.937_5).abs() < 1e-9, "{expected:?}");
        });
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        let config = AdaFaceConfig { scale: 16.0.into(), ..Default::default() };
        check_first_loss(&config);
    }

    #[test]
    fn a_share_above_one_is_named_with_its_range() {
        check_bad_keys::<AdaFaceConfig>(&[("t_alpha = 1.5", "head.t_alpha is 1.5; it must be from 0 to 1")]);
    }
}
