//! The file `recovery-points`: per partition, how far the log is known to be synced.
//!
//! Always true: a point claims only what a completed group of syncs covered. It may lie behind, which costs a longer
//! scan at the next start; it is lowered, durably, before a cut takes anything away.

use std::collections::BTreeMap;

use fidelog_record::types::{Offset, PartitionIndex, TopicId, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::small_file::Stored;

/// Where recovery of one partition may begin.
///
/// ```text
///  start         segment_base     synced_end
///    |-- ... --------|----------------|----------->
///                    0    64      position in that segment's file
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// First offset that retention and deletions left.
    pub start: Offset,
    /// Base offset of the segment that `synced_end` lies in.
    pub segment_base: Offset,
    /// Where in that segment's file the batch at `synced_end` begins, or would; bytes. 0 when there is no such file.
    pub position: u64,
    /// Everything below was synced.
    pub synced_end: Offset,
    /// Everything below was committed; at most `synced_end`.
    pub committed_end: Offset,
    /// Ranges of offsets known to be damaged, in rising order, not overlapping.
    pub damage: Vec<(Offset, Offset)>,
    /// Set while the log is being started over at this offset: all files found then are leftovers.
    pub starting_over: Option<Offset>,
    /// Set while the log is being cut to this offset: whatever is found behind it is to be forgotten.
    pub cutting: Option<Offset>,
}

/// All partitions of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPoints {
    points: BTreeMap<TopicPartition, RecoveryPoint>,
}

impl RecoveryPoints {
    /// The point of a partition, if it has one.
    #[must_use]
    pub fn get(&self, partition: TopicPartition) -> Option<&RecoveryPoint> {
        self.points.get(&partition)
    }

    /// Sets a point; tells whether that changed anything.
    pub fn set(&mut self, partition: TopicPartition, point: RecoveryPoint) -> bool {
        assert!(
            point.committed_end <= point.synced_end,
            "{partition}: committed {} is beyond synced {}",
            point.committed_end,
            point.synced_end
        );
        if self.points.get(&partition) == Some(&point) {
            return false;
        }
        self.points.insert(partition, point);
        true
    }

    /// Forgets a partition whose log is gone; tells whether it was there.
    pub fn remove(&mut self, partition: TopicPartition) -> bool {
        self.points.remove(&partition).is_some()
    }

    /// All of them, by partition.
    pub fn iter(&self) -> impl Iterator<Item = (TopicPartition, &RecoveryPoint)> {
        self.points.iter().map(|(partition, point)| (*partition, point))
    }
}

/// A point as stored, without names because there may be ten thousand: topic, partition, start, segment base,
/// position, synced end, committed end, damage, starting over,
/// cutting.
type Row = (
    TopicId,
    PartitionIndex,
    Offset,
    Offset,
    u64,
    Offset,
    Offset,
    Vec<(Offset, Offset)>,
    Option<Offset>,
    Option<Offset>,
);

impl Serialize for RecoveryPoints {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.points.iter().map(|(at, point)| -> Row {
            let RecoveryPoint { start, segment_base, position, synced_end, committed_end, .. } = *point;
            let (damage, over, cut) = (point.damage.clone(), point.starting_over, point.cutting);
            (
                at.topic,
                at.partition,
                start,
                segment_base,
                position,
                synced_end,
                committed_end,
                damage,
                over,
                cut,
            )
        }))
    }
}

impl<'de> Deserialize<'de> for RecoveryPoints {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        let points = rows.into_iter().map(|row| {
            let (
                topic,
                partition,
                start,
                segment_base,
                position,
                synced_end,
                committed_end,
                damage,
                starting_over,
                cutting,
            ) = row;
            let point = RecoveryPoint {
                start,
                segment_base,
                position,
                synced_end,
                committed_end,
                damage,
                starting_over,
                cutting,
            };
            (TopicPartition { topic, partition }, point)
        });
        Ok(Self { points: points.collect() })
    }
}

impl Stored for RecoveryPoints {
    const KIND: &'static str = "recovery-points";
    const VERSION: u32 = 1;

    fn is_sound(&self) -> bool {
        self.points.values().all(|point| {
            let damage_is_ordered = point.damage.windows(2).all(|pair| pair[0].1 <= pair[1].0);
            let damage_is_whole = point.damage.iter().all(|(start, end)| start < end);
            point.committed_end <= point.synced_end && damage_is_ordered && damage_is_whole
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::small_file;

    #[test]
    fn ten_thousand_points_survive_their_file() {
        let mut points = RecoveryPoints::default();
        for number in 0..10_000u32 {
            let partition =
                TopicPartition { topic: TopicId::from_random([7; 16]), partition: PartitionIndex(number) };
            let synced_end = Offset(u64::from(number) * 3);
            points.set(partition, RecoveryPoint { synced_end, ..RecoveryPoint::default() });
        }
        let bytes = small_file::encode(&points);
        assert!(bytes.len() < 10_000 * 100, "{} bytes", bytes.len());
        assert_eq!(small_file::decode::<RecoveryPoints>(&bytes, Path::new("x")).unwrap(), points);
    }
}
