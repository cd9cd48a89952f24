//! Products of matrices, on the calling thread: callers cut their work by sizes, so that results do not depend on
//! the number of threads. The only unsafe code of this crate.

/// The product of every row of `left` with every row of `right`.
///
/// The result depends on the shapes and the processor, not on the number of threads.
///
/// # Shapes
/// - `left`: `[m, dim]`; `right`: `[n, dim]`, row by row
/// - `products`: `[m, n]`, overwritten
///
/// # Panics
/// If a slice is not of its shape.
pub(crate) fn row_products(left: &[f32], right: &[f32], dim: usize, products: &mut [f32]) {
    let (m, n) = (left.len() / dim, right.len() / dim);
    let shapes = (m.checked_mul(dim), n.checked_mul(dim), m.checked_mul(n));
    assert_eq!(shapes, (Some(left.len()), Some(right.len()), Some(products.len())), "shapes of a product");
    // SAFETY: the strides are those of contiguous matrices whose sizes were just checked, and the output is
    // borrowed mutably, so it overlaps neither input. A slice has at most isize::MAX bytes, so the strides fit.
    unsafe {
        gemm::gemm(
            m,
            n,
            dim,
            products.as_mut_ptr(),
            1,
            n as isize,
            false,
            left.as_ptr(),
            1,
            dim as isize,
            right.as_ptr(),
            dim as isize,
            1,
            0.0,
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
        for [m, n, dim] in [[1, 1, 1], [3, 2, 5], [17, 33, 9], [64, 1, 70], [1, 50, 3], [0, 3, 4], [3, 0, 4]]
        {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f32 - 50.0;
            let left: Vec<f32> = (0..m * dim).map(number).collect();
            let right: Vec<f32> = (0..n * dim).map(|i| number(i + 5)).collect();
            let mut products = vec![f32::NAN; m * n];
            row_products(&left, &right, dim, &mut products);
            for (index, product) in products.iter().enumerate() {
                let (a, b) = (&left[index / n * dim..][..dim], &right[index % n * dim..][..dim]);
                // Whole numbers, exact in f32.
                assert_eq!(
                    *product,
                    a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>(),
                    "{m} {n} {dim}: {index}"
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "shapes of a product")]
    fn slices_of_other_shapes_are_not_read() {
        row_products(&[1.0; 6], &[1.0; 4], 2, &mut [0.0; 5]);
    }
}
