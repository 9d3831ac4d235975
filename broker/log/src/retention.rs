//! Which records have outlived their time: decided by the leader alone (N15). Pure.
//!
//! A segment goes as a whole. Its age counts from the greater of its newest timestamp and its last append, so that a
//! clock that jumped does not delete early (D15). The segment being written to never goes.

use fidelog_record::types::Offset;

use crate::view::SegmentInfo;

/// The most segments given up in one go because there is too much: their files go within a flush, and nothing else of the
/// data directory is synced meanwhile. Who gave up so many looks again soon.
pub const OVERSIZE_SEGMENTS_MAX: usize = 64;

/// How much to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds; `None` keeps for ever.
    pub retention_ms: Option<u64>,
    /// Bytes of segment files; `None` is no bound.
    pub retention_bytes: Option<u64>,
    /// The most segments given up in one go because they are old: bounds what one wrong clock can do. Size knows no clock,
    /// has to keep up with whatever is written, and has a bound of its own, [`OVERSIZE_SEGMENTS_MAX`].
    pub segment_count_max: usize,
}

impl Retention {
    /// Whether the segment being written to is due to be ended, so that it can be given up one day although nothing
    /// more is appended: it holds records, and its oldest is older than `segment_ms`, or all are older than they are
    /// kept. `now_ms` is Unix milliseconds. [`LogWork::Roll`](crate::LogWork::Roll) does it.
    #[must_use]
    pub fn roll_is_due(&self, active: &SegmentInfo, segment_ms: u64, now_ms: u64) -> bool {
        let aged = active.oldest_ms.saturating_add(segment_ms) < now_ms;
        let outlived = self.retention_ms.is_some_and(|keep| active.newest_ms.saturating_add(keep) < now_ms);
        active.active && active.base < active.end && (aged || outlived)
    }
}

/// The new first offset, if any segment may go. `now_ms` is Unix milliseconds; `segments` are in order, oldest first.
#[must_use]
pub fn new_start(
    segments: &[SegmentInfo],
    retention: Retention,
    now_ms: u64,
    committed_end: Offset,
) -> Option<Offset> {
    let mut bytes: u64 = segments.iter().map(|segment| segment.file_bytes).sum();
    let mut start = None;
    for (count, segment) in segments.iter().enumerate() {
        let outlived = |keep: u64| segment.newest_ms.saturating_add(keep) < now_ms;
        let old = count < retention.segment_count_max && retention.retention_ms.is_some_and(outlived);
        let over =
            count < OVERSIZE_SEGMENTS_MAX && retention.retention_bytes.is_some_and(|keep| bytes > keep);
        if segment.active || segment.end > committed_end || !(old || over) {
            break;
        }
        bytes -= segment.file_bytes;
        start = Some(segment.end);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<SegmentInfo> {
        let segment = |number: u64| SegmentInfo {
            base: Offset(number * 10),
            end: Offset(number * 10 + 10),
            file_bytes: 100,
            active: number == 3,
            oldest_ms: 1000 * number,
            newest_ms: 1000 * number,
        };
        (0..4).map(segment).collect()
    }

    fn keep(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> Retention {
        Retention { retention_ms, retention_bytes, segment_count_max: 9 }
    }

    #[test]
    fn old_segments_go_and_the_active_one_stays() {
        assert_eq!(new_start(&segments(), keep(Some(500), None), 1600, Offset(40)), Some(Offset(20)));
        assert_eq!(new_start(&segments(), keep(Some(500), None), 99_999, Offset(40)), Some(Offset(30)));
        assert_eq!(new_start(&segments(), keep(Some(500), None), 400, Offset(40)), None);
    }

    #[test]
    fn an_idle_segment_is_ended_by_its_age_or_its_records_age_and_never_empty() {
        let active = SegmentInfo { active: true, newest_ms: 5000, ..segments()[1].clone() };
        let kept = keep(Some(9000), None);
        assert!(!kept.roll_is_due(&active, 7000, 8000));
        assert!(kept.roll_is_due(&active, 6999, 8000));
        assert!(kept.roll_is_due(&active, u64::MAX, 14_001));
        assert!(!kept.roll_is_due(&active, u64::MAX, 14_000));
        assert!(!keep(None, None).roll_is_due(&active, u64::MAX, u64::MAX));
        let empty = SegmentInfo { end: active.base, ..active.clone() };
        assert!(!kept.roll_is_due(&empty, 1, u64::MAX));
        assert!(!kept.roll_is_due(&SegmentInfo { active: false, ..active }, 1, u64::MAX));
    }

    #[test]
    fn the_oldest_go_until_the_size_fits() {
        assert_eq!(new_start(&segments(), keep(None, Some(250)), 0, Offset(40)), Some(Offset(20)));
        assert_eq!(new_start(&segments(), keep(None, Some(400)), 0, Offset(40)), None);
    }

    #[test]
    fn nothing_uncommitted_goes_and_no_more_than_the_bound() {
        assert_eq!(new_start(&segments(), keep(None, Some(0)), 0, Offset(15)), Some(Offset(10)));
        let one = Retention { segment_count_max: 1, ..keep(Some(0), None) };
        assert_eq!(new_start(&segments(), one, u64::MAX, Offset(40)), Some(Offset(10)));
        let by_size = Retention { segment_count_max: 1, ..keep(Some(0), Some(0)) };
        assert_eq!(
            new_start(&segments(), by_size, u64::MAX, Offset(40)),
            Some(Offset(30)),
            "size knows no clock"
        );
        let many = (0..100).map(|number| SegmentInfo {
            base: Offset(number * 10),
            end: Offset(number * 10 + 10),
            active: false,
            ..segments()[0].clone()
        });
        let most = OVERSIZE_SEGMENTS_MAX as u64 * 10;
        let given_up = new_start(&many.collect::<Vec<_>>(), keep(None, Some(0)), 0, Offset(1000));
        assert_eq!(given_up, Some(Offset(most)), "the flusher has others to serve");
    }
}
