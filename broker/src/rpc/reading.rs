//! Reading for fetches: the one place that decides where a read runs, and how much it may hold.
//!
//! Always true: what a read may return is paid for from the read budget before it begins; a disk is never waited for
//! on a worker that other connections share, unless what is read was placed so recently that it is in memory.

use std::sync::Arc;

use fidelog_proto::v1::{self, Reason, RecordFormat};
use fidelog_record::types::{LeaderEpoch, Offset};
use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::budget::Held;
use super::context::Context;
use super::expand::{Expanded, expand};
use super::mapping::read_failure;
use super::status::Failure;
use crate::partition::{Partition, Published, ReadAnswer};

/// Records from the committed end back that count as just written.
const RECENT_RECORDS: u64 = 256;
/// The most that is read, verified and copied where it was asked for, bytes.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) offset: Offset,
    pub(super) bytes_max: usize,
    pub(super) format: RecordFormat,
}

/// What a read found: where to go on, and what was committed when it began.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) response: v1::FetchResponse,
    /// What it holds of the read budget.
    pub(super) held: Held,
    /// What it spends of a credit.
    pub(super) bytes: usize,
}

/// The format a request asks for.
pub(super) fn format(number: i32) -> Result<RecordFormat, Failure> {
    RecordFormat::try_from(number).map_err(|_| {
        let message = format!("format is {number}; use 0 (batches) or 1 (records)");
        Failure::new(Reason::UnsupportedFormat, message).with("field", "format")
    })
}

/// Whether a leader may serve a reader that believes in `believed`.
///
/// # Errors
/// A failure that names the leader, or which of both epochs is behind.
pub(super) fn readable(
    context: &Context,
    partition: &Partition,
    published: &Published,
    believed: LeaderEpoch,
) -> Result<LeaderEpoch, Failure> {
    let at = partition.id();
    if let Some(problem) = &published.problem {
        let failure = context.led_elsewhere(at, published.leader, published.leader_epoch);
        return Err(failure.with("problem", problem));
    }
    let Some(epoch) = published.leading else {
        return Err(match published.leader {
            Some(leader) if leader == context.me => Failure::new(
                Reason::LeaderNotAvailable,
                format!(
                    "partition {}: its leader is still opening epoch {}; try again",
                    context.name_of(at),
                    published.leader_epoch
                ),
            ),
            leader => context.led_elsewhere(at, leader, published.leader_epoch),
        });
    };
    if believed != LeaderEpoch(0) && believed != epoch {
        let (reason, relation, remedy) = if believed < epoch {
            (Reason::FencedEpoch, "older", "refresh routes")
        } else {
            (Reason::UnknownEpoch, "newer", "try again")
        };
        let message = format!(
            "partition {}: leader_epoch {believed} is {relation} than {epoch}, the leader's; {remedy}",
            context.name_of(at)
        );
        return Err(Failure::new(reason, message).with("leader_epoch", epoch));
    }
    Ok(epoch)
}

/// Whether it makes sense to wait here for what is not committed yet.
///
/// # Errors
/// This broker has lost its session with the quorum: another may lead by now, and it would not hear of it (DESIGN §4).
pub(super) fn worth_waiting(
    context: &Context,
    partition: &Partition,
    published: &Published,
) -> Result<(), Failure> {
    if published.in_touch {
        return Ok(());
    }
    let message = format!(
        "partition {}: broker {} hears nothing from the quorum and may lead it no more; refresh routes",
        context.name_of(partition.id()),
        context.me
    );
    Err(Failure::new(Reason::NotLeader, message).with("leader_epoch", published.leader_epoch))
}

/// A read under way, or done: paid for, not yet an answer.
#[derive(Debug)]
pub(super) struct Begun {
    offset: Offset,
    held: Held,
    read: Read,
}

#[derive(Debug)]
enum Read {
    Done(Result<Option<(Payload, Offset)>, Unread>),
    /// On a thread that may wait for a disk. Dropping it is safe: a read changes nothing.
    Elsewhere(JoinHandle<Result<Option<(Payload, Offset)>, Unread>>),
}

impl Context {
    /// Reads committed records; `None` when there are none at the offset yet.
    ///
    /// # Errors
    /// Why the leader cannot serve it.
    pub(super) async fn read(
        &self,
        partition: &Arc<Partition>,
        published: &watch::Receiver<Published>,
        reading: Reading,
    ) -> Result<Option<Found>, Failure> {
        match self.begin_read(partition, published, reading).await? {
            Some(begun) => self.finish_read(partition, published, begun).await,
            None => Ok(None),
        }
    }

    /// Begins a read once the budget has room for it; `None` when nothing is committed at the offset yet.
    ///
    /// # Errors
    /// The budget's, when it has no room in time.
    pub(super) async fn begin_read(
        &self,
        partition: &Arc<Partition>,
        published: &watch::Receiver<Published>,
        mut reading: Reading,
    ) -> Result<Option<Begun>, Failure> {
        let committed_end = published.borrow().positions.committed_end;
        if reading.offset == committed_end {
            return Ok(None);
        }
        let here = reading.format == RecordFormat::Batches && is_recent(reading.offset, committed_end);
        if here {
            reading.bytes_max = reading.bytes_max.min(INLINE_BYTES_MAX);
        }
        let held = self.reads.hold(reading.bytes_max).await?;
        let read =
            if here { Read::Done(read_here(partition, reading)) } else { elsewhere(partition, reading) };
        Ok(Some(Begun { offset: reading.offset, held, read }))
    }

    /// Begins a read whose turn has not come, so that the disk works while an answer is on its way; only with budget
    /// that is free at once, and not for what was just written, which is quicker read where it is asked for.
    pub(super) fn read_ahead(
        &self,
        partition: &Arc<Partition>,
        published: &watch::Receiver<Published>,
        reading: Reading,
    ) -> Option<Begun> {
        let committed_end = published.borrow().positions.committed_end;
        if reading.offset >= committed_end || is_recent(reading.offset, committed_end) {
            return None;
        }
        let held = self.reads.try_hold(reading.bytes_max)?;
        Some(Begun { offset: reading.offset, held, read: elsewhere(partition, reading) })
    }

    /// The answer of a read.
    ///
    /// # Errors
    /// Why the leader cannot serve it.
    pub(super) async fn finish_read(
        &self,
        partition: &Partition,
        published: &watch::Receiver<Published>,
        begun: Begun,
    ) -> Result<Option<Found>, Failure> {
        let Begun { offset, held, read } = begun;
        let read = match read {
            Read::Done(read) => read,
            // Stopping here is safe: a read changes nothing.
            Read::Elsewhere(task) => task.await.map_err(|error| {
                Failure::new(Reason::Unavailable, format!("the read was not finished: {error}"))
            })?,
        };
        let at = partition.id();
        let (payload, next) = match read {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(None),
            Err(Unread::Refused(refusal)) => {
                let (name, copies) = (self.name_of(at), self.copies_of(at));
                return Err(read_failure(refusal, &name, offset, copies, || self.not_leader(at)));
            }
            Err(Unread::Failed(failure)) => return Err(failure),
        };
        // What is committed was looked at again after the read: it never lies below what was read.
        let mut response =
            v1::FetchResponse { next_offset: next.0, ..answer(partition, &published.borrow()) };
        let bytes = match payload {
            Payload::Batches(batches) => {
                response.batches = batches;
                response.batches.len()
            }
            Payload::Records(records) => {
                response.records = records;
                response.encoded_len()
            }
        };
        Ok(Some(Found { response, held, bytes }))
    }
}

/// Whether what is read was placed a moment ago.
fn is_recent(offset: Offset, committed_end: Offset) -> bool {
    (1..=RECENT_RECORDS).contains(&committed_end.since(offset))
}

fn elsewhere(partition: &Arc<Partition>, reading: Reading) -> Read {
    let partition = Arc::clone(partition);
    Read::Elsewhere(tokio::task::spawn_blocking(move || read_here(&partition, reading)))
}

/// An answer without records, which goes on at the committed end.
pub(super) fn answer(partition: &Partition, published: &Published) -> v1::FetchResponse {
    v1::FetchResponse {
        next_offset: published.positions.committed_end.0,
        start_offset: published.positions.start.0,
        committed_end: published.positions.committed_end.0,
        leader_epoch: published.leading.unwrap_or(published.leader_epoch).0,
        topic_id: partition.topic_bytes(),
        records: Vec::new(),
        batches: bytes::Bytes::new(),
    }
}

#[derive(Debug)]
enum Payload {
    Batches(bytes::Bytes),
    Records(Vec<v1::StoredRecord>),
}

#[derive(Debug)]
enum Unread {
    Refused(crate::partition::ReadRefusal),
    Failed(Failure),
}

fn read_here(partition: &Partition, reading: Reading) -> Result<Option<(Payload, Offset)>, Unread> {
    let Reading { offset, bytes_max, format } = reading;
    match partition.read(offset, bytes_max).map_err(Unread::Refused)? {
        ReadAnswer::Nothing => Ok(None),
        ReadAnswer::Batches { bytes, next } => Ok(Some(match format {
            RecordFormat::Batches => (Payload::Batches(bytes), next),
            RecordFormat::Records => {
                let Expanded { records, next } =
                    expand(bytes, partition.id(), offset, bytes_max).map_err(Unread::Failed)?;
                (Payload::Records(records), next)
            }
        })),
    }
}
