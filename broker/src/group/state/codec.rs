//! Bytes of an entry: one JSON value, nothing around it.
//!
//! Always true: encoding is deterministic; decoding refuses unknown kinds, unknown fields and trailing bytes.
//! Checksums and lengths belong to the batch that carries the bytes.

use super::entry::Entry;

/// Bytes that are no entry, or one of a version that this one does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of positions that this version knows: {reason}")]
pub struct DecodeError {
    reason: String,
}

impl Entry {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has string keys only and no failing serializer")
    }

    /// The entry of these bytes.
    ///
    /// # Errors
    /// When they are damaged, or hold a kind or a field that this version does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes).map_err(|error| DecodeError { reason: error.to_string() })
    }
}
