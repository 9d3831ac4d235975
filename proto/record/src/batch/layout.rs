//! One record inside an expanded records section, byte by byte. Kept for ever.
//!
//! ```text
//!  varint  length            bytes of what follows
//!  u8      attributes        0, refused otherwise
//!  zigzag  timestamp delta   to the batch's base_timestamp_ms
//!  varint  offset delta      to the batch's base_offset; strictly ascending, equal to the index when produced
//!  varint  key length + 1    0 = null
//!          key
//!  varint  value length + 1  0 = null
//!          value
//!  varint  header count
//!  each header:
//!    varint  name length     at least 1
//!            name            UTF-8, unique within the record
//!    varint  value length + 1  0 = null
//!            value
//! ```
//!
//! Varints are LEB128, at most ten bytes, the shortest encoding only: a record has exactly one encoding.
//!
//! Reading borrows and allocates nothing. The limits on headers hold for every reader; the limit on a record's
//! size is a topic's, and the door's business.

use crate::record::{HeaderRef, header_bytes, payload_bytes};
use crate::types::limits::{HEADER_BYTES_MAX, HEADER_COUNT_MAX};
use crate::varint::{self, VarintError};

/// How much of a header's name an error repeats: it may be 32 KiB, and errors travel in small frames.
const NAME_SHOWN_CHARS: usize = 64;

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// One of its numbers.
    #[error(transparent)]
    Varint(#[from] VarintError),
    /// A length that passes the end of its surroundings.
    #[error("the {part} states {bytes} bytes; {available} are left")]
    Truncated {
        /// Which part.
        part: &'static str,
        /// What it states.
        bytes: u64,
        /// What there is.
        available: usize,
    },
    /// Attribute bits that have no meaning yet.
    #[error("the record sets attributes to {found:#04x}; they must be zero")]
    Attributes {
        /// What stands there.
        found: u8,
    },
    /// Bytes behind its last header.
    #[error("the record holds {count} bytes behind its last header")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// Too many headers.
    #[error("the record has {count} headers; at most {HEADER_COUNT_MAX} are allowed")]
    HeaderCount {
        /// How many.
        count: u64,
    },
    /// Too large headers.
    #[error("the record's headers hold {bytes} bytes together; at most {HEADER_BYTES_MAX} are allowed")]
    HeaderBytes {
        /// How many.
        bytes: usize,
    },
    /// A header without a name.
    #[error("header {index} of the record has an empty name; use 1 byte or more")]
    HeaderNameEmpty {
        /// Which header, from 0.
        index: usize,
    },
    /// A header whose name is not text.
    #[error("header {index} of the record has a name that is not UTF-8")]
    HeaderNameText {
        /// Which header, from 0.
        index: usize,
    },
    /// Two headers of one name.
    #[error("the record has two headers named {name:?}; names must be unique")]
    HeaderRepeated {
        /// The name, or the start of a long one.
        name: String,
    },
}

/// What the headers of one record come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderSums {
    pub(crate) count: usize,
    /// Names and values together.
    pub(crate) bytes: usize,
}

/// Checks headers that were read, or are about to be written: number, size, names.
pub(crate) fn check_headers<'a>(
    headers: impl Iterator<Item = HeaderRef<'a>> + Clone,
) -> Result<HeaderSums, RecordError> {
    let count = headers.clone().count();
    if count > HEADER_COUNT_MAX {
        return Err(RecordError::HeaderCount { count: count as u64 });
    }
    if let Some(index) = headers.clone().position(|header| header.name.is_empty()) {
        return Err(RecordError::HeaderNameEmpty { index });
    }
    let bytes = header_bytes(headers.clone());
    if bytes > HEADER_BYTES_MAX {
        return Err(RecordError::HeaderBytes { bytes });
    }
    if count > 1 {
        check_names_differ(headers.map(|header| header.name), count)?;
    }
    Ok(HeaderSums { count, bytes })
}

/// Sorts rather than compares pairs: a hostile batch could ask for tens of millions of pairs.
fn check_names_differ<'a>(headers: impl Iterator<Item = &'a str>, count: usize) -> Result<(), RecordError> {
    let mut names = [""; HEADER_COUNT_MAX];
    for (slot, name) in names.iter_mut().zip(headers) {
        *slot = name;
    }
    let names = &mut names[..count];
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(RecordError::HeaderRepeated { name: pair[0].chars().take(NAME_SHOWN_CHARS).collect() })
        }
        None => Ok(()),
    }
}

/// The headers of a record that was read; they were checked then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredHeaders<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> StoredHeaders<'a> {
    fn take(bytes: &mut &'a [u8]) -> Result<Self, RecordError> {
        let count = varint::take(bytes)?;
        let left = match usize::try_from(count) {
            Ok(left) if left <= HEADER_COUNT_MAX => left,
            _ => return Err(RecordError::HeaderCount { count }),
        };
        let headers = Self { bytes, left };
        for index in 0..left {
            take_header(bytes, index)?;
        }
        Ok(headers)
    }
}

impl<'a> Iterator for StoredHeaders<'a> {
    type Item = HeaderRef<'a>;

    fn next(&mut self) -> Option<HeaderRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(take_header(&mut self.bytes, 0).expect("the headers were read once before"))
    }
}

fn take_header<'a>(bytes: &mut &'a [u8], index: usize) -> Result<HeaderRef<'a>, RecordError> {
    let length = varint::take(bytes)?;
    let name = take_bytes(bytes, length, "header name")?;
    let name = std::str::from_utf8(name).map_err(|_| RecordError::HeaderNameText { index })?;
    Ok(HeaderRef { name, value: take_nullable(bytes, "header value")? })
}

/// One record, borrowed from a section, or about to be put into one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordLayout<'a, H> {
    pub(crate) timestamp_delta_ms: i64,
    pub(crate) offset_delta: u64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Checked by [`check_headers`], and coming to `header_sums`.
    pub(crate) headers: H,
    pub(crate) header_sums: HeaderSums,
}

impl<'a> RecordLayout<'a, StoredHeaders<'a>> {
    /// Takes one record off the front of `section`.
    pub(crate) fn take(section: &mut &'a [u8]) -> Result<Self, RecordError> {
        let length = varint::take(section)?;
        let mut bytes = take_bytes(section, length, "record")?;
        match take_bytes(&mut bytes, 1, "record's attributes")? {
            [0] => {}
            other => return Err(RecordError::Attributes { found: other[0] }),
        }
        let timestamp_delta_ms = varint::unzigzag(varint::take(&mut bytes)?);
        let offset_delta = varint::take(&mut bytes)?;
        let key = take_nullable(&mut bytes, "key")?;
        let value = take_nullable(&mut bytes, "value")?;
        let headers = StoredHeaders::take(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(RecordError::Trailing { count: bytes.len() });
        }
        let header_sums = check_headers(headers)?;
        Ok(Self { timestamp_delta_ms, offset_delta, key, value, headers, header_sums })
    }
}

impl<'a, H: Iterator<Item = HeaderRef<'a>> + Clone> RecordLayout<'a, H> {
    /// Appends the record to a section.
    pub(crate) fn put(&self, section: &mut Vec<u8>) {
        varint::put(section, self.length() as u64);
        section.push(0);
        varint::put(section, varint::zigzag(self.timestamp_delta_ms));
        varint::put(section, self.offset_delta);
        put_nullable(section, self.key);
        put_nullable(section, self.value);
        varint::put(section, self.header_sums.count as u64);
        for header in self.headers.clone() {
            varint::put(section, header.name.len() as u64);
            section.extend_from_slice(header.name.as_bytes());
            put_nullable(section, header.value);
        }
    }

    /// Bytes that [`Self::put`] appends.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let length = self.length();
        varint::size(length as u64) + length
    }

    /// What `record_bytes_max` limits.
    pub(crate) fn payload_bytes(&self) -> usize {
        payload_bytes(self.key, self.value) + self.header_sums.bytes
    }

    fn length(&self) -> usize {
        let header = |header: HeaderRef<'_>| {
            varint::size(header.name.len() as u64) + header.name.len() + nullable_bytes(header.value)
        };
        1 + varint::size(varint::zigzag(self.timestamp_delta_ms))
            + varint::size(self.offset_delta)
            + nullable_bytes(self.key)
            + nullable_bytes(self.value)
            + varint::size(self.header_sums.count as u64)
            + self.headers.clone().map(header).sum::<usize>()
    }
}

fn take_bytes<'a>(bytes: &mut &'a [u8], length: u64, part: &'static str) -> Result<&'a [u8], RecordError> {
    let available = bytes.len();
    let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let (taken, rest) = split.ok_or(RecordError::Truncated { part, bytes: length, available })?;
    *bytes = rest;
    Ok(taken)
}

fn take_nullable<'a>(bytes: &mut &'a [u8], part: &'static str) -> Result<Option<&'a [u8]>, RecordError> {
    match varint::take(bytes)? {
        0 => Ok(None),
        length => take_bytes(bytes, length - 1, part).map(Some),
    }
}

fn put_nullable(section: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        None => varint::put(section, 0),
        Some(bytes) => {
            varint::put(section, bytes.len() as u64 + 1);
            section.extend_from_slice(bytes);
        }
    }
}

fn nullable_bytes(part: Option<&[u8]>) -> usize {
    part.map_or(1, |bytes| varint::size(bytes.len() as u64 + 1) + bytes.len())
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
