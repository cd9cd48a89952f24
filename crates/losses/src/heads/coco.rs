//! COCO: the congenerous cosine loss.

use burn::tensor::Tensor;
use facegrad_settings::{KeyPath, Range, Schema, Setting, SettingsError, above, settings, toml::Value};

use super::{ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, HeadKind, first_loss};
use crate::{Curve, EmbeddingBatch, Progress, Schedule};

settings! {
    /// Congenerous cosine: cosines with one unit centroid a class, times a factor that can follow from the
    /// number of classes.
    pub struct CocoConfig {
        /// Factor α of the cosines. "auto" is α = ln((K − 1)/(e^ε − 1)) for K classes, with which the loss is ε
        /// where an embedding is on its centroid and at right angles to the others: 21.5 for the 87,020 classes
        /// of the release, 17.0 for 1,000. The α in use is logged as scale.
        alpha: Alpha = Alpha::Auto, above(0.0).up_to(1000.0);
        /// ε of alpha = "auto"; the release's α of 21.475 for 87,020 classes is that of 4.1e-5.
        epsilon: f64 = 4.1e-5, above(0.0).up_to(0.5);
    }
}

/// The factor of the cosines.
#[derive(Debug, Clone, PartialEq)]
pub enum Alpha {
    /// From the number of classes.
    Auto,
    /// As given.
    Given(Schedule),
}

/// z_j = α cos θ_j.
pub type Coco = ClassWeights<CocoConfig>;

impl CocoConfig {
    /// α for `classes` classes.
    fn alpha(&self, classes: usize) -> Schedule {
        match &self.alpha {
            Alpha::Given(alpha) => alpha.clone(),
            Alpha::Auto => ((classes.max(2) - 1) as f64 / self.epsilon.exp_m1()).ln().into(),
        }
    }
}

impl HeadKind for CocoConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = α cos θ_y;  z_j = α cos θ_j;  alpha = \"auto\": α = ln((K − 1)/(e^ε − 1)) for K classes",
            source: "Liu et al., Congenerous Cosine Loss, 2017; Liu et al., Rethinking Feature Discrimination and Polymerization, 2017 (COCO v2); auto: the α at which orthogonal classes leave a loss of ε",
            gradient: "∂z_j/∂cos θ_j = α; to embeddings and centroids through unit vectors, so along the sphere only",
        }
    }

    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        let scale = self.alpha(classes).at(Progress::START);
        let curve = Curve { scale, ..self.curve(Progress::START) };
        first_loss::cross_entropy(classes, embedding, 1, &curve)
    }
}

impl ClassRule for CocoConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let scale = self.alpha(weight.dims()[0]).at(batch.progress);
        let cosines = Cosines::of(batch, weight);
        let target = cosines.target.clone();
        cosines.scaled(target, scale)
    }
}

const AUTO: &str = "auto";

impl Setting for Alpha {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        match value {
            Value::String(word) if word == AUTO => Ok(Self::Auto),
            Value::String(_) => Err(SettingsError::wrong_type(at, value, "\"auto\", a number or a schedule")),
            other => Schedule::read_within(other, at, range).map(Self::Given),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Auto => Some(AUTO.into()),
            Self::Given(alpha) => alpha.write(),
        }
    }

    fn schema() -> Schema {
        match Schedule::schema() {
            Schema::Value(what) => Schema::Value(format!("\"{AUTO}\" | {what}")),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use burn::module::Param;

    use super::super::HeadModule;
    use super::*;
    use crate::telemetry::SCALE;
    use crate::{
        Labels,
        reference::{
            Case, check_bad_keys, check_first_loss, check_head, check_head_of_many_classes, cross_entropy,
            read_keys, reading, setup,
        },
    };
    use std::f64::consts::PI;

    fn head(alpha: f64) -> impl Fn(Tensor<2>) -> Coco {
        let config = CocoConfig { alpha: Alpha::Given(alpha.into()), ..Default::default() };
        move |weight| Coco { weight: Param::from_tensor(weight), config: config.clone() }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        // Nothing is singular at any angle.
        let angles = [0.0, 1e-3, PI / 2.0, PI].map(Case::smooth_at_angle);
        for case in Case::all().into_iter().chain(angles) {
            check_head("coco", &case, head(21.475), |x, w, labels| {
                Case::cosine_logits(x, w, labels, 21.475, |c| c)
            });
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        check_head_of_many_classes("coco", &Case::many_classes(), head(21.6), |x, w, labels| {
            Case::cosine_logits(x, w, labels, 21.6, |c| c)
        });
    }

    #[test]
    fn with_auto_alpha_an_embedding_on_its_centroid_among_orthogonal_ones_has_a_loss_of_epsilon() {
        for (classes, epsilon) in [(2, 0.5), (2, 1e-3), (10, 0.0174), (1000, 4.1e-5), (100_000, 1e-6)] {
            let config = CocoConfig { epsilon, ..Default::default() };
            let alpha = config.alpha(classes).at(Progress::END);
            assert!(alpha > 0.0);
            let mut logits = vec![0.0; classes];
            logits[0] = alpha;
            let loss = cross_entropy(&vec![logits], &[0]);
            // The reference adds K numbers to 1.
            assert!(
                (loss - epsilon).abs() < 1e-15 * classes as f64 + 1e-9 * epsilon,
                "K = {classes}: {loss} for {epsilon}"
            );
        }
    }

    #[test]
    fn the_alphas_of_the_documentation() {
        let alpha = |classes| CocoConfig::default().alpha(classes).at(Progress::END);
        assert_eq!(format!("{:.1} {:.1}", alpha(87_020), alpha(1000)), "21.5 17.0");
        assert!((alpha(87_020) - 21.475).abs() < 5e-3, "{}", alpha(87_020));
    }

    #[test]
    fn the_alpha_in_use_is_logged() {
        let device = Device::flex();
        let head = Coco::new(&CocoConfig::default(), &setup(1000, 4, 1, &device));
        let embeddings = Tensor::<2>::from_floats([[1.0, 2.0, 0.5, 0.0]], &device);
        let labels = Labels::new(&[1], &device);
        let batch = EmbeddingBatch { embeddings, labels, progress: Progress::START, watched: false };
        assert_eq!(reading(head.forward(&batch).telemetry, SCALE), (999.0 / 4.1e-5f64.exp_m1()).ln());
    }

    #[test]
    fn alpha_is_auto_or_a_number_or_a_schedule() {
        let read = read_keys::<CocoConfig>;
        assert_eq!(read("alpha = 'auto'"), Ok(CocoConfig::default()));
        let config = read("alpha = 30").unwrap();
        assert_eq!(config.alpha, Alpha::Given(30.0.into()));
        assert_eq!(CocoConfig::read(&config.write().unwrap(), &"head".into()), Ok(config));
        assert!(read("alpha = { kind = 'linear', from = 1, to = 30 }").is_ok());
        check_bad_keys::<CocoConfig>(&[
            (
                "alpha = 'most'",
                "head.alpha is the text \"most\"; it must be \"auto\", a number or a schedule",
            ),
            ("alpha = -1", "head.alpha is -1; it must be more than 0 and at most 1000"),
            ("epsilon = 0", "head.epsilon is 0; it must be more than 0 and at most 0.5"),
        ]);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&CocoConfig { alpha: Alpha::Given(10.0.into()), ..Default::default() });
        check_first_loss(&CocoConfig::default());
    }
}
