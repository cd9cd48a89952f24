//! Files that are passed over because of their ending.

use std::{cmp::Reverse, collections::BTreeMap, fmt, path::Path};

/// Most endings that are named; what else there is, is counted together.
const NAMED: usize = 6;

/// The longest ending, in bytes. What is longer is part of a name that has a dot in it.
const LONGEST: usize = 8;

/// How many files have which ending, in small letters and with its dot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endings(BTreeMap<String, usize>);

impl Endings {
    /// Counts the file at `path`, if its name has an ending.
    pub fn count(&mut self, path: &Path) {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_ending = |ending: &&str| ending.len() <= LONGEST && ending.chars().all(char::is_alphanumeric);
        if let Some(ending) = ending.filter(is_ending) {
            *self.0.entry(format!(".{}", ending.to_lowercase())).or_default() += 1;
        }
    }

    /// Counts those of `other` as well.
    pub fn add(&mut self, other: &Self) {
        for (ending, count) in &other.0 {
            *self.0.entry(ending.clone()).or_default() += count;
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By ending, how many files.
    pub fn counts(&self) -> &BTreeMap<String, usize> {
        &self.0
    }
}

/// The most common first: `312 .heic, 14 .tif`.
impl fmt::Display for Endings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endings: Vec<(&String, &usize)> = self.0.iter().collect();
        endings.sort_by_key(|&(_, count)| Reverse(*count));
        for (i, (ending, count)) in endings.iter().take(NAMED).enumerate() {
            write!(f, "{}{count} {ending}", if i == 0 { "" } else { ", " })?;
        }
        match endings.iter().skip(NAMED).map(|(_, count)| **count).sum::<usize>() {
            0 => Ok(()),
            others => write!(f, ", {others} more"),
        }
    }
}
