//! What is trained: a backbone with a head on it, its parameters under stable ids.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::Tensor,
};
use facegrad_backbones::Backbone;
use facegrad_losses::{Auxiliary, Head, Progress, RegularisationConfig};
use facegrad_recognition::weights::ParameterPath;
use sha2::{Digest, Sha256};

/// A backbone with a head on it.
#[derive(Module, Debug)]
pub struct Recognizer {
    /// Images to embeddings.
    pub backbone: Backbone,
    /// Embeddings to logits or a loss.
    pub head: Head,
    /// Losses on the embeddings beside the head's.
    pub auxiliary: Vec<Auxiliary>,
}

/// Gives every parameter an id that depends on its path only, so that the files of equal runs are equal and
/// optimizer state finds its parameter again in another process.
pub(crate) fn with_stable_ids<M: Module>(module: M) -> M {
    struct Rename(ParameterPath);
    impl ModuleMapper for Rename {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.enter(name);
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.exit();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let hash = Sha256::digest(self.0.name());
            let id = u64::from_le_bytes(hash[..8].try_into().expect("8 of 32 bytes"));
            let (_, tensor, mapper) = param.consume();
            Param::from_mapped_value(ParamId::from(id), tensor, mapper)
        }
    }
    module.map(&mut Rename(ParameterPath::default()))
}

/// Weight and penalty of each trained parameter that `config` picks, all together `[1]`; `None` if it picks none.
pub(crate) fn penalty<M: Module>(
    module: &M,
    config: &RegularisationConfig,
    progress: Progress,
) -> Option<Tensor<1>> {
    struct Sum<'a>(ParameterPath, &'a RegularisationConfig, Progress, Option<Tensor<1>>);
    impl ModuleVisitor for Sum<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.enter(name);
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !param.is_require_grad() {
                return;
            }
            if let Some(penalty) = self.1.penalty(&self.0.name(), param.val(), self.2) {
                self.3 = Some(match self.3.take() {
                    Some(sum) => sum + penalty,
                    None => penalty,
                });
            }
        }
    }
    let mut sum = Sum(ParameterPath::default(), config, progress, None);
    module.visit(&mut sum);
    sum.3
}

/// The names of the trained parameters.
pub(crate) fn parameter_names<M: Module>(module: &M) -> Vec<String> {
    struct Names(ParameterPath, Vec<String>);
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.enter(name);
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.1.push(self.0.name());
            }
        }
    }
    let mut names = Names(ParameterPath::default(), Vec::new());
    module.visit(&mut names);
    names.1
}
