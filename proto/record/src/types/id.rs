//! Names of things: small numbers an operator assigns, and 16-byte ids that are minted once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text or a byte string is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Wrong number of bytes.
    #[error("an id has 16 bytes, not {0}")]
    Length(usize),
    /// Not a UUID's text.
    #[error("`{0}` is not an id; expected 32 hexadecimal digits, with or without hyphens")]
    Text(String),
}

macro_rules! minted_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// The id that stands for "none": sixteen zero bytes.
            pub const NIL: Self = Self(uuid::Uuid::nil());

            /// A version 4 UUID made of 16 random bytes; randomness comes from the caller.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The id with exactly these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// The id's bytes, as stored and sent.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Whether this is [`Self::NIL`].
            #[must_use]
            pub const fn is_nil(&self) -> bool {
                self.0.is_nil()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                let bytes: [u8; 16] = bytes.try_into().map_err(|_| IdError::Length(bytes.len()))?;
                Ok(Self::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                uuid::Uuid::parse_str(text).map(Self).map_err(|_| IdError::Text(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }
    };
}

minted_id! {
    /// A topic's identity. A topic deleted and created again under its old name has a new one (N14).
    TopicId
}
minted_id! {
    /// The cluster's identity, minted by the first `format`.
    ClusterId
}
minted_id! {
    /// A data directory's identity: a directory emptied and formatted again has a new one (N13).
    DirectoryId
}
minted_id! {
    /// Identity of the quorum's store: a store formatted again has a new one (DESIGN §7).
    Incarnation
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A broker's number, chosen by its operator; from 1.
    BrokerId(u32)
}
number! {
    /// A partition's number within its topic, from 0.
    PartitionIndex(u32)
}
number! {
    /// A producer's identity, granted by the cluster and never reused. 0 means "not idempotent".
    ProducerId(u64)
}
number! {
    /// Version of a producer's identity: a higher one fences a lower one (N17).
    ProducerEpoch(u32)
}
number! {
    /// Number of a record within (producer id, producer epoch, partition), from 0; never wraps (N17).
    Sequence(u64)
}

/// One partition of one topic, by id: what disks, internal messages and metadata speak of (N14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition within it.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_its_bytes() {
        let id = TopicId::from_random([7; 16]);
        assert_eq!(id.to_string().parse::<TopicId>().unwrap(), id);
        assert_eq!(TopicId::try_from(id.as_bytes().as_slice()).unwrap(), id);
    }

    #[test]
    fn an_id_of_another_length_is_refused() {
        assert_eq!(TopicId::try_from([1u8; 15].as_slice()), Err(IdError::Length(15)));
        assert!("not-an-id".parse::<TopicId>().is_err());
    }
}
