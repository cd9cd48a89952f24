//! Sizes of maps, and what layers on them cost.

/// What a network costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Trained numbers, those of normalisation and prelu included, running statistics not.
    pub parameters: u64,
    /// Multiply-adds of the convolutions and linear layers for one image.
    pub multiply_adds: u64,
}

/// The size of a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}
