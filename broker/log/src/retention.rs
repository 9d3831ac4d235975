//! Which records have outlived their time: decided by the leader alone (N15). Pure.
//!
//! A segment goes as a whole. Its age counts from the greater of its newest timestamp and its last append, so that a
//! clock that jumped does not delete early (D15). The segment being written to never goes.

use fidelog_record::types::Offset;

use crate::view::SegmentInfo;

/// How much to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds; `None` keeps for ever.
    pub retention_ms: Option<u64>,
    /// Bytes of segment files; `None` is no bound.
    pub retention_bytes: Option<u64>,
    /// The most segments given up in one go; bounds what one wrong clock can do.
    pub segment_count_max: usize,
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
    for segment in segments.iter().take(retention.segment_count_max) {
        let old = retention.retention_ms.is_some_and(|keep| segment.newest_ms.saturating_add(keep) < now_ms);
        let over = retention.retention_bytes.is_some_and(|keep| bytes > keep);
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
    fn the_oldest_go_until_the_size_fits() {
        assert_eq!(new_start(&segments(), keep(None, Some(250)), 0, Offset(40)), Some(Offset(20)));
        assert_eq!(new_start(&segments(), keep(None, Some(400)), 0, Offset(40)), None);
    }

    #[test]
    fn nothing_uncommitted_goes_and_no_more_than_the_bound() {
        assert_eq!(new_start(&segments(), keep(None, Some(0)), 0, Offset(15)), Some(Offset(10)));
        let one = Retention { segment_count_max: 1, ..keep(None, Some(0)) };
        assert_eq!(new_start(&segments(), one, 0, Offset(40)), Some(Offset(10)));
    }
}
