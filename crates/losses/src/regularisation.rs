//! Penalties on the size of parameters: `[[regularisation]]`.

use burn::tensor::Tensor;
use facegrad_settings::{
    KeyPath, Schema, Setting, SettingsError, at_least, kinds, serde_through_toml, settings, toml::Value,
};
use regex::Regex;

use crate::{Progress, Schedule};

/// Σ |w|, with slope 0 where w = 0. Output: `[1]`.
pub fn l1<const D: usize>(parameter: Tensor<D>) -> Tensor<1> {
    parameter.abs().sum()
}

/// Σ w², without a factor ½. Output: `[1]`.
pub fn l2<const D: usize>(parameter: Tensor<D>) -> Tensor<1> {
    parameter.square().sum()
}

/// A regular expression that picks parameters by their names, such as `^head\.`; found anywhere in a name unless
/// it is anchored.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Whether the parameter called `name` is picked.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Default for Pattern {
    /// Every parameter.
    fn default() -> Self {
        Self(Regex::new("").expect("the empty pattern"))
    }
}

impl Setting for Pattern {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        let text = String::read(value, at)?;
        let reason = match Regex::new(&text) {
            Ok(regex) => return Ok(Self(regex)),
            // The lines before the last one draw the pattern with a mark under the place.
            Err(regex::Error::Syntax(drawing)) => {
                let last = drawing.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
            Err(error) => error.to_string(),
        };
        Err(SettingsError::conflict(
            at,
            format!(
                "is \"{text}\", which is no regular expression ({reason}); it must be one that matches names of parameters, such as \"^head\\.\""
            ),
        ))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.0.as_str().into()))
    }

    fn schema() -> Schema {
        Schema::Value("regular expression".into())
    }
}

serde_through_toml!(Pattern);

settings! {
    /// A penalty on the size of parameters.
    pub struct PenaltyConfig {
        /// What the penalty is multiplied by before it is added to the loss.
        weight: Schedule = Schedule::Constant(1e-4), at_least(0.0);
        /// A regular expression over the names of the parameters it is for, such as "^head\\."; all by default.
        parameters: Pattern = Pattern::default();
    }
}

kinds! {
    /// A penalty on the size of parameters.
    pub enum RegularisationConfig {
        /// Σ |w|, which drives parameters to exactly 0.
        L1(PenaltyConfig) = "l1",
        /// Σ w², which keeps parameters small.
        L2(PenaltyConfig) = "l2",
    }
}

impl RegularisationConfig {
    /// Its weight times the penalty of one parameter, `[1]`; `None` if the parameter is not picked.
    pub fn penalty<const D: usize>(
        &self,
        name: &str,
        parameter: Tensor<D>,
        progress: Progress,
    ) -> Option<Tensor<1>> {
        if !self.applies_to(name) {
            return None;
        }
        let penalty = match self {
            Self::L1(_) => l1(parameter),
            Self::L2(_) => l2(parameter),
        };
        Some(penalty * self.weight(progress))
    }

    /// Whether the parameter called `name` is penalised.
    pub fn applies_to(&self, name: &str) -> bool {
        self.config().parameters.matches(name)
    }

    /// What the penalty is multiplied by.
    pub fn weight(&self, progress: Progress) -> f64 {
        self.config().weight.at(progress)
    }

    /// The penalty, as text.
    pub fn formula(&self) -> &'static str {
        match self {
            Self::L1(_) => "R(W) = Σ |w|, slope sign(w), 0 at w = 0",
            Self::L2(_) => "R(W) = Σ w², slope 2 w",
        }
    }

    /// Where it comes from.
    pub fn source(&self) -> &'static str {
        match self {
            Self::L1(_) => "Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996",
            Self::L2(_) => {
                "Hoerl and Kennard, Ridge Regression, 1970; under plain SGD weight decay of 2 weight"
            }
        }
    }

    fn config(&self) -> &PenaltyConfig {
        match self {
            Self::L1(config) | Self::L2(config) => config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClassLogits, CriterionConfig, Labels, LogitRule,
        criteria::MulticlassHingeConfig,
        reference::{Rows, dot, for_each_form},
    };
    use burn::tensor::{Device, TensorData};
    use facegrad_settings::toml;

    fn read(text: &str) -> Result<RegularisationConfig, SettingsError> {
        let table: toml::Table = text.parse().unwrap();
        RegularisationConfig::read(&table.into(), &"regularisation.0".into())
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn l1_and_l2_are_the_sums_with_their_slopes() {
        for_each_form("regularisation", |device, what| {
            let w = || {
                Tensor::<2>::from_floats([[0.5, -2.0, 0.0], [1e-30, 3.0, -1.0]], &device.clone().autodiff())
            };
            let of = |penalty: fn(Tensor<2>) -> Tensor<1>| {
                let w = w().require_grad();
                let loss = penalty(w.clone());
                let gradient = w.grad(&loss.backward()).unwrap();
                (numbers(loss), numbers(gradient))
            };
            assert_eq!(of(l1), (vec![6.5], vec![1.0, -1.0, 0.0, 1.0, 1.0, -1.0]), "{what}");
            assert_eq!(of(l2), (vec![14.25], vec![1.0, -4.0, 0.0, 2e-30, 6.0, -2.0]), "{what}");
        });
    }

    #[test]
    fn a_pattern_picks_parameters_and_a_schedule_weights_them() {
        let config = read(
            "kind = 'l2'\nparameters = '^head\\.'\nweight = { kind = 'linear', from = 0, to = 0.5, until = 1.0 }",
        )
        .unwrap();
        assert!(config.applies_to("head.weight") && !config.applies_to("backbone.head.weight"));
        let w = Tensor::<1>::from_floats([3.0, 4.0], &Device::flex());
        let at = |step| config.penalty("head.weight", w.clone(), Progress { step, total: 10 });
        assert_eq!(at(0).map(numbers), Some(vec![0.0]));
        assert_eq!(at(5).map(numbers), Some(vec![6.25]));
        assert!(config.penalty("backbone.stem", w.clone(), Progress::END).is_none());
        let all = read("kind = 'l1'").unwrap();
        assert!(all.applies_to("backbone.stem"));
        assert_eq!(numbers(all.penalty("x", w, Progress::END).unwrap()), [7e-4]);
    }

    #[test]
    fn what_is_read_is_written_again() {
        let config = read("kind = 'l1'\nweight = 0.01\nparameters = 'gamma$'").unwrap();
        let written = config.write().unwrap();
        assert_eq!(RegularisationConfig::read(&written, &"x".into()).unwrap(), config);
    }

    #[test]
    fn a_bad_key_is_named_in_one_sentence() {
        for (text, sentence) in [
            (
                "kind = 'l2'\nparameters = 'head('",
                "regularisation.0.parameters is \"head(\", which is no regular expression (unclosed group); it must be one that matches names of parameters, such as \"^head\\.\"",
            ),
            ("kind = 'l2'\nparameters = 3", "regularisation.0.parameters is 3; it must be text in quotes"),
            ("kind = 'l1'\nweight = -1", "regularisation.0.weight is -1; it must be 0 or more"),
            (
                "kind = 'l3'",
                "regularisation.0.kind is \"l3\"; it must be one of l1, l2; did you mean \"l1\"?",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), sentence);
        }
        let huge = read("kind = 'l1'\nparameters = 'a{1000}{1000}{1000}'").unwrap_err().to_string();
        assert!(
            huge.starts_with("regularisation.0.parameters is \"a{1000}") && !huge.contains('\n'),
            "{huge}"
        );
    }

    /// λ Σ W² of the weights ±w/2 of two classes is (λ/2) ‖w‖², so with the hinge of w·x = z_1 − z_0 the objective
    /// is λ (½ ‖w‖² + C Σ_i max(0, 1 − t_i w·x_i)), t = ±1, of Cortes and Vapnik with C = 1/(λ n).
    #[test]
    fn hinge_with_l2_equals_the_soft_margin_svm_objective() {
        let lambda = 0.05;
        let x: Rows = vec![vec![1.0, 2.0], vec![-1.5, 0.25], vec![0.5, -1.0], vec![2.0, 2.0]];
        let labels = [1, 0, 1, 0];
        let w = [0.75, -0.5];
        let c = 1.0 / (lambda * x.len() as f64);
        let (mut objective, mut slope) = (0.5 * dot(&w, &w), w.to_vec());
        for (x, label) in x.iter().zip(labels) {
            let t = if label == 1 { 1.0 } else { -1.0 };
            let violation = 1.0 - t * dot(&w, x);
            if violation > 0.0 {
                objective += c * violation;
                slope.iter_mut().zip(x).for_each(|(slope, x)| *slope -= c * t * x);
            }
        }
        let hinge = CriterionConfig::MulticlassHinge(MulticlassHingeConfig::default());
        let l2 = RegularisationConfig::L2(PenaltyConfig { weight: lambda.into(), ..Default::default() });
        for_each_form("support vector machine", |device, what| {
            let device = device.clone().autodiff();
            let x: Vec<f32> = x.iter().flatten().map(|v| *v as f32).collect();
            let x = Tensor::<2>::from_data(TensorData::new(x, [4, 2]), &device);
            let w = Tensor::<1>::from_floats(w, &device).require_grad();
            let half = w.clone().unsqueeze::<2>() * 0.5;
            let weights = Tensor::cat(vec![half.clone().neg(), half], 0);
            let labels = Labels::new(&labels, &device);
            let products = x.matmul(weights.clone().transpose());
            let target = crate::classes::pick(&products, &labels);
            let loss =
                hinge.loss(&ClassLogits::new(products, target, labels, LogitRule::Scaled { scale: 1.0 }))
                    + l2.penalty("head.weight", weights, Progress::END).unwrap();
            let gradient = numbers(w.grad(&loss.backward()).unwrap());
            let loss = f64::from(loss.into_scalar::<f32>());
            assert!((loss - lambda * objective).abs() < 1e-6, "{what}: {loss} not {}", lambda * objective);
            for (found, slope) in gradient.iter().zip(&slope) {
                assert!((f64::from(*found) - lambda * slope).abs() < 1e-6, "{what}: {gradient:?}, {slope}");
            }
        });
    }
}
