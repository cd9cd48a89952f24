//! Squeeze-and-excitation: every channel is scaled by a number from 0 to 1 that depends on the means of all channels.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Tensor, activation},
};
use facegrad_kernels::{Dims, infer::ImageFunction};

use crate::{
    inference::numbers,
    initial::{Init, Weights},
    layers::{ComposedLayer, Layer, LayerKind},
    sizes::{Cost, Map},
};

/// The layer with its sizes: s = σ(W₂·relu(W₁·z)) of the means z of the channels, and each channel times its s (Hu et
/// al., Squeeze-and-Excitation Networks, CVPR 2018, equations 2 to 4).
///
/// Without biases and with the reduction 16, it is `SEModule` of the `IR_SE` networks in TFace
/// (`recognition/torchkit/backbone/model_irse.py`, `BasicBlockIRSE`) and AdaFace (`net.py`), which draw the weights of
/// all their convolutions from one distribution (`initialize_weights`).
#[derive(Debug)]
pub(crate) struct SqueezeExcitationKind {
    pub(crate) channels: usize,
    /// Divides the channels between the two linear layers, of which there is one at least.
    pub(crate) reduction: usize,
}

impl SqueezeExcitationKind {
    fn reduced(&self) -> usize {
        (self.channels / self.reduction).max(1)
    }
}

impl LayerKind for SqueezeExcitationKind {
    fn name(&self) -> String {
        format!("squeeze and excitation {}->{}", self.channels, self.reduced())
    }

    fn output(&self, map: Map) -> Map {
        map
    }

    fn cost(&self, _: Map) -> Cost {
        let weights = 2 * (self.channels * self.reduced()) as u64;
        Cost { parameters: weights, multiply_adds: weights }
    }

    fn init(&self, weights: &mut Weights) -> Layer {
        let mut linear = |inputs, outputs| Linear {
            weight: weights.draw([inputs, outputs], Init::KaimingFanOut, inputs, outputs),
            bias: None,
        };
        let (channels, reduced) = (self.channels, self.reduced());
        let (reduce, expand) = (linear(channels, reduced), linear(reduced, channels));
        Layer::SqueezeExcitation(SqueezeExcitation { reduce, expand })
    }
}

/// The layer with its weights.
#[derive(Module, Debug)]
pub struct SqueezeExcitation {
    /// W₁, of shape `[channels, channels / reduction]`.
    reduce: Linear,
    /// W₂, of shape `[channels / reduction, channels]`.
    expand: Linear,
}

impl ComposedLayer for SqueezeExcitation {
    fn forward(&self, map: Tensor<4>, channels: usize) -> Tensor<4> {
        let dims = map.dims();
        // In this form no axis has to move, whichever one the channels are.
        let (maps, pixels): (Tensor<3>, _) = match channels {
            1 => (map.flatten(2, 3), 2),
            _ => (map.flatten(1, 2), 1),
        };
        let means = maps.clone().mean_dim(pixels).reshape([dims[0], dims[channels]]);
        let scales = activation::sigmoid(self.expand.forward(activation::relu(self.reduce.forward(means))));
        (maps * scales.unsqueeze_dim(pixels)).reshape(dims)
    }

    fn evaluated(&self, map: Dims) -> ImageFunction {
        let [_, reduced] = self.reduce.weight.dims();
        let [reduce, expand] = [&self.reduce, &self.expand].map(|linear| numbers(linear.weight.val()));
        let (channels, pixels) = (map.channels, (map.height * map.width) as f64);
        Box::new(move |x, y| {
            let mut sums = vec![0.0; channels];
            for x in x.chunks_exact(channels) {
                sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            let means: Vec<f32> = sums.iter().map(|sum| (sum / pixels) as f32).collect();
            let mut hidden = product(&means, &reduce, reduced);
            // Not `max`, which loses NaN.
            hidden.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = 0.0);
            let mut scales = product(&hidden, &expand, channels);
            scales.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
            for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                x.iter().zip(y).zip(&scales).for_each(|((x, y), scale)| *y = x * scale);
            }
        })
    }
}

/// x·W, with W of shape `[inputs, outputs]`.
fn product(x: &[f32], weight: &[f32], outputs: usize) -> Vec<f32> {
    let mut y = vec![0.0; outputs];
    for (x, row) in x.iter().zip(weight.chunks_exact(outputs)) {
        y.iter_mut().zip(row).for_each(|(y, weight)| *y += x * weight);
    }
    y
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use facegrad_random::{Purpose, Stream};

    use super::*;

    const CHANNELS: usize = 6;
    const REDUCED: usize = 3;
    const PIXELS: usize = 4 * 5;
    const BATCH: usize = 2;

    fn noise(count: usize, number: u64) -> Vec<f64> {
        let mut stream = Stream::new(5, Purpose::Network, number, 0);
        (0..count).map(|_| f64::from(stream.range(-1.0, 1.0))).collect()
    }

    /// The formula in f64 on maps of shape `[batch, pixels, channels]`.
    fn reference(x: &[f64], reduce: &[f64], expand: &[f64]) -> Vec<f64> {
        x.chunks_exact(PIXELS * CHANNELS)
            .flat_map(|x| {
                let mean = |c: usize| (0..PIXELS).map(|p| x[p * CHANNELS + c]).sum::<f64>() / PIXELS as f64;
                let hidden =
                    |h: usize| (0..CHANNELS).map(|c| mean(c) * reduce[c * REDUCED + h]).sum::<f64>().max(0.0);
                let scale = |c: usize| {
                    let sum: f64 = (0..REDUCED).map(|h| hidden(h) * expand[h * CHANNELS + c]).sum();
                    1.0 / (1.0 + (-sum).exp())
                };
                let scales: Vec<f64> = (0..CHANNELS).map(scale).collect();
                (0..PIXELS * CHANNELS).map(move |i| x[i] * scales[i % CHANNELS]).collect::<Vec<_>>()
            })
            .collect()
    }

    fn devices() -> Vec<Device> {
        let cpus = [facegrad_devices::Backend::Flex, facegrad_devices::Backend::NdArray];
        cpus.map(|backend| facegrad_devices::choose(backend, None).unwrap().device).into()
    }

    fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            // Written so that NaN fails.
            assert!((f64::from(*found) - expected).abs() <= tolerance, "{what}: {found} is not {expected}");
        }
    }

    fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
        let values: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn layer(reduce: &[f64], expand: &[f64], device: &Device) -> SqueezeExcitation {
        let kind = SqueezeExcitationKind { channels: CHANNELS, reduction: 2 };
        let Layer::SqueezeExcitation(mut layer) = kind.init(&mut Weights::new(0, device)) else { panic!() };
        layer.reduce.weight =
            layer.reduce.weight.map(|_| tensor(reduce, [CHANNELS, REDUCED], device).require_grad());
        layer.expand.weight =
            layer.expand.weight.map(|_| tensor(expand, [REDUCED, CHANNELS], device).require_grad());
        layer
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        let numbers = [(BATCH * PIXELS * CHANNELS, 1), (CHANNELS * REDUCED, 2), (REDUCED * CHANNELS, 3)];
        let [x, reduce, expand] = numbers.map(|(count, number)| noise(count, number));
        // Means far enough from 0 that the hidden numbers are not.
        let x: Vec<f64> = x.iter().enumerate().map(|(i, x)| x + (i % CHANNELS) as f64 - 2.0).collect();
        let weights = noise(x.len(), 4);
        let expected = reference(&x, &reduce, &expand);
        // Central differences of the weighted sum.
        let loss = |parts: [&[f64]; 3]| -> f64 {
            reference(parts[0], parts[1], parts[2]).iter().zip(&weights).map(|(y, w)| y * w).sum()
        };
        let gradients = [0, 1, 2].map(|part| -> Vec<f64> {
            let of = |i: usize| {
                let at = |step: f64| {
                    let mut parts = [x.clone(), reduce.clone(), expand.clone()];
                    parts[part][i] += step;
                    loss([&parts[0], &parts[1], &parts[2]])
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            };
            (0..[&x, &reduce, &expand][part].len()).map(of).collect()
        });
        for device in devices() {
            let device = device.autodiff();
            let layer = layer(&reduce, &expand, &device);
            let values = |tensor: Tensor<4>| numbers_of(tensor);
            for channels in [3, 1] {
                let what = format!("{device:?}, channels are axis {channels}");
                let leaf = tensor(&x, [BATCH, 4, 5, CHANNELS], &device).require_grad();
                let weights = tensor(&weights, [BATCH, 4, 5, CHANNELS], &device);
                let y = match channels {
                    3 => layer.forward(leaf.clone(), 3),
                    _ => layer.forward(leaf.clone().permute([0, 3, 1, 2]), 1).permute([0, 2, 3, 1]),
                };
                assert_close(&what, &values(y.clone()), &expected, 4e-6);
                let found = (y * weights).sum().backward();
                assert_close(&what, &values(leaf.grad(&found).unwrap()), &gradients[0], 2e-5);
                for (linear, expected) in [(&layer.reduce, &gradients[1]), (&layer.expand, &gradients[2])] {
                    assert_close(
                        &what,
                        &numbers_of(linear.weight.val().grad(&found).unwrap()),
                        expected,
                        5e-5,
                    );
                }
            }
            // And as it is evaluated, image by image.
            let dims = Dims { batch: 1, height: 4, width: 5, channels: CHANNELS };
            let evaluated = layer.valid().evaluated(dims);
            for (x, expected) in x.chunks_exact(dims.elements()).zip(expected.chunks_exact(dims.elements())) {
                let x: Vec<f32> = x.iter().map(|x| *x as f32).collect();
                let mut y = vec![f32::NAN; x.len()];
                evaluated(&x, &mut y);
                assert_close("evaluated", &y, expected, 4e-6);
            }
        }
    }

    fn numbers_of<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }
}
