//! Whitening and mean removal, fitted on embeddings of training data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pca::project;
use crate::rows::unit_length;
use crate::{EmbeddingMoments, Origin, OriginDifference, Pca, PcaError, RowsError};

/// How many numbers an embedding keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptComponents {
    /// All of them as they are: the mean is subtracted and nothing is whitened.
    Centre,
    /// The components of largest variance, this many, or all that vary if those are fewer.
    Components(usize),
    /// The fewest components that hold this share of the variance, above 0 and at most 1.
    Share(f64),
}

/// How embeddings are whitened.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WhiteningConfig {
    /// How many numbers an embedding keeps.
    pub keep: KeptComponents,
    /// Variances below this share of the largest are taken to be that share, so that directions which hardly
    /// vary in the training data are not blown up; from 0, which only drops what has no variance, to 1.
    pub floor: f64,
    /// Whether every embedding is brought to unit length first, in the fit as well as later: for models whose
    /// embeddings are compared by the cosine, which does not see their lengths.
    pub unit_length: bool,
}

impl Default for WhiteningConfig {
    /// All components, a floor of 1e-6, unit length.
    fn default() -> Self {
        Self { keep: KeptComponents::Share(1.0), floor: 1e-6, unit_length: true }
    }
}

/// The embeddings that something is fitted on: training data, never what is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitSet {
    /// A name, such as that of the file.
    pub name: String,
    /// SHA-256 of the file, or of the numbers, in hexadecimal digits.
    pub sha256: String,
    /// Where they come from, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Why embeddings are not whitened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum WhiteningError {
    /// No principal components.
    #[error(transparent)]
    Pca(#[from] PcaError),
    /// A setting out of range.
    #[error("whitening: {key} is {value}; it must be {range}")]
    Setting { key: &'static str, value: f64, range: &'static str },
    /// More components than an embedding has numbers.
    #[error(
        "whitening to {asked} components needs embeddings of as many numbers; those of {name} have {dim}"
    )]
    TooManyComponents { asked: usize, dim: usize, name: String },
    /// Not enough embeddings to fit on.
    #[error("{name} has {rows} embeddings; a fit of {needs} needs more than {limit}")]
    TooFew { name: String, rows: usize, needs: String, limit: usize },
    /// Embeddings that are all equal.
    #[error("the {rows} embeddings of {name} are all equal, so there is nothing to whiten by")]
    NoVariance { name: String, rows: usize },
    /// The fit set is what is evaluated.
    #[error(
        "{name} is what the whitening was fitted on; to evaluate there is to look at the answers, so fit on other data"
    )]
    SameData { name: String },
    /// Embeddings that were made in another way than those of the fit.
    #[error("the whitening was fitted on {name}, made in another way than what is evaluated: {difference}")]
    OtherOrigin { name: String, difference: OriginDifference },
}

impl From<RowsError> for WhiteningError {
    fn from(error: RowsError) -> Self {
        Self::Pca(error.into())
    }
}

/// The fit of a [`Whitening`] to embeddings that come in portions.
#[derive(Debug, Clone)]
pub struct WhiteningFit {
    config: WhiteningConfig,
    fitted_on: FitSet,
    moments: EmbeddingMoments,
}

impl WhiteningFit {
    /// A fit to embeddings of `dim` numbers.
    ///
    /// # Errors
    /// If a setting is out of range or asks for more than `dim` components.
    pub fn new(config: WhiteningConfig, dim: usize, fit_set: FitSet) -> Result<Self, WhiteningError> {
        let setting = |key, value, range| Err(WhiteningError::Setting { key, value, range });
        if !(0.0..=1.0).contains(&config.floor) {
            return setting("floor", config.floor, "from 0 to 1");
        }
        let moments = match config.keep {
            KeptComponents::Centre => EmbeddingMoments::mean_only(dim)?,
            KeptComponents::Components(0) => return setting("components", 0.0, "at least 1"),
            KeptComponents::Components(asked) if asked > dim => {
                return Err(WhiteningError::TooManyComponents { asked, dim, name: fit_set.name });
            }
            KeptComponents::Share(share) if !(share > 0.0 && share <= 1.0) => {
                return setting("share", share, "above 0 and at most 1");
            }
            KeptComponents::Components(_) | KeptComponents::Share(_) => EmbeddingMoments::new(dim)?,
        };
        Ok(Self { config, fitted_on: fit_set, moments })
    }

    /// Takes further embeddings of the fit set.
    ///
    /// # Shapes
    /// - `rows`: `[n, dim]`, row by row
    ///
    /// # Errors
    /// If the slice is not of this shape, a number is not finite, or an embedding is zero where unit length is
    /// asked for; nothing is taken then.
    pub fn add(&mut self, rows: &[f32]) -> Result<(), WhiteningError> {
        if self.config.unit_length {
            self.moments.add(&unit_length(rows, self.moments.dim())?)?;
        } else {
            self.moments.add(rows)?;
        }
        Ok(())
    }

    /// The whitening.
    ///
    /// # Errors
    /// If there are not more embeddings than components, all are equal, or the eigenvalues are not found.
    pub fn finish(self) -> Result<Whitening, WhiteningError> {
        let Self { config, fitted_on, moments } = self;
        let dim = moments.dim();
        let (rows, name) = (moments.rows(), fitted_on.name.clone());
        let too_few =
            |needs: String, limit| WhiteningError::TooFew { name: name.clone(), rows, needs, limit };
        let (mean, matrix, whitened) = match config.keep {
            KeptComponents::Centre if rows == 0 => return Err(too_few("the mean".into(), 0)),
            KeptComponents::Centre => (moments.finish().1, Vec::new(), None),
            KeptComponents::Components(k) if rows <= k => return Err(too_few(format!("{k} components"), k)),
            KeptComponents::Share(_) if rows < 2 => return Err(too_few("components".into(), 1)),
            KeptComponents::Components(_) | KeptComponents::Share(_) => {
                let pca = Pca::of(moments)?;
                if pca.rank() == 0 {
                    return Err(WhiteningError::NoVariance { name, rows });
                }
                let k = kept(&pca, config.keep);
                let least = config.floor * pca.variances()[0];
                let scaled = pca.components().chunks(dim).zip(pca.variances()).take(k);
                let matrix = scaled
                    .flat_map(|(component, variance)| {
                        let deviation = variance.max(least).sqrt();
                        component.iter().map(move |x| x / deviation)
                    })
                    .collect();
                let floored = pca.variances()[..k].iter().filter(|variance| **variance < least).count();
                (
                    pca.mean().to_vec(),
                    matrix,
                    Some(WhitenedComponents { components: k, share: pca.share(k), floored }),
                )
            }
        };
        let description = WhiteningDescription { config, fitted_on, rows, dim, whitened };
        Ok(Whitening { mean, matrix, description })
    }
}

fn kept(pca: &Pca, keep: KeptComponents) -> usize {
    match keep {
        KeptComponents::Components(k) => k.min(pca.rank()),
        // Where rounding leaves the sum below the share, all components do.
        KeptComponents::Share(share) => {
            (1..pca.rank()).find(|&k| share < 1.0 && pca.share(k) >= share).unwrap_or(pca.rank())
        }
        KeptComponents::Centre => pca.dim(),
    }
}

/// Subtracts the mean of training embeddings and scales their principal components to unit variance.
///
/// With [`KeptComponents::Centre`] only the mean is subtracted. The results are not brought to unit length: the cosine
/// does that. PCA whitening as in Jégou and Chum, "Negative evidences and co-occurrences in image retrieval:
/// the benefit of PCA and whitening" (2012), with variances divided by n − 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    mean: Vec<f64>,
    /// `[k, dim]`; empty where only the mean is subtracted.
    matrix: Vec<f64>,
    description: WhiteningDescription,
}

impl Whitening {
    /// The length of the embeddings that it is for.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The length of an embedding afterwards.
    pub fn output_dim(&self) -> usize {
        if self.matrix.is_empty() { self.dim() } else { self.matrix.len() / self.dim() }
    }

    /// What it does and what it was fitted on, for results.
    pub fn description(&self) -> &WhiteningDescription {
        &self.description
    }

    /// The embeddings whitened.
    ///
    /// # Shapes
    /// - `rows`: `[n, dim]`, row by row
    /// - result: `[n, output_dim]`
    ///
    /// # Errors
    /// If the slice is not of this shape, a number is not finite or too large afterwards, or an embedding is
    /// zero where unit length is asked for.
    pub fn apply(&self, rows: &[f32]) -> Result<Vec<f32>, WhiteningError> {
        let units;
        let rows = if self.description.config.unit_length {
            units = unit_length(rows, self.dim())?;
            &units
        } else {
            rows
        };
        Ok(if self.matrix.is_empty() {
            centre(rows, &self.mean)?
        } else {
            project(rows, &self.mean, &self.matrix)?
        })
    }

    /// An error if the data to evaluate, given by its SHA-256, is what the fit was made on.
    ///
    /// # Errors
    /// If it is. Sets that share some embeddings only are not recognised.
    pub fn refuse_fit_set(&self, sha256: &str) -> Result<(), WhiteningError> {
        let fitted_on = &self.description.fitted_on;
        if fitted_on.sha256.eq_ignore_ascii_case(sha256) {
            return Err(WhiteningError::SameData { name: fitted_on.name.clone() });
        }
        Ok(())
    }

    /// An error if embeddings of `origin` were made in another way than those of the fit: by another model, or with
    /// another flip fusion.
    ///
    /// # Errors
    /// If they were, as far as both are known.
    pub fn check_origin(&self, origin: &Origin) -> Result<(), WhiteningError> {
        let FitSet { name, origin: fitted, .. } = &self.description.fitted_on;
        match fitted.as_ref().and_then(|fitted| fitted.difference(origin)) {
            Some(difference) => Err(WhiteningError::OtherOrigin { name: name.clone(), difference }),
            None => Ok(()),
        }
    }
}

/// What a [`Whitening`] does and what it was fitted on, as a result states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhiteningDescription {
    /// The settings.
    #[serde(flatten)]
    pub config: WhiteningConfig,
    /// The embeddings of the fit.
    pub fitted_on: FitSet,
    /// How many embeddings those are.
    pub rows: usize,
    /// How many numbers each has.
    pub dim: usize,
    /// The components, unless only the mean is subtracted.
    pub whitened: Option<WhitenedComponents>,
}

/// The components of a [`Whitening`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WhitenedComponents {
    /// How many there are.
    pub components: usize,
    /// The share of the variance of the fit set that they hold.
    pub share: f64,
    /// How many have a variance below the floor, so that they are scaled to less than unit variance.
    pub floored: usize,
}

impl fmt::Display for WhiteningDescription {
    /// `whitening: 128 of 512 components (97.3 % of the variance) of faces-train.npz (SHA-256 …, 5,000
    /// embeddings of unit length), floor 1e-6 (0 components below it)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, fitted_on, rows, dim, whitened } = self;
        match whitened {
            None => f.write_str("mean removal: the mean")?,
            Some(WhitenedComponents { components, share, .. }) => {
                let percent = share * 100.0;
                write!(f, "whitening: {components} of {dim} components ({percent:.1} % of the variance)")?;
            }
        }
        let unit_length = if config.unit_length { "of unit length" } else { "of the length they have" };
        let FitSet { name, sha256, .. } = fitted_on;
        write!(f, " of {name} (SHA-256 {sha256}, {rows} embeddings {unit_length})")?;
        match whitened {
            None => Ok(()),
            Some(WhitenedComponents { floored, .. }) => {
                write!(f, ", variance floor {:e} of the largest ({floored} below it)", config.floor)
            }
        }
    }
}

/// The rows less the mean.
fn centre(rows: &[f32], mean: &[f64]) -> Result<Vec<f32>, PcaError> {
    crate::rows::check(rows, mean.len())?;
    let centred: Vec<f32> = rows
        .chunks(mean.len())
        .flat_map(|row| row.iter().zip(mean).map(|(x, m)| (f64::from(*x) - m) as f32))
        .collect();
    match centred.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(PcaError::Overflow { row: index / mean.len() }),
        None => Ok(centred),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, normal, wide};

    fn set() -> FitSet {
        FitSet { name: "faces-train.npz".into(), sha256: "5a".repeat(32), origin: None }
    }

    fn fit(
        config: WhiteningConfig,
        rows: &[f32],
        dim: usize,
        set: FitSet,
    ) -> Result<Whitening, WhiteningError> {
        let mut fit = WhiteningFit::new(config, dim, set)?;
        fit.add(rows)?;
        fit.finish()
    }

    fn config(keep: KeptComponents) -> WhiteningConfig {
        WhiteningConfig { keep, floor: 0.0, unit_length: false }
    }

    /// Correlated rows with variances of very different size, far from zero.
    fn rows(n: usize, dim: usize) -> Vec<f32> {
        let mut rows = normal(n, dim, 7);
        for row in rows.chunks_mut(dim) {
            for j in 1..dim {
                row[j] = row[j] * 0.5_f32.powi(j as i32) + row[j - 1] * 0.7;
            }
            row.iter_mut().for_each(|x| *x += 3.0);
        }
        rows
    }

    /// The covariance of rows, `[dim, dim]`, divided by n − 1, by two plain passes.
    fn covariance(rows: &[f32], dim: usize) -> Vec<f64> {
        let n = rows.len() / dim;
        let at = |i: usize, j: usize| f64::from(rows[i * dim + j]);
        let mean: Vec<f64> = (0..dim).map(|j| (0..n).map(|i| at(i, j)).sum::<f64>() / n as f64).collect();
        let product =
            |j: usize, k: usize| (0..n).map(|i| (at(i, j) - mean[j]) * (at(i, k) - mean[k])).sum::<f64>();
        (0..dim * dim).map(|jk| product(jk / dim, jk % dim) / (n - 1) as f64).collect()
    }

    fn identity(dim: usize) -> Vec<f64> {
        (0..dim * dim).map(|jk| f64::from(jk / dim == jk % dim)).collect()
    }

    #[test]
    fn whitened_rows_are_those_of_scikit_learn() {
        for case in cases() {
            let keep = KeptComponents::Components(case.whitened_components);
            let whitening = fit(config(keep), &case.rows, case.dim, set()).unwrap();
            assert_eq!(whitening.output_dim(), case.whitened_components);
            assert_close(&case.name, &wide(&whitening.apply(&case.other).unwrap()), &case.whitened, 1e-6);
        }
    }

    #[test]
    fn whitened_fit_data_has_unit_covariance() {
        let (n, dim) = (700, 8);
        let rows = rows(n, dim);
        for (keep, k) in [
            (KeptComponents::Components(3), 3),
            (KeptComponents::Components(8), 8),
            (KeptComponents::Share(1.0), 8),
        ] {
            for unit_length in [false, true] {
                let config = WhiteningConfig { unit_length, ..config(keep) };
                let whitening = fit(config, &rows, dim, set()).unwrap();
                let whitened = whitening.apply(&rows).unwrap();
                assert_close("covariance", &covariance(&whitened, k), &identity(k), 1e-4);
                let sum: f64 = wide(&whitened).iter().sum();
                assert!((sum / (n * k) as f64).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn whitened_distances_do_not_depend_on_the_axes() {
        // Shifted and stretched data whitens to the same up to a rotation, so distances stay.
        let (n, dim) = (200, 4);
        let plain = rows(n, dim);
        let moved: Vec<f32> = plain
            .chunks(dim)
            .flat_map(|r| [10.0 * r[1] - 4.0, r[0] + r[2], r[2] - 0.25 * r[3] + 100.0, r[3]])
            .collect();
        let distances = |rows: &[f32]| -> Vec<f64> {
            let whitened =
                fit(config(KeptComponents::Share(1.0)), rows, dim, set()).unwrap().apply(rows).unwrap();
            let row = |i: usize| &whitened[i * dim..(i + 1) * dim];
            let distance =
                |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from((x - y).powi(2))).sum();
            (1..n).map(|i| distance(row(0), row(i))).collect()
        };
        assert_close("distances", &distances(&moved), &distances(&plain), 1e-2);
    }

    #[test]
    fn unit_length_makes_lengths_irrelevant() {
        let (n, dim) = (60, 5);
        let rows = rows(n, dim);
        let scaled: Vec<f32> =
            rows.chunks(dim).zip(1..).flat_map(|(row, i)| row.iter().map(move |x| x * i as f32)).collect();
        let config = WhiteningConfig { keep: KeptComponents::Components(3), ..WhiteningConfig::default() };
        let one = fit(config, &rows, dim, set()).unwrap();
        let two = fit(config, &scaled, dim, set()).unwrap();
        assert_close("scaled", &wide(&two.apply(&rows).unwrap()), &wide(&one.apply(&scaled).unwrap()), 1e-4);
    }

    #[test]
    fn mean_removal() {
        let rows = [1.0, 10.0, 3.0, 30.0];
        let whitening = fit(config(KeptComponents::Centre), &rows, 2, set()).unwrap();
        assert_eq!(whitening.output_dim(), 2);
        assert_eq!(whitening.apply(&rows), Ok(vec![-1.0, -10.0, 1.0, 10.0]));
        assert_eq!(whitening.apply(&[0.0, 0.0]), Ok(vec![-2.0, -20.0]));
        assert_eq!(
            whitening.description().to_string(),
            format!(
                "mean removal: the mean of faces-train.npz (SHA-256 {}, 2 embeddings of the length they have)",
                "5a".repeat(32)
            )
        );
        let far = fit(config(KeptComponents::Centre), &[f32::MIN], 1, set()).unwrap();
        assert!(matches!(
            far.apply(&[0.0, f32::MAX]),
            Err(WhiteningError::Pca(PcaError::Overflow { row: 1 }))
        ));
    }

    #[test]
    fn a_floor_keeps_small_variances_small() {
        // Variances 2 and 2e-10 along the axes.
        let rows = [1.0, 1e-5, 1.0, -1e-5, -1.0, 1e-5, -1.0, -1e-5, 0.0, 0.0];
        let whitened = |floor| {
            let config = WhiteningConfig { floor, ..config(KeptComponents::Components(2)) };
            let whitening = fit(config, &rows, 2, set()).unwrap();
            (whitening.apply(&rows).unwrap(), whitening.description().whitened.unwrap().floored)
        };
        let (plain, floored) = whitened(0.0);
        assert_eq!(floored, 0);
        assert_close("covariance", &covariance(&plain, 2), &identity(2), 1e-6);
        let (with_floor, floored) = whitened(1e-6);
        assert_eq!(floored, 1);
        assert_close("covariance", &covariance(&with_floor, 2), &[1.0, 0.0, 0.0, 1e-4], 1e-9);
    }

    #[test]
    fn components_without_variance_are_dropped() {
        for case in cases().iter().filter(|case| case.name == "rows in a plane") {
            let fitted = |keep| fit(config(keep), &case.rows, case.dim, set()).unwrap();
            for keep in
                [KeptComponents::Components(5), KeptComponents::Share(1.0), KeptComponents::Share(0.999)]
            {
                assert_eq!(fitted(keep).output_dim(), 2);
            }
            assert_eq!(fitted(KeptComponents::Share(0.5)).output_dim(), 1);
            assert_eq!(fitted(KeptComponents::Share(1e-9)).output_dim(), 1);
        }
    }

    #[test]
    fn a_result_can_say_what_was_fitted_on_what() {
        let config = WhiteningConfig { keep: KeptComponents::Components(2), ..WhiteningConfig::default() };
        let whitening = fit(config, &rows(50, 4), 4, set()).unwrap();
        let description = whitening.description();
        let text = description.to_string();
        assert!(text.starts_with("whitening: 2 of 4 components (9"), "{text}");
        let end = "5a, 50 embeddings of unit length), variance floor 1e-6 of the largest (0 below it)";
        assert!(text.ends_with(end), "{text}");
        let json = serde_json::to_string(description).unwrap();
        assert_eq!(serde_json::from_str::<WhiteningDescription>(&json).unwrap().to_string(), text);
        assert!(json.contains(r#""keep":{"components":2}"#) && json.contains("faces-train.npz"), "{json}");

        let error = whitening.refuse_fit_set(&"5A".repeat(32)).unwrap_err().to_string();
        assert!(error.starts_with("faces-train.npz is what the whitening was fitted on"), "{error}");
        assert_eq!(whitening.refuse_fit_set(&"5b".repeat(32)), Ok(()));
    }

    #[test]
    fn a_fit_set_without_a_file() {}

    #[test]
    fn what_cannot_be_fitted_says_why() {
        let error = |keep, rows: &[f32], dim| fit(config(keep), rows, dim, set()).unwrap_err().to_string();
        assert_eq!(
            error(KeptComponents::Components(3), &normal(3, 4, 1), 4),
            "faces-train.npz has 3 embeddings; a fit of 3 components needs more than 3"
        );
        assert_eq!(
            error(KeptComponents::Components(5), &normal(9, 4, 1), 4),
            "whitening to 5 components needs embeddings of as many numbers; those of faces-train.npz have 4"
        );
        assert_eq!(
            error(KeptComponents::Components(2), &[0.25; 40], 4),
            "the 10 embeddings of faces-train.npz are all equal, so there is nothing to whiten by"
        );
        assert_eq!(
            error(KeptComponents::Share(0.0), &[0.25; 40], 4),
            "whitening: share is 0; it must be above 0 and at most 1"
        );
        assert!(error(KeptComponents::Share(f64::NAN), &[], 4).contains("share is NaN"));
        assert!(error(KeptComponents::Components(0), &[], 4).contains("components is 0"));
        assert!(
            error(KeptComponents::Share(1.0), &[1.0; 4], 4)
                .contains("1 embeddings; a fit of components needs more than 1")
        );
        assert!(
            error(KeptComponents::Centre, &[], 4)
                .contains("0 embeddings; a fit of the mean needs more than 0")
        );
        assert!(error(KeptComponents::Centre, &[f32::NAN; 4], 4).starts_with("embedding 0"));
        let bad = WhiteningConfig { floor: f64::NAN, ..WhiteningConfig::default() };
        assert!(WhiteningFit::new(bad, 4, set()).is_err());

        let whitening = fit(WhiteningConfig::default(), &normal(9, 4, 1), 4, set()).unwrap();
        assert!(
            whitening
                .apply(&[0.0; 4])
                .unwrap_err()
                .to_string()
                .contains("embedding 0, counted from 0, is zero")
        );
        assert!(whitening.apply(&[1.0; 5]).is_err());
        assert_eq!(whitening.apply(&[]), Ok(vec![]));
    }

    #[test]
    fn embeddings_of_another_model_or_flip_are_not_whitened() {
        let origin = crate::origin::example();
        let fit = |origin| {
            let config = WhiteningConfig { keep: KeptComponents::Centre, ..WhiteningConfig::default() };
            let mut fit = WhiteningFit::new(config, 2, FitSet { origin, ..set() }).unwrap();
            fit.add(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
            fit.finish().unwrap()
        };
        let other = Origin { flip: facegrad_verification::Flip::None, ..origin.clone() };
        fit(None).check_origin(&other).unwrap();
        fit(Some(origin.clone())).check_origin(&origin).unwrap();
        let error = fit(Some(origin)).check_origin(&other).unwrap_err().to_string();
        assert_eq!(
            error,
            "the whitening was fitted on faces-train.npz, made in another way than what is evaluated: \
             the flip fusions add and none"
        );
    }
}
