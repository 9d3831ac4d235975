//! The writing half of one partition's log. One owner, the flusher, calls it; everybody else holds a [`LogView`].
//!
//! ```text
//!   start           durable_end        written_end          staged end
//!     |  synced          | written, not      | taken, not        |
//!     |                  | synced            | written           |
//!  ---+------------------+-------------------+-------------------+
//!      publish_durable ^      write_staged ^             stage ^
//! ```
//!
//! Always true: these ends are in this order; a batch is staged only where the last one ended, under the same or a
//! higher epoch, and only into room that was allocated before; the file's descriptor lives from the first write to
//! the last sync; a new file is used only after its header and its name are durable; and nothing moves `durable_end`
//! but a completed group of syncs, or a cut.
//!
//! Not here: which batches are placed, and what is committed; the partition decides that.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use fidelog_record::PlacedBatch;
use fidelog_record::types::{Offset, TopicPartition};

use crate::config::LogConfig;
use crate::data_dir::DataDir;
use crate::epochs::EpochHistory;
use crate::files::DiskError;
use crate::producers::{ProducerSnapshot, ProducerTable};
use crate::recovery_points::RecoveryPoint;
use crate::segment::{OpenSegment, Segment, SegmentFiles};
use crate::small_file::{self, Prepared};
use crate::view::{LogView, Shared};

/// The segment being written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) open: Arc<OpenSegment>,
    /// Where the next byte goes.
    pub(crate) position: u64,
    /// Bytes of the file that have their blocks.
    pub(crate) allocated: u64,
    /// Append time of its first batch, once it is known in this process.
    pub(crate) first_append_ms: Option<u64>,
    /// Append time of its last batch that is written; 0 before one is.
    pub(crate) last_append_ms: u64,
}

/// When a segment is full; a topic may set its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentLimits {
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: u64,
}

impl SegmentLimits {
    pub(crate) fn of(config: &LogConfig) -> Self {
        Self { segment_bytes: config.segment_bytes, segment_ms: config.segment_ms }
    }

    /// A topic's own values, brought into the range of [`LogConfig`]: whoever set them has had them refused before.
    pub(crate) fn within_bounds(segment_bytes: u64, segment_ms: u64) -> Self {
        let bounds = LogConfig::SEGMENT_BYTES_MIN..=LogConfig::SEGMENT_BYTES_MAX;
        Self {
            segment_bytes: segment_bytes.clamp(*bounds.start(), *bounds.end()),
            segment_ms: segment_ms.max(1),
        }
    }
}

/// One partition's log, to write to.
#[derive(Debug)]
pub struct Log {
    pub(crate) at: TopicPartition,
    pub(crate) directory: PathBuf,
    pub(crate) home: Arc<DataDir>,
    pub(crate) shared: Arc<Shared>,
    /// `None` before the first append, and after recovery found bytes behind the end that must stay.
    pub(crate) active: Option<Active>,
    pub(crate) staged: Vec<PlacedBatch>,
    pub(crate) staged_end: Offset,
    pub(crate) staged_bytes: u64,
    pub(crate) written_end: Offset,
    pub(crate) committed_end: Offset,
    pub(crate) epochs: EpochHistory,
    /// Whether `epochs` says more than its file.
    pub(crate) epochs_unstored: bool,
    /// What the batches below `written_end` say.
    pub(crate) producers: ProducerTable,
    /// Whether damaged batches were passed over when `producers` was made.
    pub(crate) producers_incomplete: bool,
    /// Whether anything was written since the last sync.
    pub(crate) unsynced: bool,
    /// After a failed append: takes no more until it is cut or started over.
    pub(crate) failed: bool,
    pub(crate) limits: SegmentLimits,
    /// What [`DataDir::note_growth`] was told of this log.
    pub(crate) growth_noted: u64,
    /// Producer snapshots below were found after an unclean stop: reading one proves nothing.
    pub(crate) snapshots_unproven_end: Offset,
}

impl Log {
    /// The partition.
    #[must_use]
    pub fn partition(&self) -> TopicPartition {
        self.at
    }

    /// A view for readers.
    #[must_use]
    pub fn view(&self) -> LogView {
        LogView::new(Arc::clone(&self.shared))
    }

    /// What is remembered of producers, as of the end of what is written.
    #[must_use]
    pub fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// The epochs of what is written.
    #[must_use]
    pub fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }

    /// The greatest committed end known here.
    #[must_use]
    pub fn committed_end(&self) -> Offset {
        self.committed_end
    }

    /// Bytes of batches that may be staged now.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        let used = |active: &Active| active.position + self.staged_bytes;
        self.active.as_ref().map_or(0, |active| active.allocated.saturating_sub(used(active)))
    }

    pub(crate) fn durable_end(&self) -> Offset {
        self.shared.state.read().durable_end
    }

    /// Takes a batch, to be written with the next [`Self::write_staged`].
    ///
    /// # Panics
    /// When it does not follow the last one, or has no room: the caller assigned an offset it must not have.
    pub(crate) fn stage(&mut self, batch: PlacedBatch) {
        let (base, end, bytes) = (batch.base_offset(), batch.end_offset(), batch.length() as u64);
        assert!(base == self.staged_end, "{}: batch at {base} follows {}", self.at, self.staged_end);
        assert!(
            bytes <= self.room_bytes(),
            "{}: {bytes} bytes into a room of {}",
            self.at,
            self.room_bytes()
        );
        self.staged_end = end;
        self.staged_bytes += bytes;
        self.staged.push(batch);
    }

    /// Writes everything staged with one call, and lets readers see it.
    pub(crate) fn write_staged(&mut self) -> Result<(), DiskError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let active =
            self.active.as_mut().expect("batches are staged only into the room of an active segment");
        let mut parts = Vec::with_capacity(self.staged.len() * 2);
        for batch in &self.staged {
            let (head, body) = batch.parts();
            parts.push(IoSlice::new(head));
            parts.push(IoSlice::new(body));
        }
        self.unsynced = true;
        active.open.file.write(&parts, active.position)?;
        drop(parts);
        let mut indexes = active.open.indexes.write();
        for batch in self.staged.drain(..) {
            let header = batch.header();
            indexes.note(header, active.position, self.home.config().index_every_bytes);
            active.position += u64::from(header.length);
            active.first_append_ms.get_or_insert(header.append_time_ms);
            active.last_append_ms = header.append_time_ms;
            let began = self.epochs.append(header.leader_epoch, header.base_offset);
            self.epochs_unstored |= began.unwrap_or_else(|error| panic!("{}: {error}", self.at));
            self.producers.apply(header);
        }
        drop(indexes);
        active.open.set_written_position(active.position);
        self.written_end = self.staged_end;
        self.staged_bytes = 0;
        active.segment.set_end(self.written_end);
        let mut state = self.shared.state.write();
        state.written_end = self.written_end;
        if self.epochs_unstored {
            state.epochs = Arc::new(self.epochs.clone());
        }
        Ok(())
    }

    /// The file that must be synced before what is written is durable. The epochs are stored first, so that no
    /// published batch is of an epoch the file does not know.
    pub(crate) fn file_to_sync(&mut self) -> Result<Option<Arc<OpenSegment>>, DiskError> {
        if !self.unsynced {
            return Ok(None);
        }
        self.store_epochs()?;
        Ok(self.active.as_ref().map(|active| Arc::clone(&active.open)))
    }

    pub(crate) fn store_epochs(&mut self) -> Result<(), DiskError> {
        if let Some(file) = self.epochs_to_store() {
            file.write(self.home.files())?;
            self.epochs_stored();
        }
        Ok(())
    }

    /// The file `epochs`, where it is not what it should be; say so when it is written.
    pub(crate) fn epochs_to_store(&self) -> Option<Prepared> {
        self.epochs_unstored.then(|| Prepared::new(self.directory.join("epochs"), &self.epochs))
    }

    pub(crate) fn epochs_stored(&mut self) {
        self.epochs_unstored = false;
    }

    /// Says that a completed group of syncs covered everything written. Tells the new end if it moved.
    pub(crate) fn publish_durable(&mut self) -> Option<Offset> {
        self.unsynced = false;
        let mut state = self.shared.state.write();
        let moved = state.durable_end < self.written_end;
        state.durable_end = self.written_end;
        moved.then_some(self.written_end)
    }

    /// Writes and syncs everything staged, for the steps that need it behind them. Publishes nothing.
    pub(crate) fn settle(&mut self) -> Result<(), DiskError> {
        self.write_staged()?;
        if let Some(open) = self.file_to_sync()? {
            open.file.sync()?;
        }
        Ok(())
    }

    /// Stores the hints of the active segment, so that a start walks no further than from the recovery point.
    pub(crate) fn store_hints(&mut self) -> Result<(), DiskError> {
        let Some(active) = &self.active else { return Ok(()) };
        active.open.indexes.write().store(self.home.files(), &active.segment.files, active.segment.base)
    }

    /// Stores what the batches below `written_end` say of producers.
    pub(crate) fn store_snapshot(&self) -> Result<(), DiskError> {
        let snapshot = ProducerSnapshot {
            end: self.written_end,
            last_epoch: self.epochs.last_epoch(),
            table: self.producers.clone(),
        };
        let path = SegmentFiles::new(&self.directory, self.written_end).producers;
        small_file::write(self.home.files(), &path, &snapshot)
    }

    /// Stores all that lets the next start read nothing. Everything written is synced.
    pub(crate) fn store_for_clean_stop(&mut self) -> Result<(), DiskError> {
        if let Some(active) = &self.active {
            active.open.indexes.write().close(self.written_end);
        }
        self.store_hints()?;
        if self.written_end > Offset::ZERO { self.store_snapshot() } else { Ok(()) }
    }

    /// What may be written to `recovery-points` now.
    pub(crate) fn recovery_point(&self) -> RecoveryPoint {
        let state = self.shared.state.read();
        let synced_end = state.durable_end;
        let exact = self.active.as_ref().filter(|_| synced_end == self.written_end);
        let last = state.segments.last().map_or(Offset::ZERO, |segment| segment.base);
        RecoveryPoint {
            start: state.start,
            segment_base: exact.map_or(last, |active| active.segment.base),
            position: exact.map_or(0, |active| active.position),
            synced_end,
            committed_end: self.committed_end.min(synced_end),
            damage: state.damage.clone(),
            starting_over: None,
            cutting: None,
        }
    }

    /// Notes in memory what of a log that failed is synced, before it is let go of: whoever opens it again in this
    /// process takes nothing below that for a torn tail. A step that is under way stays noted instead.
    pub(crate) fn note_synced(&self) {
        let noted = self.home.point(self.at);
        if noted.is_none_or(|point| point.cutting.is_none() && point.starting_over.is_none()) {
            self.home.set_point(self.at, self.recovery_point());
        }
    }

    /// Takes the place of a log of this partition that was let go of: who holds `view` reads this one from now on.
    ///
    /// # Panics
    /// When that is another partition's.
    pub fn replace(&mut self, view: &LogView) {
        assert_eq!(self.at, view.partition(), "a log takes the place of another partition's");
        let fresh = std::mem::take(&mut *self.shared.state.write());
        *view.shared.state.write() = fresh;
        self.shared = Arc::clone(&view.shared);
        self.shared.damage_changed();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.home.note_growth(self.growth_noted, 0);
    }
}
