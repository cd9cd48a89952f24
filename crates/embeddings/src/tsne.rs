//! A map of embeddings in two dimensions by exact t-SNE.

use std::array::from_fn;
use std::fmt;

use rayon::prelude::*;

use crate::rows::{check, unit_length};
use crate::{Pca, PcaError, RowsError};

/// The most embeddings of a map: the time grows with their square, and so does the memory, 100 MB for these.
pub const MAX_POINTS: usize = 5_000;

/// Fewer embeddings have no neighbourhood that a perplexity of 1 could describe.
const MIN_POINTS: usize = 4;
/// Factor of the attraction in the first third of the iterations, in which clusters form.
const EXAGGERATION: f64 = 12.0;
/// Standard deviation of the initial map along its first axis.
const INITIAL_SPREAD: f64 = 1e-4;
/// Independent sums in a loop, so that it becomes vector instructions; part of what fixes the result.
const LANES: usize = 8;

/// How t-SNE is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tsne {
    /// The effective number of neighbours of a point, at least 1; lowered to a third of the other points where
    /// there are fewer.
    pub perplexity: f64,
    /// Steps of gradient descent, the first third of them with exaggerated attraction.
    pub iterations: usize,
}

impl Default for Tsne {
    /// Perplexity 30, 750 iterations.
    fn default() -> Self {
        Self { perplexity: 30.0, iterations: 750 }
    }
}

/// A map of embeddings in two dimensions.
///
/// Neighbours on the map are neighbours among the embeddings; distances between clusters, and their sizes,
/// mean little.
#[derive(Debug, Clone, PartialEq)]
pub struct TsneMap {
    /// The points, one for each embedding, about the origin.
    pub points: Vec<[f32; 2]>,
    /// The perplexity that was used.
    pub perplexity: f64,
    /// The perplexity that was asked for.
    pub asked_perplexity: f64,
    /// Steps of gradient descent.
    pub iterations: usize,
    /// The Kullback–Leibler divergence of the map's neighbourhoods from those of the embeddings, in nats,
    /// without exaggeration.
    pub divergence: f64,
}

impl fmt::Display for TsneMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, perplexity, asked_perplexity, iterations, divergence } = self;
        write!(f, "t-SNE of {} embeddings: perplexity {perplexity:.3}", points.len())?;
        if perplexity != asked_perplexity {
            write!(f, " (lowered from {asked_perplexity}: it is at most a third of the other points)")?;
        }
        write!(f, ", {iterations} iterations, Kullback–Leibler divergence {divergence:.3}")
    }
}

/// Why there is no map.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum TsneError {
    /// Rows that are no embeddings, or have no principal components.
    #[error(transparent)]
    Pca(#[from] PcaError),
    /// Too many or too few points.
    #[error("a t-SNE map takes {MIN_POINTS} to {MAX_POINTS} embeddings, there are {n}; choose some of them")]
    Points { n: usize },
    /// A perplexity that is none.
    #[error("the perplexity of a t-SNE map is {perplexity}; it must be a number of at least 1")]
    Perplexity { perplexity: f64 },
}

impl From<RowsError> for TsneError {
    fn from(error: RowsError) -> Self {
        Self::Pca(error.into())
    }
}

impl Tsne {
    /// Maps embeddings, brought to unit length, by their squared Euclidean distances.
    ///
    /// van der Maaten and Hinton, "Visualizing Data using t-SNE" (2008), with gains and momentum 0.5, then 0.8.
    /// The learning rate is n / 12 and at least 200, for a gradient without its constant factor 4 (Belkina et
    /// al. 2019), the start are the first two principal components (Kobak and Berens 2019). Nothing is drawn:
    /// the map depends on nothing but the embeddings, not on the number of threads either.
    ///
    /// # Shapes
    /// - `rows`: `[n, dim]`, row by row; `n` from 4 to [`MAX_POINTS`]
    ///
    /// # Errors
    /// If the slice is not of this shape, a number is not finite, an embedding is zero, or the perplexity is
    /// below 1.
    pub fn map(&self, rows: &[f32], dim: usize) -> Result<TsneMap, TsneError> {
        let n = check(rows, dim)?;
        if !(MIN_POINTS..=MAX_POINTS).contains(&n) {
            return Err(TsneError::Points { n });
        }
        if !(self.perplexity >= 1.0 && self.perplexity.is_finite()) {
            return Err(TsneError::Perplexity { perplexity: self.perplexity });
        }
        let perplexity = self.perplexity.min((n - 1) as f64 / 3.0);
        let units = unit_length(rows, dim)?;
        let joint = Joint::of(&units, dim, perplexity);
        let mut map = Points::start(&units, dim)?;
        drop(units);

        for iteration in 0..self.iterations {
            let early = iteration < self.iterations / 3;
            let (exaggeration, momentum) = if early { (EXAGGERATION, 0.5) } else { (1.0, 0.8) };
            map.step(&joint, exaggeration, momentum);
        }
        Ok(TsneMap {
            divergence: map.divergence(&joint),
            points: map.x.into_iter().zip(map.y).map(|(x, y)| [x, y]).collect(),
            perplexity,
            asked_perplexity: self.perplexity,
            iterations: self.iterations,
        })
    }
}

/// The probabilities that two points are neighbours; symmetric, zero on the diagonal, with sum 1.
struct Joint {
    n: usize,
    /// `[n, n]`
    p: Vec<f32>,
}

impl Joint {
    fn of(units: &[f32], dim: usize, perplexity: f64) -> Self {
        let n = units.len() / dim;
        let mut p = vec![0.0; n * n];
        p.par_chunks_mut(n).enumerate().for_each(|(i, p)| {
            let unit = &units[i * dim..(i + 1) * dim];
            for (p, other) in p.iter_mut().zip(units.chunks(dim)) {
                *p = squared_distance(unit, other);
            }
            neighbours(p, i, perplexity);
        });
        let scale = 0.5 / n as f32;
        for i in 0..n {
            for j in 0..i {
                let mean = (p[i * n + j] + p[j * n + i]) * scale;
                p[i * n + j] = mean;
                p[j * n + i] = mean;
            }
        }
        Self { n, p }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.p[i * self.n..(i + 1) * self.n]
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Turns the squared distances of point `i` into the probabilities of its neighbours, which fall with
/// exp(−precision · distance) at the precision that gives the perplexity.
///
/// Newton's method on the logarithm of the precision, inside an interval that is halved where a step leaves it.
fn neighbours(distances: &mut [f32], i: usize, perplexity: f64) {
    let nearest =
        distances.iter().enumerate().filter(|(j, _)| *j != i).fold(f32::MAX, |min, (_, d)| min.min(*d));
    // Beyond the nearest: the same probabilities, without underflow.
    let beyond = |d: f32| f64::from(d - nearest);
    let sum: f64 = distances.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, d)| beyond(*d)).sum();
    let mean = sum / (distances.len() - 1) as f64;
    // Where all others are as far, any precision gives equal probabilities.
    let mut log_precision = if mean > 0.0 { -mean.ln() } else { 0.0 };
    let (mut low, mut high) = (log_precision - 50.0, log_precision + 50.0);
    for _ in 0..100 {
        let precision = log_precision.exp();
        let [mut weights, mut first, mut second] = [0.0; 3];
        for (j, d) in distances.iter().enumerate() {
            if j != i {
                let d = beyond(*d);
                let weight = (-precision * d).exp();
                weights += weight;
                first += weight * d;
                second += weight * d * d;
            }
        }
        let mean = first / weights;
        let excess = weights.ln() + precision * mean - perplexity.ln();
        if excess.abs() < 1e-7 {
            break;
        }
        // A larger precision makes for fewer neighbours.
        if excess > 0.0 {
            low = log_precision
        } else {
            high = log_precision
        }
        let slope = precision * precision * (second / weights - mean * mean);
        let newton = log_precision + excess / slope;
        log_precision = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
    }
    let precision = log_precision.exp();
    let weight = |d: f32| (-precision * beyond(d)).exp();
    let weights: f64 = distances.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, d)| weight(*d)).sum();
    for (j, d) in distances.iter_mut().enumerate() {
        *d = if j == i { 0.0 } else { (weight(*d) / weights) as f32 };
    }
}

/// The points of the map on their way.
struct Points {
    x: Vec<f32>,
    y: Vec<f32>,
    velocity: Vec<[f32; 2]>,
    gains: Vec<[f32; 2]>,
}

/// Sums over the neighbours of one point, in the unscaled kernel w = 1 / (1 + squared distance on the map).
#[derive(Clone, Copy, Default)]
struct Forces {
    /// Σ p·w·(point − neighbour)
    attraction: [f64; 2],
    /// Σ w²·(point − neighbour)
    repulsion: [f64; 2],
    /// Σ w
    weights: f64,
}

impl Points {
    /// The first two principal components, small; zero where there is no such component.
    fn start(units: &[f32], dim: usize) -> Result<Self, PcaError> {
        let n = units.len() / dim;
        let pca = Pca::fit(units, dim)?;
        let rank = pca.rank().min(2);
        let projected = pca.project(units, rank)?;
        let scale = pca.variances().first().map_or(0.0, |variance| INITIAL_SPREAD / variance.sqrt());
        let axis = |axis: usize| -> Vec<f32> {
            if axis >= rank {
                return vec![0.0; n];
            }
            projected.chunks(rank).map(|row| (f64::from(row[axis]) * scale) as f32).collect()
        };
        Ok(Self { x: axis(0), y: axis(1), velocity: vec![[0.0; 2]; n], gains: vec![[1.0; 2]; n] })
    }

    fn forces(&self, joint: &Joint) -> Vec<Forces> {
        let of_point = |i: usize| {
            let p = joint.row(i);
            let mut forces = Forces::default();
            for others in [0..i, i + 1..joint.n] {
                forces.add(
                    [self.x[i], self.y[i]],
                    &p[others.clone()],
                    &self.x[others.clone()],
                    &self.y[others],
                );
            }
            forces
        };
        (0..joint.n).into_par_iter().map(of_point).collect()
    }

    /// A quarter of the gradient of the divergence by each point, with the attraction exaggerated.
    fn gradient(&self, joint: &Joint, exaggeration: f64) -> Vec<[f64; 2]> {
        let forces = self.forces(joint);
        let weights: f64 = forces.iter().map(|point| point.weights).sum();
        let of_axis = |point: &Forces, axis: usize| {
            exaggeration * point.attraction[axis] - point.repulsion[axis] / weights
        };
        forces.iter().map(|point| [of_axis(point, 0), of_axis(point, 1)]).collect()
    }

    fn step(&mut self, joint: &Joint, exaggeration: f64, momentum: f32) {
        let gradient = self.gradient(joint, exaggeration);
        let rate = (joint.n as f64 / EXAGGERATION).max(200.0) as f32;
        for (axis, position) in [&mut self.x, &mut self.y].into_iter().enumerate() {
            for (i, position) in position.iter_mut().enumerate() {
                let (slope, velocity) = (gradient[i][axis] as f32, &mut self.velocity[i][axis]);
                let gain = &mut self.gains[i][axis];
                // Uphill so far: the point has gone too far.
                *gain = if slope * *velocity > 0.0 { (*gain * 0.8).max(0.01) } else { *gain + 0.2 };
                *velocity = momentum * *velocity - rate * *gain * slope;
                *position += *velocity;
            }
            let mean = position.iter().map(|x| f64::from(*x)).sum::<f64>() / joint.n as f64;
            position.iter_mut().for_each(|x| *x -= mean as f32);
        }
    }

    /// Σ p·ln(p / q) with q = w / Σ w.
    fn divergence(&self, joint: &Joint) -> f64 {
        let of_point = |i: usize| {
            let (mut sum, mut weights) = (0.0, 0.0);
            for (j, p) in joint.row(i).iter().enumerate().filter(|(j, _)| *j != i) {
                let (dx, dy) = (f64::from(self.x[i] - self.x[j]), f64::from(self.y[i] - self.y[j]));
                let (p, inverse) = (f64::from(*p), 1.0 + dx * dx + dy * dy);
                weights += 1.0 / inverse;
                if p > 0.0 {
                    sum += p * (p * inverse).ln();
                }
            }
            [sum, weights]
        };
        let of_points: Vec<[f64; 2]> = (0..joint.n).into_par_iter().map(of_point).collect();
        let sum = |at: usize| of_points.iter().map(|point| point[at]).sum::<f64>();
        sum(0) + sum(1).ln()
    }
}

impl Forces {
    /// Adds what neighbours with probabilities `p` at `x`, `y` do to the point.
    fn add(&mut self, point: [f32; 2], p: &[f32], x: &[f32], y: &[f32]) {
        let mut sums = [[0.0; LANES]; 5];
        let (p, p_rest) = p.as_chunks();
        let (x, x_rest) = x.as_chunks();
        let (y, y_rest) = y.as_chunks();
        for ((p, x), y) in p.iter().zip(x).zip(y) {
            add_lanes(&mut sums, point, p, x, y, &[1.0; LANES]);
        }
        let padded = |rest: &[f32]| from_fn(|lane| rest.get(lane).copied().unwrap_or(0.0));
        let present = from_fn(|lane| if lane < p_rest.len() { 1.0 } else { 0.0 });
        add_lanes(&mut sums, point, &padded(p_rest), &padded(x_rest), &padded(y_rest), &present);
        let [pull_x, pull_y, push_x, push_y, weights] =
            sums.map(|lanes| lanes.iter().map(|sum| f64::from(*sum)).sum::<f64>());
        self.attraction = [self.attraction[0] + pull_x, self.attraction[1] + pull_y];
        self.repulsion = [self.repulsion[0] + push_x, self.repulsion[1] + push_y];
        self.weights += weights;
    }
}

/// One step of [`Forces::add`]; `present` is 1 where there is a neighbour, else 0.
#[inline(always)]
fn add_lanes(
    sums: &mut [[f32; LANES]; 5],
    point: [f32; 2],
    p: &[f32; LANES],
    x: &[f32; LANES],
    y: &[f32; LANES],
    present: &[f32; LANES],
) {
    // One operation on all lanes after the other: the compiler makes one instruction of each.
    let dx: [f32; LANES] = from_fn(|i| point[0] - x[i]);
    let dy: [f32; LANES] = from_fn(|i| point[1] - y[i]);
    let weight: [f32; LANES] = from_fn(|i| present[i] / (1.0 + dx[i] * dx[i] + dy[i] * dy[i]));
    let pull: [f32; LANES] = from_fn(|i| p[i] * weight[i]);
    let push: [f32; LANES] = from_fn(|i| weight[i] * weight[i]);
    let [pull_x, pull_y, push_x, push_y, weights] = sums;
    for i in 0..LANES {
        pull_x[i] += pull[i] * dx[i];
        pull_y[i] += pull[i] * dy[i];
        push_x[i] += push[i] * dx[i];
        push_y[i] += push[i] * dy[i];
        weights[i] += weight[i];
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::testing::{assert_close, in_threads, normal, wide};

    /// `clusters` directions with `each` embeddings about each of them, `[clusters · each, dim]`.
    fn planted(clusters: usize, each: usize, dim: usize, spread: f32) -> Vec<f32> {
        let centres = normal(clusters, dim, 11);
        let noise = normal(clusters * each, dim, 12);
        let centre = |at: usize| centres[at / (each * dim) * dim + at % dim];
        noise.iter().enumerate().map(|(at, x)| centre(at) + spread * x).collect()
    }

    /// The share of points whose nearest neighbour on the map is of the same cluster.
    fn purity(points: &[[f32; 2]], each: usize) -> f64 {
        let distance = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        let nearest = |i: usize| {
            let others = (0..points.len()).filter(|j| *j != i);
            others.min_by(|&a, &b| distance(points[i], points[a]).total_cmp(&distance(points[i], points[b])))
        };
        let pure = (0..points.len()).filter(|&i| nearest(i).is_some_and(|j| j / each == i / each)).count();
        pure as f64 / points.len() as f64
    }

    #[test]
    fn probabilities_divergence_and_gradient_are_those_of_scikit_learn() {
        #[derive(Deserialize)]
        struct Reference {
            dim: usize,
            rows: Vec<f32>,
            perplexity: f64,
            joint: Vec<f64>,
            points: Vec<[f32; 2]>,
            divergence: f64,
            gradient: Vec<[f64; 2]>,
        }
        let reference: Reference = serde_json::from_str(include_str!("../reference/tsne.json")).unwrap();
        let n = reference.points.len();
        let joint = Joint::of(
            &unit_length(&reference.rows, reference.dim).unwrap(),
            reference.dim,
            reference.perplexity,
        );
        assert_eq!(joint.n, n);
        assert_close("probabilities", &wide(&joint.p), &reference.joint, 1e-8);
        let map = Points {
            x: reference.points.iter().map(|point| point[0]).collect(),
            y: reference.points.iter().map(|point| point[1]).collect(),
            velocity: vec![[0.0; 2]; n],
            gains: vec![[1.0; 2]; n],
        };
        assert!((map.divergence(&joint) - reference.divergence).abs() < 1e-6);
        let gradient: Vec<f64> = map.gradient(&joint, 1.0).concat().iter().map(|g| 4.0 * g).collect();
        assert_close("gradient", &gradient, &reference.gradient.concat(), 1e-7);
    }

    #[test]
    fn planted_clusters_stay_apart_and_the_divergence_falls() {
        // Clusters so wide that principal components mix them.
        let (clusters, each) = (8, 25);
        let rows = planted(clusters, each, 32, 0.6);
        let map = Tsne::default().map(&rows, 32).unwrap();
        let start = Pca::fit(&unit_length(&rows, 32).unwrap(), 32).unwrap();
        let flat: Vec<[f32; 2]> = start
            .project(&unit_length(&rows, 32).unwrap(), 2)
            .unwrap()
            .chunks(2)
            .map(|p| [p[0], p[1]])
            .collect();
        assert!(purity(&flat, each) < 0.9, "{}", purity(&flat, each));
        assert!(purity(&map.points, each) > 0.99, "{}", purity(&map.points, each));

        let units = unit_length(&rows, 32).unwrap();
        let joint = Joint::of(&units, 32, 30.0);
        let mut moving = Points::start(&units, 32).unwrap();
        let first = moving.divergence(&joint);
        (0..250).for_each(|_| moving.step(&joint, EXAGGERATION, 0.5));
        let divergences: Vec<f64> = (0..10)
            .map(|_| {
                (0..50).for_each(|_| moving.step(&joint, 1.0, 0.8));
                moving.divergence(&joint)
            })
            .collect();
        // Without exaggeration it falls all the time.
        for pair in divergences.windows(2) {
            assert!(pair[1] > 0.0 && pair[1] < pair[0] + 1e-3, "{divergences:?}");
        }
        assert_eq!(divergences[9], map.divergence);
        assert!(map.divergence < 0.4 * first, "{first} {}", map.divergence);
        let centre: f32 = map.points.iter().map(|p| p[0] + p[1]).sum();
        assert!((centre / 200.0).abs() < 1e-3);
        assert!(
            map.to_string()
                .starts_with("t-SNE of 200 embeddings: perplexity 30.000, 750 iterations, Kullback")
        );
    }

    #[test]
    fn embeddings_without_clusters_get_none() {
        // Labels that mean nothing: neighbours share them as often as by chance, 1 in 8.
        let map = Tsne::default().map(&normal(200, 32, 3), 32).unwrap();
        assert!(purity(&map.points, 25) < 0.3);
    }

    #[test]
    fn threads_change_no_bit() {
        let rows = planted(5, 31, 17, 0.5);
        let map = |threads| {
            in_threads(threads, || Tsne { perplexity: 10.0, iterations: 120 }.map(&rows, 17).unwrap())
        };
        let one = map(1);
        assert_eq!(one, map(2));
        assert_eq!(one, map(3));
    }

    #[test]
    fn lengths_of_embeddings_do_not_matter() {
        let rows = planted(3, 10, 8, 0.3);
        let doubled: Vec<f32> = rows.iter().map(|x| 2.0 * x).collect();
        let tsne = Tsne { perplexity: 5.0, iterations: 60 };
        assert_eq!(tsne.map(&rows, 8), tsne.map(&doubled, 8));
    }

    #[test]
    fn perplexities_are_met() {
        let units = unit_length(&planted(4, 40, 16, 0.2), 16).unwrap();
        for perplexity in [1.5, 5.0, 30.0, 53.0] {
            let mut p: Vec<f32> =
                units.chunks(16).map(|unit| squared_distance(unit, &units[7 * 16..8 * 16])).collect();
            neighbours(&mut p, 7, perplexity);
            assert_eq!(p[7], 0.0);
            let entropy: f64 = wide(&p).iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            assert!((entropy.exp() / perplexity - 1.0).abs() < 1e-5, "{perplexity}: {}", entropy.exp());
        }
    }

    #[test]
    fn duplicates_lie_together() {
        // Each of 12 embeddings 20 times, more than the perplexity.
        let distinct = normal(12, 6, 4);
        let rows: Vec<f32> = distinct.chunks(6).flat_map(|row| row.repeat(20)).collect();
        let map = Tsne { perplexity: 5.0, iterations: 750 }.map(&rows, 6).unwrap();
        assert!(map.points.iter().flatten().all(|x| x.is_finite()));
        assert_eq!(purity(&map.points, 20), 1.0);
    }

    #[test]
    fn equal_embeddings_are_one_point() {
        let map = Tsne::default().map(&[0.3, -0.4, 0.5].repeat(40), 3).unwrap();
        assert_eq!(map.points, [[0.0; 2]; 40]);
        assert!(map.divergence.abs() < 1e-5, "{}", map.divergence);
    }

    #[test]
    fn few_embeddings_lower_the_perplexity() {
        for n in [4, 5, 7, 20, 60] {
            let map = Tsne::default().map(&normal(n, 16, 6), 16).unwrap();
            assert_eq!(map.perplexity, (n - 1) as f64 / 3.0);
            assert!(
                map.points.iter().flatten().all(|x| x.is_finite() && x.abs() < 1e4),
                "{n}: {:?}",
                map.points
            );
            let text = map.to_string();
            assert!(text.contains(" (lowered from 30: it is at most a third of the other points)"), "{text}");
            let start = Tsne { iterations: 0, ..Tsne::default() }.map(&normal(n, 16, 6), 16).unwrap();
            assert!(map.divergence < start.divergence, "{n}: {}, {}", start.divergence, map.divergence);
        }
    }

    #[test]
    fn what_cannot_be_mapped_says_why() {
        let error = |rows: &[f32], dim| Tsne::default().map(rows, dim).unwrap_err().to_string();
        assert_eq!(
            error(&[1.0; 6], 2),
            "a t-SNE map takes 4 to 5000 embeddings, there are 3; choose some of them"
        );
        assert!(error(&vec![1.0; 5001], 1).contains("there are 5001"));
        assert!(
            error(&[1.0, 1.0, f32::NAN, 1.0], 1).starts_with("embedding 2, counted from 0, has a number")
        );
        assert!(error(&[1.0, 1.0, 0.0, 1.0], 1).starts_with("embedding 2, counted from 0, is zero"));
        assert!(error(&[1.0; 5], 2).starts_with("5 numbers are not a whole number"));
        for perplexity in [0.5, f64::NAN, f64::INFINITY, -3.0] {
            let error = Tsne { perplexity, iterations: 10 }.map(&[1.0; 8], 1).unwrap_err();
            assert!(matches!(error, TsneError::Perplexity { .. }));
        }
    }

    #[test]
    fn numbers_of_any_size() {
        let rows = planted(3, 8, 5, 0.1);
        for scale in [1e-38_f32, 1e30] {
            let scaled: Vec<f32> = rows.iter().map(|x| x * scale).collect();
            let map = Tsne { perplexity: 4.0, iterations: 300 }.map(&scaled, 5).unwrap();
            assert_eq!(purity(&map.points, 8), 1.0);
        }
    }
}
