//! The kernel's randomness.

use rand::TryRngCore;
use rand::rngs::OsRng;

use super::Entropy;

/// Random bytes from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealEntropy;

impl Entropy for RealEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.try_fill_bytes(bytes).expect("the kernel's random source answers once the system has booted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_differ() {
        assert_ne!(RealEntropy.id_bytes(), RealEntropy.id_bytes());
    }
}
