//! Which pairs of images to compare.
//!
//! Each way to come by a list is one file: [`PairList::read`] reads lists as people write them,
//! [`PairList::lfw`] the files of Labeled Faces in the Wild, [`PairList::cfp`] those of Celebrities in
//! Frontal-Profile; [`PairList::generate`] draws pairs from any labelled set.

mod cfp;
mod generate;
mod lfw;
mod list;
mod reading;
mod table;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::PathBuf,
};

pub use cfp::CfpProtocol;
use facegrad_files::hexadecimal;
use facegrad_results::numbers::thousands;
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
    people: Vec<usize>,
    names_people: bool,
    repeats: usize,
    remarks: Vec<String>,
}

impl<I> PairList<I> {
    /// A list of `pairs` of `images`. `people[i]` tells the images of different people apart, where the source
    /// of the list says who is on them; without it, images that genuine pairs connect are of one person, and
    /// two of its people may be one in truth.
    ///
    /// # Panics
    /// If a pair or `people` does not fit `images`.
    pub fn new(images: Vec<I>, pairs: Vec<Pair>, people: Option<Vec<usize>>) -> Self {
        assert!(
            pairs.iter().all(|pair| pair.a.max(pair.b) < images.len()),
            "pairs of {} images",
            images.len()
        );
        let names_people = people.is_some();
        let people = people.unwrap_or_else(|| connected(images.len(), &pairs));
        assert_eq!(people.len(), images.len(), "a person for each image");
        Self { images, pairs, people, names_people, repeats: 0, remarks: Vec::new() }
    }

    /// The distinct images, in the order of their first mention. These are what is to be embedded.
    pub fn images(&self) -> &[I] {
        &self.images
    }

    /// The pairs, fold by fold.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Who is on each image, as a number.
    pub fn people(&self) -> &[usize] {
        &self.people
    }

    /// Whether the source of the list said who is on each image; if not, [`PairList::people`] is what follows
    /// from the genuine pairs.
    pub fn names_people(&self) -> bool {
        self.names_people
    }

    /// How many pairs the source of the list named again, the same way or the other way round. They are left out:
    /// what is said twice is no second measurement.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// How many pairs the source of the list named again, in words, if it did.
    pub fn repeats_in_words(&self) -> Option<String> {
        repeats_in_words(self.repeats)
    }

    /// What is to be known of how the list was read, a sentence each.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
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

    /// The images at `positions` with pairs of these, numbered anew.
    pub(crate) fn selected(&self, positions: &[usize], pairs: Vec<Pair>) -> Self
    where
        I: Clone,
    {
        Self {
            images: positions.iter().map(|&image| self.images[image].clone()).collect(),
            people: positions.iter().map(|&image| self.people[image]).collect(),
            pairs,
            names_people: self.names_people,
            repeats: self.repeats,
            remarks: self.remarks.clone(),
        }
    }

    /// The same list with its images named otherwise, such as by path instead of position.
    pub fn rename<J>(self, name: impl FnMut(I) -> J) -> PairList<J> {
        let Self { images, pairs, people, names_people, repeats, remarks } = self;
        let images = images.into_iter().map(name).collect();
        PairList { images, pairs, people, names_people, repeats, remarks }
    }
}

/// How many pairs a list named again, in words, if it did.
pub(crate) fn repeats_in_words(repeats: usize) -> Option<String> {
    (repeats > 0).then(|| format!("{} more pairs were listed again and count once", thousands(repeats)))
}

/// The group of each of `images` images that genuine pairs connect: the lowest image of it.
fn connected(images: usize, pairs: &[Pair]) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..images).collect();
    fn root(parent: &mut [usize], mut image: usize) -> usize {
        while parent[image] != image {
            parent[image] = parent[parent[image]];
            image = parent[image];
        }
        image
    }
    for pair in pairs.iter().filter(|pair| pair.same) {
        let (a, b) = (root(&mut parent, pair.a), root(&mut parent, pair.b));
        parent[a.max(b)] = a.min(b);
    }
    (0..images).map(|image| root(&mut parent, image)).collect()
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
        hexadecimal(&hash.finalize())
    }
}

/// A number for each identity in the order of the images, if each image has one and no pair says otherwise.
fn people<'a>(
    images: &'a [String],
    pairs: &[Pair],
    identity: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<Vec<usize>> {
    let mut numbers = HashMap::new();
    let people = images.iter().map(|image| {
        let next = numbers.len();
        Some(*numbers.entry(identity(image)?).or_insert(next))
    });
    let people: Vec<usize> = people.collect::<Option<_>>()?;
    pairs.iter().all(|pair| (people[pair.a] == people[pair.b]) == pair.same).then_some(people)
}

/// Why there is no list of pairs, apart from what is wrong with a file that has one
/// ([`ListError`](crate::ListError)).
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum PairsError {
    /// The list cannot be written.
    #[error("cannot write the pair list {}: {cause}", file.display())]
    Unwritable {
        file: PathBuf,
        /// What the system says, or what is wrong with the list.
        cause: std::io::Error,
    },
    /// The pairs cannot be cut into that many folds.
    #[error(
        "{pairs} {class} pairs cannot be cut into {folds} folds; from 1 to as many folds as pairs are right"
    )]
    Folds {
        folds: usize,
        /// `genuine` or `impostor`.
        class: &'static str,
        pairs: usize,
    },
    /// Zero folds or zero pairs were asked for.
    #[error("a list of {folds} folds with {per_class} pairs of each class is empty; both must be at least 1")]
    Empty {
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
        identities: usize,
        images: usize,
        available: usize,
        /// `genuine` or `impostor`.
        class: &'static str,
        wanted: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_people_follow_from_the_genuine_pairs() {
        let pair = |a, b, same| Pair { a, b, same, fold: 0 };
        let pairs = vec![pair(4, 3, true), pair(1, 2, false), pair(3, 1, true), pair(0, 5, true)];
        let list = PairList::new(vec!["a", "b", "c", "d", "e", "f"], pairs, None);
        assert_eq!(list.people(), [0, 1, 2, 1, 1, 0]);
        assert!(!list.names_people());
    }
}
