//! What was found in a set, in a line.

use std::fmt;

/// What is in a set, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Images in the set.
    pub images: usize,
    /// Identities in the set.
    pub identities: usize,
    /// What was left out: how many, of what (one, several).
    pub left_out: Vec<(usize, &'static str, &'static str)>,
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
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = counted(self.images, "image", "images");
        write!(f, "{images} of {}", counted(self.identities, "identity", "identities"))?;
        for (i, (count, one, many)) in self.left_out.iter().enumerate() {
            let before = if i == 0 { "; left out: " } else { ", " };
            write!(f, "{before}{}", counted(*count, one, many))?;
        }
        Ok(())
    }
}

/// A number of things in words.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
