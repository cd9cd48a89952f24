//! NormFace: softmax of scaled cosines.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::{SettingsError, above, settings};

use super::{ClassHeadOutput, Cosines, Description, HeadKind, HeadModule, Setup};
use crate::{Curve, EmbeddingBatch, Progress, Schedule, telemetry::SCALE};

settings! {
    /// Softmax of cosines, with a scale that is given or learned.
    pub struct NormFaceConfig {
        /// Scale s of the cosines; where it begins if it is learned. The release learns it from 10.
        scale: Schedule = Schedule::Constant(30.0), above(0.0).up_to(1000.0);
        /// Whether s is trained like a weight, and never used below 0.01.
        learned: bool = false;
    }
}

/// z_j = s cos θ_j, which is −(s/2) ‖x̂ − ŵ_j‖² + s.
#[derive(Module, Debug)]
pub struct NormFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    /// s if it is learned, `[1]`.
    pub scale: Option<Param<Tensor<1>>>,
    #[module(skip)]
    given: Schedule,
}

/// The least learned scale, as in the release.
const LEAST_SCALE: f64 = 0.01;

impl HeadKind for NormFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s cos θ_y;  z_j = s cos θ_j;  equal to −(s/2) ‖x̂ − ŵ_j‖² up to a constant",
            source: "Wang et al., NormFace, ACM MM 2017; the learned scale and its floor as in its release",
            gradient: "∂z_j/∂cos θ_j = s; to embeddings and weights through unit vectors, so along the sphere only; with learned = true also ∂z_j/∂s = cos θ_j",
        }
    }

    fn curve(&self, progress: Progress) -> Curve {
        Curve::new(self.scale.at(progress), f64::cos, f64::cos)
    }

    fn validate(&self, section: &str) -> Result<(), SettingsError> {
        match (self.learned, &self.scale) {
            (true, Schedule::Changing(_)) => Err(SettingsError::conflict(
                format!("{section}.scale"),
                format!(
                    "is a schedule, and {section}.learned = true learns the scale; give the number it begins with"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl NormFace {
    pub(crate) fn new(config: &NormFaceConfig, setup: &Setup) -> Self {
        let initial = config.scale.at(Progress::START);
        Self {
            weight: config.weights(setup),
            scale: config.learned.then(|| Param::from_tensor(Tensor::full([1], initial, setup.device))),
            given: config.scale.clone(),
        }
    }
}

impl HeadModule for NormFace {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let Some(scale) = self.scale.as_ref().map(Param::val) else {
            let cosines = Cosines::of(batch, self.weight.val());
            let target = cosines.target.clone();
            return cosines.scaled(target, self.given.at(batch.progress));
        };
        // The floor is a constant of the derivative, so that a scale below it can come back.
        let floor = (scale.clone().clamp_min(LEAST_SCALE) - scale.clone()).detach();
        let scale = scale + floor;
        // The scale is part of the products so that every logit carries its gradient.
        let products = Cosines::times(batch, self.weight.val(), scale.clone());
        let target = products.target.clone();
        products.unscaled(target).mean(SCALE, scale)
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        CriterionConfig,
        reference::{
            Case, Rows, check_bad_keys, check_first_loss, check_head, check_head_of_many_classes,
            cross_entropy, dot, for_each_form_of, read_keys,
        },
    };
    use std::f64::consts::PI;

    fn given(scale: f64) -> impl Fn(Tensor<2>) -> NormFace {
        move |weight| NormFace { weight: Param::from_tensor(weight), scale: None, given: scale.into() }
    }

    fn learned(scale: f64) -> impl Fn(Tensor<2>) -> NormFace {
        move |weight| {
            let scale = Param::from_tensor(Tensor::full([1], scale, &weight.device()));
            NormFace { weight: Param::from_tensor(weight), scale: Some(scale), given: 1.0.into() }
        }
    }

    fn logits(scale: f64) -> impl Fn(&Rows, &Rows, &[usize]) -> Rows {
        move |x, w, labels| Case::cosine_logits(x, w, labels, scale, |c| c)
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for case in Case::all() {
            check_head("normface", &case, given(30.0), logits(30.0));
            check_head("normface, learned", &case, learned(4.0), logits(4.0));
        }
        // Nothing is singular at any angle.
        for theta in [0.0, 1e-3, PI / 2.0, PI] {
            check_head("normface", &Case::smooth_at_angle(theta), given(30.0), logits(30.0));
        }
    }

    #[test]
    fn the_euclidean_form_gives_the_same_loss() {
        let unit = |v: &[f64]| -> Vec<f64> { v.iter().map(|c| c / (dot(v, v) + 1e-10).sqrt()).collect() };
        let euclidean = |x: &Rows, w: &Rows, _: &[usize]| -> Rows {
            let logit = |x: &[f64], w: &[f64]| -> f64 {
                unit(x).iter().zip(unit(w)).map(|(x, w)| -8.0 * (x - w).powi(2)).sum()
            };
            x.iter().map(|x| w.iter().map(|w| logit(x, w)).collect()).collect()
        };
        // A vanishing class weight has no unit vector: there ‖ŵ‖ is below 1 and the forms differ by up to s/2.
        let vanishing = ["a zero class weight", "norms of 1e-6"];
        for case in Case::all().iter().filter(|case| !vanishing.contains(&case.name.as_str())) {
            check_head("normface, Euclidean", case, given(16.0), euclidean);
            check_head("normface, learned, Euclidean", case, learned(16.0), euclidean);
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        check_head_of_many_classes("normface", &Case::many_classes(), given(30.0), logits(30.0));
        check_head_of_many_classes("normface, learned", &Case::many_classes(), learned(30.0), logits(30.0));
    }

    /// Loss and its derivative by a learned scale.
    fn of_scale(case: &Case, scale: f64, device: &Device) -> (f64, f64) {
        let device = device.clone().autodiff();
        let learned = Tensor::<1>::full([1], scale, &device).require_grad();
        let head = NormFace {
            weight: Param::from_tensor(case.weights_on(&device)),
            scale: Some(Param::from_tensor(learned.clone())),
            given: 1.0.into(),
        };
        let loss = CriterionConfig::default().loss(&head.forward(&case.batch_on(&device)).logits);
        let slope = learned.grad(&loss.backward()).unwrap();
        (f64::from(loss.into_scalar::<f32>()), f64::from(slope.into_scalar::<f32>()))
    }

    #[test]
    fn the_gradient_of_a_learned_scale_is_that_of_every_logit() {
        for case in Case::all() {
            let loss =
                |scale: f64| cross_entropy(&logits(scale)(&case.x, &case.w, &case.labels), &case.labels);
            for_each_form_of(&case, "normface, scale", |device, what| {
                for scale in [0.01, 4.0, 30.0] {
                    let (value, slope) = of_scale(&case, scale, device);
                    let expected = (loss(scale + 1e-4) - loss(scale - 1e-4)) / 2e-4;
                    // Cosines of up to 1, each with a few roundings.
                    assert!(
                        (slope - expected).abs() <= 1e-5,
                        "{what}, s = {scale}: {slope} against {expected}"
                    );
                    assert!(
                        (value - loss(scale)).abs() <= 1e-5 * loss(scale).max(0.1),
                        "{what}, s = {scale}"
                    );
                }
            });
        }
    }

    #[test]
    fn a_learned_scale_below_the_floor_is_used_at_the_floor_and_can_come_back() {
        let case = Case::random("plain", 5, 7, 6, 1.0);
        let at_floor = of_scale(&case, LEAST_SCALE, &Device::flex());
        let below = of_scale(&case, -3.0, &Device::flex());
        assert!((below.0 - at_floor.0).abs() < 1e-6 && (below.1 - at_floor.1).abs() < 1e-6);
        assert!(below.1 != 0.0);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&NormFaceConfig { scale: 10.0.into(), learned: false });
        check_first_loss(&NormFaceConfig { scale: 10.0.into(), learned: true });
    }

    #[test]
    fn bad_keys_are_named() {
        check_bad_keys::<NormFaceConfig>(&[(
            "scale = -1",
            "head.scale is -1; it must be more than 0 and at most 1000",
        )]);
        let validate = |keys: &str| {
            let config = read_keys::<NormFaceConfig>(keys).unwrap();
            config.validate("head").map_err(|error| error.to_string())
        };
        let scale = "scale = { kind = 'linear', from = 1, to = 2 }";
        assert_eq!(
            validate(&format!("learned = true\n{scale}")).unwrap_err(),
            "head.scale is a schedule, and head.learned = true learns the scale; give the number it begins with"
        );
        assert_eq!(validate(scale), Ok(()));
    }
}
