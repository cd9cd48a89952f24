//! What is trained: a backbone with a head on it, its weights as bytes, its parameters under stable ids.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};
use facegrad_backbones::Backbone;
use facegrad_losses::{Auxiliary, Head, Progress, RegularisationConfig};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
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

/// The bytes of images as the values that networks take, (v − 127.5) / 127.5, in the same order.
pub(crate) fn normalised(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|value| (f32::from(*value) - 127.5) / 127.5).collect()
}

/// Images as the network takes them: RGB bytes `[images, height, width, 3]` to `[images, 3, height, width]`
/// with values (v − 127.5) / 127.5.
pub fn to_input(pixels: &[u8], [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
    let plane = height * width;
    let images = pixels.len() / (plane * 3);
    let mut values = vec![0.0f32; pixels.len()];
    for (image, out) in pixels.chunks_exact(plane * 3).zip(values.chunks_exact_mut(plane * 3)) {
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            for (pixel, out) in image.chunks_exact(3).zip(out) {
                *out = (f32::from(pixel[channel]) - 127.5) / 127.5;
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [images, 3, height, width]), device)
}

/// Gives every parameter an id that depends on its path only, so that the files of equal runs are equal and
/// optimizer state finds its parameter again in another process.
pub(crate) fn with_stable_ids<M: Module>(module: M) -> M {
    struct Rename(Path);
    impl ModuleMapper for Rename {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.0.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.0.pop();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let hash = Sha256::digest(self.0.name());
            let id = u64::from_le_bytes(hash[..8].try_into().expect("8 of 32 bytes"));
            let (_, tensor, mapper) = param.consume();
            Param::from_mapped_value(ParamId::from(id), tensor, mapper)
        }
    }
    module.map(&mut Rename(Path::default()))
}

/// Weight and penalty of each trained parameter that `config` picks, all together `[1]`; `None` if it picks none.
pub(crate) fn penalty<M: Module>(
    module: &M,
    config: &RegularisationConfig,
    progress: Progress,
) -> Option<Tensor<1>> {
    struct Sum<'a>(Path, &'a RegularisationConfig, Progress, Option<Tensor<1>>);
    impl ModuleVisitor for Sum<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.0.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.0.pop();
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
    let mut sum = Sum(Path::default(), config, progress, None);
    module.visit(&mut sum);
    sum.3
}

/// The names of the trained parameters.
pub(crate) fn parameter_names<M: Module>(module: &M) -> Vec<String> {
    struct Names(Path, Vec<String>);
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.0.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.1.push(self.0.name());
            }
        }
    }
    let mut names = Names(Path::default(), Vec::new());
    module.visit(&mut names);
    names.1
}

/// Where a traversal is, such as `backbone.layers.0.conv.weight`.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn name(&self) -> String {
        self.0.join(".")
    }
}

/// Weights and running statistics of `module` as a safetensors file, with `metadata` under the key `facegrad`.
///
/// Equal weights and metadata give equal bytes.
pub(crate) fn to_safetensors<M: Module>(module: &M, metadata: &str) -> Result<Vec<u8>, String> {
    struct Collect(Path, BTreeMap<String, (Vec<usize>, Vec<u8>)>, Option<String>);
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.0.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            let shape = data.shape().to_vec();
            match data.try_to_vec::<f32>() {
                Ok(values) => {
                    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    self.1.insert(self.0.name(), (shape, bytes));
                }
                Err(error) => self.2 = Some(format!("{} is not f32: {error:?}", self.0.name())),
            }
        }
    }
    let mut collect = Collect(Path::default(), BTreeMap::new(), None);
    // Burn keeps the newest running statistics aside until the next forward pass; `valid` takes them in.
    module.valid().visit(&mut collect);
    if let Some(error) = collect.2 {
        return Err(error);
    }
    let views = collect.1.iter().map(|(name, (shape, bytes))| {
        TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    // One key only: the map has no order of its own.
    let metadata = std::collections::HashMap::from([("facegrad".to_owned(), metadata.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// The metadata that [`to_safetensors`] wrote.
pub(crate) fn safetensors_metadata(bytes: &[u8]) -> Result<String, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let metadata = header.metadata().as_ref().and_then(|m| m.get("facegrad"));
    metadata.cloned().ok_or_else(|| "it was not written by facegrad".into())
}

/// Loads the weights of a safetensors file into `module`: every parameter must be there in its shape, and
/// nothing else.
pub(crate) fn from_safetensors<M: Module>(module: M, bytes: &[u8]) -> Result<M, String> {
    struct Load<'a>(Path, SafeTensors<'a>, usize, Result<(), String>);
    impl Load<'_> {
        fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
            let view = self.1.tensor(name).map_err(|_| format!("it holds no {name}"))?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                return Err(format!(
                    "its {name} is {:?} {:?}, not f32 {shape:?}",
                    view.dtype(),
                    view.shape()
                ));
            }
            let four = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            Ok(view.data().chunks_exact(4).map(four).collect())
        }
    }
    impl ModuleMapper for Load<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.0.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.0.pop();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape: [usize; D] = param.val().dims();
            match self.values(&self.0.name(), &shape) {
                Ok(values) => {
                    self.2 += 1;
                    param.map(|old| {
                        let new = Tensor::from_data(TensorData::new(values, shape), &old.device());
                        if old.is_require_grad() { new.require_grad() } else { new }
                    })
                }
                Err(error) => {
                    self.3 = self.3.clone().and(Err(error));
                    param
                }
            }
        }
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let held = tensors.len();
    let mut load = Load(Path::default(), tensors, 0, Ok(()));
    let module = module.map(&mut load);
    load.3?;
    if load.2 != held {
        return Err(format!("it holds {held} tensors and the network has {}", load.2));
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use facegrad_backbones::BackboneConfig;
    use facegrad_devices::{Backend, choose};

    use super::*;

    #[test]
    fn the_running_statistics_of_the_last_step_are_saved() {
        let device = choose(Backend::Flex, None).unwrap().device.autodiff();
        let backbone = BackboneConfig::of_kind("nano").unwrap().init([32, 32], 1, &device).unwrap();
        let running_mean = |backbone: &Backbone| {
            let bytes = to_safetensors(backbone, "").unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            file.tensor("layers.1.Norm.running_mean").unwrap().data().to_vec()
        };
        let images = |value: f32| Tensor::<4>::full([2, 3, 32, 32], value, &device);
        let initial = running_mean(&backbone);
        backbone.forward(images(1.0));
        let first = running_mean(&backbone);
        backbone.forward(images(-1.0));
        let second = running_mean(&backbone);
        assert_ne!(initial, first);
        assert_ne!(first, second);
        assert_eq!(second, running_mean(&backbone), "to save changes nothing");
    }
}
