//! A list of pairs while it is read: its images, each once, and its pairs with the lines they stand on.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use super::{Pair, PairList, people};
use crate::{ListError, list_file::Line};

/// Longer lists are not read: 4 million pairs take some 300 MB.
const MAX_PAIRS: usize = 4_000_000;

/// What has been read of a list.
#[derive(Default)]
pub(super) struct Reading {
    images: Vec<String>,
    positions: HashMap<String, usize>,
    pairs: Vec<Pair>,
    /// Where each pair stands: the number of a file of `files`, and the line, from 1.
    places: Vec<(u32, u32)>,
    files: Vec<PathBuf>,
    /// What is to be told of the list.
    pub remarks: Vec<String>,
}

impl Reading {
    /// Adds the pair that `line` lists.
    ///
    /// # Errors
    /// If it is one of an image with itself, or one too many.
    pub fn push(
        &mut self,
        line: &Line,
        images: [String; 2],
        same: bool,
        fold: usize,
    ) -> Result<(), ListError> {
        if self.pairs.len() == MAX_PAIRS {
            return Err(line.wrong(format!("at most {MAX_PAIRS} pairs")));
        }
        if images[0] == images[1] {
            return Err(line.wrong("two different images"));
        }
        if self.files.last().is_none_or(|file| file != line.file) {
            self.files.push(line.file.into());
        }
        let [a, b] = images.map(|image| self.position(image));
        self.pairs.push(Pair { a, b, same, fold });
        self.places.push((self.files.len() as u32 - 1, u32::try_from(line.number).unwrap_or(u32::MAX)));
        Ok(())
    }

    /// The position of an image, which is its first if it has none yet.
    fn position(&mut self, image: String) -> usize {
        if let Some(&position) = self.positions.get(&image) {
            return position;
        }
        self.images.push(image.clone());
        self.positions.insert(image, self.images.len() - 1);
        self.images.len() - 1
    }

    /// The list: each pair once, where it is mentioned first, in folds that are numbered from 0 without gaps.
    /// `identity` is the person that the name of an image tells, if it tells one; where it does so for all and
    /// no pair says otherwise, these are the people.
    ///
    /// # Errors
    /// If two lines say different things of the same two images.
    pub fn finish(
        mut self,
        identity: impl for<'a> Fn(&'a str) -> Option<&'a str>,
    ) -> Result<PairList, ListError> {
        let repeats = self.drop_repeats()?;
        let folds: BTreeSet<usize> = self.pairs.iter().map(|pair| pair.fold).collect();
        let numbers: HashMap<usize, usize> = folds.into_iter().zip(0..).collect();
        for pair in &mut self.pairs {
            pair.fold = numbers[&pair.fold];
        }
        self.pairs.sort_by_key(|pair| pair.fold);
        let people = people(&self.images, &self.pairs, identity);
        let list = PairList::new(self.images, self.pairs, people);
        Ok(PairList { repeats, remarks: self.remarks, ..list })
    }

    /// Leaves out pairs that were mentioned before, the same way or the other way round; their number.
    fn drop_repeats(&mut self) -> Result<usize, ListError> {
        let images = |pair: &Pair| (pair.a.min(pair.b), pair.a.max(pair.b));
        let mut order: Vec<usize> = (0..self.pairs.len()).collect();
        order.sort_unstable_by_key(|&k| (images(&self.pairs[k]), k));
        let mut repeated = vec![false; self.pairs.len()];
        let mut contradiction: Option<(usize, usize)> = None;
        for mentions in order.chunk_by(|&k, &l| images(&self.pairs[k]) == images(&self.pairs[l])) {
            let first = mentions[0];
            for &again in &mentions[1..] {
                repeated[again] = true;
                let earlier = contradiction.is_none_or(|(_, known)| again < known);
                if self.pairs[again].same != self.pairs[first].same && earlier {
                    contradiction = Some((first, again));
                }
            }
        }
        if let Some((first, again)) = contradiction {
            return Err(self.contradiction(first, again));
        }
        let mut kept = repeated.iter().map(|repeated| !repeated);
        self.pairs.retain(|_| kept.next() == Some(true));
        Ok(repeated.into_iter().filter(|repeated| *repeated).count())
    }

    /// The error that the pairs `first` and `again` contradict each other.
    fn contradiction(&self, first: usize, again: usize) -> ListError {
        let [(before, line_before), (file, line)] = [first, again].map(|k| self.places[k]);
        let Pair { a, b, same, .. } = self.pairs[again];
        let people = |same: bool| if same { "one person" } else { "two people" };
        let place = match before == file {
            true => format!("line {line_before}"),
            false => format!("{}:{line_before}", self.files[before as usize].display()),
        };
        ListError::Contradiction {
            file: self.files[file as usize].clone(),
            line: line as usize,
            pair: format!("{} and {}", self.images[a], self.images[b]),
            here: people(same),
            there: format!("{} in {place}", people(!same)),
        }
    }
}
