//! What delta-coded lengths claim, for which the library takes memory before it has seen them.
//!
//! Source: apache/parquet-format, Encodings.md, "Delta encoding (DELTA_BINARY_PACKED = 5)".

/// An error unless each of the `streams` of numbers at the start of `data` has at most `most` of them.
pub(crate) fn check(data: &[u8], streams: usize, most: u64) -> Result<(), &'static str> {
    let mut rest = data;
    for _ in 0..streams {
        let length =
            stream(rest, most).ok_or("the lengths in a page are damaged, or more than its values")?;
        rest = &rest[length..];
    }
    Ok(())
}

/// The bytes of a stream, unless it claims more than `most` numbers.
fn stream(data: &[u8], most: u64) -> Option<usize> {
    let mut rest = data;
    let (block, parts) = (varint(&mut rest)?, varint(&mut rest)?);
    let (count, _first) = (varint(&mut rest).filter(|count| *count <= most)?, varint(&mut rest)?);
    let part = block.checked_div(parts).filter(|part| *part > 0)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = varint(&mut rest)?;
        let (widths, behind) = rest.split_at_checked(usize::try_from(parts).ok()?)?;
        rest = behind;
        for width in widths {
            // Parts of which nothing is needed have a width, and are not there.
            if left == 0 {
                break;
            }
            let bytes = u64::from(*width).checked_mul(part)? / 8;
            rest = rest.get(usize::try_from(bytes).ok()?..)?;
            left = left.saturating_sub(part);
        }
    }
    Some(data.len() - rest.len())
}

/// A number of seven bits a byte, the least first.
pub(crate) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 numbers from 7 on in one block of 128, cut into 4 parts, of which the first takes 3 bits a number.
    const NUMBERS: [u8; 22] =
        [0x80, 0x01, 4, 5, 14, 0, 3, 9, 9, 9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn streams_are_measured_before_they_are_read() {
        assert_eq!(stream(&NUMBERS, 5), Some(22));
        assert_eq!(stream(&[&NUMBERS[..], b"more"].concat(), 9), Some(22));
        assert_eq!(stream(&NUMBERS, 4), None);
        // One number is in the head of its stream.
        let two = [&NUMBERS[..], &[0x80, 0x01, 4, 1, 0]].concat();
        assert_eq!(check(&two, 2, 5), Ok(()));
        for length in 0..two.len() {
            assert!(check(&two[..length], 2, 5).is_err(), "{length}");
        }
        for claims in [[0x80, 0x01, 0, 5], [0, 4, 5, 0], [0xff; 4]] {
            assert_eq!(stream(&[&claims[..], &[0; 50]].concat(), 9), None, "{claims:?}");
        }
    }
}
