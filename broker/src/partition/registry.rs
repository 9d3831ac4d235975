//! All partitions on this broker, by id.

use std::collections::HashMap;
use std::sync::Arc;

use fidelog_record::types::{TopicId, TopicPartition};
use parking_lot::RwLock;

use super::shell::Partition;

/// The partitions this broker hosts. Cheap to look up; changed only by the node.
#[derive(Debug, Default)]
pub struct Partitions {
    by_id: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
}

impl Partitions {
    /// The partition, when it is hosted here.
    #[must_use]
    pub fn get(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.by_id.read().get(&id).cloned()
    }

    /// Hosts one more.
    ///
    /// # Panics
    /// When it is hosted already: two machines for one log would be a bug.
    pub fn insert(&self, partition: Arc<Partition>) {
        let before = self.by_id.write().insert(partition.id(), partition);
        assert!(before.is_none(), "{before:?} is hosted already");
    }

    /// Hosts it no more.
    pub fn remove(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.by_id.write().remove(&id)
    }

    /// All of them, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.by_id.read().values().cloned().collect()
    }

    /// Those that are not at rest, in no order.
    #[must_use]
    pub fn restless(&self) -> Vec<Arc<Partition>> {
        self.by_id.read().values().filter(|partition| !partition.is_at_rest()).cloned().collect()
    }

    /// Those that something is wrong with, in order: whoever mends them looks often, and ten thousand are well.
    #[must_use]
    pub fn unwell(&self) -> Vec<Arc<Partition>> {
        let mut found: Vec<_> =
            self.by_id.read().values().filter(|partition| partition.is_unwell()).cloned().collect();
        found.sort_by_key(|partition| partition.id());
        found
    }

    /// Those of one topic, by number.
    #[must_use]
    pub fn of_topic(&self, topic: TopicId) -> Vec<Arc<Partition>> {
        let mut found: Vec<_> =
            self.by_id.read().values().filter(|partition| partition.id().topic == topic).cloned().collect();
        found.sort_by_key(|partition| partition.id().partition);
        found
    }
}
