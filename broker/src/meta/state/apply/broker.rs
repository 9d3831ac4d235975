//! What registrations and fences of brokers do to the partitions they hold (N1, N10, N12, N13).

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, TopicId, TopicPartition};

use super::super::partition::Step;
use super::super::{BrokerEntry, Changes, ClusterState, DataFound, FenceReason};

impl ClusterState {
    pub(super) fn apply_registration(
        &mut self,
        broker: &BrokerEntry,
        data: DataFound,
    ) -> Result<Changes, String> {
        if broker.epoch <= self.last_broker_epoch {
            return Err(format!("broker epoch {} is not above {}", broker.epoch, self.last_broker_epoch));
        }
        self.last_broker_epoch = broker.epoch;
        let id = broker.id;
        self.brokers.insert(id, Arc::new(broker.clone()));
        let mut changes = Changes { brokers: BTreeSet::from([id]), ..Changes::default() };
        for at in self.held_by(id) {
            self.touch(at, &mut changes, |partition, _| match data {
                DataFound::Intact => partition.broker_restarted(id, broker.clean),
                DataFound::OtherDirectory | DataFound::RolledBack => {
                    partition.replica_lost(id, broker.directory)
                }
            });
        }
        Ok(changes)
    }

    pub(super) fn apply_fence(
        &mut self,
        broker: BrokerId,
        reason: FenceReason,
        fenced_at_ms: u64,
    ) -> Result<Changes, String> {
        let mut changes = self.alter_broker(broker, |it| {
            (it.fenced, it.fence_reason, it.fenced_at_ms) = (true, Some(reason), fenced_at_ms);
        })?;
        self.settle_held_by(broker, &mut changes);
        Ok(changes)
    }

    pub(super) fn apply_unfence(&mut self, broker: BrokerId) -> Result<Changes, String> {
        let mut changes = self.alter_broker(broker, |it| it.fenced = false)?;
        self.settle_held_by(broker, &mut changes);
        Ok(changes)
    }

    pub(super) fn apply_draining(&mut self, broker: BrokerId, draining: bool) -> Result<Changes, String> {
        let mut changes = self.alter_broker(broker, |it| it.draining = draining)?;
        self.settle_held_by(broker, &mut changes);
        Ok(changes)
    }

    pub(super) fn alter_broker(
        &mut self,
        broker: BrokerId,
        change: impl FnOnce(&mut BrokerEntry),
    ) -> Result<Changes, String> {
        let known = self.brokers.get_mut(&broker).ok_or_else(|| format!("no broker {broker}"))?;
        change(Arc::make_mut(known));
        Ok(Changes { brokers: BTreeSet::from([broker]), ..Changes::default() })
    }

    /// The broker can do more, or less, than before.
    fn settle_held_by(&mut self, broker: BrokerId, changes: &mut Changes) {
        let held = self.held_by(broker);
        let mut opening: BTreeSet<TopicId> = BTreeSet::new();
        for at in held {
            self.touch(at, changes, |_, _| Step::Changed);
            if self.partition(at).is_some_and(|partition| !partition.is_open()) {
                opening.insert(at.topic);
            }
        }
        for topic in opening {
            self.open_if_ready(topic, changes);
        }
    }

    fn held_by(&self, broker: BrokerId) -> Vec<TopicPartition> {
        self.partitions().filter(|(_, it)| it.has_replica(broker)).map(|(at, _)| at).collect()
    }
}
