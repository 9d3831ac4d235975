//! Bytes of what is stored and sent: JSON, one value, nothing around it.
//!
//! Always true: encoding is deterministic; decoding refuses unknown kinds, unknown fields and trailing bytes. What
//! stands around the bytes (checksums, lengths) belongs to whoever keeps or carries them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ClusterState, Entry, Outcome, Proposal, Refusal, Snapshot};

/// Bytes that are not what they should be, or are of a version this one does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
}

impl DecodeError {
    pub(in crate::meta) fn new(reason: String) -> Self {
        Self { reason }
    }
}

/// A value with a stored form.
pub trait Stored: Sized {
    /// Its bytes.
    #[must_use]
    fn to_bytes(&self) -> Vec<u8>;

    /// The value of these bytes.
    ///
    /// # Errors
    /// When they are damaged, or hold a kind or a field that this version does not know.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;
}

pub(in crate::meta) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types have string keys only and no failing serializer")
}

pub(in crate::meta) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| DecodeError::new(error.to_string()))
}

macro_rules! stored {
    ($($name:ty),*) => {$(
        impl Stored for $name {
            fn to_bytes(&self) -> Vec<u8> {
                encode(self)
            }

            fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
                decode(bytes)
            }
        }
    )*};
}

stored!(Entry, Proposal, Refusal, Outcome, Snapshot);

impl Stored for ClusterState {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_snapshot().to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_snapshot(Snapshot::from_bytes(bytes)?)
    }
}
