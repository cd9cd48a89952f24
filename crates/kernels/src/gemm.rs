//! The one matrix kernel that every dense operator ends in: `C = A·B` or `C += A·B`.
//!
//! `B` is packed in panels of [`PANEL`] columns. `A` is read where it lies, through strides, and the summed
//! index runs over segments: a convolution over channels-last data is such a product without any copy of
//! `A`, with one segment for each row of the filter.

use pulp::{Simd, WithSimd};

use crate::simd::fma;

/// Columns of a packed panel of `B`.
pub const PANEL: usize = 32;

/// Where the elements of `A` and of a panel of `B` lie, in elements.
///
/// With `k = segment·length + j`, element `A[i, k]` is at `i·row + segment·a_segment + j·step` and row `k` of
/// the panel at `segment·b_segment + j·b_row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Segments of the summed index.
    pub segments: usize,
    /// Length of a segment.
    pub length: usize,
    /// From one row of `A` to the next; 1 unless `step` is.
    pub row: usize,
    /// From one element of a segment of `A` to the next.
    pub step: usize,
    /// From one row of the panel to the next.
    pub b_row: usize,
    /// From one segment of `A` to the next.
    pub a_segment: usize,
    /// From one segment of the panel to the next.
    pub b_segment: usize,
}

impl Product {
    /// `A` with `length` columns, row-major with `row` elements from row to row.
    pub fn rows(length: usize, row: usize) -> Self {
        Self { segments: 1, length, row, step: 1, b_row: PANEL, a_segment: 0, b_segment: 0 }
    }

    /// `A` given by its transpose: `length` rows of `Aᵀ`, `step` elements apart.
    pub fn transposed(length: usize, step: usize) -> Self {
        Self { segments: 1, length, row: 1, step, b_row: PANEL, a_segment: 0, b_segment: 0 }
    }

    /// The same in `segments` segments, which are `a_segment` and `b_segment` elements apart.
    pub fn segments(self, segments: usize, a_segment: usize, b_segment: usize) -> Self {
        Self { segments, a_segment, b_segment, ..self }
    }

    /// With `B` as it lies, `b_row` elements from row to row, in place of a packed panel.
    pub fn unpacked(self, b_row: usize) -> Self {
        Self { b_row, ..self }
    }

    /// Elements of `A` from the first to just after the last, for `rows` rows.
    fn a_extent(&self, rows: usize) -> usize {
        if rows * self.segments * self.length == 0 {
            return 0;
        }
        (rows - 1) * self.row + (self.segments - 1) * self.a_segment + (self.length - 1) * self.step + 1
    }

    fn b_extent(&self) -> usize {
        if self.segments * self.length == 0 {
            return 0;
        }
        (self.segments - 1) * self.b_segment + (self.length - 1) * self.b_row + PANEL
    }
}

/// `C`: `rows` rows and at most [`PANEL`] columns, of which row `i` is at `i·row`.
pub(crate) struct Target<'a> {
    pub(crate) c: &'a mut [f32],
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Whether the product is added to what is there.
    pub(crate) add: bool,
}

/// `C = A·B`, or `C += A·B`.
///
/// A function of its own for each set of instructions: inlined where it is called, its tiles would be compiled a dozen
/// times.
#[inline(never)]
pub(crate) fn multiply<S: Simd>(simd: S, product: &Product, a: &[f32], panel: &[f32], target: Target<'_>) {
    simd.vectorize(Multiply { product, a, panel, target });
}

struct Multiply<'a> {
    product: &'a Product,
    a: &'a [f32],
    panel: &'a [f32],
    target: Target<'a>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { product, a, panel, target } = self;
        let Target { c, row: c_row, rows, columns, add } = target;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(columns <= PANEL && (product.step == 1 || product.row == 1));
        assert!(a.len() >= product.a_extent(rows));
        assert!(panel.len() >= product.b_extent());
        assert!(c.len() >= (rows - 1) * c_row + columns);
        // Of equal height as far as possible: one thin block at the end costs as much as a full one.
        let blocks = rows.div_ceil(max_rows::<S>());
        let (mut first, mut left) = (0, rows);
        for block in 0..blocks {
            let height = left.div_ceil(blocks - block);
            for column in (0..columns).step_by(S::F32_LANES * 2) {
                let width = (columns - column).min(S::F32_LANES * 2);
                let block = Block { a: a[first * product.row..].as_ptr(), panel: panel[column..].as_ptr() };
                let c = &mut c[first * c_row + column..];
                let to = Target { c, row: c_row, rows: height, columns: width, add };
                // SAFETY: the rows `first..first + height` of `A` lie within the extent asserted above, and so do
                // two vectors from `column` on in each row of the panel, for two vectors divide its columns.
                unsafe { block.of_height(simd, product, to) };
            }
            first += height;
            left -= height;
        }
    }
}

/// The most rows whose sums fit in the registers, beside two vectors of `B` and one of `A`.
const fn max_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 14 } else { 6 }
}

/// The first element of the rows of `A` and of the columns of the panel that a tile multiplies.
struct Block {
    a: *const f32,
    panel: *const f32,
}

impl Block {
    /// # Safety
    /// As for [`Block::tile`], with the rows of `to` in place of `HEIGHT`.
    #[inline(always)]
    unsafe fn of_height<S: Simd>(&self, simd: S, product: &Product, to: Target<'_>) {
        macro_rules! tiles {
            ($($height:literal)*) => {
                match to.rows {
                    // SAFETY: as the caller promises.
                    $($height if $height <= max_rows::<S>() => unsafe {
                        match product.step == 1 {
                            true => self.tile::<S, $height, true>(simd, product, to),
                            false => self.tile::<S, $height, false>(simd, product, to),
                        }
                    },)*
                    _ => unreachable!("blocks are at most max_rows high"),
                }
            };
        }
        tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    }

    /// Multiplies with steps of one element between the columns of `A` (`ALONG`), or between its rows.
    ///
    /// # Safety
    /// All elements that `product` names must be readable: `HEIGHT` rows of `A` from `self.a` on, and two
    /// vectors from `self.panel` on in each row of the panel. `product` must have a step of 1 with `ALONG`, and
    /// rows 1 apart without.
    #[inline(always)]
    unsafe fn tile<S: Simd, const HEIGHT: usize, const ALONG: bool>(
        &self,
        simd: S,
        product: &Product,
        to: Target<'_>,
    ) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; HEIGHT];
        for segment in 0..product.segments {
            // After the last element the pointers may leave the slices, so they are moved by wrapping_add.
            let mut a = self.a.wrapping_add(segment * product.a_segment);
            let mut b = self.panel.wrapping_add(segment * product.b_segment);
            for _ in 0..product.length {
                // SAFETY: these are elements that `product` names.
                let panel = unsafe {
                    let b = b.cast::<S::f32s>();
                    [b.read_unaligned(), b.add(1).read_unaligned()]
                };
                for (i, sums) in sums.iter_mut().enumerate() {
                    let row = if ALONG { i * product.row } else { i };
                    // SAFETY: as above.
                    let a = simd.splat_f32s(unsafe { *a.add(row) });
                    sums[0] = fma(simd, a, panel[0], sums[0]);
                    sums[1] = fma(simd, a, panel[1], sums[1]);
                }
                a = a.wrapping_add(if ALONG { 1 } else { product.step });
                b = b.wrapping_add(product.b_row);
            }
        }
        let lanes = S::F32_LANES;
        for (i, sums) in sums.into_iter().enumerate() {
            let row = &mut to.c[i * to.row..][..to.columns];
            for (j, sum) in sums.into_iter().enumerate() {
                let part = (j * lanes).min(row.len())..((j + 1) * lanes).min(row.len());
                let part = &mut row[part];
                // Whole vectors by themselves: the others go through a function for each length.
                match part.len() == lanes {
                    true => {
                        let part = &mut S::as_mut_simd_f32s(part).0[0];
                        *part = if to.add { simd.add_f32s(sum, *part) } else { sum };
                    }
                    false => {
                        let sum = if to.add { simd.add_f32s(sum, simd.partial_load_f32s(part)) } else { sum };
                        simd.partial_store_f32s(part, sum);
                    }
                }
            }
        }
    }
}
