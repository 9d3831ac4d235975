//! Which partition a key belongs to: murmur2 with Kafka's seed, so that programs which move keep their placement.
//!
//! The answer depends on the key's bytes and the partition count alone, in every language and for ever. Records
//! without a key are placed by their sender, not here.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const ROTATION: u32 = 24;

/// The 32-bit murmur2 hash of `key`.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    // The seed is mixed with the length modulo 2^32, as the reference does with its 32-bit lengths.
    let length = u32::try_from(key.len() & 0xffff_ffff).expect("masked to 32 bits");
    let words = key.chunks_exact(4);
    let tail = words.remainder();

    let mut hash = words.fold(SEED ^ length, |hash, word| {
        let word = u32::from_le_bytes(word.try_into().expect("a chunk of exactly four bytes"));
        let mixed = word.wrapping_mul(MULTIPLIER);
        let mixed = (mixed ^ (mixed >> ROTATION)).wrapping_mul(MULTIPLIER);
        hash.wrapping_mul(MULTIPLIER) ^ mixed
    });
    if !tail.is_empty() {
        for (index, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition, from 0, that `key` belongs to among `partition_count`.
///
/// # Panics
/// When `partition_count` is 0: a topic has at least one partition.
#[must_use]
pub fn partition_for_key(key: &[u8], partition_count: u32) -> u32 {
    assert!(partition_count > 0, "a topic has at least one partition");
    (murmur2(key) & 0x7fff_ffff) % partition_count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_hashes_come_out() {
        let known: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_lands_inside_the_partition_count() {
        assert_eq!(partition_for_key(b"abc", 1), 0);
        assert_eq!(partition_for_key(b"abc", 10), 7);
        // The sign bit is dropped, not negated.
        assert_eq!(u64::from(partition_for_key(b"21", 7)), (u64::from(murmur2(b"21")) & 0x7fff_ffff) % 7);
    }
}
