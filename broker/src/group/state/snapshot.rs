//! A snapshot of positions: ordinary records of the same log, from a begin over numbered parts to an end.
//!
//! Nothing stands between its records. An entry that does, a part missing, a record landed elsewhere than foreseen:
//! the snapshot is void, as if it had never been written; that is what a leader that stops midway leaves behind.
//! A state that meets a snapshot compares it with itself, piece by piece; only one found equal lets the log be
//! trimmed up to its begin. So a broken snapshot can cost space, never positions.

use fidelog_record::types::limits::{NAME_BYTES_MAX, RECORD_BYTES_MAX};
use fidelog_record::types::{Generation, GroupName, Offset, PartitionIndex, TopicId};

use super::applied::{Applied, SnapshotStep};
use super::entry::{Entry, SnapshotSlice};
use super::position::{PartitionPosition, Position};
use super::positions::{History, PositionsState};

/// The least weight of entries that makes a snapshot worth its bytes.
pub const SNAPSHOT_WEIGHT_MIN: u64 = 10_000;
/// The most positions in one part. With names and owners at their longest a part stays below the largest record.
const PART_POSITION_COUNT_MAX: usize = 2_000;
/// What one position of a part may take: both names, the owner's with every byte escaped, and the numbers.
const LISTED_POSITION_BYTES_MAX: usize = 7 * NAME_BYTES_MAX + 512;

const _: () = assert!(PART_POSITION_COUNT_MAX * LISTED_POSITION_BYTES_MAX <= RECORD_BYTES_MAX);

/// When to make a snapshot, and of which pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSizes {
    /// The least weight of entries since the last one.
    pub weight_min: u64,
    /// The most positions in one part; at least 1.
    pub part_position_count_max: usize,
}

impl Default for SnapshotSizes {
    fn default() -> Self {
        Self { weight_min: SNAPSHOT_WEIGHT_MIN, part_position_count_max: PART_POSITION_COUNT_MAX }
    }
}

/// Reads one snapshot, record by record, and checks its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotReader {
    begin: Offset,
    part_count: u32,
    position_count: u64,
    /// The last position read: they rise, so that none is there twice.
    last: Option<(GroupName, TopicId, PartitionIndex)>,
}

impl SnapshotReader {
    /// A snapshot begins at `offset`; `None` when it landed elsewhere than foreseen.
    pub(super) fn begin(offset: Offset, as_of: Offset) -> Option<Self> {
        (offset == as_of).then_some(Self { begin: offset, part_count: 0, position_count: 0, last: None })
    }

    /// Where it begins.
    pub(super) fn begin_offset(&self) -> Offset {
        self.begin
    }

    /// The next part: `visit` gets each position and says whether it is right. False: the snapshot is void.
    pub(super) fn part(
        &mut self,
        index: u32,
        slices: &[SnapshotSlice],
        mut visit: impl FnMut(&GroupName, TopicId, &PartitionPosition) -> bool,
    ) -> bool {
        if index != self.part_count {
            return false;
        }
        self.part_count += 1;
        for slice in slices {
            for listed in &slice.positions {
                let key = (slice.group.clone(), slice.topic, listed.partition);
                if self.last.as_ref() >= Some(&key) || !visit(&slice.group, slice.topic, listed) {
                    return false;
                }
                self.last = Some(key);
                self.position_count += 1;
            }
        }
        true
    }

    /// Whether it is whole.
    pub(super) fn is_whole(&self, part_count: u32, position_count: u64) -> bool {
        self.part_count == part_count && self.position_count == position_count
    }
}

impl PositionsState {
    /// A snapshot of this state, to be written so that its first record lands at [`Self::applied_end`] and nothing
    /// else comes between its records.
    #[must_use]
    pub fn to_snapshot(&self, sizes: SnapshotSizes) -> Vec<Entry> {
        let begin = Entry::SnapshotBegin { as_of: self.applied_end, generation_last: self.generation_last };
        let mut parts = Parts { sizes, done: Vec::new(), slices: Vec::new(), count: 0 };
        for (group, topics) in &self.groups {
            for (&topic, positions) in topics {
                for (&partition, position) in positions {
                    parts.push(group, topic, partition, position);
                }
            }
        }
        let parts = parts.finish();
        let part_count =
            u32::try_from(parts.len()).expect("the number of positions is limited far below 2^32");
        let end = Entry::SnapshotEnd { part_count, position_count: self.position_count };
        std::iter::once(begin).chain(parts).chain([end]).collect()
    }

    /// A record of a snapshot goes by in the log.
    pub(super) fn snapshot_passes(&mut self, offset: Offset, entry: &Entry) -> Applied {
        let passing = self.history.passing.take();
        self.history.passing = match entry {
            Entry::SnapshotBegin { as_of, generation_last } if *generation_last == self.generation_last => {
                SnapshotReader::begin(offset, *as_of)
            }
            Entry::SnapshotPart { index, slices } => passing.and_then(|mut reader| {
                let equal = reader.part(*index, slices, |group, topic, it| self.holds(group, topic, it));
                equal.then_some(reader)
            }),
            Entry::SnapshotEnd { part_count, position_count } => {
                return Applied::Snapshot(self.snapshot_ends(passing, *part_count, *position_count));
            }
            _ => None,
        };
        Applied::Snapshot(if self.history.passing.is_some() {
            SnapshotStep::Passing
        } else {
            SnapshotStep::Void
        })
    }

    fn snapshot_ends(
        &mut self,
        passing: Option<SnapshotReader>,
        part_count: u32,
        position_count: u64,
    ) -> SnapshotStep {
        match passing {
            Some(it) if it.is_whole(part_count, position_count) && position_count == self.position_count => {
                self.history = History { snapshot: Some(it.begin_offset()), ..History::default() };
                SnapshotStep::Whole
            }
            _ => SnapshotStep::Void,
        }
    }

    fn holds(&self, group: &GroupName, topic: TopicId, listed: &PartitionPosition) -> bool {
        self.get(group, topic, listed.partition) == Some(&listed.position)
    }

    /// The state whose positions were all restored from a whole snapshot that ends at `end`.
    pub(super) fn restored(self, reader: &SnapshotReader, generation_last: Generation, end: Offset) -> Self {
        let history = History { snapshot: Some(reader.begin_offset()), ..History::default() };
        Self { applied_end: end.plus(1), generation_last, history, ..self }
    }

    /// Puts in one position of a snapshot.
    pub(super) fn restore(&mut self, group: &GroupName, topic: TopicId, listed: &PartitionPosition) {
        let topics = self.groups.entry(group.clone()).or_default();
        topics.entry(topic).or_default().insert(listed.partition, listed.position.clone());
        self.position_count += 1;
    }
}

/// Positions on their way into parts.
struct Parts {
    sizes: SnapshotSizes,
    done: Vec<Entry>,
    slices: Vec<SnapshotSlice>,
    /// Positions in `slices`.
    count: usize,
}

impl Parts {
    fn push(&mut self, group: &GroupName, topic: TopicId, partition: PartitionIndex, position: &Position) {
        if self.count >= self.sizes.part_position_count_max {
            self.close();
        }
        let listed = PartitionPosition { partition, position: position.clone() };
        self.count += 1;
        match self.slices.last_mut() {
            Some(slice) if slice.group == *group && slice.topic == topic => slice.positions.push(listed),
            _ => self.slices.push(SnapshotSlice { group: group.clone(), topic, positions: vec![listed] }),
        }
    }

    fn close(&mut self) {
        let index =
            u32::try_from(self.done.len()).expect("the number of positions is limited far below 2^32");
        self.done.push(Entry::SnapshotPart { index, slices: std::mem::take(&mut self.slices) });
        self.count = 0;
    }

    fn finish(mut self) -> Vec<Entry> {
        if self.count > 0 {
            self.close();
        }
        self.done
    }
}
