//! What is done to embeddings before they are compared.

use std::path::{Path, PathBuf};

use facegrad::embeddings::{EmbeddingFile, FitSet, KeptComponents, Whitening, WhiteningConfig, WhiteningFit};

use crate::failure::Failure;

/// Whitening or centring, fitted on embeddings of training data.
#[derive(clap::Args, Clone)]
pub struct WhiteningArgs {
    /// Whiten embeddings by the principal components of these, a file of embeddings of TRAINING data of the
    /// same model (`facegrad embed`).
    #[arg(long, value_name = "EMBEDDINGS", conflicts_with = "centre_on")]
    whiten_on: Option<PathBuf>,
    /// How many components --whiten-on keeps; without it all that have variance.
    #[arg(long, requires = "whiten_on")]
    components: Option<usize>,
    /// Subtract the mean of these from embeddings, a file of embeddings of TRAINING data of the same model.
    #[arg(long, value_name = "EMBEDDINGS")]
    centre_on: Option<PathBuf>,
}

/// Rows read at a time.
const ROWS: usize = 4096;

impl WhiteningArgs {
    /// The transform, if one is asked for.
    pub fn fit(&self) -> Result<Option<Whitening>, Failure> {
        let (path, keep) = match (&self.whiten_on, &self.centre_on) {
            (Some(path), _) => {
                (path, self.components.map_or(KeptComponents::Share(1.0), KeptComponents::Components))
            }
            (None, Some(path)) => (path, KeptComponents::Centre),
            (None, None) => return Ok(None),
        };
        let file = EmbeddingFile::open(path).map_err(Failure::input)?;
        let sha256 = facegrad_files::sha256_of(path)
            .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
        let name = facegrad_files::name_of(Path::new(path.file_name().unwrap_or_default()));
        let config = WhiteningConfig { keep, ..WhiteningConfig::default() };
        let mut fit =
            WhiteningFit::new(config, file.dim(), FitSet { name, sha256, origin: file.origin().cloned() })
                .map_err(Failure::input)?;
        let mut rows = Vec::new();
        for start in (0..file.len()).step_by(ROWS) {
            let range = start..(start + ROWS).min(file.len());
            rows.resize(range.len() * file.dim(), 0.0);
            file.read_rows(range, &mut rows).map_err(Failure::input)?;
            fit.add(&rows).map_err(Failure::input)?;
        }
        fit.finish().map(Some).map_err(Failure::input)
    }
}
