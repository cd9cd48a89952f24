//! A network through the CPU kernels: a normalisation and a prelu are left to the convolution or the sum that
//! reads the map, so they take no pass over memory of their own.

use burn::{
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::Tensor,
};
use facegrad_operators::{self as operators, Map, Moments, Norm, Stencil};

use crate::{
    Act,
    layers::{Layer, Residual},
};

/// A map on its way through the layers.
#[derive(Debug, Clone)]
struct State {
    map: Map,
    /// Those of `map.x`, if they were asked for.
    moments: Option<Moments>,
}

/// As [`layers::run`](crate::layers::run); `map` must be one that [`operators::supports`].
///
/// # Shapes
/// - map: `[batch, channels, height, width]`
/// - output: the same axes, in the sizes of the last layer
pub(crate) fn run(layers: &[Layer], map: Tensor<4>) -> Tensor<4> {
    let state = walk(layers, State::new((map.permute([0, 2, 3, 1]), None)));
    state.done(false).map.x.permute([0, 3, 1, 2])
}

fn walk(layers: &[Layer], state: State) -> State {
    layers.iter().enumerate().fold(state, |state, (i, layer)| {
        let wanted = begins_with_statistics(&layers[i + 1..]);
        match layer {
            Layer::Conv(conv) => convolve(conv, state.map, wanted),
            Layer::Norm(norm) => normalise(norm, state),
            Layer::Act(act) => activate(act, state),
            Layer::Residual(block) => add(block, state, wanted),
        }
    })
}

/// Whether the statistics of the batch are the first thing that `layers` need of their input, if they train.
fn begins_with_statistics(layers: &[Layer]) -> bool {
    match layers.first() {
        Some(Layer::Norm(norm)) => norm.training.is_enabled(),
        Some(Layer::Residual(block)) => {
            [&block.body, &block.shortcut].into_iter().any(|b| begins_with_statistics(b))
        }
        _ => false,
    }
}

fn convolve(conv: &Conv2d, map: Map, moments: bool) -> State {
    let PaddingConfig2d::Explicit(padding, ..) = conv.padding else {
        unreachable!("layers::build pads by numbers, equal on all sides")
    };
    let stencil = Stencil { stride: conv.stride[0], padding, groups: conv.groups };
    let bias = conv.bias.as_ref().map(|bias| bias.val());
    let moments = moments && map.x.device().is_autodiff();
    State::new(operators::conv(map, conv.weight.val(), bias, stencil, moments))
}

/// Leaves the normalisation to whatever comes next. Its statistics, and what becomes of them, are those of
/// [`BatchNorm::forward`].
fn normalise(norm: &BatchNorm, state: State) -> State {
    let device = state.map.x.device();
    let of_batch = device.is_autodiff() && norm.training.is_enabled();
    let State { map, moments } = state.done(of_batch);
    let moments = if of_batch {
        let moments = moments.unwrap_or_else(|| operators::moments(map.x.clone()));
        for (running, new) in [(&norm.running_mean, &moments.mean), (&norm.running_var, &moments.variance)] {
            let old = running.value_sync().to_device(&device) * (1.0 - norm.momentum);
            running.update((old + new.clone() * norm.momentum).detach());
        }
        moments
    } else {
        Moments {
            mean: norm.running_mean.value().to_device(&device),
            variance: norm.running_var.value().to_device(&device),
        }
    };
    let (gamma, beta, epsilon) = (norm.gamma.val(), norm.beta.val(), norm.epsilon);
    let norm = Norm { gamma, beta, moments, epsilon, of_batch };
    State { map: Map { norm: Some(norm), ..map }, moments: None }
}

fn activate(act: &Act, state: State) -> State {
    let [_, _, _, channels] = state.map.x.dims();
    if act.draws_slopes(&state.map.x.device()) {
        // With the axes of the layers one by one, so that a seed of the device draws the same slopes.
        let map = act.forward(state.done(false).map.x.permute([0, 3, 1, 2]));
        return State::new((map.permute([0, 2, 3, 1]), None));
    }
    match act.slope(channels, &state.map.x.device()) {
        Some(slope) => {
            let state = if state.map.slope.is_some() { state.done(false) } else { state };
            State { map: Map { slope: Some(slope), ..state.map }, ..state }
        }
        // The same function of each element, whatever its channel.
        None => State::new((act.forward(state.done(false).map.x), None)),
    }
}

fn add(block: &Residual, state: State, moments: bool) -> State {
    let inside = [&block.body, &block.shortcut].into_iter().any(|branch| begins_with_statistics(branch));
    let State { map, moments: of_input } = state.done(inside);
    let [body, shortcut] =
        operators::fork(map.x).map(|x| State { map: Map::new(x), moments: of_input.clone() });
    let (body, shortcut) = (walk(&block.body, body), walk(&block.shortcut, shortcut));
    let moments = moments && body.map.x.device().is_autodiff();
    State::new(operators::join(body.map, Some(shortcut.map), moments))
}

impl State {
    fn new((x, moments): (Tensor<4>, Option<Moments>)) -> Self {
        Self { map: Map::new(x), moments }
    }

    /// With the normalisation and prelu done that still wait.
    fn done(self, moments: bool) -> Self {
        if self.map.is_plain() {
            return self;
        }
        let moments = moments && self.map.x.device().is_autodiff();
        Self::new(operators::join(self.map, None, moments))
    }
}
