//! How gradients become steps: SGD and AdamW, parameter groups, learning-rate factors, gradient clipping.

use std::{panic::AssertUnwindSafe, sync::LazyLock};

use burn::{
    lr_scheduler::{
        LrScheduler, LrSchedulerRecord,
        module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    },
    module::{Module, ModuleVisitor, Param, ParamGroup},
    optim::{GradientsParams, LearningRate, ModuleOptimizer, OptimizerRecord},
    tensor::{Bytes, Tensor},
};
use facegrad_settings::{SettingsError, above, at_least, kinds, settings, within};

use crate::update::{AdamW, GradientFactor, Sgd, SquaredNorm};

settings! {
    /// Stochastic gradient descent with momentum.
    pub struct SgdSettings {
        /// The learning rate that the schedule multiplies.
        learning_rate: f64 = 0.1, above(0.0).up_to(100.0);
        /// Momentum, without dampening; 0 switches it off.
        momentum: f64 = 0.9, within(0.0, 0.9999);
        /// Nesterov's form of the momentum.
        nesterov: bool = false;
        /// Weight decay, added to the gradient.
        weight_decay: f64 = 5e-4, within(0.0, 1.0);
        /// Whether norm, bias and PReLU parameters decay as well.
        decay_all: bool = false;
        /// Factor on the learning rate of the backbone.
        backbone_factor: f64 = 1.0, at_least(0.0).up_to(1000.0);
        /// Factor on the learning rate of the head.
        head_factor: f64 = 1.0, at_least(0.0).up_to(1000.0);
        /// The norm over all gradients is cut to this; without it nothing is cut.
        clip_norm: Option<f64> = Some(5.0), above(0.0);
    }
}

settings! {
    /// Adam with decoupled weight decay.
    pub struct AdamWSettings {
        /// The learning rate that the schedule multiplies.
        learning_rate: f64 = 1e-3, above(0.0).up_to(10.0);
        /// Decay of the mean of gradients.
        beta1: f64 = 0.9, within(0.0, 0.9999);
        /// Decay of the mean of squared gradients.
        beta2: f64 = 0.999, within(0.0, 0.99999);
        /// Added to the root of the mean square.
        epsilon: f64 = 1e-8, above(0.0).up_to(1.0);
        /// Decoupled weight decay.
        weight_decay: f64 = 0.05, within(0.0, 1.0);
        /// Whether norm, bias and PReLU parameters decay as well.
        decay_all: bool = false;
        /// Factor on the learning rate of the backbone.
        backbone_factor: f64 = 1.0, at_least(0.0).up_to(1000.0);
        /// Factor on the learning rate of the head.
        head_factor: f64 = 1.0, at_least(0.0).up_to(1000.0);
        /// The norm over all gradients is cut to this; without it nothing is cut.
        clip_norm: Option<f64> = Some(5.0), above(0.0);
    }
}

kinds! {
    /// How gradients become steps: `[optimizer]`.
    pub enum OptimizerConfig {
        /// Stochastic gradient descent with momentum.
        Sgd(SgdSettings) = "sgd",
        /// Adam with decoupled weight decay.
        AdamW(AdamWSettings) = "adamw",
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(SgdSettings::default())
    }
}

impl OptimizerConfig {
    /// What no single key can say.
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        match self {
            Self::Sgd(c) if c.nesterov && c.momentum == 0.0 => Err(SettingsError::conflict(
                "optimizer.nesterov",
                "has no effect with optimizer.momentum = 0",
            )),
            Self::Sgd(c) if c.decay_all && c.weight_decay == 0.0 => Err(no_decay()),
            Self::AdamW(c) if c.decay_all && c.weight_decay == 0.0 => Err(no_decay()),
            _ => Ok(()),
        }
    }

    /// The optimizer, with two groups: parameters that decay and those that do not.
    pub fn init(&self) -> Optimizer {
        let gradient_factor = GradientFactor::default();
        let groups = match self {
            Self::Sgd(c) => {
                let with_decay = |weight_decay| Sgd {
                    momentum: c.momentum,
                    nesterov: c.nesterov,
                    weight_decay,
                    gradient_factor: gradient_factor.clone(),
                };
                groups(with_decay, c.weight_decay, c.decay_all)
            }
            Self::AdamW(c) => {
                let with_decay = |weight_decay| AdamW {
                    beta1: c.beta1,
                    beta2: c.beta2,
                    epsilon: c.epsilon,
                    weight_decay,
                    gradient_factor: gradient_factor.clone(),
                };
                groups(with_decay, c.weight_decay, c.decay_all)
            }
        };
        Optimizer { groups, gradient_factor }
    }

    /// Numbers that are kept for each parameter.
    pub(crate) fn slots(&self) -> u32 {
        match self {
            Self::Sgd(c) => u32::from(c.momentum > 0.0),
            Self::AdamW(_) => 2,
        }
    }

    /// Arrays as long as the parameters that pass through the memory in a step: the gradient is read, weights and
    /// what is kept for them are read and written.
    pub(crate) fn passes(&self) -> u32 {
        1 + 2 * (1 + self.slots())
    }

    /// Norm to which the gradients are cut.
    pub(crate) fn clip_norm(&self) -> Option<f64> {
        match self {
            Self::Sgd(c) => c.clip_norm,
            Self::AdamW(c) => c.clip_norm,
        }
    }

    /// The learning rate of each parameter when the schedule is at `factor`, and that of the backbone.
    pub fn learning_rate(&self, factor: f64) -> (ModuleLearningRate, f64) {
        let (rate, backbone, head) = match self {
            Self::Sgd(c) => (c.learning_rate, c.backbone_factor, c.head_factor),
            Self::AdamW(c) => (c.learning_rate, c.backbone_factor, c.head_factor),
        };
        // Compiled once and not at each step.
        static HEAD: LazyLock<ParamGroup> = LazyLock::new(|| group(r"^head(\.|$)"));
        let (backbone, head) = (rate * factor * backbone, rate * factor * head);
        (ModuleLrScheduler::new(Now(backbone)).with_group(HEAD.clone(), Now(head)).step(), backbone)
    }
}

fn no_decay() -> SettingsError {
    SettingsError::conflict("optimizer.decay_all", "has no effect with optimizer.weight_decay = 0")
}

/// Norm, bias and PReLU parameters, by the names Burn gives them.
fn undecayed() -> ParamGroup {
    group(r"(^|\.)(bias|gamma|beta|alpha)$")
}

fn group(pattern: &str) -> ParamGroup {
    ParamGroup::from_regex(pattern).expect("the pattern is a constant of this file")
}

fn groups<O: burn::optim::Optimizer>(
    with_decay: impl Fn(f64) -> O,
    weight_decay: f64,
    decay_all: bool,
) -> ModuleOptimizer {
    let decaying = ModuleOptimizer::from(with_decay(weight_decay));
    if decay_all { decaying } else { decaying.with_group(undecayed(), with_decay(0.0), None) }
}

/// An optimizer with its state.
#[derive(Clone)]
pub struct Optimizer {
    groups: ModuleOptimizer,
    /// Shared with the groups.
    gradient_factor: GradientFactor,
}

impl Optimizer {
    /// The module after one step, with gradients that are first multiplied by `gradient_factor`. Parameters
    /// that no clone of `module` shares are changed where they are.
    pub fn step<M: Module>(
        &mut self,
        rates: ModuleLearningRate,
        module: M,
        grads: GradientsParams,
        gradient_factor: f64,
    ) -> M {
        self.gradient_factor.set(gradient_factor);
        self.groups.step(rates, module, grads)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let bytes = self.groups.to_record().into_bytes().map_err(|error| format!("{error:?}"))?;
        Ok(bytes.to_vec())
    }

    /// Takes the state that [`Optimizer::to_bytes`] wrote.
    pub(crate) fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let bytes = Bytes::from_bytes_vec(bytes.to_vec());
        let groups = self.groups.clone();
        // Burn reads the container with care and panics on contents that are none of an optimizer's.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let loaded = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let record = OptimizerRecord::from_bytes(bytes).map_err(|error| format!("{error:?}"))?;
            Ok(groups.load_record(record))
        }));
        std::panic::set_hook(hook);
        self.groups = loaded.unwrap_or_else(|_| Err("it holds no optimizer state".to_owned()))?;
        Ok(())
    }
}

/// A learning rate computed elsewhere, as Burn's scheduler interface wants it.
#[derive(Clone)]
struct Now(LearningRate);

impl LrScheduler for Now {
    fn step(&mut self) -> LearningRate {
        self.0
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new()
    }

    fn load_record(&mut self, _record: LrSchedulerRecord) {}
}

/// The square of the norm over all gradients of `module`.
pub(crate) fn squared_norm<M: Module>(module: &M, grads: &GradientsParams) -> SquaredNorm {
    struct Sum<'a>(&'a GradientsParams, SquaredNorm);
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1.add(grad);
            }
        }
    }
    let mut sum = Sum(grads, SquaredNorm::default());
    module.visit(&mut sum);
    sum.1
}
