//! A record as a program sees it: a key, a value, headers and a time.
//!
//! [`Record`] owns its bytes and is what an SDK's user makes; [`RecordRef`] borrows them and is what a batch is
//! built from. Neither has an offset: only a stored record has one ([`crate::batch::StoredRecord`]).
//! Sizes are not checked here but where a record enters a batch.

use std::fmt;

use bytes::Bytes;

/// The name of a header: UTF-8 text. An empty one can be made and is refused by the batch builder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(Bytes);

impl HeaderName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("every way to make a header name checks that it is UTF-8")
    }
}

impl TryFrom<Bytes> for HeaderName {
    type Error = std::str::Utf8Error;

    fn try_from(name: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&name)?;
        Ok(Self(name))
    }
}

impl From<&str> for HeaderName {
    fn from(name: &str) -> Self {
        Self(Bytes::copy_from_slice(name.as_bytes()))
    }
}

impl From<String> for HeaderName {
    fn from(name: String) -> Self {
        Self(Bytes::from(name))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A named value beside a record's own. Names are unique within a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, at least one byte.
    pub name: HeaderName,
    /// Its value; `None` is null and differs from empty.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    pub fn new(name: impl Into<HeaderName>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// A header whose value is null.
    pub fn null(name: impl Into<HeaderName>) -> Self {
        Self { name: name.into(), value: None }
    }

    /// The same header, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> HeaderRef<'_> {
        HeaderRef { name: self.name.as_str(), value: self.value.as_deref() }
    }
}

/// A record to be produced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Decides the partition, and later what compaction keeps; `None` is null and differs from empty.
    pub key: Option<Bytes>,
    /// The payload; `None` is null and differs from empty.
    pub value: Option<Bytes>,
    /// Named values beside the payload, in the order given.
    pub headers: Vec<Header>,
    /// When it happened, Unix milliseconds; 0 until set.
    pub timestamp_ms: u64,
}

impl Record {
    /// A record with a value, and with neither key, headers nor time.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record whose value is null: for a keyed topic, "this key is gone".
    #[must_use]
    pub fn tombstone(key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header after those it has.
    #[must_use]
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// Sets the time, Unix milliseconds.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: u64) -> Self {
        self.timestamp_ms = timestamp_ms;
        self
    }

    /// What `record_bytes_max` limits: bytes of key, value, header names and header values together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(Header::as_ref);
        payload_bytes(self.key.as_deref(), self.value.as_deref()) + header_bytes(headers)
    }
}

/// A header, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Its name, at least one byte.
    pub name: &'a str,
    /// Its value; `None` is null and differs from empty.
    pub value: Option<&'a [u8]>,
}

/// A record to be produced, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// As [`Record::key`].
    pub key: Option<&'a [u8]>,
    /// As [`Record::value`].
    pub value: Option<&'a [u8]>,
    /// As [`Record::headers`].
    pub headers: &'a [HeaderRef<'a>],
    /// When it happened, Unix milliseconds.
    pub timestamp_ms: u64,
}

/// Bytes of a key and a value together.
pub(crate) fn payload_bytes(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}

/// Bytes of headers together, names and values.
pub(crate) fn header_bytes<'a>(headers: impl Iterator<Item = HeaderRef<'a>>) -> usize {
    headers.map(|header| header.name.len() + header.value.map_or(0, <[u8]>::len)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_size_counts_payload_and_headers() {
        let record = Record::new("value").key("key").header("a", "12").header("b", "");
        assert_eq!(record.bytes(), 5 + 3 + 3 + 1);
        assert_eq!(Record::tombstone("key").bytes(), 3);
    }

    #[test]
    fn a_header_name_is_text() {
        assert!(HeaderName::try_from(Bytes::from_static(&[0xff])).is_err());
        let name = HeaderName::try_from(Bytes::from_static("größe".as_bytes())).unwrap();
        assert_eq!(
            (name.as_str(), name.to_string(), format!("{name:?}")),
            ("größe", "größe".into(), "\"größe\"".into())
        );
    }
}
