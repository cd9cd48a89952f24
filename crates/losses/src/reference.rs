//! The independent reference that losses are tested against: plain loops in f64, from the formulas, with
//! gradients by central differences. Shares no code with the losses.

use burn::{
    module::Param,
    tensor::{Device, Tensor, TensorData},
};
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{Setting, toml};
use std::f64::consts::PI;

use crate::{
    Annealing, CriterionConfig, EmbeddingBatch, Labels, Progress, Setup, Telemetry, TelemetryValue, composed,
    criteria::of_rows,
    heads::{
        ArcFace, ArcFaceConfig, ClassHeadConfig, CosFace, CosFaceConfig, Fallback, HeadKind, HeadModule,
        Softmax,
    },
};

pub type Rows = Vec<Vec<f64>>;

/// Embeddings, class weights and labels to try a head on.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub x: Rows,
    pub w: Rows,
    pub labels: Vec<usize>,
    /// Whether the gradient exists there (no zero vector, no angle of exactly 0 or π).
    pub smooth: bool,
    /// Whether GPUs are spared it: it differs from the others in its labels or its shape only, which their
    /// arithmetic does not see, and each takes a software rasteriser as long as all CPU backends together.
    pub host_only: bool,
}

impl Case {
    /// Random and awkward cases.
    pub fn all() -> Vec<Self> {
        let mut cases = vec![
            Self::random("plain", 5, 7, 6, 1.0),
            Self::random("two classes", 4, 2, 3, 1.0),
            Self::random("one sample", 1, 5, 8, 1.0),
            Self::random("long embeddings", 4, 5, 8, 1e4),
        ];
        let mut short = Self::random("short embeddings, long class weights", 4, 5, 8, 1e-2);
        short.w = scaled(short.w, 1e4);
        cases.push(short);
        let mut same_class = Self::random("all of one class", 6, 4, 5, 1.0);
        same_class.labels = vec![2; 6];
        cases.push(same_class);
        let mut all_equal = Self::random("all cosines equal", 3, 4, 5, 1.0);
        all_equal.w = vec![all_equal.w[0].clone(); 4];
        cases.push(all_equal);
        let mut zero = Self::random("a zero embedding", 3, 4, 5, 1.0);
        zero.x[1] = vec![0.0; 5];
        zero.smooth = false;
        cases.push(zero);
        let mut zero_weight = Self::random("a zero class weight", 3, 4, 5, 1.0);
        zero_weight.w[1] = vec![0.0; 5];
        zero_weight.smooth = false;
        cases.push(zero_weight);
        for case in &mut cases {
            case.host_only =
                ["two classes", "all of one class", "all cosines equal"].contains(&case.name.as_str());
        }
        let mut tiny = Self::random("norms of 1e-6", 3, 4, 5, 1e-6);
        // One with a sample and one without.
        for class in [0, 1] {
            tiny.w[class] = scaled(vec![tiny.w[class].clone()], 1e-6).remove(0);
        }
        tiny.smooth = false;
        cases.push(tiny);
        cases
    }

    pub fn random(name: &str, batch: usize, classes: usize, dim: usize, norm: f64) -> Self {
        let mut stream = Stream::new(17, Purpose::Network, batch as u64, classes as u64);
        let mut rows = |n: usize, scale: f64| -> Rows {
            // Rounded to f32, so that both sides compute from the same numbers.
            (0..n)
                .map(|_| (0..dim).map(|_| f64::from((f64::from(stream.normal()) * scale) as f32)).collect())
                .collect()
        };
        let (x, w) = (rows(batch, norm), rows(classes, 1.0));
        Self {
            name: name.into(),
            x,
            w,
            labels: (0..batch).map(|i| (i * 3) % classes).collect(),
            smooth: true,
            host_only: false,
        }
    }

    /// As many classes as a large data set has identities.
    pub fn many_classes() -> Self {
        Self::random("100,000 classes", 2, 100_000, 4, 1.0)
    }

    /// One sample at the angle `theta` from its class weight, and two other classes.
    pub fn at_angle(theta: f64) -> Self {
        let x = vec![[theta.cos(), theta.sin(), 0.0].map(|v| f64::from((2.0 * v) as f32)).to_vec()];
        let w = vec![vec![1.0, 0.0, 0.0], vec![0.0, 0.6, 0.8], vec![0.0, -1.0, 0.5]];
        Self { name: format!("θ = {theta}"), x, w, labels: vec![0], smooth: false, host_only: false }
    }

    /// [`Case::at_angle`] for a head that is smooth at every angle.
    pub fn smooth_at_angle(theta: f64) -> Self {
        Self { smooth: true, ..Self::at_angle(theta) }
    }

    /// The class weights as a tensor, `[classes, embedding]`.
    pub fn weights_on(&self, device: &Device) -> Tensor<2> {
        tensor(&self.w, device)
    }

    /// The embeddings and labels as a batch at the end of all schedules.
    pub fn batch_on(&self, device: &Device) -> EmbeddingBatch {
        let labels = Labels::new(&self.labels, device);
        EmbeddingBatch { embeddings: tensor(&self.x, device), labels, progress: Progress::END, watched: true }
    }

    /// cos θ_y of each sample.
    pub fn target_cosines(&self) -> Vec<f64> {
        self.labels.iter().zip(&self.x).map(|(label, x)| cosine(x, &self.w[*label])).collect()
    }

    /// Logits W_j·x.
    pub fn dot_logits(x: &Rows, w: &Rows, _labels: &[usize]) -> Rows {
        x.iter().map(|x| w.iter().map(|w| dot(x, w)).collect()).collect()
    }

    /// Logits s cos θ_j, the target's cosine replaced by `target(cos θ_y)`.
    pub fn cosine_logits(x: &Rows, w: &Rows, labels: &[usize], s: f64, target: impl Fn(f64) -> f64) -> Rows {
        let logit = |i: usize, j: usize| {
            let c = cosine(&x[i], &w[j]);
            s * if labels[i] == j { target(c) } else { c }
        };
        (0..x.len()).map(|i| (0..w.len()).map(|j| logit(i, j)).collect()).collect()
    }

    /// Logits s cos θ_j, the target's cosine replaced by `target(i, cos θ_y)` of sample i.
    pub fn logits_of_samples(
        x: &Rows,
        w: &Rows,
        labels: &[usize],
        s: f64,
        target: impl Fn(usize, f64) -> f64,
    ) -> Rows {
        let mut logits = Self::cosine_logits(x, w, labels, s, |c| c);
        for (i, label) in labels.iter().enumerate() {
            logits[i][*label] = s * target(i, cosine(&x[i], &w[*label]));
        }
        logits
    }

    /// ‖x‖ of each sample, with the heads' stated ε = 1e-10 under the root.
    pub fn norms(x: &Rows) -> Vec<f64> {
        x.iter().map(|x| (dot(x, x) + 1e-10).sqrt()).collect()
    }
}

/// Rows times `factor`, rounded to f32.
fn scaled(rows: Rows, factor: f64) -> Rows {
    let scale = |row: Vec<f64>| row.into_iter().map(|v| f64::from((factor * v) as f32)).collect();
    rows.into_iter().map(scale).collect()
}

/// cos(θ + m) from cos θ through arccos, with the fallback past π − m.
pub fn angular_target(cosine: f64, m: f64, fallback: Fallback) -> f64 {
    let theta = cosine.clamp(-1.0, 1.0).acos();
    match fallback {
        Fallback::Linear if m > 0.0 && theta >= PI - m => cosine - m * m.sin(),
        Fallback::EasyMargin if cosine <= 0.0 => cosine,
        _ => (theta + m).cos(),
    }
}

/// (λ cos θ + ψ(θ)) / (1 + λ) from cos θ through arccos.
pub fn blended_target(cosine: f64, m: usize, lambda: f64) -> f64 {
    let theta = cosine.clamp(-1.0, 1.0).acos();
    let k = (1..m).filter(|k| theta > *k as f64 * PI / m as f64).count();
    let psi = (-1f64).powi(k as i32) * (m as f64 * theta).cos() - 2.0 * k as f64;
    (lambda * cosine + psi) / (1.0 + lambda)
}

/// The same λ in every step.
pub fn annealed_to(lambda: f64) -> Annealing {
    Annealing { base: lambda, minimum: lambda, ..Default::default() }
}

/// Reads a config from its keys, as the section `head`; an error is its sentence.
pub fn read_keys<C: Setting>(keys: &str) -> Result<C, String> {
    let table: toml::Table = keys.parse().expect("TOML");
    C::read(&table.into(), &"head".into()).map_err(|error| error.to_string())
}

/// These keys of a config give these errors.
pub fn check_bad_keys<C: Setting + std::fmt::Debug>(errors: &[(&str, &str)]) {
    for (keys, sentence) in errors {
        assert_eq!(read_keys::<C>(keys).expect_err(keys), *sentence);
    }
}

/// The measure called `name`, as a number.
pub fn reading(telemetry: Telemetry, name: &str) -> f64 {
    let mut values = telemetry.into_values().into_iter();
    let (_, value) = values.find(|(other, _)| other == name).expect(name);
    match value {
        TelemetryValue::Known(value) => value,
        TelemetryValue::OnDevice(value) => f64::from(value.into_scalar::<f32>()),
    }
}

/// Every measure is finite.
pub fn check_telemetry(telemetry: Telemetry) {
    let (mut names, mut on_device) = (Vec::new(), Vec::new());
    for (name, value) in telemetry.into_values() {
        match value {
            TelemetryValue::Known(value) => assert!(value.is_finite(), "{name} is {value}"),
            TelemetryValue::OnDevice(value) => {
                names.push(name);
                on_device.push(value);
            }
        }
    }
    // Read together, as each time waits for the device.
    if !on_device.is_empty() {
        let values = Tensor::cat(on_device, 0).into_data().try_to_vec::<f32>().expect("f32");
        for (name, value) in names.iter().zip(values) {
            assert!(value.is_finite(), "{name} is {value}");
        }
    }
}

/// What a head is built for.
pub fn setup(classes: usize, embedding: usize, seed: u64, device: &Device) -> Setup<'_> {
    Setup { classes, embedding, seed, device }
}

/// The loss of random unit features before the first step, under the head's own criterion.
fn first_loss<K: HeadKind + Clone + Into<ClassHeadConfig>>(
    config: &K,
    classes: usize,
    embedding: usize,
    draw: u64,
) -> f64 {
    let (device, batch) = (Device::flex(), 256);
    let mut stream = Stream::new(3, Purpose::Network, draw, 0);
    let values: Vec<f32> = (0..batch * embedding).map(|_| stream.normal()).collect();
    let embeddings = Tensor::from_data(TensorData::new(values, [batch, embedding]), &device);
    let (embeddings, _) = crate::l2_normalise(embeddings);
    let labels = Labels::new(&(0..batch).map(|i| i % classes).collect::<Vec<_>>(), &device);
    let head = config.clone().into().init(&setup(classes, embedding, 5 + draw, &device));
    let output =
        head.forward(&EmbeddingBatch { embeddings, labels, progress: Progress::START, watched: false });
    f64::from(output.loss(&config.criterion()).into_scalar::<f32>())
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The cosine, with the heads' stated ε = 1e-10 under the root, which decides only for vanishing vectors.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / ((dot(a, a) + 1e-10).sqrt() * (dot(b, b) + 1e-10).sqrt())
}

/// Mean over the batch of −log softmax(z)_y.
pub fn cross_entropy(logits: &Rows, labels: &[usize]) -> f64 {
    let losses = logits.iter().zip(labels).map(|(z, y)| log_sum_exp(z) - z[*y]);
    losses.sum::<f64>() / labels.len() as f64
}

pub fn tensor(rows: &Rows, device: &Device) -> Tensor<2> {
    let flat: Vec<f32> = rows.iter().flatten().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), device)
}

/// Value and gradients with respect to embeddings and weights, under cross-entropy, on every backend of the
/// build and in every form. `logits` gives the reference's, at the end of all schedules.
pub fn check_head<H: HeadModule>(
    name: &str,
    case: &Case,
    head: impl Fn(Tensor<2>) -> H,
    logits: impl Fn(&Rows, &Rows, &[usize]) -> Rows,
) {
    let z = logits(&case.x, &case.w, &case.labels);
    let expected = cross_entropy(&z, &case.labels);
    let rounding = rounding_of_logits(&z, case.x[0].len());
    let largest = z.iter().flatten().fold(0.0f64, |most, z| most.max(z.abs()));
    let slope = error_signal(&z, &case.labels);
    let gradient_x = Gradient::of(&slope, &case.x, |x| logits(x, &case.w, &case.labels));
    let gradient_w = Gradient::of(&slope, &case.w, |w| logits(&case.x, w, &case.labels));
    for_each_form_of(case, name, |device, what| {
        let (value, grad_x, grad_w) = run(case, &of_head(&head), device);
        // The loss is a difference of logits. Written so that NaN fails.
        let tolerance = 2.0 * rounding;
        assert!((value - expected).abs() <= tolerance, "{what}: {value} against {expected} ± {tolerance}");
        assert!(grad_x.iter().chain(&grad_w).all(|g| g.is_finite()), "{what}: gradient is not finite");
        if case.smooth {
            // Of the loss, or of a hundredth of the logits where it is a small difference of them.
            let tolerance = 1e-5 * expected.abs().max(0.01 * largest);
            assert!((value - expected).abs() <= tolerance, "{what}: {value} is not {expected} to 1e-5");
            gradient_x.check(&format!("{what}, embeddings"), &grad_x, rounding);
            gradient_w.check(&format!("{what}, weights"), &grad_w, rounding);
            for (gradient, found) in [(&gradient_x, &grad_x), (&gradient_w, &grad_w)] {
                check_relative(what, found, &gradient.values, 1e-3 * gradient.slopes);
            }
        }
    });
}

/// Value and gradients with respect to embeddings and, where the loss depends on them, weights of any loss, on
/// every backend of the build and in every form, to 1e-5 and 1e-4 of their size. `reference` is the loss in f64
/// at the end of all schedules; it is differentiated by central differences. In a case that is not smooth the
/// gradients only have to be finite.
pub fn check_loss(
    name: &str,
    case: &Case,
    loss: impl Fn(&EmbeddingBatch, Tensor<2>) -> Tensor<1>,
    reference: impl Fn(&Rows, &Rows, &[usize]) -> f64,
) {
    let expected = reference(&case.x, &case.w, &case.labels);
    let gradient = |at: &Rows, value: &dyn Fn(&Rows) -> f64| -> Vec<f64> {
        let mut gradient = Vec::new();
        for (i, row) in at.iter().enumerate() {
            let step = 1e-5 * dot(row, row).sqrt();
            for j in 0..row.len() {
                let shifted = |by: f64| {
                    let mut rows = at.clone();
                    rows[i][j] += by;
                    value(&rows)
                };
                gradient.push((shifted(step) - shifted(-step)) / (2.0 * step));
            }
        }
        gradient
    };
    let gradient_x = gradient(&case.x, &|x| reference(x, &case.w, &case.labels));
    let gradient_w = gradient(&case.w, &|w| reference(&case.x, w, &case.labels));
    for_each_form_of(case, name, |device, what| {
        let (value, grad_x, grad_w) = run(case, &loss, device);
        let tolerance = 1e-5 * expected.abs().max(1e-2);
        assert!((value - expected).abs() <= tolerance, "{what}: {value} against {expected} ± {tolerance}");
        assert!(grad_x.iter().chain(&grad_w).all(|g| g.is_finite()), "{what}: gradient is not finite");
        if case.smooth {
            for (found, expected) in [(&grad_x, &gradient_x), (&grad_w, &gradient_w)] {
                check_relative(what, found, expected, 1e-4 * value.abs());
            }
        }
    });
}

/// Components agree to 1e-4 of the largest one, or of `floor` where all of them are smaller.
fn check_relative(what: &str, found: &[f64], expected: &[f64], floor: f64) {
    let largest = expected.iter().fold(floor, |most, g| most.max(g.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= 1e-4 * largest;
        assert!(close, "{what}: component {i} is {found} and not {expected} to 1e-4 of {largest}");
    }
}

/// Each backend of the build, with its own kernels where it has any and with Burn's operations.
pub fn for_each_form(name: &str, check: impl Fn(&Device, &str)) {
    for chosen in facegrad_test_devices::devices() {
        check(&chosen.device, &format!("{name}, {}", chosen.description));
        // Elsewhere both forms are the same.
        if on_host(&chosen.device) {
            composed(|| check(&chosen.device, &format!("{name}, composed, {}", chosen.description)));
        }
    }
}

/// [`for_each_form`] that is to try `case`.
pub fn for_each_form_of(case: &Case, name: &str, check: impl Fn(&Device, &str)) {
    for_each_form(&format!("{name}, {}", case.name), |device, what| {
        if !case.host_only || on_host(device) {
            check(device, what);
        }
    });
}

/// Whether the losses have operators of their own on `device`, as on every CPU backend.
fn on_host(device: &Device) -> bool {
    facegrad_operators::supports(&Tensor::<1>::zeros([1], device))
}

/// The loss of a head under cross-entropy, its penalty included; also looks at its telemetry.
fn of_head<H: HeadModule>(
    head: &impl Fn(Tensor<2>) -> H,
) -> impl Fn(&EmbeddingBatch, Tensor<2>) -> Tensor<1> {
    move |batch, w| {
        let output = head(w).forward(batch);
        let loss = output.loss(&CriterionConfig::default());
        check_telemetry(output.telemetry);
        loss
    }
}

/// Two heads that are the same function: the loss under cross-entropy and its gradients with respect to
/// embeddings and weights agree to a few roundings, on every backend of the build and in every form.
pub fn check_equal_heads<A: HeadModule, B: HeadModule>(
    name: &str,
    case: &Case,
    a: impl Fn(Tensor<2>) -> A,
    b: impl Fn(Tensor<2>) -> B,
) {
    for_each_form_of(case, name, |device, what| {
        let (value, grad_x, grad_w) = run(case, &of_head(&a), device);
        let (other_value, other_x, other_w) = run(case, &of_head(&b), device);
        assert!(
            (value - other_value).abs() <= 1e-6 * value.abs().max(1.0),
            "{what}: {value} and {other_value}"
        );
        for (one, other) in [(grad_x, other_x), (grad_w, other_w)] {
            let largest = one.iter().fold(1e-6f64, |most, g| most.max(g.abs()));
            for (one, other) in one.iter().zip(&other) {
                assert!((one - other).abs() <= 1e-5 * largest, "{what}: gradients {one} and {other}");
            }
        }
    });
}

/// The expected first loss is, to 5 %, what the head makes of random unit features, for few people and many.
pub fn check_first_loss<K: HeadKind + Clone + Into<ClassHeadConfig>>(config: &K) {
    let embedding = 32;
    for classes in [2, 3, 6, 20, 1000] {
        let draws = if classes < 100 { 24 } else { 2 };
        let found =
            (0..draws).map(|draw| first_loss(config, classes, embedding, draw)).sum::<f64>() / draws as f64;
        let expected = config.expected_first_loss(classes, embedding);
        assert!(
            (found - expected).abs() < 0.05 * found,
            "{}: {found} against {expected} for {classes} classes",
            config.description().formula
        );
    }
}

/// Value and gradient with respect to the embeddings for a case with too many classes to differentiate by
/// each weight; the gradient of those must be finite.
pub fn check_head_of_many_classes<H: HeadModule>(
    name: &str,
    case: &Case,
    head: impl Fn(Tensor<2>) -> H,
    logits: impl Fn(&Rows, &Rows, &[usize]) -> Rows,
) {
    let z = logits(&case.x, &case.w, &case.labels);
    let expected = cross_entropy(&z, &case.labels);
    // A sum of K numbers in f32 is off by √K roundings or so, in whatever order a backend adds.
    let rounding =
        rounding_of_logits(&z, case.x[0].len()) + 4.0 * (case.w.len() as f64).sqrt() * 2f64.powi(-24);
    let gradient =
        Gradient::of(&error_signal(&z, &case.labels), &case.x, |x| logits(x, &case.w, &case.labels));
    for_each_form_of(case, name, |device, what| {
        let (value, grad_x, grad_w) = run(case, &of_head(&head), device);
        assert!((value - expected).abs() <= 2.0 * rounding, "{what}: {value} against {expected}");
        gradient.check(&format!("{what}, embeddings"), &grad_x, rounding);
        assert!(grad_w.iter().all(|g| g.is_finite()), "{what}: gradient is not finite");
    });
}

/// At a jump or an infinite slope of the target logit: the value is one that the formula has at a cosine which
/// rounding cannot tell from that of `case`, and the gradients are finite. Logits are s cos θ_j, the target's
/// cosine replaced by `target(cos θ_y)`.
pub fn check_kink<H: HeadModule>(
    name: &str,
    case: &Case,
    head: impl Fn(Tensor<2>) -> H,
    scale: f64,
    target: impl Fn(f64) -> f64,
) {
    check_head_at_kink(name, case, head, scale, |shift| {
        Case::cosine_logits(&case.x, &case.w, &case.labels, scale, |cosine| target(cosine + shift))
    });
}

/// As [`check_kink`] where other logits depend on the target's cosine too: `logits` has the reference's, with
/// target cosines that are larger by its argument.
pub fn check_head_at_kink<H: HeadModule>(
    name: &str,
    case: &Case,
    head: impl Fn(Tensor<2>) -> H,
    scale: f64,
    logits: impl Fn(f64) -> Rows,
) {
    let rounding = rounding_of_logits(&logits(0.0), case.x[0].len());
    let losses = [-1.0, 0.0, 1.0].map(|side| cross_entropy(&logits(side * rounding / scale), &case.labels));
    let lowest = losses.iter().fold(f64::INFINITY, |a, b| a.min(*b)) - 2.0 * rounding;
    let highest = losses.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b)) + 2.0 * rounding;
    for_each_form_of(case, name, |device, what| {
        let (value, grad_x, grad_w) = run(case, &of_head(&head), device);
        assert!((lowest..=highest).contains(&value), "{what}: {value} is not from {lowest} to {highest}");
        assert!(grad_x.iter().chain(&grad_w).all(|g| g.is_finite()), "{what}: gradient is not finite");
    });
}

/// The loss, and its gradients with respect to embeddings and weights; zeros where it does not depend on them.
fn run(
    case: &Case,
    loss: &impl Fn(&EmbeddingBatch, Tensor<2>) -> Tensor<1>,
    device: &Device,
) -> (f64, Vec<f64>, Vec<f64>) {
    let device = device.clone().autodiff();
    let x = tensor(&case.x, &device).require_grad();
    let w = tensor(&case.w, &device).require_grad();
    let labels = Labels::new(&case.labels, &device);
    let batch = EmbeddingBatch { embeddings: x.clone(), labels, progress: Progress::END, watched: true };
    let loss = loss(&batch, w.clone());
    drop(batch);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let grads = loss.backward();
    let read = |t: &Tensor<2>| -> Vec<f64> {
        let grad = t.grad(&grads).unwrap_or_else(|| t.clone().inner().zeros_like());
        grad.into_data().try_to_vec::<f32>().expect("f32").into_iter().map(f64::from).collect()
    };
    (value, read(&x), read(&w))
}

/// What rounding to f32 may do to a logit, at most. A unit vector, a dot product and the margin are
/// `dim` + 12 roundings of 2⁻²⁴ or so, each of at most the size of the largest logit, and the log-sum-exp
/// rounds numbers of that size again; the 1 is for logits near 0.
fn rounding_of_logits(logits: &Rows, dim: usize) -> f64 {
    let largest = logits.iter().flatten().fold(1.0f64, |most, z| most.max(z.abs()));
    (dim + 12) as f64 * 2f64.powi(-24) * largest
}

/// ∂L/∂z: (softmax(z) − one-hot(y)) / batch.
fn error_signal(logits: &Rows, labels: &[usize]) -> Rows {
    let of_row = |(z, y): (&Vec<f64>, &usize)| -> Vec<f64> {
        let partition = log_sum_exp(z);
        let one_hot = |j: usize| if j == *y { 1.0 } else { 0.0 };
        let p = z.iter().map(|v| (v - partition).exp()).enumerate();
        p.map(|(j, p)| (p - one_hot(j)) / labels.len() as f64).collect()
    };
    logits.iter().zip(labels).map(of_row).collect()
}

/// A gradient, and the size of what it is a sum of.
struct Gradient {
    /// Σ ∂L/∂z ∂z/∂v of each component v.
    values: Vec<f64>,
    /// The largest Σ |∂L/∂z ∂z/∂v| of a component.
    terms: f64,
    /// The largest Σ |∂z/∂v| / batch of a component.
    slopes: f64,
}

impl Gradient {
    /// The gradient at `at`, by central differences of the logits with a step relative to the length of a row.
    fn of(error_signal: &Rows, at: &Rows, logits: impl Fn(&Rows) -> Rows) -> Self {
        let mut this = Self { values: Vec::new(), terms: 0.0, slopes: 0.0 };
        for i in 0..at.len() {
            let step = 1e-5 * dot(&at[i], &at[i]).sqrt();
            for j in 0..at[i].len() {
                let shifted = |by: f64| {
                    let mut rows = at.clone();
                    rows[i][j] += by;
                    logits(&rows).into_iter().flatten().collect::<Vec<f64>>()
                };
                let (above, below) = (shifted(step), shifted(-step));
                let slopes: Vec<f64> =
                    above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * step)).collect();
                let terms = || error_signal.iter().flatten().zip(&slopes).map(|(e, s)| e * s);
                this.values.push(terms().sum());
                this.terms = this.terms.max(terms().map(f64::abs).sum());
                let slopes = slopes.iter().map(|s| s.abs()).sum::<f64>() / error_signal.len() as f64;
                this.slopes = this.slopes.max(slopes);
            }
        }
        this
    }

    /// A logit that is off by `rounding` makes its probability wrong by that factor, hence each term too; and
    /// p − 1 is a rounded difference even where it is nearly 0. Terms may cancel, so the error is relative to
    /// them and not to their sum.
    fn check(&self, what: &str, found: &[f64], rounding: f64) {
        let tolerance = 2.0 * rounding * self.terms + 2f64.powi(-22) * self.slopes;
        assert_eq!(found.len(), self.values.len());
        for (i, (found, expected)) in found.iter().zip(&self.values).enumerate() {
            let close = (found - expected).abs() <= tolerance;
            assert!(close, "{what}: component {i} is {found} against {expected} ± {tolerance}");
        }
    }
}

/// ln Σ_j e^{z_j}.
pub fn log_sum_exp(z: &[f64]) -> f64 {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + z.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
}

/// The loss of logits that are given, `[batch, classes]`, and its gradient with respect to them.
pub fn loss_of_rows(
    criterion: &CriterionConfig,
    rows: &Rows,
    labels: &[usize],
    device: &Device,
) -> (f64, Vec<f64>) {
    let rows = tensor(rows, &device.clone().autodiff()).require_grad();
    let loss = criterion.loss(&of_rows(rows.clone(), labels));
    let gradient = rows.grad(&loss.backward()).expect("a loss depends on its logits").into_data();
    let gradient = gradient.try_to_vec::<f32>().expect("f32").into_iter().map(f64::from).collect();
    (f64::from(loss.into_scalar::<f32>()), gradient)
}

/// Value and gradient of a criterion against `of_row`, the loss of a row of logits with its target in f64: with
/// respect to the logits themselves, and to embeddings and weights behind three heads.
pub fn check_criterion(name: &str, criterion: &CriterionConfig, of_row: impl Fn(&[f64], usize) -> f64) {
    let normal = |batch, classes, scale: f64| {
        Case::random("logits", 1, batch, classes, 1.0)
            .w
            .into_iter()
            .map(|row| row.into_iter().map(|z| f64::from((scale * z) as f32)).collect())
            .collect::<Rows>()
    };
    let cases: [(&str, Rows, Vec<usize>); 7] = [
        ("plain", normal(4, 5, 2.0), vec![0, 3, 3, 1]),
        ("two classes", normal(3, 2, 1.0), vec![1, 0, 1]),
        ("one sample", normal(1, 6, 1.0), vec![2]),
        ("logits of a scaled head", normal(3, 8, 64.0), vec![7, 0, 2]),
        ("logits of 1e4", normal(3, 4, 1e4), vec![0, 1, 2]),
        ("logits of 1e30", normal(3, 4, 1e30), vec![0, 1, 2]),
        ("100,000 classes", normal(2, 100_000, 1.0), vec![99_999, 5]),
    ];
    for (case, rows, labels) in &cases {
        let samples = rows.len() as f64;
        let losses = rows.iter().zip(labels).map(|(row, y)| of_row(row, *y));
        let expected = losses.sum::<f64>() / samples;
        let largest = rows.iter().flatten().fold(1.0f64, |most, z| most.max(z.abs()));
        let gradient = gradient_of_rows(rows, labels, &of_row);
        for_each_form(&format!("{name}, {case}"), |device, what| {
            let (loss, found) = loss_of_rows(criterion, rows, labels, device);
            // To 1e-5 of the loss, or to what is left of a difference of logits as large as these.
            let rounding = 4.0 * 2f64.powi(-24) * largest;
            let tolerance = 1e-5 * expected.abs() + rounding;
            assert!((loss - expected).abs() <= tolerance, "{what}: {loss} not {expected} ± {tolerance}");
            assert!(found.iter().all(|g| g.is_finite()), "{what}: gradient is not finite");
            // No slope of these losses changes by more than itself and 1 when a logit changes by 1.
            let most = gradient.iter().fold(0.0f64, |most, (_, g)| most.max(g.abs()));
            let tolerance = 1e-4 * most + rounding.min(1e-2) * (most + 1.0 / samples);
            for (at, expected) in &gradient {
                let close = (found[*at] - expected).abs() <= tolerance;
                assert!(close, "{what}: slope {at} is {} and not {expected} ± {tolerance}", found[*at]);
            }
        });
    }

    let (s, m) = (16.0, 0.4);
    let mean = |rows: Rows, labels: &[usize]| {
        let samples = labels.len() as f64;
        rows.iter().zip(labels).map(|(row, y)| of_row(row, *y)).sum::<f64>() / samples
    };
    // Those of its own logits are above, those of the heads are theirs.
    let names = ["plain", "two classes", "one sample", "a zero embedding"];
    for case in Case::all().into_iter().filter(|case| names.contains(&case.name.as_str())) {
        let behind_arcface = |batch: &EmbeddingBatch, w: Tensor<2>| {
            let config = ArcFaceConfig { scale: s.into(), margin: m.into(), ..Default::default() };
            let mut head = ArcFace::new(&config, &setup(2, 1, 0, &w.device()));
            head.weight = Param::from_tensor(w);
            criterion.loss(&head.forward(batch).logits)
        };
        check_loss(&format!("{name} of arcface"), &case, behind_arcface, |x, w, labels| {
            let target = |c| angular_target(c, m, Fallback::Linear);
            mean(Case::cosine_logits(x, w, labels, s, target), labels)
        });
        let behind_cosface = |batch: &EmbeddingBatch, w: Tensor<2>| {
            let config = CosFaceConfig { scale: s.into(), margin: m.into() };
            let mut head = CosFace::new(&config, &setup(2, 1, 0, &w.device()));
            head.weight = Param::from_tensor(w);
            criterion.loss(&head.forward(batch).logits)
        };
        check_loss(&format!("{name} of cosface"), &case, behind_cosface, |x, w, labels| {
            mean(Case::cosine_logits(x, w, labels, s, |c| c - m), labels)
        });
        let behind_softmax = |batch: &EmbeddingBatch, w: Tensor<2>| {
            let head = Softmax { weight: Param::from_tensor(w), bias: None };
            criterion.loss(&head.forward(batch).logits)
        };
        check_loss(&format!("{name} of softmax"), &case, behind_softmax, |x, w, labels| {
            mean(Case::dot_logits(x, w, labels), labels)
        });
    }
}

/// Where, in the flattened rows, and what the slope of the mean loss is there, by central differences. Of many
/// classes only the target and a few more.
fn gradient_of_rows(
    rows: &Rows,
    labels: &[usize],
    of_row: &impl Fn(&[f64], usize) -> f64,
) -> Vec<(usize, f64)> {
    let mut gradient = Vec::new();
    for (i, (row, y)) in rows.iter().zip(labels).enumerate() {
        let mut row = row.clone();
        for j in (0..row.len()).filter(|j| *j < 8 || j == y) {
            let z = row[j];
            let step = 1e-5 * z.abs().max(1.0);
            let mut at = |z| {
                row[j] = z;
                of_row(&row, *y)
            };
            let slope = (at(z + step) - at(z - step)) / (2.0 * step);
            row[j] = z;
            gradient.push((i * row.len() + j, slope / rows.len() as f64));
        }
    }
    gradient
}
