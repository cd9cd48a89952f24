//! cos(θ + m) where each sample has a margin of its own.

use burn::tensor::{Device, Int, Tensor, TensorData};
use facegrad_settings::choice;

choice! {
    /// Where a margin is.
    pub enum Form {
        /// On the target's angle, cos(θ_y + m), as in ArcFace.
        Arc = "arc",
        /// On the target's cosine, cos θ_y − m, as in CosFace.
        Cos = "cos",
    }
}

choice! {
    /// What the target logit is past θ = π − m, where cos(θ + m) would rise again.
    pub enum Fallback {
        /// s (cos θ − m sin m): falls on, with a small step at π − m.
        Linear = "linear",
        /// The margin only where θ < π/2, plain cosine beyond.
        EasyMargin = "easy_margin",
        /// cos(θ + m) everywhere, as insightface computes it.
        None = "none",
    }
}

/// Inside the root of [`sine`]: cos(θ + m) at θ = 0 is off by √ε sin m = 5e-6, and its slope sin(θ+m)/sin θ,
/// infinite there, stays below 1e5.
pub(super) const EPSILON: f64 = 1e-10;

/// sin θ = √((1 − c)(1 + c) + ε) from c = cos θ in [−1, 1], which keeps the digits near 1 that 1 − c² loses.
pub(super) fn sine(c: Tensor<1>) -> Tensor<1> {
    ((c.clone().neg() + 1.0) * (c + 1.0) + EPSILON).sqrt()
}

/// Margins on the target's angle as the addition theorem takes them; all `[batch]`.
pub(super) struct AngularMargins {
    cosine: Tensor<1>,
    sine: Tensor<1>,
    /// m sin m, what [`Fallback::Linear`] takes off the cosine.
    drop: Tensor<1>,
    /// cos(π − m), where the fallback begins; below any cosine for a margin that is not positive, under which
    /// θ + m stays below π.
    end: Tensor<1>,
}

impl AngularMargins {
    /// Margins `[batch]` with their graph: from 0 to π, or of any sign where there is no fallback.
    pub(super) fn of(margins: Tensor<1>) -> Self {
        let (cosine, sine) = (margins.clone().cos(), margins.clone().sin());
        Self { drop: margins * sine.clone(), end: cosine.clone().detach().neg(), cosine, sine }
    }

    /// Margins that are known on the host, of any sign.
    pub(super) fn constant(margins: &[f64], device: &Device) -> Self {
        let map = |f: fn(f64) -> f64| {
            let values: Vec<f32> = margins.iter().map(|m| f(*m) as f32).collect();
            Tensor::from_data(TensorData::new(values, [margins.len()]), device)
        };
        Self {
            cosine: map(f64::cos),
            sine: map(f64::sin),
            drop: map(|m| m * m.sin()),
            end: map(|m| if m > 0.0 { -m.cos() } else { -2.0 }),
        }
    }

    /// The margins at `indices`, `[batch]`.
    pub(super) fn select(self, indices: Tensor<1, Int>) -> Self {
        let select = |values: Tensor<1>| values.select(0, indices.clone());
        Self {
            cosine: select(self.cosine),
            sine: select(self.sine),
            drop: select(self.drop),
            end: select(self.end),
        }
    }

    /// cos(θ + m) from cos θ, `[batch]`, with the fallback past π − m. The gradient is the exact one.
    pub(super) fn add_to(self, cosine: Tensor<1>, fallback: Fallback) -> Tensor<1> {
        // Rounding can push a cosine past 1, where the root of the sine would be NaN.
        let c = cosine.clamp(-1.0, 1.0);
        let shifted = c.clone() * self.cosine - sine(c.clone()) * self.sine;
        match fallback {
            Fallback::None => shifted,
            Fallback::Linear => {
                let past = c.clone().lower_equal(self.end);
                shifted.mask_where(past, c - self.drop)
            }
            Fallback::EasyMargin => {
                let obtuse = c.clone().lower_equal_elem(0.0);
                shifted.mask_where(obtuse, c)
            }
        }
    }
}
