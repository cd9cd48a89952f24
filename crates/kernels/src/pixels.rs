//! Pixels in buffers of depthwise convolutions: padded to whole vectors, cut into tasks, and summed.

use pulp::Simd;
use rayon::prelude::*;

/// Pixels of the buffers begin at multiples of this, which every vector length divides.
pub(crate) const LANES: usize = 16;

/// Images that a task takes where there are many.
pub(crate) fn images_of_task(batch: usize) -> usize {
    batch.div_ceil(32).max(1)
}

/// Numbers of a pixel in the buffers.
pub(crate) fn pitch(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// The numbers of a pixel, zeros for those not given.
pub(crate) fn padded(values: &[f32], channels: usize) -> Vec<f32> {
    let mut padded = vec![0.0; pitch(channels)];
    padded[..values.len()].copy_from_slice(values);
    padded
}

/// Element by element, in the order of the tasks.
pub(crate) fn sum_of_tasks<T: Copy + Into<f64> + Sync>(tasks: &[Vec<T>], length: usize) -> Vec<f32> {
    let mut total = vec![0.0; length];
    total.par_chunks_mut(1024).enumerate().for_each(|(i, total)| {
        let mut sum = vec![0.0f64; total.len()];
        for task in tasks {
            let task = &task[i * 1024..][..sum.len()];
            sum.iter_mut().zip(task).for_each(|(sum, value)| *sum += (*value).into());
        }
        total.iter_mut().zip(sum).for_each(|(total, sum)| *total = sum as f32);
    });
    total
}

/// Stores the part of a vector that is inside the pixel.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, pixel: &mut [f32], vector: usize, value: S::f32s) {
    let (whole, rest) = S::as_mut_simd_f32s(pixel);
    match whole.get_mut(vector) {
        Some(whole) => *whole = value,
        None => simd.partial_store_f32s(rest, value),
    }
}
