//! What lies on the disks of stopped brokers: every replica of a partition must hold the same bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::RealDisk;
use fidelog_log::{OfflineDir, OfflineError, Piece};

use super::broker::Broker;

/// The stored batches of every partition, byte for byte, by the path of its directory; and where they begin.
fn batches(data_dir: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let found = match OfflineDir::open(Arc::new(RealDisk), data_dir) {
        Ok(found) => found,
        // It only votes, or never held a record.
        Err(OfflineError::NoSegments { .. }) => return all,
        Err(error) => panic!("a stopped broker's logs are not found: {error}"),
    };
    for partition in found.partitions() {
        let (mut bytes, mut start) = (Vec::new(), None);
        for segment in &partition.segments {
            let mut walk = found.walk(partition, segment).expect("the partition is known by its path");
            while let Some(piece) = walk.step().expect("the disk is read") {
                let Piece::Batch(batch) = piece else { panic!("damage in {}", segment.path.display()) };
                start.get_or_insert(batch.header.base_offset.0);
                bytes.extend_from_slice(&batch.bytes);
            }
        }
        let id = partition.partition.expect("no path is that of nobody's partition");
        all.insert(id.to_string(), (start.unwrap_or(0), bytes));
    }
    all
}

/// Stops every broker in order and compares what they hold. Tells how many bytes that is, on one of them.
///
/// # Panics
/// When two replicas of a partition differ. One that begins later, having been refilled after retention, must hold the
/// end of the other.
pub(crate) fn stop_and_compare(brokers: &mut [Broker]) -> usize {
    for broker in brokers.iter_mut() {
        assert_eq!(broker.terminate().code(), Some(0), "broker {} did not stop cleanly", broker.id);
    }
    let mut seen: BTreeMap<String, (u32, u64, Vec<u8>)> = BTreeMap::new();
    for broker in brokers.iter() {
        for (partition, (start, bytes)) in batches(&broker.data_dir()) {
            let Some((other, other_start, held)) = seen.get(&partition) else {
                seen.insert(partition, (broker.id, start, bytes));
                continue;
            };
            let same = if start == *other_start {
                bytes == *held
            } else {
                held.ends_with(&bytes) || bytes.ends_with(held)
            };
            assert!(
                same,
                "{partition}: broker {} holds {} bytes from offset {start}, broker {other} {} from {other_start}, and they \
                 differ",
                broker.id,
                bytes.len(),
                held.len()
            );
        }
    }
    seen.values().map(|(_, _, bytes)| bytes.len()).sum()
}
