//! Consuming: committed records, in offset order, without holes (G3), and positions (G8).
//!
//! | file | what it holds |
//! |---|---|
//! | `batch` | records that came together, verified |
//! | `cursor` | where one partition's reading stands: pure |
//! | `driver` | the task of one consumer |
//! | `stream` | one `Consume` stream to one broker |
//! | `position` | where a consumer stands, and committing it |
//! | `error` | what ends reading, and why a commit did not count |

mod batch;
mod cursor;
mod driver;
mod error;
mod position;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fidelog_record::types::limits::{FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX};
use fidelog_record::types::{PartitionIndex, TopicId, TopicPartition};
use tokio::sync::mpsc;

use crate::admin::check_group;
use crate::client::{Core, check_topic};
use crate::error::RequestError;
use crate::fetch::OffsetAt;

pub use batch::{ConsumedBatch, ConsumedRecord, ConsumedRecords, Unfit};
pub use cursor::WhenOutOfRange;
pub use error::{CommitError, ConsumeError};
pub use position::ConsumerPosition;

use cursor::Cursor;
use driver::{Delivered, Driver, Spent, Wish};
use position::GroupPositions;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record still kept: the default without a group.
    #[default]
    Start,
    /// At the end: only what is committed from now on.
    End,
    /// At this offset, in every partition.
    Offset(u64),
    /// At these offsets, by partition; partitions that are not named are not read.
    Offsets(BTreeMap<u32, u64>),
    /// At the first record whose timestamp is at or after this, Unix milliseconds.
    Timestamp(u64),
    /// Where the group stands: the default with a group. Where it has no position, as `group_start` says.
    Group,
}

/// A consumer to be set up. Every setting has a default.
#[derive(Debug)]
pub struct ConsumerBuilder {
    core: Arc<Core>,
    topic: String,
    partitions: Option<BTreeSet<u32>>,
    from: Option<StartAt>,
    until: BTreeMap<u32, u64>,
    stop_at_end: bool,
    group: Option<String>,
    group_start: StartAt,
    owner: String,
    buffer_bytes: usize,
    fetch_bytes: usize,
    out_of_range: WhenOutOfRange,
}

impl ConsumerBuilder {
    pub(crate) fn new(core: Arc<Core>, topic: &str) -> Self {
        Self {
            core,
            topic: topic.to_owned(),
            partitions: None,
            from: None,
            until: BTreeMap::new(),
            stop_at_end: false,
            group: None,
            group_start: StartAt::Start,
            owner: format!("fidelog-rust/{}", std::process::id()),
            buffer_bytes: 16 * MIB,
            fetch_bytes: FETCH_BYTES_DEFAULT,
            out_of_range: WhenOutOfRange::Error,
        }
    }

    /// Reads only these partitions. Default: all.
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = u32>) -> Self {
        self.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// Where reading begins. Default: where the group stands, and without a group at the start.
    #[must_use]
    pub fn from(mut self, from: StartAt) -> Self {
        self.from = Some(from);
        self
    }

    /// Ends in front of these offsets, by partition; others are read on.
    #[must_use]
    pub fn until(mut self, ends: impl IntoIterator<Item = (u32, u64)>) -> Self {
        self.until = ends.into_iter().collect();
        self
    }

    /// Ends at what is the committed end of each partition when the consumer opens. Default: reads on for ever.
    #[must_use]
    pub fn stop_at_end(mut self) -> Self {
        self.stop_at_end = true;
        self
    }

    /// The group whose positions are taken over, continued and committed. Whoever held them is fenced.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Where a group without a position begins. Default: at the start.
    #[must_use]
    pub fn group_start(mut self, start: StartAt) -> Self {
        self.group_start = start;
        self
    }

    /// How the reader names itself to people who look at the group; at most 249 bytes. Default: the process id.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// What brokers may send ahead of the program, all together, bytes; one batch per broker may come on top.
    /// 64 KiB to 1 GiB, default 16 MiB.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes.clamp(64 * KIB, 1024 * MIB);
        self
    }

    /// About how much comes at once, bytes. 1 to 8 MiB, default 1 MiB.
    #[must_use]
    pub fn fetch_bytes(mut self, bytes: usize) -> Self {
        self.fetch_bytes = bytes.clamp(1, FETCH_BYTES_MAX);
        self
    }

    /// What happens when an offset does not exist, because retention passed it. Default: an error, never a silent
    /// jump.
    #[must_use]
    pub fn when_out_of_range(mut self, policy: WhenOutOfRange) -> Self {
        self.out_of_range = policy;
        self
    }

    /// Finds where to begin, takes over the group's positions, and begins reading. Must be called within a Tokio
    /// runtime, on which the consumer's task runs.
    ///
    /// # Errors
    /// When the topic, a partition or the group's name does not exist, or no broker answered in time.
    pub async fn open(self) -> Result<Consumer, RequestError> {
        check_topic(&self.topic)?;
        let routes = self.core.refresh_routes(&self.topic).await?;
        let partitions = self.chosen(routes.partition_count())?;
        let group = match &self.group {
            Some(group) => Some(self.open_group(group, routes.id, &partitions).await?),
            None => None,
        };
        let mut begins = self.begins(&partitions, group.as_ref()).await?;
        let ends = self.ends(begins.keys().copied()).await?;
        let cursors = begins.iter().map(|(&partition, &next)| {
            let at = TopicPartition { topic: routes.id, partition: PartitionIndex(partition) };
            (partition, Cursor::new(at, next, ends.get(&partition).copied(), self.out_of_range))
        });
        let wish = Wish {
            topic: self.topic.clone(),
            topic_id: Bytes::copy_from_slice(routes.id.as_bytes()),
            bytes_max: u32::try_from(self.fetch_bytes).expect("at most 8 MiB"),
            buffer_bytes: self.buffer_bytes as u64,
            cursors: cursors.collect(),
        };
        let (deliver, incoming) = mpsc::unbounded_channel();
        let (consumed, credit) = mpsc::unbounded_channel();
        tokio::spawn(Driver::new(self.core.clone(), wish, deliver, credit).run());
        let positions = std::mem::take(&mut begins);
        let positions = positions.into_iter().map(|(partition, next)| {
            let epoch = group.as_ref().map(|group| group.epoch_at(partition, next)).unwrap_or_default();
            (partition, ConsumerPosition { partition, offset: next, leader_epoch: epoch })
        });
        Ok(Consumer {
            core: self.core,
            topic: self.topic,
            topic_id: routes.id,
            incoming,
            consumed,
            current: None,
            positions: positions.collect(),
            group,
            over: false,
            fenced: None,
        })
    }

    fn chosen(&self, partition_count: u32) -> Result<Vec<u32>, RequestError> {
        let mut chosen = self.partitions.clone().unwrap_or_else(|| (0..partition_count).collect());
        if let (Some(StartAt::Offsets(offsets)), None) = (&self.from, &self.partitions) {
            chosen = offsets.keys().copied().collect();
        }
        match chosen.iter().find(|partition| **partition >= partition_count) {
            None => Ok(chosen.into_iter().collect()),
            Some(partition) => Err(RequestError::Invalid(format!(
                "topic `{}` has no partition {partition}; it has {partition_count}, from 0",
                self.topic
            ))),
        }
    }

    async fn open_group(
        &self,
        group: &str,
        topic_id: TopicId,
        partitions: &[u32],
    ) -> Result<GroupPositions, RequestError> {
        check_group(group)?;
        GroupPositions::open(&self.core, group, &self.topic, topic_id, partitions, &self.owner).await
    }

    async fn begins(
        &self,
        partitions: &[u32],
        group: Option<&GroupPositions>,
    ) -> Result<BTreeMap<u32, u64>, RequestError> {
        let default = if group.is_some() { StartAt::Group } else { StartAt::Start };
        let from = self.from.clone().unwrap_or(default);
        let mut begins = BTreeMap::new();
        for &partition in partitions {
            let begin = match (&from, group) {
                (StartAt::Group, None) => {
                    return Err(RequestError::Invalid(
                        "StartAt::Group needs a group; name one with `group`".into(),
                    ));
                }
                (StartAt::Group, Some(group)) => match group.stored(partition) {
                    Some(offset) => Some(offset),
                    None => self.begin(partition, &self.group_start).await?,
                },
                (from, _) => self.begin(partition, from).await?,
            };
            begins.extend(begin.map(|begin| (partition, begin)));
        }
        Ok(begins)
    }

    async fn begin(&self, partition: u32, from: &StartAt) -> Result<Option<u64>, RequestError> {
        let at = match from {
            StartAt::Offset(offset) => return Ok(Some(*offset)),
            StartAt::Offsets(offsets) => return Ok(offsets.get(&partition).copied()),
            StartAt::Start | StartAt::Group => OffsetAt::Start,
            StartAt::End => OffsetAt::End,
            StartAt::Timestamp(timestamp_ms) => OffsetAt::Timestamp(*timestamp_ms),
        };
        Ok(Some(self.core.list_offsets(&self.topic, partition, at).await?.offset))
    }

    async fn ends(&self, partitions: impl Iterator<Item = u32>) -> Result<BTreeMap<u32, u64>, RequestError> {
        let mut ends = self.until.clone();
        if self.stop_at_end {
            for partition in partitions {
                let end = self.core.list_offsets(&self.topic, partition, OffsetAt::End).await?.committed_end;
                ends.entry(partition).and_modify(|until| *until = end.min(*until)).or_insert(end);
            }
        }
        Ok(ends)
    }
}

/// Reads one topic. It reconnects, finds new leaders and goes on at exactly the next offset by itself.
///
/// Take records with [`Self::next`], or faster, many at once, with [`Self::next_batch`]; the two may be mixed.
/// Nothing is committed unless asked for.
pub struct Consumer {
    core: Arc<Core>,
    topic: String,
    topic_id: TopicId,
    incoming: mpsc::UnboundedReceiver<Result<Delivered, ConsumeError>>,
    consumed: mpsc::UnboundedSender<Spent>,
    current: Option<Current>,
    positions: BTreeMap<u32, ConsumerPosition>,
    group: Option<GroupPositions>,
    over: bool,
    /// Why it is over, until the program was told.
    fenced: Option<ConsumeError>,
}

/// A batch that is being taken record by record.
struct Current {
    batch: ConsumedBatch,
    records: ConsumedRecords,
    spent: Spent,
}

impl Consumer {
    /// The next record of any partition; those of one partition come in offset order. `None`: every partition is
    /// read to the end that was asked for, or has failed, or the consumer was fenced.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// What ended the reading of one partition. The others go on.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, ConsumeError>> {
        loop {
            if self.over {
                return self.fenced.take().map(Err);
            }
            if let Some(next) = self.next_of_current() {
                return Some(next);
            }
            let Delivered { batch, spent } = match self.incoming.recv().await? {
                Ok(delivered) => delivered,
                Err(error) => return Some(Err(error)),
            };
            let records = batch.records();
            self.current = Some(Current { batch, records, spent });
        }
    }

    fn next_of_current(&mut self) -> Option<Result<ConsumedRecord, ConsumeError>> {
        let current = self.current.as_mut()?;
        let partition = current.batch.partition().0;
        match current.records.next() {
            Some(Ok(record)) => {
                self.move_to(partition, record.offset + 1, record.leader_epoch);
                Some(Ok(record))
            }
            Some(Err(cause)) => {
                self.finish_current();
                Some(Err(ConsumeError::Unreadable { partition, cause }))
            }
            None => {
                let (end, epoch) = (current.batch.end(), current.batch.last_epoch());
                self.move_to(partition, end, epoch);
                self.finish_current();
                None
            }
        }
    }

    /// The next records of any one partition, as they came together: no copy, no allocation per record. They count
    /// as delivered when this returns.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_batch(&mut self) -> Option<Result<ConsumedBatch, ConsumeError>> {
        if self.over {
            return self.fenced.take().map(Err);
        }
        if let Some(current) = self.current.take() {
            let partition = current.batch.partition().0;
            let begin =
                self.positions.get(&partition).map_or(current.batch.begin(), |position| position.offset);
            let rest = current.batch.from(begin);
            self.give_back(current.spent);
            if !rest.is_empty() {
                self.move_to(partition, rest.end(), rest.last_epoch());
                return Some(Ok(rest));
            }
        }
        let Delivered { batch, spent } = match self.incoming.recv().await? {
            Ok(delivered) => delivered,
            Err(error) => return Some(Err(error)),
        };
        self.give_back(spent);
        self.move_to(batch.partition().0, batch.end(), batch.last_epoch());
        Some(Ok(batch))
    }

    fn finish_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.give_back(current.spent);
        }
    }

    fn give_back(&self, spent: Spent) {
        // A driver that has ended needs no credit.
        let _over = self.consumed.send(spent);
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's id.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("topic", &self.topic)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}
