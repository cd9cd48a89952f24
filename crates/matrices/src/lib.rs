//! Products of matrices that lie inside slices, checked before the matrix library is given pointers.
//!
//! A product runs on the calling thread and depends on shapes and processor alone: callers cut their work by sizes, so
//! that results do not depend on the number of threads. Nothing here knows what the numbers are.
//!
//! ```
//! use facegrad_matrices::{View, add_product, row_products};
//!
//! // Dot products of two rows with three rows.
//! let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0f32]);
//! let mut c = [0.0; 6];
//! row_products(&a, &b, 2, &mut c);
//! assert_eq!(c, [1.0, 2.0, 3.0, 3.0, 4.0, 7.0]);
//! // The same once more, added to it.
//! add_product([2, 3, 2], &mut c, 3, View::rows(&a, 2), View::columns(&b, 2));
//! assert_eq!(c, [2.0, 4.0, 6.0, 6.0, 8.0, 14.0]);
//! ```

/// f32 or f64.
pub trait Number: Copy + 'static {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// A matrix inside a slice: the element of row `i` and column `j` is at `i·row + j·column`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    /// What holds the elements.
    pub numbers: &'a [T],
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub column: usize,
}

impl<'a, T> View<'a, T> {
    /// Row by row, `pitch` numbers from one to the next.
    pub fn rows(numbers: &'a [T], pitch: usize) -> Self {
        Self { numbers, row: pitch, column: 1 }
    }

    /// Column by column, `pitch` numbers from one to the next: the transpose of [`View::rows`].
    pub fn columns(numbers: &'a [T], pitch: usize) -> Self {
        Self { numbers, row: 1, column: pitch }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        let last = (rows - 1).checked_mul(self.row).zip((columns - 1).checked_mul(self.column));
        last.and_then(|(row, column)| row.checked_add(column)).is_some_and(|last| last < self.numbers.len())
    }
}

/// The product of every row of `left` with every row of `right`.
///
/// # Shapes
/// - `left`: `[m, dim]`; `right`: `[n, dim]`, row by row
/// - `products`: `[m, n]`, overwritten
///
/// # Panics
/// If a slice is not of its shape.
pub fn row_products<T: Number>(left: &[T], right: &[T], dim: usize, products: &mut [T]) {
    let (m, n) = (left.len() / dim, right.len() / dim);
    let shapes = (m.checked_mul(dim), n.checked_mul(dim), m.checked_mul(n));
    assert_eq!(shapes, (Some(left.len()), Some(right.len()), Some(products.len())), "shapes of a product");
    product([m, n, dim], products, n, View::rows(left, dim), View::columns(right, dim), false);
}

/// `c += a·b`.
///
/// # Shapes
/// - `shape`: `[m, n, k]`
/// - `c`: `[m, n]`, with `c_row` numbers from one row to the next
/// - `a`: `[m, k]`
/// - `b`: `[k, n]`
///
/// # Panics
/// If a slice is too short for its shape, or the rows of `c` overlap.
pub fn add_product<T: Number>(shape: [usize; 3], c: &mut [T], c_row: usize, a: View<T>, b: View<T>) {
    product(shape, c, c_row, a, b, true);
}

fn product<T: Number>([m, n, k]: [usize; 3], c: &mut [T], c_row: usize, a: View<T>, b: View<T>, add: bool) {
    if m * n == 0 {
        return;
    }
    assert!(
        n <= c_row && (m - 1).checked_mul(c_row).is_some_and(|last| last + n <= c.len()),
        "shapes of a product"
    );
    assert!(k == 0 || (a.holds(m, k) && b.holds(k, n)), "shapes of a product");
    let alpha = if add { T::ONE } else { T::ZERO };
    // SAFETY: the three matrices lie inside their slices, as asserted, and the elements of `c` are distinct and
    // borrowed for writing by nobody else. A slice has at most isize::MAX bytes, so the strides fit; those of an empty
    // sum are not used.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_row as isize,
            add,
            a.numbers.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.numbers.as_ptr(),
            b.column as isize,
            b.row as isize,
            alpha,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_three_loops() {
        for [m, n, k] in
            [[1, 1, 1], [3, 2, 5], [17, 33, 9], [64, 1, 70], [1, 50, 3], [2, 3, 0], [0, 3, 4], [3, 0, 4]]
        {
            // Whole numbers, whose sums are exact.
            let number = |i: usize| ((i * 7919 + 13) % 101) as f64 - 50.0;
            // a is stored transposed, c with a gap after each row.
            let a: Vec<f64> = (0..k * m).map(number).collect();
            let b: Vec<f64> = (0..k * n).map(|i| number(i + 5)).collect();
            let start: Vec<f64> = (0..m * (n + 2)).map(|i| number(i + 9)).collect();
            for add in [false, true] {
                let mut c = start.clone();
                product([m, n, k], &mut c, n + 2, View::columns(&a, m), View::rows(&b, n), add);
                for (index, value) in c.iter().enumerate() {
                    let (i, j) = (index / (n + 2), index % (n + 2));
                    let sum: f64 = (0..k).map(|l| a[l * m + i] * b[l * n + j.min(n - 1)]).sum();
                    let expected =
                        if j < n { sum + f64::from(u8::from(add)) * start[index] } else { start[index] };
                    assert_eq!(*value, expected, "{m} {n} {k}: {i}, {j}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "shapes of a product")]
    fn factors_that_are_too_short_are_not_read() {
        let view = View { numbers: &[1.0; 3], row: 2, column: 1 };
        add_product([2, 2, 2], &mut [0.0; 4], 2, view, view);
    }

    #[test]
    #[should_panic(expected = "shapes of a product")]
    fn a_result_of_another_shape_is_not_written() {
        row_products(&[1.0f32; 6], &[1.0; 4], 2, &mut [0.0; 5]);
    }

    #[test]
    #[should_panic(expected = "shapes of a product")]
    fn strides_beyond_all_numbers_are_refused() {
        let view = View { numbers: &[1.0; 3], row: usize::MAX, column: usize::MAX };
        add_product([3, 3, 3], &mut [0.0; 9], 3, view, view);
    }
}
