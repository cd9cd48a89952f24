//! Initial weights.

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Shape, Tensor, TensorData},
};
use facegrad_random::{Purpose, Stream};

/// The distribution that a weight is drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with variance 2 / fan-out (He et al., 2015), where the fan-out of a convolution is its outputs
    /// times its kernel area, whatever its groups, as in PyTorch.
    KaimingFanOut,
    /// Uniform in ±√(1 / fan-in), the default of PyTorch's linear layers.
    UniformFanIn,
    /// Uniform in ±√(3 / fan-in), Caffe's "xavier".
    CaffeXavier,
}

/// Makes the parameters of one network.
///
/// A weight depends on the seed and its number in the order of construction only. Burn's own initializers
/// draw from the random state of the device, whose values differ between backends, at the first use of a
/// weight. Here too a weight is drawn at its first use, so a network that is loaded from a file draws none.
pub(crate) struct Weights<'a> {
    seed: u64,
    device: &'a Device,
    drawn: u64,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(seed: u64, device: &'a Device) -> Self {
        Self { seed, device, drawn: 0 }
    }

    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// A weight of `shape` drawn from `init`; `fan_in` and `fan_out` are those of one output and one input.
    pub(crate) fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        init: Init,
        fan_in: usize,
        fan_out: usize,
    ) -> Param<Tensor<D>> {
        let mut stream = Stream::new(self.seed, Purpose::Initialisation, 0, self.drawn);
        self.drawn += 1;
        self.parameter(shape, move || match init {
            Init::Normal(deviation) => deviation as f32 * stream.normal(),
            Init::KaimingFanOut => (2.0 / fan_out as f32).sqrt() * stream.normal(),
            Init::UniformFanIn => (1.0 / fan_in as f32).sqrt() * stream.range(-1.0, 1.0),
            Init::CaffeXavier => (3.0 / fan_in as f32).sqrt() * stream.range(-1.0, 1.0),
        })
    }

    /// A vector of `length` equal values.
    pub(crate) fn constant(&self, length: usize, value: f32) -> Param<Tensor<1>> {
        self.parameter([length], move || value)
    }

    fn parameter<const D: usize>(
        &self,
        shape: [usize; D],
        mut next: impl FnMut() -> f32 + Send + Sync + 'static,
    ) -> Param<Tensor<D>> {
        Param::uninitialized(
            ParamId::new(),
            move |device, require_grad| {
                let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
                let data = TensorData::new(values, shape);
                device.memory_persistent_allocations(data, |data| {
                    let tensor = Tensor::from_data(data, device);
                    if require_grad { tensor.require_grad() } else { tensor }
                })
            },
            self.device.clone(),
            true,
            Shape::from(shape),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(init: Init) -> (f64, f64, f64) {
        let device = Device::flex();
        let weight = Weights::new(3, &device).draw([100, 200], init, 50, 80);
        let values: Vec<f32> = weight.val().into_data().try_to_vec().unwrap();
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let largest = values.iter().fold(0.0f64, |most, &x| most.max(f64::from(x).abs()));
        (mean, variance.sqrt(), largest)
    }

    #[test]
    fn weights_have_the_spread_of_their_distribution() {
        for (init, deviation, bound) in [
            (Init::Normal(0.1), 0.1, f64::INFINITY),
            (Init::KaimingFanOut, (2.0f64 / 80.0).sqrt(), f64::INFINITY),
            (Init::UniformFanIn, (1.0f64 / 50.0 / 3.0).sqrt(), (1.0f64 / 50.0).sqrt()),
            (Init::CaffeXavier, (1.0f64 / 50.0).sqrt(), (3.0f64 / 50.0).sqrt()),
        ] {
            let (mean, found, largest) = moments(init);
            // 20,000 draws: five standard errors of a normal's deviation are 2.5 %.
            assert!(mean.abs() < 5.0 * deviation / 20_000f64.sqrt(), "{init:?}: mean {mean}");
            assert!((found / deviation - 1.0).abs() < 0.025, "{init:?}: {found} for {deviation}");
            assert!(largest <= bound * 1.000_001, "{init:?}: {largest} above {bound}");
        }
    }

    #[test]
    fn weights_depend_on_seed_and_number_but_not_on_the_order_of_use() {
        let device = Device::flex();
        let pair = |seed| {
            let mut weights = Weights::new(seed, &device);
            [0, 1].map(|_| weights.draw([4, 4], Init::Normal(1.0), 4, 4))
        };
        let values = |param: &Param<Tensor<2>>| param.val().into_data();
        let [a, b] = pair(1);
        let (first, second) = (values(&a), values(&b));
        assert_ne!(first, second);
        let [a, b] = pair(1);
        let (second_again, first_again) = (values(&b), values(&a));
        assert_eq!((first.clone(), second), (first_again, second_again));
        assert_ne!(values(&pair(2)[0]), first);
    }
}
