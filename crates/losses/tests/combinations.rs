//! Every head of the registry with every criterion of the registry.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Gradients, Tensor, TensorData},
};
use facegrad_losses::{
    AuxiliaryConfig, CriterionConfig, EmbeddingBatch, Head, HeadConfig, HeadError, HeadOutput, Labels,
    Progress, Telemetry, TelemetryValue, composed, embedding::EmbeddingLossConfig, heads::ClassHeadConfig,
};
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{Setting, toml};

const CLASSES: usize = 7;
const EMBEDDING: usize = 16;

fn head(kind: &str, device: &Device) -> Head {
    let config = HeadConfig::of_kind(kind).expect("a kind");
    config.init(CLASSES, EMBEDDING, 3, device).expect("enough classes")
}

/// Random embeddings, the second of them 0 if `with_zero`.
fn batch(with_zero: bool, progress: Progress, device: &Device) -> EmbeddingBatch {
    let labels = [0, 3, 3, 6, 1];
    let mut stream = Stream::new(5, Purpose::Network, 0, 0);
    let mut values: Vec<f32> = (0..labels.len() * EMBEDDING).map(|_| stream.normal()).collect();
    if with_zero {
        values[EMBEDDING..2 * EMBEDDING].fill(0.0);
    }
    let embeddings = Tensor::from_data(TensorData::new(values, [labels.len(), EMBEDDING]), device);
    EmbeddingBatch {
        embeddings: embeddings.require_grad(),
        labels: Labels::new(&labels, device),
        progress,
        watched: true,
    }
}

/// The loss of a head, its penalty included.
fn loss(head: &Head, criterion: &CriterionConfig, batch: &EmbeddingBatch) -> Tensor<1> {
    let HeadOutput::Logits(output) = head.forward(batch).expect("labels of the head") else {
        unreachable!("a head with classes")
    };
    output.loss(criterion)
}

/// What is known of the gradient of each parameter that an optimizer would change.
#[derive(Default)]
struct Parameters<'a> {
    gradients: Option<&'a Gradients>,
    /// Largest size of a component; `None` without a gradient, NaN where it is not finite.
    largest: Vec<(Vec<usize>, Option<f32>)>,
}

impl ModuleVisitor for Parameters<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let gradient = param.val().grad(self.gradients.expect("set"));
            let largest = gradient.map(largest);
            self.largest.push((param.dims().to_vec(), largest));
        }
    }
}

fn largest<const D: usize>(values: Tensor<D>) -> f32 {
    let values = values.into_data().try_to_vec::<f32>().expect("f32");
    values.iter().fold(0.0, |most, v| if v.is_finite() { v.abs().max(most) } else { f32::NAN })
}

#[test]
fn every_head_with_every_criterion_has_a_finite_loss_and_finite_gradients() {
    let device = Device::flex().autodiff();
    for kind in ClassHeadConfig::KINDS {
        let head = head(kind, &device);
        for criterion in CriterionConfig::KINDS {
            let config = CriterionConfig::of_kind(criterion).expect("a kind");
            for with_zero in [false, true] {
                for progress in [Progress::START, Progress { step: 500, total: 1000 }, Progress::END] {
                    let what =
                        format!("{kind} with {criterion}, {progress:?}, a zero embedding: {with_zero}");
                    let batch = batch(with_zero, progress, &device);
                    let loss = loss(&head, &config, &batch);
                    let gradients = loss.backward();
                    let loss = loss.into_scalar::<f32>();
                    assert!(loss.is_finite(), "{what}: the loss is {loss}");
                    let of_embeddings = batch.embeddings.grad(&gradients).expect("of embeddings");
                    assert!(largest(of_embeddings).is_finite(), "{what}: of embeddings");
                    let mut parameters = Parameters { gradients: Some(&gradients), largest: Vec::new() };
                    head.visit(&mut parameters);
                    for (shape, largest) in parameters.largest {
                        assert!(largest.is_some_and(f32::is_finite), "{what}: {shape:?} has {largest:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_parameter_of_a_head_is_forgotten_by_the_optimizer() {
    let device = Device::flex().autodiff();
    for kind in ClassHeadConfig::KINDS {
        let head = head(kind, &device);
        // Its own: a bias that all classes share cancels in a softmax.
        let criterion = HeadConfig::of_kind(kind).and_then(|head| head.criterion()).expect("a criterion");
        let gradients = loss(&head, &criterion, &batch(false, Progress::START, &device)).backward();
        let mut parameters = Parameters { gradients: Some(&gradients), largest: Vec::new() };
        head.visit(&mut parameters);
        let of_classes = |(shape, _): &(Vec<usize>, _)| shape.len() == 2 && shape[0] % CLASSES == 0;
        assert!(parameters.largest.iter().any(of_classes), "{kind} has no class weights to train");
        for (shape, largest) in parameters.largest {
            assert!(largest.is_some_and(|g| g > 0.0), "{kind}: the gradient of {shape:?} is {largest:?}");
        }
    }
}

/// A head from its keys.
fn head_of(keys: &str, device: &Device) -> Head {
    let table: toml::Table = keys.parse().expect("TOML");
    let config = HeadConfig::read(&table.into(), &"head".into()).expect(keys);
    config.init(CLASSES, EMBEDDING, 3, device).expect("enough classes")
}

fn read(telemetry: Telemetry) {
    for (_, reading) in telemetry.into_values() {
        if let TelemetryValue::OnDevice(value) = reading {
            value.into_scalar::<f32>();
        }
    }
}

/// Forward, backward, telemetry and the step after, with one embedding that holds `value`.
fn take(head: Head, criterion: &CriterionConfig, value: f32, device: &Device) {
    let mut batch = batch(false, Progress::START, device);
    let bad = Tensor::<2>::full([1, EMBEDDING], value, device);
    let others = batch.embeddings.narrow(0, 1, batch.labels.classes().len() - 1);
    batch.embeddings = Tensor::cat(vec![bad, others], 0).detach().require_grad();
    let loss = match head.forward(&batch).expect("labels of the head") {
        HeadOutput::Logits(output) => {
            read(output.telemetry);
            if let Some(memory) = output.memory {
                head.remember(memory);
            }
            criterion.loss(&output.logits)
        }
        HeadOutput::Loss(output) => {
            read(output.telemetry);
            output.loss
        }
    };
    let gradients = loss.backward();
    batch.embeddings.grad(&gradients).expect("of embeddings").into_data();
    loss.into_scalar::<f32>();
}

#[test]
fn embeddings_that_are_not_finite_do_not_panic() {
    let variants = [
        "kind = 'triplet'\nmining = 'all'",
        "kind = 'triplet'\nmining = 'hard'\naverage = 'active'",
        "kind = 'triplet'\nmining = 'distance_weighted'\ndistance = 'plain'",
        "kind = 'contrastive'\npairs = 'balanced'\nembeddings = 'raw'",
        "kind = 'elasticface'\nplus = true",
        "kind = 'normface'\nlearned = true",
    ];
    let kinds = HeadConfig::kinds().into_iter().map(|kind| format!("kind = '{kind}'"));
    let heads: Vec<String> = kinds.chain(variants.map(String::from)).collect();
    let plain = CriterionConfig::default();
    for chosen in facegrad_test_devices::devices() {
        let device = chosen.device.autodiff();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for head in &heads {
                take(head_of(head, &device), &plain, value, &device);
                composed(|| take(head_of(head, &device), &plain, value, &device));
            }
            for criterion in CriterionConfig::KINDS {
                let criterion = CriterionConfig::of_kind(criterion).expect("a kind");
                take(head("arcface", &device), &criterion, value, &device);
                composed(|| take(head("arcface", &device), &criterion, value, &device));
            }
        }
    }
}

#[test]
fn a_label_that_is_no_class_is_named() {
    let device = Device::flex().autodiff();
    let mut batch = batch(false, Progress::START, &device);
    batch.labels = Labels::new(&[0, 3, CLASSES, 6, 1], &device);
    let expected = HeadError::Label { sample: 2, label: CLASSES, classes: CLASSES };
    for kind in ClassHeadConfig::KINDS.iter().chain(&["center"]) {
        assert_eq!(head(kind, &device).forward(&batch).err(), Some(expected.clone()), "{kind}");
    }
    let table: toml::Table = "kind = 'center'".parse().expect("TOML");
    let auxiliary = AuxiliaryConfig::read(&table.into(), &"auxiliary.0".into()).expect("a loss");
    let auxiliary = auxiliary.init(CLASSES, EMBEDDING, 1, &device);
    assert_eq!(auxiliary.forward(&batch).err(), Some(expected.clone()));
    assert_eq!(
        expected.to_string(),
        "sample 2 of the batch has label 7; with 7 classes labels are from 0 to 6"
    );
    // Losses on pairs only compare labels.
    for kind in EmbeddingLossConfig::KINDS.iter().filter(|kind| **kind != "center") {
        assert!(head(kind, &device).forward(&batch).is_ok(), "{kind}");
    }
}

#[test]
fn fewer_than_two_classes_are_refused() {
    for kind in HeadConfig::kinds() {
        for classes in [0, 1] {
            let config = HeadConfig::of_kind(kind).expect("a kind");
            let error = config.init(classes, EMBEDDING, 1, &Device::flex()).err();
            assert_eq!(error, Some(HeadError::TooFewClasses { classes }), "{kind}");
        }
    }
}
