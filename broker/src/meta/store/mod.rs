//! The metadata store: one redb file, `meta.redb`, over `env`.
//!
//! ```text
//!   about     "format" -> 2, "node_id" -> u64
//!   facts     "cluster" -> 16 bytes; "vote", "purged", "committed" -> what the quorum gave
//!   log       index -> entry; no holes
//!   snapshot  index -> what it is about; one row, the latest
//!   image     index -> its bytes; the same row
//! ```
//!
//! [`file`] is the file with its tables, `writer` the one thread that writes to it. What the rows' bytes mean is the
//! business of `meta/raft`.
//!
//! Always true: what was answered well is synced, and everything written before it; what one job changes is there
//! after a crash as a whole or not at all; a store is made once, by `format`, and a missing, damaged, foreign or old
//! one is an error, never an empty one (D12).

mod backend;
mod change;
mod error;
mod file;
mod health;
mod rewrite;
mod writer;

pub use error::StoreError;
pub use health::{StoreHealth, StoreStopped};

pub(in crate::meta) use change::{Change, Fact};
pub(in crate::meta) use file::{KeptSnapshot, StoreFile};
pub(in crate::meta) use health::Health;
pub(in crate::meta) use writer::{StoreThread, StoreWriter};

const FILE_NAME: &str = "meta.redb";
const NEW_NAME: &str = "meta.redb.new";
const COPY_NAME: &str = "meta.redb.copy";
/// What is read often is in memory anyway; redb needs little.
const CACHE_BYTES: usize = 16 << 20;

/// How the process that used the data directory before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStop {
    /// With everything synced.
    Clean,
    /// In any other way: the file is written again before it is believed.
    Unclean,
}

fn builder() -> redb::Builder {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}
