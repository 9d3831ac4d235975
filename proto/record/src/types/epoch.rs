//! Epochs: counters that only rise, each telling an older view of the world from a newer one.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! epoch {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The next value.
            ///
            /// # Panics
            /// When the counter is exhausted: a wrap would let an old epoch pass for a new one.
            #[must_use]
            pub const fn next(self) -> Self {
                match self.0.checked_add(1) {
                    Some(value) => Self(value),
                    None => panic!("epoch exhausted"),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

epoch! {
    /// Which leadership of a partition: raised by the quorum at every change of leader and at every start of
    /// the leading process (N1). 0 means "none yet"; the first leader's epoch is 1.
    LeaderEpoch(u32)
}
epoch! {
    /// Version of a partition's entry in the metadata: rises with every change of it (N7, N8).
    PartitionEpoch(u64)
}
epoch! {
    /// Which process start of a broker: granted by the quorum at each registration (N1). 0 means "none".
    BrokerEpoch(u64)
}
epoch! {
    /// A counter of takeovers: of a data directory at each start (N13), of a group's position by each owner (N18).
    Generation(u64)
}
epoch! {
    /// Index of an entry in the metadata log, from 1; 0 means "before the first".
    MetaIndex(u64)
}
