//! Why a leader cannot serve a read (N6).

use fidelog_proto::v1::Reason;
use fidelog_record::types::Offset;

use crate::partition::ReadRefusal;
use crate::rpc::status::Failure;

/// The failure of a read at `offset` of `at`, a partition's name, of which there are `copies`; `not_leader` tells who
/// leads instead.
pub(in crate::rpc) fn read_failure(
    refusal: ReadRefusal,
    at: &str,
    offset: Offset,
    copies: usize,
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
        ReadRefusal::DataLoss(why) => damaged(&why, at, offset, copies),
        ReadRefusal::Disk(why) => Failure::new(
            Reason::Unavailable,
            format!("partition {at}: the leader's disk could not be read at offset {offset}: {why}"),
        )
        .with("offset", offset),
    }
}

/// Damage is mended from another copy, or read at another leader; of a single copy it stays.
fn damaged(why: &str, at: &str, offset: Offset, copies: usize) -> Failure {
    let hope = match copies {
        ..=1 => "there is no other copy to mend them from",
        _ => "they are being mended from another copy; try again",
    };
    let message =
        format!("partition {at}: records at offset {offset} are damaged on their leader: {why}; {hope}");
    let failure = Failure::new(Reason::DataLoss, message).with("offset", offset);
    if copies > 1 { failure.with("mendable", true) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_as_passing_only_where_another_copy_can_mend_it() {
        let told = |copies| {
            let refusal = ReadRefusal::DataLoss("a bit".to_owned());
            let not_leader = || -> Failure { unreachable!("it leads") };
            read_failure(refusal, "orders/0", Offset(7), copies, not_leader)
        };
        for (copies, mendable) in [(0, None), (1, None), (2, Some("true")), (3, Some("true"))] {
            let failure = told(copies);
            assert_eq!(failure.reason(), Reason::DataLoss);
            assert_eq!(failure.detail("mendable"), mendable, "{copies}");
            assert_eq!(failure.detail("offset"), Some("7"));
        }
    }
}
