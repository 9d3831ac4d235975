//! Opening a log: what was found is judged case by case, and what was not proven synced is written again.
//!
//! Let S be the highest of: the recovery point, the ends of sealed segments, and any `committed_below` found. Below
//! S a misfit is *damage*: nothing is cut, the file stays, the range is never served. From S on, the log ends at the
//! first misfit, whatever follows it; what is cut is kept aside (R9).
//!
//! Only the last segment is read, and of it only what lies above the recovery point; the rest was synced before the
//! next segment began. After a clean stop nothing is read at all.

mod cases;
mod found;
mod rewrite;
mod tail;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use parking_lot::RwLock;

pub use cases::{Finding, RecoveryCase};

use crate::ballast;
use crate::damage;
use crate::data_dir::DataDir;
use crate::env::Operation;
use crate::epochs::EpochHistory;
use crate::failure::LogFailure;
use crate::files::DiskError;
use crate::log::{Active, Log, SegmentLimits};
use crate::producer_files;
use crate::producers::ProducerTable;
use crate::recovery_points::RecoveryPoint;
use crate::segment::{Indexes, OpenSegment, SEGMENT_HEADER_BYTES, Segment};
use crate::view::{Shared, State};
use found::FoundFiles;
use tail::Tail;

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory is gone: lost, never empty (N14).
    #[error("the directory of partition {partition} is missing; the replica is lost, not empty")]
    Missing {
        /// The partition.
        partition: TopicPartition,
    },
    /// It exists already.
    #[error("partition {partition} has a directory already")]
    Exists {
        /// The partition.
        partition: TopicPartition,
    },
    /// A start-over that was under way could not be finished.
    #[error(transparent)]
    Failed(#[from] LogFailure),
    /// Stored bytes cannot be read, so nobody can say where the log ends.
    #[error(
        "{source}; partition {partition} was not opened, and nothing of it was cut. Check the disk. If these bytes are lost, stop the broker and move {} away: this replica then counts as lost and is filled again from the others", directory.display()
    )]
    Unreadable {
        /// The partition.
        partition: TopicPartition,
        /// Its directory.
        directory: PathBuf,
        /// Which bytes of which file, and what the disk said.
        source: DiskError,
    },
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl OpenError {
    fn reading(self, home: &DataDir, partition: TopicPartition) -> Self {
        match self {
            Self::Disk(source) if source.operation == Operation::Read => {
                Self::Unreadable { partition, directory: home.partition_path(partition), source }
            }
            other => other,
        }
    }
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Every case met, in the order met.
    pub findings: Vec<Finding>,
    /// First offset.
    pub start: Offset,
    /// Exclusive end: everything below is synced.
    pub end: Offset,
    /// The greatest committed end found.
    pub committed_end: Offset,
    /// Epoch of the last batch; 0 when there is none.
    pub last_epoch: LeaderEpoch,
    /// Damaged ranges, in order.
    pub damage: Vec<Range<Offset>>,
    /// Bytes read to find the end.
    pub scanned_bytes: u64,
    /// Bytes written again because nothing proved them synced.
    pub rewritten_bytes: u64,
}

impl RecoveryReport {
    /// Whether a case was met.
    #[must_use]
    pub fn met(&self, case: RecoveryCase) -> bool {
        self.findings.iter().any(|finding| finding.case == case)
    }

    fn note(&mut self, case: RecoveryCase, detail: impl Into<String>) {
        self.findings.push(Finding { case, detail: detail.into() });
    }
}

impl Log {
    /// Makes the directory of a new, empty partition; durable when this returns.
    ///
    /// # Errors
    /// [`OpenError::Exists`], and whatever the disk says.
    pub fn create(home: &Arc<DataDir>, at: TopicPartition) -> Result<Self, OpenError> {
        let directory = home.partition_path(at);
        match home.files().list(&directory) {
            Ok(_) => return Err(OpenError::Exists { partition: at }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        home.files().create_dir_all(&directory)?;
        home.set_point(at, RecoveryPoint::default());
        home.note_opened(at);
        Ok(build(home, at, State::default(), Offset::ZERO))
    }

    /// Opens a partition's log after a start: recovers it, and rewrites what is not proven synced.
    ///
    /// # Errors
    /// As [`OpenError`] tells. Damage is no error: it is reported, and the rest is served (D13).
    pub fn open(home: &Arc<DataDir>, at: TopicPartition) -> Result<(Self, RecoveryReport), OpenError> {
        let is_full = |error: &OpenError| matches!(error, OpenError::Disk(error) if error.is_full());
        let opened = ballast::or_without(home, is_full, || Self::open_found(home, at));
        opened.map_err(|error| error.reading(home, at))
    }

    fn open_found(home: &Arc<DataDir>, at: TopicPartition) -> Result<(Self, RecoveryReport), OpenError> {
        home.write_refused_points()?;
        let mut report = RecoveryReport::default();
        let directory = home.partition_path(at);
        let point = home.point(at);
        if point.is_none() {
            report.note(RecoveryCase::PointMissing, "the log is scanned from its last segment's start");
        }
        let has_point = point.is_some();
        let point = point.unwrap_or_default();
        let mut found = match FoundFiles::list(home, &directory, &mut report) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { partition: at });
            }
            result => result?,
        };
        if let Some(over) = point.starting_over {
            return Self::finish_interrupted_start_over(home, at, &found, over, report);
        }
        found.drop_below(home, point.start, &mut report)?;
        if let Some(to) = point.cutting {
            found.drop_beyond(home, at, to, &mut report)?;
        }
        let stored_epochs = found::read_epochs(home, &directory, &mut report)?;
        let mut log = build(home, at, State::default(), Offset::ZERO);
        log.recover(&found, &point, has_point, stored_epochs, &mut report)?;
        home.set_point(at, log.recovery_point());
        report.summarise(&log);
        if log.recovery_point().damage != point.damage || point.cutting.is_some() {
            // Later starts read less and must still know; and a cut must be over before anything is appended.
            home.write_points()?;
        }
        Ok((log, report))
    }

    fn finish_interrupted_start_over(
        home: &Arc<DataDir>,
        at: TopicPartition,
        found: &FoundFiles,
        over: Offset,
        mut report: RecoveryReport,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        report.note(RecoveryCase::StartOverFinished, format!("at offset {over}"));
        let directory = home.partition_path(at);
        let segments = found.bases.iter().map(|base| Segment::sealed(&directory, *base, *base)).collect();
        let mut log = build(home, at, State { segments, ..State::default() }, Offset::ZERO);
        // Stored before the recovery point said that the step is under way.
        let table = producer_files::of_start_over(home, &directory, over)?;
        log.finish_start_over(over, table)?;
        // Before anything is appended: the next start would take that for leftovers, too.
        home.set_point(at, log.recovery_point());
        home.write_points()?;
        report.summarise(&log);
        Ok((log, report))
    }

    fn recover(
        &mut self,
        found: &FoundFiles,
        point: &RecoveryPoint,
        has_point: bool,
        stored_epochs: Option<EpochHistory>,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let first = self.home.note_opened(self.at);
        let promised = has_point && point.cutting.is_none() && self.home.found().is_clean(self.at);
        let clean = first && promised;
        let mut damage = point.damage.clone();
        let start = match found.bases.first() {
            // Retention notes a new start before it removes files, so nobody here removed these.
            Some(first) if has_point && point.start < *first => {
                report.note(RecoveryCase::SegmentMissing, format!("offsets {}..{first}", point.start));
                damage::add(&mut damage, point.start..*first);
                point.start
            }
            Some(first) => point.start.max(*first),
            None => point.start,
        };
        // The epochs of a batch are stored before it is published, so whatever its point says is synced proves them.
        let begun = |epochs: &EpochHistory| epochs.last().map_or(Offset::ZERO, |last| last.start);
        let epochs_proven = has_point
            && point.cutting.is_none()
            && stored_epochs.as_ref().is_some_and(|epochs| begun(epochs) < point.synced_end);
        let sealed = found.sealed(&self.directory);
        let epochs = match stored_epochs {
            Some(epochs) => epochs,
            None => {
                // The last segment, too: its scan begins at the recovery point, or not at all after a clean stop.
                let last =
                    found.bases.last().map(|base| Segment::sealed(&self.directory, *base, Offset(u64::MAX)));
                let all: Vec<_> = sealed.iter().cloned().chain(last).collect();
                found::rebuild_epochs(&self.home, self.at, &all, report)?
            }
        };
        {
            let mut state = self.shared.state.write();
            state.segments = sealed;
            state.start = start;
        }
        let tail = match found.bases.last() {
            Some(&base) => {
                Some(Tail::read(&self.home, self.at, &self.directory, base, point, &epochs, clean, report)?)
            }
            None => {
                report.note(RecoveryCase::Empty, "no segment");
                None
            }
        };
        self.epochs = epochs;
        self.committed_end = point.committed_end.max(self.committed_below_sealed(point.synced_end)?);
        match tail {
            None => {
                if point.synced_end > start {
                    let range = start..point.synced_end;
                    report.note(
                        RecoveryCase::SegmentMissing,
                        format!("offsets {}..{}", range.start, range.end),
                    );
                    damage::add(&mut damage, range);
                }
                self.set_end(point.synced_end.max(start), damage);
                self.epochs_unstored = self.epochs.cut(self.written_end);
            }
            Some(tail) => self.take_tail(tail, damage, clean, report)?,
        }
        self.epochs_unstored |= !clean && !epochs_proven && !self.epochs.entries().is_empty();
        self.finish_small_files(clean, has_point)?;
        if point.cutting.is_some() && self.active.is_none() {
            self.start_empty_segment()?; // the last file may hold what was to be forgotten
        }
        Ok(())
    }

    fn take_tail(
        &mut self,
        mut tail: Tail,
        mut damage: Vec<(Offset, Offset)>,
        clean: bool,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        report.scanned_bytes += tail.scanned_bytes;
        for range in &tail.damage {
            damage::add(&mut damage, range.clone());
        }
        self.committed_end = self.committed_end.max(tail.committed_below).min(tail.end);
        self.epochs_unstored = self.epochs.entries() != tail.epochs.entries();
        self.epochs = tail.epochs.clone();
        let placed = rewrite::settle_tail(self, &mut tail, clean, report)?;
        let mut state = self.shared.state.write();
        state.segments.extend(placed.segments);
        drop(state);
        self.active = placed.active;
        self.note_growth();
        self.set_end(tail.end, damage);
        Ok(())
    }

    /// What the last sealed segment says was committed, if the recovery point was not written after it was sealed. It
    /// says the most of all: `committed_below` never falls from batch to batch.
    fn committed_below_sealed(&self, synced_end: Offset) -> Result<Offset, DiskError> {
        let mut committed_below = Offset::ZERO;
        let last = self.shared.state.read().segments.last().cloned();
        if let Some(last) = last.filter(|last| last.end() > synced_end) {
            self.view().each_batch(synced_end.max(last.base), last.end(), |header| {
                committed_below = committed_below.max(header.committed_below);
            })?;
        }
        Ok(committed_below)
    }

    fn set_end(&mut self, end: Offset, damage: Vec<(Offset, Offset)>) {
        (self.written_end, self.staged_end) = (end, end);
        let mut state = self.shared.state.write();
        let start = state.start;
        (state.written_end, state.durable_end) = (end, end);
        state.epochs = Arc::new(self.epochs.clone());
        state.damage = damage.into_iter().filter(|(_, damage_end)| *damage_end > start).collect();
    }

    /// Reading a small file proves nothing after an unclean stop: what no recovery point proves is written again.
    /// Snapshots below the first segment's base were stored before the point that gave up what they stand for; the
    /// others are only worth a look once retention relies on them, and are written again then.
    fn finish_small_files(&mut self, clean: bool, has_point: bool) -> Result<(), DiskError> {
        self.store_epochs()?;
        producer_files::remove_beyond(self.home.files(), &self.directory, self.written_end)?;
        self.snapshots_unproven_end = if clean { Offset::ZERO } else { self.written_end.plus(1) };
        if !clean && !has_point {
            producer_files::rewrite_all(&self.home, &self.directory)?;
        }
        let (producers, whole) =
            producer_files::load(&self.view(), &self.directory, &self.home, self.written_end)?;
        (self.producers, self.producers_incomplete) = (producers, !whole);
        Ok(())
    }
}

impl RecoveryReport {
    fn summarise(&mut self, log: &Log) {
        let state = log.shared.state.read();
        self.start = state.start;
        self.end = log.written_end;
        self.committed_end = log.committed_end;
        self.last_epoch = log.epochs.last_epoch();
        self.damage = state.damage.iter().map(|&(start, end)| start..end).collect();
        if self.findings.is_empty() {
            let clean = log.home.found().is_clean(log.at);
            let case = if clean { RecoveryCase::Clean } else { RecoveryCase::Whole };
            self.note(case, "");
        }
    }
}

/// The tail's place after it was settled.
pub(super) struct Placed {
    segments: Vec<Arc<Segment>>,
    active: Option<Active>,
}

fn active_at(
    log: &Log,
    base: Offset,
    end: Offset,
    file: crate::files::StoredFile,
    position: u64,
    indexes: Indexes,
) -> Result<Active, DiskError> {
    let allocated = file.len()?.max(SEGMENT_HEADER_BYTES);
    let open = OpenSegment::new(file, position, indexes);
    let segment = Segment::active(&log.directory, base, end, Arc::clone(&open));
    Ok(Active { segment, open, position, allocated, first_append_ms: None, last_append_ms: 0 })
}

fn build(home: &Arc<DataDir>, at: TopicPartition, state: State, end: Offset) -> Log {
    Log {
        at,
        directory: home.partition_path(at),
        home: Arc::clone(home),
        shared: Arc::new(Shared {
            at,
            home: Arc::clone(home),
            state: RwLock::new(state),
            damage_changes: AtomicU64::new(0),
        }),
        active: None,
        staged: Vec::new(),
        staged_end: end,
        staged_bytes: 0,
        written_end: end,
        committed_end: Offset::ZERO,
        epochs: EpochHistory::default(),
        epochs_unstored: false,
        producers: ProducerTable::default(),
        producers_incomplete: false,
        unsynced: false,
        failed: false,
        limits: SegmentLimits::of(home.config()),
        growth_noted: 0,
        snapshots_unproven_end: Offset::ZERO,
    }
}
