//! Networks as numbers: which layers, in which order, on maps of which size.
//!
//! A family describes itself once, with a [`Trunk`]. The layers that are run, the parameter count and the
//! multiply-adds all come from that description, so they cannot disagree.

use crate::{
    Activation,
    initial::Init,
    layers::ComposedKind,
    sizes::{Cost, Map},
};

/// A convolution to be added to a [`Trunk`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Conv {
    /// Filled in by [`Trunk::conv`].
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
    pub(crate) bias: bool,
    pub(crate) init: Init,
}

impl Conv {
    /// A square convolution of odd extent `kernel` and stride 1 without bias, padded so that the map keeps
    /// its size.
    pub(crate) fn new(outputs: usize, kernel: usize, init: Init) -> Self {
        let padding = kernel / 2;
        Self { inputs: 0, outputs, kernel: [kernel; 2], stride: 1, padding, groups: 1, bias: false, init }
    }

    pub(crate) fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub(crate) fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    pub(crate) fn bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// The shape of the weight: `[outputs, inputs / groups, kernel height, kernel width]`.
    pub(crate) fn weight(&self) -> [usize; 4] {
        [self.outputs, self.inputs / self.groups, self.kernel[0], self.kernel[1]]
    }

    fn output(&self, map: Map) -> Map {
        let extent =
            |size: usize, kernel: usize| (size + 2 * self.padding).saturating_sub(kernel) / self.stride + 1;
        Map {
            channels: self.outputs,
            height: extent(map.height, self.kernel[0]),
            width: extent(map.width, self.kernel[1]),
        }
    }
}

/// One layer of a trunk.
#[derive(Debug)]
pub(crate) enum Step {
    Conv(Conv),
    /// Batch normalisation.
    Norm {
        channels: usize,
    },
    Act {
        kind: Activation,
        channels: usize,
    },
    /// The sum of two branches; an empty branch is the identity.
    Residual {
        body: Vec<Step>,
        shortcut: Vec<Step>,
    },
    /// A layer that nothing fuses with.
    Composed(ComposedKind),
}

/// The layers from the image to the last feature map, in the order they run.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) steps: Vec<Step>,
    map: Map,
    cost: Cost,
    too_small: bool,
}

impl Trunk {
    /// Begins with colour images of `[height, width]` pixels.
    pub(crate) fn new([height, width]: [usize; 2]) -> Self {
        Self::from_map(Map { channels: 3, height, width })
    }

    fn from_map(map: Map) -> Self {
        Self { steps: Vec::new(), map, cost: Cost::default(), too_small: map.height * map.width == 0 }
    }

    /// The map that the layers so far produce.
    pub(crate) fn map(&self) -> Map {
        self.map
    }

    /// Adds a convolution. A map with fewer pixels than the stride on a side is too small for it.
    pub(crate) fn conv(mut self, conv: Conv) -> Self {
        let conv = Conv { inputs: self.map.channels, ..conv };
        self.too_small |= self.map.height.min(self.map.width) < conv.stride;
        self.map = conv.output(self.map);
        let weights = conv.weight().iter().product::<usize>() as u64;
        self.cost.parameters += weights + if conv.bias { conv.outputs as u64 } else { 0 };
        self.cost.multiply_adds += weights * (self.map.height * self.map.width) as u64;
        self.steps.push(Step::Conv(conv));
        self
    }

    /// Adds a depthwise convolution as large as the map, which leaves one pixel.
    pub(crate) fn global_conv(self, init: Init) -> Self {
        let Map { channels, height, width } = self.map;
        let conv = Conv::new(channels, 1, init).groups(channels);
        self.conv(Conv { kernel: [height, width], ..conv })
    }

    /// Adds a batch normalisation.
    pub(crate) fn norm(mut self) -> Self {
        let channels = self.map.channels;
        self.cost.parameters += 2 * channels as u64;
        self.steps.push(Step::Norm { channels });
        self
    }

    /// Adds a non-linearity.
    pub(crate) fn act(mut self, kind: Activation) -> Self {
        let channels = self.map.channels;
        self.cost.parameters += kind.parameters(channels) as u64;
        self.steps.push(Step::Act { kind, channels });
        self
    }

    /// Adds a layer that nothing fuses with.
    pub(crate) fn composed(mut self, kind: ComposedKind) -> Self {
        let cost = kind.0.cost(self.map);
        self.cost.parameters += cost.parameters;
        self.cost.multiply_adds += cost.multiply_adds;
        self.map = kind.0.output(self.map);
        self.steps.push(Step::Composed(kind));
        self
    }

    /// Adds the sum of two branches that both start from the present map. A branch to which nothing is
    /// added is the identity.
    pub(crate) fn residual(
        mut self,
        body: impl FnOnce(Trunk) -> Trunk,
        shortcut: impl FnOnce(Trunk) -> Trunk,
    ) -> Self {
        let body = body(Self::from_map(self.map));
        let shortcut = shortcut(Self::from_map(self.map));
        assert_eq!(body.map, shortcut.map, "the branches of a residual block end in maps of equal size");
        self.map = body.map;
        for branch in [&body, &shortcut] {
            self.cost.parameters += branch.cost.parameters;
            self.cost.multiply_adds += branch.cost.multiply_adds;
            self.too_small |= branch.too_small;
        }
        self.steps.push(Step::Residual { body: body.steps, shortcut: shortcut.steps });
        self
    }

    /// Ends the network with the layer that makes the embedding.
    pub(crate) fn project(self, projection: Projection) -> Layout {
        let Map { channels, height, width } = self.map;
        let inputs = channels * height * width;
        let weights = (inputs * projection.embedding) as u64;
        let vectors = u64::from(projection.bias) + if projection.norm == EmbeddingNorm::None { 0 } else { 2 };
        Layout {
            cost: Cost {
                parameters: self.cost.parameters + weights + vectors * projection.embedding as u64,
                multiply_adds: self.cost.multiply_adds + weights,
            },
            too_small: self.too_small,
            steps: self.steps,
            inputs,
            projection,
        }
    }
}

/// Dropout, a linear layer on the flattened last map, and a batch normalisation of the embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Projection {
    pub(crate) embedding: usize,
    /// The probability that an element of the last map is dropped while training.
    pub(crate) dropout: f64,
    pub(crate) bias: bool,
    pub(crate) norm: EmbeddingNorm,
    pub(crate) init: Init,
}

/// What normalises the embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmbeddingNorm {
    /// Nothing.
    None,
    /// Batch normalisation.
    Full,
    /// Batch normalisation with its scale held at 1.
    UnitScale,
}

/// A whole network.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) steps: Vec<Step>,
    /// Elements of the last map.
    pub(crate) inputs: usize,
    pub(crate) projection: Projection,
    pub(crate) cost: Cost,
    /// Whether some map on the way was too small for its convolution.
    pub(crate) too_small: bool,
}
