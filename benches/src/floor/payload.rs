//! Bytes to send: random, so that nothing below can shrink them, and made once, so that making them costs nothing.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// Distinct bytes kept; more than a core's caches hold, as a real producer's payloads would be.
const POOL_BYTES: usize = 8 << 20;

/// An endless supply of payloads of one length, cut from one block without copying.
#[derive(Clone, Debug)]
pub struct Payloads {
    pool: Bytes,
    payload_bytes: usize,
    next: usize,
}

impl Payloads {
    /// Payloads of `payload_bytes` bytes; equal seeds give equal payloads.
    pub fn new(seed: u64, payload_bytes: usize) -> Self {
        let mut pool = vec![0; POOL_BYTES.max(payload_bytes)];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut pool);
        Self { pool: pool.into(), payload_bytes, next: 0 }
    }

    /// The next payload.
    pub fn take(&mut self) -> Bytes {
        if self.next + self.payload_bytes > self.pool.len() {
            self.next = 0;
        }
        let payload = self.pool.slice(self.next..self.next + self.payload_bytes);
        self.next += self.payload_bytes;
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_length_and_follow_from_the_seed() {
        for payload_bytes in [100, 1024, POOL_BYTES / 2 + 1, POOL_BYTES + 1] {
            let (mut one, mut other) = (Payloads::new(7, payload_bytes), Payloads::new(7, payload_bytes));
            for _ in 0..5 {
                let payload = one.take();
                assert_eq!(payload.len(), payload_bytes);
                assert_eq!(payload, other.take());
            }
        }
        assert_ne!(Payloads::new(1, 64).take(), Payloads::new(2, 64).take());
    }
}
