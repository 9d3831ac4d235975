//! What is committed (N6): the smallest `durable_end` over everyone an acknowledgement waits for.

use fidelog_record::types::Offset;

/// The committed end that `durable_ends` allow: those of the leader and of every member waited for; `None` is a member
/// that has reported nothing in this epoch on its current stream. Never below `known`.
///
/// Nothing moves while the in-sync set is smaller than the minimum, nor while a member has not reported.
#[must_use]
pub fn committed_end(
    known: Offset,
    durable_ends: impl IntoIterator<Item = Option<Offset>>,
    isr_count: usize,
    min_insync: usize,
) -> Offset {
    if isr_count < min_insync {
        return known;
    }
    let mut smallest: Option<Offset> = None;
    for durable_end in durable_ends {
        let Some(end) = durable_end else { return known };
        smallest = Some(smallest.map_or(end, |smallest| smallest.min(end)));
    }
    smallest.map_or(known, |smallest| smallest.max(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Offset = Offset(5);

    #[test]
    fn the_slowest_member_decides() {
        assert_eq!(committed_end(KNOWN, [Some(Offset(9)), Some(Offset(7))], 2, 2), Offset(7));
    }

    #[test]
    fn nothing_moves_below_the_minimum() {
        assert_eq!(committed_end(KNOWN, [Some(Offset(9))], 1, 2), KNOWN);
    }

    #[test]
    fn nothing_moves_before_every_member_has_reported() {
        assert_eq!(committed_end(KNOWN, [Some(Offset(9)), None], 2, 2), KNOWN);
    }

    #[test]
    fn it_never_goes_back() {
        assert_eq!(committed_end(KNOWN, [Some(Offset(9)), Some(Offset(3))], 2, 2), KNOWN);
    }
}
