//! Sub-center ArcFace: several centres a class, of which the nearest counts.

use burn::{module::Param, tensor::Tensor};
use facegrad_settings::{above, settings, within};

use super::{
    ArcFaceConfig, ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, Fallback, Gradient,
    HeadKind, Setup, arcface::with_angular_margin, first_loss,
};
use crate::{Curve, EmbeddingBatch, Progress, Schedule, telemetry::MARGIN};

settings! {
    /// ArcFace with several sub-centres a class, so that a noisy class need not be one cluster.
    pub struct SubcentreArcFaceConfig {
        /// Sub-centres of each class.
        subcentres: usize = 3, within(1, 100);
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Margin m on the target's angle, in radians.
        margin: Schedule = Schedule::Constant(0.5), within(0.0, 1.5);
        /// What the target logit is past θ = π − m.
        fallback: Fallback = Fallback::Linear;
        /// Whether the margin is part of the gradient.
        gradient: Gradient = Gradient::Exact;
    }
}

/// ArcFace with cos θ_j = max_k x̂·ŵ_{j,k}.
pub type SubcentreArcFace = ClassWeights<SubcentreArcFaceConfig>;

impl SubcentreArcFaceConfig {
    fn arcface(&self) -> ArcFaceConfig {
        let Self { scale, margin, fallback, gradient, .. } = self.clone();
        ArcFaceConfig { scale, margin, fallback, gradient }
    }
}

impl HeadKind for SubcentreArcFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "cos θ_j = max_k x̂·ŵ_{j,k} over the sub-centres k of class j;  z_y = s cos(θ_y + m);  z_j = s cos θ_j;  past θ_y = π − m: see fallback",
            source: "Deng et al., Sub-center ArcFace, ECCV 2020",
            gradient: "as arcface; of the sub-centres of a class only the nearest to a sample moves for it",
        }
    }

    fn weights(&self, setup: &Setup) -> Param<Tensor<2>> {
        Setup { classes: setup.classes * self.subcentres, ..*setup }.weights()
    }

    fn weights_of_a_class(&self) -> usize {
        self.subcentres
    }

    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        first_loss::cross_entropy(classes, embedding, self.subcentres, &self.curve(Progress::START))
    }

    /// Over the angle with the nearest sub-centre.
    fn curve(&self, progress: Progress) -> Curve {
        self.arcface().curve(progress)
    }
}

impl ClassRule for SubcentreArcFaceConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let SubcentreArcFaceConfig { subcentres, scale, margin, fallback, gradient } = self;
        let (scale, margin) = (scale.at(batch.progress), margin.at(batch.progress));
        let cosines = Cosines::nearest_of(batch, weight, *subcentres);
        let target = with_angular_margin(cosines.target.clone(), margin, *fallback, *gradient);
        cosines.scaled(target, scale).known(MARGIN, margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{
        Case, Rows, angular_target as target, check_bad_keys, check_first_loss, check_head,
        check_head_of_many_classes, check_kink, cosine,
    };
    use std::f64::consts::PI;

    fn head(config: &SubcentreArcFaceConfig) -> impl Fn(Tensor<2>) -> SubcentreArcFace + '_ {
        move |weight| SubcentreArcFace { weight: Param::from_tensor(weight), config: config.clone() }
    }

    fn logits(
        x: &Rows,
        w: &Rows,
        labels: &[usize],
        subcentres: usize,
        s: f64,
        target: impl Fn(f64) -> f64,
    ) -> Rows {
        let row = |(x, y): (&Vec<f64>, &usize)| -> Vec<f64> {
            let mut row = Vec::new();
            for j in 0..w.len() / subcentres {
                let mut nearest = f64::NEG_INFINITY;
                for k in 0..subcentres {
                    nearest = nearest.max(cosine(x, &w[j * subcentres + k]));
                }
                row.push(s * if j == *y { target(nearest) } else { nearest });
            }
            row
        };
        x.iter().zip(labels).map(row).collect()
    }

    /// The case with three sub-centres a class: its weight, that negated, and that with its numbers moved on.
    fn with_subcentres(mut case: Case) -> Case {
        let of_class = |w: &Vec<f64>| {
            let negated = w.iter().map(|v| -v).collect();
            let mut moved = w.clone();
            moved.rotate_left(1);
            [w.clone(), negated, moved]
        };
        case.w = case.w.iter().flat_map(of_class).collect();
        case
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (s, m, fallback) in [(64.0, 0.5, Fallback::Linear), (8.0, 1.2, Fallback::EasyMargin)] {
            let config =
                SubcentreArcFaceConfig { scale: s.into(), margin: m.into(), fallback, ..Default::default() };
            for case in Case::all().into_iter().map(with_subcentres) {
                check_head("subcenter_arcface", &case, head(&config), |x, w, labels| {
                    logits(x, w, labels, 3, s, |c| target(c, m, fallback))
                });
            }
        }
    }

    #[test]
    fn sub_centres_at_the_same_place_have_a_value_and_finite_gradients() {
        let mut case = Case::random("equal sub-centres", 3, 6, 5, 1.0);
        case.labels = vec![0, 1, 1];
        case.w = case.w.chunks(3).flat_map(|class| vec![class[0].clone(); 3]).collect();
        // The one that moves is not determined.
        case.smooth = false;
        check_head("subcenter_arcface", &case, head(&Default::default()), |x, w, labels| {
            logits(x, w, labels, 3, 64.0, |c| target(c, 0.5, Fallback::Linear))
        });
    }

    #[test]
    fn one_sub_centre_gives_arcface_at_all_angles() {
        let m = 0.5;
        let config = SubcentreArcFaceConfig { subcentres: 1, scale: 16.0.into(), ..Default::default() };
        for theta in [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI] {
            let case = Case::at_angle(theta);
            check_kink("subcenter_arcface", &case, head(&config), 16.0, |c| target(c, m, Fallback::Linear));
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let config = SubcentreArcFaceConfig { subcentres: 2, ..Default::default() };
        let case = Case::random("100,000 classes of two", 2, 200_000, 4, 1.0);
        check_head_of_many_classes("subcenter_arcface", &case, head(&config), |x, w, labels| {
            logits(x, w, labels, 2, 64.0, |c| target(c, 0.5, Fallback::Linear))
        });
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for (subcentres, fallback) in
            [(1, Fallback::Linear), (3, Fallback::Linear), (3, Fallback::EasyMargin)]
        {
            let scale = 16.0.into();
            let config = SubcentreArcFaceConfig { subcentres, scale, fallback, ..Default::default() };
            check_first_loss(&config);
        }
    }

    #[test]
    fn a_number_of_sub_centres_that_is_not_whole_is_named_with_its_value() {
        check_bad_keys::<SubcentreArcFaceConfig>(&[
            ("subcentres = 1.5", "head.subcentres is 1.5; it must be a whole number from 1 to 100"),
            ("subcentres = 0", "head.subcentres is 0; it must be from 1 to 100"),
        ]);
    }
}
