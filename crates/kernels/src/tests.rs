//! Every operator against the reference.

pub(crate) use crate::simd::on_each_isa;
use crate::{conv, simd, *};

/// Numbers uniform in −1 to 1 (a linear congruential generator: the tests need no better one).
pub(crate) fn noise(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

/// Vectors for a transform of `channels` channels.
pub(crate) struct Vectors([Vec<f32>; 5]);

impl Vectors {
    pub(crate) fn new(channels: usize) -> Self {
        let mut vectors = [11, 12, 13, 14, 15].map(|seed| noise(channels, seed));
        vectors[3].iter_mut().for_each(|variance| *variance = variance.abs() + 0.2);
        Self(vectors)
    }

    pub(crate) fn transform(&self, norm: bool, slope: bool, of_batch: bool) -> Transform<'_> {
        let Self([gamma, beta, mean, variance, slopes]) = self;
        let norm = norm.then_some(Norm { gamma, beta, mean, variance, epsilon: 1e-5, of_batch });
        Transform { norm, slope: slope.then_some(slopes) }
    }
}

/// The largest difference beside the root mean square of what is expected.
pub(crate) fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    if expected.is_empty() {
        return 0.0;
    }
    let square: f64 = expected.iter().map(|x| f64::from(*x).powi(2)).sum();
    let scale = (square / expected.len() as f64).sqrt().max(1e-3);
    let mut largest = 0.0f64;
    for (found, expected) in found.iter().zip(expected) {
        let difference = f64::from((found - expected).abs());
        // f64::max would lose NaN.
        largest = if difference.is_nan() || difference > largest { difference } else { largest };
        if largest.is_nan() {
            break;
        }
    }
    largest / scale
}

/// Compares a convolution with the reference, forward and backward, on each instruction set.
pub(crate) fn check_conv(conv: Conv, dims: Dims, tolerance: f64) {
    let x = noise(dims.elements(), 1);
    let (weight, bias) = (noise(conv.weights(), 2), noise(conv.outputs, 3));
    let g = noise(conv.output(dims).elements(), 4);
    let vectors = Vectors::new(conv.inputs);
    for (norm, slope, of_batch) in [
        (false, false, false),
        (true, false, true),
        (false, true, false),
        (true, true, true),
        (true, true, false),
    ] {
        let input = Input { x: &x, dims, transform: vectors.transform(norm, slope, of_batch) };
        let mask = GradientMask { input: true, weight: true, bias: true };
        let expected = reference::forward(&conv, input, &weight, Some(&bias), true);
        let gradients = reference::backward(&conv, input, &weight, &g, mask);
        on_each_isa(|isa| {
            let case = format!("{conv:?} on {dims:?}, norm {norm}, slope {slope}, {}", isa.name());
            let close = |what: &str, found: &[f32], expected: &[f32]| {
                let error = error(found, expected);
                assert!(error <= tolerance, "{what} is {error:.1e} off: {case}");
            };
            let found = conv::forward(&conv, input, &weight, Some(&bias), true);
            close("output", &found.y, &expected.y);
            let (found, expected) = (found.moments.unwrap(), expected.moments.clone().unwrap());
            close("mean", &found.mean, &expected.mean);
            close("variance", &found.variance, &expected.variance);
            let found = conv::backward(&conv, input, &weight, &g, mask);
            close("gradient of the weight", &found.weight, &gradients.weight);
            close("gradient of the bias", &found.bias, &gradients.bias);
            close("gradient of gamma", &found.transform.gamma, &gradients.transform.gamma);
            close("gradient of beta", &found.transform.beta, &gradients.transform.beta);
            close("gradient of the slopes", &found.transform.slope, &gradients.transform.slope);
            close("gradient of the input", &found.x, &gradients.x);
        });
    }
}

fn dims([batch, height, width]: [usize; 3], channels: usize) -> Dims {
    Dims { batch, height, width, channels }
}

#[test]
fn dense_convolutions_are_those_of_the_reference() {
    for (inputs, outputs, kernel, stride, padding, map) in [
        (3, 8, [3, 3], 1, 1, [2, 7, 9]),
        (3, 40, [3, 3], 2, 1, [1, 9, 8]),
        (5, 33, [3, 3], 2, 1, [3, 8, 7]),
        (16, 32, [1, 1], 1, 0, [2, 5, 6]),
        (17, 9, [1, 1], 2, 0, [2, 5, 6]),
        (4, 3, [5, 3], 3, 2, [1, 11, 10]),
        (2, 2, [2, 2], 2, 0, [1, 5, 5]),
        (6, 65, [3, 3], 1, 0, [1, 3, 3]),
        (1, 1, [1, 1], 3, 1, [1, 1, 1]),
    ] {
        check_conv(Conv { inputs, outputs, kernel, stride, padding, groups: 1 }, dims(map, inputs), 2e-5);
    }
}

#[test]
fn convolutions_of_large_groups_are_those_of_the_reference() {
    for (inputs, outputs, groups) in [(18, 12, 3), (10, 20, 2)] {
        let conv = Conv { inputs, outputs, kernel: [3, 3], stride: 1, padding: 1, groups };
        check_conv(conv, dims([2, 5, 6], inputs), 2e-5);
    }
}

#[test]
fn winograd_convolutions_are_those_of_the_reference() {
    for (inputs, outputs, padding, map) in [
        (16, 16, 1, [4, 8, 8]),
        (20, 33, 1, [2, 13, 10]),
        (64, 40, 1, [4, 7, 7]),
        (17, 64, 0, [4, 10, 9]),
        (32, 16, 2, [4, 6, 7]),
        (16, 32, 1, [5, 14, 14]),
        (16, 16, 1, [1, 16, 16]),
    ] {
        let conv = Conv { inputs, outputs, kernel: [3, 3], stride: 1, padding, groups: 1 };
        assert!(winograd::applies(&conv, dims(map, inputs)));
        check_conv(conv, dims(map, inputs), 5e-5);
    }
}

/// Runs `f` on pools of one and of three threads, which must give the same.
pub(crate) fn same_on_any_number_of_threads<T: PartialEq + Send>(f: impl Fn() -> T + Sync) {
    let _held = simd::hold();
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    assert!(on(1) == on(3), "the number of threads changes the result");
}

/// Dense and Winograd convolutions and one of stride 2, of some batches of maps.
fn kinds() -> [(Conv, Dims); 3] {
    let conv = Conv { inputs: 20, outputs: 36, kernel: [3, 3], stride: 1, padding: 1, groups: 1 };
    let wide = dims([3, 17, 14], 20);
    assert!(winograd::applies(&conv, wide));
    [(Conv { padding: 0, kernel: [1, 1], ..conv }, wide), (Conv { stride: 2, ..conv }, wide), (conv, wide)]
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (conv, dims) in kinds() {
        let (x, weight) = (noise(dims.elements(), 1), noise(conv.weights(), 2));
        let g = noise(conv.output(dims).elements(), 3);
        let vectors = Vectors::new(conv.inputs);
        let input = Input { x: &x, dims, transform: vectors.transform(true, true, true) };
        let mask = GradientMask { input: true, weight: true, bias: true };
        same_on_any_number_of_threads(|| conv::forward(&conv, input, &weight, None, true));
        same_on_any_number_of_threads(|| conv::backward(&conv, input, &weight, &g, mask));
        same_on_any_number_of_threads(|| join(input, Some(input), true));
        same_on_any_number_of_threads(|| transform_backward(input, x.clone()));
    }
}

#[test]
fn nan_passes() {
    for (conv, dims) in kinds() {
        let mut x = noise(dims.elements(), 1);
        // In the second image.
        x[dims.image() + 3 * dims.row() + 25] = f32::NAN;
        let weight = noise(conv.weights(), 2);
        let out = conv.output(dims);
        let vectors = Vectors::new(conv.inputs);
        let input = Input { x: &x, dims, transform: vectors.transform(true, true, true) };
        on_each_isa(|_| {
            let found = conv::forward(&conv, input, &weight, None, true);
            let images: Vec<bool> =
                found.y.chunks_exact(out.image()).map(|y| y.iter().any(|y| y.is_nan())).collect();
            assert_eq!(images, [false, true, false]);
            assert!(found.moments.unwrap().mean.iter().all(|mean| mean.is_nan()));
            let mut g = noise(out.elements(), 3);
            g[out.image() + out.row()] = f32::NAN;
            let mask = GradientMask { input: true, weight: true, bias: true };
            let gradients = conv::backward(&conv, input, &weight, &g, mask);
            assert!(gradients.weight.iter().all(|g| g.is_finite() || g.is_nan()));
            assert!(gradients.bias[0].is_nan() && gradients.bias[1].is_finite());
            assert!(gradients.transform.beta.iter().all(|g| g.is_nan()));
        });
    }
}

#[test]
fn joins_and_transforms_are_those_of_the_reference() {
    for (map, channels) in [([2, 5, 3], 20), ([1, 1, 1], 1), ([3, 20, 20], 16), ([1, 7, 7], 37)] {
        let dims = dims(map, channels);
        let [x, other, g] = [1, 2, 3].map(|seed| noise(dims.elements(), seed));
        let vectors = Vectors::new(channels);
        for (norm, slope, of_batch) in [
            (false, false, false),
            (true, false, true),
            (false, true, false),
            (true, true, true),
            (true, true, false),
        ] {
            let input = Input { x: &x, dims, transform: vectors.transform(norm, slope, of_batch) };
            let second = Input { x: &other, dims, transform: vectors.transform(!norm, slope, of_batch) };
            let z = |input: Input<'_>| reference::transformed(input.x, channels, &input.transform).1;
            let sum: Vec<f64> = z(input).iter().zip(z(second)).map(|(a, b)| a + b).collect();
            let moments = reference::moments(&sum, channels);
            let sum: Vec<f32> = sum.into_iter().map(|x| x as f32).collect();
            let alone: Vec<f32> = z(input).into_iter().map(|x| x as f32).collect();
            let wide: Vec<f64> = g.iter().map(|g| f64::from(*g)).collect();
            let (gx, gradients) = reference::transform_backward(input, &wide);
            on_each_isa(|isa| {
                let case = format!("{dims:?}, norm {norm}, slope {slope}, {}", isa.name());
                let close = |found: &[f32], expected: &[f32]| {
                    let error = error(found, expected);
                    assert!(error <= 2e-5, "{error:.1e} off: {case}");
                };
                let found = join(input, Some(second), true);
                close(&found.y, &sum);
                let found = found.moments.unwrap();
                close(&found.mean, &moments.mean);
                close(&found.variance, &moments.variance);
                assert_eq!(join(input, None, false).moments, None);
                close(&join(input, None, false).y, &alone);
                let (x, found) = transform_backward(input, g.clone());
                assert!(
                    transform_backward_from(input, &g) == (x.clone(), found.clone()),
                    "another way: {case}"
                );
                close(&x, &gx);
                close(&found.gamma, &gradients.gamma);
                close(&found.beta, &gradients.beta);
                close(&found.slope, &gradients.slope);
            });
        }
    }
}

#[test]
fn at_zero_prelu_has_the_derivative_1_and_relu_0() {
    let (x, g) = ([0.0, -0.0, 0.0, -1.0, 2.0, -0.0], vec![5.0; 6]);
    let input = Input {
        x: &x,
        dims: dims([1, 1, 3], 2),
        transform: Transform { norm: None, slope: Some(&[0.0, 0.5]) },
    };
    on_each_isa(|_| assert_eq!(transform_backward(input, g.clone()).0, [0.0, 5.0, 0.0, 2.5, 5.0, 5.0]));
}

#[test]
fn variances_do_not_cancel() {
    // The mean is 10,000 times the deviation: its square in f32 has no digit left of the variance.
    let dims = dims([2, 9, 11], 5);
    let x: Vec<f32> = noise(dims.elements(), 1).into_iter().map(|x| 1e4 + x).collect();
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let expected = reference::moments(&wide, 5);
    on_each_isa(|_| {
        let found = moments(&x, dims);
        assert_eq!(found.mean, expected.mean);
        assert!(error(&found.variance, &expected.variance) < 1e-5);
    });
}

/// What Winograd's filtering costs in accuracy, beside the sums taken directly.
#[test]
fn winograd_rounds_a_few_times_more_than_direct_sums() {
    let conv = Conv { inputs: 64, outputs: 32, kernel: [3, 3], stride: 1, padding: 1, groups: 1 };
    let dims = dims([2, 16, 16], 64);
    let (x, weight) = (noise(dims.elements(), 1), noise(conv.weights(), 2));
    let g = noise(conv.output(dims).elements(), 3);
    let input = Input { x: &x, dims, transform: Transform::default() };
    let mask = GradientMask { input: true, weight: true, bias: false };
    let expected = reference::forward(&conv, input, &weight, None, false);
    let gradients = reference::backward(&conv, input, &weight, &g, mask);
    let errors = |y: &[f32], found: &ConvGradients| {
        [error(y, &expected.y), error(&found.x, &gradients.x), error(&found.weight, &gradients.weight)]
    };
    assert!(winograd::applies(&conv, dims));
    let y = conv::forward(&conv, input, &weight, None, false).y;
    let winograd = errors(&y, &conv::backward(&conv, input, &weight, &g, mask));
    let packed = dense::Packed::new(&conv, &weight);
    let (mut y, finish) = (Vec::new(), finish::Finish { channels: 32, ..Default::default() });
    packed.convolve(&conv, &x, dims, &transform::Prepared::new(&Transform::default(), 64), &finish, &mut y);
    let direct = errors(&y, &dense::backward(&conv, input, &weight, &g, mask));
    println!("largest error beside the root mean square: Winograd {winograd:?}, direct {direct:?}");
    for (winograd, direct) in winograd.into_iter().zip(direct) {
        assert!(direct < 1e-5 && winograd < 1.5e-5, "{winograd:e} and {direct:e}");
    }
}
