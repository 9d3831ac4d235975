//! What a lane does about missing sequences: settles what is unknown, mends a gap, takes a new epoch (N17).

use super::*;

impl<T: Clone> Lane<T> {
    /// Nothing is in flight: decides under which stamps to go on.
    pub(super) fn settle(&mut self, effects: &mut Vec<Effect<T>>) {
        if let Some(refusal) = self.fenced.clone() {
            while !self.entries.is_empty() {
                self.report(0, Cause::Refused(refusal.clone()), effects);
            }
            return;
        }
        if self.forgotten {
            self.start_over(effects);
        }
        while self.entries.front().is_some_and(|head| head.out_of_order) {
            let head = &mut self.entries[0];
            let first_of_epoch = head.stamp == Some(Sequence(0));
            let cause = head.last.clone().map_or(Cause::ConnectionLost, Cause::Refused);
            if self.is_unknown(0) || first_of_epoch {
                self.report(0, cause, effects);
            } else {
                // Never stored, and nothing behind it: the row ends in front of it.
                self.entries[0].out_of_order = false;
                let begin = self.entries[0].stamp.unwrap_or_default();
                return self.raise_epoch_at(begin, effects);
            }
        }
        self.mend_gap(effects);
    }

    pub(super) fn first_gap(&self) -> Option<Gap> {
        self.certain_gap.into_iter().chain(self.unsure_gap).min_by_key(|gap| gap.begin)
    }

    pub(super) fn mend_gap(&mut self, effects: &mut Vec<Effect<T>>) {
        let (Some(gap), false) = (self.first_gap(), self.entries.is_empty()) else { return };
        if self.may_send(0) && self.entries[0].stamp.is_some() {
            return; // Unknown ones are settled first, under the old epoch.
        }
        if self.unsure_gap.is_none() && self.next_sequence == gap.end {
            // Nothing behind the gap was ever sent: its sequences are free.
            self.next_sequence = gap.begin.0;
            self.certain_gap = None;
            return;
        }
        self.raise_epoch(effects);
    }

    pub(super) fn raise_epoch_at(&mut self, begin: Sequence, effects: &mut Vec<Effect<T>>) {
        self.certain_gap = Some(Gap { begin, end: begin.0 });
        self.raise_epoch(effects);
    }

    /// No batch left in the lane was or can be stored under this epoch: begins a new row.
    pub(super) fn raise_epoch(&mut self, effects: &mut Vec<Effect<T>>) {
        debug_assert_eq!(self.in_flight, 0, "an epoch is raised only when every attempt is settled");
        let raised = self.identity.and_then(|identity| {
            let epoch = ProducerEpoch(identity.epoch.0.checked_add(1)?);
            Some(Identity { epoch, ..identity })
        });
        self.identity = raised;
        self.forget_stamps();
        if let Some(identity) = raised {
            effects.push(Effect::EpochRaised(identity.epoch));
        }
    }

    /// The cluster forgot this producer, idle for long: what may have been stored cannot be asked about any more and is
    /// told as unknown. Everything else was refused definitely, by every attempt, and goes on in order under a new
    /// identity.
    pub(super) fn start_over(&mut self, effects: &mut Vec<Effect<T>>) {
        let mut index = 0;
        while index < self.entries.len() {
            if self.is_unknown(index) {
                let cause = self.entries[index].last.clone().map_or(Cause::ConnectionLost, Cause::Refused);
                self.report(index, cause, effects);
            } else {
                index += 1;
            }
        }
        self.identity = None;
        self.identity_asked = false;
        self.forgotten = false;
        self.forget_stamps();
    }

    pub(super) fn forget_stamps(&mut self) {
        self.next_sequence = 0;
        (self.certain_gap, self.unsure_gap) = (None, None);
        for entry in &mut self.entries {
            entry.stamp = None;
            entry.unknown = false;
            entry.out_of_order = false;
        }
    }
}
