//! What a partition answers to a produce (N16): definite refusals, and outcomes that cannot be known.

use fidelog_proto::v1::Reason;
use fidelog_record::types::{BrokerId, LeaderEpoch};

use crate::partition::{ProduceRefusal, Unknown};
use crate::rpc::status::Failure;

/// Nothing was stored at `at`, a partition's name, by broker `me`. `hint` tells where a leader is.
pub(in crate::rpc) fn produce_failure(
    refusal: ProduceRefusal,
    at: &str,
    me: BrokerId,
    hint: impl FnOnce(Option<BrokerId>, LeaderEpoch) -> Failure,
) -> Failure {
    match refusal {
        ProduceRefusal::NotLeader { leader, epoch } => hint(leader, epoch),
        ProduceRefusal::Opening => Failure::new(
            Reason::LeaderNotAvailable,
            format!("partition {at}: its leader is still learning what its followers hold; try again"),
        ),
        ProduceRefusal::Stopped(why) => Failure::new(
            Reason::Unavailable,
            format!("partition {at}: its log on this broker is stopped: {why}; another replica has to lead"),
        ),
        ProduceRefusal::DataLoss(why) => Failure::new(
            Reason::DataLoss,
            format!("partition {at}: its leader lost what it had: {why}; an operator must act"),
        ),
        ProduceRefusal::FencedEpoch { epoch } => Failure::new(
            Reason::FencedEpoch,
            format!("partition {at}: leader_epoch is older than {epoch}, the leader's; refresh routes"),
        )
        .with("leader_epoch", epoch),
        ProduceRefusal::UnknownEpoch { epoch } => Failure::new(
            Reason::UnknownEpoch,
            format!("partition {at}: leader_epoch is newer than {epoch}, which is all this broker knows; try again"),
        )
        .with("leader_epoch", epoch),
        ProduceRefusal::NotEnoughReplicas { isr, min_insync } => {
            let members: Vec<String> = isr.iter().map(ToString::to_string).collect();
            let (count, members) = (isr.len(), members.join(","));
            let message = format!(
                "partition {at}: {count} replicas are in sync [{members}], min_insync_replicas is {min_insync}; \
                 nothing was stored, try again when more brokers are up"
            );
            Failure::new(Reason::NotEnoughReplicas, message)
                .with("isr", members)
                .with("min_insync_replicas", min_insync)
        }
        ProduceRefusal::Overloaded { pending_bytes, pending_bytes_max } => Failure::limit(
            Reason::Overloaded,
            "pending_bytes_max",
            pending_bytes_max,
            format!(
                "partition {at}: {pending_bytes} bytes wait to be acknowledged; at most {pending_bytes_max} may: slow down"
            ),
        ),
        ProduceRefusal::DiskFull(why) => Failure::new(
            Reason::DiskFull,
            format!("partition {at}: there is no room on the disk of broker {me}, its leader: {why}"),
        ),
        ProduceRefusal::DeadlineExceeded => Failure::new(
            Reason::DeadlineExceeded,
            format!("partition {at}: the time to wait passed before there was room in the log; nothing was stored"),
        ),
        ProduceRefusal::OutOfOrder { expected } => Failure::new(
            Reason::OutOfOrder,
            format!("partition {at}: sequence {expected} is expected next; send again in order from there"),
        )
        .with("expected_sequence", expected),
        ProduceRefusal::ProducerFenced { epoch } => Failure::new(
            Reason::ProducerFenced,
            format!("partition {at}: producer epoch {epoch} of this producer id exists; a newer instance took over"),
        )
        .with("producer_epoch", epoch),
        ProduceRefusal::UnknownProducer => Failure::new(
            Reason::UnknownProducer,
            format!("partition {at}: nothing is known of this producer; open a new one and begin at sequence 0"),
        ),
        ProduceRefusal::TooManyProducers { producers_max } => Failure::limit(
            Reason::LimitExceeded,
            "producers_max",
            producers_max,
            format!("partition {at}: {producers_max} producers are remembered; use fewer, or wait until some expire"),
        ),
        ProduceRefusal::WindowFull { batches_max } => Failure::limit(
            Reason::ProducerWindowFull,
            "batches_in_flight_max",
            batches_max,
            format!("partition {at}: {batches_max} batches of this producer are unanswered; wait for answers"),
        ),
    }
}

/// It has an offset at `at`, a partition's name, and nobody knows whether it counts.
pub(in crate::rpc) fn unknown_failure(unknown: Unknown, at: &str) -> Failure {
    let (cause, why) = match unknown {
        Unknown::TimedOut => {
            ("timed_out", "the time to wait passed before every in-sync replica had it".to_owned())
        }
        Unknown::EpochEnded => ("epoch_ended", "the leader's epoch ended".to_owned()),
        Unknown::LogFailed(why) => ("log_failed", format!("the leader's log failed: {why}")),
        Unknown::Stopping => ("stopping", "the leader stops".to_owned()),
    };
    let message = format!(
        "partition {at}: {why}; the records may have been stored: send again with the same producer id and sequence"
    );
    Failure::new(Reason::OutcomeUnknown, message).with("cause", cause)
}
