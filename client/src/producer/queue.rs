//! One partition's open batch: records go straight into the bytes that will be sent, under a short lock.
//!
//! What is always true: records of one batch are in the order they were handed over; a batch is sealed when it is
//! full or when the driver takes it; the driver is woken when a batch is sealed, or for a first record when it has
//! nothing else to do, and never otherwise.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fidelog_record::batch::BatchLimits;
use fidelog_record::{BatchBuilder, Codec, EncodedBatch, ProducerStamp, PushError, Record};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::delivery::{Cause, Completion, Delivery, DeliveryError};
use super::refusal::SendCause;

/// Why the format refuses to finish a batch: never, for what a queue seals.
const FINISHABLE: &str = "a sealed batch has a record, and its sequences are far from their end";

/// A batch on its way. Its bytes are made when it is first sent, because only then is its sequence known.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: u32,
    pub(crate) began_at: Instant,
    pub(crate) completion: Arc<Completion>,
    form: Mutex<Form>,
    sent_at: Mutex<Option<Instant>>,
    /// The bytes of memory it stands for; given back when it is dropped.
    _memory: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Form {
    Building(BatchBuilder),
    Encoded(EncodedBatch),
    Taken,
}

impl Batch {
    /// The bytes under this stamp: the same ones for the same stamp.
    pub(crate) fn encode(&self, stamp: ProducerStamp) -> Bytes {
        let mut form = self.form.lock();
        let encoded = match std::mem::replace(&mut *form, Form::Taken) {
            Form::Building(builder) => builder.finish(stamp).expect(FINISHABLE),
            Form::Encoded(encoded) if encoded.header().producer == stamp => encoded,
            Form::Encoded(encoded) => encoded.restamped(stamp).expect(FINISHABLE),
            Form::Taken => unreachable!("the form is put back under the same lock"),
        };
        let bytes = encoded.bytes().clone();
        *form = Form::Encoded(encoded);
        *self.sent_at.lock() = Some(Instant::now());
        bytes
    }

    pub(crate) fn sent_at(&self) -> Instant {
        self.sent_at.lock().unwrap_or(self.began_at)
    }
}

impl Drop for Batch {
    /// Whoever waits is told even when the runtime was taken away from under the driver.
    fn drop(&mut self) {
        if !self.completion.is_complete() {
            self.completion.complete(Err(DeliveryError::new(true, Cause::Stopped, 0)));
        }
    }
}

/// How batches of one topic are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchShape {
    pub(crate) codec: Codec,
    pub(crate) limits: BatchLimits,
}

/// One partition's records that are not with the driver yet.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) partition: u32,
    shape: BatchShape,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Option<OpenBatch>,
    sealed: VecDeque<Arc<Batch>>,
    /// Batches not known to be complete, for a flush.
    outstanding: VecDeque<Arc<Completion>>,
    /// The driver has nothing to do: any record wakes it.
    idle: bool,
    started: bool,
    closed: Option<SendCause>,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    completion: Arc<Completion>,
    began_at: Instant,
    memory: Option<OwnedSemaphorePermit>,
}

impl OpenBatch {
    fn keep(&mut self, memory: Option<OwnedSemaphorePermit>) {
        match (&mut self.memory, memory) {
            (Some(kept), Some(more)) => kept.merge(more),
            (kept, more) => *kept = more,
        }
    }
}

/// A record that was pushed.
pub(crate) struct Pushed {
    pub(crate) delivery: Delivery,
    /// It is this partition's first: somebody has to start the driver.
    pub(crate) first: bool,
}

/// Why a record was not pushed.
pub(crate) enum Refused {
    For(SendCause),
    /// The batch is full and was sealed: a record that may go anywhere goes elsewhere.
    Elsewhere,
}

impl Queue {
    pub(crate) fn new(partition: u32, shape: BatchShape) -> Self {
        Self { partition, shape, state: Mutex::default(), wake: Notify::new() }
    }

    /// Puts a record behind all others. `memory` is what it stands for; it is taken only when the record is.
    /// A record that `roams` is not put into a second batch here.
    pub(crate) fn push(
        &self,
        record: &Record,
        now: Instant,
        memory: &mut Option<OwnedSemaphorePermit>,
        roams: bool,
    ) -> Result<Pushed, Refused> {
        let mut state = self.state.lock();
        if let Some(cause) = &state.closed {
            return Err(Refused::For(cause.clone()));
        }
        let refused = match &mut state.open {
            Some(open) => open.builder.try_push_record(record).err(),
            None => Some(PushError::Full { count: 0, bytes: 0 }),
        };
        let mut sealed = false;
        match refused {
            None => {}
            Some(PushError::Full { .. }) => {
                sealed = state.seal();
                if sealed && roams {
                    drop(state);
                    self.wake.notify_one();
                    return Err(Refused::Elsewhere);
                }
                if let Err(error) = state.begin(self.shape, record, now) {
                    drop(state);
                    self.wake.notify_one();
                    return Err(Refused::For(error.into()));
                }
            }
            Some(refused) => return Err(Refused::For(refused.into())),
        }
        let open = state.open.as_mut().expect("it just took the record");
        open.keep(memory.take());
        let delivery = Delivery::new(open.completion.clone(), self.partition, open.builder.len() - 1, now);
        let wake = std::mem::take(&mut state.idle) || sealed;
        let first = !std::mem::replace(&mut state.started, true);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(Pushed { delivery, first })
    }

    /// The driver takes what is sealed, or, with `also_open` and when nothing is, what is still gathering; tells
    /// whether it was the latter.
    pub(crate) fn take(&self, also_open: bool) -> (VecDeque<Arc<Batch>>, bool) {
        let mut state = self.state.lock();
        let opened = also_open && state.sealed.is_empty() && state.seal();
        (std::mem::take(&mut state.sealed), opened)
    }

    /// The driver is about to wait: tells what it would miss. With `idle`, the next record wakes it.
    pub(crate) fn rest(&self, idle: bool) -> Resting {
        let mut state = self.state.lock();
        state.idle = idle && state.open.is_none() && state.sealed.is_empty();
        Resting {
            sealed: !state.sealed.is_empty(),
            open_since: state.open.as_ref().map(|open| open.began_at),
            closed: state.closed.is_some(),
        }
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Refuses every record from now on, for this reason; what is there is still delivered.
    pub(crate) fn close(&self, cause: SendCause) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(cause);
        drop(state);
        self.wake.notify_one();
    }

    /// What was handed over and is not answered yet.
    pub(crate) fn outstanding(&self) -> Vec<Arc<Completion>> {
        let state = self.state.lock();
        state.outstanding.iter().filter(|completion| !completion.is_complete()).cloned().collect()
    }
}

/// What a driver that is about to wait has to know.
pub(crate) struct Resting {
    pub(crate) sealed: bool,
    pub(crate) open_since: Option<Instant>,
    pub(crate) closed: bool,
}

impl State {
    fn seal(&mut self) -> bool {
        let Some(OpenBatch { builder, completion, began_at, memory }) = self.open.take() else {
            return false;
        };
        self.sealed.push_back(Arc::new(Batch {
            records: builder.len(),
            began_at,
            completion,
            form: Mutex::new(Form::Building(builder)),
            sent_at: Mutex::default(),
            _memory: memory,
        }));
        true
    }

    /// Starts a batch with this record in it.
    fn begin(&mut self, shape: BatchShape, record: &Record, now: Instant) -> Result<(), PushError> {
        let mut builder = BatchBuilder::with_limits(shape.codec, shape.limits);
        builder.try_push_record(record)?;
        let completion = Arc::new(Completion::default());
        self.remember(completion.clone());
        self.open = Some(OpenBatch { builder, completion, began_at: now, memory: None });
        Ok(())
    }

    fn remember(&mut self, completion: Arc<Completion>) {
        while self.outstanding.front().is_some_and(|first| first.is_complete()) {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(completion);
    }
}

/// The memory that records handed over and not yet answered may take, bytes.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: Arc<Semaphore>,
    bytes_max: u32,
}

/// What a record costs beside its own bytes.
const RECORD_OVERHEAD_BYTES: usize = 32;

impl Memory {
    pub(crate) fn new(bytes_max: u32) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }
    }

    /// What the record stands for; a record larger than all of it stands for all of it.
    fn charge(&self, record: &Record) -> u32 {
        let bytes = record.bytes().saturating_add(RECORD_OVERHEAD_BYTES);
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max)
    }

    /// Room for the record, if there is some now.
    pub(crate) fn try_take(&self, record: &Record) -> Option<OwnedSemaphorePermit> {
        self.bytes.clone().try_acquire_many_owned(self.charge(record)).ok()
    }

    /// Room for the record, as soon as there is some; first come, first served.
    pub(crate) async fn take(&self, record: &Record) -> OwnedSemaphorePermit {
        let room = self.bytes.clone().acquire_many_owned(self.charge(record)).await;
        room.expect("the semaphore is never closed")
    }

    pub(crate) fn bytes_max(&self) -> u32 {
        self.bytes_max
    }
}
