//! The file `identity`: whose data directory this is (N13).

use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, Generation, Incarnation, MetaIndex, TopicPartition,
};
use serde::{Deserialize, Serialize};

use crate::small_file::Stored;

/// Version of the data directory's layout and formats that this program reads and writes.
pub const DATA_FORMAT_VERSION: u32 = 1;

/// Who a data directory belongs to, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// [`DATA_FORMAT_VERSION`] of the program that formatted it.
    pub format_version: u32,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The broker.
    pub broker_id: BrokerId,
    /// Minted by `format`: a directory emptied and formatted again has a new one.
    pub directory_id: DirectoryId,
    /// Raised and synced at every start and every few seconds of appending; one that falls was rolled back.
    pub generation: Generation,
    /// The metadata quorum this directory has followed; `None` before the first.
    pub quorum_incarnation: Option<Incarnation>,
    /// The highest metadata index seen from it; 0 before the first.
    pub meta_index_seen: MetaIndex,
}

impl Stored for Identity {
    const KIND: &'static str = "identity";
    const VERSION: u32 = 1;
}

/// The file `clean-stop`: everything was synced when the process of this generation ended, but for some logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanStop {
    pub(crate) generation: Generation,
    /// Logs that nobody has opened since an unclean stop: nothing is said of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unproven: Vec<TopicPartition>,
}

impl Stored for CleanStop {
    const KIND: &'static str = "clean-stop";
    const VERSION: u32 = 1;
}
