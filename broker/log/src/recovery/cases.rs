//! The table of what a start may find in a log's directory, each with its answer.

/// What was found. Several may hold at once; damage and loss are never repaired here, only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecoveryCase {
    /// The last process stopped cleanly: nothing is read.
    Clean,
    /// It did not, and everything above the recovery point fits: nothing is cut.
    Whole,
    /// No segment and nothing known to have been there: a log before its first append.
    Empty,
    /// Bytes behind the last whole batch at or beyond S: cut, kept aside.
    TornTail,
    /// A misfit below S: nothing is cut, the file stays, the range is never served and is reported (D13).
    Damage,
    /// Files that must have been there are gone: their range is damaged.
    SegmentMissing,
    /// A last segment without a byte, or with zeros only: it holds nothing, and the next append replaces it.
    SegmentUnused,
    /// A last segment whose header is torn or damaged: read batch by batch, never appended to.
    HeaderDamaged,
    /// A last segment that belongs to another log or place: copied aside, and what should be there is damaged.
    HeaderForeign,
    /// No recovery point: the whole last segment is scanned.
    PointMissing,
    /// A recovery point that does not fit the file it speaks of: the whole last segment is scanned.
    PointMisfit,
    /// No `epochs` file though there are batches, or a damaged one: rebuilt from the batches.
    EpochsRebuilt,
    /// The tail was not proven synced: copied into a new file, synced, renamed into place.
    TailCopied,
    /// As before, but there was no room for a copy, or damage in it: the same bytes were written in place and synced.
    TailRewritten,
    /// Segments below `start`: retention had passed them; removed.
    RetentionFinished,
    /// A start-over was under way: finished.
    StartOverFinished,
    /// A cut was under way: finished.
    CutFinished,
    /// A file that was being written: removed.
    Unfinished,
    /// A name that is not ours: left alone.
    Stray,
}

impl RecoveryCase {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Clean,
        Self::Whole,
        Self::Empty,
        Self::TornTail,
        Self::Damage,
        Self::SegmentMissing,
        Self::SegmentUnused,
        Self::HeaderDamaged,
        Self::HeaderForeign,
        Self::PointMissing,
        Self::PointMisfit,
        Self::EpochsRebuilt,
        Self::TailCopied,
        Self::TailRewritten,
        Self::RetentionFinished,
        Self::StartOverFinished,
        Self::CutFinished,
        Self::Unfinished,
        Self::Stray,
    ];

    /// Whether records that were promised may be missing here, so that an operator must hear of it.
    #[must_use]
    pub fn is_alarming(self) -> bool {
        matches!(self, Self::Damage | Self::SegmentMissing | Self::HeaderForeign)
    }
}

/// A case, and what it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The case.
    pub case: RecoveryCase,
    /// File, range or size, for people.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete() {
        for (place, case) in RecoveryCase::ALL.iter().enumerate() {
            // Exhaustive on purpose: a new case does not compile before it is given a place in the table.
            let expected = match case {
                RecoveryCase::Clean => 0,
                RecoveryCase::Whole => 1,
                RecoveryCase::Empty => 2,
                RecoveryCase::TornTail => 3,
                RecoveryCase::Damage => 4,
                RecoveryCase::SegmentMissing => 5,
                RecoveryCase::SegmentUnused => 6,
                RecoveryCase::HeaderDamaged => 7,
                RecoveryCase::HeaderForeign => 8,
                RecoveryCase::PointMissing => 9,
                RecoveryCase::PointMisfit => 10,
                RecoveryCase::EpochsRebuilt => 11,
                RecoveryCase::TailCopied => 12,
                RecoveryCase::TailRewritten => 13,
                RecoveryCase::RetentionFinished => 14,
                RecoveryCase::StartOverFinished => 15,
                RecoveryCase::CutFinished => 16,
                RecoveryCase::Unfinished => 17,
                RecoveryCase::Stray => 18,
            };
            assert_eq!(place, expected);
        }
    }
}
