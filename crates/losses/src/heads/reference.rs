//! The independent reference that heads are tested against: plain loops in f64, from the formulas, with
//! gradients by central differences. Shares no code with the heads.

use burn::tensor::{Device, Int, Tensor, TensorData};
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

    /// As many classes as a large data set has identities.
    pub fn many_classes() -> Self {
        Self::random("100,000 classes", 2, 100_000, 4, 1.0)
    }

    /// One sample at the angle `theta` from its class weight, and two other classes.
    pub fn at_angle(theta: f64) -> Self {
        let x = vec![[theta.cos(), theta.sin(), 0.0].map(|v| f64::from((2.0 * v) as f32)).to_vec()];
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

/// Value and gradients with respect to embeddings and weights, on every backend of the build.
pub fn check_head<H: HeadModule>(
    name: &str,
    case: &Case,
    head: impl Fn(Tensor<2>) -> H,
    logits: impl Fn(&Rows, &Rows, &[usize]) -> Rows,
) {
    let z = logits(&case.x, &case.w, &case.labels);
    let expected = cross_entropy(&z, &case.labels);
    let rounding = rounding_of_logits(&z, case.x[0].len());
    let slope = error_signal(&z, &case.labels);
    let gradient_x = Gradient::of(&slope, &case.x, |x| logits(x, &case.w, &case.labels));
    let gradient_w = Gradient::of(&slope, &case.w, |w| logits(&case.x, w, &case.labels));
    for chosen in facegrad_devices::for_tests() {
        let (value, grad_x, grad_w) = run(case, &head, &chosen.device);
        let what = format!("{name}, {}, {}", case.name, chosen.description);
        // The loss is a difference of logits. Written so that NaN fails.
        let tolerance = 2.0 * rounding;
        assert!((value - expected).abs() <= tolerance, "{what}: {value} against {expected} ± {tolerance}");
        assert!(grad_x.iter().chain(&grad_w).all(|g| g.is_finite()), "{what}: gradient is not finite");
        if case.smooth {
            gradient_x.check(&format!("{what}, embeddings"), &grad_x, rounding);
            gradient_w.check(&format!("{what}, weights"), &grad_w, rounding);
        }
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
    for chosen in facegrad_devices::for_tests() {
        let (value, grad_x, grad_w) = run(case, &head, &chosen.device);
        let what = format!("{name}, {}, {}", case.name, chosen.description);
        assert!((value - expected).abs() <= 2.0 * rounding, "{what}: {value} against {expected}");
        gradient.check(&format!("{what}, embeddings"), &grad_x, rounding);
        assert!(grad_w.iter().all(|g| g.is_finite()), "{what}: gradient is not finite");
    }
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
    let logits =
        |shift| Case::cosine_logits(&case.x, &case.w, &case.labels, scale, |cosine| target(cosine + shift));
    let rounding = rounding_of_logits(&logits(0.0), case.x[0].len());
    let losses = [-1.0, 0.0, 1.0].map(|side| cross_entropy(&logits(side * rounding / scale), &case.labels));
    let lowest = losses.iter().fold(f64::INFINITY, |a, b| a.min(*b)) - 2.0 * rounding;
    let highest = losses.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b)) + 2.0 * rounding;
    for chosen in facegrad_devices::for_tests() {
        let (value, grad_x, grad_w) = run(case, &head, &chosen.device);
        let what = format!("{name}, {}, {}", case.name, chosen.description);
        assert!((lowest..=highest).contains(&value), "{what}: {value} is not from {lowest} to {highest}");
        assert!(grad_x.iter().chain(&grad_w).all(|g| g.is_finite()), "{what}: gradient is not finite");
    }
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
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|v| (v - max).exp()).sum();
        let one_hot = |j: usize| if j == *y { 1.0 } else { 0.0 };
        let p = z.iter().map(|v| (v - max).exp() / sum).enumerate();
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
