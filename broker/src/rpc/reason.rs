//! What each [`Reason`] is on the wire of gRPC: its one status code, and how long a sender should wait.
//!
//! Always true: one exhaustive match, so that a reason cannot be added without its code. Whether a reason is definite
//! and whether it is retriable is told beside the `.proto` files, not here.

use fidelog_proto::v1::Reason;
use tonic::Code;

/// The status code of a reason.
#[must_use]
pub(super) const fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidArgument
        | Reason::InvalidName
        | Reason::DataCorrupt
        | Reason::InvalidBatch
        | Reason::RecordTooLarge
        | Reason::BatchTooLarge
        | Reason::TimestampOutOfRange => Code::InvalidArgument,
        Reason::UnknownTopic
        | Reason::UnknownPartition
        | Reason::StaleTopicId
        | Reason::UnknownProducer
        | Reason::UnknownGroup => Code::NotFound,
        Reason::TopicExists => Code::AlreadyExists,
        Reason::UnsupportedFormat => Code::Unimplemented,
        Reason::NotLeader
        | Reason::FencedEpoch
        | Reason::OutOfOrder
        | Reason::ProducerFenced
        | Reason::FencedGeneration
        | Reason::NotEnoughBrokers
        | Reason::NotPermitted
        | Reason::WrongCluster => Code::FailedPrecondition,
        Reason::LeaderNotAvailable
        | Reason::UnknownEpoch
        | Reason::NotEnoughReplicas
        | Reason::Unavailable
        | Reason::NotYetAvailable
        | Reason::QuorumUnavailable => Code::Unavailable,
        Reason::MessageTooLarge
        | Reason::Overloaded
        | Reason::DiskFull
        | Reason::ProducerWindowFull
        | Reason::LimitExceeded => Code::ResourceExhausted,
        Reason::DataLoss | Reason::MetadataLost => Code::DataLoss,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::OffsetOutOfRange => Code::OutOfRange,
        Reason::Conflict => Code::Aborted,
        Reason::Unspecified | Reason::OutcomeUnknown | Reason::ChangeOutcomeUnknown => Code::Unknown,
    }
}

/// Milliseconds a sender should wait before it tries again; 0: no advice, nothing changes by waiting.
#[must_use]
pub(super) const fn retry_after_ms(reason: Reason) -> u32 {
    match reason {
        Reason::Overloaded | Reason::ProducerWindowFull | Reason::NotYetAvailable | Reason::UnknownEpoch => {
            20
        }
        Reason::LeaderNotAvailable | Reason::NotEnoughReplicas => 100,
        Reason::Unavailable | Reason::QuorumUnavailable => 250,
        Reason::LimitExceeded => 1_000,
        Reason::DiskFull => 10_000,
        Reason::Unspecified
        | Reason::InvalidArgument
        | Reason::InvalidName
        | Reason::UnknownTopic
        | Reason::UnknownPartition
        | Reason::StaleTopicId
        | Reason::TopicExists
        | Reason::DataCorrupt
        | Reason::InvalidBatch
        | Reason::RecordTooLarge
        | Reason::BatchTooLarge
        | Reason::MessageTooLarge
        | Reason::TimestampOutOfRange
        | Reason::UnsupportedFormat
        | Reason::NotLeader
        | Reason::FencedEpoch
        | Reason::DataLoss
        | Reason::OutcomeUnknown
        | Reason::DeadlineExceeded
        | Reason::OutOfOrder
        | Reason::ProducerFenced
        | Reason::UnknownProducer
        | Reason::OffsetOutOfRange
        | Reason::UnknownGroup
        | Reason::FencedGeneration
        | Reason::MetadataLost
        | Reason::Conflict
        | Reason::NotEnoughBrokers
        | Reason::NotPermitted
        | Reason::WrongCluster
        | Reason::ChangeOutcomeUnknown => 0,
    }
}

#[cfg(test)]
mod tests {
    use fidelog_proto::Certainty;

    use super::*;

    #[test]
    fn every_reason_that_can_be_sent_has_a_code_that_fits_its_meaning() {
        let mut seen = 0;
        for reason in Reason::all() {
            seen += 1;
            let code = code(reason);
            assert_ne!(code, Code::Ok, "{}", reason.name());
            let unknown = reason.certainty() == Certainty::Unknown;
            assert_eq!(
                unknown,
                code == Code::Unknown,
                "{}: only unknown outcomes are UNKNOWN",
                reason.name()
            );
            let later = reason.retriable();
            assert!(later || code != Code::Unavailable, "{}: UNAVAILABLE invites retries", reason.name());
        }
        assert!(seen >= 40, "only {seen} reasons were walked");
    }

    #[test]
    fn only_what_may_pass_by_itself_or_by_freeing_space_is_worth_waiting_for() {
        for reason in Reason::all() {
            let waits = retry_after_ms(reason) > 0;
            assert!(!waits || reason.retriable() || reason == Reason::DiskFull, "{}", reason.name());
        }
    }
}
