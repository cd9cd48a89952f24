use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::{
    module::{ModuleMapper, ModuleVisitor, Param},
    tensor::TensorData,
};
use facegrad_random::{Purpose, Stream};

use super::*;

fn config(text: &str) -> BackboneConfig {
    BackboneConfig::read(&toml::Value::Table(text.parse().unwrap()), &"backbone".into()).unwrap()
}

fn of_kind(kind: &str) -> BackboneConfig {
    BackboneConfig::of_kind(kind).unwrap()
}

fn nano() -> BackboneConfig {
    of_kind("nano")
}

/// Images of noise, uniform in −1 to 1.
fn images(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let mut stream = Stream::new(1, Purpose::Network, 0, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.range(-1.0, 1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Keeps other tests from drawing: the random state of a device belongs to the process.
pub(crate) fn draws_alone() -> MutexGuard<'static, ()> {
    static DRAWS: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing behind that matters.
    DRAWS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        // Written so that NaN fails.
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }
}

/// Names and element counts of the parameters, running statistics left out.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    /// Only those that are, or are not, trained. To ask draws the weights, so counting leaves it `None`.
    trained: Option<bool>,
    found: Vec<(String, usize)>,
}

impl Parameters {
    fn of(backbone: &Backbone, trained: Option<bool>) -> Vec<(String, usize)> {
        let mut this = Self { trained, ..Self::default() };
        backbone.visit(&mut this);
        this.found
    }
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let wanted = self.trained.is_none_or(|trained| param.is_require_grad() == trained);
        if wanted && !name.contains("running") {
            self.found.push((name, param.lazy_shape().num_elements()));
        }
    }
}

#[test]
fn costs_are_those_of_the_literature() {
    // Millions of parameters, 10^9 multiply-adds, at 112x112 with 512 numbers an embedding.
    let expected = [
        ("iresnet18", 24.03, 2.61),
        ("iresnet34", 34.14, 4.46),
        ("iresnet50", 43.59, 6.31),
        ("iresnet100", 65.16, 12.09),
        ("iresnet200", 118.83, 23.42),
        ("mobilefacenet", 1.20, 0.221),
        ("mobilefacenet_mbf", 2.06, 0.438),
        ("sfnet4", 14.4, 0.19),
        ("sfnet10", 17.1, 0.89),
        ("sfnet20", 24.5, 2.04),
        ("sfnet36", 34.6, 3.89),
        ("sfnet64", 50.0, 7.13),
    ];
    for (kind, parameters, multiply_adds) in expected {
        let cost = of_kind(kind).cost([112, 112]).unwrap();
        let millions = cost.parameters as f64 / 1e6;
        let billions = cost.multiply_adds as f64 / 1e9;
        let places: f64 = if kind.starts_with("sfnet") { 0.05 } else { 0.005 };
        assert!((millions - parameters).abs() <= places, "{kind}: {millions} M parameters");
        let places: f64 = if kind.starts_with("mobile") { 0.0005 } else { 0.005 };
        assert!((billions - multiply_adds).abs() <= places, "{kind}: {billions} G multiply-adds");
    }
    let millions = nano().cost([112, 112]).unwrap().parameters as f64 / 1e6;
    assert!((millions - 2.28).abs() <= 0.005, "nano: {millions} M parameters");
    assert_eq!(table([112, 112]).len(), BackboneConfig::KINDS.len());
}

#[test]
fn squeeze_and_excitation_adds_its_two_linear_layers_to_every_block() {
    for (kind, units) in [("iresnet18", [2, 2, 2, 2]), ("iresnet100", [3, 13, 30, 3])] {
        let plain = of_kind(kind).cost([112, 112]).unwrap();
        let config = config(&format!("kind = \"{kind}\"\nsqueeze_excitation = true"));
        let cost = config.cost([112, 112]).unwrap();
        let of_block = |channels: u64| 2 * channels * (channels / 16);
        let more: u64 =
            units.iter().zip([64, 128, 256, 512]).map(|(n, channels)| n * of_block(channels)).sum();
        let found = (cost.parameters - plain.parameters, cost.multiply_adds - plain.multiply_adds);
        assert_eq!(found, (more, more), "{kind}");
        let counted: usize = Parameters::of(&config.init([112, 112], 0, &Device::flex()).unwrap(), None)
            .iter()
            .map(|(_, count)| count)
            .sum();
        assert_eq!(counted as u64, cost.parameters, "{kind}");
        // Each has an operator of its own, and its output is a map in memory.
        let layers = |config: &BackboneConfig| config.plan([112, 112]).unwrap().operators().len();
        let blocks = units.iter().sum::<u64>() as usize;
        assert_eq!(
            layers(&config) - layers(&of_kind(kind)),
            2 * blocks,
            "a normalisation waits for the sum before"
        );
    }
}

#[test]
fn counted_parameters_are_those_of_the_module() {
    for kind in BackboneConfig::KINDS {
        for input in [[112, 112], [64, 48]] {
            let config = of_kind(kind);
            let backbone = config.init(input, 0, &Device::flex()).unwrap();
            let counted: usize = Parameters::of(&backbone, None).iter().map(|(_, count)| count).sum();
            assert_eq!(counted as u64, config.cost(input).unwrap().parameters, "{kind}");
        }
    }
}

#[test]
fn embeddings_have_their_shape_at_every_image_size() {
    let device = Device::flex();
    for (text, input, size) in [
        ("kind = \"nano\"", [112, 112], 256),
        ("kind = \"nano\"\nstem_stride = 1\nembedding = 64\nwidth = 0.5", [64, 64], 64),
        ("kind = \"mobilefacenet\"", [112, 96], 512),
        ("kind = \"mobilefacenet_mbf\"", [64, 64], 512),
        ("kind = \"sfnet10\"", [112, 96], 512),
        ("kind = \"iresnet18\"\nactivation = \"relu\"\nembedding = 128", [112, 96], 128),
    ] {
        let config = config(text);
        let backbone = config.init(input, 0, &device).unwrap();
        let output = backbone.valid().forward(images([2, 3, input[0], input[1]], &device));
        assert_eq!(output.dims(), [2, size], "{text}");
        assert_eq!((backbone.embedding_size(), config.embedding_size()), (size, size));
        assert!(values(output).iter().all(|x| x.is_finite()), "{text}");
    }
}

#[test]
fn every_trained_parameter_gets_a_gradient() {
    let device = Device::flex().autodiff();
    let kinds = ["nano", "mobilefacenet", "mobilefacenet_mbf", "sfnet20", "iresnet18"];
    let plain = kinds.map(|kind| (kind, of_kind(kind)));
    let squeezing = config("kind = \"iresnet18\"\nsqueeze_excitation = true");
    for (kind, config) in plain.into_iter().chain([("iresnet18", squeezing)]) {
        let backbone = config.init([32, 32], 0, &device).unwrap();
        let output = backbone.forward(images([4, 3, 32, 32], &device));
        // The sum of a normalised batch is constant, so weigh it.
        let weights = images([1, 4, 1, backbone.embedding_size()], &device).reshape(output.dims());
        let mut gradients = Gradients { gradients: (output * weights).sum().backward(), found: Vec::new() };
        backbone.visit(&mut gradients);
        let trained = Parameters::of(&backbone, Some(true));
        assert_eq!(trained.len(), gradients.found.len(), "{kind}");
        for ((name, _), norm) in trained.iter().zip(&gradients.found) {
            assert!(norm.is_finite() && *norm > 0.0, "{kind}: {name} has a gradient of norm {norm}");
        }
        let all = Parameters::of(&backbone, None).len();
        let held = if kind == "nano" || kind == "iresnet18" { 1 } else { 0 };
        assert_eq!(all - trained.len(), held, "{kind}");
    }
}

struct Gradients {
    gradients: burn::tensor::Gradients,
    found: Vec<f32>,
}

impl ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let gradient = param.val().grad(&self.gradients);
            self.found.push(gradient.map_or(f32::NAN, |g| g.square().sum().sqrt().into_scalar()));
        }
    }
}

/// A network's results in training and evaluation: the embeddings, the gradients of all parameters and the
/// images, and the running statistics.
fn results(text: &str, shape: [usize; 4], device: &Device, run: Run) -> Results {
    let training = device.clone().autodiff();
    let [batch, _, height, width] = shape;
    let backbone = config(text).init([height, width], 0, &training).unwrap();
    let input = images(shape, &training).require_grad();
    let mut found = Results::new();
    let forward = |backbone: &Backbone, input: Tensor<4>| backbone.embed.forward(run(backbone, input));
    if text.contains("squeeze_excitation") {
        settle(&backbone, &input);
    }
    for step in 0..2 {
        let output = forward(&backbone, input.clone());
        let weights = images([1, batch, 1, backbone.embedding_size()], &training).reshape(output.dims());
        let gradients = (output.clone() * weights).sum().backward();
        found.push((format!("{step}: embeddings"), values(output)));
        found.push((format!("{step}: images"), values(input.grad(&gradients).unwrap())));
        backbone.visit(&mut Named { gradients: Some(gradients), path: Vec::new(), found: &mut found });
    }
    let evaluated = backbone.valid();
    let input = images(shape, device);
    found.push(("evaluated".into(), values(forward(&evaluated, input))));
    evaluated.visit(&mut Named { gradients: None, path: Vec::new(), found: &mut found });
    let frozen = backbone.freeze();
    let input = images(shape, &training).require_grad();
    let output = forward(&frozen, input.clone());
    let gradients = output.clone().sum().backward();
    found.push(("frozen".into(), values(output)));
    found.push(("frozen: images".into(), values(input.grad(&gradients).unwrap())));
    found
}

/// Brings the running statistics near those of `images`. With others the maps grow from block to block, and a sigmoid of
/// large numbers makes a step of what was rounding.
fn settle(backbone: &Backbone, images: &Tensor<4>) {
    (0..20).for_each(|_| drop(fused(backbone, images.clone().detach())));
}

/// The layers up to the embedding.
type Run = fn(&Backbone, Tensor<4>) -> Tensor<4>;

fn composed(backbone: &Backbone, images: Tensor<4>) -> Tensor<4> {
    layers::composed(&backbone.layers, images)
}

fn fused(backbone: &Backbone, images: Tensor<4>) -> Tensor<4> {
    fused::run(&backbone.plan, &backbone.layers, images)
}

/// Numbers by name.
type Results = Vec<(String, Vec<f32>)>;

/// Collects the gradients, or without these the running statistics.
struct Named<'a> {
    gradients: Option<burn::tensor::Gradients>,
    path: Vec<String>,
    found: &'a mut Results,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let found = match &self.gradients {
            Some(gradients) if param.is_require_grad() => param.val().grad(gradients),
            Some(_) => None,
            None => self.path.last().is_some_and(|name| name.starts_with("running")).then(|| param.val()),
        };
        if let Some(found) = found {
            self.found.push((self.path.join("."), values(found)));
        }
    }
}

/// Of the largest number of each result, but at least of this: the gradient of what the next normalisation takes
/// away again is 0 but for rounding.
const SMALL: f32 = 0.05;

/// The largest difference found was 1.2e-4.
const ROUNDING: f32 = 3e-4;

/// Of the largest number of the embeddings.
const FOLDING: f32 = 1e-5;

#[test]
fn the_kernels_compute_what_the_layers_do_one_by_one() {
    let device = |backend| facegrad_devices::choose(backend, None).unwrap().device;
    let built_in = facegrad_devices::Backend::built_in();
    // The layers one by one take long: small images where there are many channels.
    for (text, shape) in [
        ("kind = \"nano\"\nwidth = 0.25\nembedding = 16", [6, 3, 32, 32]),
        (
            "kind = \"nano\"\nwidth = 0.25\nembedding = 16\nactivation = \"leaky_relu\"\nstem_stride = 1",
            [3, 3, 32, 32],
        ),
        ("kind = \"nano\"\nwidth = 0.25\nembedding = 16\nactivation = \"relu\"", [6, 3, 32, 32]),
        ("kind = \"nano\"\nwidth = 0.25\nembedding = 16\nactivation = \"fast_sigmoid\"", [6, 3, 32, 32]),
        ("kind = \"mobilefacenet_mbf\"\nembedding = 16", [4, 3, 32, 16]),
        ("kind = \"sfnet10\"\nembedding = 16", [2, 3, 16, 32]),
        ("kind = \"iresnet18\"\nembedding = 16\nactivation = \"elu\"", [4, 3, 16, 32]),
        ("kind = \"iresnet18\"\nembedding = 16\nsqueeze_excitation = true", [4, 3, 32, 16]),
    ] {
        let expected = results(text, shape, &device(facegrad_devices::Backend::Flex), composed);
        for backend in built_in.iter().copied().filter(|b| *b != facegrad_devices::Backend::Wgpu) {
            let found = results(text, shape, &device(backend), fused);
            assert_eq!(found.len(), expected.len());
            for ((name, found), (expected_name, expected)) in found.iter().zip(&expected) {
                assert_eq!(name, expected_name);
                let largest = expected.iter().fold(SMALL, |most, x| most.max(x.abs()));
                let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                // Written so that NaN fails.
                let close = far.clone().all(|far| far <= ROUNDING * largest);
                let far = far.fold(0.0, f32::max);
                assert!(close, "{text:?} on {backend}, {name}: off by {far:e} of {largest:e}");
            }
        }
    }
}

#[test]
fn the_kernels_draw_the_slopes_of_rrelu_that_the_layers_one_by_one_do() {
    let _alone = draws_alone();
    for text in ["kind = \"nano\"\nwidth = 0.25\nembedding = 16", "kind = \"sfnet10\"\nembedding = 16"] {
        let text = format!("{text}\nactivation = \"rrelu\"");
        for backend in facegrad_devices::Backend::built_in() {
            // The layers of the larger network take a minute on ndarray, whose draws the smaller one shows.
            let is_slow = backend == facegrad_devices::Backend::NdArray && text.contains("sfnet10");
            if backend == facegrad_devices::Backend::Wgpu || is_slow {
                continue;
            }
            let device = facegrad_devices::choose(backend, None).unwrap().device;
            let seeded = |run: Run| {
                device.seed(8);
                results(&text, [4, 3, 20, 17], &device, run)
            };
            let (found, expected) = (seeded(fused), seeded(composed));
            assert_eq!(found.len(), expected.len());
            for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                let largest = expected.iter().fold(SMALL, |most, x| most.max(x.abs()));
                // Written so that NaN fails.
                let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= ROUNDING * largest);
                assert!(close, "{text:?} on {backend}: {name}");
            }
        }
    }
}

/// Changes every parameter and running statistic a little; what is positive stays so.
struct Vary(Stream);

impl ModuleMapper for Vary {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let (shape, device) = (tensor.dims(), tensor.device());
        let mut values = values(tensor);
        values.iter_mut().for_each(|x| *x *= self.0.range(0.7, 1.3));
        let scale = values.iter().fold(0.0f32, |most, x| most.max(x.abs())) * 0.02 + 0.01;
        values.iter_mut().for_each(|x| *x += self.0.range(0.0, scale));
        Param::from_mapped_value(id, Tensor::from_data(TensorData::new(values, shape), &device), mapper)
    }
}

/// The network of `text` with numbers that no initialisation gives.
fn varied(text: &str, input: [usize; 2]) -> Backbone {
    let backbone = config(text).init(input, 0, &Device::flex()).unwrap();
    backbone.map(&mut Vary(Stream::new(2, Purpose::Network, 0, 0)))
}

/// The embeddings of a network made ready for inference, and those of the layers one by one.
fn both_ways(backbone: Backbone, images: Tensor<4>) -> [Vec<f32>; 2] {
    let [batch, ..] = images.dims();
    let channels_last = values(images.clone().permute([0, 2, 3, 1]));
    let expected = values(backbone.embed.forward(layers::composed(&backbone.layers, images)));
    let network = backbone.into_inference().unwrap();
    [network.run(&channels_last, batch), expected]
}

#[test]
fn a_network_made_ready_for_inference_embeds_like_its_layers() {
    for (text, input) in [
        ("kind = \"nano\"\nembedding = 16", [48, 32]),
        ("kind = \"nano\"\nembedding = 16\nactivation = \"relu\"\nstem_stride = 1", [32, 32]),
        ("kind = \"nano\"\nembedding = 16\nactivation = \"leaky_relu\"\ndropout = 0.5", [32, 48]),
        ("kind = \"nano\"\nembedding = 16\nactivation = \"rrelu\"", [32, 32]),
        ("kind = \"mobilefacenet\"\nembedding = 16", [32, 48]),
        ("kind = \"mobilefacenet_mbf\"\nembedding = 16", [48, 32]),
        ("kind = \"sfnet10\"\nembedding = 16", [32, 48]),
        ("kind = \"iresnet18\"\nembedding = 16", [48, 64]),
        ("kind = \"iresnet18\"\nembedding = 16\nsqueeze_excitation = true", [48, 64]),
    ] {
        let backbone = match text.contains("squeeze_excitation") {
            true => {
                let device = Device::flex().autodiff();
                let backbone = config(text).init(input, 0, &device).unwrap();
                settle(&backbone, &images([8, 3, input[0], input[1]], &device));
                backbone.valid()
            }
            false => varied(text, input),
        };
        for batch in [1, 3, 9] {
            let [found, expected] =
                both_ways(backbone.clone(), images([batch, 3, input[0], input[1]], &Device::flex()));
            let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let far: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
            // Written so that NaN fails.
            let close = far.iter().all(|far| *far <= FOLDING * largest);
            let far = far.into_iter().fold(0.0, f32::max);
            assert!(close, "{text:?}, {batch} images: off by {far:e} of {largest:e}");
        }
    }
}

#[test]
fn a_network_is_made_ready_for_inference_where_the_kernels_have_all_of_it() {
    for activation in Activation::ALL {
        let config = config(&format!("kind = \"nano\"\nactivation = \"{activation}\""));
        let backbone = config.init([32, 32], 0, &Device::flex().autodiff()).unwrap();
        let has_slopes = matches!(activation.as_str(), "prelu" | "relu" | "leaky_relu" | "rrelu");
        assert_eq!(backbone.into_inference().is_ok(), has_slopes, "{activation}");
    }
}

#[test]
fn nan_in_an_image_is_nan_in_its_embedding_alone() {
    for text in ["kind = \"nano\"\nactivation = \"relu\"", "kind = \"mobilefacenet_mbf\""] {
        let network = varied(text, [32, 32]).into_inference().unwrap();
        let mut pixels = values(images([3, 32, 32, 3], &Device::flex()));
        pixels[32 * 32 * 3 + 1000] = f32::NAN;
        let embeddings = network.run(&pixels, 3);
        for (image, embedding) in embeddings.chunks_exact(embeddings.len() / 3).enumerate() {
            assert!(embedding.iter().all(|x| x.is_nan() == (image == 1)), "{text:?}: image {image}");
        }
    }
}

#[test]
fn the_scale_of_the_embedding_stays_held_through_a_round_trip_to_evaluation() {
    let device = Device::flex().autodiff();
    let backbone = nano().init([32, 32], 0, &device).unwrap();
    for backbone in [backbone.valid().train(), backbone] {
        assert_eq!(Parameters::of(&backbone, Some(false)), [("embed.norm.gamma".to_string(), 256)]);
    }
}

#[test]
fn an_evaluated_embedding_depends_on_its_own_image_only() {
    let device = Device::flex();
    let training = nano().init([32, 32], 0, &device.clone().autodiff()).unwrap();
    // One training pass, so that the running statistics are not those of a fresh network.
    training.forward(images([8, 3, 32, 32], &device.clone().autodiff()));
    let backbone = training.valid();
    let batch = images([5, 3, 32, 32], &device);
    let together = values(backbone.forward(batch.clone()));
    assert_eq!(together, values(backbone.forward(batch.clone())));
    let alone: Vec<f32> =
        (0..5).flat_map(|i| values(backbone.forward(batch.clone().narrow(0, i, 1)))).collect();
    assert_close(&alone, &together, 1e-4);
    assert!(together[..256] != together[256..512], "two images, one embedding");
}

#[test]
fn the_seed_decides_the_weights() {
    let device = Device::flex();
    let output = |seed, device: &Device| {
        let backbone = nano().init([32, 32], seed, device).unwrap();
        values(backbone.valid().forward(images([1, 3, 32, 32], &Device::flex())))
    };
    let base = output(1, &device);
    assert_eq!(base, output(1, &device.clone().autodiff()));
    device.seed(9);
    assert_eq!(base, output(1, &device), "the random state of the device plays no part");
    assert_ne!(base, output(2, &device));
}

#[test]
fn dropout_acts_in_training_only() {
    let _alone = draws_alone();
    let device = Device::flex();
    let training = device.clone().autodiff();
    let with = |dropout: &str| {
        // The network without normalisation, so that training differs from evaluation by dropout alone.
        let config = config(&format!("kind = \"sfnet4\"\ndropout = {dropout}"));
        config.init([32, 32], 0, &training).unwrap()
    };
    let (dropping, keeping) = (with("0.5"), with("0.0"));
    let batch = images([2, 3, 32, 32], &device);
    let evaluated = values(dropping.valid().forward(batch.clone()));
    assert_eq!(evaluated, values(keeping.valid().forward(batch.clone())));
    let trained = |backbone: &Backbone| values(backbone.forward(images([2, 3, 32, 32], &training)));
    assert_close(&trained(&keeping), &evaluated, 1e-6);
    assert_ne!(trained(&dropping), trained(&dropping));
    device.seed(5);
    let first = trained(&dropping);
    device.seed(5);
    assert_eq!(first, trained(&dropping), "the seed of the device decides what is dropped");
}

#[test]
fn images_that_are_too_small_are_refused_with_the_smallest_size() {
    let error = of_kind("iresnet18").init([8, 112], 0, &Device::flex()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "backbone iresnet18 halves the image too often for 8x112 pixels (height x width); \
         the smallest it takes is 9x9"
    );
    for kind in BackboneConfig::KINDS {
        let config = of_kind(kind);
        let smallest = config.smallest_input();
        assert!(config.cost([smallest; 2]).is_ok());
        for refused in [[smallest - 1, smallest], [smallest, smallest - 1], [0, 112]] {
            assert!(config.cost(refused).is_err(), "{kind} takes {refused:?}");
        }
        let backbone = config.init([smallest; 2], 0, &Device::flex()).unwrap();
        if config.cost([smallest; 2]).unwrap().parameters < 5_000_000 {
            let output = backbone.forward(images([1, 3, smallest, smallest], &Device::flex()));
            assert_eq!(output.dims(), [1, config.embedding_size()], "{kind}");
        }
    }
    assert!(table([8, 8]).iter().all(|row| row.kind != "nano"));
}

#[test]
fn wrong_keys_are_named() {
    let error = |text: &str| {
        let value = toml::Value::Table(text.parse().unwrap());
        BackboneConfig::read(&value, &"backbone".into()).unwrap_err().to_string()
    };
    assert_eq!(
        error("kind = \"iresnet50\"\nstem_stride = 1"),
        "backbone.stem_stride has no effect with backbone.kind = \"iresnet50\"; it belongs to nano"
    );
    assert_eq!(
        error("kind = \"nano\"\nstem_stride = 3"),
        "backbone.stem_stride is 3; it must be from 1 to 2"
    );
    assert_eq!(
        error("kind = \"sfnet20\"\ndropout = 0.95"),
        "backbone.dropout is 0.95; it must be from 0 to 0.9"
    );
    assert!(error("kind = \"iresnet51\"").contains("did you mean \"iresnet50\"?"));
    assert!(error("kind = \"nano\"\nactivation = \"relu_6\"").contains("did you mean \"relu6\"?"));
}
