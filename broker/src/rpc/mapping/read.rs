//! Why a leader cannot serve a read (N6).

use fidelog_proto::v1::Reason;
use fidelog_record::types::Offset;

use crate::partition::ReadRefusal;
use crate::rpc::status::Failure;

/// The failure of a read at `offset` of `at`, a partition's name; `not_leader` tells who leads instead.
pub(in crate::rpc) fn read_failure(
    refusal: ReadRefusal,
    at: &str,
    offset: Offset,
    not_leader: impl FnOnce() -> Failure,
) -> Failure {
    match refusal {
        ReadRefusal::NotLeader => not_leader(),
        ReadRefusal::OutOfRange { start, committed_end } => Failure::new(
            Reason::OffsetOutOfRange,
            format!("partition {at}: offset {offset} is outside {start} to {committed_end}; begin within that range"),
        )
        .with("offset", offset)
        .with("start", start)
        .with("end", committed_end),
        ReadRefusal::NotYet { committed_end } => Failure::new(
            Reason::NotYetAvailable,
            format!(
                "partition {at}: offset {offset} may exist, but its leader only knows offsets below {committed_end} \
                 to be committed yet; try again"
            ),
        )
        .with("offset", offset)
        .with("committed_end", committed_end),
        ReadRefusal::DataLoss(why) => Failure::new(
            Reason::DataLoss,
            format!("partition {at}: records at offset {offset} are damaged on their leader: {why}"),
        )
        .with("offset", offset),
        ReadRefusal::Disk(why) => Failure::new(
            Reason::Unavailable,
            format!("partition {at}: the leader's disk could not be read at offset {offset}: {why}"),
        )
        .with("offset", offset),
    }
}
