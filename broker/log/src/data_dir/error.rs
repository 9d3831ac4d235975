//! Why a data directory was not opened or formatted, and what to do about it.

use std::path::PathBuf;

use fidelog_record::types::{BrokerId, ClusterId};

use crate::config::ConfigError;
use crate::env::FilesystemKind;
use crate::files::DiskError;
use crate::identity::{DATA_FORMAT_VERSION, Identity};
use crate::small_file::SmallFileError;

/// Why a data directory was not opened or formatted.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// `format` was never run here.
    #[error("{} is not formatted; run `fidelogd format` once, or check `data_dir`", root.display())]
    NotFormatted {
        /// The directory.
        root: PathBuf,
    },
    /// `format` was run here before.
    #[error("{} is formatted already, for broker {} of cluster {}", root.display(), identity.broker_id, identity.cluster_id)]
    Formatted {
        /// The directory.
        root: PathBuf,
        /// Whose it is.
        identity: Box<Identity>,
    },
    /// It holds files, but no identity: formatting it could hide somebody's data.
    #[error("{} holds `{found}` but no identity; restore `identity`, or use an empty directory", root.display())]
    NotEmpty {
        /// The directory.
        root: PathBuf,
        /// One of the entries.
        found: String,
    },
    /// It belongs to another cluster.
    #[error("{} belongs to cluster {found}, not {expected}", root.display())]
    ForeignCluster {
        /// The directory.
        root: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// This broker's cluster.
        expected: ClusterId,
    },
    /// It belongs to another broker.
    #[error("{} belongs to broker {found}, not {expected}", root.display())]
    ForeignBroker {
        /// The directory.
        root: PathBuf,
        /// Its broker.
        found: BrokerId,
        /// This broker.
        expected: BrokerId,
    },
    /// Formatted by another version.
    #[error("{} has format version {found}; this program reads {DATA_FORMAT_VERSION}", root.display())]
    Version {
        /// The directory.
        root: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Another process uses it.
    #[error("{} is in use by another process", root.display())]
    Locked {
        /// The directory.
        root: PathBuf,
    },
    /// A file system that does not keep what it was given.
    #[error("{} lies on {kind:?}; a data directory needs a local disk", root.display())]
    Filesystem {
        /// The directory.
        root: PathBuf,
        /// What it lies on.
        kind: FilesystemKind,
    },
    /// A setting out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the directory cannot be used.
    #[error(transparent)]
    SmallFile(#[from] SmallFileError),
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
