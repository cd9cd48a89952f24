//! How gradients become steps: SGD and AdamW, parameter groups, learning-rate factors, gradient clipping.

use std::{collections::BTreeMap, sync::LazyLock};

use burn::{
    lr_scheduler::{
        LrScheduler, LrSchedulerRecord,
        module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    },
    module::{Module, ModuleVisitor, Param, ParamGroup},
    optim::{GradientsParams, LearningRate, ModuleOptimizer, OptimizerRecord},
    tensor::{Bytes, Tensor},
};
use burn_pack::Reader;
use facegrad_settings::{SettingsError, above, at_least, kinds, settings, within};

use crate::update::{GradientFactor, SquaredNorm, Update};

settings! {
    /// What every optimizer is told of the parameters and their gradients.
    pub struct ParameterSettings {
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
        ..parameters: ParameterSettings;
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
        ..parameters: ParameterSettings;
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
        let conflict = |key: &str, other| {
            Err(SettingsError::conflict(
                format!("optimizer.{key}"),
                format!("has no effect with optimizer.{other} = 0"),
            ))
        };
        let (_, decay, &ParameterSettings { decay_all, backbone_factor, head_factor, .. }) = self.common();
        if backbone_factor == 0.0 && head_factor == 0.0 {
            let problem =
                "and optimizer.head_factor are both 0, so that no weight would move; give one of them more";
            return Err(SettingsError::conflict("optimizer.backbone_factor", problem));
        }
        match self {
            Self::Sgd(c) if c.nesterov && c.momentum == 0.0 => conflict("nesterov", "momentum"),
            _ if decay_all && decay == 0.0 => conflict("decay_all", "weight_decay"),
            _ => Ok(()),
        }
    }

    /// The optimizer, with two groups: parameters that decay and those that do not.
    pub fn init(&self) -> Optimizer {
        let gradient_factor = GradientFactor::default();
        let decay_all = self.common().2.decay_all;
        let groups = match self {
            Self::Sgd(c) => {
                groups(c, SgdSettings { weight_decay: 0.0, ..c.clone() }, decay_all, &gradient_factor)
            }
            Self::AdamW(c) => {
                groups(c, AdamWSettings { weight_decay: 0.0, ..c.clone() }, decay_all, &gradient_factor)
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

    /// Whether the backbone stays as it was drawn.
    pub(crate) fn freezes_backbone(&self) -> bool {
        self.common().2.backbone_factor == 0.0
    }

    /// Norm to which the gradients are cut.
    pub(crate) fn clip_norm(&self) -> Option<f64> {
        self.common().2.clip_norm
    }

    /// Learning rate, weight decay, and what is common to all kinds.
    fn common(&self) -> (f64, f64, &ParameterSettings) {
        match self {
            Self::Sgd(c) => (c.learning_rate, c.weight_decay, &c.parameters),
            Self::AdamW(c) => (c.learning_rate, c.weight_decay, &c.parameters),
        }
    }

    /// The learning rate of each parameter when the schedule is at `factor`, and that of the backbone.
    pub fn learning_rate(&self, factor: f64) -> (ModuleLearningRate, f64) {
        let (rate, _, parameters) = self.common();
        // Compiled once and not at each step.
        static HEAD: LazyLock<ParamGroup> = LazyLock::new(|| group(r"^head(\.|$)"));
        let (backbone, head) =
            (rate * factor * parameters.backbone_factor, rate * factor * parameters.head_factor);
        (
            ModuleLrScheduler::new(FixedRate(backbone)).with_group(HEAD.clone(), FixedRate(head)).step(),
            backbone,
        )
    }
}

/// Norm, bias and PReLU parameters, by the names Burn gives them.
fn undecayed() -> ParamGroup {
    group(r"(^|\.)(bias|gamma|beta|alpha)$")
}

fn group(pattern: &str) -> ParamGroup {
    ParamGroup::from_regex(pattern).expect("the pattern is a constant of this file")
}

/// The optimizer of `settings`, and of `undecaying` for the parameters that do not decay.
fn groups<S: Clone>(
    settings: &S,
    undecaying: S,
    decay_all: bool,
    gradient_factor: &GradientFactor,
) -> ModuleOptimizer
where
    Update<S>: burn::optim::Optimizer,
{
    let update = |settings| Update { settings, gradient_factor: gradient_factor.clone() };
    let decaying = ModuleOptimizer::from(update(settings.clone()));
    if decay_all { decaying } else { decaying.with_group(undecayed(), update(undecaying), None) }
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
        let container = || Bytes::from_bytes_vec(bytes.to_vec());
        check(Reader::from_bytes(container()).map_err(|error| format!("{error:?}"))?)?;
        let record = OptimizerRecord::from_bytes(container()).map_err(|error| format!("{error:?}"))?;
        self.groups = self.groups.clone().load_record(record);
        Ok(())
    }
}

/// An error unless a container holds the state of an optimizer. Burn reads containers with care and panics where
/// a tensor belongs to no parameter, has other axes than its parameter, or more than a tensor can have.
fn check(container: Reader) -> Result<(), String> {
    const MOST_AXES: u64 = 8;
    let ranks: BTreeMap<u64, u64> = container
        .scalars()
        .iter()
        .filter_map(|(name, rank)| {
            Some((name.strip_suffix(".__rank")?.parse().ok()?, (*rank).try_into().ok()?))
        })
        .collect();
    let tensors = container.into_tensors().map_err(|error| format!("{error:?}"))?;
    let fits = |tensor: &burn_pack::Tensor| {
        let rank = tensor.shape.num_dims() as u64;
        tensor.param_id.is_some_and(|id| *ranks.get(&id).unwrap_or(&rank) == rank && rank <= MOST_AXES)
    };
    match ranks.values().all(|rank| *rank <= MOST_AXES) && tensors.iter().all(fits) {
        true => Ok(()),
        false => Err("it holds no optimizer state".into()),
    }
}

/// A learning rate computed elsewhere, as Burn's scheduler interface wants it.
#[derive(Clone)]
struct FixedRate(LearningRate);

impl LrScheduler for FixedRate {
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

#[cfg(test)]
mod tests {
    use std::{
        panic,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use burn_pack::{DType, Scalar, Writer};

    use super::*;

    /// A container with a tensor of zeros of this shape for parameter 42, which says it has `rank` axes.
    fn container(shape: Vec<usize>, param_id: Option<u64>, rank: Option<usize>) -> Vec<u8> {
        let bytes = Bytes::from_bytes_vec(vec![0; 4 * shape.iter().product::<usize>()]);
        let tensor =
            burn_pack::Tensor::new("42.momentum.velocity".into(), DType::F32, shape, param_id, bytes);
        let writer = Writer::new(vec![tensor]);
        let writer = match rank {
            Some(rank) => writer.with_scalar("42.__rank", Scalar::from(rank)),
            None => writer,
        };
        writer.into_bytes().unwrap().to_vec()
    }

    #[test]
    fn what_is_no_state_of_an_optimizer_is_refused() {
        for kind in OptimizerConfig::KINDS {
            let load = |bytes: &[u8]| OptimizerConfig::of_kind(kind).unwrap().init().load(bytes);
            assert_eq!(load(&container(vec![2, 3], Some(42), Some(2))), Ok(()), "{kind}");
            assert_eq!(load(&container(vec![2, 3], Some(42), None)), Ok(()), "{kind}");
            for wrong in [
                container(vec![2, 3], None, Some(2)),
                container(vec![2, 3], Some(42), Some(1)),
                container(vec![2, 3], Some(42), Some(9)),
                container(vec![1; 9], Some(42), None),
            ] {
                assert_eq!(load(&wrong), Err("it holds no optimizer state".into()), "{kind}");
            }
            assert!(load(b"no container").is_err());
        }
    }

    #[test]
    fn panics_of_other_threads_are_heard_while_a_state_is_loaded() {
        const PANICS: usize = 2000;
        static HEARD: AtomicUsize = AtomicUsize::new(0);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match thread::current().name() {
            Some("panics") => _ = HEARD.fetch_add(1, Ordering::Relaxed),
            _ => before(info),
        }));
        let panics = thread::Builder::new()
            .name("panics".into())
            .spawn(|| (0..PANICS).for_each(|_| _ = panic::catch_unwind(|| panic!("heard"))))
            .unwrap();
        let mut optimizer = OptimizerConfig::default().init();
        let bytes = optimizer.to_bytes().unwrap();
        while !panics.is_finished() {
            optimizer.load(&bytes).unwrap();
        }
        panics.join().unwrap();
        assert_eq!(HEARD.load(Ordering::Relaxed), PANICS);
    }
}
