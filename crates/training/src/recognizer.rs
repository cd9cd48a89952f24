//! What is trained: a backbone with a head on it, its parameters under stable ids.

use burn::{
    module::{Module, Param, ParamId},
    tensor::Tensor,
};
use facegrad_backbones::Backbone;
use facegrad_losses::{Auxiliary, Head, Progress, RegularisationConfig};
use facegrad_recognition::weights::{ParameterMapper, ParameterVisitor, map_parameters, visit_parameters};
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
    struct StableIds;
    impl ParameterMapper for StableIds {
        fn parameter<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let hash = Sha256::digest(name);
            let id = u64::from_le_bytes(hash[..8].try_into().expect("8 of 32 bytes"));
            let (_, tensor, mapper) = param.consume();
            Param::from_mapped_value(ParamId::from(id), tensor, mapper)
        }
    }
    map_parameters(module, &mut StableIds)
}

/// Weight and penalty of each trained parameter that `config` picks, all together `[1]`; `None` if it picks none.
pub(crate) fn penalty<M: Module>(
    module: &M,
    config: &RegularisationConfig,
    progress: Progress,
) -> Option<Tensor<1>> {
    struct Sum<'a>(&'a RegularisationConfig, Progress, Option<Tensor<1>>);
    impl ParameterVisitor for Sum<'_> {
        fn parameter<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            if !param.is_require_grad() {
                return;
            }
            if let Some(penalty) = self.0.penalty(name, param.val(), self.1) {
                self.2 = Some(match self.2.take() {
                    Some(sum) => sum + penalty,
                    None => penalty,
                });
            }
        }
    }
    let mut sum = Sum(config, progress, None);
    visit_parameters(module, &mut sum);
    sum.2
}

/// The names of the trained parameters.
pub(crate) fn parameter_names<M: Module>(module: &M) -> Vec<String> {
    struct Names(Vec<String>);
    impl ParameterVisitor for Names {
        fn parameter<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0.push(name.into());
            }
        }
    }
    let mut names = Names(Vec::new());
    visit_parameters(module, &mut names);
    names.0
}

/// Names and shapes of parameters.
pub(crate) type Shapes = Vec<(String, Vec<usize>)>;

/// Names and shapes of all parameters.
pub(crate) fn parameter_shapes<M: Module>(module: &M) -> Shapes {
    struct All(Shapes);
    impl ParameterVisitor for All {
        fn parameter<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            self.0.push((name.into(), param.dims().to_vec()));
        }
    }
    let mut shapes = All(Vec::new());
    visit_parameters(module, &mut shapes);
    shapes.0
}
