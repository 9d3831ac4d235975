//! Only the life of a broker that its leader has matched joins a set of a partition (N8): what another life of it reported
//! says nothing of what this one holds.

use fidelog_broker::meta::state::{ClusterState, IsrMember};
use fidelog_record::types::TopicPartition;

/// A leader has proposed `named`, and what was `before` is now `after`.
pub(crate) fn are_as_named(
    at: TopicPartition,
    named: &[IsrMember],
    before: &ClusterState,
    after: &ClusterState,
) {
    let (Some(old), Some(new)) = (before.partition(at), after.partition(at)) else { return };
    for member in named.iter().filter(|it| !old.is_member(it.broker) && new.is_member(it.broker)) {
        let registered = after.broker(member.broker).map(|entry| (entry.epoch, entry.directory));
        assert_eq!(
            registered,
            Some((member.broker_epoch, member.directory)),
            "{at}: broker {} joins by what a life of it reported that is over: (registered, reported)",
            member.broker
        );
    }
}
