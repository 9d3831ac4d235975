//! Which partition plain records go to: the one asked for, else their key's, else one that stays for a while.

use std::sync::atomic::{AtomicU32, Ordering};

use fidelog_proto::v1::{self, Reason};
use fidelog_record::partitioner::partition_for_key;

use super::status::Failure;
use crate::meta::state::PartitionEntry;

/// Requests without a key that go to one partition before the next has its turn.
const REQUESTS_A_TURN: u32 = 32;

/// Where records without a key go: to one partition for a while, so that they share batches and syncs.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    requests: AtomicU32,
}

impl Sticky {
    /// A partition of `count`, one that `is_led` if there is any.
    fn choose(&self, count: u32, is_led: impl Fn(u32) -> bool) -> u32 {
        let turn = self.requests.fetch_add(1, Ordering::Relaxed) / REQUESTS_A_TURN;
        let first = turn % count;
        (0..count).map(|step| (first + step) % count).find(|&partition| is_led(partition)).unwrap_or(first)
    }

    /// The partition for `records`, of those of a topic that has at least one.
    ///
    /// # Errors
    /// When their keys belong to different ones.
    pub(super) fn place(
        &self,
        records: &[v1::Record],
        partitions: &[impl AsRef<PartitionEntry>],
    ) -> Result<u32, Failure> {
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Err(Failure::new(
                Reason::LeaderNotAvailable,
                "the topic has no partitions yet; try again",
            ));
        }
        let keys =
            records.iter().enumerate().filter_map(|(index, record)| Some((index, record.key.as_deref()?)));
        let mut placed = keys.map(|(index, key)| (index, partition_for_key(key, count)));
        let Some((first, partition)) = placed.next() else {
            let is_led = |index: u32| {
                usize::try_from(index).is_ok_and(|index| {
                    partitions.get(index).is_some_and(|entry| entry.as_ref().leader.is_some())
                })
            };
            return Ok(self.choose(count, is_led));
        };
        match placed.find(|&(_, other)| other != partition) {
            None => Ok(partition),
            Some((index, other)) => {
                let message = format!(
                    "record {first} belongs to partition {partition} by its key, record {index} to {other}; send one \
                     request for each partition, or set partition"
                );
                Err(Failure::invalid("records", message).with("record", index))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fidelog_record::types::BrokerId;

    use super::*;

    fn partitions(leaders: &[bool]) -> Vec<Arc<PartitionEntry>> {
        let entry = |&led: &bool| {
            let mut entry = PartitionEntry::creating(Vec::new());
            entry.leader = led.then_some(BrokerId(1));
            Arc::new(entry)
        };
        leaders.iter().map(entry).collect()
    }

    fn record(key: Option<&'static str>) -> v1::Record {
        v1::Record { key: key.map(bytes::Bytes::from), ..v1::Record::default() }
    }

    #[test]
    fn keys_decide_and_must_agree() {
        let (sticky, ten) = (Sticky::default(), partitions(&[true; 10]));
        assert_eq!(sticky.place(&[record(None), record(Some("abc"))], &ten), Ok(7));
        let failure = sticky.place(&[record(Some("abc")), record(Some("21"))], &ten).unwrap_err();
        assert_eq!((failure.reason(), failure.detail("record")), (Reason::InvalidArgument, Some("1")));
    }

    #[test]
    fn records_without_a_key_stay_for_a_while_and_visit_every_led_partition() {
        let (sticky, three) = (Sticky::default(), partitions(&[true, false, true]));
        let placed: Vec<u32> =
            (0..3 * REQUESTS_A_TURN).map(|_| sticky.place(&[record(None)], &three).unwrap()).collect();
        let changes = placed.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 1, "partition 1 has no leader, its turn goes to the next");
        assert!(placed.contains(&0) && placed.contains(&2) && !placed.contains(&1));
    }
}
