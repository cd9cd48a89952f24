//! Networks made ready for inference: normalisations are folded into the convolutions before them, weights are
//! packed once, and the memory of maps is used again.

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

use rayon::prelude::*;

use crate::{
    conv::Packed,
    finish::Finish,
    linear::Linear,
    map::Dims,
    problem::Conv,
    profile::{self, Work},
    transform::{Norm, Prepared, Transform, join_to},
};

/// Images that go through the network together, at most: their maps should stay in the cache that threads share.
const TOGETHER: usize = 8;

/// A map between two steps of a [`Network`] that is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(usize);

/// A convolution and what follows it: the normalisation, then prelu, then the sum with another map.
#[derive(Debug)]
pub struct FoldedConv<'a> {
    /// The convolution.
    pub conv: Conv,
    /// Of shape `[outputs, inputs / groups, kernel height, kernel width]`.
    pub weight: Vec<f32>,
    /// Of shape `[outputs]`.
    pub bias: Option<Vec<f32>>,
    /// The normalisation, by statistics that do not change.
    pub norm: Option<Norm<'a>>,
    /// The slopes of prelu, of shape `[outputs]`.
    pub slope: Option<Vec<f32>>,
    /// What is added, of the shape of the output.
    pub add: Option<Value>,
}

/// A layer without a kernel here: it reads the map of one image, channels last, and writes all of its output.
pub type ImageFunction = Box<dyn Fn(&[f32], &mut [f32]) + Send + Sync>;

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
    /// The map from which the output is made.
    features: Value,
    output: Linear,
    /// Memory of maps, for the next call.
    free: Mutex<Vec<Vec<f32>>>,
}

/// Makes the next value.
struct Step {
    from: Value,
    prepared: Prepared,
    kind: StepKind,
    add: Option<Value>,
}

enum StepKind {
    /// The transform is all.
    Join,
    Conv(Box<ConvStep>),
    /// With its name.
    Images(String, ImageFunction),
}

struct ConvStep {
    conv: Conv,
    /// Empty where one way to compute the convolution serves all batches.
    weight: Vec<f32>,
    bias: Vec<f32>,
    slope: Option<Vec<f32>>,
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

    /// A transformed map, and `add` added to that.
    pub fn join(&mut self, (from, transform): (Value, Transform<'_>), add: Option<Value>) -> Value {
        let dims = self.dims(from);
        assert!(add.is_none_or(|add| self.dims(add) == dims));
        if transform.is_identity() && add.is_none() {
            return from;
        }
        let prepared = Prepared::new(&transform, dims.channels);
        self.push(Step { from, prepared, kind: StepKind::Join, add }, dims)
    }

    /// `layer` on a transformed map.
    pub fn conv(&mut self, (from, transform): (Value, Transform<'_>), layer: FoldedConv<'_>) -> Value {
        let FoldedConv { conv, mut weight, bias, norm, slope, add } = layer;
        let dims = self.dims(from);
        let out = conv.output(dims);
        let mut bias = bias.unwrap_or_else(|| vec![0.0; conv.outputs]);
        assert!(dims.channels == conv.inputs && weight.len() == conv.weights());
        assert!([&bias].into_iter().chain(&slope).all(|vector| vector.len() == conv.outputs));
        assert!(add.is_none_or(|add| self.dims(add) == out));
        if let Some(norm) = norm {
            let length = weight.len() / conv.outputs;
            for (c, (weight, bias)) in weight.chunks_exact_mut(length).zip(&mut bias).enumerate() {
                let scale = norm.gamma[c] / (norm.variance[c] + norm.epsilon).sqrt();
                weight.iter_mut().for_each(|weight| *weight *= scale);
                *bias = (*bias - norm.mean[c]) * scale + norm.beta[c];
            }
        }
        let packed: [OnceLock<Packed>; 3] = Default::default();
        let kind = Packed::kind(&conv, dims);
        if kind == Packed::kind(&conv, Dims { batch: TOGETHER, ..dims }) {
            packed[kind as usize].get_or_init(|| Packed::new(&conv, dims, &weight).fitted());
            weight = Vec::new();
        }
        let prepared = Prepared::new(&transform, conv.inputs);
        let kind = StepKind::Conv(Box::new(ConvStep { conv, weight, bias, slope, packed }));
        self.push(Step { from, prepared, kind, add }, out)
    }

    /// The layer `name` on a map; its output is of the shape `output` for one image.
    pub fn images(&mut self, from: Value, name: String, layer: ImageFunction, output: Dims) -> Value {
        let prepared = Prepared::new(&Transform::default(), self.dims(from).channels);
        self.push(Step { from, prepared, kind: StepKind::Images(name, layer), add: None }, output)
    }

    fn push(&mut self, step: Step, dims: Dims) -> Value {
        self.steps.push(step);
        self.values.push(dims);
        Value(self.values.len() - 1)
    }

    /// Ends with a linear layer on a flattened map: rows, columns and channels.
    pub fn finish(self, features: Value, output: Linear) -> Network {
        let Self { values, steps } = self;
        let mut last = vec![0; values.len()];
        for (i, step) in steps.iter().enumerate() {
            for value in [Some(step.from), step.add].into_iter().flatten() {
                last[value.0] = i;
            }
        }
        last[features.0] = steps.len();
        Network { values, steps, last, features, output, free: Mutex::default() }
    }
}

impl Network {
    /// Embeds a batch of images.
    ///
    /// # Shapes
    /// - `images`: `[batch, height, width, channels]`
    /// - output: `[batch, outputs of the last layer]`
    pub fn run(&self, images: &[f32], batch: usize) -> Vec<f32> {
        let length = self.values[0].elements();
        assert_eq!(images.len(), batch * length);
        let mut free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        let mut output = Vec::with_capacity(batch * self.output.outputs());
        // Of equal size as far as possible.
        let parts = batch.div_ceil(TOGETHER).max(1);
        let mut features = Vec::new();
        for part in 0..parts {
            let [start, end] = [part, part + 1].map(|part| part * batch / parts);
            let map = self.features(&images[start * length..end * length], end - start, &mut free);
            if parts == 1 {
                features = map;
            } else {
                features.extend_from_slice(&map);
                free.push(map);
            }
        }
        output.extend(self.output.apply(&features, batch));
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = free;
        output
    }

    /// The last map.
    fn features(&self, images: &[f32], batch: usize, free: &mut Vec<Vec<f32>>) -> Vec<f32> {
        let mut maps: Vec<Vec<f32>> = vec![Vec::new(); self.values.len()];
        let dims = |value: usize| Dims { batch, ..self.values[value] };
        for (i, step) in self.steps.iter().enumerate() {
            let mut y = take(free, dims(i + 1).elements());
            let map = |value: Value| if value.0 == 0 { images } else { &maps[value.0] };
            step.run(map, dims(step.from.0), dims(i + 1), &mut y);
            maps[i + 1] = y;
            for (map, last) in maps.iter_mut().zip(&self.last).take(i + 1) {
                if *last == i && !map.is_empty() {
                    free.push(std::mem::take(map));
                }
            }
        }
        match self.features.0 {
            0 => images.to_vec(),
            features => std::mem::take(&mut maps[features]),
        }
    }
}

/// The smallest of `free` that has room for `length` numbers, or else the largest.
fn take(free: &mut Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let fitting = |map: &Vec<f32>| (map.capacity() < length, map.capacity().abs_diff(length));
    let best = (0..free.len()).min_by_key(|i| fitting(&free[*i]));
    best.map(|i| free.swap_remove(i)).unwrap_or_default()
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Step {
    fn run<'a>(&self, map: impl Fn(Value) -> &'a [f32], dims: Dims, output: Dims, y: &mut Vec<f32>) {
        let (x, add) = (map(self.from), self.add.map(&map));
        let ConvStep { conv, weight, bias, slope, packed } = match &self.kind {
            StepKind::Join => return join_to(&self.prepared, x, add, dims, y),
            StepKind::Images(name, layer) => {
                let bytes = ((dims.elements() + output.elements()) * size_of::<f32>()) as u64;
                let _profile = profile::operator(|| (name.clone(), Work { operations: 0, bytes }));
                y.resize(output.elements(), 0.0);
                let images = x.par_chunks_exact(dims.image()).zip(y.par_chunks_exact_mut(output.image()));
                return images.for_each(|(x, y)| layer(x, y));
            }
            StepKind::Conv(step) => &**step,
        };
        let _profile = profile::operator(|| profile::conv_forward(conv, dims));
        let kind = Packed::kind(conv, dims);
        let packed = packed[kind as usize].get_or_init(|| Packed::new(conv, dims, weight).fitted());
        let (bias, slope) = (Some(bias.as_slice()), slope.as_deref());
        let finish = Finish { channels: conv.outputs, bias, slope, add, moments: false };
        packed.convolve(conv, x, dims, &self.prepared, &finish, y);
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
        let plain = Transform::default();
        let linear = || Linear::new(features, noise(outputs, 10), |i, o| matrix[i * outputs + o]);

        let (mut net, images) = Builder::new(Dims { batch: 1, height, width, channels: 3 });
        let layer = |conv, weight: &[f32]| FoldedConv {
            conv,
            weight: weight.to_vec(),
            bias: None,
            norm: norm.norm,
            slope: None,
            add: None,
        };
        let slopes = slope.slope.map(<[f32]>::to_vec);
        let x = net.conv((images, plain), FoldedConv { bias: Some(bias.clone()), ..layer(first, &w0) });
        let x = net.join((x, slope), None);
        let y = net.conv((x, norm), FoldedConv { slope: slopes.clone(), ..layer(same, &w1) });
        let y = net.conv((y, plain), layer(same, &w2));
        let x = net.join((y, both), Some(x));
        let x = net.conv((x, plain), FoldedConv { slope: slopes.clone(), add: Some(x), ..layer(same, &w1) });
        let x = net.conv((x, plain), FoldedConv { slope: slopes.clone(), ..layer(depthwise, &w3) });
        let negate: ImageFunction = Box::new(|x, y| y.iter_mut().zip(x).for_each(|(y, x)| *y = -x));
        let x = net.images(x, "negate".into(), negate, net.dims(x));
        assert_eq!(net.dims(x), Dims { batch: 1, height: 6, width: 5, channels: 20 });
        let net = net.finish(x, linear());

        for batch in [1, 5, 19, 2] {
            let images = noise(batch * height * width * 3, batch as u64);
            let dims = |channels| Dims { batch, height, width, channels };
            let input = |x, channels, transform| Input { x, dims: dims(channels), transform };
            let forward =
                |conv: &Conv, input, weight: &[f32], bias| conv::forward(conv, input, weight, bias, false).y;
            let x = forward(&first, input(&images, 3, plain), &w0, Some(&bias));
            let x = crate::join(input(&x, 20, both), None, false).y;
            let y = forward(&same, input(&x, 20, norm), &w1, None);
            let y = forward(&same, input(&y, 20, both), &w2, None);
            let y = crate::join(input(&y, 20, norm), None, false).y;
            let x = crate::join(input(&y, 20, both), Some(input(&x, 20, plain)), false).y;
            let y = forward(&same, input(&x, 20, plain), &w1, None);
            let x = crate::join(input(&y, 20, both), Some(input(&x, 20, plain)), false).y;
            let y = forward(&depthwise, input(&x, 20, plain), &w3, None);
            let half = Dims { batch, height: 6, width: 5, channels: 20 };
            let mut y = crate::join(Input { x: &y, dims: half, transform: both }, None, false).y;
            y.iter_mut().for_each(|y| *y = -*y);
            let error = error(&net.run(&images, batch), &linear().apply(&y, batch));
            assert!(error < 2e-5, "{error} off with {batch} images");
        }
    }
}
