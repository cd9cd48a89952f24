//! What was found in a set, in a line.

use std::fmt;

use super::Endings;

/// What is in a set, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Images in the set.
    pub images: usize,
    /// Identities in the set.
    pub identities: usize,
    /// What was left out: how many, of what (one, several).
    pub left_out: Vec<(usize, &'static str, &'static str)>,
    /// Files among these that are no images by their ending.
    pub endings: Endings,
    /// What need not be wrong and may be, and what was read in one of several ways, a sentence each.
    pub notes: Vec<String>,
}

impl Summary {
    /// Notes that `count` of what is called `one` or `many` are not in the set.
    pub fn leave_out(&mut self, count: usize, one: &'static str, many: &'static str) {
        if count > 0 {
            self.left_out.push((count, one, many));
        }
    }

    /// Adds what is in another set.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.identities += other.identities;
        for &(count, one, many) in &other.left_out {
            match self.left_out.iter_mut().find(|(_, known, _)| *known == one) {
                Some((sum, ..)) => *sum += count,
                None => self.leave_out(count, one, many),
            }
        }
        self.endings.add(&other.endings);
        self.notes.extend(other.notes.iter().cloned());
    }

    /// What was left out, in words; empty if nothing was.
    pub fn left_out_in_words(&self) -> String {
        let counts = self.left_out.iter().map(|&(count, one, many)| counted(count, one, many));
        counts.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = counted(self.images, "image", "images");
        write!(f, "{images} of {}", counted(self.identities, "identity", "identities"))?;
        if !self.left_out.is_empty() {
            write!(f, "; left out: {}", self.left_out_in_words())?;
        }
        if !self.endings.is_empty() {
            write!(f, "; endings that are not read: {}", self.endings)?;
        }
        Ok(())
    }
}

/// A number of things in words.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
