//! What the tests of this crate share.

use facegrad_random::{Purpose, Stream};
use serde::Deserialize;

/// A set of rows with the numbers of numpy and scikit-learn, by reference/pca.py.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) dim: usize,
    pub(crate) rows: Vec<f32>,
    pub(crate) other: Vec<f32>,
    pub(crate) mean: Vec<f64>,
    pub(crate) total: f64,
    pub(crate) variances: Vec<f64>,
    pub(crate) components: Vec<f64>,
    pub(crate) projected: Vec<f64>,
    pub(crate) whitened_components: usize,
    pub(crate) whitened: Vec<f64>,
}

pub(crate) fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    serde_json::from_str::<File>(include_str!("../reference/pca.json")).unwrap().cases
}

/// Asserts that numbers agree to `tolerance`, relative to those above 1.
pub(crate) fn assert_close(name: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{name}, number {i}: {a}, not {b}");
    }
}

pub(crate) fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| f64::from(*x)).collect()
}

/// Numbers from a normal distribution, `[n, dim]`.
pub(crate) fn normal(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Pairs, 0, 0);
    (0..n * dim).map(|_| stream.normal()).collect()
}

pub(crate) fn in_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}
