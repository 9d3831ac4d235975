//! What the Raft log carries, and what applying it answers.

use fidelog_record::types::MetaIndex;
use serde::{Deserialize, Serialize};

use crate::meta::state::{Entry, Snapshot};

/// One entry of the Raft log that is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// The first of a new cluster: its state before any entry.
    Found {
        /// The founded state.
        snapshot: Box<Snapshot>,
    },
    /// Entries decided on the state at `base`: applied exactly there, otherwise not at all.
    Batch {
        /// The metadata index they were decided on.
        base: MetaIndex,
        /// In order; the first gets the index after `base`.
        entries: Vec<Entry>,
    },
}

/// What applying a command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Applied {
    /// It counts; the state's index afterwards.
    Counts {
        /// The last index it gave.
        index: MetaIndex,
    },
    /// It was decided on a state that is not the present one, and changed nothing. Definite.
    Void {
        /// The state's index.
        index: MetaIndex,
    },
    /// An entry of the library's own: nothing of ours.
    Nothing,
}
