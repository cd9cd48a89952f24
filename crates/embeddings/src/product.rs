//! Products of row-major f64 matrices, on one thread each: callers cut their work by sizes, so that results do
//! not depend on the number of threads.

/// A matrix inside a slice: the element of row `i` and column `j` is at `i·row + j·column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) numbers: &'a [f64],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl View<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row + (columns - 1) * self.column < self.numbers.len()
    }
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
pub(crate) fn add_product([m, n, k]: [usize; 3], c: &mut [f64], c_row: usize, a: View, b: View) {
    if m * n * k == 0 {
        return;
    }
    assert!(n <= c_row && (m - 1) * c_row + n <= c.len() && a.holds(m, k) && b.holds(k, n));
    // SAFETY: the three matrices lie inside their slices, as asserted, and the elements of `c` are distinct and
    // borrowed for writing by nobody else. A slice has at most isize::MAX bytes, so the strides fit.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_row as isize,
            true,
            a.numbers.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.numbers.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            1.0,
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
        for [m, n, k] in [[1, 1, 1], [3, 2, 5], [17, 33, 9], [64, 1, 70], [1, 50, 3], [2, 3, 0]] {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f64 - 50.0;
            // a is stored transposed, c with a gap after each row.
            let a: Vec<f64> = (0..k * m).map(number).collect();
            let b: Vec<f64> = (0..k * n).map(|i| number(i + 5)).collect();
            let start: Vec<f64> = (0..m * (n + 2)).map(|i| number(i + 9)).collect();
            let mut c = start.clone();
            let (a_view, b_view) =
                (View { numbers: &a, row: 1, column: m }, View { numbers: &b, row: n, column: 1 });
            add_product([m, n, k], &mut c, n + 2, a_view, b_view);
            for (index, value) in c.iter().enumerate() {
                let (i, j) = (index / (n + 2), index % (n + 2));
                let sum: f64 = if j < n { (0..k).map(|l| a[l * m + i] * b[l * n + j]).sum() } else { 0.0 };
                assert_eq!(*value, start[index] + sum, "{m} {n} {k}: {i}, {j}");
            }
        }
    }

    #[test]
    #[should_panic]
    fn slices_that_are_too_short_are_not_read() {
        let view = View { numbers: &[1.0; 3], row: 2, column: 1 };
        add_product([2, 2, 2], &mut [0.0; 4], 2, view, view);
    }
}
