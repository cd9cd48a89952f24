//! What losses make of the rows of a matrix of products, `[batch, classes]`: a number a row from logits that are
//! never written, and its gradient in the memory of the products.

mod groups;
mod labels;
mod logits;
mod rule;
mod terms;
mod walk;

pub use groups::{group_max, group_max_backward};
pub use labels::{add_to_picked, add_to_picked_rows, others, pick, pick_rows};
pub use logits::{LogitGradients, Logits, Reduction};
pub use rule::LogitRule;

use crate::profile::{self, Scope, Work};

/// Products that a task takes at a time: they stay in the fastest cache for a second pass.
const CHUNK: usize = 1 << 12;

/// Checks lengths and labels, and gives the number of rows.
fn check(products: &[f32], classes: usize, labels: &[usize]) -> usize {
    assert_eq!(products.len(), labels.len() * classes);
    assert!(
        labels.iter().all(|label| *label < classes),
        "a label is not below the number of classes, {classes}"
    );
    labels.len()
}

fn scope(kind: &str, classes: usize, what: &str, numbers: usize) -> Scope {
    let work = Work { operations: 0, bytes: (4 * numbers) as u64 };
    profile::operator(|| (format!("{kind} {classes} {what}").trim_end().to_owned(), work))
}

#[cfg(test)]
mod tests;
