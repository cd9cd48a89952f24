//! The three networks, on the kernels that train and embed: maps are channels-last, and a PReLU is done on the way into
//! what reads its map. All outputs are as the last layers give them, before the softmax.

use facegrad_kernels::{Conv, Dims, Input, Transform, conv, join, linear::Linear, pool::max_pool};

use super::weights::{Tensors, WeightError};

/// What a network says of one square: first how sure it is of no face and of a face, two numbers whose softmax is the
/// probability; then the offsets of the four edges; from the third network then landmarks, first every x, then every y.
pub(super) const SCORES: usize = 2;
/// Where the landmarks begin.
pub(super) const LANDMARKS: usize = SCORES + 4;

/// Proposes faces: fully convolutional, each output cell looks at 12 x 12 pixels, 2 pixels from the next.
#[derive(Debug)]
pub(super) struct PNet {
    conv1: Layer,
    conv2: Layer,
    conv3: Layer,
    heads: Layer,
}

impl PNet {
    pub fn new(bytes: &[u8]) -> Result<Self, WeightError> {
        let mut from = Weights(Tensors::parse("P-Net", bytes)?);
        let net = Self {
            conv1: from.active_conv(1, [3, 10], 3)?,
            conv2: from.active_conv(2, [10, 16], 3)?,
            conv3: from.active_conv(3, [16, 32], 3)?,
            heads: from.conv_heads([("conv4_1", SCORES), ("conv4_2", 4)], 32)?,
        };
        from.0.finish()?;
        Ok(net)
    }

    /// # Shapes
    /// - x: `[height, width, 3]`
    /// - output: `[rows, columns, 6]`
    pub fn forward(&self, x: Vec<f32>, [height, width]: [usize; 2]) -> Map<'_> {
        let x = Map::of_pictures(x, 1, [height, width]);
        let x = self.conv1.apply(&x).pool(2);
        self.heads.apply(&self.conv3.apply(&self.conv2.apply(&x)))
    }
}

/// Refuses most of the proposals.
#[derive(Debug)]
pub(super) struct RNet {
    conv1: Layer,
    conv2: Layer,
    conv3: Layer,
    dense: Dense,
    heads: Linear,
}

impl RNet {
    /// Side of the pictures it takes, in pixels.
    pub const SIDE: usize = 24;
    /// Numbers that it gives for each.
    pub const OUTPUTS: usize = LANDMARKS;

    pub fn new(bytes: &[u8]) -> Result<Self, WeightError> {
        let mut from = Weights(Tensors::parse("R-Net", bytes)?);
        let net = Self {
            conv1: from.active_conv(1, [3, 28], 3)?,
            conv2: from.active_conv(2, [28, 48], 3)?,
            conv3: from.active_conv(3, [48, 64], 2)?,
            dense: from.dense(4, 64, 128)?,
            heads: from.heads(&[("conv5_1", SCORES), ("conv5_2", 4)], 128)?,
        };
        from.0.finish()?;
        Ok(net)
    }

    /// # Shapes
    /// - x: `[batch, 24, 24, 3]`
    /// - output: `[batch, 6]`
    pub fn forward(&self, x: Vec<f32>, batch: usize) -> Vec<f32> {
        let x = Map::of_pictures(x, batch, [Self::SIDE; 2]);
        let x = self.conv1.apply(&x).pool(3);
        let x = self.conv2.apply(&x).pool(3);
        let x = self.dense.apply(self.conv3.apply(&x));
        self.heads.apply(&x, batch)
    }
}

/// Decides, and finds the landmarks.
#[derive(Debug)]
pub(super) struct ONet {
    conv1: Layer,
    conv2: Layer,
    conv3: Layer,
    conv4: Layer,
    dense: Dense,
    heads: Linear,
}

impl ONet {
    /// Side of the pictures it takes, in pixels.
    pub const SIDE: usize = 48;
    /// Numbers that it gives for each.
    pub const OUTPUTS: usize = LANDMARKS + 10;

    pub fn new(bytes: &[u8]) -> Result<Self, WeightError> {
        let mut from = Weights(Tensors::parse("O-Net", bytes)?);
        let net = Self {
            conv1: from.active_conv(1, [3, 32], 3)?,
            conv2: from.active_conv(2, [32, 64], 3)?,
            conv3: from.active_conv(3, [64, 64], 3)?,
            conv4: from.active_conv(4, [64, 128], 2)?,
            dense: from.dense(5, 128, 256)?,
            heads: from.heads(&[("conv6_1", SCORES), ("conv6_2", 4), ("conv6_3", 10)], 256)?,
        };
        from.0.finish()?;
        Ok(net)
    }

    /// # Shapes
    /// - x: `[batch, 48, 48, 3]`
    /// - output: `[batch, 16]`
    pub fn forward(&self, x: Vec<f32>, batch: usize) -> Vec<f32> {
        let x = Map::of_pictures(x, batch, [Self::SIDE; 2]);
        let x = self.conv1.apply(&x).pool(3);
        let x = self.conv2.apply(&x).pool(3);
        let x = self.conv3.apply(&x).pool(2);
        let x = self.dense.apply(self.conv4.apply(&x));
        self.heads.apply(&x, batch)
    }
}

/// Maps, and the slopes of the PReLU that whoever reads them does first.
pub(super) struct Map<'a> {
    pub x: Vec<f32>,
    pub dims: Dims,
    slope: Option<&'a [f32]>,
}

impl<'a> Map<'a> {
    fn of_pictures(x: Vec<f32>, batch: usize, [height, width]: [usize; 2]) -> Self {
        Self { x, dims: Dims { batch, height, width, channels: 3 }, slope: None }
    }

    fn input(&self) -> Input<'_> {
        Input { x: &self.x, dims: self.dims, transform: Transform { norm: None, slope: self.slope } }
    }

    /// Caffe's pooling: strides of 2, and the block at the end counts even if it is not whole.
    fn pool(&self, kernel: usize) -> Map<'a> {
        let (x, dims) = max_pool(self.input(), kernel, 2);
        Map { x, dims, slope: None }
    }
}

/// A convolution without padding, and a PReLU with a slope for each channel, if there is one.
#[derive(Debug)]
struct Layer {
    conv: Conv,
    weight: Vec<f32>,
    bias: Vec<f32>,
    slope: Option<Vec<f32>>,
}

impl Layer {
    fn apply(&self, x: &Map<'_>) -> Map<'_> {
        let dims = self.conv.output(x.dims);
        let x = conv::forward(&self.conv, x.input(), &self.weight, Some(&self.bias), false).y;
        Map { x, dims, slope: self.slope.as_deref() }
    }
}

/// A linear layer on the flattened map, and a PReLU with a slope for each output.
#[derive(Debug)]
struct Dense {
    linear: Linear,
    slope: Vec<f32>,
}

impl Dense {
    fn apply(&self, x: Map<'_>) -> Vec<f32> {
        let batch = x.dims.batch;
        let x = join(x.input(), None, false).y;
        let x = self.linear.apply(&x, batch);
        let dims = Dims { batch, height: 1, width: 1, channels: self.slope.len() };
        join(Map { x, dims, slope: Some(&self.slope) }.input(), None, false).y
    }
}

/// Makes layers from tensors.
struct Weights(Tensors);

impl Weights {
    /// What a convolution has: its weight and its bias.
    fn conv(
        &mut self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
    ) -> Result<Layer, WeightError> {
        let weight = self.0.take(&format!("{name}.weight"), &[outputs, inputs, kernel, kernel])?;
        let bias = self.0.take(&format!("{name}.bias"), &[outputs])?;
        let conv = Conv { inputs, outputs, kernel: [kernel; 2], stride: 1, padding: 0, groups: 1 };
        Ok(Layer { conv, weight, bias, slope: None })
    }

    fn slope(&mut self, number: usize, channels: usize) -> Result<Vec<f32>, WeightError> {
        self.0.take(&format!("features.prelu{number}.weight"), &[channels])
    }

    fn active_conv(
        &mut self,
        number: usize,
        channels: [usize; 2],
        kernel: usize,
    ) -> Result<Layer, WeightError> {
        let layer = self.conv(&format!("features.conv{number}"), channels, kernel)?;
        Ok(Layer { slope: Some(self.slope(number, channels[1])?), ..layer })
    }

    /// Convolutions of one pixel on the same map, as one.
    fn conv_heads(&mut self, heads: [(&str, usize); 2], inputs: usize) -> Result<Layer, WeightError> {
        let [(first, outputs), (second, more)] = heads;
        let mut both = self.conv(first, [inputs, outputs], 1)?;
        let Layer { weight, bias, .. } = self.conv(second, [inputs, more], 1)?;
        both.conv.outputs += more;
        both.weight.extend(weight);
        both.bias.extend(bias);
        Ok(both)
    }

    /// Linear layers of the same numbers, as one.
    fn heads(&mut self, heads: &[(&str, usize)], inputs: usize) -> Result<Linear, WeightError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (name, outputs) in heads {
            weight.extend(self.0.take(&format!("{name}.weight"), &[*outputs, inputs])?);
            bias.extend(self.0.take(&format!("{name}.bias"), &[*outputs])?);
        }
        Ok(Linear::new(inputs, bias, |input, output| weight[output * inputs + input]))
    }

    /// A linear layer on a map of 3 x 3 x `channels`, whose inputs the file has in the order channel, column, row.
    fn dense(&mut self, number: usize, channels: usize, outputs: usize) -> Result<Dense, WeightError> {
        let (name, inputs) = (format!("features.conv{number}"), channels * 9);
        let values = self.0.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = self.0.take(&format!("{name}.bias"), &[outputs])?;
        let weight = |input: usize, output: usize| {
            let (row, column, channel) = (input / channels / 3, input / channels % 3, input % channels);
            values[output * inputs + channel * 9 + column * 3 + row]
        };
        Ok(Dense { linear: Linear::new(inputs, bias, weight), slope: self.slope(number, outputs)? })
    }
}
