//! Networks made ready for inference on CPUs.

use std::{iter::Peekable, vec::IntoIter};

use burn::{
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::{Device, Tensor},
};
use facegrad_kernels::{
    Conv, Dims, Norm, Transform,
    infer::{Builder, Layer as Folded, Network, Value},
    linear::Linear,
};

use crate::{
    Act, Backbone, Embed,
    layers::{Layer, Residual},
};

impl Backbone {
    /// The network as it is evaluated, that is, by its running statistics, for images of `input` = `[height,
    /// width]` pixels with their channels last.
    ///
    /// # Errors
    /// The network itself where the kernels lack a non-linearity of it, or its weights are not f32 in the
    /// processor's memory.
    ///
    /// # Panics
    /// If the network was built for images of another size.
    pub fn into_inference(self, input: [usize; 2]) -> Result<Network, Box<Self>> {
        if !has_kernels(&self.layers) {
            return Err(Box::new(self));
        }
        let [height, width] = input;
        let device = self.embed.linear.weight.val().device();
        let (net, images) = Builder::new(Dims { batch: 1, height, width, channels: 3 });
        let mut walk = Walk { net, device };
        let last = walk.layers(self.layers, Map::new(images), None);
        // A normalisation alone is left to the linear layer.
        let last = if last.slope.is_some() { walk.done(last) } else { last };
        let output = output(self.embed, walk.net.dims(last.value), last.norm);
        Ok(walk.net.finish(output))
    }
}

fn has_kernels(layers: &[Layer]) -> bool {
    layers.iter().all(|layer| match layer {
        Layer::Conv(conv) => facegrad_operators::supports(&conv.weight.val()),
        Layer::Norm(_) => true,
        Layer::Act(act) => act.has_slope(),
        Layer::Residual(Residual { body, shortcut }) => has_kernels(body) && has_kernels(shortcut),
    })
}

/// A map and what waits to be done to it.
struct Map {
    value: Value,
    norm: Option<Vectors>,
    slope: Option<Vec<f32>>,
}

impl Map {
    fn new(value: Value) -> Self {
        Self { value, norm: None, slope: None }
    }

    fn read(&self) -> (Value, Transform<'_>) {
        let norm = self.norm.as_ref().map(Vectors::norm);
        (self.value, Transform { norm, slope: self.slope.as_deref() })
    }
}

/// The numbers of a normalisation.
struct Vectors {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    epsilon: f32,
}

impl Vectors {
    fn of(norm: BatchNorm) -> Self {
        Self {
            gamma: numbers(norm.gamma.into_value()),
            beta: numbers(norm.beta.into_value()),
            mean: numbers(norm.running_mean.value_sync()),
            variance: numbers(norm.running_var.value_sync()),
            epsilon: norm.epsilon as f32,
        }
    }

    fn norm(&self) -> Norm<'_> {
        let Self { gamma, beta, mean, variance, epsilon } = self;
        Norm { gamma, beta, mean, variance, epsilon: *epsilon, of_batch: false }
    }

    /// γ/√(σ² + ε) and β − μ·γ/√(σ² + ε) of each channel.
    fn affine(&self) -> Vec<(f64, f64)> {
        let of_channel = |c: usize| {
            let [gamma, beta, mean, variance] =
                [&self.gamma, &self.beta, &self.mean, &self.variance].map(|vector| f64::from(vector[c]));
            let scale = gamma / (variance + f64::from(self.epsilon)).sqrt();
            (scale, beta - mean * scale)
        };
        (0..self.gamma.len()).map(of_channel).collect()
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().expect("facegrad's tensors are of f32, and these in memory")
}

struct Walk {
    net: Builder,
    device: Device,
}

/// Layers that are still to come.
type Rest = Peekable<IntoIter<Layer>>;

impl Walk {
    /// Goes through `layers`, and adds `add` to what comes out of them.
    fn layers(&mut self, layers: Vec<Layer>, mut map: Map, mut add: Option<Value>) -> Map {
        let mut rest = layers.into_iter().peekable();
        while let Some(layer) = rest.next() {
            map = match layer {
                Layer::Conv(conv) => self.conv(conv, map, &mut rest, &mut add),
                Layer::Norm(norm) => {
                    // Two normalisations cannot wait at once, and none waits behind a non-linearity.
                    let map = self.done(map);
                    Map { norm: Some(Vectors::of(norm)), ..map }
                }
                Layer::Act(act) => {
                    let map = if map.slope.is_some() { self.done(map) } else { map };
                    let slope = self.slope(&act, self.net.dims(map.value).channels);
                    Map { slope, ..map }
                }
                Layer::Residual(Residual { body, shortcut }) => {
                    let value = self.done(map).value;
                    let shortcut = self.layers(shortcut, Map::new(value), None);
                    let shortcut = self.done(shortcut).value;
                    self.layers(body, Map::new(value), Some(shortcut))
                }
            };
        }
        match add {
            Some(_) => Map::new(self.net.join(map.read(), add)),
            None => map,
        }
    }

    /// A convolution with those of the layers after it that can be done to its output at once, and with `add` if
    /// no others follow.
    fn conv(&mut self, conv: Conv2d, map: Map, rest: &mut Rest, add: &mut Option<Value>) -> Map {
        let norm = match rest.next_if(|next| matches!(next, Layer::Norm(_))) {
            Some(Layer::Norm(norm)) => Some(Vectors::of(norm)),
            _ => None,
        };
        let (conv, weight, bias) = parameters(conv);
        let slope = match rest.next_if(|next| matches!(next, Layer::Act(_))) {
            Some(Layer::Act(act)) => self.slope(&act, conv.outputs),
            _ => None,
        };
        let add = if rest.peek().is_none() { add.take() } else { None };
        let norm = norm.as_ref().map(Vectors::norm);
        Map::new(self.net.conv(map.read(), Folded { conv, weight, bias, norm, slope, add }))
    }

    fn slope(&self, act: &Act, channels: usize) -> Option<Vec<f32>> {
        act.slope(channels, &self.device).map(numbers)
    }

    /// The map with nothing waiting.
    fn done(&mut self, map: Map) -> Map {
        Map::new(self.net.join(map.read(), None))
    }
}

fn parameters(layer: Conv2d) -> (Conv, Vec<f32>, Option<Vec<f32>>) {
    let PaddingConfig2d::Explicit(padding, ..) = layer.padding else {
        unreachable!("layers::build pads by numbers, equal on all sides")
    };
    let weight = layer.weight.into_value();
    let [outputs, inputs, height, width] = weight.dims();
    let (stride, groups) = (layer.stride[0], layer.groups);
    let conv = Conv { inputs: inputs * groups, outputs, kernel: [height, width], stride, padding, groups };
    (conv, numbers(weight), layer.bias.map(|bias| numbers(bias.into_value())))
}

/// The linear layer on maps of shape `dims`, channels last, with the normalisations before and after it.
fn output(embed: Embed, dims: Dims, before: Option<Vectors>) -> Linear {
    let Embed { linear, norm, .. } = embed;
    let weight = linear.weight.into_value();
    let [inputs, outputs] = weight.dims();
    assert_eq!(inputs, dims.elements(), "the network was built for images of another size");
    let weight = numbers(weight);
    let mut bias = vec![0.0; outputs];
    if let Some(values) = linear.bias {
        bias.iter_mut().zip(numbers(values.into_value())).for_each(|(to, from)| *to = f64::from(from));
    }
    let before = before.map(|norm| norm.affine());
    let after = norm.map_or(vec![(1.0, 0.0); outputs], |norm| Vectors::of(norm).affine());
    let pixels = dims.height * dims.width;
    if let Some(before) = &before {
        // The weight is that of flattened maps with their channels first.
        for (i, row) in weight.chunks_exact(outputs).enumerate() {
            let (_, shift) = before[i / pixels];
            bias.iter_mut().zip(row).for_each(|(bias, weight)| *bias += shift * f64::from(*weight));
        }
    }
    let bias = bias.iter().zip(&after).map(|(bias, (scale, shift))| (bias * scale + shift) as f32).collect();
    Linear::new(inputs, bias, |input, output| {
        let (pixel, channel) = (input / dims.channels, input % dims.channels);
        let scale = before.as_ref().map_or(1.0, |before| before[channel].0);
        let weight = weight[(channel * pixels + pixel) * outputs + output];
        (f64::from(weight) * scale * after[output].0) as f32
    })
}
