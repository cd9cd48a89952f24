//! Files of weights: which ones are known, and that a file holds what a network needs.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};

/// A file of weights, as the authors of the port published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightFile {
    /// Its name.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

/// The weights of the three networks: the P-, the R- and the O-Net.
///
/// They are those of kpzhang93/MTCNN_face_detection_alignment, in PyTorch's layout; the fully connected layers expect
/// features in the order channel, column, row.
pub const WEIGHT_FILES: [WeightFile; 3] = [
    WeightFile {
        name: "pnet.safetensors",
        size: 27_568,
        sha256: "c58d68e533f70675e58b3fa01f34ed9e2e28269e2758fca5d7e621f888931ff8",
    },
    WeightFile {
        name: "rnet.safetensors",
        size: 402_024,
        sha256: "c480f1c7dccf4bea80f09d6f83eb8b4e9b2c7baad8c312b05dfd47602e961eaf",
    },
    WeightFile {
        name: "onet.safetensors",
        size: 1_557_896,
        sha256: "1ed6bb8fb82fca60c68d40fbd359b16e266068e19242363ef5d97ee61357528b",
    },
];

/// Why files are no weights of MTCNN.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum WeightError {
    /// A file is not there or cannot be read.
    #[error(
        "the weights {} cannot be read: {source}; the folder must hold {}",
        path.display(), WEIGHT_FILES.map(|file| file.name).join(", ")
    )]
    Unreadable { path: PathBuf, source: io::Error },
    /// A file is another one.
    #[error(
        "{} is not the file of weights it should be: its SHA-256 is {found}, that of MTCNN's {} is {wanted}",
        path.display(), path.file_name().unwrap_or_default().display()
    )]
    OtherFile { path: PathBuf, found: String, wanted: &'static str },
    /// A file does not hold what its network needs.
    #[error("the weights of the {network} cannot be used: {problem}")]
    Unfit { network: &'static str, problem: String },
}

/// The bytes of [`WEIGHT_FILES`] in `folder`, each of which has the SHA-256 that is known.
///
/// # Errors
/// If a file is missing, cannot be read, or is another one.
pub fn read_weights(folder: &Path) -> Result<[Vec<u8>; 3], WeightError> {
    let mut files = WEIGHT_FILES.map(|_| Vec::new());
    for (bytes, known) in files.iter_mut().zip(WEIGHT_FILES) {
        let path = folder.join(known.name);
        // One byte more would be another file.
        *bytes = match facegrad_files::read_bounded(&path, known.size) {
            Ok(bytes) => bytes,
            Err(source) => return Err(WeightError::Unreadable { path, source }),
        };
        let found = facegrad_files::sha256(bytes);
        if found != known.sha256 {
            return Err(WeightError::OtherFile { path, found, wanted: known.sha256 });
        }
    }
    Ok(files)
}

/// The tensors of one network.
pub(super) struct Tensors {
    network: &'static str,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Tensors {
    /// Those in a safetensors file.
    pub fn parse(network: &'static str, bytes: &[u8]) -> Result<Self, WeightError> {
        let unfit = |problem: String| WeightError::Unfit { network, problem };
        let file = SafeTensors::deserialize(bytes)
            .map_err(|error| unfit(format!("it is no safetensors file: {error}")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(unfit(format!("{name} is of {:?}, not of F32", view.dtype())));
            }
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            if !values.iter().all(|value| value.is_finite()) {
                return Err(unfit(format!("{name} holds a number that is not finite")));
            }
            tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
        }
        Ok(Self { network, tensors })
    }

    /// Takes out the tensor `name`, which must be of `shape`.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightError> {
        let unfit = |problem: String| WeightError::Unfit { network: self.network, problem };
        match self.tensors.remove(name) {
            Some((found, values)) if found == shape => Ok(values),
            Some((found, _)) => Err(unfit(format!("{name} is of shape {found:?}, not {shape:?}"))),
            None => Err(unfit(format!("{name} of shape {shape:?} is missing"))),
        }
    }

    /// An error if there are tensors that nobody took.
    pub fn finish(self) -> Result<(), WeightError> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => {
                let problem = format!("{name} belongs to another network");
                Err(WeightError::Unfit { network: self.network, problem })
            }
        }
    }
}
