//! One binary logistic regression a class: the target against the rest, each class by itself.

use burn::tensor::{Tensor, activation};
use facegrad_settings::{above, settings, within};

use super::CriterionKind;
use crate::{ClassLogits, Reduction};

settings! {
    /// Each class is a binary classifier of its own; no softmax ties them together.
    pub struct BinaryLogisticConfig {
        /// Share λ of the target's class; 1 − λ is that of each other class.
        balance: f64 = 0.7, within(0.0, 1.0);
        /// What the sum is multiplied by. SphereFace2 divides by its scale r and multiplies by 50: 1.25 for its
        /// r of 40.
        weight: f64 = 1.25, above(0.0);
        /// Whether the sum is also divided by the head's scale, that of the step where it follows a schedule, as
        /// SphereFace2 does. A learned scale, and one that no head has, count as 1.
        over_scale: bool = false;
    }
}

impl CriterionKind for BinaryLogisticConfig {
    fn formula(&self) -> &'static str {
        "w [λ ln(1 + e^{−z_y}) + (1 − λ) Σ_{j≠y} ln(1 + e^{z_j})];  w/s in the place of w with over_scale"
    }

    fn source(&self) -> &'static str {
        "Wen et al., SphereFace2, ICLR 2022; one-against-the-rest logistic regression"
    }

    fn loss(&self, logits: &ClassLogits) -> Tensor<1> {
        let target = activation::softplus(logits.target().neg(), 1.0).mean();
        let others = logits.reduce(Reduction::Softplus).mean();
        let weight = if self.over_scale { self.weight / logits.scale() } else { self.weight };
        target * (weight * self.balance) + others * (weight * (1.0 - self.balance))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::{
        criteria::of_rows,
        reference::{check_bad_keys, for_each_form},
    };

    /// Loss and gradient of rows of three logits whose target is class 1.
    fn loss(config: &BinaryLogisticConfig, rows: &[[f32; 3]]) -> Vec<(f32, Vec<f32>)> {
        let found = std::cell::RefCell::new(Vec::new());
        for_each_form("binary_logistic", |device, _| {
            let data = TensorData::new(rows.concat(), [rows.len(), 3]);
            let logits = Tensor::<2>::from_data(data, &device.clone().autodiff()).require_grad();
            let loss = config.loss(&of_rows(logits.clone(), &vec![1; rows.len()]));
            let gradient = logits.grad(&loss.backward()).unwrap().into_data().try_to_vec().unwrap();
            found.borrow_mut().push((loss.into_scalar(), gradient));
        });
        found.into_inner()
    }

    #[test]
    fn value_and_gradient_match_plain_loops() {
        let rows = [[0.5, -1.5, 3.0], [-4.0, 12.0, -0.25], [30.0, -30.0, 0.0]];
        let config = BinaryLogisticConfig { balance: 0.8, weight: 2.0, ..Default::default() };
        let (mut expected, mut gradient) = (0.0, Vec::new());
        for z in rows.iter().flat_map(|row| row.iter().enumerate()) {
            let (share, sign) = if z.0 == 1 { (0.8, -1.0) } else { (0.2, 1.0) };
            let z = sign * f64::from(*z.1);
            let factor = 2.0 * share / 3.0;
            expected += factor * (1.0 + z.exp()).ln();
            gradient.push(factor * sign / (1.0 + (-z).exp()));
        }
        for (value, found) in loss(&config, &rows) {
            assert!((f64::from(value) - expected).abs() < 1e-5 * expected, "{value} against {expected}");
            for (found, expected) in found.iter().zip(&gradient) {
                assert!((f64::from(*found) - expected).abs() < 1e-4 * 0.5, "{found} against {expected}");
            }
        }
    }

    #[test]
    fn a_logit_of_0_costs_ln_2_whatever_its_class() {
        // ½ (ln 2 + 2 ln 2) with three classes.
        let config = BinaryLogisticConfig { balance: 0.5, weight: 1.0, ..Default::default() };
        for (value, _) in loss(&config, &[[0.0; 3]]) {
            assert!((value - 1.5 * std::f32::consts::LN_2).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn logits_of_any_size_give_a_finite_loss_and_gradient() {
        let config = BinaryLogisticConfig { balance: 0.5, weight: 1.0, ..Default::default() };
        for (value, gradient) in loss(&config, &[[1e30, -1e30, 1e30]]) {
            assert!((value / 1.5e30 - 1.0).abs() < 1e-6, "{value}");
            assert_eq!(gradient, [0.5, -0.5, 0.5]);
        }
        for (value, gradient) in loss(&config, &[[-1e30, 1e30, -1e30]]) {
            assert_eq!((value, gradient), (0.0, vec![0.0; 3]));
        }
    }

    #[test]
    fn a_share_above_one_is_named_with_its_range() {
        check_bad_keys::<BinaryLogisticConfig>(&[(
            "balance = 2",
            "head.balance is 2; it must be from 0 to 1",
        )]);
    }
}
