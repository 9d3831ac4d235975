//! Opening what lies at a path, judged as a start would judge it: by the log's own offline reading.

use std::io;
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::RealDisk;
use fidelog_log::{DiskError, OfflineDir, OfflineError, OfflinePartition, OfflineSegment, SegmentTail};

use crate::exit::{Exit, Failure};

/// The logs at `path`: one segment file, or all below a directory.
pub(super) fn open(path: &Path) -> Result<OfflineDir, Failure> {
    OfflineDir::open(Arc::new(RealDisk), path).map_err(|error| match error {
        OfflineError::NoSegments { .. } if path.is_file() => {
            let said = "is no segment; segments are named after their base offset, 20 digits and .log";
            Failure::usage(format!("{} {said}", path.display()))
        }
        OfflineError::NoSegments { .. } => Failure::new(Exit::NotFound, error.to_string()),
        OfflineError::UnknownPartition { .. } => Failure::new(Exit::Problem, error.to_string()),
        OfflineError::Disk(error) => disk(&error),
    })
}

pub(super) fn disk(error: &DiskError) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        io::ErrorKind::PermissionDenied => Exit::NotAllowed,
        _ => Exit::Failure,
    };
    Failure::new(exit, error.to_string())
}

/// What bytes behind the last batch of a segment mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Torn {
    /// They lie beyond everything that was known to be synced: a crash left them, and the next start cuts them.
    Told(String),
    /// Nothing says how far the log was synced: they may be acknowledged records.
    CannotTell(String),
}

/// The torn tail of a segment, if it has one.
pub(super) fn torn(
    partition: &OfflinePartition,
    segment: &OfflineSegment,
    tail: Option<&SegmentTail>,
) -> Option<Torn> {
    let Some(SegmentTail::Torn { position, bytes, misfit }) = tail else { return None };
    let said = format!("{bytes} bytes at byte {position} are no batch: {misfit}");
    Some(match partition.point.is_some() || segment.is_sealed() {
        true => Torn::Told(said),
        false => Torn::CannotTell(format!(
            "{said}; cannot tell a torn tail from damage: no recovery point says how far it was synced; look at it \
             where it lies in its data directory"
        )),
    })
}
