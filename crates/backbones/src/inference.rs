//! Networks made ready for inference on CPUs.

use std::{collections::BTreeMap, sync::Arc};

use burn::{
    nn::BatchNorm,
    tensor::{Device, Tensor},
};
use facegrad_kernels::{
    Dims, Norm, Transform,
    infer::{Builder, FoldedConv, Network, Value},
    linear::Linear,
};

use crate::{
    Backbone, EmbeddingLayer,
    layers::{self, Layer},
    plan::{Finish, MapReading, OF_ONE_LAYOUT, Operator, OperatorKind},
};

impl Backbone {
    /// The network as it is evaluated, that is, by its running statistics, for images with their channels last.
    ///
    /// # Errors
    /// The network itself where the kernels lack a non-linearity of it, or its weights are not f32 in the
    /// processor's memory.
    pub fn into_inference(self) -> Result<Network, Box<Self>> {
        if !layers::in_order(&self.layers).into_iter().all(has_kernel) {
            return Err(Box::new(self));
        }
        let plan = Arc::unwrap_or_clone(self.plan).folded();
        let (net, images) = Builder::new(plan.dims(0));
        let device = self.embed.linear.weight.val().device();
        let layers = layers::into_order(self.layers).into_iter().map(Some).collect();
        let mut folding = Folding { net, device, layers, values: BTreeMap::from([(0, images)]) };
        for operator in plan.operators() {
            let value = folding.operator(operator, plan.dims(operator.output));
            folding.values.insert(operator.output, value);
        }
        let features = folding.values[&plan.features.map];
        let norm = plan.features.norm.map(|layer| folding.norm(layer));
        let output = output(self.embed, plan.dims(plan.features.map), norm);
        Ok(folding.net.finish(features, output))
    }
}

fn has_kernel(layer: &Layer) -> bool {
    match layer {
        Layer::Conv(conv) => facegrad_operators::supports(&conv.weight.val()),
        Layer::Act(act) => act.has_slope(),
        _ => true,
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

pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().expect("facegrad's tensors are of f32, and these in memory")
}

/// A network on its way from layers to folded weights.
struct Folding {
    net: Builder,
    device: Device,
    /// Each until it is used.
    layers: Vec<Option<Layer>>,
    /// By the number of the map in the plan.
    values: BTreeMap<usize, Value>,
}

impl Folding {
    fn operator(&mut self, operator: &Operator, output: Dims) -> Value {
        let channels = self.net.dims(self.values[&operator.input.map]).channels;
        let (value, norm, slope) = self.read(operator.input, channels);
        let transform = Transform { norm: norm.as_ref().map(Vectors::norm), slope: slope.as_deref() };
        match &operator.kind {
            &OperatorKind::Conv { layer, conv, finish: Finish { norm, act, add }, .. } => {
                let Some(Layer::Conv(layer)) = self.layers[layer].take() else {
                    unreachable!("{OF_ONE_LAYOUT}")
                };
                let bias = layer.bias.map(|bias| numbers(bias.into_value()));
                let weight = numbers(layer.weight.into_value());
                let norm = norm.map(|layer| self.norm(layer));
                let norm = norm.as_ref().map(Vectors::norm);
                let slope = act.and_then(|layer| self.slope(layer, conv.outputs));
                let add = add.map(|map| self.values[&map]);
                self.net.conv((value, transform), FoldedConv { conv, weight, bias, norm, slope, add })
            }
            OperatorKind::Join { add } => {
                let add = add.map(|add| {
                    let (value, norm, slope) = self.read(add, channels);
                    let norm = norm.as_ref().map(Vectors::norm);
                    self.net.join((value, Transform { norm, slope: slope.as_deref() }), None)
                });
                self.net.join((value, transform), add)
            }
            OperatorKind::Composed { layer, kind } => {
                let layer = self.layers[*layer].take();
                let Some(layer) = layer.as_ref().and_then(Layer::composed) else {
                    unreachable!("{OF_ONE_LAYOUT}")
                };
                let dims = self.net.dims(value);
                self.net.images(value, format!("{} forward", kind.title(dims)), layer.evaluated(dims), output)
            }
        }
    }

    fn read(&mut self, reading: MapReading, channels: usize) -> (Value, Option<Vectors>, Option<Vec<f32>>) {
        let norm = reading.norm.map(|layer| self.norm(layer));
        let slope = reading.act.and_then(|layer| self.slope(layer, channels));
        (self.values[&reading.map], norm, slope)
    }

    fn norm(&mut self, layer: usize) -> Vectors {
        let Some(Layer::Norm(norm)) = self.layers[layer].take() else { unreachable!("{OF_ONE_LAYOUT}") };
        Vectors::of(norm)
    }

    fn slope(&mut self, layer: usize, channels: usize) -> Option<Vec<f32>> {
        let Some(Layer::Act(act)) = self.layers[layer].take() else { unreachable!("{OF_ONE_LAYOUT}") };
        act.slope(channels, &self.device).map(numbers)
    }
}

/// The linear layer on maps of shape `dims`, channels last, with the normalisations before and after it.
fn output(embed: EmbeddingLayer, dims: Dims, before: Option<Vectors>) -> Linear {
    let EmbeddingLayer { linear, norm, .. } = embed;
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
