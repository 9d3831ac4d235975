//! What an answer to an attempt, or the loss of one, means for its batch and for those behind it.
//!
//! What is always true: a batch leaves the lane here, or with its budget; whether it may have been stored is said in
//! one place, and the sequences it leaves empty are remembered as a gap.

use fidelog_proto::Certainty;

use super::*;

/// How often damage on the way is repaired by sending the same bytes again.
const DAMAGED_ATTEMPTS_MAX: u32 = 3;

/// How often a batch is sent to leaders that do not know its topic or partition: for about 2 s.
const LAGGING_ATTEMPTS_MAX: u32 = 24;

impl<T: Clone> Lane<T> {
    /// Takes the answer to an attempt. An attempt that is not in flight is ignored.
    pub(crate) fn answered(
        &mut self,
        attempt: u64,
        answer: Answer,
        now_ms: u64,
        chance: u64,
        effects: &mut Vec<Effect<T>>,
    ) {
        let Some(index) = self.entries.iter().position(|entry| entry.flight == Some(attempt)) else { return };
        self.entries[index].flight = None;
        self.in_flight -= 1;
        match answer {
            Answer::Stored(receipt) => self.stored(index, receipt, effects),
            Answer::Refused(refusal) => self.refused(index, &refusal, now_ms, chance, effects),
            Answer::Lost => self.lost(index, now_ms, chance, effects),
            Answer::Unsent => {
                self.halted = true;
                self.entries[index].attempts -= 1;
                if self.entries[index].ghost {
                    self.drop_ghost(index);
                }
            }
        }
    }

    fn stored(&mut self, index: usize, receipt: Box<v1::Receipt>, effects: &mut Vec<Effect<T>>) {
        let entry = self.entries.remove(index).expect("the index was just found");
        self.failures = 0;
        // What comes after a gap was stored, so what is in the gap was stored too.
        if let (Some(gap), Some(sequence)) = (self.unsure_gap, entry.stamp)
            && sequence > gap.begin
        {
            self.unsure_gap = None;
        }
        if !entry.ghost {
            effects.push(Effect::Report { payload: entry.payload, outcome: Ok(receipt) });
        }
    }

    fn lost(&mut self, index: usize, now_ms: u64, chance: u64, effects: &mut Vec<Effect<T>>) {
        let fresh = !std::mem::replace(&mut self.halted, true);
        let entry = &mut self.entries[index];
        entry.unknown = true;
        let attempts = entry.attempts;
        if entry.ghost {
            self.drop_ghost(index);
        } else if !self.idempotent {
            self.report(index, Cause::ConnectionLost, effects);
        } else {
            effects.push(Effect::Retried { attempts, reason: None });
        }
        if fresh {
            self.fail(now_ms, backoff::search, Duration::ZERO, chance);
        }
    }

    fn refused(
        &mut self,
        index: usize,
        refusal: &Arc<Refusal>,
        now_ms: u64,
        chance: u64,
        effects: &mut Vec<Effect<T>>,
    ) {
        let fresh = !std::mem::replace(&mut self.halted, true);
        let meaning = refusal.meaning();
        let idempotent = self.idempotent;
        let entry = &mut self.entries[index];
        entry.last = Some(refusal.clone());
        entry.unknown |= meaning.certainty == Certainty::Unknown;
        entry.out_of_order = idempotent && refusal.reason == Reason::OutOfOrder;
        // Judged when everything in flight is settled: what is known not to be stored goes on under another identity.
        let forgotten = idempotent && refusal.reason == Reason::UnknownProducer;
        self.forgotten |= forgotten;
        if refusal.reason == Reason::ProducerFenced {
            self.fenced = Some(refusal.clone());
        }
        let damaged = refusal.reason == Reason::DataCorrupt && entry.attempts < DAMAGED_ATTEMPTS_MAX;
        let asked_for = meaning.certainty == Certainty::Unknown && idempotent;
        let lags = refusal.may_lag() && entry.attempts < LAGGING_ATTEMPTS_MAX;
        let again = meaning.retriable || damaged || asked_for || forgotten || lags;
        if entry.ghost {
            self.drop_ghost(index);
        } else if entry.out_of_order {
            // Judged when everything in flight is settled: usually an earlier batch was refused.
        } else if again {
            effects.push(Effect::Retried { attempts: entry.attempts, reason: Some(refusal.reason) });
            let pace = if refusal.asks_for_relief() { backoff::wait } else { backoff::search };
            // What is refused together counts as one failure.
            self.failures -= u32::from(!fresh && self.failures > 0);
            self.fail(now_ms, pace, refusal.retry_after.unwrap_or_default(), chance);
        } else {
            self.report(index, Cause::Refused(refusal.clone()), effects);
        }
    }

    pub(super) fn fail(
        &mut self,
        now_ms: u64,
        pace: fn(u32, u64) -> Duration,
        advice: Duration,
        chance: u64,
    ) {
        self.failures = self.failures.saturating_add(1);
        let wait = pace(self.failures, chance).max(advice).as_millis();
        let wait_ms = u64::try_from(wait).unwrap_or(u64::MAX);
        self.resume_at_ms = self.resume_at_ms.max(now_ms.saturating_add(wait_ms));
    }

    /// Ends the entry: says whether it may have been stored, and remembers the gap it leaves.
    pub(super) fn report(&mut self, index: usize, cause: Cause, effects: &mut Vec<Effect<T>>) {
        let unknown = self.is_unknown(index);
        let entry = self.entries.remove(index).expect("the caller found it");
        self.leave_gap(&entry, unknown);
        let outcome = Err(DeliveryError::new(unknown, cause, entry.attempts));
        effects.push(Effect::Report { payload: entry.payload, outcome });
    }

    fn drop_ghost(&mut self, index: usize) {
        let unknown = self.is_unknown(index);
        let entry = self.entries.remove(index).expect("the caller found it");
        self.leave_gap(&entry, unknown);
    }

    fn leave_gap(&mut self, entry: &Entry<T>, unknown: bool) {
        let Some(begin) = entry.stamp else { return };
        let gap = Gap { begin, end: begin.0 + u64::from(entry.records) };
        let place = if unknown { &mut self.unsure_gap } else { &mut self.certain_gap };
        if place.is_none_or(|known| begin < known.begin) {
            *place = Some(gap);
        }
    }

    /// Whether the batch may have been stored by an attempt that is over. Behind a certain gap nothing can have been.
    pub(super) fn is_unknown(&self, index: usize) -> bool {
        let entry = &self.entries[index];
        let behind = |gap: Gap| entry.stamp.is_some_and(|sequence| sequence > gap.begin);
        entry.unknown && !self.certain_gap.is_some_and(behind)
    }
}
