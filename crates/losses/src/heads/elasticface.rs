//! ElasticFace: a margin drawn anew for each sample.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, TensorData},
};
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{above, settings, within};

use super::{
    ClassHeadOutput, Cosines, Description, Fallback, Form, HeadKind, HeadModule, Setup,
    angular::AngularMargins,
};
use crate::{Curve, EmbeddingBatch, Progress, Schedule, telemetry::MARGIN};

settings! {
    /// Elastic margin loss: ArcFace or CosFace with a margin drawn from a normal distribution for each sample.
    pub struct ElasticFaceConfig {
        /// Whether the margin is on the angle or on the cosine.
        form: Form = Form::Arc;
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Mean m of the margins; 0.5 radians with form = "arc", 0.35 with form = "cos" where it is left out.
        margin: Option<Schedule> = None, within(0.0, 1.5);
        /// Standard deviation σ of the margins.
        sigma: Schedule = Schedule::Constant(0.0125), within(0.0, 0.25);
        /// ElasticFace+: the margins drawn for a batch go to its samples in order, the largest to the smallest
        /// target cosine.
        plus: bool = false;
        /// What the target logit is past θ = π − m with form = "arc".
        fallback: Fallback = Fallback::Linear;
    }
}

/// z_y = s cos(θ_y + m_i) or s (cos θ_y − m_i), z_j = s cos θ_j, with m_i from N(m, σ).
///
/// The margins depend on the seed and the step only. The authors' code has no fallback past π − m, and hands the
/// margins of ElasticFace+ out by the order in which samples sort rather than by each sample's place in that
/// order, so that a small cosine may get a small margin; here the place decides, as the paper describes.
#[derive(Module, Debug)]
pub struct ElasticFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    config: ElasticFaceConfig,
    #[module(skip)]
    seed: u64,
}

impl HeadKind for ElasticFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s cos(θ_y + m_i), or s (cos θ_y − m_i) with form = \"cos\";  z_j = s cos θ_j;  m_i ~ N(m, σ) for each sample",
            source: "Boutros et al., ElasticFace, CVPR Workshops 2022, section 3: Elastic-Arc and Elastic-Cos\n\
         the authors' code has no fallback past π − m (fallback = \"none\"), and its ElasticFace+ gives sample i the margin whose place is\n\
         that of the i-th sample in the sorting order, so that a small cosine may get a small margin; here each sample's own place decides",
            gradient: "∂z_y/∂cos θ_y = s sin(θ_y + m_i)/sin θ_y, or s with form = \"cos\"; the margins are constants; along the sphere only",
        }
    }

    /// For a sample with the mean margin.
    fn curve(&self, progress: Progress) -> Curve {
        let (scale, margin) = (self.scale.clone(), Schedule::Constant(self.mean(progress)));
        match self.form {
            Form::Arc => {
                let fallback = self.fallback;
                super::ArcFaceConfig { scale, margin, fallback, ..Default::default() }.curve(progress)
            }
            Form::Cos => super::CosFaceConfig { scale, margin }.curve(progress),
        }
    }
}

impl ElasticFaceConfig {
    /// m.
    fn mean(&self, progress: Progress) -> f64 {
        match (&self.margin, self.form) {
            (Some(margin), _) => margin.at(progress),
            (None, Form::Arc) => 0.5,
            (None, Form::Cos) => 0.35,
        }
    }
}

impl ElasticFace {
    pub(crate) fn new(config: &ElasticFaceConfig, setup: &Setup) -> Self {
        Self { weight: config.weights(setup), config: config.clone(), seed: setup.seed }
    }

    /// The margins of a step; in ascending order for ElasticFace+.
    fn draw(&self, samples: usize, progress: Progress) -> Vec<f64> {
        let (mean, sigma) = (self.config.mean(progress), self.config.sigma.at(progress));
        let mut stream = Stream::new(self.seed, Purpose::Margin, 0, progress.step as u64);
        let mut margins: Vec<f64> = (0..samples).map(|_| mean + sigma * f64::from(stream.normal())).collect();
        if self.config.plus {
            margins.sort_by(f64::total_cmp);
        }
        margins
    }
}

impl HeadModule for ElasticFace {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let scale = self.config.scale.at(batch.progress);
        let cosines = Cosines::of(batch, self.weight.val());
        let cosine = cosines.target.clone();
        let (samples, device) = (cosine.dims()[0], cosine.clone().inner().device());
        let margins = self.draw(samples, batch.progress);
        // The place of each sample when the largest cosine comes first: the order of the sorting order.
        let place = self.config.plus.then(|| cosine.clone().inner().argsort_descending(0).argsort(0));
        let target = match self.config.form {
            Form::Arc => {
                let of_samples = AngularMargins::constant(&margins, &device);
                let of_samples = match place {
                    Some(place) => of_samples.select(place),
                    None => of_samples,
                };
                of_samples.add_to(cosine, self.config.fallback)
            }
            Form::Cos => {
                let values: Vec<f32> = margins.iter().map(|margin| *margin as f32).collect();
                let of_samples = Tensor::<1>::from_data(TensorData::new(values, [samples]), &device);
                cosine
                    - match place {
                        Some(place) => of_samples.select(0, place),
                        None => of_samples,
                    }
            }
        };
        let mean = margins.iter().sum::<f64>() / samples as f64;
        cosines.scaled(target, scale).known(MARGIN, mean)
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use facegrad_settings::{KeyPath, Setting, toml};

    use burn::tensor::Device;

    use super::*;
    use crate::{
        HeadConfig, HeadOutput, Labels,
        reference::{
            Case, angular_target, check_bad_keys, check_first_loss, check_head, check_head_of_many_classes,
            check_kink, for_each_form, setup,
        },
    };

    const SEED: u64 = 9;

    fn head(config: &ElasticFaceConfig) -> impl Fn(Tensor<2>) -> ElasticFace + '_ {
        move |weight| ElasticFace { weight: Param::from_tensor(weight), config: config.clone(), seed: SEED }
    }

    /// The margins of the checks, which are at the end of all schedules.
    fn drawn(samples: usize, mean: f64, sigma: f64) -> Vec<f64> {
        let mut stream = Stream::new(SEED, Purpose::Margin, 0, Progress::END.step as u64);
        (0..samples).map(|_| mean + sigma * f64::from(stream.normal())).collect()
    }

    /// The margins of ElasticFace+: a sample with k smaller cosines has k larger margins.
    fn by_rank(margins: &[f64], cosines: &[f64]) -> Vec<f64> {
        let of = |c: &f64| {
            let smaller = cosines.iter().filter(|other| *other < c).count();
            *margins
                .iter()
                .find(|margin| margins.iter().filter(|other| other > margin).count() == smaller)
                .expect("distinct")
        };
        cosines.iter().map(of).collect()
    }

    fn target(cosine: f64, m: f64, form: Form, fallback: Fallback) -> f64 {
        match form {
            Form::Arc => angular_target(cosine, m, fallback),
            Form::Cos => cosine - m,
        }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (form, s, m, sigma, plus, fallback) in [
            (Form::Arc, 64.0, 0.5, 0.0125, false, Fallback::Linear),
            (Form::Arc, 16.0, 0.3, 0.25, true, Fallback::Linear),
            // Some margins are negative.
            (Form::Arc, 16.0, 0.1, 0.25, false, Fallback::EasyMargin),
            (Form::Cos, 16.0, 0.35, 0.1, true, Fallback::Linear),
        ] {
            let config = ElasticFaceConfig {
                form,
                scale: s.into(),
                margin: Some(m.into()),
                sigma: sigma.into(),
                plus,
                fallback,
            };
            for case in Case::all() {
                let margins = drawn(case.x.len(), m, sigma);
                let margins = if plus { by_rank(&margins, &case.target_cosines()) } else { margins };
                check_head("elasticface", &case, head(&config), |x, w, labels| {
                    Case::logits_of_samples(x, w, labels, s, |i, c| target(c, margins[i], form, fallback))
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        for fallback in Fallback::ALL.iter().copied() {
            let config = ElasticFaceConfig { scale: 16.0.into(), fallback, ..Default::default() };
            let m = drawn(1, 0.5, 0.0125)[0];
            for theta in [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI] {
                let case = Case::at_angle(theta);
                check_kink("elasticface", &case, head(&config), 16.0, |c| target(c, m, Form::Arc, fallback));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let (config, margins) = (ElasticFaceConfig::default(), drawn(2, 0.5, 0.0125));
        check_head_of_many_classes("elasticface", &Case::many_classes(), head(&config), |x, w, labels| {
            Case::logits_of_samples(x, w, labels, 64.0, |i, c| {
                target(c, margins[i], Form::Arc, Fallback::Linear)
            })
        });
    }

    /// Logits and the gradient of their sum of squares, of the head called `kind` with these keys.
    fn logits_and_gradient(kind: &str, keys: &str, device: &Device) -> [Vec<f32>; 2] {
        let device = device.clone().autodiff();
        let table: toml::Value = toml::from_str(&format!("kind = '{kind}'\n{keys}")).unwrap();
        let config = HeadConfig::read(&table, &KeyPath::from("head")).unwrap();
        let head = config.init(6, 8, 4, &device).unwrap();
        let mut stream = Stream::new(2, Purpose::Network, 0, 0);
        let values: Vec<f32> = (0..40).map(|_| stream.normal()).collect();
        let embeddings = Tensor::<2>::from_data(TensorData::new(values, [5, 8]), &device).require_grad();
        let labels = Labels::new(&[0, 2, 4, 5, 1], &device);
        let batch =
            EmbeddingBatch { embeddings, labels, progress: Progress { step: 3, total: 9 }, watched: false };
        let HeadOutput::Logits(output) = head.forward(&batch).unwrap() else { panic!("a loss") };
        let logits = output.logits.written();
        let gradient = batch.embeddings.grad(&logits.clone().square().sum().backward()).unwrap();
        [logits.into_data(), gradient.into_data()].map(|data| data.try_to_vec().unwrap())
    }

    #[test]
    fn without_spread_elastic_arc_is_arcface_and_elastic_cos_is_cosface_exactly() {
        for_each_form("elasticface", |device, what| {
            for plus in ["", "\nplus = true"] {
                for fallback in Fallback::ALL {
                    let fallback = format!("fallback = '{fallback}'");
                    let elastic =
                        logits_and_gradient("elasticface", &format!("sigma = 0\n{fallback}{plus}"), device);
                    assert_eq!(
                        elastic,
                        logits_and_gradient("arcface", &fallback, device),
                        "{what}, {fallback}"
                    );
                }
                let elastic =
                    logits_and_gradient("elasticface", &format!("form = 'cos'\nsigma = 0{plus}"), device);
                assert_eq!(elastic, logits_and_gradient("cosface", "", device), "{what}");
            }
        });
    }

    #[test]
    fn margins_are_drawn_from_their_distribution_by_seed_and_step() {
        let config = ElasticFaceConfig { sigma: 0.05.into(), ..Default::default() };
        let head = ElasticFace::new(&config, &setup(2, 2, SEED, &Device::flex()));
        let at = |step| head.draw(20_000, Progress { step, total: 10 });
        let margins = at(1);
        let mean = margins.iter().sum::<f64>() / 20_000.0;
        let deviation = (margins.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        // Five standard errors: σ/√n, σ/√(2n).
        assert!((mean - 0.5).abs() < 0.0018 && (deviation - 0.05).abs() < 0.0013, "{mean} {deviation}");
        assert_eq!(margins, at(1));
        assert_ne!(margins, at(2));
        let other = ElasticFace::new(&config, &setup(2, 2, SEED + 1, &Device::flex()));
        assert_ne!(margins, other.draw(20_000, Progress { step: 1, total: 10 }));
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for form in Form::ALL.iter().copied() {
            let config = ElasticFaceConfig { form, scale: 16.0.into(), ..Default::default() };
            check_first_loss(&config);
        }
    }

    #[test]
    fn an_unknown_form_and_a_wide_spread_are_named() {
        check_bad_keys::<ElasticFaceConfig>(&[
            ("form = 'sine'", "head.form is \"sine\"; it must be one of arc, cos"),
            ("sigma = 0.5", "head.sigma is 0.5; it must be from 0 to 0.25"),
            ("scale = -1", "head.scale is -1; it must be more than 0 and at most 1000"),
        ]);
    }
}
