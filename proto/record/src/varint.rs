//! Variable-length numbers: LEB128 of a u64, and zigzag for signed ones.
//!
//! Seven bits a byte, lowest first, the top bit set on all but the last; at most ten bytes. Every number has
//! exactly one encoding: an over-long one (a last byte of zero after others) is refused, so that equal records
//! are equal bytes.

/// Longest encoding of a u64.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Why bytes are not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    /// The bytes end inside it.
    #[error("a number is cut off by the end of its bytes")]
    Truncated,
    /// A shorter encoding of the same number exists.
    #[error("a number is encoded in more bytes than it needs; use the shortest encoding")]
    Overlong,
    /// More than 64 bits.
    #[error("a number does not fit 64 bits")]
    Overflow,
}

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// How many bytes [`put`] appends for `value`.
pub(crate) const fn size(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Takes one number off the front of `bytes`.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        // The tenth byte holds bit 63 alone, and no continuation.
        if index == VARINT_BYTES_MAX - 1 && byte > 1 {
            return Err(VarintError::Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return Err(VarintError::Overlong);
            }
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(VarintError::Truncated)
}

/// Folds a signed number into an unsigned one, small magnitudes to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    proptest! {
        #[test]
        fn a_number_survives_and_has_the_size_foretold(bits in 0u32..64, low: u64) {
            let value = (low & ((1 << bits) - 1)) | (1 << bits);
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), size(value));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take(&mut rest), Ok(value));
            prop_assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                prop_assert_eq!(take(&mut &bytes[..cut]), Err(VarintError::Truncated));
            }
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut rest = bytes.as_slice();
            if let Ok(value) = take(&mut rest) {
                prop_assert_eq!(encoded(value), &bytes[..bytes.len() - rest.len()]);
            }
        }

        #[test]
        fn a_signed_number_survives(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn sizes_at_the_edges() {
        for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            assert_eq!((size(value), encoded(value).len()), (bytes, bytes), "{value}");
        }
    }

    #[test]
    fn overlong_and_overflowing_numbers_are_refused() {
        assert_eq!(take(&mut [0x80, 0x00].as_slice()), Err(VarintError::Overlong));
        assert_eq!(take(&mut [0xff; 10].as_slice()), Err(VarintError::Overflow));
        let mut two_to_64 = [0x80; 10];
        two_to_64[9] = 2;
        assert_eq!(take(&mut two_to_64.as_slice()), Err(VarintError::Overflow));
        assert_eq!(take(&mut [].as_slice()), Err(VarintError::Truncated));
    }
}
