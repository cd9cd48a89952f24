//! Textbook losses as plain functions on tensors: regression, and two classes by the margin.
//!
//! Each gives the mean over all elements, `[1]`, of tensors of any one shape, and keeps its place in autodiff.
//! [`FUNCTIONS`] lists them. To add one, write it into a file of this folder and add a line to the registry below.

mod margin;
mod regression;

/// A loss function, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name in this module.
    pub name: &'static str,
    /// Its formula, in [`SYMBOLS`].
    pub formula: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
}

/// What the formulas of [`FUNCTIONS`] are written in.
pub const SYMBOLS: &str = "ŷ prediction, y target, r = ŷ − y; f score, y = −1 or 1; z logit, t = 0 to 1 target probability; \
     mean over all elements";

/// The registry: one line a function.
macro_rules! functions {
    ($( $(#[doc = $doc:literal])* $file:ident::$name:ident = $formula:literal; )*) => {
        $( pub use $file::$name; )*

        /// Every loss function, in the order of the registry.
        pub const FUNCTIONS: &[Function] = &[$(
            Function {
                name: stringify!($name),
                formula: $formula,
                doc: concat!($($doc),*).trim_ascii(),
            },
        )*];
    };
}

functions! {
    /// Mean squared error: large residuals count most.
    regression::mse = "mean r²";
    /// Root of the mean squared error, in the units of the target.
    regression::rmse = "√(mean r²)";
    /// Mean absolute error: every unit of a residual counts alike.
    regression::mae = "mean |r|";
    /// Squared up to δ, absolute beyond: smooth, and outliers count no more than in mae.
    regression::huber = "mean of ½ r² where |r| ≤ δ, δ (|r| − ½ δ) elsewhere";
    /// The share of wrong signs, whose gradient is 0 everywhere.
    margin::zero_one = "mean [f y ≤ 0]";
    /// Squared distance of the margin from 1: a margin above 1 costs too.
    margin::square = "mean (1 − f y)²";
    /// AdaBoost's: a wrong sign costs exponentially.
    margin::exponential = "mean exp(−f y)";
    /// The support vector machine's: nothing from a margin of 1 on.
    margin::hinge = "mean max(0, 1 − f y)";
    /// Logistic regression's, in nats: a smooth hinge that never reaches 0.
    margin::logistic = "mean ln(1 + exp(−f y))";
    /// Logistic regression's on probabilities, hard or soft, in nats.
    margin::binary_cross_entropy = "mean of −t ln σ(z) − (1 − t) ln(1 − σ(z))";
}

#[cfg(test)]
pub(crate) mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;

    /// A function under test.
    pub type Loss<'a> = &'a dyn Fn(Tensor<1>, Tensor<1>) -> Tensor<1>;

    /// Numbers as a tensor `[n]` on `device`.
    pub fn tensor(numbers: &[f64], device: &Device) -> Tensor<1> {
        let numbers: Vec<f32> = numbers.iter().map(|x| *x as f32).collect();
        let length = numbers.len();
        Tensor::from_data(TensorData::new(numbers, [length]), device)
    }

    /// The loss of `a` and `b`, and its gradients with respect to them.
    pub fn value_and_gradients(
        device: &Device,
        [a, b]: [&[f64]; 2],
        loss: impl Fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) -> (f64, [Vec<f64>; 2]) {
        let device = device.clone().autodiff();
        let inputs = [a, b].map(|numbers| tensor(numbers, &device).require_grad());
        let loss = loss(inputs[0].clone(), inputs[1].clone());
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let gradients = loss.backward();
        let read = |input: &Tensor<1>| {
            let gradient: Vec<f32> = input.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
            gradient.into_iter().map(f64::from).collect()
        };
        (value, [read(&inputs[0]), read(&inputs[1])])
    }

    /// The value and gradients of `loss` at `a` and `b` against `reference`, a formula in f64 that is
    /// differentiated by central differences, on every backend. `a` and `b` must be exact in f32, and no kink
    /// may lie within 1e-4 of them.
    pub fn check(
        name: &str,
        [a, b]: [&[f64]; 2],
        loss: impl Fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
        reference: impl Fn(&[f64], &[f64]) -> f64,
    ) {
        const STEP: f64 = 1e-5;
        let slope = |which: usize, i: usize| {
            let shifted = |by: f64| {
                let mut inputs = [a.to_vec(), b.to_vec()];
                inputs[which][i] += by;
                reference(&inputs[0], &inputs[1])
            };
            (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP)
        };
        let expected = reference(a, b);
        for chosen in facegrad_test_devices::devices() {
            let (value, gradients) = value_and_gradients(&chosen.device, [a, b], &loss);
            // Written so that NaN fails.
            let close = (value - expected).abs() <= 1e-5 * expected.abs().max(1e-3);
            assert!(close, "{name} on {}: {value} is not {expected}", chosen.description);
            for (which, found) in gradients.iter().enumerate() {
                for (i, found) in found.iter().enumerate() {
                    let expected = slope(which, i);
                    let close = (found - expected).abs() <= 1e-4 * expected.abs().max(1e-2);
                    assert!(
                        close,
                        "{name} on {}: the slope of input {which} at {i} is {found}, not {expected}",
                        chosen.description
                    );
                }
            }
        }
    }

    /// The mean over elements of a formula of two numbers.
    pub fn mean(of: impl Fn(f64, f64) -> f64) -> impl Fn(&[f64], &[f64]) -> f64 {
        move |a, b| a.iter().zip(b).map(|(a, b)| of(*a, *b)).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn the_table_describes_each_function_in_a_line() {
        for (i, function) in FUNCTIONS.iter().enumerate() {
            assert!(!function.formula.is_empty() && function.doc.ends_with('.'), "{function:?}");
            assert!(!function.doc.contains('\n') && function.doc.trim() == function.doc, "{function:?}");
            assert!(FUNCTIONS[..i].iter().all(|other| other.name != function.name), "{function:?}");
        }
    }

    #[test]
    fn any_shape_is_averaged_over_all_its_elements() {
        let device = Device::flex();
        let prediction = Tensor::<3>::full([2, 3, 4], 3.0, &device);
        let loss = mse(prediction, Tensor::zeros([2, 3, 4], &device));
        assert_eq!(loss.dims(), [1]);
        assert_eq!(loss.into_scalar::<f32>(), 9.0);
    }
}
