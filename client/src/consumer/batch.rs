//! What a consumer gets: records of one partition, checked against both checksums, sharing the bytes that came.

use bytes::Bytes;
use fidelog_proto::v1;
use fidelog_record::batch::RecordsError;
use fidelog_record::types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use fidelog_record::{Batches, Header, Misfit, PlacedBatch, Records};

/// One record, as stored. Its parts share the memory of the answer it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Its partition.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: u64,
    /// Epoch of the leader that placed it: (epoch, offset) names it for ever.
    pub leader_epoch: LeaderEpoch,
    /// When it happened, as its producer says, Unix milliseconds.
    pub timestamp_ms: u64,
    /// When the leader placed it, Unix milliseconds.
    pub append_time_ms: u64,
    /// Its key; `None` is null and differs from empty.
    pub key: Option<Bytes>,
    /// Its payload; `None` is null and differs from empty.
    pub value: Option<Bytes>,
    /// Its headers, in the producer's order.
    pub headers: Vec<Header>,
}

/// Why an answer's bytes are not the records they should be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unfit {
    /// Damaged, or of another partition.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Records are missing.
    #[error(
        "offset {expected} was wanted next, and the answer begins at {found}: records between them are missing"
    )]
    Hole {
        /// The offset that was wanted.
        expected: u64,
        /// Where the answer begins.
        found: u64,
    },
    /// It speaks of another topic.
    #[error("the answer is of topic {found}; {expected} was asked for")]
    Topic {
        /// The topic that was asked for.
        expected: TopicId,
        /// The topic the answer names.
        found: String,
    },
    /// Its own numbers contradict each other.
    #[error("the answer says to go on at offset {next}, and its records end at {end}")]
    Next {
        /// What it says.
        next: u64,
        /// Where its records end.
        end: u64,
    },
}

/// Records of one partition that came together: some batches, verified and in order.
#[derive(Clone, Debug)]
pub struct ConsumedBatch {
    partition: u32,
    batches: Vec<PlacedBatch>,
    begin: u64,
    end: u64,
    committed_end: u64,
    start_offset: u64,
    bytes: usize,
}

impl ConsumedBatch {
    /// Checks an answer to "from `begin` on": checksums, order, no hole.
    pub(crate) fn verify(at: TopicPartition, begin: u64, answer: v1::FetchResponse) -> Result<Self, Unfit> {
        if answer.topic_id != at.topic.as_bytes()[..] {
            let found = TopicId::try_from(&answer.topic_id[..]).map(|id| id.to_string());
            return Err(Unfit::Topic {
                expected: at.topic,
                found: found.unwrap_or_else(|error| error.to_string()),
            });
        }
        let bytes = answer.batches.len();
        let batches = Batches::new(answer.batches, at).collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = batches.first()
            && first.base_offset() > Offset(begin)
        {
            return Err(Unfit::Hole { expected: begin, found: first.base_offset().0 });
        }
        let end = batches.last().map_or(begin, |last| last.end_offset().0);
        let next = answer.next_offset;
        if next < begin || next < end || (next > end && !batches.is_empty()) {
            return Err(Unfit::Next { next, end });
        }
        if next > end {
            return Err(Unfit::Hole { expected: begin, found: next });
        }
        let (committed_end, start_offset) = (answer.committed_end, answer.start_offset);
        Ok(Self { partition: at.partition.0, batches, begin, end: next, committed_end, start_offset, bytes })
    }

    /// The same without what lies below `begin`.
    pub(crate) fn from(mut self, begin: u64) -> Self {
        self.begin = self.begin.max(begin);
        self
    }

    /// Drops what lies at or beyond `end`.
    pub(crate) fn cut(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionIndex {
        PartitionIndex(self.partition)
    }

    /// The first offset that was wanted: nothing below it is yielded.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Where to go on: the offset behind the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The first offset not yet committed, when this was sent.
    #[must_use]
    pub fn committed_end(&self) -> u64 {
        self.committed_end
    }

    /// The first offset still kept, when this was sent.
    #[must_use]
    pub fn start_offset(&self) -> u64 {
        self.start_offset
    }

    /// Bytes it came in.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begin >= self.end
    }

    /// Epoch of the last record's leader; 0 when it holds nothing.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        let mut placed = self.batches.iter().rev();
        placed
            .find(|batch| batch.base_offset() < Offset(self.end))
            .map_or(LeaderEpoch(0), PlacedBatch::leader_epoch)
    }

    /// Its records, in offset order. Compressed batches are expanded as they are reached.
    #[must_use]
    pub fn records(&self) -> ConsumedRecords {
        ConsumedRecords {
            partition: self.partition,
            begin: self.begin,
            end: self.end,
            batches: self.batches.clone().into_iter(),
            current: None,
        }
    }
}

/// The records of a [`ConsumedBatch`]. Ends behind the first error.
#[derive(Debug)]
pub struct ConsumedRecords {
    partition: u32,
    begin: u64,
    end: u64,
    batches: std::vec::IntoIter<PlacedBatch>,
    current: Option<(PlacedBatch, Records)>,
}

impl Iterator for ConsumedRecords {
    type Item = Result<ConsumedRecord, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((batch, records)) = &mut self.current else {
                let batch = self.batches.next()?;
                match batch.records() {
                    Ok(records) => self.current = Some((batch, records)),
                    Err(error) => return Some(Err(self.fail(error))),
                }
                continue;
            };
            let record = match records.next() {
                None => {
                    self.current = None;
                    continue;
                }
                Some(Err(error)) => return Some(Err(self.fail(error))),
                Some(Ok(record)) => record,
            };
            if record.offset.0 >= self.end {
                self.batches = Vec::new().into_iter();
                self.current = None;
                return None;
            }
            if record.offset.0 >= self.begin {
                return Some(Ok(ConsumedRecord {
                    partition: self.partition,
                    offset: record.offset.0,
                    leader_epoch: batch.leader_epoch(),
                    timestamp_ms: record.timestamp_ms,
                    append_time_ms: batch.append_time_ms(),
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                }));
            }
        }
    }
}

impl ConsumedRecords {
    fn fail(&mut self, error: RecordsError) -> RecordsError {
        self.batches = Vec::new().into_iter();
        self.current = None;
        error
    }
}
