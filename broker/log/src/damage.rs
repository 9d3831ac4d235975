//! What is known to be damaged in a log: ranges of offsets that are not served, whoever noticed first.
//!
//! Always true: ranges are in order, apart from each other and not empty; each lies at or above the log's start and
//! ends at or below its end. They are kept with the recovery point. Not here: finding damage, and mending it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fidelog_record::types::Offset;

use crate::segment::Segment;
use crate::view::{LogView, Shared, State};

impl Shared {
    /// To be called after every change of the damaged ranges, with the state unlocked or not.
    pub(crate) fn damage_changed(&self) {
        self.damage_changes.fetch_add(1, Ordering::Release);
    }
}

impl LogView {
    /// Ranges known to be damaged, in order.
    #[must_use]
    pub fn damage(&self) -> Vec<Range<Offset>> {
        self.shared.state.read().damage.iter().map(|&(start, end)| start..end).collect()
    }

    /// Whether anything stored is known to be damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.shared.state.read().damage.is_empty()
    }

    /// Another number whenever [`Self::damage`] may have changed: for those who look often. Takes no lock.
    #[must_use]
    pub fn damage_changes(&self) -> u64 {
        self.shared.damage_changes.load(Ordering::Acquire)
    }

    /// Remembers what was found damaged in `segment`, unless that was cut, dropped or mended meanwhile.
    pub(crate) fn note_damage(&self, segment: &Arc<Segment>, range: Range<Offset>) {
        let mut state = self.shared.state.write();
        let present = state.segments.iter().any(|other| Arc::ptr_eq(other, segment));
        if !present || range.start < state.start || range.end > state.durable_end {
            return;
        }
        if add(&mut state.damage, range.clone()) {
            drop(state);
            self.shared.damage_changed();
            let partition = self.shared.at;
            tracing::error!(%partition, start = %range.start, end = %range.end, "stored records are damaged");
        }
    }
}

/// Adds a range, merged with those it touches or overlaps; tells whether that said anything new.
pub(crate) fn add(damage: &mut Vec<(Offset, Offset)>, range: Range<Offset>) -> bool {
    if damage.iter().any(|&(start, end)| start <= range.start && range.end <= end) || range.is_empty() {
        return false;
    }
    let (mut start, mut end) = (range.start, range.end);
    damage.retain(|&(other_start, other_end)| {
        let apart = other_end < start || end < other_start;
        if !apart {
            (start, end) = (start.min(other_start), end.max(other_end));
        }
        apart
    });
    let place = damage.partition_point(|&(other, _)| other < start);
    damage.insert(place, (start, end));
    true
}

/// The range that holds `offset`, if one does.
pub(crate) fn known(state: &State, offset: Offset) -> Option<Range<Offset>> {
    state.damage.iter().find(|&&(start, end)| start <= offset && offset < end).map(|&(start, end)| start..end)
}

/// What is left of ranges when everything from `to` on goes.
pub(crate) fn clip(damage: &[(Offset, Offset)], to: Offset) -> Vec<(Offset, Offset)> {
    damage.iter().filter(|(start, _)| *start < to).map(|&(start, end)| (start, end.min(to))).collect()
}

/// What is left of ranges when `mended` is not damaged any more.
pub(crate) fn forget(damage: &mut Vec<(Offset, Offset)>, mended: &Range<Offset>) {
    let left = damage
        .iter()
        .flat_map(|&(start, end)| [(start, end.min(mended.start)), (start.max(mended.end), end)]);
    *damage = left.filter(|(start, end)| start < end).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_that_touches_is_one_range() {
        let mut damage = Vec::new();
        assert!(add(&mut damage, Offset(10)..Offset(20)));
        assert!(add(&mut damage, Offset(30)..Offset(40)));
        assert!(!add(&mut damage, Offset(12)..Offset(18)));
        assert!(add(&mut damage, Offset(20)..Offset(31)));
        assert_eq!(damage, [(Offset(10), Offset(40))]);
    }

    #[test]
    fn a_mended_stretch_leaves_what_lies_beside_it() {
        let mut damage = vec![(Offset(0), Offset(10)), (Offset(20), Offset(50)), (Offset(60), Offset(61))];
        forget(&mut damage, &(Offset(25)..Offset(30)));
        assert_eq!(damage[1..3], [(Offset(20), Offset(25)), (Offset(30), Offset(50))]);
        forget(&mut damage, &(Offset(5)..Offset(60)));
        assert_eq!(damage, [(Offset(0), Offset(5)), (Offset(60), Offset(61))]);
    }
}
