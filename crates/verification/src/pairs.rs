//! Which pairs of images to compare.
//!
//! Each way to come by a list is one file: [`PairList::lfw`] reads the files of Labeled Faces in the Wild,
//! [`PairList::generate`] draws pairs from any labelled set.

mod generate;
mod lfw;

use std::{collections::BTreeSet, fmt, fmt::Write, path::PathBuf};

use sha2::{Digest, Sha256};

/// Two images to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Position of the one image in [`PairList::images`].
    pub a: usize,
    /// Position of the other image.
    pub b: usize,
    /// Whether both show the same person.
    pub same: bool,
    /// The fold the pair belongs to, from 0.
    pub fold: usize,
}

/// Pairs of images, in folds.
///
/// `I` names an image: a relative path without extension for a list read from a file, the position in the
/// labelled set for a generated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairList<I = String> {
    images: Vec<I>,
    pairs: Vec<Pair>,
}

impl<I> PairList<I> {
    /// The distinct images, in the order of their first mention. These are what is to be embedded.
    pub fn images(&self) -> &[I] {
        &self.images
    }

    /// The pairs, fold by fold.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The number of folds.
    pub fn folds(&self) -> usize {
        self.pairs.iter().map(|pair| pair.fold).collect::<BTreeSet<_>>().len()
    }

    /// The number of pairs that show the same person.
    pub fn genuine(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.same).count()
    }

    /// The number of pairs that show different people.
    pub fn impostor(&self) -> usize {
        self.pairs.len() - self.genuine()
    }

    /// The same list with its images named otherwise, such as by path instead of position.
    pub fn rename<J>(self, name: impl FnMut(I) -> J) -> PairList<J> {
        PairList { images: self.images.into_iter().map(name).collect(), pairs: self.pairs }
    }
}

impl<I: fmt::Display> PairList<I> {
    /// SHA-256, in hexadecimal, of the pairs: image names, same or different, and fold of each, in order.
    ///
    /// It does not depend on line ends or spacing of the file the list was read from, nor on the pixels.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for pair in &self.pairs {
            let (a, b) = (&self.images[pair.a], &self.images[pair.b]);
            hash.update(format!("{}\t{}\t{a}\t{b}\n", pair.fold, u8::from(pair.same)));
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Why there is no list of pairs.
#[derive(Debug, thiserror::Error)]
pub enum PairsError {
    /// The file cannot be read.
    #[error("cannot read the pair list {}: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file is larger than any list of pairs.
    #[error("{} has {bytes} bytes; a pair list has at most {limit}", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The size up to which a list is read.
        limit: u64,
    },
    /// A line does not say what it should.
    #[error("{}:{line}: expected {expected}, found {found}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Zero folds or zero pairs were asked for.
    #[error("a list of {folds} folds with {per_class} pairs of each class is empty; both must be at least 1")]
    Empty {
        /// The number of folds asked for.
        folds: usize,
        /// The number of pairs of each class in a fold asked for.
        per_class: usize,
    },
    /// The labelled set is too small for the list asked for.
    #[error(
        "the images that fall to fold {fold} ({identities} identities, {images} images) form only {available} {class} \
         pairs, not {wanted}; ask for fewer folds or fewer pairs, or add images"
    )]
    TooFewImages {
        /// The first fold that cannot be filled, from 0.
        fold: usize,
        /// How many identities fall to it.
        identities: usize,
        /// How many images they have.
        images: usize,
        /// How many pairs can be formed.
        available: usize,
        /// `genuine` or `impostor`.
        class: &'static str,
        /// How many pairs were asked for.
        wanted: usize,
    },
}
