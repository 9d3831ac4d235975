//! Which leader epoch began at which offset: what followers reconcile by (N3, KIP-279).
//!
//! Always true: epochs and starts both rise strictly from entry to entry. An epoch that placed no batch has no
//! entry. Pure: the file `epochs` that holds it is written by the log, and can always be rebuilt from the batches.

use fidelog_record::types::{LeaderEpoch, Offset};
use serde::{Deserialize, Serialize};

use crate::small_file::Stored;

/// One epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(LeaderEpoch, Offset)", into = "(LeaderEpoch, Offset)")]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first record it placed.
    pub start: Offset,
}

impl From<(LeaderEpoch, Offset)> for EpochStart {
    fn from((epoch, start): (LeaderEpoch, Offset)) -> Self {
        Self { epoch, start }
    }
}

impl From<EpochStart> for (LeaderEpoch, Offset) {
    fn from(entry: EpochStart) -> Self {
        (entry.epoch, entry.start)
    }
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochHistory {
    entries: Vec<EpochStart>,
}

impl Stored for EpochHistory {
    const KIND: &'static str = "epochs";
    const VERSION: u32 = 1;

    fn is_sound(&self) -> bool {
        self.entries.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start)
    }
}

/// An epoch that does not follow the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch} cannot begin at offset {start}: epoch {} began at {}", last.epoch, last.start)]
pub struct EpochOrderError {
    /// The epoch offered.
    pub epoch: LeaderEpoch,
    /// Its first offset.
    pub start: Offset,
    /// The last entry.
    pub last: EpochStart,
}

impl EpochHistory {
    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest entry; `None` when no batch was ever placed.
    #[must_use]
    pub fn last(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    /// The newest epoch; 0 when there is none.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.last().map_or(LeaderEpoch(0), |entry| entry.epoch)
    }

    /// Whether some batch was placed under `epoch`.
    #[must_use]
    pub fn knows(&self, epoch: LeaderEpoch) -> bool {
        self.entries.binary_search_by_key(&epoch, |entry| entry.epoch).is_ok()
    }

    /// Notes that a batch of `epoch` lies at `start`; does nothing when `epoch` is the newest already. Tells whether
    /// an entry was added.
    ///
    /// # Errors
    /// When `epoch` is older than the newest, or `start` is not beyond that one's.
    pub fn append(&mut self, epoch: LeaderEpoch, start: Offset) -> Result<bool, EpochOrderError> {
        if let Some(last) = self.last() {
            if epoch == last.epoch && start >= last.start {
                return Ok(false);
            }
            if epoch <= last.epoch || start <= last.start {
                return Err(EpochOrderError { epoch, start, last });
            }
        }
        self.entries.push(EpochStart { epoch, start });
        Ok(true)
    }

    /// Which epoch the record at `offset` was placed under; `None` before the first entry.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        after.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// The largest epoch here that is at most `epoch`, and where it ended: the start of the next one, or `log_end`.
    /// `None` when all are larger, or there is none.
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let index = after.checked_sub(1)?;
        let end = self.entries.get(after).map_or(log_end, |next| next.start);
        Some((self.entries[index].epoch, end))
    }

    /// Forgets everything from `to` on. Tells whether anything was forgotten.
    pub fn cut(&mut self, to: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start < to);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Forgets epochs that ended at or before `start`, retention's new first offset; the epoch `start` lies in keeps
    /// its true first offset. Tells whether anything was forgotten.
    pub fn advance_start(&mut self, start: Offset) -> bool {
        let after = self.entries.partition_point(|entry| entry.start <= start);
        let gone = after.saturating_sub(1);
        self.entries.drain(..gone);
        gone > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(entries: &[(u32, u64)]) -> EpochHistory {
        let mut history = EpochHistory::default();
        for &(epoch, start) in entries {
            history.append(LeaderEpoch(epoch), Offset(start)).unwrap();
        }
        history
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let history = history(&[(1, 0), (3, 10), (7, 25)]);
        let end_of = |epoch| history.end_of(LeaderEpoch(epoch), Offset(40));
        assert_eq!(end_of(0), None);
        assert_eq!(end_of(1), Some((LeaderEpoch(1), Offset(10))));
        assert_eq!(end_of(2), Some((LeaderEpoch(1), Offset(10))));
        assert_eq!(end_of(6), Some((LeaderEpoch(3), Offset(25))));
        assert_eq!(end_of(9), Some((LeaderEpoch(7), Offset(40))));
        assert_eq!(history.epoch_at(Offset(24)), Some(LeaderEpoch(3)));
    }

    #[test]
    fn an_older_epoch_is_refused() {
        let mut history = history(&[(1, 0), (3, 10)]);
        assert!(history.append(LeaderEpoch(2), Offset(20)).is_err());
        assert!(history.append(LeaderEpoch(4), Offset(10)).is_err());
        assert_eq!(history.append(LeaderEpoch(3), Offset(20)), Ok(false));
    }

    #[test]
    fn a_cut_forgets_epochs_that_began_at_or_after_it() {
        let mut cut = history(&[(1, 0), (3, 10), (7, 25)]);
        assert!(cut.cut(Offset(10)));
        assert_eq!(cut, history(&[(1, 0)]));
        assert!(!cut.cut(Offset(10)));
    }

    #[test]
    fn retention_keeps_the_epoch_that_start_lies_in() {
        let mut kept = history(&[(1, 0), (3, 10), (7, 25)]);
        assert!(kept.advance_start(Offset(12)));
        assert_eq!(kept.entries()[0], EpochStart { epoch: LeaderEpoch(3), start: Offset(10) });
        assert!(!kept.advance_start(Offset(25 - 1)));
    }

    proptest! {
        #[test]
        fn every_history_is_sound_and_answers_within_the_log(steps in prop::collection::vec((1u32..9, 1u64..9), 0..20), to in 0u64..80, epoch in 0u32..99) {
            let mut history = EpochHistory::default();
            let (mut at_epoch, mut at) = (0, 0);
            for (epoch_step, offset_step) in steps {
                at_epoch += epoch_step;
                history.append(LeaderEpoch(at_epoch), Offset(at)).unwrap();
                at += offset_step;
            }
            if let Some((found, end)) = history.end_of(LeaderEpoch(epoch), Offset(at)) {
                prop_assert!(found <= LeaderEpoch(epoch) && end <= Offset(at));
            }
            history.cut(Offset(to));
            prop_assert!(history.is_sound());
            prop_assert!(history.last().is_none_or(|last| last.start < Offset(to)));
        }
    }
}
