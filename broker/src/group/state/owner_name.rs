//! How a reader names itself, for people: free text, bounded.

use std::fmt;
use std::sync::Arc;

use fidelog_record::types::limits::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// A reader's name is too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the owner's name has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed: use a shorter one")]
pub struct OwnerNameTooLong {
    /// Its length.
    pub bytes: usize,
}

/// Who took a position over; at most 249 bytes, may be empty. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnerName(Arc<str>);

impl OwnerName {
    /// A name.
    ///
    /// # Errors
    /// When it has more than 249 bytes.
    pub fn new(name: &str) -> Result<Self, OwnerNameTooLong> {
        if name.len() > NAME_BYTES_MAX {
            return Err(OwnerNameTooLong { bytes: name.len() });
        }
        Ok(Self(Arc::from(name)))
    }

    /// Nobody: the owner of a position that was only ever reset.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Arc::from(""))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OwnerName {
    type Error = OwnerNameTooLong;

    fn try_from(name: String) -> Result<Self, OwnerNameTooLong> {
        Self::new(&name)
    }
}

impl From<OwnerName> for String {
    fn from(name: OwnerName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for OwnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
