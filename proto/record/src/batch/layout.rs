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
        /// The name.
        name: String,
    },
}

/// Headers of one record, checked, none allocated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderList<'a> {
    items: [HeaderRef<'a>; HEADER_COUNT_MAX],
    count: usize,
}

impl<'a> HeaderList<'a> {
    const EMPTY: Self = Self { items: [HeaderRef { name: "", value: None }; HEADER_COUNT_MAX], count: 0 };

    /// Takes headers that are about to be encoded, and checks them as a reader will.
    pub(crate) fn collect(headers: impl ExactSizeIterator<Item = HeaderRef<'a>>) -> Result<Self, RecordError> {
        let mut list = Self::EMPTY;
        list.reserve(headers.len() as u64)?;
        for header in headers {
            list.push(header)?;
        }
        list.check()
    }

    fn read(bytes: &mut &'a [u8]) -> Result<Self, RecordError> {
        let count = varint::take(bytes)?;
        let mut list = Self::EMPTY;
        list.reserve(count)?;
        for index in 0..count {
            let length = varint::take(bytes)?;
            let name = take_bytes(bytes, length, "header name")?;
            let name = std::str::from_utf8(name).map_err(|_| RecordError::HeaderNameText { index: list.count });
            debug_assert_eq!(index, list.count as u64, "headers are pushed one by one");
            let header = HeaderRef { name: name?, value: take_nullable(bytes, "header value")? };
            list.push(header)?;
        }
        list.check()
    }

    fn reserve(&mut self, count: u64) -> Result<(), RecordError> {
        match count > HEADER_COUNT_MAX as u64 {
            true => Err(RecordError::HeaderCount { count }),
            false => Ok(()),
        }
    }

    fn push(&mut self, header: HeaderRef<'a>) -> Result<(), RecordError> {
        if header.name.is_empty() {
            return Err(RecordError::HeaderNameEmpty { index: self.count });
        }
        self.items[self.count] = header;
        self.count += 1;
        Ok(())
    }

    fn check(self) -> Result<Self, RecordError> {
        let bytes = self.bytes();
        if bytes > HEADER_BYTES_MAX {
            return Err(RecordError::HeaderBytes { bytes });
        }
        // Sorted rather than compared in pairs: a hostile batch could ask for tens of millions of pairs.
        let mut names = [""; HEADER_COUNT_MAX];
        for (name, header) in names.iter_mut().zip(self.as_slice()) {
            *name = header.name;
        }
        let names = &mut names[..self.count];
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RecordError::HeaderRepeated { name: pair[0].to_owned() }),
            None => Ok(self),
        }
    }

    pub(crate) fn as_slice(&self) -> &[HeaderRef<'a>] {
        &self.items[..self.count]
    }

    pub(crate) fn bytes(&self) -> usize {
        header_bytes(self.as_slice().iter().copied())
    }
}

/// One record, borrowed from a section, or about to be put into one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordLayout<'a> {
    pub(crate) timestamp_delta_ms: i64,
    pub(crate) offset_delta: u64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: HeaderList<'a>,
}

impl<'a> RecordLayout<'a> {
    /// Takes one record off the front of `section`.
    pub(crate) fn take(section: &mut &'a [u8]) -> Result<Self, RecordError> {
        let length = varint::take(section)?;
        let mut bytes = take_bytes(section, length, "record")?;
        let (&attributes, rest) =
            bytes.split_first().ok_or(RecordError::Truncated { part: "record", bytes: 1, available: 0 })?;
        if attributes != 0 {
            return Err(RecordError::Attributes { found: attributes });
        }
        bytes = rest;
        let record = Self {
            timestamp_delta_ms: varint::unzigzag(varint::take(&mut bytes)?),
            offset_delta: varint::take(&mut bytes)?,
            key: take_nullable(&mut bytes, "key")?,
            value: take_nullable(&mut bytes, "value")?,
            headers: HeaderList::read(&mut bytes)?,
        };
        match bytes.len() {
            0 => Ok(record),
            count => Err(RecordError::Trailing { count }),
        }
    }

    /// Appends the record to a section.
    pub(crate) fn put(&self, section: &mut Vec<u8>) {
        varint::put(section, self.length() as u64);
        section.push(0);
        varint::put(section, varint::zigzag(self.timestamp_delta_ms));
        varint::put(section, self.offset_delta);
        put_nullable(section, self.key);
        put_nullable(section, self.value);
        varint::put(section, self.headers.count as u64);
        for header in self.headers.as_slice() {
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
        payload_bytes(self.key, self.value) + self.headers.bytes()
    }

    fn length(&self) -> usize {
        let header = |header: &HeaderRef<'_>| {
            varint::size(header.name.len() as u64) + header.name.len() + nullable_bytes(header.value)
        };
        1 + varint::size(varint::zigzag(self.timestamp_delta_ms))
            + varint::size(self.offset_delta)
            + nullable_bytes(self.key)
            + nullable_bytes(self.value)
            + varint::size(self.headers.count as u64)
            + self.headers.as_slice().iter().map(header).sum::<usize>()
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
