//! The fate of a record: a future that ends with a receipt, or with an error that says what is known.
//!
//! One completion is shared by all records of a batch; a [`Delivery`] is a reference to it and an index. Dropping a
//! delivery forgets the answer, not the record.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use fidelog_proto::v1::Reason;
use parking_lot::Mutex;

use crate::error::Refusal;
use crate::receipt::{BatchReceipt, Receipt};

/// What ended the attempts to store a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A broker refused it, for a reason that waiting does not mend.
    Refused(Arc<Refusal>),
    /// The delivery budget was used up.
    BudgetEnded {
        /// What the last answer said, if there was one.
        last: Option<Arc<Refusal>>,
    },
    /// The connection ended while it was in flight, and without idempotence it cannot be asked about.
    ConnectionLost,
    /// The broker's answer could not be read.
    UnreadableAnswer,
    /// The producer's tasks ended with their runtime.
    Stopped,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::BudgetEnded { last: Some(last) } => {
                write!(f, "the delivery budget ended; the last answer was {last}")
            }
            Self::BudgetEnded { last: None } => f.write_str("the delivery budget ended without an answer"),
            Self::ConnectionLost => f.write_str("the connection ended before the answer came"),
            Self::UnreadableAnswer => f.write_str("the broker's answer could not be read"),
            Self::Stopped => f.write_str("the producer's tasks were ended"),
        }
    }
}

/// Why there is no receipt. The two cases must not be treated alike: only the first may be sent again blindly.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Every attempt was answered definitely: the record is not stored, and will not be.
    #[error("definitely not stored, after {attempts} attempts: {cause}")]
    DefinitelyNotStored {
        /// What ended the attempts.
        cause: Cause,
        /// How often it was sent.
        attempts: u32,
    },
    /// At least one attempt was not answered definitely: the record may be stored, now or a little later.
    #[error("outcome unknown, after {attempts} attempts: {cause}")]
    OutcomeUnknown {
        /// What ended the attempts.
        cause: Cause,
        /// How often it was sent.
        attempts: u32,
    },
}

impl DeliveryError {
    pub(crate) fn new(unknown: bool, cause: Cause, attempts: u32) -> Self {
        match unknown {
            true => Self::OutcomeUnknown { cause, attempts },
            false => Self::DefinitelyNotStored { cause, attempts },
        }
    }

    /// Whether the record is certainly not stored.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::DefinitelyNotStored { .. })
    }

    /// What ended the attempts.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        match self {
            Self::DefinitelyNotStored { cause, .. } | Self::OutcomeUnknown { cause, .. } => cause,
        }
    }

    /// The last reason a broker gave, if one did.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.cause() {
            Cause::Refused(refusal) | Cause::BudgetEnded { last: Some(refusal) } => Some(refusal.reason),
            _ => None,
        }
    }
}

/// The answer to all records of one batch.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    outcome: OnceLock<Result<BatchReceipt, DeliveryError>>,
    waiters: Mutex<Vec<Waker>>,
}

impl Completion {
    /// Sets the outcome, once; a later one is ignored.
    pub(crate) fn complete(&self, outcome: Result<BatchReceipt, DeliveryError>) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let waiters = std::mem::take(&mut *self.waiters.lock());
        for waiter in waiters {
            waiter.wake();
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.outcome.get().is_some()
    }

    pub(crate) fn outcome(&self) -> Option<&Result<BatchReceipt, DeliveryError>> {
        self.outcome.get()
    }

    /// Leaves a waker, in the caller's own place; false when the outcome is there already.
    fn wait(&self, place: &mut Option<usize>, waker: &Waker) -> bool {
        let mut waiters = self.waiters.lock();
        // Looked at again under the lock: the outcome is set before the wakers are taken.
        if self.is_complete() {
            return false;
        }
        match place.and_then(|place| waiters.get_mut(place)) {
            Some(former) => former.clone_from(waker),
            None => {
                *place = Some(waiters.len());
                waiters.push(waker.clone());
            }
        }
        true
    }
}

/// Waits for the outcome of a batch, whichever it is.
pub(crate) struct Settled {
    completion: Arc<Completion>,
    place: Option<usize>,
}

impl Settled {
    pub(crate) fn new(completion: Arc<Completion>) -> Self {
        Self { completion, place: None }
    }
}

impl Future for Settled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.completion.is_complete() || !this.completion.wait(&mut this.place, context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// The outcome of one record, to be awaited. Dropping it forgets the outcome; the record is delivered all the same.
#[derive(Debug)]
#[must_use = "a delivery tells whether the record was stored; drop it on purpose, or await it"]
pub struct Delivery {
    completion: Arc<Completion>,
    index: u32,
    partition: u32,
    place: Option<usize>,
    handed_at: Instant,
}

impl Delivery {
    pub(crate) fn new(completion: Arc<Completion>, partition: u32, index: u32, handed_at: Instant) -> Self {
        Self { completion, index, partition, place: None, handed_at }
    }

    /// The partition the record went to.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The outcome, if it is known already.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Receipt, DeliveryError>> {
        let outcome = self.completion.outcome()?;
        Some(match outcome {
            Ok(receipt) => Ok(receipt.record(self.index, self.handed_at)),
            Err(error) => Err(error.clone()),
        })
    }
}

impl Future for Delivery {
    type Output = Result<Receipt, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.completion.is_complete() && this.completion.wait(&mut this.place, context.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(this.outcome().expect("it is complete"))
    }
}
