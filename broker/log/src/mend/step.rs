//! The last step, on the flusher's thread: a mended segment takes its place.
//!
//! ```text
//!  1 the new files are renamed into place, from the highest down, the directory synced after each: as long as the
//!    lower ones are missing, the old file still holds what they will
//!  2 readers are shown them; who holds the old ones open goes on reading those
//!  3 what is remembered of producers takes in the mended batches; snapshots that were made without them go
//! ```
//!
//! The recovery point still calls the range damaged until it is written next: after a crash before that, the segment
//! is gone over once more, and found whole.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use fidelog_record::types::Offset;

use super::new_file::NewFile;
use super::{MendError, Mended};
use crate::damage;
use crate::log::Log;
use crate::producer_files;
use crate::producers::ProducerTable;
use crate::segment::Segment;
use crate::view::State;

/// With less room than this nothing is renamed: a rename that finds none would latch the directory.
const RENAME_BYTES_MIN: u64 = 1 << 20;

/// What mending did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendDone {
    /// What came from elsewhere; empty where everything could be read after all.
    pub mended: Vec<Range<Offset>>,
    /// What those batches say of producers, for [`ProducerTable::remember`].
    pub producers: ProducerTable,
}

/// Who hears what came of it, once, on the flusher's thread; never, if the log is not there any more or nothing is
/// written any more.
pub struct MendAnswer(pub Box<dyn FnOnce(Result<MendDone, MendError>) + Send>);

impl fmt::Debug for MendAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MendAnswer")
    }
}

impl Log {
    /// Puts a mended segment in the place of the damaged one, as one durable step.
    pub(crate) fn take_mended(&mut self, mended: Mended) -> Result<MendDone, MendError> {
        let Mended { replaced, offsets, lost, mut files, aside, producers } = mended;
        let place = {
            let state = self.shared.state.read();
            place_of(&state, replaced.as_ref(), &offsets).ok_or(MendError::Changed)?
        };
        let home = Arc::clone(&self.home);
        let free_bytes = home.files().free_bytes(home.root())?;
        if !files.is_empty() && free_bytes < RENAME_BYTES_MIN {
            return Err(MendError::NoRoom { free_bytes, needed_bytes: RENAME_BYTES_MIN });
        }
        for file in files.iter_mut().rev() {
            home.files().rename(&file.name.path, &file.names.log)?;
            file.name.handed_over = true;
            home.files().sync_dir(&self.directory)?;
            self.store_indexes(file)?;
        }
        if files.is_empty() {
            home.files().sync_dir(&self.directory)?; // the name may be from a mending that a crash cut short
        }
        if let Some(mut aside) = aside {
            home.aside().take(home.files(), &aside.name.path, self.at, offsets.start, "damaged")?;
            aside.name.handed_over = true;
            home.files().sync_dir(&self.directory)?;
        }
        let segments: Vec<_> =
            files.iter().map(|file| Segment::sealed(&self.directory, file.base, file.end)).collect();
        let mut state = self.shared.state.write();
        if !segments.is_empty() {
            state.segments.splice(place, segments);
        }
        damage::forget(&mut state.damage, &offsets);
        drop(state);
        self.shared.damage_changed();
        self.remember(&lost, &producers)?;
        Ok(MendDone { mended: lost, producers })
    }

    /// Hints of the new file; those of the old one may point anywhere.
    fn store_indexes(&self, file: &mut NewFile) -> Result<(), MendError> {
        self.home.files().remove_if_present(&file.names.index)?;
        self.home.files().remove_if_present(&file.names.time)?;
        file.indexes.store(self.home.files(), &file.names, file.base)?;
        Ok(())
    }

    fn remember(&mut self, lost: &[Range<Offset>], producers: &ProducerTable) -> Result<(), MendError> {
        let Some(first) = lost.first() else { return Ok(()) };
        self.producers.remember(producers, self.home.config().producer_idle_ms);
        if !self.producers_incomplete {
            return Ok(());
        }
        // Snapshots made since this log was opened around the damage lack what is remembered only now; the next start
        // goes back to one from before it, or to the one that is stored here.
        producer_files::remove_beyond(self.home.files(), &self.directory, first.start)?;
        self.producers_incomplete = !self.shared.state.read().damage.is_empty();
        if self.unsynced || self.producers_incomplete {
            return Ok(());
        }
        match self.store_snapshot() {
            Err(error) if error.is_full() && self.home.latched().is_none() => {
                tracing::warn!(partition = %self.at, %error, "a producer snapshot was not stored");
                Ok(())
            }
            stored => Ok(stored?),
        }
    }
}

/// Which segments the mended ones replace; `None` when they are not those any more.
fn place_of(state: &State, replaced: Option<&Arc<Segment>>, offsets: &Range<Offset>) -> Option<Range<usize>> {
    if state.start >= offsets.end {
        return None;
    }
    match replaced {
        Some(old) => {
            let index = state.segments.iter().position(|segment| Arc::ptr_eq(segment, old))?;
            (!old.is_active() && old.end() == offsets.end).then_some(index..index + 1)
        }
        None => {
            let index = state.segments.partition_point(|segment| segment.base < offsets.start);
            let next = state.segments.get(index).map_or(state.written_end, |segment| segment.base);
            (index == 0 && next == offsets.end).then_some(index..index)
        }
    }
}
