//! Floor 9: builds everything once, runs it, drains it. Owns the threads.
//!
//! ```text
//!   thread flush     takes what partitions submit, writes, syncs          (one per data directory)
//!   thread quorum    a controller, on a runtime of its own                (on controllers)
//!   runtime peers    replication, the watch, proposals                    (never blocks on a disk)
//!   runtime clients  the public services
//! ```
//!
//! The order of a start is the order of what must be true: the directory is ours and locked; the quorum has judged the
//! generation found in it; it is raised and synced; the quorum has registered this process; the watch has passed that registration; only then does this
//! broker lead or follow anything (N1, N13). A node that only votes registers nothing and holds nothing: it decides on the
//! metadata, serves it, and sends the rest on.

mod broker;
mod config;
mod format;
mod generation;
mod hosting;
mod housekeeping;
mod leaving;
mod positions_topic;
mod quorum;
mod rebuild;
mod registration;
mod removing;
mod reopening;
mod repair;
mod replica_report;
mod returning;
mod role;
mod running;
mod scrub;
mod seen;
mod session;
mod start;
mod start_error;
mod tasks;
#[cfg(test)]
mod tests;
mod threads;
mod voter;

pub use config::{BrokerAddress, NodeConfig};
pub use format::{FormatError, format};
pub use rebuild::{QuorumError, StoppedNode};
pub use role::Role;
pub use running::{Node, StopReason};
pub use start_error::StartError;
