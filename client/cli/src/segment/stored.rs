//! A data directory for tests: one segment of four batches, written byte by byte, and the recovery point beside it.

use std::path::{Path, PathBuf};

use fidelog_client::types::{ClusterId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use fidelog_log::{RecoveryPoint, RecoveryPoints, SegmentHeader, Stored as _};
use fidelog_record::{BatchBuilder, Codec, Placement, ProducerStamp, Record};
use tempfile::TempDir;

const AT: TopicPartition = TopicPartition { topic: TopicId::NIL, partition: PartitionIndex(3) };
const BATCHES: u64 = 4;
const NAME: &str = "00000000000000000000.log";

pub(super) struct Stored {
    root: TempDir,
    segment: PathBuf,
    middle: usize,
}

impl Stored {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let partition = root.path().join("topics").join(TopicId::NIL.to_string()).join("3");
        std::fs::create_dir_all(&partition).unwrap();
        let header = SegmentHeader { cluster: ClusterId::NIL, partition: AT, base: Offset(0) };
        let mut bytes = header.to_bytes().to_vec();
        let mut middle = 0;
        for index in 0..BATCHES {
            middle = if index == BATCHES / 2 { bytes.len() } else { middle };
            bytes.extend(batch(2 * index));
        }
        let point = RecoveryPoint {
            position: bytes.len() as u64,
            synced_end: Offset(2 * BATCHES),
            ..RecoveryPoint::default()
        };
        bytes.resize(bytes.len() + 4096, 0);
        let segment = partition.join(NAME);
        std::fs::write(&segment, bytes).unwrap();
        let mut points = RecoveryPoints::default();
        points.set(AT, point);
        let json = serde_json::to_string(&points).unwrap();
        let (kind, version, crc) =
            (RecoveryPoints::KIND, RecoveryPoints::VERSION, crc32fast::hash(json.as_bytes()));
        let file = format!("fidelog {kind} {version} crc32={crc:08x}\n{json}");
        std::fs::write(root.path().join("recovery-points"), file).unwrap();
        Self { root, segment, middle }
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn segment(&self) -> &Path {
        &self.segment
    }

    /// Where the third batch begins, bytes.
    pub(super) fn middle(&self) -> usize {
        self.middle
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(&self.segment).unwrap();
        change(&mut bytes);
        std::fs::write(&self.segment, bytes).unwrap();
    }

    /// The segment alone, away from its data directory.
    pub(super) fn bare(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(&self.segment, directory.path().join(NAME)).unwrap();
        directory
    }
}

/// Two records; what was committed is told as far behind as a batch may.
fn batch(base: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for offset in base..base + 2 {
        builder.try_push_record(&Record::new(format!("value {offset}")).timestamp_ms(1)).unwrap();
    }
    let placement = Placement {
        topic_partition: AT,
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(1),
        append_time_ms: 5,
        committed_below: Offset(0),
    };
    builder.finish(ProducerStamp::NONE).unwrap().place(placement).to_bytes().to_vec()
}
