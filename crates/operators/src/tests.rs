//! The operations against Burn's own, which compose them from others on channels-first maps.

use burn::tensor::{
    Device, Gradients, Tensor, TensorData, activation,
    module::{batch_norm, batch_norm_train, conv2d},
    ops::ConvOptions,
};
use facegrad_random::{Purpose, Stream};

use super::*;

/// √1024 times f32's unit roundoff: sums here have up to a thousand terms, and both sides round.
const TOLERANCE: f32 = 4.0 * 32.0 / 16_777_216.0;

const EPSILON: f64 = 1e-5;

pub(crate) fn devices() -> Vec<Device> {
    vec![
        #[cfg(feature = "flex")]
        Device::flex(),
        #[cfg(feature = "ndarray")]
        Device::ndarray(),
    ]
}

/// Draws of their own for each `number`.
pub(crate) fn draw<const D: usize>(number: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(11, Purpose::Network, number, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.range(-1.0, 1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

#[track_caller]
pub(crate) fn assert_close<const D: usize>(what: &str, found: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let tolerance = TOLERANCE * expected.iter().fold(1.0f32, |most, x| most.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let close = (found - expected).abs() <= tolerance || found.is_nan() && expected.is_nan();
        assert!(close, "{what}: number {i} is {found}, not {expected} ± {tolerance}");
    }
}

fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Statistics {
    OfBatch,
    Given,
}

/// One map with what is done to it, as leaves of a graph.
#[derive(Debug, Clone)]
struct Leaves {
    /// Channels first.
    x: Tensor<4>,
    /// γ and β.
    norm: Option<([Tensor<1>; 2], Statistics)>,
    slope: Option<Tensor<1>>,
}

impl Leaves {
    fn new(number: u64, shape: [usize; 4], norm: Option<Statistics>, slope: bool, device: &Device) -> Self {
        let vector = |k: u64| leaf(draw(100 * number + k, [shape[1]], device) + 0.5);
        Self {
            // Far from zero, so that a variance taken as a difference of squares would be off.
            x: leaf(draw(100 * number, shape, device) + 3.0),
            norm: norm.map(|kind| ([1, 2].map(vector), kind)),
            slope: slope.then(|| vector(3)),
        }
    }

    fn given(&self) -> (Tensor<1>, Tensor<1>) {
        let [_, channels, _, _] = self.x.dims();
        let device = self.x.device();
        (draw(7, [channels], &device) + 3.0, draw(8, [channels], &device) + 1.5)
    }

    /// By Burn's operations, channels first.
    fn composed(&self) -> Tensor<4> {
        let mut z = self.x.clone();
        if let Some(([gamma, beta], kind)) = self.norm.clone() {
            z = match kind {
                Statistics::OfBatch => batch_norm_train(z, gamma, beta, EPSILON).output,
                Statistics::Given => {
                    let (mean, variance) = self.given();
                    batch_norm(z, gamma, beta, mean, variance, EPSILON)
                }
            };
        }
        match self.slope.clone() {
            Some(slope) => activation::prelu(z, slope),
            None => z,
        }
    }

    /// For the operations of this crate.
    fn map(&self) -> Map {
        let x = channels_last(self.x.clone());
        let norm = self.norm.clone().map(|([gamma, beta], kind)| Norm {
            gamma,
            beta,
            moments: match kind {
                Statistics::OfBatch => moments(x.clone()),
                Statistics::Given => {
                    let (mean, variance) = self.given();
                    Moments { mean, variance }
                }
            },
            epsilon: EPSILON,
            of_batch: kind == Statistics::OfBatch,
        });
        Map { x, norm, slope: self.slope.clone() }
    }

    fn compare(&self, what: &str, found: &Gradients, expected: &Gradients) {
        compare(&format!("{what}: elements"), &self.x, found, expected);
        if let Some((vectors, _)) = &self.norm {
            for (vector, name) in vectors.iter().zip(["gamma", "beta"]) {
                compare(&format!("{what}: {name}"), vector, found, expected);
            }
        }
        if let Some(slope) = &self.slope {
            compare(&format!("{what}: slope"), slope, found, expected);
        }
    }
}

pub(crate) fn leaf<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let device = tensor.device();
    Tensor::from_data(tensor.into_data(), &device).require_grad()
}

pub(crate) fn untracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(tensor.inner())
}

pub(crate) fn compare<const D: usize>(what: &str, leaf: &Tensor<D>, found: &Gradients, expected: &Gradients) {
    assert_close(what, leaf.grad(found).unwrap(), leaf.grad(expected).unwrap());
}

/// Gradients of a sum of `y`, in which each element has a weight of its own.
fn backward(y: Tensor<4>) -> Gradients {
    let weights = draw(9, y.dims(), &y.device());
    (y * weights).sum().backward()
}

fn assert_moments(what: &str, found: &Moments, y: &Tensor<4>) {
    let ones = Tensor::ones([y.dims()[1]], &y.device());
    let expected = batch_norm_train(y.clone(), ones.clone(), ones, EPSILON);
    assert_close(&format!("{what}: mean"), found.mean.clone(), expected.mean);
    assert_close(&format!("{what}: variance"), found.variance.clone(), expected.variance);
}

/// Transforms of every kind.
const TRANSFORMS: [(Option<Statistics>, bool); 6] = [
    (None, false),
    (None, true),
    (Some(Statistics::OfBatch), false),
    (Some(Statistics::OfBatch), true),
    (Some(Statistics::Given), false),
    (Some(Statistics::Given), true),
];

#[test]
fn conv_and_its_gradients_are_those_of_burn() {
    // Batch, inputs, outputs, height, width, kernel, stride, padding, groups, bias.
    let shapes = [
        (1, 3, 5, [7, 6], [3, 3], 1, 1, 1, true),
        (3, 4, 6, [5, 9], [3, 3], 2, 1, 1, false),
        (2, 20, 17, [4, 3], [1, 1], 1, 0, 1, true),
        (2, 6, 4, [5, 4], [1, 1], 2, 0, 1, false),
        (2, 19, 19, [6, 5], [3, 3], 1, 1, 19, true),
        (2, 18, 18, [7, 5], [3, 3], 2, 1, 18, false),
        (1, 8, 12, [5, 5], [3, 3], 1, 1, 4, true),
        (3, 7, 7, [3, 4], [3, 4], 1, 0, 7, false),
    ];
    for device in devices() {
        for (batch, inputs, outputs, [height, width], [kh, kw], stride, padding, groups, bias) in shapes {
            for (norm, slope) in TRANSFORMS {
                let training = device.clone().autodiff();
                let shape = [batch, inputs, height, width];
                let leaves = Leaves::new(1, shape, norm, slope, &training);
                let weight = leaf(draw(2, [outputs, inputs / groups, kh, kw], &training));
                let bias = bias.then(|| leaf(draw(3, [outputs], &training)));
                let what = format!("{device:?}, {shape:?} to {outputs}, {norm:?}, slope {slope}");

                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
                let expected = conv2d(leaves.composed(), weight.clone(), bias.clone(), options);
                let stencil = Stencil { stride, padding, groups };
                let (found, moments) = conv(leaves.map(), weight.clone(), bias.clone(), stencil, true);
                let found = channels_first(found);
                assert_close(&what, found.clone(), expected.clone());
                assert_moments(&what, &moments.unwrap(), &expected);

                let (found, expected) = (backward(found), backward(expected));
                leaves.compare(&what, &found, &expected);
                compare(&format!("{what}: weight"), &weight, &found, &expected);
                if let Some(bias) = bias {
                    compare(&format!("{what}: bias"), &bias, &found, &expected);
                }
            }
        }
    }
}

#[test]
fn join_and_its_gradients_are_those_of_burn() {
    for device in devices() {
        for shape in [[1, 3, 5, 4], [3, 18, 2, 7], [2, 32, 17, 9]] {
            for first in TRANSFORMS {
                let training = device.clone().autodiff();
                let one = Leaves::new(1, shape, first.0, first.1, &training);
                for second in [None, Some(TRANSFORMS[0]), Some(TRANSFORMS[3])] {
                    let two = second.map(|(norm, slope)| Leaves::new(2, shape, norm, slope, &training));
                    let what = format!("{device:?}, {shape:?}, {first:?} and {second:?}");
                    let expected = match &two {
                        Some(two) => one.composed() + two.composed(),
                        None => one.composed(),
                    };
                    let (found, moments) = join(one.map(), two.as_ref().map(Leaves::map), true);
                    let found = channels_first(found);
                    assert_close(&what, found.clone(), expected.clone());
                    assert_moments(&what, &moments.unwrap(), &expected);
                    let (found, expected) = (backward(found), backward(expected));
                    one.compare(&what, &found, &expected);
                    if let Some(two) = two {
                        two.compare(&what, &found, &expected);
                    }
                }
            }
        }
    }
}

/// A gradient that two maps share must not be overwritten for one of them.
#[test]
fn branches_of_a_sum_do_not_share_the_memory_of_a_gradient() {
    for device in devices() {
        let training = device.clone().autodiff();
        let [one, two] = [1, 2].map(|k| Leaves::new(k, [2, 5, 3, 4], TRANSFORMS[3].0, true, &training));
        let alone = |leaves: &Leaves| join(leaves.map(), None, false).0;
        let (sum, _) = join(Map::new(alone(&one)), Some(Map::new(alone(&two))), false);
        let (found, expected) = (backward(channels_first(sum)), backward(one.composed() + two.composed()));
        one.compare("one", &found, &expected);
        two.compare("two", &found, &expected);
        // A map and itself.
        let (sum, _) = join(one.map(), Some(one.map()), false);
        let (found, expected) = (backward(channels_first(sum)), backward(one.composed() * 2.0));
        one.compare("twice", &found, &expected);
    }
}

#[test]
fn maps_that_are_views_are_read_as_such() {
    for device in devices() {
        let x = draw(1, [3, 6, 7, 8], &device);
        let weight = draw(2, [8, 5, 3, 3], &device).permute([1, 0, 2, 3]);
        let stencil = Stencil { stride: 1, padding: 1, groups: 1 };
        // The last two images, and of these a part of the pixels.
        let part = x.clone().slice([1..3, 0..6, 2..7, 0..8]);
        let (found, _) = conv(Map::new(part.clone()), weight.clone(), None, stencil, false);
        let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
        assert_close(
            "part",
            channels_first(found),
            conv2d(channels_first(part.clone()), weight, None, options),
        );
        let (found, _) =
            join(Map::new(part.clone()), Some(Map::new(x.slice([0..2, 0..6, 0..5, 0..8]))), false);
        assert_eq!(found.dims(), part.dims());
        let last = draw(1, [3, 6, 7, 8], &device).narrow(0, 2, 1);
        assert_close("last", join(Map::new(last.clone()), None, false).0, last);
    }
}

#[test]
fn only_tracked_parents_get_gradients() {
    for device in devices() {
        let training = device.clone().autodiff();
        let shape = [2, 5, 4, 3];
        let all = Leaves::new(1, shape, Some(Statistics::OfBatch), true, &training);
        let weight = leaf(draw(2, [3, 5, 3, 3], &training));
        let stencil = Stencil { stride: 1, padding: 1, groups: 1 };
        let found = |leaves: &Leaves, weight: &Tensor<4>| {
            backward(channels_first(conv(leaves.map(), weight.clone(), None, stencil, false).0))
        };
        let expected = found(&all, &weight);
        let mut held = all.clone();
        held.x = untracked(held.x);
        if let Some(([gamma, _], _)) = &mut held.norm {
            *gamma = untracked(gamma.clone());
        }
        let gradients = found(&held, &untracked(weight.clone()));
        assert!(held.x.grad(&gradients).is_none() && weight.grad(&gradients).is_none());
        let (Some(([held_gamma, beta], _)), Some(slope)) = (&held.norm, &held.slope) else { unreachable!() };
        assert!(held_gamma.grad(&gradients).is_none());
        compare("beta", beta, &gradients, &expected);
        compare("slope", slope, &gradients, &expected);

        // Images: the gradient of the weight alone.
        let images = Leaves { x: untracked(all.x.clone()), norm: None, slope: None };
        let gradients = found(&images, &weight);
        assert!(images.x.grad(&gradients).is_none() && weight.grad(&gradients).is_some());

        // Nothing to train: no graph.
        let (y, moments) = conv(images.map(), untracked(weight), None, stencil, true);
        let moments = moments.unwrap();
        assert!(!y.is_require_grad() && !moments.mean.is_require_grad());
        assert!(y.device().is_autodiff() && moments.variance.device().is_autodiff());
    }
}

/// With Burn's checkpoints, which drop maps and compute them again.
#[test]
fn checkpoints_change_nothing() {
    for device in devices() {
        let gradients = |device: &Device| {
            let leaves = Leaves::new(1, [2, 5, 4, 3], Some(Statistics::OfBatch), true, device);
            let weight = leaf(draw(2, [3, 5, 3, 3], device));
            let stencil = Stencil { stride: 1, padding: 1, groups: 1 };
            // A map that Burn would compute again.
            let map = Map { x: leaves.map().x * 0.5, ..leaves.map() };
            let (y, _) = conv(map, weight.clone(), None, stencil, false);
            let found = backward(channels_first(y * 2.0));
            let found = [values(leaves.x.grad(&found).unwrap()), values(weight.grad(&found).unwrap())];
            assert!(found.iter().flatten().all(|x| x.is_finite()));
            found
        };
        let training = device.autodiff();
        assert_eq!(gradients(&training.clone().gradient_checkpointing()), gradients(&training));
    }
}

#[test]
fn the_gradients_of_a_fork_are_added() {
    for device in devices() {
        let training = device.autodiff();
        let shape = [2, 3, 40, 71];
        let weighted = |branch: Tensor<4>, number: u64| (branch * draw(number, shape, &training)).sum();
        for is_leaf in [true, false] {
            let x = leaf(draw(1, shape, &training));
            let read = || if is_leaf { x.clone() } else { x.clone() * 2.0 };
            let gradient = |loss: Tensor<1>| values(x.grad(&loss.backward()).unwrap());

            let found = {
                let [a, b] = fork(read());
                assert_eq!(values(a.clone()), values(read()));
                gradient(weighted(a, 2) + weighted(b, 3))
            };
            let y = read();
            assert_eq!(found, gradient(weighted(y.clone(), 2) + weighted(y, 3)));

            // One branch alone, a second time, and next to a third reader.
            let [a, _] = fork(read());
            assert_eq!(gradient(weighted(a, 2)), gradient(weighted(read(), 2)));
            let [_, b] = fork(read());
            assert_eq!(gradient(weighted(b, 2)), gradient(weighted(read(), 2)));
            let y = read();
            let [a, b] = fork(y.clone());
            let found = gradient(weighted(a, 2) + weighted(y, 4) + weighted(b, 3));
            let y = read();
            let expected = gradient(weighted(y.clone(), 2) + weighted(y.clone(), 4) + weighted(y, 3));
            assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5));
        }
        // Two losses of a leaf, one a branch.
        let x = leaf(draw(1, shape, &training));
        let [a, b] = fork(x.clone());
        let [first, second] = [(a, 2), (b, 3)]
            .map(|(branch, number)| values(x.grad(&weighted(branch, number).backward()).unwrap()));
        assert_eq!(first, values(draw(2, shape, &training)));
        assert_eq!(second, values(draw(3, shape, &training)));
    }
}

#[test]
fn linear_and_its_gradients_are_those_of_burn() {
    for device in devices() {
        let training = device.autodiff();
        for (batch, inputs, outputs, bias) in [(3, 40, 7, true), (1, 5, 64, false)] {
            let (x, weight) =
                (leaf(draw(1, [batch, inputs], &training)), leaf(draw(2, [inputs, outputs], &training)));
            let bias = bias.then(|| leaf(draw(3, [outputs], &training)));
            let what = format!("{training:?}, {inputs} to {outputs}");
            let product = x.clone().matmul(weight.clone());
            let expected = match &bias {
                Some(bias) => product + bias.clone().unsqueeze(),
                None => product,
            };
            let found = linear(x.clone(), weight.clone(), bias.clone());
            assert_close(&what, found.clone(), expected.clone());
            let untracked =
                linear(x.clone().inner(), weight.clone().inner(), bias.clone().map(Tensor::inner));
            assert_close(&what, untracked, expected.clone().inner());

            let backward = |y: Tensor<2>| (y * draw(9, [batch, outputs], &training)).sum().backward();
            let (found, expected) = (backward(found), backward(expected));
            compare(&format!("{what}: input"), &x, &found, &expected);
            compare(&format!("{what}: weight"), &weight, &found, &expected);
            if let Some(bias) = bias {
                compare(&format!("{what}: bias"), &bias, &found, &expected);
            }
        }
    }
}

#[test]
fn nan_passes_through() {
    for device in devices() {
        let shape = [2, 3, 5, 4];
        let mut elements = values(draw(1, shape, &device));
        elements[7] = f32::NAN;
        for (norm, slope) in TRANSFORMS {
            let training = device.clone().autodiff();
            let mut leaves = Leaves::new(1, shape, norm, slope, &training);
            leaves.x = Tensor::from_data(TensorData::new(elements.clone(), shape), &training).require_grad();
            let weight = leaf(draw(2, [4, 3, 3, 3], &training));
            let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
            let expected = conv2d(leaves.composed(), weight.clone(), None, options);
            let stencil = Stencil { stride: 1, padding: 1, groups: 1 };
            let (found, moments) = conv(leaves.map(), weight.clone(), None, stencil, true);
            let found = channels_first(found);
            let what = format!("{device:?}, {norm:?}, slope {slope}");
            assert!(values(found.clone()).iter().any(|y| y.is_nan()), "{what}");
            assert_close(&what, found.clone(), expected.clone());
            assert_moments(&what, &moments.unwrap(), &expected);
            let (found, expected) = (backward(found), backward(expected));
            compare(&format!("{what}: weight"), &weight, &found, &expected);
            assert_close(
                &what,
                channels_first(join(leaves.map(), None, false).0).inner(),
                leaves.composed().inner(),
            );
        }
    }
}

#[test]
fn other_numbers_than_f32_are_not_supported() {
    for device in devices() {
        let x = Tensor::<4>::zeros([1, 2, 3, 4], &device);
        assert!(supports(&x) && supports(&Tensor::<4>::zeros([1, 2, 3, 4], &device.autodiff())));
        assert!(!supports(&x.cast(DType::F64)));
    }
}
