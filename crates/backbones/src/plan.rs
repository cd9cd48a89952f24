//! The one plan of a network: its layout compiled into the operators that compute it.
//!
//! Training on the kernels (`fused.rs`), evaluation (`inference.rs`), the estimate of memory and the benchmark of
//! operators all go through this list, so they cannot disagree about what is fused and which maps are in memory.
//!
//! A normalisation and a non-linearity take no pass over memory of their own: they wait in a [`MapReading`] for the
//! operator that reads the map. In evaluation, where the statistics are numbers, the convolution that makes the map does
//! them instead, and the sum at the end of a branch as well.

use facegrad_kernels::{Conv, Dims};

use crate::{
    BackboneConfig, BackboneError,
    layers::ComposedKind,
    layout::{self, Layout, Step},
    sizes::Map,
};

/// Why the number of a layer in a plan always leads to a layer of the kind that it says.
pub(crate) const OF_ONE_LAYOUT: &str = "the plan and the layers are made from one layout";

/// The operators of a network from the images to its last map, in the order they run.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// The images, then the output of each operator.
    maps: Vec<FeatureMap>,
    operators: Vec<Operator>,
    /// How many layers the operators stand for.
    layers: usize,
    /// The last map, from which the embedding is made.
    pub features: MapReading,
}

/// A map that is in memory between operators.
#[derive(Debug, Clone)]
pub struct FeatureMap {
    /// Its shape, for one image.
    pub dims: Dims,
    /// How often it is read.
    pub readers: usize,
    /// The layers that normalise it on the way into a reader: in training they need its moments.
    pub norms: Vec<usize>,
}

impl FeatureMap {
    /// Whether the mean and variance of each channel are asked for where the statistics are those of the batch.
    pub fn needs_moments(&self) -> bool {
        !self.norms.is_empty()
    }
}

/// One operator. Layers are numbered in the order of the layout; of a residual block, the body comes first.
#[derive(Debug, Clone)]
pub struct Operator {
    /// What is computed.
    pub kind: OperatorKind,
    /// The map it reads.
    pub input: MapReading,
    /// The number of the map it makes.
    pub output: usize,
}

/// What an operator computes.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorKind {
    /// A convolution.
    Conv {
        /// The number of its layer.
        layer: usize,
        /// Its sizes.
        conv: Conv,
        /// Whether a bias is added.
        bias: bool,
        /// What is done to the output before it goes to memory: nothing in training.
        finish: Finish,
    },
    /// The sum of two maps at the end of a residual block, or one map whose reading cannot wait any longer.
    Join {
        /// The second map.
        add: Option<MapReading>,
    },
    /// A layer that nothing fuses with. It reads a map as it is.
    Composed {
        /// The number of its layer.
        layer: usize,
        /// Its kind and sizes.
        kind: ComposedKind,
    },
}

/// A map, and what is done to its elements on their way into an operator: the normalisation, then the non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapReading {
    /// The number of the map.
    pub map: usize,
    /// The layer that normalises it.
    pub norm: Option<usize>,
    /// The layer that is the non-linearity.
    pub act: Option<usize>,
}

/// What a convolution does to its output: the normalisation, then the non-linearity, then the sum with a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Finish {
    /// The layer that normalises.
    pub norm: Option<usize>,
    /// The layer that is the non-linearity.
    pub act: Option<usize>,
    /// The number of the map that is added.
    pub add: Option<usize>,
}

impl MapReading {
    /// The map as it is.
    fn of(map: usize) -> Self {
        Self { map, norm: None, act: None }
    }

    /// Whether the map is read as it is.
    pub fn is_plain(&self) -> bool {
        self.norm.is_none() && self.act.is_none()
    }
}

impl Finish {
    /// Takes over what `reading` does, as far as it fits.
    fn take(&mut self, reading: &mut MapReading) {
        if self.act.is_none() && self.add.is_none() {
            if self.norm.is_none() {
                self.norm = reading.norm.take();
            }
            if reading.norm.is_none() {
                self.act = reading.act.take();
            }
        }
    }
}

impl BackboneConfig {
    /// The plan of the network for images of `input` = `[height, width]` pixels.
    ///
    /// # Errors
    /// [`BackboneError::TooSmall`].
    pub fn plan(&self, input: [usize; 2]) -> Result<NetworkPlan, BackboneError> {
        self.checked_layout(input).map(|layout| NetworkPlan::new(&layout, input))
    }
}

impl NetworkPlan {
    /// Compiles a layout for images of `[height, width]` pixels.
    pub(crate) fn new(layout: &Layout, [height, width]: [usize; 2]) -> Self {
        let images = Dims { batch: 1, height, width, channels: 3 };
        let mut plan =
            Self { maps: Vec::new(), operators: Vec::new(), layers: 0, features: MapReading::of(0) };
        plan.add(images);
        let last = plan.steps(&layout.steps, MapReading::of(0));
        plan.features = plan.done(last);
        plan.read(plan.features);
        plan
    }

    /// The operators, in the order they run.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// The map with this number; 0 is the images.
    pub fn map(&self, map: usize) -> &FeatureMap {
        &self.maps[map]
    }

    /// The shape of a map, for one image.
    pub fn dims(&self, map: usize) -> Dims {
        self.maps[map].dims
    }

    fn steps(&mut self, steps: &[Step], start: MapReading) -> MapReading {
        steps.iter().fold(start, |at, step| match step {
            Step::Conv(layout) => {
                let conv = kernel(layout);
                let (layer, dims) = (self.layer(), conv.output(self.dims(at.map)));
                let kind = OperatorKind::Conv { layer, conv, bias: layout.bias, finish: Finish::default() };
                self.push(kind, at, dims)
            }
            // Two normalisations cannot wait at once, and none waits behind a non-linearity.
            Step::Norm { .. } => MapReading { norm: Some(self.layer()), ..self.done(at) },
            Step::Act { .. } => {
                let at = if at.act.is_some() { self.done(at) } else { at };
                MapReading { act: Some(self.layer()), ..at }
            }
            Step::Residual { body, shortcut } => {
                let start = self.done(at);
                let body = self.steps(body, start);
                let shortcut = self.steps(shortcut, start);
                self.push(OperatorKind::Join { add: Some(shortcut) }, body, self.dims(body.map))
            }
            Step::Composed(kind) => {
                let (at, layer) = (self.done(at), self.layer());
                let Dims { batch, height, width, channels } = self.dims(at.map);
                let output = kind.0.output(Map { channels, height, width });
                let dims =
                    Dims { batch, height: output.height, width: output.width, channels: output.channels };
                self.push(OperatorKind::Composed { layer, kind: kind.clone() }, at, dims)
            }
        })
    }

    /// The number of the next layer.
    fn layer(&mut self) -> usize {
        self.layers += 1;
        self.layers - 1
    }

    /// The map with nothing waiting.
    fn done(&mut self, at: MapReading) -> MapReading {
        if at.is_plain() { at } else { self.push(OperatorKind::Join { add: None }, at, self.dims(at.map)) }
    }

    fn push(&mut self, kind: OperatorKind, input: MapReading, dims: Dims) -> MapReading {
        self.read(input);
        if let OperatorKind::Join { add: Some(add) } = kind {
            self.read(add);
        }
        let output = self.add(dims);
        self.operators.push(Operator { kind, input, output });
        MapReading::of(output)
    }

    fn add(&mut self, dims: Dims) -> usize {
        self.maps.push(FeatureMap { dims, readers: 0, norms: Vec::new() });
        self.maps.len() - 1
    }

    fn read(&mut self, reading: MapReading) {
        let map = &mut self.maps[reading.map];
        map.readers += 1;
        map.norms.extend(reading.norm);
    }

    /// The plan of the network as it is evaluated: a convolution whose output has one reader does what that does to
    /// it, sums included. A normalisation alone is left to the reader of [`NetworkPlan::features`].
    pub(crate) fn folded(mut self) -> Self {
        let operators = std::mem::take(&mut self.operators);
        // The map that stands for each.
        let mut same: Vec<usize> = (0..self.maps.len()).collect();
        for Operator { mut kind, mut input, output } in operators {
            self.fold(&mut input, &same);
            match &mut kind {
                OperatorKind::Join { add: None } => {
                    let is_last = output == self.features.map;
                    if is_last && input.act.is_none() {
                        self.features = input;
                        continue;
                    }
                    if input.is_plain() {
                        same[output] = input.map;
                        self.maps[input.map].readers = self.maps[output].readers;
                        continue;
                    }
                }
                OperatorKind::Join { add: Some(add) } => {
                    self.fold(add, &same);
                    if input.is_plain()
                        && add.is_plain()
                        && let Some(at) = self.only_reader(input.map)
                        && let OperatorKind::Conv { finish: Finish { add: none @ None, .. }, .. } =
                            &mut self.operators[at].kind
                    {
                        *none = Some(add.map);
                        // Where both maps are there.
                        let conv = self.operators.remove(at);
                        self.operators.push(Operator { output, ..conv });
                        continue;
                    }
                }
                OperatorKind::Conv { .. } | OperatorKind::Composed { .. } => {}
            }
            self.operators.push(Operator { kind, input, output });
        }
        self.features.map = same[self.features.map];
        self
    }

    /// Leaves what `reading` does to the convolution that makes the map, where nothing else reads that.
    fn fold(&mut self, reading: &mut MapReading, same: &[usize]) {
        reading.map = same[reading.map];
        if let Some(at) = self.only_reader(reading.map)
            && let OperatorKind::Conv { finish, .. } = &mut self.operators[at].kind
        {
            finish.take(reading);
        }
    }

    /// Where the operator is that makes `map`, if that is read once.
    fn only_reader(&self, map: usize) -> Option<usize> {
        let once = self.maps[map].readers == 1;
        once.then(|| self.operators.iter().position(|operator| operator.output == map)).flatten()
    }
}

fn kernel(layout: &layout::Conv) -> Conv {
    let layout::Conv { inputs, outputs, kernel, stride, padding, groups, .. } = *layout;
    Conv { inputs, outputs, kernel, stride, padding, groups }
}
