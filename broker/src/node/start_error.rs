//! Why a node does not start.

use std::io;

use fidelog_log::{DataDirError, DiskError};

use super::running::StopReason;
use crate::meta::raft::RaftStartError;
use crate::meta::state::Refusal;
use crate::meta::store::StoreError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The metadata store.
    #[error(
        "the metadata store cannot be used, so that this cluster's metadata may be lost (METADATA_LOST): {0}"
    )]
    Store(#[from] StoreError),
    /// The controller in this node.
    #[error(transparent)]
    Quorum(#[from] RaftStartError),
    /// The quorum refused the registration.
    #[error("the metadata quorum refused this broker: {0}")]
    Refused(Refusal),
    /// The controller in a directory that was rolled back, found out late.
    #[error(
        "this directory was rolled back, and no other controller could say so when the quorum's store was opened; start \
         it again: it then joins the quorum anew, and its replicas are refilled"
    )]
    RolledBack,
    /// The quorum said what it cannot say.
    #[error("the metadata quorum speaks wrongly: {0}")]
    Protocol(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A thread or runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// It was told to stop, or failed, while starting.
    #[error("{0}")]
    Stopped(StopReason),
}
