//! Segments: the files a log is made of.
//!
//! `header` and the batches behind it are the data; `offset_index` and `time_index` are hints. `file` is one segment
//! on disk, opened when it is needed; `read` finds batches in it; `survey` goes over all of it, around damage.

mod file;
mod header;
mod offset_index;
mod read;
mod survey;
mod time_index;

pub(crate) use file::{Indexes, OpenSegment, Segment, SegmentFiles};
pub use header::{
    SEGMENT_FORMAT_VERSION, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SegmentHeader, SegmentHeaderMisfit,
};
pub(crate) use read::{Located, Lookup};
pub(crate) use survey::{Found, Survey};
