//! The non-linearities a backbone can be built with.

use burn::{
    module::{Flag, Module, Param},
    tensor::{Device, Distribution, Tensor, activation},
};
use facegrad_settings::choice;

use crate::initial::Weights;

choice! {
    /// A non-linearity.
    pub enum Activation {
        /// max(0, x) + a·min(0, x) with one learnt a per channel, 0.25 at first (He et al., 2015).
        PRelu = "prelu",
        /// max(0, x).
        Relu = "relu",
        /// max(0, x), at most 6.
        Relu6 = "relu6",
        /// max(0, x) + 0.1·min(0, x).
        LeakyRelu = "leaky_relu",
        /// max(0, x) + a·min(0, x) with a drawn from 1/8 to 1/3 for each element as it trains, and their mean,
        /// 11/48, in evaluation (Xu et al., 2015).
        RRelu = "rrelu",
        /// x where positive, exp(x) − 1 elsewhere (Clevert et al., 2016).
        Elu = "elu",
        /// A scaled elu that keeps mean 0 and variance 1 (Klambauer et al., 2017).
        Selu = "selu",
        /// 1 / (1 + exp(−x)).
        Sigmoid = "sigmoid",
        /// The sigmoid without exponentials, in three pieces, off by at most 0.0277.
        FastSigmoid = "fast_sigmoid",
        /// The hyperbolic tangent.
        Tanh = "tanh",
    }
}

impl Activation {
    /// The number of learnt parameters on a map of `channels` channels.
    pub(crate) fn parameters(self, channels: usize) -> usize {
        if self == Self::PRelu { channels } else { 0 }
    }
}

/// The slope of the leaky relu.
const LEAK: f64 = 0.1;

/// The least and the greatest slope of the randomized leaky relu.
const RANDOM_LEAK: [f64; 2] = [1.0 / 8.0, 1.0 / 3.0];
/// Its slope in evaluation.
const MEAN_LEAK: f64 = (RANDOM_LEAK[0] + RANDOM_LEAK[1]) / 2.0;

/// A non-linearity with its parameters.
#[derive(Module, Debug)]
pub struct ActivationLayer {
    /// The slopes of prelu, of shape `[channels]`.
    alpha: Option<Param<Tensor<1>>>,
    /// Cleared where a network is frozen, as that of a normalisation or of dropout: then rrelu draws no slopes.
    training: Param<Flag>,
    #[module(skip)]
    kind: Activation,
}

impl ActivationLayer {
    pub(crate) fn new(kind: Activation, channels: usize, weights: &Weights) -> Self {
        let alpha = (kind == Activation::PRelu).then(|| weights.constant(channels, 0.25));
        Self { alpha, training: Param::from_bool(true), kind }
    }

    /// Whether the slopes below zero of maps on `device` are drawn at random, one for each element.
    pub(crate) fn draws_slopes(&self, device: &Device) -> bool {
        self.kind == Activation::RRelu && self.training.is_enabled() && device.is_autodiff()
    }

    /// Whether [`ActivationLayer::slope`] gives one.
    pub(crate) fn has_slope(&self) -> bool {
        matches!(self.kind, Activation::PRelu | Activation::Relu | Activation::LeakyRelu | Activation::RRelu)
    }

    /// The slopes below zero, of shape `[channels]`, if that is all there is to the non-linearity, in evaluation
    /// where it draws them in training.
    pub(crate) fn slope(&self, channels: usize, device: &Device) -> Option<Tensor<1>> {
        match (self.kind, &self.alpha) {
            (Activation::PRelu, Some(alpha)) => Some(alpha.val()),
            (Activation::Relu, _) => Some(Tensor::zeros([channels], device)),
            (Activation::LeakyRelu, _) => Some(Tensor::full([channels], LEAK, device)),
            (Activation::RRelu, _) => Some(Tensor::full([channels], MEAN_LEAK, device)),
            _ => None,
        }
    }

    /// Applies the non-linearity to each element.
    ///
    /// The draws of rrelu come from the random state of the device, as those of dropout do, in the order of the
    /// axes.
    ///
    /// # Shapes
    /// - input: `[batch, channels, ...]`
    /// - output: `[batch, channels, ...]`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        match (self.kind, &self.alpha) {
            (Activation::PRelu, Some(alpha)) => activation::prelu(input, alpha.val()),
            (Activation::PRelu, None) => unreachable!("ActivationLayer::new gives prelu its slopes"),
            (Activation::Relu, _) => activation::relu(input),
            (Activation::Relu6, _) => activation::relu6(input),
            (Activation::LeakyRelu, _) => activation::leaky_relu(input, LEAK),
            (Activation::RRelu, _) if self.draws_slopes(&input.device()) => {
                let [least, greatest] = RANDOM_LEAK;
                let slopes = input.random_like(Distribution::Uniform(least, greatest));
                let negative = input.clone().lower_elem(0.0);
                input.clone().mask_where(negative, input * slopes)
            }
            (Activation::RRelu, _) => activation::leaky_relu(input, MEAN_LEAK),
            (Activation::Elu, _) => elu(input, 1.0),
            (Activation::Selu, _) => elu(input, 1.673_263_242_354_377_2) * 1.050_700_987_355_480_5,
            (Activation::Sigmoid, _) => activation::sigmoid(input),
            (Activation::FastSigmoid, _) => fast_sigmoid(input),
            (Activation::Tanh, _) => activation::tanh(input),
        }
    }
}

/// max(0, x) + alpha·(exp(min(0, x)) − 1).
///
/// The minimum is taken inside the exponential: Burn's own `elu` takes exp(x) of positive x too, where an
/// overflow turns the gradient into NaN.
fn elu<const D: usize>(input: Tensor<D>, alpha: f64) -> Tensor<D> {
    let negative = (input.clone().clamp_max(0.0).exp() - 1.0) * alpha;
    activation::relu(input) + negative
}

/// With u = |x|/2, ½ (h(u) + 1) for positive x and ½ (1 − h(u)) for negative ones, where h is 1.5 u / (1 + u) up to
/// u = 1.7, the line 0.9444 + 0.0459 (u − 1.7) up to 2.9, and 0.9994 beyond.
///
/// It differs from the sigmoid by at most 0.0277, at |x| = 0.54. The gradient is that of the pieces, so 0 beyond
/// |x| = 5.8.
fn fast_sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let size = x.clone().abs();
    let (on_line, flat) = (size.clone().greater_equal_elem(3.4), size.greater_equal_elem(5.8));
    // In the flat piece the others are computed too, and must stay finite.
    let x = x.clamp(-5.8, 5.8);
    let sign = x.clone().sign();
    // With the sign of x in each piece: 1.5 u / (1 + u) is 1.5 x / (2 + |x|), whose slope at 0 is that of x.
    let curve = x.clone() * 1.5 / (x.clone().abs() + 2.0);
    let line = sign.clone() * (0.9444 - 0.0459 * 1.7) + x * (0.0459 / 2.0);
    let h = curve.mask_where(on_line, line).mask_where(flat, sign * 0.9994);
    h * 0.5 + 0.5
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::tests::draws_alone;

    /// Values and gradients of `kind` at −1000, −1, 0.5 and 1000.
    fn at_points(kind: Activation) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let act = ActivationLayer::new(kind, 1, &Weights::new(0, &device));
        let x = Tensor::<2>::from_data([[-1000.0], [-1.0], [0.5], [1000.0]], &device).require_grad();
        let y = act.forward(x.clone());
        let gradients = y.clone().sum().backward();
        let gradient = x.grad(&gradients).unwrap();
        (y.into_data().try_to_vec().unwrap(), gradient.into_data().try_to_vec().unwrap())
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formulas() {
        let e = (-1.0f32).exp();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let (s, t) = (sigmoid(0.5), 0.5f32.tanh());
        let (scale, alpha) = (1.050_701, 1.673_263_2);
        let expected: [(Activation, [f32; 4], [f32; 4]); 9] = [
            (Activation::PRelu, [-250.0, -0.25, 0.5, 1000.0], [0.25, 0.25, 1.0, 1.0]),
            (Activation::Relu, [0.0, 0.0, 0.5, 1000.0], [0.0, 0.0, 1.0, 1.0]),
            (Activation::Relu6, [0.0, 0.0, 0.5, 6.0], [0.0, 0.0, 1.0, 0.0]),
            (Activation::LeakyRelu, [-100.0, -0.1, 0.5, 1000.0], [0.1, 0.1, 1.0, 1.0]),
            (Activation::Elu, [-1.0, e - 1.0, 0.5, 1000.0], [0.0, e, 1.0, 1.0]),
            (
                Activation::Selu,
                [-scale * alpha, scale * alpha * (e - 1.0), scale * 0.5, scale * 1000.0],
                [0.0, scale * alpha * e, scale, scale],
            ),
            (
                Activation::Sigmoid,
                [0.0, sigmoid(-1.0), s, 1.0],
                [0.0, sigmoid(-1.0) * sigmoid(1.0), s * (1.0 - s), 0.0],
            ),
            (Activation::FastSigmoid, [0.0003, 0.25, 0.65, 0.9997], [0.0, 1.0 / 6.0, 0.24, 0.0]),
            (
                Activation::Tanh,
                [-1.0, (-1.0f32).tanh(), t, 1.0],
                [0.0, 1.0 - 1.0f32.tanh().powi(2), 1.0 - t * t, 0.0],
            ),
        ];
        // And rrelu, which draws.
        assert_eq!(expected.len() + 1, Activation::ALL.len());
        for (kind, values, gradients) in expected {
            let (found_values, found_gradients) = at_points(kind);
            for (found, expected) in
                found_values.iter().chain(&found_gradients).zip(values.iter().chain(&gradients))
            {
                // Written so that NaN fails.
                let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                assert!(close, "{kind}: {found_values:?} {found_gradients:?}");
            }
        }
    }

    #[test]
    fn rrelu_draws_a_slope_for_each_element_as_it_trains_and_takes_their_mean_otherwise() {
        let _alone = draws_alone();
        for chosen in facegrad_test_devices::devices() {
            let device = &chosen.device;
            let training = device.clone().autodiff();
            let act = ActivationLayer::new(Activation::RRelu, 4, &Weights::new(0, &training));
            let run = |act: &ActivationLayer, device: &Device| {
                let x = Tensor::<4>::full([10, 4, 16, 16], -2.0, device);
                let x = if device.is_autodiff() { x.require_grad() } else { x };
                let y = act.forward(x.clone());
                let values: Vec<f32> = y.clone().into_data().try_to_vec().unwrap();
                let gradient = device.is_autodiff().then(|| x.grad(&y.sum().backward()).unwrap());
                let gradient: Option<Vec<f32>> =
                    gradient.map(|gradient| gradient.into_data().try_to_vec().unwrap());
                (values, gradient)
            };
            training.seed(4);
            let (values, gradient) = run(&act, &training);
            let slopes = gradient.unwrap();
            let n = slopes.len() as f64;
            assert!(
                values.iter().zip(&slopes).all(|(y, a)| (y + 2.0 * a).abs() < 1e-6),
                "{}",
                chosen.description
            );
            let (least, greatest) = (1.0 / 8.0, 1.0 / 3.0);
            assert!(slopes.iter().all(|a| (least - 1e-6..=greatest + 1e-6).contains(&f64::from(*a))));
            let mean = slopes.iter().map(|a| f64::from(*a)).sum::<f64>() / n;
            let variance = slopes.iter().map(|a| (f64::from(*a) - mean).powi(2)).sum::<f64>() / n;
            // Of 10,240 draws, five standard errors of the mean; and 5 % for the spread.
            let spread = (greatest - least) / 12f64.sqrt();
            assert!((mean - 11.0 / 48.0).abs() < 5.0 * spread / n.sqrt(), "a mean of {mean}");
            assert!((variance.sqrt() / spread - 1.0).abs() < 0.05, "a spread of {}", variance.sqrt());

            let again = run(&act, &training).1.unwrap();
            assert_ne!(slopes, again, "each pass draws its own");
            training.seed(4);
            assert_eq!(slopes, run(&act, &training).1.unwrap(), "the seed of the device decides");

            let mean = |values: &[f32]| values.iter().all(|y| (y + 2.0 * 11.0 / 48.0).abs() < 1e-6);
            assert!(mean(&run(&act.valid(), device).0), "evaluated on {}", chosen.description);
            assert!(mean(&run(&act.clone().freeze(), &training).0), "frozen on {}", chosen.description);
            let slopes: Vec<f32> = act.slope(4, device).unwrap().into_data().try_to_vec().unwrap();
            assert_eq!(slopes, [11.0 / 48.0; 4]);
        }
    }

    #[test]
    fn rrelu_leaves_positive_numbers_and_nan_alone() {
        let _alone = draws_alone();
        let (values, gradients) = at_points(Activation::RRelu);
        assert_eq!((&values[2..], &gradients[2..]), (&[0.5, 1000.0][..], &[1.0, 1.0][..]));
        let device = Device::flex().autodiff();
        let act = ActivationLayer::new(Activation::RRelu, 1, &Weights::new(0, &device));
        assert!(act.forward(Tensor::<1>::from_floats([f32::NAN], &device)).into_scalar::<f32>().is_nan());
    }

    /// The pieces of the fast sigmoid as they are published, for x ≥ 0, and their slope.
    fn pieces(x: f64) -> (f64, f64) {
        let u = x / 2.0;
        if x < 3.4 {
            (0.5 * (1.5 * u / (1.0 + u) + 1.0), 0.5 * 0.5 * 1.5 / (1.0 + u).powi(2))
        } else if x < 5.8 {
            (0.5 * (0.9444 + 0.0459 * (u - 1.7) + 1.0), 0.5 * 0.5 * 0.0459)
        } else {
            (0.9997, 0.0)
        }
    }

    #[test]
    fn the_fast_sigmoid_is_off_by_at_most_0_0277() {
        let error = |x: f64| (pieces(x).0 - 1.0 / (1.0 + (-x).exp())).abs();
        // By symmetry the positive half is enough; past 40 both are flat.
        let (at, greatest) = (0..4_000_000)
            .map(|i| f64::from(i) * 1e-5)
            .map(|x| (x, error(x)))
            .fold((0.0, 0.0), |most, here| if here.1 > most.1 { here } else { most });
        assert!((greatest - 0.027_636_5).abs() < 1e-7 && (at - 0.538_97).abs() < 2e-5, "{greatest} at {at}");
    }

    #[test]
    fn the_fast_sigmoid_has_the_values_and_slopes_of_its_pieces() {
        // On both sides of 0 and of the ends of the pieces, and far out; exact in f32 and not on an end.
        let mut points: Vec<f32> = (-1000..=1000).map(|i| i as f32 * 0.007_812_5).collect();
        points.extend([1e-30, 3.399, 3.401, 5.799, 5.801, 1e4, 1e30, f32::MAX].iter().flat_map(|x| [*x, -x]));
        for chosen in facegrad_test_devices::devices() {
            let device = chosen.device.autodiff();
            let act = ActivationLayer::new(Activation::FastSigmoid, 1, &Weights::new(0, &device));
            let x = Tensor::<1>::from_floats(points.as_slice(), &device).require_grad();
            let y = act.forward(x.clone());
            let slopes: Vec<f32> =
                x.grad(&y.clone().sum().backward()).unwrap().into_data().try_to_vec().unwrap();
            let values: Vec<f32> = y.into_data().try_to_vec().unwrap();
            for ((x, y), slope) in points.iter().zip(values).zip(slopes) {
                let (value, expected) = pieces(f64::from(x.abs()));
                let value = if *x < 0.0 { 1.0 - value } else { value };
                // Written so that NaN fails.
                let close =
                    (f64::from(y) - value).abs() <= 1e-6 && (f64::from(slope) - expected).abs() <= 1e-6;
                assert!(
                    close,
                    "at {x} on {}: {y}, slope {slope}, not {value}, {expected}",
                    chosen.description
                );
            }
        }
    }
}
