//! Random histories of owners, late readers, snapshots and trims keep what must always be true.
//!
//! Proptest prints the failing case; a seed reproduces it.

use std::collections::BTreeMap;

use fidelog_record::types::{Generation, LeaderEpoch, Offset, PartitionIndex};
use proptest::prelude::*;

use super::fixture::*;
use super::*;

const GROUPS: [&str; 3] = ["a", "b", "c"];

/// A wish, small enough to shrink; made into entries against the history it meets.
#[derive(Clone, Debug)]
enum Wish {
    Open {
        group: usize,
        topic: u8,
        partitions: Vec<u32>,
    },
    /// With the generation given `age` takeovers ago to anybody; mostly the position's own.
    Commit {
        group: usize,
        topic: u8,
        partitions: Vec<u32>,
        offset: u64,
        age: Option<u64>,
    },
    Reset {
        group: usize,
        topic: u8,
        partition: u32,
        offset: u64,
    },
    Delete {
        group: usize,
        topic: Option<u8>,
    },
    /// Writes the snapshot, all of it or only its first records.
    Snapshot {
        keep: Option<usize>,
    },
    /// Drops what lies below the last whole snapshot.
    Trim,
    /// The next owner rebuilds the state from the log.
    Restart,
}

fn wish() -> impl Strategy<Value = Wish> {
    let key = || (0..GROUPS.len(), 1..3u8);
    let partitions =
        || proptest::collection::btree_set(0..3u32, 1..4).prop_map(|set| set.into_iter().collect());
    prop_oneof![
        4 => (key(), partitions())
            .prop_map(|((group, topic), partitions)| Wish::Open { group, topic, partitions }),
        10 => (key(), partitions(), 0..20u64, proptest::option::weighted(0.4, 0..6u64)).prop_map(
            |((group, topic), partitions, offset, age)| Wish::Commit { group, topic, partitions, offset, age }
        ),
        2 => (key(), 0..3u32, 0..20u64)
            .prop_map(|((group, topic), partition, offset)| Wish::Reset { group, topic, partition, offset }),
        2 => (0..GROUPS.len(), proptest::option::of(1..3u8))
            .prop_map(|(group, topic)| Wish::Delete { group, topic }),
        2 => proptest::option::weighted(0.4, 0..6usize).prop_map(|keep| Wish::Snapshot { keep }),
        1 => Just(Wish::Trim),
        1 => Just(Wish::Restart),
    ]
}

type Key = (usize, u8, u32);

/// A history, and what its readers were told.
struct History {
    log: Vec<Entry>,
    start: u64,
    state: PositionsState,
    /// What each position must be: generation and offset, by the answers alone.
    promised: BTreeMap<Key, (Generation, Option<u64>)>,
    generation_last: Generation,
}

impl History {
    fn new() -> Self {
        let state = PositionsState::empty();
        let (log, promised) = (Vec::new(), BTreeMap::new());
        Self { log, start: 0, state, promised, generation_last: Generation(0) }
    }

    fn write(&mut self, entry: Entry) -> Applied {
        let applied = apply(&mut self.state, &entry);
        self.log.push(entry);
        applied
    }

    /// A takeover or a reset gives a generation that is higher than all before, to all its positions.
    fn raised(&mut self, given: &[PartitionPosition]) -> Generation {
        let generation = given[0].position.generation;
        assert!(generation > self.generation_last, "{generation} is not above {}", self.generation_last);
        assert!(given.iter().all(|it| it.position.generation == generation));
        self.generation_last = generation;
        generation
    }

    fn open(&mut self, group: usize, topic: u8, partitions: &[u32]) {
        let given = positions(self.write(open(GROUPS[group], topic, partitions, "reader")));
        let generation = self.raised(&given);
        for it in given {
            let promised = self.promised.entry((group, topic, it.partition.0)).or_insert((generation, None));
            promised.0 = generation;
            assert_eq!(it.position.offset.map(|it| it.0), promised.1, "a takeover changes no offset");
        }
    }

    fn commit(&mut self, group: usize, topic: u8, partitions: &[u32], offset: u64, age: Option<u64>) {
        let one = |&partition: &u32| {
            let own = self.promised.get(&(group, topic, partition)).map(|it| it.0);
            let aged = |age| Generation((self.generation_last.0 + 1).saturating_sub(age));
            let generation = age.map_or_else(|| own.unwrap_or_default(), aged);
            Commit {
                partition: PartitionIndex(partition),
                offset: Offset(offset),
                leader_epoch: LeaderEpoch(1),
                generation,
            }
        };
        let commits: Vec<Commit> = partitions.iter().map(one).collect();
        let (of, to) = (super::fixture::group(GROUPS[group]), super::fixture::topic(topic));
        match self.write(Entry::Committed { group: of, topic: to, commits: commits.clone(), at_ms: 9 }) {
            Applied::UnknownGroup => assert!(self.promised.keys().all(|key| key.0 != group)),
            Applied::Committed(results) => {
                assert_eq!(results.len(), commits.len());
                for (commit, result) in commits.iter().zip(results) {
                    assert_eq!(commit.partition, result.partition);
                    self.judge((group, topic, commit.partition.0), commit, result.fate);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn judge(&mut self, key: Key, commit: &Commit, fate: CommitFate) {
        match (self.promised.get_mut(&key), fate) {
            (None, CommitFate::NotOpened) => {}
            (Some((generation, _)), CommitFate::Fenced { current }) => {
                assert_ne!(*generation, commit.generation, "the owner of {key:?} was fenced");
                assert_eq!(current.generation, *generation);
            }
            (Some((generation, offset)), CommitFate::InForce(position)) => {
                assert_eq!(*generation, commit.generation, "a reader that was replaced moved {key:?}");
                *offset = (*offset).max(Some(commit.offset.0));
                assert_eq!(position.offset.map(|it| it.0), *offset);
            }
            (promised, fate) => panic!("{key:?}: {fate:?} although {promised:?}"),
        }
    }

    fn delete(&mut self, group: usize, topic: Option<u8>) {
        let before = self.promised.len();
        self.promised.retain(|key, _| key.0 != group || topic.is_some_and(|topic| topic != key.1));
        let gone = (before - self.promised.len()) as u64;
        match self.write(delete(GROUPS[group], topic)) {
            Applied::UnknownGroup => assert_eq!(gone, 0),
            Applied::Deleted { position_count } => assert_eq!(position_count, gone),
            other => panic!("{other:?}"),
        }
    }

    fn step(&mut self, wish: &Wish) {
        match wish {
            Wish::Open { group, topic, partitions } => self.open(*group, *topic, partitions),
            Wish::Commit { group, topic, partitions, offset, age } => {
                self.commit(*group, *topic, partitions, *offset, *age);
            }
            Wish::Reset { group, topic, partition, offset } => {
                let given = positions(self.write(reset(GROUPS[*group], *topic, *partition, *offset)));
                let generation = self.raised(&given);
                self.promised.insert((*group, *topic, *partition), (generation, Some(*offset)));
            }
            Wish::Delete { group, topic } => self.delete(*group, *topic),
            Wish::Snapshot { keep } => {
                let snapshot = self.state.to_snapshot(TINY);
                let begin = self.state.applied_end();
                let count = keep.map_or(snapshot.len(), |keep| keep.min(snapshot.len() - 1));
                for entry in snapshot.into_iter().take(count) {
                    self.write(entry);
                }
                assert_eq!(self.state.trim_to() == Some(begin), keep.is_none());
            }
            Wish::Trim => self.start = self.state.trim_to().map_or(0, |to| to.0),
            Wish::Restart => self.state = replayed(&self.log, self.start).unwrap(),
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        let kept = |key: &Key| {
            let (group, topic) = (group(GROUPS[key.0]), topic(key.1));
            let position = self.state.get(&group, topic, PartitionIndex(key.2))?;
            Some((position.generation, position.offset.map(|it| it.0)))
        };
        for (key, promised) in &self.promised {
            assert_eq!(kept(key), Some(*promised), "{key:?} is not what its readers were told");
        }
        assert_eq!(self.state.position_count(), self.promised.len() as u64, "a position came from nowhere");
        assert_eq!(self.state.generation_last(), self.generation_last);
        assert_eq!(
            replayed(&self.log, self.start).unwrap(),
            self.state,
            "the log from {} tells another",
            self.start
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn confirmed_commits_stand_whatever_happens(wishes in proptest::collection::vec(wish(), 1..60)) {
        let mut history = History::new();
        for wish in &wishes {
            history.step(wish);
            history.check();
        }
        prop_assert_eq!(replayed(&history.log, 0).unwrap(), history.state, "the whole log tells another");
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Entry::from_bytes(&bytes).is_err());
    }
}
