//! The three networks as Burn modules. All outputs are as the last layers give them, before the softmax.

use burn::{
    module::{Module, Param},
    nn::{
        Linear, LinearConfig, PRelu, PReluConfig,
        conv::{Conv2d, Conv2dConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    tensor::{Device, Tensor, TensorData},
};

use super::weights::{Tensors, WeightError};

/// Proposes faces: fully convolutional, each output cell looks at 12 x 12 pixels, 2 pixels from the next.
#[derive(Module, Debug)]
pub(super) struct PNet {
    conv1: ActiveConv,
    pool1: MaxPool2d,
    conv2: ActiveConv,
    conv3: ActiveConv,
    face: Conv2d,
    offsets: Conv2d,
}

impl PNet {
    pub fn new(bytes: &[u8], device: &Device) -> Result<Self, WeightError> {
        let mut from = Weights { tensors: Tensors::parse("P-Net", bytes)?, device };
        let net = Self {
            conv1: from.active_conv(1, 3, 10, 3)?,
            pool1: pool(2),
            conv2: from.active_conv(2, 10, 16, 3)?,
            conv3: from.active_conv(3, 16, 32, 3)?,
            face: from.conv("conv4_1", 32, 2, 1)?,
            offsets: from.conv("conv4_2", 32, 4, 1)?,
        };
        from.tensors.finish()?;
        Ok(net)
    }

    /// # Shapes
    /// - x: `[batch, 3, height, width]`
    /// - output: no face and face, `[batch, 2, rows, columns]`; offsets of the edges, `[batch, 4, rows, columns]`
    pub fn forward(&self, x: Tensor<4>) -> [Tensor<4>; 2] {
        let x = self.pool1.forward(self.conv1.forward(x));
        let x = self.conv3.forward(self.conv2.forward(x));
        [self.face.forward(x.clone()), self.offsets.forward(x)]
    }
}

/// Refuses most of the proposals.
#[derive(Module, Debug)]
pub(super) struct RNet {
    conv1: ActiveConv,
    pool1: MaxPool2d,
    conv2: ActiveConv,
    pool2: MaxPool2d,
    conv3: ActiveConv,
    dense: ActiveLinear,
    face: Linear,
    offsets: Linear,
}

impl RNet {
    /// Side of the pictures it takes, in pixels.
    pub const SIDE: usize = 24;

    pub fn new(bytes: &[u8], device: &Device) -> Result<Self, WeightError> {
        let mut from = Weights { tensors: Tensors::parse("R-Net", bytes)?, device };
        let net = Self {
            conv1: from.active_conv(1, 3, 28, 3)?,
            pool1: pool(3),
            conv2: from.active_conv(2, 28, 48, 3)?,
            pool2: pool(3),
            conv3: from.active_conv(3, 48, 64, 2)?,
            dense: from.active_linear(4, 64, 128)?,
            face: from.linear("conv5_1", 128, 2)?,
            offsets: from.linear("conv5_2", 128, 4)?,
        };
        from.tensors.finish()?;
        Ok(net)
    }

    /// # Shapes
    /// - x: `[batch, 3, 24, 24]`
    /// - output: no face and face, `[batch, 2]`; offsets of the edges, `[batch, 4]`
    pub fn forward(&self, x: Tensor<4>) -> [Tensor<2>; 2] {
        let x = self.pool1.forward(self.conv1.forward(x));
        let x = self.pool2.forward(self.conv2.forward(x));
        let x = self.dense.forward(self.conv3.forward(x));
        [self.face.forward(x.clone()), self.offsets.forward(x)]
    }
}

/// Decides, and finds the landmarks.
#[derive(Module, Debug)]
pub(super) struct ONet {
    conv1: ActiveConv,
    pool1: MaxPool2d,
    conv2: ActiveConv,
    pool2: MaxPool2d,
    conv3: ActiveConv,
    pool3: MaxPool2d,
    conv4: ActiveConv,
    dense: ActiveLinear,
    face: Linear,
    offsets: Linear,
    landmarks: Linear,
}

impl ONet {
    /// Side of the pictures it takes, in pixels.
    pub const SIDE: usize = 48;

    pub fn new(bytes: &[u8], device: &Device) -> Result<Self, WeightError> {
        let mut from = Weights { tensors: Tensors::parse("O-Net", bytes)?, device };
        let net = Self {
            conv1: from.active_conv(1, 3, 32, 3)?,
            pool1: pool(3),
            conv2: from.active_conv(2, 32, 64, 3)?,
            pool2: pool(3),
            conv3: from.active_conv(3, 64, 64, 3)?,
            pool3: pool(2),
            conv4: from.active_conv(4, 64, 128, 2)?,
            dense: from.active_linear(5, 128, 256)?,
            face: from.linear("conv6_1", 256, 2)?,
            offsets: from.linear("conv6_2", 256, 4)?,
            landmarks: from.linear("conv6_3", 256, 10)?,
        };
        from.tensors.finish()?;
        Ok(net)
    }

    /// # Shapes
    /// - x: `[batch, 3, 48, 48]`
    /// - output: no face and face, `[batch, 2]`; offsets of the edges, `[batch, 4]`; landmarks, first every x, then
    ///   every y, `[batch, 10]`
    pub fn forward(&self, x: Tensor<4>) -> [Tensor<2>; 3] {
        let x = self.pool1.forward(self.conv1.forward(x));
        let x = self.pool2.forward(self.conv2.forward(x));
        let x = self.pool3.forward(self.conv3.forward(x));
        let x = self.dense.forward(self.conv4.forward(x));
        [self.face.forward(x.clone()), self.offsets.forward(x.clone()), self.landmarks.forward(x)]
    }
}

/// A convolution without padding, and a PReLU with a slope for each channel.
#[derive(Module, Debug)]
struct ActiveConv {
    conv: Conv2d,
    act: PRelu,
}

impl ActiveConv {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.act.forward(self.conv.forward(x))
    }
}

/// A linear layer on the flattened map, and a PReLU with a slope for each output.
#[derive(Module, Debug)]
struct ActiveLinear {
    linear: Linear,
    act: PRelu,
}

impl ActiveLinear {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.act.forward(self.linear.forward(x.flatten(1, 3)))
    }
}

/// Caffe's pooling: strides of 2, and the block at the end counts even if it is not whole.
fn pool(kernel: usize) -> MaxPool2d {
    MaxPool2dConfig::new([kernel; 2]).with_strides([2; 2]).with_ceil_mode(true).init()
}

/// Makes layers from tensors.
struct Weights<'a> {
    tensors: Tensors,
    device: &'a Device,
}

impl Weights<'_> {
    fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>, WeightError> {
        let values = self.tensors.take(name, &shape)?;
        Ok(Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device)))
    }

    fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
    ) -> Result<Conv2d, WeightError> {
        let mut conv = Conv2dConfig::new([inputs, outputs], [kernel; 2]).init(self.device);
        conv.weight = self.tensor(&format!("{name}.weight"), [outputs, inputs, kernel, kernel])?;
        conv.bias = Some(self.tensor(&format!("{name}.bias"), [outputs])?);
        Ok(conv)
    }

    fn act(&mut self, number: usize, channels: usize) -> Result<PRelu, WeightError> {
        let mut act = PReluConfig::new().with_num_parameters(channels).init(self.device);
        act.alpha = self.tensor(&format!("features.prelu{number}.weight"), [channels])?;
        Ok(act)
    }

    fn active_conv(
        &mut self,
        number: usize,
        inputs: usize,
        outputs: usize,
        kernel: usize,
    ) -> Result<ActiveConv, WeightError> {
        let conv = self.conv(&format!("features.conv{number}"), inputs, outputs, kernel)?;
        Ok(ActiveConv { conv, act: self.act(number, outputs)? })
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, WeightError> {
        let values = self.tensors.take(&format!("{name}.weight"), &[outputs, inputs])?;
        self.linear_of(name, inputs, outputs, |input, output| values[output * inputs + input])
    }

    /// A linear layer on a map of `channels` x 3 x 3, whose inputs the file has in the order channel, column, row.
    fn active_linear(
        &mut self,
        number: usize,
        channels: usize,
        outputs: usize,
    ) -> Result<ActiveLinear, WeightError> {
        let (name, inputs) = (format!("features.conv{number}"), channels * 9);
        let values = self.tensors.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let weight = |input: usize, output: usize| {
            let (channel, row, column) = (input / 9, input / 3 % 3, input % 3);
            values[output * inputs + channel * 9 + column * 3 + row]
        };
        let linear = self.linear_of(&name, inputs, outputs, weight)?;
        Ok(ActiveLinear { linear, act: self.act(number, outputs)? })
    }

    /// Burn keeps the weights as `[inputs, outputs]`.
    fn linear_of(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Result<Linear, WeightError> {
        let mut linear = LinearConfig::new(inputs, outputs).init(self.device);
        let values: Vec<f32> = (0..inputs * outputs).map(|i| weight(i / outputs, i % outputs)).collect();
        let values = TensorData::new(values, [inputs, outputs]);
        linear.weight = Param::from_tensor(Tensor::from_data(values, self.device));
        linear.bias = Some(self.tensor(&format!("{name}.bias"), [outputs])?);
        Ok(linear)
    }
}
