//! Finding segment files, and where each ends.
//!
//! A segment is named after its base offset, in 20 digits. Of the segments of one directory each but the newest ends
//! where the next one begins.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fidelog_client::types::Offset;
use fidelog_log::env::{Disk, DiskFile, EntryKind, OpenMode, RealDisk};
use fidelog_log::{SEGMENT_HEADER_BYTES, SegmentHeader};

use crate::exit::{Exit, Failure};

const NAME_DIGITS: usize = 20;
/// What was cut from logs is kept there: segments no more.
const ASIDE: &str = "aside";
/// Deeper than any data directory.
const DEPTH_MAX: usize = 8;

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    pub(super) base: Offset,
    /// Exclusive; `None`: the newest of its directory, which may grow.
    pub(super) end: Option<Offset>,
}

/// The segments at `path`: one file, or all below a directory, in order.
pub(super) fn find(path: &Path) -> Result<Vec<SegmentFile>, Failure> {
    let named = path.file_name().and_then(|name| name.to_str()).and_then(base);
    let found = match (named, path.is_dir()) {
        (Some(base), false) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let siblings =
                in_directory(parent.unwrap_or(Path::new("."))).map_err(|error| failed(path, &error))?;
            let end = siblings.iter().map(|segment| segment.base).filter(|other| *other > base).min();
            vec![SegmentFile { path: path.to_owned(), base, end }]
        }
        (None, false) if path.exists() => {
            let said = "is no segment; segments are named after their base offset, 20 digits and .log";
            return Err(Failure::usage(format!("{} {said}", path.display())));
        }
        _ => {
            let mut found = Vec::new();
            below(path, DEPTH_MAX, &mut found).map_err(|error| failed(path, &error))?;
            found
        }
    };
    match found.is_empty() {
        true => Err(Failure::new(Exit::NotFound, format!("{} holds no segments", path.display()))),
        false => Ok(found),
    }
}

fn below(directory: &Path, depth: usize, found: &mut Vec<SegmentFile>) -> io::Result<()> {
    found.extend(in_directory(directory)?);
    for entry in RealDisk.list(directory)? {
        if entry.kind == EntryKind::Directory && entry.name != ASIDE && depth > 0 {
            below(&directory.join(&entry.name), depth - 1, found)?;
        }
    }
    Ok(())
}

fn in_directory(directory: &Path) -> io::Result<Vec<SegmentFile>> {
    let entries = RealDisk.list(directory)?;
    let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
    let bases: Vec<_> = files.filter_map(|entry| Some((entry.name.as_str(), base(&entry.name)?))).collect();
    let ends = bases.iter().skip(1).map(|(_, base)| Some(*base)).chain([None]);
    let segments = bases.iter().zip(ends);
    Ok(segments
        .map(|((name, base), end)| SegmentFile { path: directory.join(name), base: *base, end })
        .collect())
}

fn base(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log")?;
    let sound = digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().ok().map(Offset))?
}

/// A segment, opened to read.
pub(super) struct OpenSegment {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) file_bytes: u64,
    /// What its header says, or why it is not believed.
    pub(super) header: Result<SegmentHeader, String>,
}

pub(super) fn open(segment: &SegmentFile) -> Result<OpenSegment, Failure> {
    let opened = || {
        let file = RealDisk.open(&segment.path, OpenMode::Read)?;
        let file_bytes = file.len()?;
        let count =
            usize::try_from(file_bytes.min(SEGMENT_HEADER_BYTES)).expect("at most a header's 64 bytes");
        let mut raw = vec![0; count];
        file.read_exact_at(&mut raw, 0)?;
        let header = match SegmentHeader::parse(&raw) {
            Ok(header) if header.base == segment.base => Ok(header),
            Ok(header) => Err(format!("its header says base offset {}: it was renamed", header.base)),
            Err(misfit) => Err(misfit.to_string()),
        };
        Ok(OpenSegment { file, file_bytes, header })
    };
    opened().map_err(|error| failed(&segment.path, &error))
}

pub(super) fn failed(path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        io::ErrorKind::PermissionDenied => Exit::NotAllowed,
        _ => Exit::Failure,
    };
    Failure::new(exit, format!("{}: {error}", path.display()))
}
