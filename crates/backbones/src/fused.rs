//! A network through the CPU kernels, in training and wherever it is not folded for evaluation.

use burn::{
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::Tensor,
};
use facegrad_kernels::profile::{self, Work};
use facegrad_operators::{self as operators, Map, Moments, Norm, Stencil};

use crate::{
    ActivationLayer,
    layers::{self, Layer},
    plan::{MapReading, NetworkPlan, OF_ONE_LAYOUT, OperatorKind},
};

/// Runs the operators of `plan` with the weights of `layers`; [`operators::supports`] must take `images`.
///
/// # Shapes
/// - images: `[batch, channels, height, width]`
/// - output: the same axes, in the sizes of the last map
pub(crate) fn run(plan: &NetworkPlan, layers: &[Layer], images: Tensor<4>) -> Tensor<4> {
    let mut pass = Pass { plan, layers: layers::in_order(layers), maps: Vec::new() };
    pass.keep((images.permute([0, 2, 3, 1]), None));
    for operator in plan.operators() {
        let input = pass.read(operator.input);
        let moments = pass.needs_moments(operator.output) && input.x.device().is_autodiff();
        let output = match &operator.kind {
            &OperatorKind::Conv { layer, .. } => {
                let Layer::Conv(conv) = pass.layers[layer] else { unreachable!("{OF_ONE_LAYOUT}") };
                convolve(conv, input, moments)
            }
            // What has no kernel is done already.
            OperatorKind::Join { add: None } if input.is_plain() => (input.x, None),
            OperatorKind::Join { add } => {
                let add = add.map(|add| pass.read(add));
                operators::join(input, add, moments)
            }
            OperatorKind::Composed { layer, kind } => {
                let Some(layer) = pass.layers[*layer].composed() else { unreachable!("{OF_ONE_LAYOUT}") };
                let _profile = profile::operator(|| {
                    (format!("{} forward", kind.title(plan.dims(operator.input.map))), Work::default())
                });
                (layer.forward(input.x, 3), None)
            }
        };
        pass.keep(output);
    }
    pass.read(plan.features).x.permute([0, 3, 1, 2])
}

/// A network on its way through the operators.
struct Pass<'a> {
    plan: &'a NetworkPlan,
    layers: Vec<&'a Layer>,
    maps: Vec<Maps>,
}

/// The map that an operator made.
struct Maps {
    /// As often as it is still read; the next reader takes the last.
    copies: Vec<Tensor<4>>,
    /// If they were asked for.
    moments: Option<Moments>,
}

impl Pass<'_> {
    /// Whether some reader of `map` normalises it by the statistics of the batch when it trains.
    fn needs_moments(&self, map: usize) -> bool {
        let trains =
            |norm: &usize| matches!(self.layers[*norm], Layer::Norm(norm) if norm.training.is_enabled());
        self.plan.map(map).norms.iter().any(trains)
    }

    /// Keeps the next map for its readers.
    fn keep(&mut self, (x, moments): (Tensor<4>, Option<Moments>)) {
        let (mut copies, mut rest) = (Vec::new(), x);
        for _ in 1..self.plan.map(self.maps.len()).readers {
            let [copy, others] = operators::fork(rest);
            copies.push(copy);
            rest = others;
        }
        copies.push(rest);
        copies.reverse();
        self.maps.push(Maps { copies, moments });
    }

    /// The map of `reading`, with what is to be done to it; what has no kernel is done here.
    fn read(&mut self, reading: MapReading) -> Map {
        let Maps { copies, moments } = &mut self.maps[reading.map];
        let Some(x) = copies.pop() else { unreachable!("the plan counts the readers") };
        let moments = moments.clone();
        let mut map = Map::new(x);
        if let Some(layer) = reading.norm {
            let Layer::Norm(norm) = self.layers[layer] else { unreachable!("{OF_ONE_LAYOUT}") };
            map = normalised(norm, map.x, moments);
        }
        if let Some(layer) = reading.act {
            let Layer::Act(act) = self.layers[layer] else { unreachable!("{OF_ONE_LAYOUT}") };
            map = activated(act, map);
        }
        map
    }
}

fn convolve(conv: &Conv2d, map: Map, moments: bool) -> (Tensor<4>, Option<Moments>) {
    let PaddingConfig2d::Explicit(padding, ..) = conv.padding else {
        unreachable!("build::layers pads by numbers, equal on all sides")
    };
    let stencil = Stencil { stride: conv.stride[0], padding, groups: conv.groups };
    let bias = conv.bias.as_ref().map(|bias| bias.val());
    operators::conv(map, conv.weight.val(), bias, stencil, moments)
}

/// Leaves the normalisation to the operator that reads the map. Its statistics, and what becomes of them, are those of
/// [`BatchNorm::forward`].
fn normalised(norm: &BatchNorm, x: Tensor<4>, moments: Option<Moments>) -> Map {
    let device = x.device();
    let of_batch = device.is_autodiff() && norm.training.is_enabled();
    let moments = if of_batch {
        let moments = moments.unwrap_or_else(|| operators::moments(x.clone()));
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
    Map { norm: Some(Norm { gamma, beta, moments, epsilon, of_batch }), ..Map::new(x) }
}

fn activated(act: &ActivationLayer, map: Map) -> Map {
    let device = map.x.device();
    let done = |map: Map| if map.is_plain() { map.x } else { operators::join(map, None, false).0 };
    if act.draws_slopes(&device) {
        // With the axes of the layers one by one, so that a seed of the device draws the same slopes.
        let map = act.forward(done(map).permute([0, 3, 1, 2]));
        return Map::new(map.permute([0, 2, 3, 1]));
    }
    let [_, _, _, channels] = map.x.dims();
    match act.slope(channels, &device) {
        Some(slope) => Map { slope: Some(slope), ..map },
        // The same function of each element, whatever its channel.
        None => Map::new(act.forward(done(map))),
    }
}
