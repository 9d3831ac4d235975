//! Where reading of a partition begins and ends: what was asked for, and what its leader has to be asked.
//!
//! What is always true: an end, and the judgement that an offset does not exist, rest on an answer that knows the
//! whole committed end. An offset that was named is taken at its word until then, and never moved silently.

use std::time::Duration;

use fidelog_record::types::TopicPartition;

use crate::client::Core;
use crate::error::RequestError;
use crate::fetch::{ListedOffset, OffsetAt};

use super::cursor::{Cursor, WhenOutOfRange};
use super::error::ConsumeError;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// There: named by the program, or stored by its group.
    At(u64),
    /// Where the leader says.
    Ask(OffsetAt),
}

/// What was asked for, of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) at: TopicPartition,
    pub(crate) begin: Begin,
    /// Exclusive.
    pub(crate) until: Option<u64>,
    pub(crate) stop_at_end: bool,
    pub(crate) out_of_range: WhenOutOfRange,
}

/// A cursor ready to read.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) cursor: Cursor,
    /// The offset named did not exist, and the cursor moved as asked.
    pub(crate) reset: Option<(u64, u64)>,
}

impl Plan {
    pub(crate) fn partition(&self) -> u32 {
        self.at.partition.0
    }

    /// Whether the committed end has to be known: to end there, or to tell an offset that does not exist from an end
    /// that is reached.
    fn needs_end(&self) -> bool {
        let nothing_to_read = |begin: u64| self.until.is_some_and(|until| until <= begin);
        self.stop_at_end || matches!(self.begin, Begin::At(begin) if nothing_to_read(begin))
    }

    /// Asks what must be known, for no longer than `patience`.
    pub(crate) async fn place(
        &self,
        core: &Core,
        topic: &str,
        patience: Duration,
    ) -> Result<Placed, ConsumeError> {
        let ask = |at| core.list_offsets_within(topic, self.partition(), at, patience);
        let asked = async {
            let end = if self.needs_end() { Some(ask(OffsetAt::End).await?) } else { None };
            let begin = match (self.begin, &end) {
                (Begin::At(begin), _) => begin,
                (Begin::Ask(OffsetAt::Start), Some(known)) => known.start_offset,
                (Begin::Ask(OffsetAt::End), Some(known)) => known.committed_end,
                (Begin::Ask(at), _) => ask(at).await?.offset,
            };
            Ok((begin, end))
        };
        let (begin, end) = asked.await.map_err(|error| self.failed(error))?;
        self.judge(begin, end.as_ref())
    }

    fn judge(&self, begin: u64, end: Option<&ListedOffset>) -> Result<Placed, ConsumeError> {
        let committed_end = end.filter(|_| self.stop_at_end).map(|known| known.committed_end);
        let stop = self.until.into_iter().chain(committed_end).min();
        let outside = end.filter(|known| begin < known.start_offset || begin > known.committed_end);
        let to = match (outside, self.out_of_range) {
            (None, _) => begin,
            (Some(known), WhenOutOfRange::Start) => known.start_offset,
            (Some(known), WhenOutOfRange::End) => known.committed_end,
            (Some(known), WhenOutOfRange::Error) => {
                return Err(ConsumeError::OutOfRange {
                    partition: self.partition(),
                    offset: begin,
                    start: known.start_offset,
                    end: known.committed_end,
                });
            }
        };
        let cursor = Cursor::new(self.at, to, stop, self.out_of_range);
        Ok(Placed { cursor, reset: outside.map(|_| (begin, to)) })
    }

    fn failed(&self, error: RequestError) -> ConsumeError {
        let partition = self.partition();
        match error {
            error if error.is_passing() => ConsumeError::Unreachable { partition, cause: error.to_string() },
            RequestError::Refused(refusal) => ConsumeError::Refused { partition, refusal },
            error => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fidelog_record::types::{LeaderEpoch, PartitionIndex, TopicId};

    use super::*;

    fn plan(begin: u64, until: Option<u64>, stop_at_end: bool) -> Plan {
        let at = TopicPartition { topic: TopicId::from_bytes([1; 16]), partition: PartitionIndex(2) };
        Plan { at, begin: Begin::At(begin), until, stop_at_end, out_of_range: WhenOutOfRange::Error }
    }

    fn bounds(start_offset: u64, committed_end: u64) -> ListedOffset {
        ListedOffset {
            topic_id: TopicId::from_bytes([1; 16]),
            partition: 2,
            offset: committed_end,
            timestamp_ms: 0,
            leader_epoch: LeaderEpoch(1),
            start_offset,
            committed_end,
        }
    }

    #[test]
    fn an_offset_beyond_the_end_is_not_the_end() {
        let known = bounds(5, 10);
        for (begin, until, stop_at_end) in [(99, None, true), (99, Some(10), false), (4, Some(3), false)] {
            let plan = plan(begin, until, stop_at_end);
            assert!(plan.needs_end());
            let error = plan.judge(begin, Some(&known)).unwrap_err();
            assert!(matches!(error, ConsumeError::OutOfRange { start: 5, end: 10, .. }), "{error}");
        }
        let at_end = plan(10, None, true).judge(10, Some(&known)).unwrap();
        assert!(at_end.cursor.is_over());
    }

    #[test]
    fn it_moves_only_as_asked() {
        for (policy, expected) in [(WhenOutOfRange::Start, 5), (WhenOutOfRange::End, 10)] {
            let plan = Plan { out_of_range: policy, ..plan(99, None, true) };
            let placed = plan.judge(99, Some(&bounds(5, 10))).unwrap();
            assert_eq!((placed.cursor.next(), placed.reset), (expected, Some((99, expected))));
        }
    }

    #[test]
    fn what_is_known_is_not_asked() {
        assert!(!plan(3, None, false).needs_end());
        assert!(!plan(3, Some(4), false).needs_end());
        assert!(plan(3, Some(3), false).needs_end());
    }
}
