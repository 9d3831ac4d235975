//! Reading a log: a view that any thread may hold, never in the writer's way.
//!
//! ```text
//!   start            committed_end      durable_end        written_end
//!     |  ...            | reader's limit    |                  |
//!  ---+-----------------+-------------------+------------------+---
//! ```
//!
//! Always true: what a view returns was verified, both checksums, and begins where the batch before it ended. It
//! never returns anything at or beyond the caller's own limit. A lock is held only to copy positions, never while the
//! disk is asked. Bytes handed out stay readable whatever happens to their segment.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use parking_lot::RwLock;

use crate::damage;
use crate::data_dir::DataDir;
use crate::epochs::EpochHistory;
use crate::files::DiskError;
use crate::producer_files;
use crate::producers::ProducerTable;
use crate::segment::{Found, Located, Lookup, Segment, Survey};

/// Whole batches, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The batches, one behind the other; empty when there is nothing below the limit.
    pub batches: Bytes,
    /// Base offset of the first batch: at or before the offset asked for.
    pub first_offset: Offset,
    /// Where to read on.
    pub next_offset: Offset,
}

/// Why nothing could be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is not one of the log's.
    #[error("offset {from} is outside {start}..{end}")]
    OutOfRange {
        /// What was asked for.
        from: Offset,
        /// First offset there is.
        start: Offset,
        /// Exclusive; the caller's limit, or the end of the log if that is lower.
        end: Offset,
    },
    /// The records are damaged here; others may have them.
    #[error("offsets {}..{} of partition {partition} are damaged", range.start, range.end)]
    DataLoss {
        /// The partition.
        partition: TopicPartition,
        /// The damaged offsets.
        range: Range<Offset>,
    },
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// One segment, for people and for retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Offset of its first record.
    pub base: Offset,
    /// Exclusive.
    pub end: Offset,
    /// Bytes of its file, allocated ones included.
    pub file_bytes: u64,
    /// Whether it is the one being written to.
    pub active: bool,
    /// When its first batch was appended, Unix milliseconds; 0 without batches.
    pub oldest_ms: u64,
    /// The greater of its newest record's timestamp and its last append, Unix milliseconds; 0 without batches.
    pub newest_ms: u64,
}

/// What writer and readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) at: TopicPartition,
    pub(crate) home: Arc<DataDir>,
    pub(crate) state: RwLock<State>,
    /// Counts how often the damaged ranges of `state` changed.
    pub(crate) damage_changes: AtomicU64,
}

/// What the writer has published.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) start: Offset,
    pub(crate) durable_end: Offset,
    pub(crate) written_end: Offset,
    /// In order; the ends of all but the last are the bases of the next.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) epochs: Arc<EpochHistory>,
    /// Ranges known to be damaged, in order.
    pub(crate) damage: Vec<(Offset, Offset)>,
}

/// A reader's view of one log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(crate) shared: Arc<Shared>,
}

impl LogView {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> TopicPartition {
        self.shared.at
    }

    /// First offset there is.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.shared.state.read().start
    }

    /// Everything below is synced.
    #[must_use]
    pub fn durable_end(&self) -> Offset {
        self.shared.state.read().durable_end
    }

    /// Everything below is written, synced or not: a leader may send it, and count it for nothing.
    #[must_use]
    pub fn written_end(&self) -> Offset {
        self.shared.state.read().written_end
    }

    /// The epochs of what is written.
    #[must_use]
    pub fn epochs(&self) -> Arc<EpochHistory> {
        Arc::clone(&self.shared.state.read().epochs)
    }

    /// About how many bytes the batches of `from..to` take: for pacing, not for promises. Within a segment records are
    /// taken to be of equal size.
    #[must_use]
    pub fn bytes_between(&self, from: Offset, to: Offset) -> u64 {
        let segments = self.shared.state.read().segments.clone();
        let share = |segment: &Arc<Segment>| {
            let (base, end) = (segment.base, segment.end());
            let records = to.min(end).since(from.max(base));
            if records == 0 {
                return 0;
            }
            let opened = segment.opened(self.shared.home.files(), self.shared.home.open_files());
            let bytes = opened.map_or(0, |opened| opened.written_position());
            let part = u128::from(bytes) * u128::from(records) / u128::from(end.since(base).max(1));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        segments.iter().map(share).sum()
    }

    /// Which epoch the record at `offset` was placed under.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.shared.state.read().epochs.epoch_at(offset)
    }

    /// The largest epoch here at most `epoch`, and where it ended (KIP-279).
    #[must_use]
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.shared.state.read();
        state.epochs.end_of(epoch, state.written_end)
    }

    /// Reads whole batches from the one that holds `from`: at least one if any lies below `below`, then as many as
    /// fit into `bytes_max` together. Nothing when `from` is the end of what may be read.
    ///
    /// # Errors
    /// As [`ReadError`] tells.
    pub fn read(&self, from: Offset, bytes_max: usize, below: Offset) -> Result<ReadOutcome, ReadError> {
        let state = self.shared.state.read();
        let end = below.min(state.written_end);
        if from < state.start || from > end {
            return Err(ReadError::OutOfRange { from, start: state.start, end });
        }
        if from == end {
            return Ok(ReadOutcome { batches: Bytes::new(), first_offset: from, next_offset: from });
        }
        if let Some(range) = damage::known(&state, from) {
            return Err(self.lost(range));
        }
        let segment = match segment_of(&state, from) {
            Ok(segment) => Arc::clone(segment),
            Err(range) => return Err(self.lost(range)),
        };
        let epochs = Arc::clone(&state.epochs);
        drop(state); // the disk is asked without it
        let end = end.min(segment.end());
        let read = self.look_up(&epochs, &segment, end, |lookup| lookup.read(from, bytes_max as u64));
        match read {
            Ok(Ok(run)) => {
                let first_offset = first_offset(&run.bytes, from);
                Ok(ReadOutcome { batches: run.bytes, first_offset, next_offset: run.end })
            }
            Ok(Err(range)) => {
                self.note_damage(&segment, range.clone());
                Err(self.lost(range))
            }
            Err(error) if error.is_unreadable() => self.read_around(&epochs, &segment, from, end),
            Err(error) => Err(self.disk_error(from, end, error)),
        }
    }

    /// Reads the batch that holds `from` alone, a block near it being unreadable.
    fn read_around(
        &self,
        epochs: &EpochHistory,
        segment: &Arc<Segment>,
        from: Offset,
        end: Offset,
    ) -> Result<ReadOutcome, ReadError> {
        let read = self.look_up(epochs, segment, end, |lookup| {
            let mut survey = Survey::near(lookup, from);
            while let Some(Found { offsets, positions, batch }) = survey.next()? {
                if from < offsets.end {
                    let bytes = batch.map(|_| lookup.open.file.view(positions)).transpose()?;
                    return Ok((bytes, offsets));
                }
            }
            Ok((None, from..end))
        });
        match read {
            Ok((Some(batches), Range { start: first_offset, end: next_offset })) => {
                Ok(ReadOutcome { batches, first_offset, next_offset })
            }
            Ok((None, range)) => {
                self.note_damage(segment, range.clone());
                Err(self.lost(range))
            }
            Err(error) => Err(self.disk_error(from, end, error)),
        }
    }

    /// Base offset of the first batch below `below` that holds a timestamp of at least `time_ms`, Unix milliseconds;
    /// `None` when there is none. Damaged batches are passed over.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn offset_for_time(&self, time_ms: u64, below: Offset) -> Result<Option<Offset>, ReadError> {
        let state = self.shared.state.read().clone();
        let end = below.min(state.written_end);
        for segment in state.segments.iter().filter(|segment| segment.base < end) {
            let segment_end = end.min(segment.end());
            if let Some(offset) =
                self.in_segment(&state, segment, segment_end, |lookup| lookup.at_time(time_ms, state.start))?
            {
                return Ok(Some(offset.max(state.start)));
            }
        }
        Ok(None)
    }

    /// The segments, oldest first. Opens those it has to look into.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, ReadError> {
        let state = self.shared.state.read().clone();
        let mut segments = Vec::with_capacity(state.segments.len());
        for segment in &state.segments {
            if let Some(info) = segment.info() {
                segments.push(info);
                continue;
            }
            let (base, end, active) = (segment.base, segment.end(), segment.is_active());
            let (timestamp, append) =
                self.in_segment(&state, segment, end, |lookup| lookup.newest_times())?;
            let oldest_ms = self.in_segment(&state, segment, end, |lookup| lookup.oldest_append())?;
            let opened = segment.opened(self.shared.home.files(), self.shared.home.open_files())?;
            let newest_ms = timestamp.max(append);
            let info =
                SegmentInfo { base, end, file_bytes: opened.file.len()?, active, oldest_ms, newest_ms };
            segment.keep_info(info.clone());
            segments.push(info);
        }
        Ok(segments)
    }

    /// What the batches below `end` say of producers: what a replica that starts over at `end` must be given.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn producers_at(&self, end: Offset) -> Result<ProducerTable, ReadError> {
        let directory = self.shared.home.partition_path(self.shared.at);
        Ok(producer_files::load(self, &directory, &self.shared.home, end)?.0)
    }

    /// Bytes of all segment files, allocated ones included.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn file_bytes(&self) -> Result<u64, ReadError> {
        let segments = self.shared.state.read().segments.clone();
        let mut bytes = 0;
        for segment in &segments {
            let opened = segment.opened(self.shared.home.files(), self.shared.home.open_files())?;
            bytes += opened.file.len()?;
        }
        Ok(bytes)
    }

    /// Where the batch that holds `offset` lies; used by the writer for cuts.
    pub(crate) fn locate(&self, offset: Offset) -> Result<Option<(Arc<Segment>, Located)>, DiskError> {
        let state = self.shared.state.read().clone();
        let Ok(segment) = segment_of(&state, offset) else { return Ok(None) };
        let located = self.in_segment(&state, segment, segment.end(), |lookup| lookup.locate(offset))?;
        Ok(Some((Arc::clone(segment), located)))
    }

    /// Visits the header of every undamaged batch of `from..below`; tells whether that was all of them.
    pub(crate) fn each_batch(
        &self,
        from: Offset,
        below: Offset,
        mut visit: impl FnMut(&fidelog_record::BatchHeader),
    ) -> Result<bool, DiskError> {
        let state = self.shared.state.read().clone();
        let mut whole = !state.damage.iter().any(|&(start, end)| start < below && from < end);
        for segment in state.segments.iter().filter(|segment| segment.end() > from && segment.base < below) {
            let (from, end) = (from.max(segment.base), below.min(segment.end()));
            let damage = self.in_segment(&state, segment, end, |lookup| {
                lookup.each_batch(from, |header| {
                    visit(header);
                    true
                })
            })?;
            whole &= damage.is_empty();
        }
        Ok(whole)
    }

    fn in_segment<T>(
        &self,
        state: &State,
        segment: &Arc<Segment>,
        end: Offset,
        ask: impl FnOnce(&Lookup<'_>) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        self.look_up(&state.epochs, segment, end, ask)
    }

    pub(crate) fn look_up<T>(
        &self,
        epochs: &EpochHistory,
        segment: &Arc<Segment>,
        end: Offset,
        ask: impl FnOnce(&Lookup<'_>) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let open = segment.opened(self.shared.home.files(), self.shared.home.open_files())?;
        ask(&Lookup { at: self.shared.at, segment, open: &open, epochs, end })
    }

    fn lost(&self, range: Range<Offset>) -> ReadError {
        ReadError::DataLoss { partition: self.shared.at, range }
    }

    /// A file that went while it was being looked for was dropped by retention or a cut, and is out of range.
    fn disk_error(&self, from: Offset, end: Offset, error: DiskError) -> ReadError {
        let start = self.start();
        if error.kind() == std::io::ErrorKind::NotFound && from < start {
            return ReadError::OutOfRange { from, start, end };
        }
        error.into()
    }
}

/// The segment that should hold `offset`, or the range of offsets whose files are missing.
pub(crate) fn segment_of(state: &State, offset: Offset) -> Result<&Arc<Segment>, Range<Offset>> {
    let after = state.segments.partition_point(|segment| segment.base <= offset);
    let next = state.segments.get(after).map_or(state.written_end, |segment| segment.base);
    let Some(segment) = after.checked_sub(1).map(|index| &state.segments[index]) else {
        return Err(offset..next);
    };
    if offset < segment.end() { Ok(segment) } else { Err(segment.end()..next) }
}

fn first_offset(batches: &Bytes, from: Offset) -> Offset {
    fidelog_record::BatchHeader::parse(batches).map_or(from, |header| header.base_offset)
}
