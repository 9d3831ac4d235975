//! Mending a damaged segment with batches that another replica holds undamaged (D13).
//!
//! ```text
//!  <base>.log              | kept |  damaged  | kept |        goes on being read, around the damage
//!  <base>.mended.unfinished| kept | batches of| kept |        written beside it, synced, read back and verified;
//!                          |      | a replica |      |        then renamed over it by the flusher, in one step
//! ```
//!
//! All but the last step happens on a thread of the caller's, beside the flusher, in pieces. Always true: at every
//! instant the log is the damaged one or the mended one; a batch from elsewhere is taken only with both checksums, at
//! the offset that is due, under the epoch that this log's history names for it; every batch of the new file has been
//! verified in it before it takes its place; nothing outside of the damaged stretches is taken from elsewhere. The
//! damaged bytes are kept aside.
//!
//! Not here: where the batches come from, and whether they are committed; the caller mends below its committed end only.

mod new_file;
mod step;

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fidelog_record::types::{LeaderEpoch, Offset};
use fidelog_record::{Batches, Misfit};

pub use step::{MendAnswer, MendDone};

use crate::damage;
use crate::epochs::EpochHistory;
use crate::files::DiskError;
use crate::producers::ProducerTable;
use crate::segment::{Found, Segment, Survey};
use crate::view::{LogView, segment_of};
use new_file::{KeptAside, NewFile, NewFiles};

/// Why a segment was not mended. It stays as it is, and may be tried again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MendError {
    /// Nothing is known to be damaged there.
    #[error("offset {at} is not known to be damaged")]
    NotDamaged {
        /// The offset.
        at: Offset,
    },
    /// The damage lies in the segment that is written to: start a new one first, then it can be mended.
    #[error("offset {at} lies in the segment that is being written to; start a new segment first")]
    Active {
        /// The offset.
        at: Offset,
    },
    /// A batch from elsewhere is damaged, of another partition, or does not follow the one before it.
    #[error("the batch offered for offset {at}: {misfit}")]
    Misfit {
        /// The offset that was due.
        at: Offset,
        /// What does not fit.
        misfit: Misfit,
    },
    /// A batch from elsewhere is not the one that belongs there.
    #[error(
        "a batch of offsets {}..{} and epoch {epoch} was offered for {}..{}, whose epoch here is {expected:?}",
        offered.start, offered.end, wanted.start, wanted.end
    )]
    Foreign {
        /// What it covers.
        offered: Range<Offset>,
        /// What is due.
        wanted: Range<Offset>,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// The epoch of what is due, if it is known.
        expected: Option<LeaderEpoch>,
    },
    /// Batches are still due.
    #[error("offsets {}..{} were not given yet", .0.start, .0.end)]
    Unfinished(Range<Offset>),
    /// What was written does not read back as a whole segment.
    #[error("{}: offsets {}..{} do not read back", path.display(), range.start, range.end)]
    NotReadBack {
        /// The new file.
        path: PathBuf,
        /// What does not.
        range: Range<Offset>,
    },
    /// The disk is as good as full.
    #[error("{free_bytes} bytes are free and {needed_bytes} are needed to mend a segment; free space")]
    NoRoom {
        /// Bytes free.
        free_bytes: u64,
        /// What must be free.
        needed_bytes: u64,
    },
    /// The segment was cut, dropped or mended meanwhile.
    #[error("the segment has changed meanwhile")]
    Changed,
    /// The log takes nothing until it is cut or started over.
    #[error("the log has failed; it goes on under a higher leader epoch")]
    Failed,
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A stretch of the segment.
#[derive(Clone, Debug)]
enum Piece {
    /// Verified batches of the old file.
    Kept { offsets: Range<Offset>, positions: Range<u64> },
    /// Due from elsewhere; what the old file has in its place is empty where the file ends before.
    Lost { offsets: Range<Offset>, positions: Range<u64> },
}

impl Piece {
    /// Takes in a piece that follows, if it is of the same kind.
    fn join(&mut self, next: &Self) -> bool {
        match (self, next) {
            (
                Self::Kept { offsets, positions },
                Self::Kept { offsets: next_offsets, positions: next_positions },
            )
            | (
                Self::Lost { offsets, positions },
                Self::Lost { offsets: next_offsets, positions: next_positions },
            ) if positions.end == next_positions.start => {
                (offsets.end, positions.end) = (next_offsets.end, next_positions.end);
                true
            }
            _ => false,
        }
    }
}

/// A segment that is being mended. Dropped before it is handed to the flusher, it leaves nothing behind.
#[derive(Debug)]
pub struct Mending {
    view: LogView,
    /// `None`: its file is gone.
    replaced: Option<Arc<Segment>>,
    offsets: Range<Offset>,
    epochs: Arc<EpochHistory>,
    pieces: VecDeque<Piece>,
    lost: Vec<Range<Offset>>,
    /// Where in the old file.
    lost_bytes: Vec<Range<u64>>,
    files: NewFiles,
    producers: ProducerTable,
}

/// A mended segment, verified, ready to take its place: [`crate::LogWork::Mend`].
#[derive(Debug)]
pub struct Mended {
    replaced: Option<Arc<Segment>>,
    offsets: Range<Offset>,
    lost: Vec<Range<Offset>>,
    /// Oldest first; none where everything could be read after all.
    files: Vec<NewFile>,
    aside: Option<KeptAside>,
    producers: ProducerTable,
}

impl LogView {
    /// Begins to mend the segment that holds `at`, which is known to be damaged: goes over all of it first. Blocking;
    /// `paced` hears of the bytes of each step and may take its time.
    ///
    /// # Errors
    /// As [`MendError`] tells.
    pub fn mend(&self, at: Offset, mut paced: impl FnMut(u64)) -> Result<Mending, MendError> {
        let state = self.shared.state.read().clone();
        let damage = damage::known(&state, at).ok_or(MendError::NotDamaged { at })?;
        let (replaced, offsets) = match segment_of(&state, at) {
            Ok(segment) if segment.is_active() => return Err(MendError::Active { at }),
            Ok(segment) => (Some(Arc::clone(segment)), segment.base..segment.end()),
            Err(gap) => (None, damage.start.max(state.start)..gap.end),
        };
        let pieces = match &replaced {
            Some(segment) => self.survey(&state.epochs, segment, &mut paced)?,
            None => VecDeque::from([Piece::Lost { offsets: offsets.clone(), positions: 0..0 }]),
        };
        let (mut lost, mut lost_bytes) = (Vec::new(), Vec::new());
        for piece in &pieces {
            if let Piece::Lost { offsets, positions } = piece {
                lost.push(offsets.clone());
                lost_bytes.push(positions.clone());
            }
        }
        let pieces = if lost.is_empty() { VecDeque::new() } else { pieces };
        let files = NewFiles::new(self, &offsets, replaced.as_ref(), !lost.is_empty())?;
        let (epochs, producers) = (Arc::clone(&state.epochs), ProducerTable::default());
        Ok(Mending {
            view: self.clone(),
            replaced,
            offsets,
            epochs,
            pieces,
            lost,
            lost_bytes,
            files,
            producers,
        })
    }

    /// What of `segment` can be kept, by positions in its file, and what cannot.
    fn survey(
        &self,
        epochs: &EpochHistory,
        segment: &Arc<Segment>,
        paced: &mut impl FnMut(u64),
    ) -> Result<VecDeque<Piece>, DiskError> {
        let whole = self.look_up(epochs, segment, segment.end(), |lookup| {
            let mut pieces = VecDeque::<Piece>::new();
            let mut survey = Survey::whole(lookup);
            while let Some(Found { offsets, positions, batch }) = survey.next()? {
                paced(positions.end - positions.start);
                let piece = match batch {
                    Some(_) => Piece::Kept { offsets, positions },
                    None => Piece::Lost { offsets, positions },
                };
                if !pieces.back_mut().is_some_and(|last| last.join(&piece)) {
                    pieces.push_back(piece);
                }
            }
            Ok(pieces)
        });
        match whole {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let offsets = segment.base..segment.end(); // its file is gone
                Ok(VecDeque::from([Piece::Lost { offsets, positions: 0..0 }]))
            }
            whole => whole,
        }
    }
}

impl Mending {
    /// The file that is damaged, or missing.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// All that is due from elsewhere, as it was when this began.
    #[must_use]
    pub fn lost(&self) -> &[Range<Offset>] {
        &self.lost
    }

    /// What is due next from elsewhere; `None` when nothing is. Copies what can be kept before it; blocking, `paced`
    /// as in [`LogView::mend`].
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn wanted(&mut self, mut paced: impl FnMut(u64)) -> Result<Option<Range<Offset>>, MendError> {
        while let Some(piece) = self.pieces.pop_front() {
            match piece {
                Piece::Kept { offsets, positions } => {
                    let segment = self.replaced.as_ref().expect("what is kept is kept of an old file");
                    let home = &self.view.shared.home;
                    let old = segment.opened(home.files(), home.open_files())?;
                    self.files.copy(&old.file, positions, offsets, &mut paced)?;
                }
                Piece::Lost { offsets, positions } => {
                    self.pieces.push_front(Piece::Lost { offsets: offsets.clone(), positions });
                    return Ok(Some(offsets));
                }
            }
        }
        Ok(None)
    }

    /// Takes whole batches from the start of what is due on, and answers what is due then. Blocking.
    ///
    /// # Errors
    /// When one is not what is due; nothing of `batches` is taken then.
    pub fn fill(&mut self, batches: Bytes) -> Result<(), MendError> {
        let Some(Piece::Lost { offsets: wanted, positions }) = self.pieces.front().cloned() else {
            return Ok(()); // nothing is due
        };
        let end = self.check(&batches, &wanted)?;
        self.files.append(&batches, wanted.start..end)?;
        for batch in Batches::new(batches, self.view.partition()) {
            let batch = batch.map_err(|misfit| MendError::Misfit { at: wanted.start, misfit })?;
            self.producers.apply(batch.header());
        }
        self.pieces.pop_front();
        if end < wanted.end {
            self.pieces.push_front(Piece::Lost { offsets: end..wanted.end, positions });
        }
        Ok(())
    }

    /// Where the batches end, each of which is the one that belongs there.
    fn check(&self, batches: &Bytes, wanted: &Range<Offset>) -> Result<Offset, MendError> {
        let mut due = wanted.start;
        for batch in Batches::new(batches.clone(), self.view.partition()) {
            let batch = batch.map_err(|misfit| MendError::Misfit { at: due, misfit })?;
            let offered = batch.base_offset()..batch.end_offset();
            let (epoch, expected) = (batch.leader_epoch(), self.epochs.epoch_at(due));
            let placed_well = offered.start == due && due < offered.end && offered.end <= wanted.end;
            if !placed_well || expected != Some(epoch) || batch.committed_below() > due {
                return Err(MendError::Foreign { offered, wanted: due..wanted.end, epoch, expected });
            }
            due = offered.end;
        }
        Ok(due)
    }

    /// Syncs what was written and verifies every batch in it. Blocking.
    ///
    /// # Errors
    /// As [`MendError`] tells.
    pub fn finish(mut self) -> Result<Mended, MendError> {
        if let Some(due) = self.wanted(|_| ())? {
            return Err(MendError::Unfinished(due));
        }
        let Self { view, replaced, offsets, epochs, lost, lost_bytes, files, producers, .. } = self;
        let files = files.finish(&view, &epochs, offsets.end)?;
        let aside = match &replaced {
            Some(old) if !files.is_empty() => KeptAside::copy_of(&view, old, &lost_bytes)?,
            _ => None,
        };
        Ok(Mended { replaced, offsets, lost, files, aside, producers })
    }
}
