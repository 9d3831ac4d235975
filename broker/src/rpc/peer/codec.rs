//! Replication messages to and from the wire.

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use fidelog_record::{HeaderError, PlacedBatch};

use crate::replica::message::{FollowerMessage, LeaderMessage, Push, RefusalCause};

/// Why a peer's message cannot be used. The stream is closed: a peer that speaks wrongly is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    /// A topic id of the wrong length.
    #[error("a message names no topic: {0}")]
    Topic(#[from] fidelog_record::types::IdError),
    /// No event, or one of a newer version.
    #[error("a message for {0} holds nothing this version knows")]
    Event(TopicPartition),
    /// A batch that cannot be parsed.
    #[error("a pushed batch for {at} is malformed: {error}")]
    Batch {
        /// For whom.
        at: TopicPartition,
        /// What is wrong.
        error: HeaderError,
    },
}

/// A leader's message on its way out.
pub(super) fn encode_leader(
    topic_bytes: Bytes,
    at: TopicPartition,
    epoch: LeaderEpoch,
    message: LeaderMessage,
) -> wire::LeaderMessage {
    use wire::leader_message::Event;
    let event = match message {
        LeaderMessage::Begin { number, start, committed_end, last_epoch } => Event::Begin(wire::Begin {
            number,
            start_offset: start.0,
            committed_end: committed_end.0,
            last_epoch: last_epoch.0,
        }),
        LeaderMessage::EpochEnd { asked, epoch, end } => {
            Event::EpochEnd(wire::EpochEnd { asked_epoch: asked.0, epoch: epoch.0, end_offset: end.0 })
        }
        LeaderMessage::Push(push) => Event::Push(wire::Push {
            previous_epoch: push.previous_epoch.0,
            previous_end: push.previous_end.0,
            start_offset: push.start.0,
            committed_end: push.committed_end.0,
            batches: push.batches.iter().map(encode_batch).collect(),
        }),
        LeaderMessage::Committed { start, committed_end } => {
            Event::Committed(wire::Committed { start_offset: start.0, committed_end: committed_end.0 })
        }
        LeaderMessage::Confirm { number } => Event::Confirm(wire::Confirm { number }),
    };
    wire::LeaderMessage {
        topic_id: topic_bytes,
        partition: at.partition.0,
        leader_epoch: epoch.0,
        event: Some(event),
    }
}

fn encode_batch(batch: &PlacedBatch) -> wire::PushedBatch {
    let (head, body) = batch.parts();
    wire::PushedBatch { head: Bytes::copy_from_slice(head), body: body.clone() }
}

fn place_of(topic_id: &[u8], partition: u32) -> Result<TopicPartition, CodecError> {
    Ok(TopicPartition { topic: TopicId::try_from(topic_id)?, partition: PartitionIndex(partition) })
}

/// A leader's message that arrived.
pub(super) fn decode_leader(
    message: wire::LeaderMessage,
) -> Result<(TopicPartition, LeaderEpoch, LeaderMessage), CodecError> {
    use wire::leader_message::Event;
    let at = place_of(&message.topic_id, message.partition)?;
    let decoded = match message.event.ok_or(CodecError::Event(at))? {
        Event::Begin(begin) => LeaderMessage::Begin {
            number: begin.number,
            start: Offset(begin.start_offset),
            committed_end: Offset(begin.committed_end),
            last_epoch: LeaderEpoch(begin.last_epoch),
        },
        Event::EpochEnd(answer) => LeaderMessage::EpochEnd {
            asked: LeaderEpoch(answer.asked_epoch),
            epoch: LeaderEpoch(answer.epoch),
            end: Offset(answer.end_offset),
        },
        Event::Push(push) => LeaderMessage::Push(Push {
            previous_epoch: LeaderEpoch(push.previous_epoch),
            previous_end: Offset(push.previous_end),
            start: Offset(push.start_offset),
            committed_end: Offset(push.committed_end),
            batches: push
                .batches
                .into_iter()
                .map(|batch| PlacedBatch::from_parts(&batch.head, batch.body))
                .collect::<Result<_, _>>()
                .map_err(|error| CodecError::Batch { at, error })?,
        }),
        Event::Committed(committed) => LeaderMessage::Committed {
            start: Offset(committed.start_offset),
            committed_end: Offset(committed.committed_end),
        },
        Event::Confirm(confirm) => LeaderMessage::Confirm { number: confirm.number },
    };
    Ok((at, LeaderEpoch(message.leader_epoch), decoded))
}

/// A follower's message on its way out.
pub(super) fn encode_follower(
    at: TopicPartition,
    epoch: LeaderEpoch,
    message: FollowerMessage,
) -> wire::FollowerMessage {
    use wire::follower_message::Event;
    let event = match message {
        FollowerMessage::Ask { begun, epoch, end, shared_epoch, shared_end } => Event::Ask(wire::Ask {
            begun,
            epoch: epoch.0,
            end_offset: end.0,
            shared_epoch: shared_epoch.0,
            shared_end: shared_end.0,
        }),
        FollowerMessage::Matched { begun, end, durable_end, last_epoch } => Event::Matched(wire::Matched {
            begun,
            end_offset: end.0,
            durable_end: durable_end.0,
            last_epoch: last_epoch.0,
        }),
        FollowerMessage::Report { durable_end } => Event::Report(wire::Report { durable_end: durable_end.0 }),
        FollowerMessage::Refused { cause, message, epoch } => Event::Refused(wire::Refused {
            cause: encode_cause(cause).into(),
            message,
            leader_epoch: epoch.0,
        }),
        FollowerMessage::Confirmed { number } => Event::Confirmed(wire::Confirmed { number }),
    };
    wire::FollowerMessage {
        topic_id: Bytes::copy_from_slice(at.topic.as_bytes()),
        partition: at.partition.0,
        leader_epoch: epoch.0,
        event: Some(event),
    }
}

/// A follower's message that arrived.
pub(super) fn decode_follower(
    message: wire::FollowerMessage,
) -> Result<(TopicPartition, LeaderEpoch, FollowerMessage), CodecError> {
    use wire::follower_message::Event;
    let at = place_of(&message.topic_id, message.partition)?;
    let decoded = match message.event.ok_or(CodecError::Event(at))? {
        Event::Ask(ask) => FollowerMessage::Ask {
            begun: ask.begun,
            epoch: LeaderEpoch(ask.epoch),
            end: Offset(ask.end_offset),
            shared_epoch: LeaderEpoch(ask.shared_epoch),
            shared_end: Offset(ask.shared_end),
        },
        Event::Matched(matched) => FollowerMessage::Matched {
            begun: matched.begun,
            end: Offset(matched.end_offset),
            durable_end: Offset(matched.durable_end),
            last_epoch: LeaderEpoch(matched.last_epoch),
        },
        Event::Report(report) => FollowerMessage::Report { durable_end: Offset(report.durable_end) },
        Event::Refused(refused) => FollowerMessage::Refused {
            cause: decode_cause(refused.cause()).ok_or(CodecError::Event(at))?,
            epoch: LeaderEpoch(refused.leader_epoch),
            message: refused.message,
        },
        Event::Confirmed(confirmed) => FollowerMessage::Confirmed { number: confirmed.number },
    };
    Ok((at, LeaderEpoch(message.leader_epoch), decoded))
}

fn encode_cause(cause: RefusalCause) -> wire::refused::Cause {
    use wire::refused::Cause;
    match cause {
        RefusalCause::Fenced => Cause::Fenced,
        RefusalCause::UnknownEpoch => Cause::UnknownEpoch,
        RefusalCause::Gap => Cause::Gap,
        RefusalCause::Stopped => Cause::Stopped,
        RefusalCause::DiskFull => Cause::DiskFull,
        RefusalCause::WouldCutCommitted => Cause::WouldCutCommitted,
        RefusalCause::NotAReplica => Cause::NotAReplica,
        RefusalCause::Corrupt => Cause::Corrupt,
    }
}

fn decode_cause(cause: wire::refused::Cause) -> Option<RefusalCause> {
    use wire::refused::Cause;
    Some(match cause {
        Cause::Unspecified => return None,
        Cause::Fenced => RefusalCause::Fenced,
        Cause::UnknownEpoch => RefusalCause::UnknownEpoch,
        Cause::Gap => RefusalCause::Gap,
        Cause::Stopped => RefusalCause::Stopped,
        Cause::DiskFull => RefusalCause::DiskFull,
        Cause::WouldCutCommitted => RefusalCause::WouldCutCommitted,
        Cause::NotAReplica => RefusalCause::NotAReplica,
        Cause::Corrupt => RefusalCause::Corrupt,
    })
}
