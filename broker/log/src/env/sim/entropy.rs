//! Randomness that a seed repeats.

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::env::Entropy;

/// Random bytes from a seed.
#[derive(Debug)]
pub struct SimEntropy {
    generator: Mutex<StdRng>,
}

impl SimEntropy {
    /// The same seed gives the same bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { generator: Mutex::new(StdRng::seed_from_u64(seed)) }
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.generator.lock().fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_bytes_and_another_does_not() {
        assert_eq!(SimEntropy::new(1).id_bytes(), SimEntropy::new(1).id_bytes());
        assert_ne!(SimEntropy::new(1).id_bytes(), SimEntropy::new(2).id_bytes());
    }
}
