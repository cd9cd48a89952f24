//! Networks made ready for inference: normalisations are folded into the convolutions before them, weights are
//! packed once, and the memory of maps is used again.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::{
    conv::{Conv, Packed},
    dense::Finish,
    linear::Linear,
    map::Dims,
    profile,
    transform::{Norm, Prepared, Transform, transform_to},
};

/// A map between two steps of a [`Network`] that is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(usize);

/// Builds a [`Network`] step by step.
pub struct Builder {
    /// The shape of each value for one image.
    values: Vec<Dims>,
    steps: Vec<Step>,
}

/// A network of fixed weights for images of one size.
pub struct Network {
    values: Vec<Dims>,
    steps: Vec<Step>,
    /// The step after which a value is not needed any more.
    last: Vec<usize>,
    output: Linear,
    /// Memory of maps, for the next call.
    free: Mutex<Vec<Vec<f32>>>,
}

struct Step {
    from: Value,
    prepared: Prepared,
    work: Work,
}

enum Work {
    /// The transform alone.
    Transform,
    Conv(Box<ConvStep>),
}

struct ConvStep {
    conv: Conv,
    weight: Vec<f32>,
    bias: Vec<f32>,
    add: Option<Value>,
    /// The weight, made ready for each [`Kind`](crate::conv::Kind) in use: a single image and a batch may
    /// differ.
    packed: [OnceLock<Packed>; 3],
}

impl Builder {
    /// Begins with maps of the shape `input`, for one image.
    pub fn new(input: Dims) -> (Self, Value) {
        (Self { values: vec![Dims { batch: 1, ..input }], steps: Vec::new() }, Value(0))
    }

    /// The shape of a value for one image.
    pub fn dims(&self, value: Value) -> Dims {
        self.values[value.0]
    }

    /// The transform of a map.
    pub fn transform(&mut self, from: Value, transform: Transform<'_>) -> Value {
        let dims = self.dims(from);
        if transform.is_identity() {
            return from;
        }
        let prepared = Prepared::new(&transform, dims.channels);
        self.push(Step { from, prepared, work: Work::Transform }, dims)
    }

    /// The convolution of a transformed map with the normalisation after it, and `add` added to that.
    ///
    /// `weight` and `bias` are those of [`crate::conv::forward`].
    pub fn conv(
        &mut self,
        (from, transform): (Value, Transform<'_>),
        conv: Conv,
        (weight, bias): (&[f32], Option<&[f32]>),
        norm: Option<Norm<'_>>,
        add: Option<Value>,
    ) -> Value {
        let dims = self.dims(from);
        let out = conv.output(dims);
        assert!(weight.len() == conv.weights() && add.is_none_or(|add| self.dims(add) == out));
        let (mut weight, mut bias) = (weight.to_vec(), bias.map_or(vec![0.0; conv.outputs], <[f32]>::to_vec));
        if let Some(norm) = norm {
            let length = weight.len() / conv.outputs;
            for (c, (weight, bias)) in weight.chunks_exact_mut(length).zip(&mut bias).enumerate() {
                let scale = norm.gamma[c] / (norm.variance[c] + norm.epsilon).sqrt();
                weight.iter_mut().for_each(|weight| *weight *= scale);
                *bias = (*bias - norm.mean[c]) * scale + norm.beta[c];
            }
        }
        let prepared = Prepared::new(&transform, conv.inputs);
        let work = Work::Conv(Box::new(ConvStep { conv, weight, bias, add, packed: Default::default() }));
        self.push(Step { from, prepared, work }, out)
    }

    fn push(&mut self, step: Step, dims: Dims) -> Value {
        self.steps.push(step);
        self.values.push(dims);
        Value(self.values.len() - 1)
    }

    /// Ends with a linear layer on the flattened last map: rows, columns and channels.
    pub fn finish(self, output: Linear) -> Network {
        let Self { values, steps } = self;
        let mut last = vec![0; values.len()];
        for (i, step) in steps.iter().enumerate() {
            last[step.from.0] = i;
            if let Work::Conv(step) = &step.work
                && let Some(add) = step.add
            {
                last[add.0] = i;
            }
        }
        Network { values, steps, last, output, free: Mutex::default() }
    }
}

impl Network {
    /// Embeds a batch of images.
    ///
    /// # Shapes
    /// - `images`: `[batch, height, width, channels]`
    /// - output: `[batch, outputs of the last layer]`
    pub fn run(&self, images: &[f32], batch: usize) -> Vec<f32> {
        assert_eq!(images.len(), batch * self.values[0].elements());
        let mut free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        let mut maps: Vec<Vec<f32>> = vec![Vec::new(); self.values.len()];
        for (i, step) in self.steps.iter().enumerate() {
            let dims = |value: usize| Dims { batch, ..self.values[value] };
            let mut y = free.pop().unwrap_or_default();
            y.resize(dims(i + 1).elements(), 0.0);
            let map = |value: Value| if value.0 == 0 { images } else { &maps[value.0] };
            step.run(map, dims(step.from.0), &mut y);
            maps[i + 1] = y;
            for (map, last) in maps.iter_mut().zip(&self.last).take(i + 1) {
                if *last == i && !map.is_empty() {
                    free.push(std::mem::take(map));
                }
            }
        }
        let features = match self.steps.is_empty() {
            true => images,
            false => &maps[self.steps.len()],
        };
        let output = self.output.apply(features, batch);
        free.extend(maps.into_iter().filter(|map| !map.is_empty()));
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = free;
        output
    }
}

impl Step {
    fn run<'a>(&self, map: impl Fn(Value) -> &'a [f32], dims: Dims, y: &mut [f32]) {
        let x = map(self.from);
        match &self.work {
            Work::Transform => transform_to(&self.prepared, x, dims, y),
            Work::Conv(step) => {
                let ConvStep { conv, weight, bias, add, packed } = &**step;
                let _profile = profile::operator(|| profile::conv_forward(conv, dims));
                let kind = Packed::kind(conv, dims);
                let packed = packed[kind as usize].get_or_init(|| Packed::new(conv, dims, weight));
                let finish =
                    Finish { channels: conv.outputs, bias: Some(bias), add: add.map(map), moments: false };
                packed.convolve(conv, x, dims, &self.prepared, &finish, y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Input, conv,
        tests::{Vectors, error, noise},
    };

    /// A stem, a residual block, a depthwise convolution and a linear layer, folded and one by one.
    #[test]
    fn a_network_is_the_chain_of_its_operators() {
        let (height, width) = (12, 10);
        let first = Conv { inputs: 3, outputs: 20, kernel: [3, 3], stride: 1, padding: 1, groups: 1 };
        let same = Conv { inputs: 20, ..first };
        let depthwise = Conv { groups: 20, stride: 2, ..same };
        let [w0, w1, w2, w3] = [first, same, same, depthwise].map(|conv| noise(conv.weights(), 7));
        let (vectors, bias) = (Vectors::new(20), noise(20, 8));
        let norm = vectors.transform(true, false, false);
        let slope = vectors.transform(false, true, false);
        let both = vectors.transform(true, true, false);
        let (features, outputs) = (6 * 5 * 20, 9);
        let matrix = noise(features * outputs, 9);
        let linear = || Linear::new(features, noise(outputs, 10), |i, o| matrix[i * outputs + o]);

        let (mut net, images) = Builder::new(Dims { batch: 1, height, width, channels: 3 });
        let x = net.conv((images, Transform::default()), first, (&w0, Some(&bias)), norm.norm, None);
        let x = net.transform(x, slope);
        let y = net.conv((x, norm), same, (&w1, None), norm.norm, None);
        let x = net.conv((y, slope), same, (&w2, None), norm.norm, Some(x));
        let x = net.conv((x, Transform::default()), depthwise, (&w3, None), norm.norm, None);
        assert_eq!(net.dims(x), Dims { batch: 1, height: 6, width: 5, channels: 20 });
        let net = net.finish(linear());

        for batch in [1, 5, 2] {
            let images = noise(batch * height * width * 3, batch as u64);
            let dims = |channels| Dims { batch, height, width, channels };
            let input = |x, channels, transform| Input { x, dims: dims(channels), transform };
            let forward =
                |conv: &Conv, input, weight: &[f32], bias| conv::forward(conv, input, weight, bias, false).y;
            let x = forward(&first, input(&images, 3, Transform::default()), &w0, Some(&bias));
            let x = crate::join(input(&x, 20, both), None, false).y;
            let y = forward(&same, input(&x, 20, norm), &w1, None);
            let y = forward(&same, input(&y, 20, both), &w2, None);
            let x = crate::join(input(&y, 20, norm), Some(input(&x, 20, Transform::default())), false).y;
            let y = forward(&depthwise, input(&x, 20, Transform::default()), &w3, None);
            let half = Dims { batch, height: 6, width: 5, channels: 20 };
            let y = crate::join(Input { x: &y, dims: half, transform: norm }, None, false).y;
            let error = error(&net.run(&images, batch), &linear().apply(&y, batch));
            assert!(error < 2e-5, "{error} off with {batch} images");
        }
    }
}
