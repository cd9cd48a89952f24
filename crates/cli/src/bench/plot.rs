//! `facegrad bench ops --plot`: the operators in a picture of the roofline.

use facegrad_backbones::{Operation, Reading};
use facegrad_kernels::conv::is_winograd;
use facegrad_report::{OperatorFamily, OperatorPoint};

/// Operators that are computed alike and share a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Winograd,
    Direct,
    Pointwise,
    Grouped,
    Elementwise,
}

impl Family {
    /// In the order of the legend.
    const ALL: [Self; 5] = [Self::Winograd, Self::Direct, Self::Pointwise, Self::Grouped, Self::Elementwise];

    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Join { .. } => Self::Elementwise,
            Operation::Conv { conv, .. } if conv.groups > 1 => Self::Grouped,
            Operation::Conv { conv, .. } if conv.kernel == [1, 1] => Self::Pointwise,
            Operation::Conv { conv, input, .. } if is_winograd(conv, *input) => Self::Winograd,
            Operation::Conv { .. } => Self::Direct,
        }
    }

    fn name(self) -> &'static str {
        match self {
            // No network here has dense filters of another size, or groups of many channels.
            Self::Winograd => "3x3, Winograd",
            Self::Direct => "3x3, direct",
            Self::Pointwise => "1x1",
            Self::Grouped => "depthwise",
            Self::Elementwise => "join, transform",
        }
    }
}

/// The points by family; all are there, so that each keeps its marker in every picture.
pub fn families(points: impl Iterator<Item = (Family, OperatorPoint)>) -> Vec<OperatorFamily> {
    let mut families =
        Family::ALL.map(|family| OperatorFamily { name: family.name().into(), points: Vec::new() });
    for (family, point) in points {
        families[family as usize].points.push(point);
    }
    families.into()
}

/// What one cannot see in the picture.
pub fn notes([height, width]: [usize; 2]) -> String {
    format!(
        "Images of {height}x{width} pixels. Operations are those of the direct convolution; Winograd's algorithm \
         needs fewer, so its points may lie above the matrix product. Operators on maps that stay in the caches \
         may lie above the memory. The operations of joins and transforms, 1 to 12 an element, are estimated."
    )
}

/// Floating-point operations an element of [`facegrad_kernels::join`], at least.
pub fn join_operations(body: Reading, shortcut: Option<Reading>, moments: bool) -> u64 {
    // The sum of elements and the sum of their squares.
    let moments = if moments { 3 } else { 0 };
    reading(body) + shortcut.map_or(0, |shortcut| reading(shortcut) + 1) + moments
}

/// A multiply-add to normalise, a product with the slope.
fn reading(Reading { norm, act }: Reading) -> u64 {
    2 * u64::from(norm) + u64::from(act)
}

/// Floating-point operations an element of [`facegrad_kernels::transform_backward`], at least.
pub fn backward_operations(Reading { norm, act }: Reading) -> u64 {
    // The sums of the gradient and of its products with the input, and the sum of three products.
    let norm_operations = if norm { 3 + 4 } else { 0 };
    // The product with the slope, the gradient of the slope, and what the slope depends on the sign of.
    let act_operations = if act { 1 + 2 + 2 * u64::from(norm) } else { 0 };
    norm_operations + act_operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_in_the_order_of_the_legend() {
        for (i, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, i);
        }
    }

    #[test]
    fn operations_of_joins_are_those_of_their_parts() {
        let reading = |norm, act| Reading { norm, act };
        assert_eq!(join_operations(reading(true, false), Some(reading(false, false)), true), 6);
        assert_eq!(join_operations(reading(true, true), None, false), 3);
        assert_eq!(join_operations(reading(false, true), None, false), 1);
        assert_eq!(backward_operations(reading(true, true)), 12);
        assert_eq!(backward_operations(reading(false, true)), 3);
    }
}
