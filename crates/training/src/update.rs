//! SGD and AdamW as Burn's optimizers are, which run in place and in one pass in the processor's memory, and by
//! Burn's operations elsewhere. Their states are recorded under the names of Burn's own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use burn::{
    optim::{
        AdamWState, AdaptiveMomentumState, LearningRate, Optimizer, RecordState, StateSink, StateSource,
    },
    tensor::{Device, Tensor},
};
use facegrad_operators::{self as operators, optimizer::squared_norm as host_squared_norm};

use crate::optimizer::{AdamWSettings, SgdSettings};

/// A factor on all gradients of a step. Burn's interface for optimizers has no room for it, so that whoever takes
/// the step shares it with its optimizers.
#[derive(Debug, Clone)]
pub(crate) struct GradientFactor(Arc<AtomicU64>);

impl Default for GradientFactor {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1.0f64.to_bits())))
    }
}

impl GradientFactor {
    pub(crate) fn set(&self, factor: f64) {
        self.0.store(factor.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// The optimizer of some settings, as Burn's interface has it.
#[derive(Debug, Clone)]
pub(crate) struct Update<S> {
    pub(crate) settings: S,
    pub(crate) gradient_factor: GradientFactor,
}

/// The state of stochastic gradient descent, in records as [`burn::optim::SgdState`].
#[derive(Debug, Clone)]
pub(crate) struct SgdState<const D: usize> {
    velocity: Option<Tensor<D>>,
}

const VELOCITY: &str = "momentum.velocity";

impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        if let Some(velocity) = &self.velocity {
            out.push_tensor(prefix, VELOCITY, velocity.to_data());
        }
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let velocity = src.take_tensor(prefix, VELOCITY);
        Some(Self { velocity: velocity.map(|data| Tensor::from_data(data, device)) })
    }
}

impl Optimizer for Update<SgdSettings> {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let step = operators::optimizer::Sgd {
            learning_rate,
            momentum: self.settings.momentum,
            nesterov: self.settings.nesterov,
            weight_decay: self.settings.weight_decay,
            gradient_factor: self.gradient_factor.get(),
        };
        let velocity = state.and_then(|state| state.velocity);
        let (weight, velocity) = match operators::supports(&weight) {
            true => operators::optimizer::sgd(&step, weight, gradient, velocity),
            false => composed_sgd(&step, weight, gradient, velocity),
        };
        (weight, Some(SgdState { velocity }))
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.map(|velocity| velocity.to_device(device)) }
    }
}

/// As [`operators::optimizer::sgd`], on any backend.
fn composed_sgd<const D: usize>(
    step: &operators::optimizer::Sgd,
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
) -> (Tensor<D>, Option<Tensor<D>>) {
    let mut d = gradient * step.gradient_factor;
    if step.weight_decay > 0.0 {
        d = d + weight.clone() * step.weight_decay;
    }
    if step.momentum == 0.0 {
        return (weight - d * step.learning_rate, None);
    }
    let velocity = match velocity {
        Some(velocity) => velocity * step.momentum + d.clone(),
        None => d.clone(),
    };
    let change = if step.nesterov { velocity.clone() * step.momentum + d } else { velocity.clone() };
    (weight - change * step.learning_rate, Some(velocity))
}

impl Optimizer for Update<AdamWSettings> {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let (time, moments) = match state {
            Some(AdamWState { momentum }) => (momentum.time, Some([momentum.moment_1, momentum.moment_2])),
            None => (0, None),
        };
        let time = time + 1;
        let step = operators::optimizer::AdamW {
            learning_rate,
            beta1: self.settings.beta1,
            beta2: self.settings.beta2,
            epsilon: self.settings.epsilon,
            weight_decay: self.settings.weight_decay,
            gradient_factor: self.gradient_factor.get(),
            time,
        };
        let (weight, [first, second]) = match operators::supports(&weight) {
            true => operators::optimizer::adamw(&step, weight, gradient, moments),
            false => composed_adamw(&step, weight, gradient, moments),
        };
        (weight, Some(AdamWState::new(AdaptiveMomentumState::new(time, first, second))))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        AdamWState::new(state.momentum.to_device(device))
    }
}

/// As [`operators::optimizer::adamw`], on any backend.
fn composed_adamw<const D: usize>(
    step: &operators::optimizer::AdamW,
    weight: Tensor<D>,
    gradient: Tensor<D>,
    moments: Option<[Tensor<D>; 2]>,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let gradient = gradient * step.gradient_factor;
    let new = [gradient.clone() * (1.0 - step.beta1), gradient.square() * (1.0 - step.beta2)];
    let [first, second] = match (moments, new) {
        (Some([first, second]), [g, squares]) => [first * step.beta1 + g, second * step.beta2 + squares],
        (None, new) => new,
    };
    let [correction1, correction2] = step.corrections();
    let root = (second.clone() / correction2).sqrt() + step.epsilon;
    let change = first.clone() / root * (step.learning_rate / correction1);
    let kept = 1.0 - step.learning_rate * step.weight_decay;
    (weight * kept - change, [first, second])
}

/// The squared norm of several gradients.
#[derive(Debug, Default)]
pub(crate) struct SquaredNorm {
    host: f64,
    /// What has still to be read from the device, `[1]`.
    device: Option<Tensor<1>>,
}

impl SquaredNorm {
    pub(crate) fn add<const D: usize>(&mut self, gradient: Tensor<D>) {
        if operators::supports(&gradient) {
            self.host += host_squared_norm(gradient);
            return;
        }
        let square = gradient.square().sum();
        self.device = Some(match self.device.take() {
            Some(sum) => sum + square,
            None => square,
        });
    }

    /// What is known, and what has to be read from the device and added.
    pub(crate) fn into_parts(self) -> (f64, Option<Tensor<1>>) {
        (self.host, self.device)
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{Linear, LinearConfig},
        optim::{
            AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig, decay::WeightDecayConfig,
            momentum::MomentumConfig,
        },
        tensor::TensorData,
    };
    use facegrad_devices::{Backend, choose};
    use facegrad_random::{Purpose, Stream};

    use super::*;

    const RATE: f64 = 0.05;

    fn devices() -> [Device; 2] {
        [Backend::Flex, Backend::NdArray].map(|backend| choose(backend, None).unwrap().device)
    }

    fn draw<const D: usize>(number: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
        let mut stream = Stream::new(5, Purpose::Network, number, 0);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.range(-1.0, 1.0)).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            // Some roundings of numbers up to 4.
            assert!((found - expected).abs() < 2e-6, "{found}, not {expected}");
        }
    }

    /// The weights after some steps.
    fn weights(optimizer: &impl Optimizer, device: &Device) -> Vec<f32> {
        let mut weight = draw(0, [7, 9], device);
        let mut state = None;
        for step in 1..=4 {
            (weight, state) = optimizer.step(RATE, weight, draw(step, [7, 9], device), state);
        }
        values(weight)
    }

    fn update<S>(settings: S) -> Update<S> {
        Update { settings, gradient_factor: GradientFactor::default() }
    }

    fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> (Update<SgdSettings>, burn::optim::Sgd) {
        let ours = update(SgdSettings { momentum, nesterov, weight_decay, ..Default::default() });
        let theirs =
            MomentumConfig::new().with_momentum(momentum).with_nesterov(nesterov).with_dampening(0.0);
        let theirs = SgdConfig::new()
            .with_momentum((momentum > 0.0).then_some(theirs))
            .with_weight_decay(Some(WeightDecayConfig::new(weight_decay as f32)));
        (ours, theirs.build())
    }

    fn adamw(weight_decay: f64) -> (Update<AdamWSettings>, burn::optim::AdamW) {
        let ours = update(AdamWSettings { weight_decay, ..Default::default() });
        let theirs = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay as f32);
        (ours, theirs.build())
    }

    #[test]
    fn steps_are_those_of_burn() {
        for device in devices() {
            for (momentum, nesterov, decay) in
                [(0.9, false, 0.01), (0.9, true, 0.01), (0.0, false, 0.01), (0.5, true, 0.0)]
            {
                let (ours, theirs) = sgd(momentum, nesterov, decay);
                assert_close(&weights(&ours, &device), &weights(&theirs, &device));
            }
            for decay in [0.05, 0.0] {
                let (ours, theirs) = adamw(decay);
                assert_close(&weights(&ours, &device), &weights(&theirs, &device));
            }
        }
    }

    #[test]
    fn a_step_is_the_same_on_backends_without_kernels() {
        let [device, _] = devices();
        let [w, g, v] = [0, 1, 2].map(|number| draw(number, [7, 9], &device));
        for (momentum, nesterov) in [(0.9, false), (0.9, true), (0.0, false)] {
            for velocity in [None, Some(v.clone())] {
                let step = operators::optimizer::Sgd {
                    learning_rate: RATE,
                    momentum,
                    nesterov,
                    weight_decay: 0.02,
                    gradient_factor: 0.3,
                };
                let ours = operators::optimizer::sgd(&step, w.clone(), g.clone(), velocity.clone());
                let composed = composed_sgd(&step, w.clone(), g.clone(), velocity);
                assert_close(&values(ours.0), &values(composed.0));
                assert_eq!((ours.1.is_some(), composed.1.is_some()), (momentum > 0.0, momentum > 0.0));
                if let (Some(ours), Some(composed)) = (ours.1, composed.1) {
                    assert_close(&values(ours), &values(composed));
                }
            }
        }
        for (time, moments) in [(1, None), (3, Some([v.clone() * 0.1, v.clone().square()]))] {
            let step = operators::optimizer::AdamW {
                learning_rate: RATE,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-6,
                weight_decay: 0.02,
                gradient_factor: 0.3,
                time,
            };
            let ours = operators::optimizer::adamw(&step, w.clone(), g.clone(), moments.clone());
            let composed = composed_adamw(&step, w.clone(), g.clone(), moments);
            assert_close(&values(ours.0), &values(composed.0));
            for (ours, composed) in ours.1.into_iter().zip(composed.1) {
                assert_close(&values(ours), &values(composed));
            }
        }
    }

    #[test]
    fn the_factor_is_that_of_scaled_gradients() {
        let [device, _] = devices();
        let (scaled, plain) = (sgd(0.9, true, 0.01).0, sgd(0.9, true, 0.01).0);
        scaled.gradient_factor.set(0.25);
        let (w, g) = (draw(0, [50], &device), draw(1, [50], &device));
        let found = scaled.step(RATE, w.clone(), g.clone(), None).0;
        assert_eq!(values(found), values(plain.step(RATE, w, g * 0.25, None).0), "a power of 2 is exact");
    }

    #[test]
    fn nothing_is_copied_that_nothing_else_shares() {
        for device in devices() {
            let (w, v) = (draw(0, [4096], &device), draw(1, [4096], &device));
            let address = |tensor: Tensor<1>| {
                let data = tensor.into_data().try_into_vec::<f32>().unwrap();
                let address = data.as_ptr() as usize;
                (Tensor::<1>::from_data(TensorData::new(data, [4096]), &device), address)
            };
            let ((w, w_before), (v, v_before)) = (address(w), address(v));
            let state = Some(SgdState { velocity: Some(v) });
            let (w, state) = sgd(0.9, false, 0.1).0.step(RATE, w, draw(2, [4096], &device), state);
            assert_eq!(address(w).1, w_before);
            assert_eq!(address(state.unwrap().velocity.unwrap()).1, v_before);
        }
    }

    fn gradients(model: &Linear, device: &Device) -> GradientsParams {
        GradientsParams::from_grads(model.forward(draw(9, [3, 6], device)).square().sum().backward(), model)
    }

    /// What one step of `optimizer` makes of the weight of `model`.
    fn stepped(optimizer: &mut ModuleOptimizer, model: &Linear, device: &Device) -> Vec<f32> {
        let gradients = gradients(model, device);
        values(optimizer.step(RATE, model.clone(), gradients).weight.val())
    }

    #[test]
    fn the_state_that_burn_records_is_taken_up_and_recorded_again() {
        let device = choose(Backend::Flex, None).unwrap().device.autodiff();
        let layer = LinearConfig::new(6, 4).init(&device);
        let pairs: [(ModuleOptimizer, ModuleOptimizer); 3] = [
            (sgd(0.9, true, 0.01).0.into(), sgd(0.9, true, 0.01).1.into()),
            (sgd(0.0, false, 0.01).0.into(), sgd(0.0, false, 0.01).1.into()),
            (adamw(0.01).0.into(), adamw(0.01).1.into()),
        ];
        for (ours, mut theirs) in pairs {
            let model = theirs.step(RATE, layer.clone(), gradients(&layer, &device));
            let record = theirs.into_bytes().unwrap();
            let mut ours = ours.from_bytes(record).unwrap();
            let again = ours.clone().into_bytes().unwrap();
            let names = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("velocity").count();
            assert_eq!(names(&again), names(&theirs.into_bytes().unwrap()));
            let expected = stepped(&mut theirs, &model, &device);
            assert_close(&stepped(&mut ours, &model, &device), &expected);
        }
    }
}
