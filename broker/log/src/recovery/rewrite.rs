//! Making the tail count: after an unclean stop, reading it back proves nothing (R3), so it is written again.
//!
//! ```text
//!  before   <base>.log  | header | proven synced | tail | torn bytes | zeros
//!  after    <base>.log  | header | proven synced |  (whatever follows is beyond the segment's end)
//!           <tail>.log  | header | tail |                   copied, synced, renamed into place
//! ```
//!
//! Without room for the copy the same bytes are written in place, which makes them dirty again: sound while the disk
//! writes sectors whole. Torn bytes are kept aside first; a file that holds some is never appended to again.

use std::io::IoSlice;
use std::sync::Arc;

use fidelog_record::types::Offset;

use super::tail::Tail;
use super::{Placed, RecoveryCase, RecoveryReport, active_at};
use crate::files::{DiskError, StoredFile};
use crate::log::{Active, Log};
use crate::scan::Scan;
use crate::segment::{Indexes, SEGMENT_HEADER_BYTES, Segment, SegmentFiles, SegmentHeader};
use crate::small_file::unfinished_path;

/// Decides what becomes of the last segment, and does it.
pub(super) fn settle_tail(
    log: &Log,
    tail: &mut Tail,
    clean: bool,
    report: &mut RecoveryReport,
) -> Result<Placed, DiskError> {
    let torn_bytes = tail.used_position - tail.end_position;
    let tail_bytes = tail.end_position - tail.scanned_from_position;
    if !tail.header_fits && tail.end == tail.base {
        // Nothing of the log is in it. It stays, as a segment without records, until the next one replaces it: the
        // file before it may hold bytes that were cut, and must not become the last one again.
        keep_aside(log, tail, 0)?;
        return Ok(Placed { segments: vec![sealed(log, tail, tail.end)], active: None });
    }
    if torn_bytes > 0 {
        let detail = format!("{torn_bytes} bytes behind offset {} in segment {}", tail.end, tail.base);
        report.note(RecoveryCase::TornTail, detail);
        keep_aside(log, tail, tail.end_position)?;
    }
    if clean && tail.scanned_bytes == 0 {
        return active(log, tail);
    }
    let nothing_new = tail_bytes == 0 && torn_bytes == 0 && tail.from_point;
    if nothing_new && tail.header_fits && tail.damage.is_empty() {
        // All of it was synced before the recovery point said so: nothing was read that needs proof.
        if tail.indexes.stored_beyond() {
            forget_hints(log, tail)?;
        }
        return active(log, tail);
    }
    forget_hints(log, tail)?;
    if !tail.header_fits || !tail.damage.is_empty() {
        rewrite_in_place(tail, report)?;
        return Ok(Placed { segments: vec![sealed(log, tail, tail.end)], active: None });
    }
    // No recovery point speaks of this file: if the last process could not sync its name, only a new one is sure to
    // get it to the disk. That goes for a file without a batch, too.
    let name_unproven = tail.scanned_from == tail.base;
    if (tail_bytes > 0 || name_unproven)
        && let Some(placed) = copy_tail(log, tail, report)?
    {
        return Ok(placed);
    }
    rewrite_in_place(tail, report)?;
    log.home.files().sync_dir(&log.directory)?;
    if torn_bytes == 0 {
        return active(log, tail);
    }
    Ok(Placed { segments: vec![sealed(log, tail, tail.end)], active: None })
}

fn keep_aside(log: &Log, tail: &Tail, from: u64) -> Result<(), DiskError> {
    let range = from..tail.used_position.min(tail.file.len()?);
    if range.is_empty() {
        return Ok(());
    }
    log.home.aside().keep_copy(log.home.files(), &tail.file, range, log.at, tail.end, "torn")
}

fn sealed(log: &Log, tail: &Tail, end: Offset) -> Arc<Segment> {
    Segment::sealed(&log.directory, tail.base, end)
}

/// Goes on writing to the file that was found.
fn active(log: &Log, tail: &mut Tail) -> Result<Placed, DiskError> {
    let indexes = std::mem::take(&mut tail.indexes);
    let active = active_at(log, tail.base, tail.end, tail.file.clone(), tail.end_position, indexes)?;
    Ok(placed_active(Vec::new(), active))
}

fn placed_active(mut segments: Vec<Arc<Segment>>, active: Active) -> Placed {
    segments.push(Arc::clone(&active.segment));
    Placed { segments, active: Some(active) }
}

/// Hints may tell of batches that are gone; they are stored afresh when the segment is sealed.
fn forget_hints(log: &Log, tail: &mut Tail) -> Result<(), DiskError> {
    tail.indexes.forget_stored();
    log.home.files().remove_if_present(&tail.names.index)?;
    log.home.files().remove_if_present(&tail.names.time)?;
    Ok(())
}

fn rewrite_in_place(tail: &Tail, report: &mut RecoveryReport) -> Result<(), DiskError> {
    let (from, to) = (tail.scanned_from_position, tail.end_position);
    if tail.header_fits && from == SEGMENT_HEADER_BYTES {
        tail.file.write(&[IoSlice::new(&tail.header.to_bytes())], 0)?;
    }
    tail.file.copy_from(&tail.file, from..to, from)?;
    tail.file.sync()?;
    if to > from {
        report.note(RecoveryCase::TailRewritten, format!("{} bytes of segment {}", to - from, tail.base));
        report.rewritten_bytes += to - from;
    }
    Ok(())
}

/// Copies the tail into a segment of its own; `None` when there is no room. Once the copy has taken its name there is no
/// way back to the file that was found: it may have lost its own.
fn copy_tail(log: &Log, tail: &Tail, report: &mut RecoveryReport) -> Result<Option<Placed>, DiskError> {
    let files = log.home.files();
    let base = tail.scanned_from;
    let bytes = tail.end_position - tail.scanned_from_position;
    let names = SegmentFiles::new(&log.directory, base);
    let unfinished = unfinished_path(&names.log);
    let header = SegmentHeader { base, ..tail.header };
    let copied = || -> Result<StoredFile, DiskError> {
        files.remove_if_present(&unfinished)?;
        if base > tail.base {
            // An earlier segment of that base may have left its hints; what is written over them is not synced.
            files.remove_if_present(&names.index)?;
            files.remove_if_present(&names.time)?;
        }
        let file = files.create(&unfinished)?;
        file.allocate(0..SEGMENT_HEADER_BYTES + bytes)?;
        file.write(&[IoSlice::new(&header.to_bytes())], 0)?;
        file.copy_from(&tail.file, tail.scanned_from_position..tail.end_position, SEGMENT_HEADER_BYTES)?;
        file.sync()?;
        Ok(file)
    };
    let file = match copied() {
        Ok(file) => file.renamed(&names.log),
        Err(error) => {
            if log.home.latched().is_none() {
                files.remove_if_present(&unfinished)?;
                if error.is_full() {
                    return Ok(None);
                }
            }
            return Err(error);
        }
    };
    files.rename(&unfinished, &names.log)?;
    files.sync_dir(&log.directory)?;
    if bytes > 0 {
        report.note(RecoveryCase::TailCopied, format!("{bytes} bytes into segment {base}"));
    }
    report.rewritten_bytes += bytes;
    let indexes = index_of(log, &file, base, tail.end)?;
    let active = active_at(log, base, tail.end, file, SEGMENT_HEADER_BYTES + bytes, indexes)?;
    let before = if base > tail.base { vec![sealed(log, tail, base)] } else { Vec::new() };
    Ok(Some(placed_active(before, active)))
}

fn index_of(log: &Log, file: &StoredFile, base: Offset, end: Offset) -> Result<Indexes, DiskError> {
    let mut indexes = Indexes::default();
    let mut scan = Scan::new(file, log.at, file.len()?);
    let (mut position, mut offset) = (SEGMENT_HEADER_BYTES, base);
    while offset < end {
        let Ok(batch) = scan.batch(position)? else { break };
        indexes.note(&batch, position, log.home.config().index_every_bytes);
        (position, offset) = (position + u64::from(batch.length), batch.end_offset);
    }
    Ok(indexes)
}
