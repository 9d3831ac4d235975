//! Reads the committed entries of a positions partition.

use std::sync::Arc;
use std::time::Duration;

use fidelog_record::Batches;
use fidelog_record::types::{LeaderEpoch, Offset};
use tokio::sync::{oneshot, watch};
use tracing::warn;

use super::hands::Hands;
use super::state::{ApplyError, Entry, PositionsState, Replay};
use crate::partition::{Partition, Published, ReadAnswer, ReadRefusal};

/// How much of the log is read at once.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// How often damaged entries are tried again.
const MENDED_PAUSE: Duration = Duration::from_millis(500);

/// Why a leadership serves no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Another epoch begins, or none.
    EpochOver,
    /// Nobody can call any more.
    Finished,
    /// The log cannot be read or understood. Not tried again before the next epoch.
    Broken(String),
}

/// Why entries were not read.
#[derive(Debug)]
enum ReadFailed {
    Ended(Ended),
    /// The log begins here now: a trim under an earlier epoch has reached the disk.
    StartMoved(Offset),
    /// Damaged here: it can be read once it is mended.
    Damaged(String),
}

impl From<Ended> for ReadFailed {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl From<ReadFailed> for Ended {
    fn from(failed: ReadFailed) -> Self {
        match failed {
            ReadFailed::Ended(ended) => ended,
            ReadFailed::StartMoved(start) => {
                Self::Broken(format!("the positions log begins at {start} now, beyond what is due"))
            }
            ReadFailed::Damaged(why) => Self::Broken(why),
        }
    }
}

impl From<ApplyError> for Ended {
    fn from(error: ApplyError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The committed entries of one partition, read under one leader epoch.
#[derive(Clone, Debug)]
pub(super) struct LogReader {
    partition: Arc<Partition>,
    published: watch::Receiver<Published>,
    epoch: LeaderEpoch,
    hands: Arc<dyn Hands>,
}

impl LogReader {
    pub(super) fn new(partition: Arc<Partition>, epoch: LeaderEpoch, hands: Arc<dyn Hands>) -> Self {
        let published = partition.published();
        Self { partition, published, epoch, hands }
    }

    /// The state as all committed entries make it, once `committed_end` has passed the start of the epoch: then
    /// nothing that an earlier owner acknowledged can be missing (N18).
    pub(super) async fn replay(mut self) -> Result<PositionsState, Ended> {
        let start = self.seen()?.positions.start;
        let mut replay = Replay::new(start);
        loop {
            let seen = self.seen()?;
            if replay.next() < seen.positions.committed_end {
                match self.read(replay.next()).await {
                    Ok(entries) => {
                        entries.iter().try_for_each(|(offset, entry)| replay.apply(*offset, entry))?;
                    }
                    // Read anew: what was dropped is in the snapshot that the log begins with.
                    Err(ReadFailed::StartMoved(start)) if start > replay.next() => {
                        replay = Replay::new(start)
                    }
                    Err(failed) => return Err(failed.into()),
                }
            } else if seen.confirmed {
                return replay.finish().map_err(|error| Ended::Broken(error.to_string()));
            } else {
                self.changed().await?;
            }
        }
    }

    /// Applies everything committed below `end`, once that much is committed. Whoever asked for these entries was told
    /// that their outcome is unknown.
    pub(super) async fn catch_up(
        mut self,
        mut state: PositionsState,
        end: Offset,
    ) -> Result<PositionsState, Ended> {
        while state.applied_end() < end {
            if self.seen()?.positions.committed_end < end {
                self.changed().await?;
                continue;
            }
            for (offset, entry) in self.read(state.applied_end()).await? {
                if offset < end {
                    state.apply(offset, &entry)?;
                }
            }
        }
        Ok(state)
    }

    /// What is published now, and is seen from now on.
    fn seen(&mut self) -> Result<Published, Ended> {
        let seen = self.published.borrow_and_update().clone();
        if seen.leading == Some(self.epoch) { Ok(seen) } else { Err(Ended::EpochOver) }
    }

    async fn changed(&mut self) -> Result<(), Ended> {
        self.published.changed().await.map_err(|_| Ended::Finished)
    }

    /// Some entries from `from` on, which must be committed; at least one. Waits until they are mended if they are
    /// damaged, as long as this replica leads.
    async fn read(&self, from: Offset) -> Result<Vec<(Offset, Entry)>, ReadFailed> {
        let mut published = self.published.clone();
        let mut told = false;
        loop {
            let why = match self.read_now(from).await {
                Err(ReadFailed::Damaged(why)) => why,
                read => return read,
            };
            if !std::mem::replace(&mut told, true) {
                warn!(partition = %self.partition.id(), "group positions wait for damaged entries to be mended: {why}");
            }
            // Either outcome is looked at alike: damage that was mended makes no change of its own.
            tokio::select! {
                biased;
                _ = published.changed() => {}
                () = self.hands.pause(MENDED_PAUSE) => {}
            }
            if published.borrow_and_update().leading != Some(self.epoch) {
                return Err(Ended::EpochOver.into());
            }
        }
    }

    async fn read_now(&self, from: Offset) -> Result<Vec<(Offset, Entry)>, ReadFailed> {
        let (partition, (answer, answered)) = (Arc::clone(&self.partition), oneshot::channel());
        self.hands.carry_out(Box::new(move || drop(answer.send(read_entries(&partition, from)))));
        let panicked =
            || Ended::Broken(format!("the reading of entries from {from} on ended without an answer"));
        let entries = answered.await.map_err(|_| panicked())??;
        if entries.is_empty() {
            return Err(Ended::Broken(format!("no entry at {from}, which is committed")).into());
        }
        Ok(entries)
    }
}

fn read_entries(partition: &Partition, from: Offset) -> Result<Vec<(Offset, Entry)>, ReadFailed> {
    let ReadAnswer::Batches { bytes, .. } = partition.read(from, READ_BYTES).map_err(failed_by)? else {
        return Err(Ended::Broken(format!("nothing to be read at {from}, which is committed")).into());
    };
    Ok(entries_of(Batches::new(bytes, partition.id()), from)?)
}

fn failed_by(refusal: ReadRefusal) -> ReadFailed {
    ReadFailed::Ended(match refusal {
        ReadRefusal::NotLeader | ReadRefusal::NotYet { .. } => Ended::EpochOver,
        ReadRefusal::OutOfRange { start, .. } => return ReadFailed::StartMoved(start),
        ReadRefusal::DataLoss(why) => return ReadFailed::Damaged(why),
        ReadRefusal::Disk(why) => Ended::Broken(why),
    })
}

/// The first batch may begin before the entry asked for.
fn entries_of(batches: Batches, from: Offset) -> Result<Vec<(Offset, Entry)>, Ended> {
    let mut entries = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|misfit| Ended::Broken(misfit.to_string()))?;
        for record in batch.records().map_err(|error| Ended::Broken(error.to_string()))? {
            let record = record.map_err(|error| Ended::Broken(error.to_string()))?;
            if record.offset < from {
                continue;
            }
            let value = record.value.unwrap_or_default();
            let entry = Entry::from_bytes(&value)
                .map_err(|error| Ended::Broken(format!("positions record {}: {error}", record.offset)))?;
            entries.push((record.offset, entry));
        }
    }
    Ok(entries)
}
