//! How a log gets room: its file grows by steps, and a full one is sealed and followed by the next.
//!
//! Always true: room is allocated before anything is placed in it; a segment is followed only when everything in it is
//! synced, and is used only after its header and its name are durable; what is refused for want of room leaves the log
//! as it was.

use std::sync::Arc;

use fidelog_record::PlacedBatch;
use fidelog_record::types::Offset;

use crate::data_dir::DataDir;
use crate::failure::SecureError;
use crate::files::DiskError;
use crate::log::{Active, Log};
use crate::segment::{OpenSegment, SEGMENT_HEADER_BYTES, Segment, SegmentFiles, SegmentHeader};

impl Log {
    /// Makes room for `bytes` more behind everything staged: grows the file, or rolls. Tells the room there is then.
    pub(crate) fn secure(&mut self, bytes: u64) -> Result<u64, SecureError> {
        if bytes <= self.room_bytes() {
            return Ok(self.room_bytes());
        }
        match self.growth_for(bytes) {
            Some(allocated) => self.grow(allocated)?,
            None => self.roll(bytes)?,
        }
        Ok(self.room_bytes())
    }

    /// The size to which the active segment's file must grow to hold `bytes` more; `None` when it may not.
    fn growth_for(&self, bytes: u64) -> Option<u64> {
        let config = self.home.config();
        let active = self.active.as_ref()?;
        let needed = active.position + self.staged_bytes + bytes;
        if self.has_empty_segment() {
            return Some(needed); // one batch larger than a segment: this is the segment of its own
        }
        let too_old = active.first_append_ms.is_some_and(|first| {
            let last = self.staged.last().map_or(active.last_append_ms, PlacedBatch::append_time_ms);
            last.saturating_sub(first) >= self.limits.segment_ms
        });
        if needed > self.limits.segment_bytes || too_old {
            return None;
        }
        let step = active.allocated.clamp(config.growth_bytes_min, config.growth_bytes_max);
        let limit = self.limits.segment_bytes.max(needed);
        Some(needed.max(active.allocated + step).min(limit))
    }

    /// Whether the active segment holds nothing yet, so that a roll would only replace it.
    fn has_empty_segment(&self) -> bool {
        let empty = |active: &Active| active.position == SEGMENT_HEADER_BYTES && self.staged_bytes == 0;
        self.active.as_ref().is_some_and(empty)
    }

    fn grow(&mut self, allocated: u64) -> Result<(), SecureError> {
        let active = self.active.as_mut().expect("only an active segment grows");
        refuse_low_water(&self.home, allocated - active.allocated)?;
        active.open.file.allocate(active.allocated..allocated).map_err(SecureError::from_disk)?;
        active.allocated = allocated;
        self.note_growth();
        Ok(())
    }

    /// Tells the data directory by how much this log will grow next: the low-water mark leaves that free.
    pub(crate) fn note_growth(&mut self) {
        let config = self.home.config();
        let step = |active: &Active| active.allocated.clamp(config.growth_bytes_min, config.growth_bytes_max);
        let next = self.active.as_ref().map_or(0, step);
        self.home.note_growth(self.growth_noted, next);
        self.growth_noted = next;
    }

    /// Seals the active segment, if there is one, and starts the next with room for at least `bytes`.
    pub(crate) fn roll(&mut self, bytes: u64) -> Result<(), SecureError> {
        if self.has_empty_segment() {
            return self.secure(bytes).map(drop);
        }
        let config = self.home.config();
        let first_step = config.growth_bytes_min.min(self.limits.segment_bytes) - SEGMENT_HEADER_BYTES;
        let room = first_step.max(bytes);
        refuse_low_water(&self.home, room)?;
        self.settle().map_err(SecureError::from_disk)?;
        self.store_snapshot_for_roll().map_err(SecureError::from_disk)?;
        self.start_segment(room).map_err(SecureError::from_disk)
    }

    /// The snapshot is a convenience of the next start; a disk too full for it does not stop the roll.
    fn store_snapshot_for_roll(&mut self) -> Result<(), DiskError> {
        self.producers.expire(self.home.config().producer_idle_ms);
        // What came with a start-over noted in this flush stands there, and must be found after a crash.
        if self.written_end == Offset::ZERO || self.starts_over_at(self.written_end) {
            return Ok(());
        }
        match self.store_snapshot() {
            Err(error) if error.is_full() && self.home.latched().is_none() => {
                tracing::warn!(partition = %self.at, %error, "a producer snapshot was not stored");
                Ok(())
            }
            result => result,
        }
    }

    /// Creates the segment at `written_end`, everything below it being synced, and writes to it from now on.
    pub(crate) fn start_segment(&mut self, room: u64) -> Result<(), DiskError> {
        let base = self.written_end;
        let home = Arc::clone(&self.home);
        let files = home.files();
        let names = SegmentFiles::new(&self.directory, base);
        let header = SegmentHeader { cluster: home.cluster_id(), partition: self.at, base };
        let open = OpenSegment::create(files, &names, header, room)?;
        if let Some(old) = self.active.take() {
            let mut indexes = old.open.indexes.write();
            indexes.close(base);
            let stored = indexes.store(files, &old.segment.files, old.segment.base);
            drop(indexes);
            old.segment.seal(home.open_files());
            stored?;
        }
        let segment = Segment::active(&self.directory, base, base, Arc::clone(&open));
        let mut state = self.shared.state.write();
        if state.segments.last().is_some_and(|last| last.base == base) {
            state.segments.pop(); // held no batch, and was replaced
        }
        state.segments.push(Arc::clone(&segment));
        drop(state);
        let allocated = SEGMENT_HEADER_BYTES + room;
        self.active = Some(Active {
            segment,
            open,
            position: SEGMENT_HEADER_BYTES,
            allocated,
            first_append_ms: None,
            last_append_ms: 0,
        });
        self.note_growth();
        Ok(())
    }
}

/// Refuses growth that would leave too little free for what must always work.
fn refuse_low_water(home: &DataDir, growth_bytes: u64) -> Result<(), SecureError> {
    let limit_bytes = home.free_bytes_min().map_err(SecureError::from_disk)?;
    let free_bytes = home.files().free_bytes(home.root()).map_err(SecureError::from_disk)?;
    if free_bytes < limit_bytes.saturating_add(growth_bytes) {
        return Err(SecureError::DiskFull { free_bytes, limit_bytes, needed_bytes: growth_bytes });
    }
    Ok(())
}
