//! One turn of an owner: calls that waited together, as the entries of one batch.

use fidelog_record::batch::BatchLimits;
use fidelog_record::types::GroupName;
use fidelog_record::{BatchBuilder, Codec, EncodedBatch, ProducerStamp, PushError, RecordRef};

use super::error::PositionsError;
use super::request::{Answer, Request};
use super::state::{
    Admission, Applied, CommitResult, Entry, PartitionPosition, PositionLimits, PositionsState,
};

/// What a batch holds, unless its first entry alone is larger. Small enough to leave room for others.
const BATCH_BYTES: usize = 1024 * 1024;

/// Whoever waits for the answer of one entry.
#[derive(Debug)]
pub(super) enum Caller {
    Open(Answer<Vec<PartitionPosition>>),
    Commit(GroupName, Answer<Vec<CommitResult>>),
    Reset(Answer<Vec<PartitionPosition>>),
    Delete(GroupName, Answer<u64>),
}

impl Caller {
    /// Tells what applying the entry came to. A caller that went away is told nothing.
    pub(super) fn answer(self, applied: Applied) {
        match (self, applied) {
            (Self::Open(answer), Applied::Opened(positions)) => drop(answer.send(Ok(positions))),
            (Self::Commit(_, answer), Applied::Committed(results)) => drop(answer.send(Ok(results))),
            (Self::Commit(group, answer), Applied::UnknownGroup) => {
                drop(answer.send(Err(PositionsError::UnknownGroup { group })))
            }
            (Self::Reset(answer), Applied::Reset(positions)) => drop(answer.send(Ok(positions))),
            (Self::Delete(_, answer), Applied::Deleted { position_count }) => {
                drop(answer.send(Ok(position_count)));
            }
            (Self::Delete(group, answer), Applied::UnknownGroup) => {
                drop(answer.send(Err(PositionsError::UnknownGroup { group })))
            }
            (caller, applied) => unreachable!("{caller:?} was answered by {applied:?}"),
        }
    }

    /// Tells why there is no answer.
    pub(super) fn refuse(self, why: PositionsError) {
        match self {
            Self::Open(answer) | Self::Reset(answer) => drop(answer.send(Err(why))),
            Self::Commit(_, answer) => drop(answer.send(Err(why))),
            Self::Delete(_, answer) => drop(answer.send(Err(why))),
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Open(answer) | Self::Reset(answer) => answer.is_closed(),
            Self::Commit(_, answer) => answer.is_closed(),
            Self::Delete(_, answer) => answer.is_closed(),
        }
    }
}

/// A call that changes something.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) entry: Entry,
    pub(super) caller: Caller,
}

impl Change {
    /// The change a call asks for, or the call back when it only reads.
    pub(super) fn of(request: Request, at_ms: u64) -> Result<Self, Request> {
        let (entry, caller) = match request {
            Request::Open(open, answer) => {
                let super::Open { group, topic, partitions, owner } = open;
                (Entry::Opened { group, topic, partitions, owner, at_ms }, Caller::Open(answer))
            }
            Request::Commit(commit, answer) => {
                let super::CommitAll { group, topic, commits } = commit;
                let caller = Caller::Commit(group.clone(), answer);
                (Entry::Committed { group, topic, commits, at_ms }, caller)
            }
            Request::Reset(reset, answer) => {
                let super::Reset { group, topic, resets } = reset;
                (Entry::Reset { group, topic, resets, at_ms }, Caller::Reset(answer))
            }
            Request::Delete(delete, answer) => {
                let super::Delete { group, topic } = delete;
                let caller = Caller::Delete(group.clone(), answer);
                (Entry::Deleted { group, topic }, caller)
            }
            read @ (Request::Fetch(..) | Request::List(..)) => return Err(read),
        };
        Ok(Self { entry, caller })
    }
}

/// The changes of one batch, in its order.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) changes: Vec<Change>,
    admission: Admission,
    batch: EntryBatch,
}

impl Turn {
    pub(super) fn new(at_ms: u64) -> Self {
        Self { changes: Vec::new(), admission: Admission::default(), batch: EntryBatch::new(at_ms) }
    }

    /// Takes a change in, refuses it, or hands it back because the batch is full.
    pub(super) fn take(
        &mut self,
        change: Change,
        state: &PositionsState,
        limits: PositionLimits,
    ) -> Option<Change> {
        if change.caller.is_gone() {
            return None; // Its time was up before anything was written: it changes nothing.
        }
        // Looked at first: a change handed back must not be counted twice.
        if !self.batch.has_room() {
            return Some(change);
        }
        if let Err(limit) = self.admission.admit(state, &change.entry, limits) {
            change.caller.refuse(limit.into());
            return None;
        }
        match self.batch.push(&change.entry) {
            Ok(()) => self.changes.push(change),
            Err(PushError::Full { .. }) => return Some(change),
            Err(other) => change.caller.refuse(PositionsError::broken(other.to_string())),
        }
        None
    }

    /// The batch to be produced, and who waits for it; `None` when there is nothing to write.
    pub(super) fn finish(self) -> Option<(EncodedBatch, Vec<Change>)> {
        Some((self.batch.finish()?, self.changes))
    }
}

/// Entries on their way into one batch.
#[derive(Debug)]
pub(super) struct EntryBatch {
    at_ms: u64,
    builder: BatchBuilder,
}

impl EntryBatch {
    pub(super) fn new(at_ms: u64) -> Self {
        let limits = BatchLimits { batch_bytes_max: BATCH_BYTES, ..BatchLimits::default() };
        Self { at_ms, builder: BatchBuilder::with_limits(Codec::None, limits) }
    }

    fn has_room(&self) -> bool {
        self.builder.is_empty() || self.builder.bytes() < BATCH_BYTES
    }

    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), PushError> {
        let value = entry.to_bytes();
        self.builder.try_push(RecordRef {
            value: Some(&value),
            timestamp_ms: self.at_ms,
            ..RecordRef::default()
        })
    }

    /// `None` when it is empty.
    pub(super) fn finish(self) -> Option<EncodedBatch> {
        if self.builder.is_empty() {
            return None;
        }
        Some(
            self.builder
                .finish(ProducerStamp::NONE)
                .expect("a batch with records and without a stamp is whole"),
        )
    }
}

/// The entries in batches, in order; the first entry begins the first batch.
pub(super) fn in_batches(
    entries: Vec<Entry>,
    at_ms: u64,
) -> Result<Vec<(EncodedBatch, Vec<Entry>)>, PushError> {
    let mut batches = Vec::new();
    let (mut batch, mut held) = (EntryBatch::new(at_ms), Vec::new());
    for entry in entries {
        if let Err(full) = batch.push(&entry) {
            if !matches!(full, PushError::Full { .. }) {
                return Err(full);
            }
            let next = std::mem::replace(&mut batch, EntryBatch::new(at_ms));
            batches.extend(next.finish().map(|done| (done, std::mem::take(&mut held))));
            batch.push(&entry)?;
        }
        held.push(entry);
    }
    batches.extend(batch.finish().map(|done| (done, held)));
    Ok(batches)
}
