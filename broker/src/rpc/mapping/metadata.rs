//! Why the metadata quorum did not accept a proposal.

use fidelog_proto::v1::Reason;

use super::config_failure;
use crate::meta::quorum::ProposeError;
use crate::meta::state::Refusal;
use crate::rpc::status::Failure;

/// The failure of a proposal.
pub(in crate::rpc) fn propose_failure(error: &ProposeError) -> Failure {
    match error {
        ProposeError::Refused { refusal } => refusal_failure(refusal),
        ProposeError::Unavailable { .. } => Failure::new(Reason::QuorumUnavailable, error.to_string()),
        ProposeError::Unreachable { .. } => Failure::new(Reason::ChangeOutcomeUnknown, error.to_string()),
    }
}

/// The failure of a refused proposal; the refusal's own sentence names value, limit and remedy.
pub(in crate::rpc) fn refusal_failure(refusal: &Refusal) -> Failure {
    let because = |reason| Failure::new(reason, refusal.to_string());
    match refusal {
        Refusal::Config { error } => config_failure(error),
        Refusal::DefaultsBreakTopic { name, .. } => because(Reason::InvalidArgument).with("topic", name),
        Refusal::WrongCluster { given, ours, .. } => {
            because(Reason::WrongCluster).with("given", given).with("cluster_id", ours)
        }
        Refusal::MetadataLost { .. } => because(Reason::MetadataLost),
        Refusal::TopicExists { existing, topic, .. } => {
            because(Reason::TopicExists).with("topic", existing).with("topic_id", topic)
        }
        Refusal::NameReserved { .. } | Refusal::InternalNameExpected { .. } => {
            because(Reason::InvalidName).with("field", "name")
        }
        Refusal::PartitionCount { given } => {
            because(Reason::InvalidArgument).with("field", "partitions").with("value", given)
        }
        Refusal::ReplicationFactor { given } => {
            because(Reason::InvalidArgument).with("field", "replication_factor").with("value", given)
        }
        Refusal::MinInsyncAboveReplicationFactor { min, .. } => {
            because(Reason::InvalidArgument).with("field", "min_insync_replicas").with("value", min)
        }
        Refusal::PartitionsOnlyGrow { given, .. } => {
            because(Reason::InvalidArgument).with("field", "partitions").with("value", given)
        }
        Refusal::InvalidMove { .. } => because(Reason::InvalidArgument),
        Refusal::InvalidAssignment { .. } | Refusal::NothingNamed { .. } | Refusal::NamedTwice { .. } => {
            because(Reason::InvalidArgument)
        }
        Refusal::InvalidRegistration { field, .. } => because(Reason::InvalidArgument).with("field", field),
        Refusal::ProducerIdCount { .. } => because(Reason::InvalidArgument).with("field", "count"),
        Refusal::ClusterPartitionCount { total, .. } => {
            because(Reason::LimitExceeded).with("limit", "cluster_partitions_max").with("value", total)
        }
        Refusal::TooManyNamed { what, .. } => because(Reason::LimitExceeded).with("limit", what),
        Refusal::ProducerIdsExhausted {} => because(Reason::LimitExceeded).with("limit", "producer_ids"),
        Refusal::NotEnoughBrokers { given, brokers } => {
            because(Reason::NotEnoughBrokers).with("replication_factor", given).with("brokers", brokers)
        }
        Refusal::UnreplicatedNotAllowed {} | Refusal::MinInsyncOneNotAllowed { .. } => {
            because(Reason::NotPermitted).with("field", "allow_unreplicated")
        }
        Refusal::TopicIsInternal { name } | Refusal::InternalPartitionCount { name } => {
            because(Reason::NotPermitted).with("topic", name)
        }
        Refusal::UnknownTopic { topic } | Refusal::NoTombstone { topic } => {
            because(Reason::UnknownTopic).with("topic_id", topic)
        }
        Refusal::UnknownPartition { partition } => {
            because(Reason::UnknownPartition).with("partition", partition.partition)
        }
        Refusal::TopicNotOpen { topic } => because(Reason::LeaderNotAvailable).with("topic_id", topic),
        Refusal::NotLeader { .. } => because(Reason::NotLeader),
        // Said to brokers, and to clients only when the broker they spoke to has been replaced meanwhile.
        Refusal::UnknownBroker { .. } | Refusal::StaleBrokerEpoch { .. } | Refusal::WrongDirectory { .. } => {
            because(Reason::Unavailable)
        }
        Refusal::FormerSessionAlive { .. }
        | Refusal::OtherDataRegistered { .. }
        | Refusal::GenerationNotRaised { .. }
        | Refusal::FeatureLevelTooLow { .. }
        | Refusal::FencedAlready { .. }
        | Refusal::NotFenced { .. }
        | Refusal::FencedForGood { .. }
        | Refusal::NotWaitingForEnds { .. }
        | Refusal::CannotLead { .. }
        | Refusal::MoveUnderWay { .. }
        | Refusal::NoMoveUnderWay { .. }
        | Refusal::MoveHoldsRecords { .. }
        | Refusal::OtherPlan { .. }
        | Refusal::RecoveryNotNeeded { .. }
        | Refusal::RecoveryTooEarly { .. }
        | Refusal::ControllerRolledBack { .. }
        | Refusal::UnknownController { .. }
        | Refusal::FeatureLevel { .. }
        | Refusal::StaleGeneration { .. }
        | Refusal::TopicIdTaken { .. }
        | Refusal::NotAReplica { .. }
        | Refusal::NoReplicaOfTopic { .. }
        | Refusal::ReplicaNotMade { .. }
        | Refusal::StaleLeaderEpoch { .. }
        | Refusal::StalePartitionEpoch { .. }
        | Refusal::LeaderLeaves { .. }
        | Refusal::ReplicaNeeded { .. }
        | Refusal::MemberMismatch { .. } => because(Reason::Conflict),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_accepted_is_never_told_as_definite() {
        let unreachable = ProposeError::Unreachable { reason: "cut".into() };
        assert_eq!(propose_failure(&unreachable).reason(), Reason::ChangeOutcomeUnknown);
        let unavailable = ProposeError::Unavailable { reason: "stopping".into() };
        assert_eq!(propose_failure(&unavailable).reason(), Reason::QuorumUnavailable);
        let refused = ProposeError::Refused { refusal: Refusal::UnreplicatedNotAllowed {} };
        assert_eq!(propose_failure(&refused).reason(), Reason::NotPermitted);
    }
}
