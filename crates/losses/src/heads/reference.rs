//! The independent reference that heads are tested against: plain loops in f64, from the formulas, with
//! gradients by central differences. Shares no code with the heads.

use burn::tensor::{Device, Int, Tensor, TensorData};
use facegrad_devices::{Backend, choose};
use facegrad_random::{Purpose, Stream};

use super::HeadModule;
use crate::{CriterionConfig, Progress};

type Rows = Vec<Vec<f64>>;

/// Embeddings, class weights and labels to try a head on.
pub struct Case {
    name: String,
    x: Rows,
    w: Rows,
    labels: Vec<usize>,
    /// Whether the gradient exists there (no zero vector, no angle of exactly 0 or π).
    smooth: bool,
}

impl Case {
    /// Random and awkward cases.
    pub fn all() -> Vec<Self> {
        let mut cases = vec![
            Self::random("plain", 5, 7, 6, 1.0),
            Self::random("two classes", 4, 2, 3, 1.0),
            Self::random("one sample", 1, 5, 8, 1.0),
            Self::random("long embeddings", 4, 5, 8, 1e4),
            Self::random("short embeddings", 4, 5, 8, 1e-2),
        ];
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
        let mut tiny = Self::random("norms of 1e-6", 3, 4, 5, 1e-6);
        tiny.smooth = false;
        cases.push(tiny);
        cases
    }

    fn random(name: &str, batch: usize, classes: usize, dim: usize, norm: f64) -> Self {
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
        }
    }

    /// One sample at the angle `theta` from its class weight, and two other classes.
    pub fn at_angle(theta: f64) -> Self {
        let x = vec![vec![2.0 * theta.cos(), 2.0 * theta.sin(), 0.0]];
        let w = vec![vec![1.0, 0.0, 0.0], vec![0.0, 0.6, 0.8], vec![0.0, -1.0, 0.5]];
        Self { name: format!("θ = {theta}"), x, w, labels: vec![0], smooth: false }
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
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The cosine, with the heads' stated ε = 1e-10 under the root, which decides only for vanishing vectors.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / ((dot(a, a) + 1e-10).sqrt() * (dot(b, b) + 1e-10).sqrt())
}

/// Mean over the batch of −log softmax(z)_y.
fn cross_entropy(logits: &Rows, labels: &[usize]) -> f64 {
    let losses = logits.iter().zip(labels).map(|(z, y)| {
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max + z.iter().map(|v| (v - max).exp()).sum::<f64>().ln() - z[*y]
    });
    losses.sum::<f64>() / labels.len() as f64
}

fn tensor(rows: &Rows, device: &Device) -> Tensor<2> {
    let flat: Vec<f32> = rows.iter().flatten().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), device)
}

/// Value and gradients with respect to embeddings and weights, on every CPU backend of the build, and on wgpu
/// where an adapter is there.
pub fn check_head<H: HeadModule>(
    name: &str,
    case: &Case,
    head: impl Fn(Tensor<2>) -> H,
    logits: impl Fn(&Rows, &Rows, &[usize]) -> Rows,
) {
    let loss = |x: &Rows, w: &Rows| cross_entropy(&logits(x, w, &case.labels), &case.labels);
    for (on, device) in devices() {
        let (value, grad_x, grad_w) = run(case, &head, &device);
        let what = format!("{name}, {}, {on}", case.name);
        assert_value(&what, value, loss(&case.x, &case.w));
        assert!(grad_x.iter().chain(&grad_w).all(|g| g.is_finite()), "{what}: gradient is not finite");
        if case.smooth {
            assert_gradient(&what, &grad_x, &differences(&case.x, |x| loss(x, &case.w)));
            assert_gradient(&what, &grad_w, &differences(&case.w, |w| loss(&case.x, w)));
        }
    }
}

fn devices() -> Vec<(String, Device)> {
    let mut devices = Vec::new();
    for backend in Backend::built_in() {
        let adapter = (backend == Backend::Wgpu).then_some("software");
        match choose(backend, adapter) {
            Ok(chosen) => devices.push((chosen.description, chosen.device)),
            Err(error) => eprintln!("skipped {backend}: {error}"),
        }
    }
    devices
}

fn run<H: HeadModule>(
    case: &Case,
    head: &impl Fn(Tensor<2>) -> H,
    device: &Device,
) -> (f64, Vec<f64>, Vec<f64>) {
    let device = device.clone().autodiff();
    let x = tensor(&case.x, &device).require_grad();
    let w = tensor(&case.w, &device).require_grad();
    let labels: Vec<i32> = case.labels.iter().map(|l| *l as i32).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [case.labels.len()]), &device);
    let output = head(w.clone()).forward(x.clone(), labels.clone(), Progress { step: 1, total: 1 });
    let loss = CriterionConfig::default().loss(output.logits, labels);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let grads = loss.backward();
    let read = |t: &Tensor<2>| -> Vec<f64> {
        let grad = t.grad(&grads).expect("the loss depends on it");
        grad.into_data().try_to_vec::<f32>().expect("f32").into_iter().map(f64::from).collect()
    };
    (value, read(&x), read(&w))
}

/// Central differences of `f` with a step relative to the size of the rows.
fn differences(at: &Rows, f: impl Fn(&Rows) -> f64) -> Vec<f64> {
    let mut result = Vec::new();
    for i in 0..at.len() {
        let step = 1e-5 * dot(&at[i], &at[i]).sqrt();
        for j in 0..at[i].len() {
            let shifted = |by: f64| {
                let mut rows = at.clone();
                rows[i][j] += by;
                f(&rows)
            };
            result.push((shifted(step) - shifted(-step)) / (2.0 * step));
        }
    }
    result
}

/// f32 against f64: 1e-5 relative. A loss near zero is what is left of logits of size s ≈ 64 that cancel, so
/// 1e-5 absolute is allowed as well.
fn assert_value(what: &str, value: f64, expected: f64) {
    let tolerance = 1e-5 * expected.abs() + 1e-5;
    assert!((value - expected).abs() <= tolerance, "{what}: {value} against {expected}");
}

/// 1e-4 of the largest component: components that nearly cancel carry the rounding of the large ones.
fn assert_gradient(what: &str, gradient: &[f64], expected: &[f64]) {
    let largest = expected.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    for (i, (g, e)) in gradient.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() <= 1e-4 * largest + 1e-9,
            "{what}: component {i} is {g} against {e} of {largest}"
        );
    }
}
