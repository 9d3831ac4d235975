//! Splitting bytes as stored, one placed batch behind the other, into batches: what a fetch answers with.

use bytes::Bytes;

use crate::types::{Offset, TopicPartition};

use super::header::BatchHeader;
use super::misfit::Misfit;
use super::placed::PlacedBatch;

/// The batches in a piece of one partition's log, each verified before it is yielded: both checksums, and that it
/// begins where the one before it ended. Ends behind the first misfit.
///
/// The first batch may begin below the offset that was asked for; skipping its first records is the caller's.
#[derive(Clone, Debug)]
pub struct Batches {
    bytes: Bytes,
    at: TopicPartition,
    expected: Option<Offset>,
}

impl Batches {
    /// Over bytes that hold whole batches of one partition; the bodies are shared.
    #[must_use]
    pub fn new(bytes: Bytes, at: TopicPartition) -> Self {
        Self { bytes, at, expected: None }
    }

    fn split(&mut self) -> Result<PlacedBatch, Misfit> {
        let header = BatchHeader::scan(&self.bytes, self.at)?;
        let found = header.base_offset;
        if let Some(expected) = self.expected
            && expected != found
        {
            return Err(Misfit::Order { expected, found });
        }
        self.expected = Some(header.end_offset);
        let batch = self.bytes.split_to(header.length as usize);
        Ok(PlacedBatch::from_bytes(batch)?)
    }
}

impl Iterator for Batches {
    type Item = Result<PlacedBatch, Misfit>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let next = self.split();
        if next.is_err() {
            self.bytes.clear();
        }
        Some(next)
    }
}

impl std::iter::FusedIterator for Batches {}
