//! From labels as files have them to labels without gaps.

use facegrad_settings::choice;

use std::{collections::HashMap, path::Path};

use super::SourceError;

choice! {
    /// What to do about numbers that no image has as its label.
    pub enum LabelGaps {
        /// It is an error: a class without images, or images that are missing.
        Refuse = "refuse",
        /// The identities are numbered anew, in their order.
        Close = "close",
    }
}

/// Gaps that an error names.
const EXAMPLES: usize = 3;

/// Labels without gaps, and what the identities were called before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels {
    /// The label of each image.
    pub labels: Vec<u32>,
    /// The name of each identity.
    pub identities: Vec<String>,
}

impl Labels {
    /// Those of images that nothing says of who is on them: all of one identity without a name.
    pub fn unknown(images: usize) -> Self {
        Self { labels: vec![0; images], identities: vec![String::new()] }
    }

    /// Labels from the numbers of a file, which `path` names in errors. Identities keep their order, and are
    /// called by their numbers. Numbers may begin at 0 or at 1.
    ///
    /// # Errors
    /// If there are gaps, unless they are to be closed.
    pub fn of_numbers(mut numbers: Vec<u32>, gaps: LabelGaps, path: &Path) -> Result<Self, SourceError> {
        let mut used = numbers.clone();
        used.sort_unstable();
        used.dedup();
        used.shrink_to_fit();
        if let (LabelGaps::Refuse, Some(&least), Some(&last)) = (gaps, used.first(), used.last()) {
            let first = least.min(1);
            let missing = (last - first) as usize + 1 - used.len();
            if missing > 0 {
                let is_free = |number: &u32| used.binary_search(number).is_err();
                let mut examples: Vec<String> =
                    (first..last).filter(is_free).take(EXAMPLES).map(|number| number.to_string()).collect();
                if missing > EXAMPLES {
                    examples.push("…".into());
                }
                let (first, last) = (first.into(), last.into());
                return Err(SourceError::Gaps { path: path.into(), first, last, missing, examples });
            }
        }
        // In place: large sets have as many labels as fit in the memory they are allowed.
        for number in &mut numbers {
            *number = used.partition_point(|other| other < number) as u32;
        }
        Ok(Self { labels: numbers, identities: used.iter().map(u32::to_string).collect() })
    }

    /// Labels from names: identities are in the order of the bytes of theirs, or of their values if all are
    /// whole numbers.
    pub fn of_names(names: &[&str]) -> Self {
        let mut distinct = names.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if let Ok(mut numbers) = distinct
            .iter()
            .map(|name| name.parse::<u64>().map(|number| (number, *name)))
            .collect::<Result<Vec<_>, _>>()
        {
            numbers.sort_unstable();
            distinct = numbers.into_iter().map(|(_, name)| name).collect();
        }
        let of: HashMap<&str, u32> =
            distinct.iter().enumerate().map(|(label, name)| (*name, label as u32)).collect();
        Self {
            labels: names.iter().map(|name| of[name]).collect(),
            identities: distinct.into_iter().map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[u32], gaps: LabelGaps) -> Result<Labels, String> {
        Labels::of_numbers(numbers.to_vec(), gaps, Path::new("train.rec")).map_err(|e| e.to_string())
    }

    #[test]
    fn numbers_without_gaps_stay() {
        let zero = numbers(&[2, 0, 1, 0], LabelGaps::Refuse).unwrap();
        assert_eq!(zero.labels, [2, 0, 1, 0]);
        assert_eq!(zero.identities, ["0", "1", "2"]);
        let one = numbers(&[2, 1, 3], LabelGaps::Refuse).unwrap();
        assert_eq!((one.labels, one.identities), (vec![1, 0, 2], ["1", "2", "3"].map(String::from).to_vec()));
        assert_eq!(numbers(&[], LabelGaps::Refuse).unwrap().labels, [0; 0]);
    }

    #[test]
    fn gaps_are_refused_or_closed() {
        assert_eq!(
            numbers(&[0, 2, 9], LabelGaps::Refuse).unwrap_err(),
            "train.rec: the labels run from 0 to 9, and 7 numbers of these have no images (1, 3, 4, …); number \
             them without gaps, or set label_gaps = \"close\" to leave the gaps out"
        );
        assert!(numbers(&[7, 8], LabelGaps::Refuse).unwrap_err().contains("from 1 to 8, and 6 numbers"));
        assert!(
            numbers(&[1, 3], LabelGaps::Refuse).unwrap_err().contains("1 number of these has no image (2)")
        );
        let closed = numbers(&[9, 0, u32::MAX, 9], LabelGaps::Close).unwrap();
        assert_eq!(closed.labels, [1, 0, 2, 1]);
        assert_eq!(closed.identities, ["0", "9", "4294967295"]);
        assert!(numbers(&[0, u32::MAX], LabelGaps::Refuse).unwrap_err().contains("4294967294 numbers"));
    }

    #[test]
    fn names_are_ordered_by_bytes_and_numbers_by_value() {
        let names = Labels::of_names(&["bob", "ann", "Cid", "ann"]);
        assert_eq!(names.identities, ["Cid", "ann", "bob"]);
        assert_eq!(names.labels, [2, 1, 0, 1]);
        let numbers = Labels::of_names(&["10", "9", "0100"]);
        assert_eq!(numbers.identities, ["9", "10", "0100"]);
        assert_eq!(Labels::of_names(&["10", "9", "x"]).identities, ["10", "9", "x"]);
    }
}
