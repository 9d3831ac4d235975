//! Reading the last segment: where the log ends, what is damaged, what is torn.

use std::ops::Range;
use std::path::Path;

use fidelog_record::types::{Offset, TopicPartition};

use super::{RecoveryCase, RecoveryReport};
use crate::data_dir::DataDir;
use crate::env::planted::{Planted, is_planted};
use crate::epochs::EpochHistory;
use crate::files::{DiskError, StoredFile};
use crate::recovery_points::RecoveryPoint;
use crate::scan::{Belief, Scan};
use crate::segment::{Indexes, SEGMENT_HEADER_BYTES, SegmentFiles, SegmentHeader, SegmentHeaderMisfit};

/// What the last segment's file holds.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) base: Offset,
    pub(super) names: SegmentFiles,
    pub(super) file: StoredFile,
    pub(super) header: SegmentHeader,
    pub(super) header_fits: bool,
    /// Where the scan began: everything before was proven synced.
    pub(super) scanned_from: Offset,
    pub(super) scanned_from_position: u64,
    /// Whether that was where the recovery point says, so that everything before was synced, the header included.
    pub(super) from_point: bool,
    /// Where the log ends.
    pub(super) end: Offset,
    /// Behind the last batch that counts.
    pub(super) end_position: u64,
    /// Behind the last byte that is not zero, at least `end_position`; beyond `end_position` when there is a torn tail.
    pub(super) used_position: u64,
    pub(super) damage: Vec<Range<Offset>>,
    /// The greatest `committed_below` of a batch that counts.
    pub(super) committed_below: Offset,
    pub(super) epochs: EpochHistory,
    pub(super) indexes: Indexes,
    pub(super) scanned_bytes: u64,
}

impl Tail {
    #[expect(clippy::too_many_arguments, reason = "one call; each names a different thing that was found")]
    pub(super) fn read(
        home: &DataDir,
        at: TopicPartition,
        directory: &Path,
        base: Offset,
        point: &RecoveryPoint,
        stored_epochs: &EpochHistory,
        clean: bool,
        report: &mut RecoveryReport,
    ) -> Result<Self, DiskError> {
        let names = SegmentFiles::new(directory, base);
        let file = home.files().open_write(&names.log)?;
        let file_bytes = file.len()?;
        let header = SegmentHeader { cluster: home.cluster_id(), partition: at, base };
        let header_fits = check_header(&file, file_bytes, header, report)?;
        let (scanned_from, position, from_point) = scan_start(base, point, file_bytes, report);
        let mut tail = Self {
            base,
            header,
            header_fits,
            scanned_from,
            scanned_from_position: position,
            from_point,
            end: scanned_from,
            end_position: position,
            used_position: position,
            damage: Vec::new(),
            committed_below: Offset::ZERO,
            epochs: stored_epochs.clone(),
            indexes: Indexes::load(home.files(), &names, base, scanned_from),
            scanned_bytes: 0,
            names,
            file,
        };
        tail.epochs.cut(scanned_from);
        let file = tail.file.clone();
        let mut scan = Scan::new(&file, at, file_bytes);
        tail.complete_times(&mut scan)?;
        if clean && header_fits && scanned_from == point.synced_end {
            return Ok(tail);
        }
        // A cut that was under way bounds everything, S included.
        let bound = point.cutting.unwrap_or(Offset(u64::MAX));
        let synced_end = point.synced_end.max(base).min(bound);
        tail.follow(&mut scan, synced_end, bound, stored_epochs, home.config().index_every_bytes, report)?;
        // Damage up to the end leaves nothing behind it that could be called torn.
        let damaged_to_the_end = tail.damage.last().is_some_and(|range| range.end == tail.end);
        tail.used_position = match damaged_to_the_end {
            true => tail.end_position,
            false => scan.last_nonzero_end(tail.end_position)?,
        };
        tail.scanned_bytes = file_bytes.saturating_sub(tail.scanned_from_position).max(1);
        Ok(tail)
    }

    /// Follows the batches to where the log ends. `synced_end` is S; batches may raise it.
    fn follow(
        &mut self,
        scan: &mut Scan,
        synced_end: Offset,
        bound: Offset,
        stored_epochs: &EpochHistory,
        every_bytes: u64,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        let mut synced_end = synced_end;
        while self.end < bound {
            let misfit = match scan.batch(self.end_position)? {
                Ok(batch) if batch.base_offset != self.end => {
                    format!("a batch begins at {}", batch.base_offset)
                }
                Ok(batch) => match self.epochs.append(batch.leader_epoch, batch.base_offset) {
                    Ok(_) => {
                        self.indexes.note(&batch, self.end_position, every_bytes);
                        self.committed_below = self.committed_below.max(batch.committed_below);
                        synced_end = synced_end.max(batch.committed_below).min(bound);
                        self.end = batch.end_offset;
                        self.end_position += u64::from(batch.length);
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(misfit) => misfit.to_string(),
            };
            let epochs = self.epochs.clone();
            let epochs = Some([stored_epochs, &epochs]);
            let belief = Belief { beyond: self.end, end: Offset(u64::MAX), epochs };
            let found = scan.search_all(self.end_position + 1, &belief)?;
            synced_end = synced_end.max(found.committed_below).min(bound);
            let torn = self.end >= synced_end && !is_planted(Planted::TornTailTakenForDamage);
            if torn || is_planted(Planted::DamageTakenForTornTail) {
                return Ok(()); // the log ends here, whatever follows
            }
            if is_planted(Planted::TornTailTakenForDamage) {
                synced_end = found.first.map_or(synced_end.max(self.end), |head| synced_end.max(head.base));
                if found.first.is_none() && self.end >= synced_end {
                    return Ok(());
                }
            }
            let resumes = found.first.filter(|head| head.base <= synced_end);
            let damage = self.end..resumes.map_or(synced_end, |head| head.base);
            let detail = format!("offsets {}..{}: {misfit}", damage.start, damage.end);
            report.note(RecoveryCase::Damage, detail);
            self.end = damage.end;
            // What is damaged was placed under these all the same: whoever reconciles or mends goes by them.
            for begun in stored_epochs.entries().iter().filter(|begun| damage.contains(&begun.start)) {
                if let Err(error) = self.epochs.append(begun.epoch, begun.start) {
                    tracing::debug!(%error, "an epoch that began in a damaged range is not known any more");
                }
            }
            self.damage.push(damage);
            match resumes {
                Some(head) => self.end_position = head.position,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The stored time index says nothing of the batches behind its last entry; looks them up, so that entries to
    /// come do not claim too little.
    fn complete_times(&mut self, scan: &mut Scan) -> Result<(), DiskError> {
        let told = self.indexes.times.entries().last().map_or(self.base, |last| last.offset);
        let nearest = self.indexes.offsets.floor(told).map(|entry| (entry.position, entry.offset));
        let (mut position, mut offset) = nearest.unwrap_or((SEGMENT_HEADER_BYTES, self.base));
        while offset < self.scanned_from {
            match scan.batch(position)? {
                Ok(batch) if batch.base_offset == offset => {
                    if offset >= told {
                        self.indexes.raise_max_timestamp(batch.max_timestamp_ms);
                    }
                    (position, offset) = (position + u64::from(batch.length), batch.end_offset);
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

fn check_header(
    file: &StoredFile,
    file_bytes: u64,
    header: SegmentHeader,
    report: &mut RecoveryReport,
) -> Result<bool, DiskError> {
    let raw = file.read(0, file_bytes.min(SEGMENT_HEADER_BYTES))?;
    let Err(misfit) = header.verify(&raw) else { return Ok(true) };
    let case = match misfit {
        _ if raw.iter().all(|&byte| byte == 0) => RecoveryCase::SegmentUnused,
        SegmentHeaderMisfit::Foreign(_) => RecoveryCase::HeaderForeign,
        _ => RecoveryCase::HeaderDamaged,
    };
    report.note(case, format!("segment {}: {misfit}", header.base));
    Ok(false)
}

/// Where to begin: at the recovery point if it lies in this segment, else at the segment's start.
fn scan_start(
    base: Offset,
    point: &RecoveryPoint,
    file_bytes: u64,
    report: &mut RecoveryReport,
) -> (Offset, u64, bool) {
    let whole = (base, SEGMENT_HEADER_BYTES, false);
    if point.segment_base != base || point.position == 0 {
        return whole;
    }
    let in_file = (SEGMENT_HEADER_BYTES..=file_bytes).contains(&point.position);
    if !in_file || point.synced_end < base {
        let detail =
            format!("position {} of {file_bytes} bytes, offset {}", point.position, point.synced_end);
        report.note(RecoveryCase::PointMisfit, detail);
        return whole;
    }
    (point.synced_end, point.position, point.cutting.is_none())
}
