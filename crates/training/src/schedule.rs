//! How the learning rate changes over a run. The rate is a function of the step, so resuming needs no state.

use facegrad_settings::{above, kinds, settings, within};

settings! {
    /// Half a cosine from 1 down to the end.
    pub struct CosineSchedule {
        /// Share of the run over which the rate rises linearly from 0 to its full value; never its last step.
        warmup: f64 = 0.05, within(0.0, 0.9);
        /// What is left of the rate at the end, as a share.
        end: f64 = 0.0, within(0.0, 1.0);
    }
}

settings! {
    /// (1 − t)^power from 1 down to 0.
    pub struct PolynomialSchedule {
        /// Share of the run over which the rate rises linearly from 0 to its full value; never its last step.
        warmup: f64 = 0.05, within(0.0, 0.9);
        /// The power; insightface uses 1 since 2022 and 2 before.
        power: f64 = 1.0, above(0.0).up_to(10.0);
    }
}

settings! {
    /// Falls by a factor at given points of the run.
    pub struct StepSchedule {
        /// Share of the run over which the rate rises linearly from 0 to its full value; never its last step.
        warmup: f64 = 0.05, within(0.0, 0.9);
        /// Shares of the run at which the rate falls.
        milestones: Vec<f64> = vec![0.5, 0.75, 0.9], within(0.0, 1.0);
        /// What the rate is multiplied with at each milestone.
        factor: f64 = 0.1, above(0.0).up_to(1.0);
    }
}

settings! {
    /// The same rate throughout.
    pub struct ConstantSchedule {
        /// Share of the run over which the rate rises linearly from 0 to its full value; never its last step.
        warmup: f64 = 0.0, within(0.0, 0.9);
    }
}

kinds! {
    /// How the learning rate changes over the run, as a factor on `optimizer.learning_rate`: `[schedule]`.
    pub enum ScheduleConfig {
        /// Half a cosine from 1 down to the end.
        Cosine(CosineSchedule) = "cosine",
        /// (1 − t)^power.
        Polynomial(PolynomialSchedule) = "polynomial",
        /// Falls by a factor at given points of the run.
        Step(StepSchedule) = "step",
        /// The same rate throughout.
        Constant(ConstantSchedule) = "constant",
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Cosine(CosineSchedule::default())
    }
}

impl ScheduleConfig {
    /// The factor on the learning rate at `step` (counted from 0) of `total`.
    ///
    /// After the warm-up, t runs from 0 to 1 over the rest of the run.
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let warmup = match self {
            Self::Cosine(c) => c.warmup,
            Self::Polynomial(c) => c.warmup,
            Self::Step(c) => c.warmup,
            Self::Constant(c) => c.warmup,
        };
        // The last step is never of the warm-up, however few there are: what it warms up for would not come.
        let warmup_steps = (warmup * total as f64).round().min(total.saturating_sub(1) as f64);
        let done = step as f64;
        if done < warmup_steps {
            // Step 0 already moves: 1/w, 2/w, … 1.
            return (done + 1.0) / warmup_steps;
        }
        let t = ((done - warmup_steps) / (total as f64 - warmup_steps).max(1.0)).clamp(0.0, 1.0);
        match self {
            Self::Cosine(c) => c.end + (1.0 - c.end) * 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
            Self::Polynomial(c) => (1.0 - t).powf(c.power),
            Self::Step(c) => {
                let share = done / total.max(1) as f64;
                c.factor.powi(c.milestones.iter().filter(|m| **m <= share).count() as i32)
            }
            Self::Constant(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_and_ends_where_it_should() {
        let cosine = ScheduleConfig::Cosine(CosineSchedule { warmup: 0.1, end: 0.01 });
        let at = |step| cosine.factor(step, 100);
        assert_eq!([at(0), at(4), at(9), at(10)], [0.1, 0.5, 1.0, 1.0]);
        assert!((at(55) - (0.01 + 0.99 * 0.5)).abs() < 1e-12);
        assert!((at(100) - 0.01).abs() < 1e-12 && (at(5000) - 0.01).abs() < 1e-12);
        assert!((10..99).all(|s| at(s + 1) < at(s)));
    }

    #[test]
    fn a_warm_up_leaves_a_step_to_what_it_is_for() {
        for (total, rates) in
            [(1, &[1.0][..]), (2, &[1.0, 1.0]), (3, &[0.5, 1.0, 1.0]), (5, &[0.25, 0.5, 0.75, 1.0, 1.0])]
        {
            for kind in ScheduleConfig::KINDS {
                let mut schedule = ScheduleConfig::of_kind(kind).unwrap();
                match &mut schedule {
                    ScheduleConfig::Cosine(c) => c.warmup = 0.9,
                    ScheduleConfig::Polynomial(c) => c.warmup = 0.9,
                    ScheduleConfig::Step(c) => (c.warmup, c.milestones) = (0.9, Vec::new()),
                    ScheduleConfig::Constant(c) => c.warmup = 0.9,
                }
                let found: Vec<f64> = (0..total).map(|step| schedule.factor(step, total)).collect();
                assert_eq!(found, rates, "{kind}, {total} steps");
            }
        }
    }

    #[test]
    fn step_and_polynomial_follow_their_formulas() {
        let step = ScheduleConfig::Step(StepSchedule { warmup: 0.0, ..Default::default() });
        for (at, expected) in [(0, 1.0), (49, 1.0), (50, 0.1), (75, 0.01), (95, 0.001)] {
            assert!((step.factor(at, 100) - expected).abs() < 1e-12);
        }
        let polynomial = ScheduleConfig::Polynomial(PolynomialSchedule { warmup: 0.5, power: 2.0 });
        assert!((polynomial.factor(75, 100) - 0.25).abs() < 1e-12);
        assert_eq!(ScheduleConfig::Constant(ConstantSchedule::default()).factor(3, 4), 1.0);
    }
}
