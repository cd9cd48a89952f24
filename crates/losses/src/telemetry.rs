//! What is worth watching in a loss: named numbers, read once a step.

use burn::tensor::Tensor;

/// Mean cos θ_y: between an embedding and its class, or the nearest thing a loss has.
pub const TARGET_COSINE: &str = "target_cosine";
/// Mean cosine with the other classes.
pub const OTHER_COSINE: &str = "other_cosine";
/// Mean over the batch of the largest cosine with another class.
pub const HARDEST_COSINE: &str = "hardest_cosine";
/// Mean length of the embeddings.
pub const FEATURE_NORM: &str = "feature_norm";
/// The margin of the step, mean over the batch where it differs.
pub const MARGIN: &str = "margin";
/// The part of the margin on the angle, mean over the batch, where a head has one on the cosine as well.
pub const MARGIN_ANGLE: &str = "margin_angle";
/// The part of the margin on the cosine, mean over the batch, where a head has one on the angle as well.
pub const MARGIN_COSINE: &str = "margin_cosine";
/// The running mean of the lengths of the embeddings.
pub const NORM_MEAN: &str = "norm_mean";
/// The running standard deviation of the lengths of the embeddings.
pub const NORM_STD: &str = "norm_std";
/// The learned bias that all classes share.
pub const BIAS: &str = "bias";
/// The factor m1 on the target's angle.
pub const ANGLE_FACTOR: &str = "angle_factor";
/// The constant m2 added to the target's angle, in radians.
pub const ADDED_ANGLE: &str = "added_angle";
/// The scale of the step.
pub const SCALE: &str = "scale";
/// The λ that blends a margin in, as A-Softmax anneals it.
pub const LAMBDA: &str = "lambda";
/// The t by which hard negatives are weighted.
pub const HARD_WEIGHT: &str = "hard_weight";
/// Share of the pairs or triplets that a loss still pushes.
pub const ACTIVE_SHARE: &str = "active_share";
/// Mean distance of the genuine pairs of a batch.
pub const POSITIVE_DISTANCE: &str = "positive_distance";
/// Mean distance of the impostor pairs of a batch.
pub const NEGATIVE_DISTANCE: &str = "negative_distance";
/// Mean distance of the centres from their mean.
pub const CENTRE_SPREAD: &str = "spread";

/// A number, or one that is still on the device.
#[derive(Debug, Clone)]
// There are a few of them a batch.
#[allow(clippy::large_enum_variant)]
pub enum TelemetryValue {
    /// Known on the host.
    Known(f64),
    /// `[1]`, outside autodiff.
    OnDevice(Tensor<1>),
}

/// The measures of one step, in the order in which they are shown.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Vec<(String, TelemetryValue)>);

impl Telemetry {
    /// Adds a number that is known.
    pub fn known(mut self, name: &str, value: f64) -> Self {
        self.0.push((name.into(), TelemetryValue::Known(value)));
        self
    }

    /// Adds the mean of a tensor that is still on the device; its graph is left behind.
    pub fn mean<const D: usize>(mut self, name: &str, values: Tensor<D>) -> Self {
        self.0.push((name.into(), TelemetryValue::OnDevice(values.inner().mean())));
        self
    }

    /// Adds the measures of `other`; a name that is taken already gets a number.
    pub fn extend(&mut self, other: Self) {
        for (name, value) in other.0 {
            let mut unique = name.clone();
            let mut number = 2;
            while self.0.iter().any(|(taken, _)| *taken == unique) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            self.0.push((unique, value));
        }
    }

    /// The measures with `owner` before each name: `loss` of `center` is `center_loss`.
    pub fn named(self, owner: &str) -> Self {
        Self(self.0.into_iter().map(|(name, value)| (format!("{owner}_{name}"), value)).collect())
    }

    /// The measures.
    pub fn into_values(self) -> Vec<(String, TelemetryValue)> {
        self.0
    }
}
