//! What is left of a deleted topic until every replica has confirmed that its data is gone (N14).

use fidelog_record::types::{BrokerId, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// A deleted topic. Its data may be removed because this exists; a directory whose topic is simply not known may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// The deleted id, never used again.
    pub topic: TopicId,
    /// The name it had; free for a new topic at once.
    pub name: TopicName,
    /// Brokers that held replicas and have not confirmed yet, by id.
    pub pending: Vec<BrokerId>,
    /// When it was deleted, Unix milliseconds of the deciding node.
    pub deleted_at_ms: u64,
}
