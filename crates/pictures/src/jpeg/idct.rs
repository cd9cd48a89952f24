//! From the coefficients of a block to its samples.
//!
//! The arithmetic is that of libjpeg's `jidctint.c` ("islow"): integers of 13 bits after the point, and two more
//! between the passes. Its butterflies are sums of whole numbers that are rounded at the end only, so products
//! with a matrix give the same bytes, and blocks with few coefficients take few products.

use crate::lanes::Lanes;

/// The coefficients of a block in rows of eight, where vectors are loaded from in one piece.
#[repr(align(64))]
pub struct Block(pub [i32; 64]);

/// Bits after the point of the bases.
const FRACTION: i32 = 13;
/// Bits after the point that are kept between the passes.
const BETWEEN: i32 = 2;

/// By frequency and place, what a coefficient adds to eight samples.
const BASIS_8: [[i32; 8]; 8] = {
    let mut basis = [[0; 8]; 8];
    let mut frequency = 0;
    while frequency < 8 {
        let mut input = [0; 8];
        input[frequency] = 1;
        basis[frequency] = butterfly(input);
        frequency += 1;
    }
    basis
};

/// The inverse transform of eight numbers (Loeffler, Ligtenberg, Moschytz 1989, as libjpeg computes it).
const fn butterfly(x: [i32; 8]) -> [i32; 8] {
    let z1 = (x[2] + x[6]) * 4433;
    let (t2, t3) = (z1 - x[6] * 15137, z1 + x[2] * 6270);
    let (t0, t1) = ((x[0] + x[4]) << FRACTION, (x[0] - x[4]) << FRACTION);
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    let z5 = (x[7] + x[3] + x[5] + x[1]) * 9633;
    let (z1, z2) = ((x[7] + x[1]) * -7373, (x[5] + x[3]) * -20995);
    let (z3, z4) = ((x[7] + x[3]) * -16069 + z5, (x[5] + x[1]) * -3196 + z5);
    let odd = [x[1] * 12299 + z1 + z4, x[3] * 25172 + z2 + z3, x[5] * 16819 + z2 + z4, x[7] * 2446 + z1 + z3];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

/// The same for four, two samples and one: the low frequencies of eight are those of a block half as fine.
const BASIS_4: [[i32; 8]; 4] = [
    [8192, 8192, 8192, 8192, 0, 0, 0, 0],
    [10703, 4433, -4433, -10703, 0, 0, 0, 0],
    [8192, -8192, -8192, 8192, 0, 0, 0, 0],
    [4433, -10703, 10703, -4433, 0, 0, 0, 0],
];
const BASIS_2: [[i32; 8]; 2] = [[8192, 8192, 0, 0, 0, 0, 0, 0], [8192, -8192, 0, 0, 0, 0, 0, 0]];
const BASIS_1: [[i32; 8]; 1] = [[8192, 0, 0, 0, 0, 0, 0, 0]];

/// By the number of the last coefficient of a block in zigzag order, in how many rows and columns there are any.
const EXTENT: [(u8, u8); 64] = {
    let mut extent = [(0, 0); 64];
    let (mut rows, mut columns, mut k) = (0, 0, 0);
    while k < 64 {
        let at = super::huffman::ZIGZAG[k];
        rows = if at / 8 + 1 > rows { at / 8 + 1 } else { rows };
        columns = if at % 8 + 1 > columns { at % 8 + 1 } else { columns };
        extent[k] = (rows, columns);
        k += 1;
    }
    extent
};

/// Writes a block of `side` x `side` samples, `side` being 8, 4, 2 or 1, into `target`, whose rows are `stride`
/// long. `last` is the number of the last coefficient in zigzag order.
#[inline(always)]
pub fn inverse<L: Lanes>(
    lanes: L,
    side: usize,
    coefficients: &[i32; 64],
    last: usize,
    target: &mut [u8],
    stride: usize,
) {
    if last == 0 {
        let row = [flat(coefficients[0]); 8];
        for y in 0..side {
            let target = &mut target[y * stride..];
            target.iter_mut().zip(row).take(side).for_each(|(sample, value)| *sample = value);
        }
        return;
    }
    match side {
        8 => write(lanes, &BASIS_8, coefficients, last, target, stride),
        4 => write(lanes, &BASIS_4, coefficients, last, target, stride),
        2 => write(lanes, &BASIS_2, coefficients, last, target, stride),
        _ => write(lanes, &BASIS_1, coefficients, last, target, stride),
    }
}

/// The sample of a block that is a mean alone.
#[inline(always)]
fn flat(mean: i32) -> u8 {
    let rounding = 1 << (BETWEEN + 2);
    let value = mean.wrapping_mul(1 << BETWEEN).wrapping_add(rounding) >> (BETWEEN + 3);
    value.wrapping_add(128).clamp(0, 255) as u8
}

#[inline(always)]
fn write<L: Lanes, const N: usize>(
    lanes: L,
    basis: &[[i32; 8]; N],
    coefficients: &[i32; 64],
    last: usize,
    target: &mut [u8],
    stride: usize,
) {
    const FIRST: i32 = FRACTION - BETWEEN;
    const SECOND: i32 = FRACTION + BETWEEN + 3;
    let (rows, columns) = EXTENT[last & 63];
    let mut sums = [lanes.splat(1 << (FIRST - 1)); N];
    for (basis, row) in basis.iter().zip(coefficients.as_chunks::<8>().0).take(usize::from(rows)) {
        let row = lanes.load(row);
        for (sum, &factor) in sums.iter_mut().zip(basis) {
            *sum = lanes.add_product(*sum, row, lanes.splat(factor));
        }
    }
    let mut between = [[0; 8]; N];
    for (row, &sum) in between.iter_mut().zip(&sums) {
        *row = lanes.store(lanes.shift::<FIRST>(sum));
    }
    let mut sums = [lanes.splat((128 << SECOND) + (1 << (SECOND - 1))); 8];
    for (column, basis) in basis.iter().enumerate().take(usize::from(columns)) {
        let basis = lanes.load(basis);
        for (sum, between) in sums.iter_mut().zip(&between) {
            *sum = lanes.add_product(*sum, basis, lanes.splat(between[column]));
        }
    }
    for sum in &mut sums {
        *sum = lanes.shift::<SECOND>(*sum);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let samples = [lanes.bytes([a, b, c, d]), lanes.bytes([e, f, g, h])];
    // By index: the number of chunks of a slice would take a division for every block.
    for (y, samples) in samples.as_flattened().iter().enumerate().take(N) {
        let target = target.get_mut(y * stride..).and_then(|row| row.first_chunk_mut::<N>());
        if let (Some(target), Some(samples)) = (target, samples.first_chunk::<N>()) {
            *target = *samples;
        }
    }
}
