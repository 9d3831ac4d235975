//! Offsets of a partition's log.
//!
//! Every end in Fidelog is exclusive and is called `_end`: the record at `committed_end` is the first
//! one that is not yet committed. On every replica:
//!
//! ```text
//!   start          committed_end     durable_end        end
//!     |  readable        | synced here   | accepted     |
//!     v                  v               v              v
//!  ---+------------------+---------------+--------------+--->
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of one record in its partition, dense from 0, never used twice within one leader epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);

    /// The offset `records` places further on.
    ///
    /// # Panics
    /// When the sum passes `u64::MAX`, which no log can reach.
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        match self.0.checked_add(records) {
            Some(sum) => Self(sum),
            None => panic!("offset overflow"),
        }
    }

    /// How many records lie from `earlier` up to this offset; 0 when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
