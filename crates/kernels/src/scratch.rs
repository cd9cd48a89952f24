//! Memory: buffers that are used again and again, and vectors whose pages are first touched by the thread that
//! computes them.

use std::{
    cell::Cell,
    mem::{self, MaybeUninit},
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
            free.push(mem::take(&mut self.buffer));
        }
        FREE.set(free);
    }
}

/// Numbers of a vector in the making that have no value yet.
pub(crate) struct Unset<'a>(&'a mut [MaybeUninit<f32>]);

impl<'a> Unset<'a> {
    /// The next `length` numbers, which are 0 now.
    pub(crate) fn zeros(&mut self, length: usize) -> &'a mut [f32] {
        let (piece, rest) = mem::take(&mut self.0).split_at_mut(length);
        self.0 = rest;
        piece.iter_mut().for_each(|number| {
            number.write(0.0);
        });
        // SAFETY: each number was just given a value.
        unsafe { piece.assume_init_mut() }
    }
}

/// Makes `y` anew from pieces of the given lengths: calls `f` for each, in parallel, with its number, its offset
/// and its numbers, which are 0 at first. Gives what the calls return, in order.
pub(crate) fn fill<R: Send>(
    y: &mut Vec<f32>,
    lengths: impl Iterator<Item = usize>,
    f: impl Fn(usize, usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    fill_in_parts(y, lengths, |i, offset, unset| f(i, offset, unset.zeros(unset.0.len())))
}

/// As [`fill`], but `f` takes the numbers of a piece part by part, so that a part is still in the cache when it
/// is written for the second time.
///
/// # Panics
/// If a call leaves numbers unset.
pub(crate) fn fill_in_parts<R: Send>(
    y: &mut Vec<f32>,
    lengths: impl Iterator<Item = usize>,
    f: impl Fn(usize, usize, &mut Unset<'_>) -> R + Sync,
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
            let mut unset = Unset(piece);
            let result = f(i, offset, &mut unset);
            assert!(unset.0.is_empty(), "a piece was left unset");
            result
        })
        .collect();
    // SAFETY: the pieces make up the first `total` numbers, each number of each piece was
    // given a value, and all calls have returned: a panic in one of them would have gone on from `collect`.
    unsafe { y.set_len(total) };
    results
}

/// Makes `y` anew as a matrix of `rows` rows: calls `f`, in parallel, for every `each` columns, with the first of
/// them and their part of each row, which is 0 at first.
pub(crate) fn fill_columns(
    y: &mut Vec<f32>,
    [rows, columns]: [usize; 2],
    each: usize,
    f: impl Fn(usize, &mut [&mut [f32]]) + Sync,
) {
    y.clear();
    y.reserve_exact(rows * columns);
    let mut tasks: Vec<Vec<Unset<'_>>> =
        (0..columns.div_ceil(each)).map(|_| Vec::with_capacity(rows)).collect();
    for row in y.spare_capacity_mut()[..rows * columns].chunks_exact_mut(columns.max(1)) {
        tasks.iter_mut().zip(row.chunks_mut(each)).for_each(|(task, part)| task.push(Unset(part)));
    }
    tasks.into_par_iter().enumerate().for_each(|(i, parts)| {
        let mut parts: Vec<&mut [f32]> = parts.into_iter().map(|mut part| part.zeros(part.0.len())).collect();
        f(i * each, &mut parts);
    });
    // SAFETY: the parts make up the first `rows * columns` numbers and each was given a value.
    unsafe { y.set_len(rows * columns) };
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
    fn parts_and_columns_are_filled() {
        let mut y = vec![9.0; 3];
        let sums = fill_in_parts(&mut y, pieces(7, 4), |i, offset, unset| {
            let length = if i == 0 { 4 } else { 3 };
            unset.zeros(1)[0] = 1.0;
            unset.zeros(length - 1).fill(offset as f32);
            length
        });
        assert_eq!((sums, y.as_slice()), (vec![4, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 4.0, 4.0][..]));
        fill_columns(&mut y, [2, 5], 3, |first, parts| {
            parts[0].fill(first as f32 + 1.0);
            assert_eq!(parts.len(), 2);
            assert!(parts[1].iter().all(|x| *x == 0.0));
            parts[1][0] = 9.0;
        });
        assert_eq!(y, [1.0, 1.0, 1.0, 4.0, 4.0, 9.0, 0.0, 0.0, 9.0, 0.0]);
        fill_columns(&mut y, [0, 5], 3, |_, parts| assert!(parts.is_empty()));
        assert!(y.is_empty());
    }

    #[test]
    #[should_panic(expected = "left unset")]
    fn a_piece_must_be_taken_whole() {
        fill_in_parts(&mut Vec::new(), pieces(7, 4), |_, _, unset| unset.zeros(3)[0]);
    }

    #[test]
    fn buffers_come_back() {
        let first = take(100).as_ptr();
        let again = take(60);
        assert_eq!((again.as_ptr(), again.len()), (first, 60));
        assert_ne!(take(60).as_ptr(), first);
    }
}
