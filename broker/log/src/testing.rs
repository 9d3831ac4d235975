//! What the tests of this floor share: a real disk in a temporary directory, and batches.

use std::sync::Arc;

use fidelog_record::types::{LeaderEpoch, Offset};
use fidelog_record::{BatchHeader, Codec, ProducerStamp};
use tempfile::TempDir;

use crate::env::{Latched, RealClock, RealDisk};
use crate::files::Files;

/// A disk below a new temporary directory.
pub(crate) fn files() -> (Files, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Files::new(latched(directory.path())), directory)
}

pub(crate) fn latched(root: &std::path::Path) -> Latched {
    Latched::new(Arc::new(RealDisk), root, Arc::new(RealClock))
}

/// A header of one record at offset 0.
pub(crate) fn header() -> BatchHeader {
    BatchHeader {
        length: 200,
        base_offset: Offset(0),
        end_offset: Offset(1),
        leader_epoch: LeaderEpoch(1),
        head_crc: 0,
        append_time_ms: 0,
        committed_below: Offset(0),
        body_crc: 0,
        codec: Codec::None,
        producer: ProducerStamp::NONE,
        record_count: 1,
        base_timestamp_ms: 0,
        max_timestamp_ms: 0,
        expanded_bytes: 96,
    }
}
