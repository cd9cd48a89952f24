//! How gradients become steps: SGD and AdamW, parameter groups, learning-rate factors, gradient clipping.

use std::{panic::AssertUnwindSafe, sync::LazyLock};

use burn::{
    lr_scheduler::{
        LrScheduler, LrSchedulerRecord,
        module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    },
    module::{Module, ModuleVisitor, Param, ParamGroup},
    optim::{
        AdamWConfig, GradientsParams, LearningRate, ModuleOptimizer, OptimizerRecord, SgdConfig,
        decay::WeightDecayConfig, momentum::MomentumConfig,
    },
    tensor::{Bytes, Tensor},
};
use facegrad_settings::{SettingsError, above, at_least, kinds, settings, within};

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

    /// Burn's optimizer with two groups: parameters that decay and those that do not.
    pub fn init(&self) -> ModuleOptimizer {
        match self {
            Self::Sgd(c) => {
                let momentum = (c.momentum > 0.0).then(|| {
                    MomentumConfig::new()
                        .with_momentum(c.momentum)
                        .with_dampening(0.0)
                        .with_nesterov(c.nesterov)
                });
                let plain = SgdConfig::new().with_momentum(momentum);
                let decaying =
                    plain.clone().with_weight_decay(Some(WeightDecayConfig::new(c.weight_decay as f32)));
                match c.decay_all {
                    true => decaying.init(),
                    false => decaying.init().with_group(undecayed(), plain.build(), None),
                }
            }
            Self::AdamW(c) => {
                let with_decay = |decay: f64| {
                    AdamWConfig::new()
                        .with_beta_1(c.beta1 as f32)
                        .with_beta_2(c.beta2 as f32)
                        .with_epsilon(c.epsilon as f32)
                        .with_weight_decay(decay as f32)
                };
                let decaying = with_decay(c.weight_decay).init();
                match c.decay_all {
                    true => decaying,
                    false => decaying.with_group(undecayed(), with_decay(0.0).build(), None),
                }
            }
        }
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

/// Gives `optimizer` the state that [`ModuleOptimizer::to_record`] wrote.
pub(crate) fn load(optimizer: ModuleOptimizer, bytes: &[u8]) -> Result<ModuleOptimizer, String> {
    let bytes = Bytes::from_bytes_vec(bytes.to_vec());
    // Burn reads the container with care and panics on contents that are none of an optimizer's.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let loaded = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let record = OptimizerRecord::from_bytes(bytes).map_err(|error| format!("{error:?}"))?;
        Ok(optimizer.load_record(record))
    }));
    std::panic::set_hook(hook);
    loaded.unwrap_or_else(|_| Err("it holds no optimizer state".into()))
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

/// The square of the norm over all gradients of `module`, `[1]`, still on the device.
pub(crate) fn squared_norm<M: Module>(module: &M, grads: &GradientsParams) -> Option<Tensor<1>> {
    struct Sum<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                let square = grad.square().sum();
                self.1 = Some(match self.1.take() {
                    Some(sum) => sum + square,
                    None => square,
                });
            }
        }
    }
    let mut sum = Sum(grads, None);
    module.visit(&mut sum);
    sum.1
}

/// Multiplies all gradients of `module` by `factor`.
pub(crate) fn scale<M: Module>(module: &M, grads: &mut GradientsParams, factor: f64) {
    struct Scale<'a>(&'a mut GradientsParams, f64);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, grad * self.1);
            }
        }
    }
    module.visit(&mut Scale(grads, factor));
}
