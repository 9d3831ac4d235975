use fidelog_record::types::{Generation, Offset, PartitionIndex};

use super::fixture::*;
use super::*;

/// Three groups with five positions, one of them with none stored, one group deleted.
fn history() -> (Vec<Entry>, PositionsState) {
    let mut state = PositionsState::empty();
    let mut log = vec![open("a", 1, &[0, 1], "one"), open("b", 1, &[0], "two"), open("b", 2, &[3], "two")];
    log.extend([
        commit("a", 1, 0, 7, Generation(1)),
        reset("c", 1, 0, 4),
        open("d", 1, &[0], ""),
        delete("d", None),
    ]);
    for entry in &log {
        apply(&mut state, entry);
    }
    (log, state)
}

/// Writes a snapshot behind the log; returns how it went.
fn write(log: &mut Vec<Entry>, state: &mut PositionsState, entries: Vec<Entry>) -> SnapshotStep {
    let mut last = None;
    for entry in entries {
        match apply(state, &entry) {
            Applied::Snapshot(step) => last = Some(step),
            other => panic!("{other:?} is no answer to a snapshot"),
        }
        log.push(entry);
    }
    last.expect("a snapshot has records")
}

#[test]
fn a_log_that_begins_with_its_snapshot_tells_the_same_state() {
    let (mut log, mut state) = history();
    let begin = state.applied_end();
    let snapshot = state.to_snapshot(TINY);
    assert_eq!(snapshot.len(), 5, "begin, three parts of at most two, end: {snapshot:?}");
    assert_eq!(write(&mut log, &mut state, snapshot), SnapshotStep::Whole);
    assert_eq!(state.trim_to(), Some(begin));
    log.push(commit("a", 1, 0, 9, Generation(1)));
    apply(&mut state, log.last().unwrap());
    assert_eq!(replayed(&log, 0).unwrap(), state);
    assert_eq!(replayed(&log, begin.0).unwrap(), state);
    assert_eq!(replayed(&log, begin.0 - 2).unwrap(), state, "what stands before the snapshot is skipped");
}

#[test]
fn a_group_deleted_before_the_snapshot_does_not_get_its_generations_again() {
    let (mut log, mut state) = history();
    let given_last = state.generation_last();
    let begin = state.applied_end();
    let snapshot = state.to_snapshot(TINY);
    write(&mut log, &mut state, snapshot);
    let mut replayed = replayed(&log, begin.0).unwrap();
    assert!(generation(apply(&mut replayed, &open("d", 1, &[0], "late"))) > given_last);
}

#[test]
fn an_empty_state_has_a_snapshot_too() {
    let mut log = vec![open("a", 1, &[0], "one"), delete("a", None)];
    let mut state = replayed(&log, 0).unwrap();
    let snapshot = state.to_snapshot(TINY);
    assert_eq!(write(&mut log, &mut state, snapshot), SnapshotStep::Whole);
    assert_eq!(replayed(&log, 2).unwrap(), state);
}

#[test]
fn a_trimmed_log_without_a_whole_snapshot_is_an_error_and_not_an_empty_state() {
    let (mut log, mut state) = history();
    let begin = state.applied_end().0;
    let mut snapshot = state.to_snapshot(TINY);
    snapshot.pop();
    write(&mut log, &mut state, snapshot);
    assert!(replayed(&log, begin).is_err());
    assert!(replayed(&log, 3).is_err());
    assert_eq!(replayed(&log, 0).unwrap(), state);
}

#[test]
fn an_interrupted_snapshot_is_as_if_never_written() {
    let (mut log, mut state) = history();
    let interrupted = state.to_snapshot(TINY)[..3].to_vec();
    write(&mut log, &mut state, interrupted);
    log.push(open("e", 1, &[0], "three"));
    apply(&mut state, log.last().unwrap());
    assert_eq!(state.trim_to(), None);
    let begin = state.applied_end().0;
    let snapshot = state.to_snapshot(TINY);
    assert_eq!(write(&mut log, &mut state, snapshot), SnapshotStep::Whole);
    assert_eq!(state.trim_to(), Some(Offset(begin)));
    for start in 0..=begin {
        assert_eq!(replayed(&log, start).unwrap(), state, "from {start}");
    }
}

/// Every way a snapshot can be wrong. It must be void for the state that meets it, so that the log is never trimmed
/// to it.
#[test]
fn a_snapshot_that_differs_from_the_state_is_void() {
    type Damage = fn(&mut Vec<Entry>);
    let cases: [(&str, Damage); 7] = [
        ("a part is missing", |it| drop(it.remove(2))),
        ("a part is there twice", |it| it.insert(2, it[1].clone())),
        ("an entry in between", |it| it.insert(2, open("a", 1, &[0], "between"))),
        ("it landed elsewhere", |it| it.insert(0, open("z", 1, &[0], "before"))),
        ("a position differs", |it| {
            let Entry::SnapshotPart { slices, .. } = &mut it[1] else { panic!() };
            slices[0].positions[0].position.offset = None;
        }),
        ("a position is there twice", |it| {
            let Entry::SnapshotPart { slices, .. } = &mut it[1] else { panic!() };
            slices[0].positions[1] = slices[0].positions[0].clone();
        }),
        ("the last generation differs", |it| {
            let Entry::SnapshotBegin { generation_last, .. } = &mut it[0] else { panic!() };
            *generation_last = Generation(1);
        }),
    ];
    for (what, damage) in cases {
        let (_, mut state) = history();
        let mut snapshot = state.to_snapshot(TINY);
        damage(&mut snapshot);
        let last = snapshot.iter().map(|entry| apply(&mut state, entry)).last();
        assert_eq!(last, Some(Applied::Snapshot(SnapshotStep::Void)), "{what}");
        assert_eq!(state.trim_to(), None, "{what}");
    }
}

#[test]
fn a_snapshot_is_due_when_the_log_outgrows_the_state() {
    let sizes = SnapshotSizes { weight_min: 10, part_position_count_max: 2 };
    let mut state = PositionsState::empty();
    let given = generation(apply(&mut state, &open("a", 1, &[0, 1, 2], "one")));
    let mut commits = 0;
    while !state.wants_snapshot(sizes) {
        commits += 1;
        apply(&mut state, &commit("a", 1, 0, commits, given));
    }
    assert_eq!(state.weight_since_snapshot(), 13, "four times its three positions are twelve");
    for entry in state.to_snapshot(sizes) {
        apply(&mut state, &entry);
    }
    assert!(!state.wants_snapshot(sizes));
    assert_eq!(state.weight_since_snapshot(), 0);
    assert_eq!(state.get(&group("a"), topic(1), PartitionIndex(0)).unwrap().offset, Some(Offset(commits)));
}
