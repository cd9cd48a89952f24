//! The weights of a module as a safetensors file.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Tensor, TensorData},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// What is done with each float parameter of a module.
pub trait ParameterVisitor {
    /// The parameter called `name`, such as `layers.0.conv.weight`.
    fn parameter<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>);
}

/// What each float parameter of a module becomes.
pub trait ParameterMapper {
    /// The parameter called `name`, such as `layers.0.conv.weight`.
    fn parameter<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Shows every parameter of `module` to `visitor`.
pub fn visit_parameters<M: Module>(module: &M, visitor: &mut impl ParameterVisitor) {
    module.visit(&mut Named(Vec::new(), visitor));
}

/// `module` with every parameter as `mapper` makes it.
pub fn map_parameters<M: Module>(module: M, mapper: &mut impl ParameterMapper) -> M {
    module.map(&mut Named(Vec::new(), mapper))
}

/// A traversal of a module, with the names of the parts that it is in.
struct Named<'a, T>(Vec<String>, &'a mut T);

impl<T: ParameterVisitor> ModuleVisitor for Named<'_, T> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.1.parameter(&self.0.join("."), param);
    }
}

impl<T: ParameterMapper> ModuleMapper for Named<'_, T> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.1.parameter(&self.0.join("."), param)
    }
}

/// Weights and running statistics of `module` as a safetensors file, with `metadata` under the key `facegrad`.
///
/// Equal weights and metadata give equal bytes.
pub fn to_safetensors<M: Module>(module: &M, metadata: &str) -> Result<Vec<u8>, String> {
    struct Collect(BTreeMap<String, (Vec<usize>, Vec<u8>)>, Option<String>);
    impl ParameterVisitor for Collect {
        fn parameter<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            let shape = data.shape().to_vec();
            match data.try_to_vec::<f32>() {
                Ok(values) => {
                    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    self.0.insert(name.into(), (shape, bytes));
                }
                Err(error) => self.1 = Some(format!("{name} is not f32: {error:?}")),
            }
        }
    }
    let mut collect = Collect(BTreeMap::new(), None);
    // Burn keeps the newest running statistics aside until the next forward pass; `valid` takes them in.
    visit_parameters(&module.valid(), &mut collect);
    if let Some(error) = collect.1 {
        return Err(error);
    }
    let views = collect.0.iter().map(|(name, (shape, bytes))| {
        TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    // One key only: the map has no order of its own.
    let metadata = std::collections::HashMap::from([("facegrad".to_owned(), metadata.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// The metadata that [`to_safetensors`] wrote.
pub fn safetensors_metadata(bytes: &[u8]) -> Result<String, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let metadata = header.metadata().as_ref().and_then(|m| m.get("facegrad"));
    metadata.cloned().ok_or_else(|| "it was not written by facegrad".into())
}

/// The file `bytes` with other metadata: the tensors and their order are the same bytes.
pub fn with_metadata(bytes: &[u8], metadata: &str) -> Result<Vec<u8>, String> {
    let (header, tensors) = split(bytes)?;
    let mut header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let own = header.entry("__metadata__").or_insert_with(|| serde_json::json!({}));
    own.as_object_mut().ok_or("its metadata is no object")?.insert("facegrad".into(), metadata.into());
    let mut header = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    // The format asks for tensors at multiples of eight and allows spaces for that.
    header.resize(header.len().next_multiple_of(8), b' ');
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, tensors].concat();
    // Headers have a largest size.
    SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// SHA-256 of the tensors of a safetensors file, in the order in which they are stored.
pub fn tensors_sha256(bytes: &[u8]) -> Result<String, String> {
    Ok(facegrad_files::sha256(split(bytes)?.1))
}

/// The header and the tensors of a safetensors file.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (length, _) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    bytes.get(8..).and_then(|rest| rest.split_at_checked(length)).ok_or_else(|| "it ends early".into())
}

/// Loads the weights of a safetensors file into `module`: every parameter must be there in its shape, and
/// nothing else.
pub fn from_safetensors<M: Module>(module: M, bytes: &[u8]) -> Result<M, String> {
    struct Load<'a>(SafeTensors<'a>, usize, Result<(), String>);
    impl Load<'_> {
        fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
            let view = self.0.tensor(name).map_err(|_| format!("it holds no {name}"))?;
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
    impl ParameterMapper for Load<'_> {
        fn parameter<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape: [usize; D] = param.val().dims();
            match self.values(name, &shape) {
                Ok(values) => {
                    self.1 += 1;
                    param.map(|old| {
                        let new = Tensor::from_data(TensorData::new(values, shape), &old.device());
                        if old.is_require_grad() { new.require_grad() } else { new }
                    })
                }
                Err(error) => {
                    self.2 = self.2.clone().and(Err(error));
                    param
                }
            }
        }
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let held = tensors.len();
    let mut load = Load(tensors, 0, Ok(()));
    let module = map_parameters(module, &mut load);
    load.2?;
    if load.1 != held {
        return Err(format!("it holds {held} tensors and the network has {}", load.1));
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use facegrad_backbones::{Backbone, BackboneConfig, IResNetConfig};
    use facegrad_devices::{Backend, choose};

    use super::*;

    #[test]
    fn new_metadata_leaves_the_tensors_as_they_are() {
        // The tensors are not in the order of their names, and another program's metadata is there.
        let header = br#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"__metadata__":{"facegrad":"old","other":"kept"}}"#;
        let mut header = header.to_vec();
        header.resize(header.len().next_multiple_of(8), b' ');
        let data: Vec<u8> = (0..12).collect();
        let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
        let new = with_metadata(&file, "line\n\"quoted\" é").unwrap();
        assert_eq!(safetensors_metadata(&new).unwrap(), "line\n\"quoted\" é");
        let (_, kept) = SafeTensors::read_metadata(&new).unwrap();
        assert_eq!(kept.metadata().as_ref().unwrap()["other"], "kept");
        assert!(new.ends_with(&data) && (new.len() - data.len()).is_multiple_of(8));
        let tensors = SafeTensors::deserialize(&new).unwrap();
        assert_eq!(tensors.tensor("a").unwrap().data(), &data[4..]);
        assert_eq!(tensors.tensor("b").unwrap().data(), &data[..4]);
        assert_eq!(tensors_sha256(&new).unwrap(), facegrad_files::sha256(&data));
        assert_eq!(tensors_sha256(&file).unwrap(), tensors_sha256(&new).unwrap());
        for broken in [&file[..7], &file[..40], &file[..file.len() - 1], b""] {
            assert!(with_metadata(broken, "").is_err());
        }
    }

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

    #[test]
    fn squeeze_and_excitation_is_saved_and_loaded_with_its_block() {
        let device = choose(Backend::Flex, None).unwrap().device;
        let keys = IResNetConfig { embedding: 8, squeeze_excitation: true, ..IResNetConfig::default() };
        let of_seed = |seed| BackboneConfig::IResNet18(keys.clone()).init([32, 32], seed, &device).unwrap();
        let (saved, bytes) = (of_seed(1), to_safetensors(&of_seed(1), "").unwrap());
        let loaded = from_safetensors(of_seed(2), &bytes).unwrap();
        assert_eq!(to_safetensors(&loaded, "").unwrap(), bytes);
        let embed = |backbone: Backbone| backbone.into_inference().unwrap().run(&[0.5; 32 * 32 * 3], 1);
        assert_eq!(embed(loaded), embed(saved));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, shape) in [("reduce", [64, 4]), ("expand", [4, 64])] {
            let name = format!("layers.3.Residual.body.6.SqueezeExcitation.{name}.weight");
            assert_eq!(file.tensor(&name).unwrap().shape(), shape);
        }
        // A network without it takes no such file.
        let plain = BackboneConfig::IResNet18(IResNetConfig { squeeze_excitation: false, ..keys.clone() });
        let plain = plain.init([32, 32], 1, &device).unwrap();
        assert!(from_safetensors(plain, &bytes).unwrap_err().contains("tensors and the network has"));
    }
}
