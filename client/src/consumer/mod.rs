//! Consuming: committed records, in offset order, without holes (G3), and positions (G8).
//!
//! | file | what it holds |
//! |---|---|
//! | `builder` | setting it up, and opening it |
//! | `placement` | where one partition's reading begins and ends |
//! | `batch` | records that came together, verified |
//! | `cursor` | where one partition's reading stands: pure |
//! | `driver` | the task of one consumer |
//! | `stream` | one `Consume` stream to one broker |
//! | `heard` | what the driver tells the consumer |
//! | `growth` | partitions that are added meanwhile |
//! | `position` | where a consumer stands, and committing it |
//! | `error` | what ends reading, and why a commit did not count |

mod batch;
mod builder;
mod cursor;
mod driver;
mod error;
mod growth;
mod heard;
mod placement;
mod position;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fidelog_record::types::TopicId;
use tokio::sync::mpsc;

use crate::client::Core;

pub use batch::{ConsumedBatch, ConsumedRecord, ConsumedRecords, Unfit};
pub use builder::{ConsumerBuilder, StartAt};
pub use cursor::WhenOutOfRange;
pub use error::{CommitError, ConsumeError};
pub use position::ConsumerPosition;

use heard::{Delivered, Heard, Spent};
use position::GroupPositions;

/// Reads one topic. It reconnects, finds new leaders and goes on at exactly the next offset by itself.
///
/// Take records with [`Self::next`], or faster, many at once, with [`Self::next_batch`]; the two may be mixed.
/// Nothing is committed unless asked for.
pub struct Consumer {
    core: Arc<Core>,
    topic: String,
    topic_id: TopicId,
    incoming: mpsc::UnboundedReceiver<Heard>,
    consumed: mpsc::UnboundedSender<Spent>,
    current: Option<Current>,
    /// How many partitions it reads.
    partitions: usize,
    /// Of those whose beginning is known.
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
            let Delivered { batch, spent } = match self.hear().await? {
                Ok(delivered) => delivered,
                Err(error) => return Some(Err(error)),
            };
            let records = batch.records();
            self.current = Some(Current { batch, records, spent });
        }
    }

    /// What comes next; partitions that were added are taken note of. Stopping at the await is safe: nothing is taken out
    /// before it is there.
    async fn hear(&mut self) -> Option<Result<Delivered, ConsumeError>> {
        loop {
            match self.incoming.recv().await? {
                Heard::Records(delivered) => return Some(Ok(delivered)),
                Heard::Failed(error) => return Some(Err(error)),
                Heard::Grown { partitions, held } => {
                    self.partitions += partitions;
                    if let (Some(group), Some(held)) = (&mut self.group, held) {
                        group.extend(held);
                    }
                }
            }
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
        let Delivered { batch, spent } = match self.hear().await? {
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

    /// How many partitions it reads: those it was opened for, also when their leader is away, and those that the topic got
    /// since.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions
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
