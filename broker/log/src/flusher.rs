//! The one writer of a data directory: takes all that waits, writes it, syncs once per file, then says so.
//!
//! ```text
//!  submit ... submit        flush_once, on a thread of the node
//!     |  queue  | ------> take all -> stage, secure, steps -> write -> ONE group of syncs -> publish -> events
//! ```
//!
//! Always true: the work of one log is done in the order it was submitted; nothing is published before every sync of
//! the flush has returned well; a failed one publishes nothing and latches the data directory, and every log of it
//! hears `failed`. The flusher has no thread, no timer of its own, and no bound: the partitions bound what they
//! submit by the bytes they hold.
//!
//! Events are called on the thread that flushes, without the queue's lock: they may submit, and must be quick.

mod many;
mod round;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fidelog_record::PlacedBatch;
use fidelog_record::types::{Offset, TopicPartition};
use parking_lot::{Condvar, Mutex};

use crate::data_dir::DataDir;
use crate::env::{LatchReason, Moment};
use crate::failure::{LogFailure, SecureError};
use crate::files::DiskError;
use crate::log::Log;
use crate::mend::{MendAnswer, Mended};
use crate::producers::ProducerTable;
use crate::steps::CutDone;
use crate::view::LogView;

/// Something to be done to one log.
#[derive(Debug)]
pub enum LogWork {
    /// Append batches, contiguous with those submitted last, into room that was secured.
    Append(Vec<PlacedBatch>),
    /// Have room for at least this many bytes behind everything submitted so far; may start a new segment.
    Secure {
        /// Bytes of whole batches.
        bytes: u64,
    },
    /// Start a new segment with at least the room there is, so that the present one can be given up by its age. An
    /// idle log does not roll by itself: whoever looks after retention submits this when the active segment has
    /// records and is older than `segment_ms`, or than records are kept ([`Retention::roll_is_due`]). On every
    /// replica, by its own segments: a follower gives up files only as its own segments allow. A segment without
    /// records stays.
    ///
    /// [`Retention::roll_is_due`]: crate::Retention::roll_is_due
    Roll,
    /// Take the topic's own limits of a segment from now on, instead of [`LogConfig`](crate::LogConfig)'s; they last
    /// until the log is let go of. Values out of range are brought into it. No answer.
    Configure {
        /// As [`LogConfig::segment_bytes`](crate::LogConfig::segment_bytes).
        segment_bytes: u64,
        /// As [`LogConfig::segment_ms`](crate::LogConfig::segment_ms).
        segment_ms: u64,
    },
    /// Forget everything from `to` on, as one durable step; also what makes a failed log usable again.
    Cut {
        /// Where the log shall end; rounded down to where a batch begins, but not within damage.
        to: Offset,
        /// What is committed: a cut below is refused.
        committed_end: Offset,
        /// From here on committed records may be cut all the same: an operator's recovery permitted it (N5).
        permitted: Option<Offset>,
    },
    /// Forget everything, as one durable step: the log is empty and begins at `at`.
    StartOver {
        /// The first offset to come.
        at: Offset,
        /// What is remembered of producers below `at`.
        producers: ProducerTable,
    },
    /// Give up records below `to`, as the leader decided; bounded by what is committed here.
    AdvanceStart {
        /// The new first offset.
        to: Offset,
    },
    /// Everything below `end` is committed; kept with the recovery points.
    Committed {
        /// Exclusive.
        end: Offset,
    },
    /// Put a mended segment in the place of the damaged one, as one durable step.
    Mend {
        /// The segment.
        mended: Box<Mended>,
        /// Who hears of it.
        answer: MendAnswer,
    },
    /// Sync everything, and let go of the log. Answered by `closed`, whatever comes of it.
    Close,
    /// Remove the log with all its files (N14): a committed delete, or a committed removal of this replica. Answered
    /// by `closed`. From here on the log takes nothing else; refused, it stays, to be asked for again.
    Delete,
}

/// Room for batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of batches that may follow.
    pub bytes: u64,
    /// Behind the batch that ends here; subtract what was submitted beyond it.
    pub after: Offset,
}

/// When a flush did what; for latency metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushTiming {
    /// The work was taken from the queue.
    pub taken: Moment,
    /// Everything was written.
    pub written: Moment,
    /// All syncs had returned.
    pub synced: Moment,
}

/// What a partition hears. Called on the flushing thread; must not block, may submit.
pub trait LogEvents: Send + Sync {
    /// Answers [`LogWork::Secure`] and [`LogWork::Roll`], in order.
    fn secured(&self, room: Result<Room, SecureError>);
    /// Everything below `durable_end` is synced.
    fn durable(&self, durable_end: Offset, timing: FlushTiming);
    /// Answers [`LogWork::Cut`] and [`LogWork::StartOver`]; it is durable.
    fn cut(&self, done: CutDone);
    /// The first offset moved; it is durable.
    fn started(&self, start: Offset);
    /// The log takes no more appends, or refused a cut. Batches placed and not durable are unknown (N16).
    fn failed(&self, failure: &LogFailure);
    /// Answers [`LogWork::Close`] and [`LogWork::Delete`], also where nothing was left to do. After `Ok` nothing more
    /// is heard. An error of a delete means that the log is still there, or a part of it; of a close, that it was let
    /// go of without everything being synced.
    fn closed(&self, ended: Result<(), LogFailure>);
}

/// What one flush did.
#[derive(Clone, Debug)]
pub enum FlushOutcome {
    /// Nothing was waiting.
    Idle,
    /// Work was done.
    Flushed(FlushCounts),
    /// Nothing is written any more (R1): the broker gives up its leaderships, says why, and stops.
    Latched(Arc<LatchReason>),
}

/// How much one flush did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushCounts {
    /// Items of work.
    pub works: usize,
    /// Batches written.
    pub batches: usize,
    /// Bytes of batches written.
    pub bytes: u64,
    /// Files synced together at the end.
    pub syncs: usize,
}

/// A log that was handed to a flusher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHandle {
    partition: TopicPartition,
    view: LogView,
    /// Who hears of its end, also when the log is not attached any more. Weak: whoever hears holds the handle.
    events: Weak<dyn LogEvents>,
}

impl LogHandle {
    /// The partition.
    #[must_use]
    pub fn partition(&self) -> TopicPartition {
        self.partition
    }

    /// To read.
    #[must_use]
    pub fn view(&self) -> &LogView {
        &self.view
    }
}

enum Queued {
    Attach(Box<Log>, Arc<dyn LogEvents>),
    Work(TopicPartition, LogWork, Weak<dyn LogEvents>),
}

/// The flusher of one data directory. Any thread submits; one thread at a time flushes.
pub struct Flusher {
    home: Arc<DataDir>,
    queue: Mutex<VecDeque<Queued>>,
    waiting: Condvar,
    owned: Mutex<Owned>,
}

/// What the flushing thread owns.
struct Owned {
    /// In order, so that one seed gives one sequence of disk calls.
    logs: BTreeMap<TopicPartition, Attached>,
    points: PointsDue,
    latch_told: bool,
}

struct Attached {
    log: Log,
    events: Arc<dyn LogEvents>,
}

/// When `recovery-points` is to be written next.
#[derive(Default)]
struct PointsDue {
    dirty: bool,
    bytes: u64,
    rolled: bool,
    written_at: Moment,
}

impl Flusher {
    /// A flusher without logs.
    #[must_use]
    pub fn new(home: Arc<DataDir>) -> Self {
        let points = PointsDue { written_at: home.clock().now(), ..PointsDue::default() };
        let owned = Owned { logs: BTreeMap::new(), points, latch_told: false };
        Self { home, queue: Mutex::default(), waiting: Condvar::new(), owned: Mutex::new(owned) }
    }

    /// Takes over a log; `events` hears of it. Work may be submitted at once.
    pub fn attach(&self, log: Log, events: Arc<dyn LogEvents>) -> LogHandle {
        let listener = Arc::downgrade(&events);
        let handle = LogHandle { partition: log.partition(), view: log.view(), events: listener };
        self.queue.lock().push_back(Queued::Attach(Box::new(log), events));
        self.wake();
        handle
    }

    /// Queues work; never waits for the disk. Of the work for a log that was closed only
    /// [`LogWork::Close`] and [`LogWork::Delete`] are answered, the rest is dropped.
    pub fn submit(&self, handle: &LogHandle, work: LogWork) {
        if self.submit_unwoken(handle, work) {
            self.wake();
        }
    }

    /// The same, for a caller who holds a lock that the woken thread may want: [`Self::wake`] is left to it when this
    /// says so.
    ///
    /// A committed end is only a note for the next recovery point: it waits for whatever comes next, or for the
    /// thread's own timeout, instead of waking it once more for every commit.
    #[must_use = "the flusher may wait"]
    pub fn submit_unwoken(&self, handle: &LogHandle, work: LogWork) -> bool {
        let due = !matches!(work, LogWork::Committed { .. });
        self.queue.lock().push_back(Queued::Work(handle.partition, work, handle.events.clone()));
        due
    }

    /// Wakes a [`Self::flush_once`] that waits, so that its thread can look at what it was told to do.
    pub fn wake(&self) {
        self.waiting.notify_all();
    }

    /// Does everything that waits; waits up to `wait` if nothing does. Zero never waits.
    pub fn flush_once(&self, wait: Duration) -> FlushOutcome {
        let works = self.take(wait);
        let mut owned = self.owned.lock();
        if let Some(reason) = owned.tell_latch(&self.home) {
            owned.refuse(works, &reason);
            return FlushOutcome::Latched(reason);
        }
        if works.is_empty() {
            let due = owned.write_points_if_due(&self.home);
            return match due {
                Ok(()) => FlushOutcome::Idle,
                Err(error) => {
                    owned.after_error(&self.home, &error).map_or(FlushOutcome::Idle, FlushOutcome::Latched)
                }
            };
        }
        round::Round::new(&self.home, &mut owned).run(works)
    }

    fn take(&self, wait: Duration) -> VecDeque<Queued> {
        let mut queue = self.queue.lock();
        if queue.is_empty() && !wait.is_zero() {
            self.waiting.wait_for(&mut queue, wait);
        }
        let capacity = queue.len(); // about as much comes next time
        std::mem::replace(&mut *queue, VecDeque::with_capacity(capacity))
    }

    /// A clean stop: does what waits, syncs all, stores what lets the next start read nothing, and says so in
    /// `clean-stop`; not when a log has failed, and tells whether it did. It speaks for the logs that ended soundly in
    /// this process, and for those that an earlier clean stop spoke for and nobody has opened since. Nothing may be
    /// submitted afterwards.
    ///
    /// # Errors
    /// Whatever the disk says; the next start is then an unclean one.
    pub fn shutdown(&self) -> Result<bool, LogFailure> {
        while !matches!(self.flush_once(Duration::ZERO), FlushOutcome::Idle) {
            if let Some(reason) = self.home.latched() {
                return Err(LogFailure::Latched(reason));
            }
        }
        let mut owned = self.owned.lock();
        let count = owned.logs.len();
        // The point of one that failed may say that a cut or a start-over is under way, and must go on saying so.
        let mut sound: Vec<_> = owned.logs.values_mut().filter(|attached| !attached.log.failed).collect();
        many::store_for_clean_stop(&self.home, &mut sound)?;
        let all_sound = sound.len() == count;
        for attached in sound {
            self.home.set_point(attached.log.at, attached.log.recovery_point());
            self.home.note_proven(attached.log.at);
        }
        self.home.write_points()?;
        if all_sound {
            self.home.mark_clean_stop()?;
        }
        owned.logs.clear();
        Ok(all_sound)
    }
}

impl Owned {
    /// Tells every log of a latch, once; its reason is the answer of every flush from then on.
    fn tell_latch(&mut self, home: &DataDir) -> Option<Arc<LatchReason>> {
        let reason = home.latched()?;
        if !self.latch_told {
            self.latch_told = true;
            let failure = LogFailure::Latched(Arc::clone(&reason));
            for attached in self.logs.values_mut() {
                attached.log.failed = true;
                attached.events.failed(&failure);
            }
        }
        Some(reason)
    }

    /// Answers what is not done any more. Appends were answered by `failed`.
    fn refuse(&mut self, works: VecDeque<Queued>, reason: &Arc<LatchReason>) {
        let failure = LogFailure::Latched(Arc::clone(reason));
        for item in works {
            match item {
                Queued::Attach(mut log, events) => {
                    log.failed = true;
                    events.failed(&failure);
                    self.logs.insert(log.at, Attached { log: *log, events });
                }
                Queued::Work(at, LogWork::Secure { .. } | LogWork::Roll, _) => {
                    if let Some(attached) = self.logs.get(&at) {
                        attached.events.secured(Err(SecureError::Failed));
                    }
                }
                Queued::Work(at, LogWork::Close, listener) => {
                    self.logs.remove(&at);
                    tell_closed(&listener, Err(failure.clone()));
                }
                Queued::Work(_, LogWork::Delete, listener) => tell_closed(&listener, Err(failure.clone())),
                Queued::Work(..) => {}
            }
        }
    }

    fn after_error(&mut self, home: &DataDir, error: &DiskError) -> Option<Arc<LatchReason>> {
        let reason = self.tell_latch(home);
        if reason.is_none() {
            tracing::warn!(%error, "recovery points were not written; the next start scans more");
        }
        reason
    }

    fn write_points_if_due(&mut self, home: &DataDir) -> Result<(), DiskError> {
        let now = home.clock().now();
        let config = home.config();
        let aged = now.since(self.points.written_at) >= config.recovery_point_every;
        let due = self.points.rolled || self.points.bytes >= config.recovery_point_bytes || aged;
        if !self.points.dirty || !due {
            return Ok(());
        }
        let mut changed = false;
        for attached in self.logs.values_mut().filter(|attached| !attached.log.failed) {
            let moved = home.set_point(attached.log.at, attached.log.recovery_point());
            if moved {
                attached.log.store_hints()?;
            }
            changed |= moved;
        }
        if changed {
            home.write_points()?;
        }
        self.points = PointsDue { written_at: now, ..PointsDue::default() };
        Ok(())
    }
}

/// Answers [`LogWork::Close`] or [`LogWork::Delete`], unless whoever asked is gone.
fn tell_closed(listener: &Weak<dyn LogEvents>, ended: Result<(), LogFailure>) {
    if let Some(events) = listener.upgrade() {
        events.closed(ended);
    }
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flusher").field("home", &self.home).finish_non_exhaustive()
    }
}
