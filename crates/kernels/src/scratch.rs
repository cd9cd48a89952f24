//! Memory: buffers that are used again and again, and vectors whose pages are first touched by the thread that
//! computes them.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
};

use rayon::prelude::*;

/// Numbers that a thread keeps for its next buffers, at most: 256 MiB.
const KEPT: usize = 64 << 20;

thread_local! {
    static FREE: Cell<Vec<Vec<f32>>> = const { Cell::new(Vec::new()) };
}

/// A buffer of this thread, given back when it is dropped: its pages stay mapped and perhaps in the cache.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    length: usize,
}

/// A buffer of `length` numbers of unspecified value.
pub(crate) fn take(length: usize) -> Scratch {
    let mut free = FREE.take();
    // The smallest that is large enough, or else the largest, which then grows.
    let fitting = |buffer: &Vec<f32>| (buffer.len() < length, buffer.len().abs_diff(length));
    let best = (0..free.len()).min_by_key(|i| fitting(&free[*i]));
    let mut buffer = best.map(|i| free.swap_remove(i)).unwrap_or_default();
    FREE.set(free);
    if buffer.len() < length {
        // What is in it need not be copied.
        buffer = vec![0.0; length];
    }
    Scratch { buffer, length }
}

impl Scratch {
    /// The same numbers in memory of their own, to be kept for long.
    pub(crate) fn fitted(self) -> Self {
        match self.buffer.len() == self.length {
            true => self,
            false => Self { buffer: self.to_vec(), length: self.length },
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.length]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut free = FREE.take();
        let kept: usize = free.iter().map(Vec::len).sum();
        if kept + self.buffer.len() <= KEPT {
            free.push(std::mem::take(&mut self.buffer));
        }
        FREE.set(free);
    }
}

/// Makes `y` anew from pieces of the given lengths: calls `f` for each, in parallel, with its number, its offset
/// and its numbers, which are 0 at first. Gives what the calls return, in order.
pub(crate) fn fill<R: Send>(
    y: &mut Vec<f32>,
    lengths: impl Iterator<Item = usize>,
    f: impl Fn(usize, usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    let lengths: Vec<usize> = lengths.collect();
    let total = lengths.iter().sum();
    y.clear();
    y.reserve_exact(total);
    let mut left = &mut y.spare_capacity_mut()[..total];
    let mut pieces = Vec::with_capacity(lengths.len());
    let mut offset = 0;
    for length in lengths {
        let (piece, rest) = left.split_at_mut(length);
        pieces.push((offset, piece));
        (left, offset) = (rest, offset + length);
    }
    let results: Vec<R> = pieces
        .into_par_iter()
        .enumerate()
        .map(|(i, (offset, piece))| {
            piece.iter_mut().for_each(|number| {
                number.write(0.0);
            });
            // SAFETY: each number was just given a value.
            f(i, offset, unsafe { piece.assume_init_mut() })
        })
        .collect();
    // SAFETY: the pieces make up the first `total` numbers, each number of each piece was
    // given a value, and all calls have returned: a panic in one of them would have gone on from `collect`.
    unsafe { y.set_len(total) };
    results
}

/// The lengths of pieces of `each` that make up `total`; the last may be shorter.
pub(crate) fn pieces(total: usize, each: usize) -> impl Iterator<Item = usize> {
    let each = each.max(1);
    (0..total).step_by(each).map(move |start| each.min(total - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_filled_in_order() {
        let mut y = vec![9.0; 3];
        let offsets = fill(&mut y, pieces(10, 4), |i, offset, piece| {
            assert!(piece.iter().all(|x| *x == 0.0));
            piece.fill(i as f32);
            offset
        });
        assert_eq!(offsets, [0, 4, 8]);
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
        assert!(fill(&mut y, pieces(0, 4), |_, _, _| ()).is_empty() && y.is_empty());
    }

    #[test]
    fn buffers_come_back() {
        let first = take(100).as_ptr();
        let again = take(60);
        assert_eq!((again.as_ptr(), again.len()), (first, 60));
        assert_ne!(take(60).as_ptr(), first);
    }
}
