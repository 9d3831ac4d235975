use fidelog_record::types::{Generation, LeaderEpoch, Offset, PartitionIndex};

use super::fixture::*;
use super::*;

fn offset_of(state: &PositionsState, name: &str, partition: u32) -> Option<u64> {
    let position = state.get(&group(name), topic(1), PartitionIndex(partition)).expect("opened");
    position.offset.map(|offset| offset.0)
}

#[test]
fn a_position_that_was_only_opened_has_none_stored() {
    let mut state = PositionsState::empty();
    let opened = positions(apply(&mut state, &open("g", 1, &[0, 2], "one")));
    assert_eq!(opened.iter().map(|it| it.partition.0).collect::<Vec<_>>(), [0, 2]);
    assert!(opened.iter().all(|it| it.position.offset.is_none() && it.position.committed_at_ms == 0));
    assert_eq!(opened[0].position.generation, opened[1].position.generation);
    assert_eq!(opened[0].position.owner.as_str(), "one");
}

#[test]
fn offset_0_is_stored_like_any_other() {
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    let CommitFate::InForce(position) = fate(apply(&mut state, &commit("g", 1, 0, 0, given))) else {
        panic!()
    };
    assert_eq!(position.offset, Some(Offset(0)));
    assert_eq!((position.leader_epoch, position.committed_at_ms), (LeaderEpoch(3), 1_750_000_000_001));
}

#[test]
fn within_a_generation_the_higher_offset_stays_in_force() {
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    apply(&mut state, &commit("g", 1, 0, 7, given));
    let CommitFate::InForce(position) = fate(apply(&mut state, &commit("g", 1, 0, 5, given))) else {
        panic!()
    };
    assert_eq!(position.offset, Some(Offset(7)), "a lower commit is told the position in force");
}

#[test]
fn the_commit_of_a_reader_that_was_replaced_is_fenced() {
    let mut state = PositionsState::empty();
    let first = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    apply(&mut state, &commit("g", 1, 0, 7, first));
    let opened = positions(apply(&mut state, &open("g", 1, &[0], "two")));
    assert_eq!(
        opened[0].position.offset,
        Some(Offset(7)),
        "the next reader goes on where the last one stood"
    );
    let CommitFate::Fenced { current } = fate(apply(&mut state, &commit("g", 1, 0, 9, first))) else {
        panic!()
    };
    assert_eq!((current.generation, current.owner.as_str()), (opened[0].position.generation, "two"));
    assert_eq!(offset_of(&state, "g", 0), Some(7));
}

#[test]
fn a_takeover_of_one_partition_leaves_the_others_alone() {
    let mut state = PositionsState::empty();
    let first = generation(apply(&mut state, &open("g", 1, &[0, 1], "one")));
    apply(&mut state, &open("g", 1, &[1], "two"));
    assert!(matches!(fate(apply(&mut state, &commit("g", 1, 0, 9, first))), CommitFate::InForce(_)));
    assert!(matches!(fate(apply(&mut state, &commit("g", 1, 1, 9, first))), CommitFate::Fenced { .. }));
}

#[test]
fn a_late_commit_cannot_undo_a_reset() {
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    apply(&mut state, &commit("g", 1, 0, 7, given));
    let moved = positions(apply(&mut state, &reset("g", 1, 0, 2)));
    assert_eq!(moved[0].position.offset, Some(Offset(2)), "a reset may go back");
    assert!(moved[0].position.generation > given);
    assert!(matches!(fate(apply(&mut state, &commit("g", 1, 0, 8, given))), CommitFate::Fenced { .. }));
    assert_eq!(offset_of(&state, "g", 0), Some(2));
}

#[test]
fn a_generation_that_was_never_given_is_fenced() {
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    let invented = Generation(given.0 + 5);
    assert!(matches!(fate(apply(&mut state, &commit("g", 1, 0, 8, invented))), CommitFate::Fenced { .. }));
    assert_eq!(offset_of(&state, "g", 0), None);
}

#[test]
fn a_late_commit_never_brings_a_deleted_group_back() {
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    apply(&mut state, &commit("g", 1, 0, 7, given));
    assert_eq!(apply(&mut state, &delete("g", None)), Applied::Deleted { position_count: 1 });
    assert_eq!(apply(&mut state, &commit("g", 1, 0, 8, given)), Applied::UnknownGroup);
    assert!(!state.has_group(&group("g")));
    let again = generation(apply(&mut state, &open("g", 1, &[0], "two")));
    assert!(again > given, "a deleted group's generations are not given again");
    assert!(matches!(fate(apply(&mut state, &commit("g", 1, 0, 8, given))), CommitFate::Fenced { .. }));
    assert_eq!(offset_of(&state, "g", 0), None);
}

#[test]
fn a_commit_on_a_partition_that_was_not_opened_makes_nothing() {
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("g", 1, &[0], "one")));
    assert_eq!(fate(apply(&mut state, &commit("g", 1, 1, 8, given))), CommitFate::NotOpened);
    assert_eq!(fate(apply(&mut state, &commit("g", 2, 0, 8, given))), CommitFate::NotOpened);
    assert_eq!(state.position_count(), 1);
}

#[test]
fn a_deletion_takes_one_topic_or_all() {
    let mut state = PositionsState::empty();
    apply(&mut state, &open("g", 1, &[0, 1], "one"));
    apply(&mut state, &open("g", 2, &[0], "one"));
    assert_eq!(apply(&mut state, &delete("g", Some(3))), Applied::UnknownGroup);
    assert_eq!(apply(&mut state, &delete("g", Some(1))), Applied::Deleted { position_count: 2 });
    assert!(state.has_group(&group("g")));
    assert_eq!(apply(&mut state, &delete("g", Some(2))), Applied::Deleted { position_count: 1 });
    assert_eq!((state.group_count(), state.position_count()), (0, 0));
    assert_eq!(apply(&mut state, &delete("g", None)), Applied::UnknownGroup);
}

#[test]
fn an_entry_out_of_order_changes_nothing() {
    let mut state = PositionsState::empty();
    let before = state.clone();
    let wrong = state.apply(Offset(1), &open("g", 1, &[0], "one")).unwrap_err();
    assert_eq!((wrong.expected, wrong.found), (Offset(0), Offset(1)));
    assert_eq!(state, before);
}

#[test]
fn every_limit_refuses_before_anything_is_written() {
    let limits = PositionLimits { group_count_max: 2, group_position_count_max: 3, position_count_max: 4 };
    let mut state = PositionsState::empty();
    apply(&mut state, &open("a", 1, &[0, 1], "one"));
    let refused =
        |admission: &mut Admission, entry: &Entry| admission.admit(&state, entry, limits).unwrap_err();
    let fresh = Admission::default;
    assert_eq!(refused(&mut fresh(), &open("a", 1, &[0, 1, 2, 3], "x")).what, "positions of the group");
    assert_eq!(refused(&mut fresh(), &open("b", 1, &[0, 1, 2], "x")).what, "positions of all groups");
    let mut admission = fresh();
    admission.admit(&state, &open("b", 1, &[0], "x"), limits).unwrap();
    let third = refused(&mut admission, &reset("c", 1, 0, 0));
    assert_eq!((third.what, third.value, third.limit), ("groups", 3, 2));
    admission.admit(&state, &open("a", 1, &[0, 1], "x"), limits).expect("taking over adds nothing");
    let many = (0..10_001).collect::<Vec<_>>();
    assert_eq!(refused(&mut fresh(), &open("a", 1, &many, "x")).what, "positions in one call");
}

#[test]
fn pages_go_through_all_groups_in_order() {
    let mut state = PositionsState::empty();
    for name in ["c", "a", "b"] {
        apply(&mut state, &open(name, 1, &[0], "one"));
    }
    let first = state.page(None, 2);
    assert_eq!(first.groups.iter().map(|it| it.group.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let rest = state.page(first.next_after.as_ref(), 2);
    assert_eq!(rest.groups.iter().map(|it| it.group.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(rest.next_after, None);
    assert_eq!(state.page(None, 0).groups.len(), 1, "a page makes progress");
}

/// A thousand positions with long owners in each of twenty groups made an answer beyond what the wire carries.
#[test]
fn a_page_of_groups_is_bounded_by_bytes() {
    let mut state = PositionsState::empty();
    let (partitions, owner) = ((0..1_000).collect::<Vec<u32>>(), "x".repeat(240));
    for name in 0..40 {
        apply(&mut state, &open(&format!("group-{name:02}"), 1, &partitions, &owner));
    }
    let (mut after, mut seen, mut pages) = (None, 0, 0);
    loop {
        let page = state.page(after.as_ref(), 1_000);
        let positions: usize =
            page.groups.iter().flat_map(|it| &it.topics).map(|it| it.positions.len()).sum();
        assert!(positions * owner.len() <= 4 << 20, "a page with {positions} positions");
        (seen, pages) = (seen + page.groups.len(), pages + 1);
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 40);
    assert!(pages > 2, "{pages} pages");
}
