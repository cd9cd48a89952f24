//! One experiment on every backend: equal initial weights, and embeddings, losses, gradients, running statistics
//! and optimizer steps that differ by rounding only.
//!
//! How far rounding may carry a result depends on the network, so it is measured and not guessed. A sum of n
//! products in f32, in whatever order, is the exact sum of products that are off by about √n·2⁻²⁴ each (Higham,
//! Accuracy and Stability of Numerical Algorithms, chapter 3). So flex runs again with every weight and pixel
//! off by as much, a few times, and a backend may differ from flex by [`MARGIN`] times what that changes.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use facegrad_backbones::BackboneConfig;
use facegrad_devices::{Backend, choose};
use facegrad_losses::{
    CriterionConfig, EmbeddingBatch, HeadConfig, HeadOutput, Labels, Progress, TelemetryValue,
};
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{Setting, toml};
use facegrad_training::{OptimizerConfig, Recognizer};

/// √n·2⁻²⁴ for n = 1024: the sums over a batch's pixels and over the inputs of a convolution have some hundreds
/// to thousands of terms.
const NUDGE: f32 = 32.0 / 16_777_216.0;

/// Nudged runs on flex; the largest difference counts.
const NUDGES: u64 = 4;

/// Both sides of a comparison are rounded (2), and the largest of [`NUDGES`] draws may fall short of what is
/// possible (2).
const MARGIN: f32 = 4.0;

/// f32's unit roundoff.
const UNIT: f32 = 1.0 / 16_777_216.0;

const CLASSES: usize = 5;
const STEPS: usize = 2;

/// What is trained for [`STEPS`] steps.
#[derive(Clone, Copy)]
struct Case {
    backbone: &'static str,
    head: &'static str,
    optimizer: &'static str,
    /// Height and width of the images.
    size: [usize; 2],
    batch: usize,
    images: Images,
}

#[derive(Clone, Copy, PartialEq)]
enum Images {
    /// Uniform from −1 to 1.
    Noise,
    /// The first all 0, the second all black (−1), the others noise.
    FirstBlank,
    /// All 0.
    AllBlank,
}

/// Numbers by name, and by how much rounding the last operation may change them at least.
type Results = BTreeMap<String, (Vec<f32>, f32)>;

impl Case {
    fn images(&self, nudge: &mut Option<Stream>, device: &Device) -> Tensor<4> {
        let [height, width] = self.size;
        let image = 3 * height * width;
        let mut stream = Stream::new(2, Purpose::Augmentation, 0, 0);
        let mut values: Vec<f32> = (0..self.batch * image).map(|_| stream.range(-1.0, 1.0)).collect();
        match self.images {
            Images::Noise => {}
            Images::FirstBlank => {
                values[..image].fill(0.0);
                values[image..2 * image].fill(-1.0);
            }
            Images::AllBlank => values.fill(0.0),
        }
        nudged(&mut values, nudge);
        Tensor::from_data(TensorData::new(values, [self.batch, 3, height, width]), device)
    }

    /// Trains on `device`; `nudge` numbers a run whose weights and pixels are off.
    fn run(&self, device: &Device, nudge: Option<u64>) -> (Weights, Results) {
        let autodiff = device.clone().autodiff();
        let config: BackboneConfig = read(self.backbone);
        let backbone = config.init(self.size, 7, &autodiff).unwrap();
        let head =
            read::<HeadConfig>(self.head).init(CLASSES, config.embedding_size(), 7, &autodiff).unwrap();
        let mut model = Recognizer { backbone, head, auxiliary: Vec::new() };
        let mut nudge = nudge.map(|number| Stream::new(3, Purpose::Network, number, 0));
        model = model.map(&mut Nudge(&mut nudge));
        let initial = Weights::of(&model);

        let images = self.images(&mut nudge, &autodiff);
        // The last class has no image.
        let labels: Vec<usize> = (0..self.batch).map(|i| i % (CLASSES - 1)).collect();
        let labels = Labels::new(&labels, &autodiff);
        let config: OptimizerConfig = read(self.optimizer);
        let mut optimizer = config.init();
        let mut results = Results::new();
        for step in 1..=STEPS {
            let embeddings = model.backbone.forward(images.clone());
            let progress = Progress { step, total: STEPS };
            let batch = EmbeddingBatch {
                embeddings: embeddings.clone(),
                labels: labels.clone(),
                progress,
                watched: true,
            };
            let HeadOutput::Logits(output) = model.head.forward(&batch).unwrap() else {
                panic!("{} has no classes", self.head)
            };
            let loss = CriterionConfig::default().loss(&output.logits);
            let mut record = |name: &str, values: Vec<f32>| {
                let rounding = MARGIN * UNIT * largest(&values);
                results.insert(format!("step {step}: {name}"), (values, rounding));
            };
            record("embeddings", numbers(embeddings));
            record("loss", numbers(loss.clone()));
            for (name, reading) in output.telemetry.into_values() {
                if let TelemetryValue::OnDevice(value) = reading {
                    record(&name, numbers(value));
                }
            }
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            let mut gradients = Gradients { grads: &grads, path: Vec::new(), found: Vec::new() };
            model.visit(&mut gradients);
            for (path, gradient) in gradients.found {
                record(&format!("gradient of {path}"), gradient);
            }
            model = optimizer.step(config.learning_rate(1.0).0, model, grads, 1.0);
            for (path, after) in Weights::of(&model).0 {
                // What changed: the weights themselves would hide it behind what they were before.
                let change = after.iter().zip(&initial.0[&path]).map(|(a, b)| a - b).collect();
                let rounding = MARGIN * UNIT * largest(&after);
                results.insert(format!("step {step}: change of {path}"), (change, rounding));
            }
            let evaluated = numbers(model.backbone.valid().forward(images.clone().inner()));
            let rounding = MARGIN * UNIT * largest(&evaluated);
            results.insert(format!("step {step}: evaluated embeddings"), (evaluated, rounding));
        }
        (initial, results)
    }

    /// Compares every backend with flex.
    fn check(&self) {
        let name = format!("{} with {}", self.backbone, self.head).replace('\n', ", ");
        let devices = facegrad_test_devices::devices();
        let expected = Expected::of(self);
        for chosen in devices.iter().filter(|chosen| chosen.backend != Backend::Flex) {
            let on = &chosen.description;
            let (initial, found) = self.run(&chosen.device, None);
            assert!(initial == expected.initial, "{name}: initial weights on {on} are not those on flex");
            let wrong = expected.differences(&found);
            assert!(wrong.is_empty(), "{name}, {on}:\n{}", wrong.join("\n"));
        }
    }
}

/// What flex computes, and how far from it another backend may be.
struct Expected {
    initial: Weights,
    results: Results,
    tolerances: BTreeMap<String, f32>,
}

impl Expected {
    fn of(case: &Case) -> Self {
        let flex = choose(Backend::Flex, None).unwrap().device;
        let (initial, results) = case.run(&flex, None);
        let nudged: Vec<Results> = (0..NUDGES).map(|number| case.run(&flex, Some(number)).1).collect();
        let tolerance = |(what, (values, rounding)): (&String, &(Vec<f32>, f32))| {
            assert!(values.iter().all(|v| v.is_finite()), "{}, flex, {what}: not finite", case.backbone);
            let far = nudged.iter().map(|run| distance(&run[what].0, values)).fold(0.0, f32::max);
            (what.clone(), MARGIN * far + rounding)
        };
        let tolerances = results.iter().map(tolerance).collect();
        Self { initial, results, tolerances }
    }

    /// What in `found` is out of tolerance, in sentences.
    fn differences(&self, found: &Results) -> Vec<String> {
        assert!(found.keys().eq(self.results.keys()), "two backends have other parameters");
        let out = self.results.iter().filter_map(|(what, (values, _))| {
            let (far, tolerance, size) =
                (distance(&found[what].0, values), self.tolerances[what], largest(values));
            // Written so that NaN is out.
            let within = far <= tolerance;
            (!within).then(|| format!("{what}: off by {far:e} of {size:e}, tolerance {tolerance:e}"))
        });
        out.collect()
    }

    /// The median, over the results that `select` takes, of the tolerance relative to the largest number.
    fn relative_tolerance(&self, select: impl Fn(&str) -> bool) -> f32 {
        let selected = self.results.iter().filter(|(what, _)| select(what));
        let mut relative: Vec<f32> =
            selected.map(|(what, (values, _))| self.tolerances[what] / largest(values)).collect();
        relative.sort_by(f32::total_cmp);
        relative[relative.len() / 2]
    }
}

fn read<T: Setting>(text: &str) -> T {
    T::read(&toml::Value::Table(text.parse().unwrap()), &"test".into()).unwrap()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, v| most.max(v.abs()))
}

/// The largest difference between elements; NaN counts as infinitely far.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}

fn nudged(values: &mut [f32], stream: &mut Option<Stream>) {
    if let Some(stream) = stream {
        values.iter_mut().for_each(|v| *v *= 1.0 + stream.range(-NUDGE, NUDGE));
    }
}

struct Nudge<'a>(&'a mut Option<Stream>);

impl ModuleMapper for Nudge<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| {
            let (mut values, shape): (_, [usize; D]) = (numbers(old.clone()), old.dims());
            nudged(&mut values, self.0);
            let new = Tensor::from_data(TensorData::new(values, shape), &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

/// Weights and running statistics by path.
#[derive(PartialEq)]
struct Weights(BTreeMap<String, Vec<f32>>);

impl Weights {
    fn of(model: &Recognizer) -> Self {
        struct Collect(Vec<String>, BTreeMap<String, Vec<f32>>);
        impl ModuleVisitor for Collect {
            fn enter_module(&mut self, name: &str, _container: &str) {
                self.0.push(name.into());
            }

            fn exit_module(&mut self, _name: &str, _container: &str) {
                self.0.pop();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.1.insert(self.0.join("."), numbers(param.val()));
            }
        }
        let mut collect = Collect(Vec::new(), BTreeMap::new());
        // Burn's running statistics are a step behind until something synchronises them, as `valid` does.
        model.valid().visit(&mut collect);
        Self(collect.1)
    }
}

/// The gradient of every trained parameter, by path.
struct Gradients<'a> {
    grads: &'a GradientsParams,
    path: Vec<String>,
    found: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let path = self.path.join(".");
            let gradient = self.grads.get::<D>(param.id).unwrap_or_else(|| panic!("{path} has no gradient"));
            self.found.push((path, numbers(gradient)));
        }
    }
}

const NANO: Case = Case {
    backbone: "kind = \"nano\"\nwidth = 0.25\nembedding = 16",
    head: "kind = \"softmax\"",
    optimizer: "kind = \"sgd\"\nlearning_rate = 1e-3",
    size: [24, 20],
    batch: 8,
    images: Images::Noise,
};

#[test]
fn nano_with_softmax() {
    NANO.check();
}

#[test]
fn nano_with_cosface_and_adamw() {
    Case { head: "kind = \"cosface\"", optimizer: "kind = \"adamw\"", ..NANO }.check();
}

#[test]
fn nano_with_arcface_of_each_fallback() {
    // With this margin "linear" begins at an angle of 1.74, so that random embeddings are on both sides.
    for head in [
        "kind = \"arcface\"\nscale = 16.0\nmargin = 1.4\nfallback = \"linear\"",
        "kind = \"arcface\"\nscale = 16.0\nfallback = \"easy_margin\"",
        "kind = \"arcface\"\nscale = 16.0\nfallback = \"none\"",
    ] {
        Case { head, ..NANO }.check();
    }
}

#[test]
fn nano_with_blank_images() {
    Case { images: Images::FirstBlank, head: "kind = \"arcface\"", ..NANO }.check();
}

#[test]
fn mobilefacenet() {
    // A smooth activation: with so many elements some are always so near the kink of prelu that rounding
    // decides their slope, and the tolerance would have to allow for that.
    let backbone = "kind = \"mobilefacenet\"\nembedding = 32\nactivation = \"elu\"";
    let head = "kind = \"cosface\"\nscale = 16.0";
    Case { backbone, head, size: [32, 32], ..NANO }.check();
}

/// Without normalisation the embedding of a blank image is exactly 0, where the gradient of a margin head
/// is about 1e6, hence the small steps.
const SFNET: Case = Case {
    backbone: "kind = \"sfnet4\"\nembedding = 16",
    head: "kind = \"arcface\"",
    optimizer: "kind = \"sgd\"\nlearning_rate = 1e-7",
    size: [16, 16],
    batch: 4,
    images: Images::AllBlank,
};

#[test]
fn sfnet4() {
    Case { optimizer: NANO.optimizer, images: Images::Noise, ..SFNET }.check();
}

#[test]
fn sfnet4_with_blank_images() {
    Case { images: Images::FirstBlank, ..SFNET }.check();
    SFNET.check();
}

#[test]
fn iresnet18() {
    let backbone = "kind = \"iresnet18\"\nembedding = 16";
    let head = "kind = \"arcface\"\nscale = 16.0";
    let optimizer = "kind = \"sgd\"\nlearning_rate = 1e-4";
    Case { backbone, head, optimizer, size: [16, 16], ..NANO }.check();
}

#[test]
fn tolerances_are_narrow_and_a_wrong_number_is_noticed() {
    let expected = Expected::of(&NANO);
    assert!(expected.relative_tolerance(|what| what.ends_with(": loss")) < 1e-4);
    assert!(expected.relative_tolerance(|what| what.contains("embeddings")) < 1e-3);
    assert!(expected.relative_tolerance(|what| what.contains("gradient")) < 1e-3);
    let statistics = |what: &str| what.ends_with("running_var");
    assert!(expected.relative_tolerance(statistics) < 1e-3);

    let flex = choose(Backend::Flex, None).unwrap().device;
    let wrong = |case: Case| expected.differences(&case.run(&flex, None).1);
    assert_eq!(wrong(NANO), Vec::<String>::new());
    let one_in_two_hundred = wrong(Case { optimizer: "kind = \"sgd\"\nlearning_rate = 1.005e-3", ..NANO });
    assert!(
        one_in_two_hundred
            .iter()
            .any(|what| what.starts_with("step 1: change of head.Classes.Softmax.weight"))
    );
    assert!(one_in_two_hundred.iter().all(|what| !what.starts_with("step 1: gradient")));
    let blank = wrong(Case { images: Images::FirstBlank, ..NANO });
    assert!(blank.iter().any(|what| what.starts_with("step 1: gradient of backbone.layers.0.Conv.weight")));
    assert!(blank.iter().any(|what| what.contains("running_mean")));
}
