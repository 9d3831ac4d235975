//! A topic as the metadata knows it.
//!
//! Always true: `min_insync_replicas` is explicit in `config`, so that no change of the cluster's defaults can move
//! the commit rule of a topic that exists; it is between 1 and `replication_factor`.

use fidelog_record::types::{TopicId, TopicName};
use serde::{Deserialize, Serialize};

use super::TopicConfig;

/// Whether a topic may be used.
///
/// ```text
///   Creating --every partition's first replica and the minimum of replicas are made and synced--> Open
///   Creating, Open --deleted--> a tombstone
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// Its replicas are making their directories (N14).
    Creating,
    /// Its partitions have leaders, or an [`super::OfflineReason`].
    Open,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicEntry {
    /// Its identity: a topic created again under this name has another one.
    pub id: TopicId,
    /// Its name; no other topic has it in any mix of cases.
    pub name: TopicName,
    /// How many partitions it has.
    pub partition_count: u32,
    /// How many replicas each partition has.
    pub replication_factor: u16,
    /// What was set for this topic; everything else is inherited from the cluster's defaults.
    pub config: TopicConfig,
    /// When it was created, Unix milliseconds of the deciding node.
    pub created_at_ms: u64,
    /// Whether it may be used.
    pub state: TopicState,
    /// Whether it is one of Fidelog's own (`__…`).
    pub internal: bool,
}

impl TopicEntry {
    /// The fewest in-sync replicas an acknowledgement may stand for.
    #[must_use]
    pub fn min_insync_replicas(&self) -> u16 {
        // Creation and alteration always set it; the replication factor is the strict reading of a missing one.
        self.config.min_insync_replicas.unwrap_or(self.replication_factor)
    }
}
