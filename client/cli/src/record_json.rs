//! One record as one line of JSON: what `consume -o jsonl` prints and `produce -i jsonl` reads.
//!
//! ```text
//!  {"topic":"orders","partition":0,"offset":7,"ts":1767225600000,"key":null,"value":"...","headers":{"name":"..."}}
//! ```
//!
//! `ts` is the record's time, Unix milliseconds. Bytes that are no UTF-8 stand as `{"b64":"..."}`, null as null.
//! What is always true: key, value, headers (their order included) and time survive the way out and in.

use std::fmt;

use bytes::Bytes;
use fidelog_client::{ConsumedRecord, Header, Record};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64;

/// Bytes as text, where they are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("b64", &base64::encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlobVisitor)
    }
}

struct BlobVisitor;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or {\"b64\": \"...\"}")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Blob, E> {
        Ok(Blob(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Blob, A::Error> {
        let wrong = || A::Error::custom("bytes that are no text are written as {\"b64\": \"...\"}");
        let (name, text) = map.next_entry::<String, String>()?.ok_or_else(wrong)?;
        if name != "b64" || map.next_key::<String>()?.is_some() {
            return Err(wrong());
        }
        base64::decode(&text)
            .map(|bytes| Blob(bytes.into()))
            .ok_or_else(|| A::Error::custom("b64 is not base64"))
    }
}

/// Headers as an object, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<Header>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for header in &self.0 {
            map.serialize_entry(header.name.as_str(), &header.value.clone().map(Blob))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of header names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Option<Blob>>()? {
            headers.push(Header { name: name.into(), value: value.map(|value| value.0) });
        }
        Ok(Headers(headers))
    }
}

/// A consumed record, to be printed.
#[derive(Debug, Serialize)]
pub(crate) struct RecordOut<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    ts: u64,
    key: Option<Blob>,
    value: Option<Blob>,
    headers: Headers,
}

impl<'a> RecordOut<'a> {
    pub(crate) fn new(topic: &'a str, record: &ConsumedRecord) -> Self {
        Self {
            topic,
            partition: record.partition,
            offset: record.offset,
            ts: record.timestamp_ms,
            key: record.key.clone().map(Blob),
            value: record.value.clone().map(Blob),
            headers: Headers(record.headers.clone()),
        }
    }
}

/// A record read from a line. Where it came from is known but not used, unless the partition is to be kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordIn {
    #[serde(rename = "topic", default)]
    _topic: Option<String>,
    #[serde(rename = "offset", default)]
    _offset: Option<u64>,
    /// Where it was.
    #[serde(default)]
    pub(crate) partition: Option<u32>,
    #[serde(default)]
    ts: u64,
    #[serde(default)]
    key: Option<Blob>,
    #[serde(default)]
    value: Option<Blob>,
    #[serde(default)]
    headers: Headers,
}

impl RecordIn {
    /// Reads one line.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    pub(crate) fn into_record(self) -> Record {
        Record {
            key: self.key.map(|key| key.0),
            value: self.value.map(|value| value.0),
            headers: self.headers.0,
            timestamp_ms: self.ts,
        }
    }
}

#[cfg(test)]
mod tests {
    use fidelog_client::types::LeaderEpoch;
    use proptest::prelude::*;

    use super::*;

    fn consumed(record: &Record) -> ConsumedRecord {
        ConsumedRecord {
            partition: 2,
            offset: 7,
            leader_epoch: LeaderEpoch(3),
            timestamp_ms: record.timestamp_ms,
            append_time_ms: 9,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        }
    }

    fn line(record: &Record) -> String {
        serde_json::to_string(&RecordOut::new("orders", &consumed(record))).unwrap()
    }

    #[test]
    fn a_line_has_these_fields_in_this_order() {
        let record = Record::new("caf\u{e9}\n").key(&b"\xff"[..]).header("z", "1").header("a", &b"\x80"[..]);
        let mut record = record.timestamp_ms(1_767_225_600_000);
        record.headers.push(Header::null("m"));
        let expected = include_str!("../golden/record.jsonl");
        assert_eq!(line(&record) + "\n", expected);
    }

    #[test]
    fn fields_may_be_missing_but_not_misspelt() {
        let read = |line: &str| RecordIn::parse(line.as_bytes()).map(RecordIn::into_record);
        assert_eq!(read("{}").unwrap(), Record::default());
        assert_eq!(read(r#"{"value":"v"}"#).unwrap(), Record::new("v"));
        for wrong in [
            r#"{"vlaue":"v"}"#,
            r#"{"value":5}"#,
            r#"{"value":{"b64":"?"}}"#,
            r#"{"value":{"b65":"Zg=="}}"#,
            r#"{"value":{}}"#,
            r#"{"value":{"b64":"Zg==","b64":"Zg=="}}"#,
            r#"{"headers":["a"]}"#,
            r#"{"ts":-1}"#,
            "",
            "v",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    fn part() -> impl Strategy<Value = Option<Bytes>> {
        prop_oneof![
            Just(None),
            any::<String>().prop_map(|text| Some(text.into())),
            any::<Vec<u8>>().prop_map(|bytes| Some(bytes.into())),
        ]
    }

    proptest! {
        #[test]
        fn a_record_survives_its_line(
            key in part(),
            value in part(),
            headers in prop::collection::vec((any::<String>(), part()), 0..5),
            timestamp_ms: u64,
        ) {
            let headers = headers.into_iter().map(|(name, value)| Header { name: name.into(), value });
            let record = Record { key, value, headers: headers.collect(), timestamp_ms };
            let line = line(&record);
            prop_assert!(!line.contains('\n'));
            let read = RecordIn::parse(line.as_bytes()).unwrap();
            prop_assert_eq!(read.partition, Some(2));
            prop_assert_eq!(read.into_record(), record);
        }
    }
}
