//! One partition's batches from hand-over to answer, in order: what to send, under which sequence, and what to say
//! when it goes wrong (N16, N17). Pure: answers, losses and time come in, effects go out.
//!
//! ```text
//!             send                 stored / refused for good
//!  waiting ----------> in flight ----------------------------> reported
//!     ^                   |   |
//!     |  refused for now, |   | budget ends: reported as unknown; the entry stays,
//!     |  lost, unknown    |   v a ghost, until its attempt is settled
//!     +-------------------+  ghost --------------------------> gone
//! ```
//!
//! What is always true:
//! - Batches in flight are a prefix of the entries. After any failure nothing is sent until every attempt in flight
//!   is settled; then sending goes on from the first entry left, in order, under the same stamps and bytes.
//! - "Definitely not stored" is said only of a batch of which every attempt was answered definitely.
//! - A stamp is given up only when no attempt under it can have stored the batch, or can store it later.
//!
//! A batch that leaves without being stored leaves a *gap*: the broker refuses every later sequence of that epoch as
//! OUT_OF_ORDER. Behind a *certain* gap (every attempt of it was definite) nothing of the epoch can have been
//! stored, whatever became of the attempts. Behind an *unsure* one, batches that were only answered definitely go
//! on under a new epoch, which fences the old one wherever it still travels; those with an unknown attempt are
//! asked about under the old epoch, and end as unknown when it does not know them.
//!
//! A producer that the cluster *forgot* (UNKNOWN_PRODUCER) starts over under a new identity in the same way: what has
//! an unknown attempt ends as unknown, the rest is sent again.
//!
//! Without an identity there are no stamps, one batch in flight, and no attempt after an unknown one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::{self, Reason};
use fidelog_record::ProducerStamp;
use fidelog_record::types::{ProducerEpoch, ProducerId, Sequence};

mod answers;
mod entry;
mod gaps;

use entry::{Entry, Gap};

use crate::backoff;
use crate::error::Refusal;

use super::delivery::{Cause, DeliveryError};

/// The answer to one attempt.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Stored(Box<v1::Receipt>),
    Refused(Arc<Refusal>),
    /// The connection ended after it was sent.
    Lost,
    /// The connection had ended before it was sent.
    Unsent,
}

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Effect<T> {
    Send {
        attempt: u64,
        stamp: ProducerStamp,
        payload: T,
    },
    Report {
        payload: T,
        outcome: Result<Box<v1::Receipt>, DeliveryError>,
    },
    /// For the listener only.
    Retried {
        attempts: u32,
        reason: Option<Reason>,
    },
    /// For the listener only.
    EpochRaised(ProducerEpoch),
    /// Open a new identity, then call [`Lane::granted`].
    NeedIdentity,
}

/// Who sends: granted by the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

/// The state of one partition. `T` is what the shell needs to send a batch; cloning it is cheap.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    idempotent: bool,
    identity: Option<Identity>,
    identity_asked: bool,
    in_flight_max: usize,
    next_sequence: u64,
    next_attempt: u64,
    entries: VecDeque<Entry<T>>,
    in_flight: usize,
    /// Something failed: nothing is sent until all attempts in flight are settled.
    halted: bool,
    failures: u32,
    resume_at_ms: u64,
    certain_gap: Option<Gap>,
    unsure_gap: Option<Gap>,
    /// UNKNOWN_PRODUCER was heard.
    forgotten: bool,
    /// PRODUCER_FENCED was heard: the end.
    fenced: Option<Arc<Refusal>>,
}

impl<T: Clone> Lane<T> {
    /// A lane that makes resends recognisable.
    pub(crate) fn idempotent(identity: Identity, in_flight_max: usize) -> Self {
        Self { identity: Some(identity), ..Self::new(true, in_flight_max.max(1)) }
    }

    /// A lane without protection against duplicates.
    pub(crate) fn plain() -> Self {
        Self::new(false, 1)
    }

    fn new(idempotent: bool, in_flight_max: usize) -> Self {
        Self {
            idempotent,
            identity: None,
            identity_asked: false,
            in_flight_max,
            next_sequence: 0,
            next_attempt: 0,
            entries: VecDeque::new(),
            in_flight: 0,
            halted: false,
            failures: 0,
            resume_at_ms: 0,
            certain_gap: None,
            unsure_gap: None,
            forgotten: false,
            fenced: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether something waits to be sent.
    pub(crate) fn has_waiting(&self) -> bool {
        self.entries.len() > self.in_flight
    }

    /// Why nothing is taken any more.
    pub(crate) fn fenced(&self) -> Option<&Arc<Refusal>> {
        self.fenced.as_ref()
    }

    /// When to call [`Self::step`] although nothing happened.
    pub(crate) fn wake_at_ms(&self, now_ms: u64) -> Option<u64> {
        let deadline = self.entries.iter().find(|entry| !entry.ghost).map(|entry| entry.deadline_ms);
        let resume = (self.has_waiting() && self.resume_at_ms > now_ms).then_some(self.resume_at_ms);
        deadline.into_iter().chain(resume).min()
    }

    /// When the wait after a failure is over.
    pub(crate) fn resume_at_ms(&self) -> u64 {
        self.resume_at_ms
    }

    /// Whether a wait after a failure is over.
    pub(crate) fn rested(&self, now_ms: u64) -> bool {
        now_ms >= self.resume_at_ms
    }

    /// Takes a batch behind all others.
    pub(crate) fn push(&mut self, payload: T, records: u32, deadline_ms: u64) {
        self.entries.push_back(Entry::new(payload, records, deadline_ms));
    }

    /// Takes a new identity, asked for by [`Effect::NeedIdentity`].
    pub(crate) fn granted(&mut self, identity: Identity) {
        self.identity_asked = false;
        self.identity = Some(identity);
        self.next_sequence = 0;
    }

    /// The identity could not be had; it is asked for again after a wait.
    pub(crate) fn not_granted(&mut self, now_ms: u64, chance: u64) {
        self.identity_asked = false;
        self.fail(now_ms, backoff::search, Duration::ZERO, chance);
    }

    /// A connection could not be made: nothing was sent.
    pub(crate) fn not_connected(&mut self, now_ms: u64, chance: u64) {
        self.fail(now_ms, backoff::search, Duration::ZERO, chance);
    }

    /// The leader is another one, and the former one is silent: what it was sent counts as lost, and is sent again.
    pub(crate) fn abandon(&mut self, now_ms: u64, chance: u64, effects: &mut Vec<Effect<T>>) {
        let flights: Vec<u64> = self.entries.iter().filter_map(|entry| entry.flight).collect();
        for attempt in flights {
            self.answered(attempt, Answer::Lost, now_ms, chance, effects);
        }
        self.resume_now(now_ms);
    }

    /// A wait is pointless: something changed for the better.
    pub(crate) fn resume_now(&mut self, now_ms: u64) {
        self.resume_at_ms = self.resume_at_ms.min(now_ms);
    }

    /// Ends what has used up its budget, then sends what may be sent. `linked`: there is a connection to send on.
    pub(crate) fn step(&mut self, now_ms: u64, linked: bool, effects: &mut Vec<Effect<T>>) {
        self.expire(now_ms, effects);
        if self.in_flight == 0 {
            self.halted = false;
            self.settle(effects);
        }
        if self.halted || !linked || !self.rested(now_ms) || self.entries.is_empty() {
            return;
        }
        if self.idempotent && self.identity.is_none() {
            if !self.identity_asked {
                self.identity_asked = true;
                effects.push(Effect::NeedIdentity);
            }
            return;
        }
        self.send(effects);
    }

    fn expire(&mut self, now_ms: u64, effects: &mut Vec<Effect<T>>) {
        let mut index = 0;
        while let Some(entry) = self.entries.get_mut(index) {
            if entry.ghost {
                index += 1;
                continue;
            }
            if entry.deadline_ms > now_ms {
                return;
            }
            let cause = Cause::BudgetEnded { last: entry.last.clone() };
            if entry.flight.is_some() {
                entry.ghost = true;
                let outcome = Err(DeliveryError::new(true, cause, entry.attempts));
                effects.push(Effect::Report { payload: entry.payload.clone(), outcome });
                index += 1;
            } else {
                self.report(index, cause, effects);
            }
        }
    }

    /// Whether the entry may be sent while gaps stand open: only to settle what is unknown under the old epoch.
    fn may_send(&self, index: usize) -> bool {
        let Some(gap) = self.first_gap() else { return true };
        let Some(sequence) = self.entries[index].stamp else { return false };
        sequence < gap.begin || self.is_unknown(index)
    }

    fn send(&mut self, effects: &mut Vec<Effect<T>>) {
        for index in 0..self.entries.len() {
            if self.in_flight >= self.in_flight_max {
                return;
            }
            if self.entries[index].flight.is_some() {
                continue;
            }
            if !self.may_send(index) {
                return;
            }
            self.send_one(index, effects);
        }
    }

    fn send_one(&mut self, index: usize, effects: &mut Vec<Effect<T>>) {
        let entry = &mut self.entries[index];
        let stamp = match self.identity {
            Some(Identity { id, epoch }) if self.idempotent => {
                let base_sequence = *entry.stamp.get_or_insert_with(|| {
                    let begin = self.next_sequence;
                    self.next_sequence += u64::from(entry.records);
                    Sequence(begin)
                });
                ProducerStamp { id, epoch, base_sequence }
            }
            _ => ProducerStamp::NONE,
        };
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        self.in_flight += 1;
        entry.flight = Some(attempt);
        entry.attempts += 1;
        entry.out_of_order = false;
        effects.push(Effect::Send { attempt, stamp, payload: entry.payload.clone() });
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
