//! Writes consumed records to stdout in the format asked for.

use std::io::{self, Write};

use fidelog_client::ConsumedRecord;
use serde::{Serialize, Serializer};

use super::format::RecordFormat;
use crate::output::{Format, Row, Stream};
use crate::quantity::time_ms;
use crate::record_json::RecordOut;

/// Prints records to `W`.
#[derive(Debug)]
pub(super) struct Printer<W: Write> {
    topic: String,
    stream: Stream<W>,
    /// `None`: rows, in the stream's own format.
    percent: Option<RecordFormat>,
}

impl<W: Write> Printer<W> {
    /// Rows when a format of answers is asked for, `percent` otherwise.
    pub(super) fn new(topic: &str, out: W, format: Option<Format>, percent: RecordFormat) -> Self {
        Self {
            topic: topic.to_owned(),
            stream: Stream::new(out, format.unwrap_or(Format::Table)),
            percent: format.is_none().then_some(percent),
        }
    }

    pub(super) fn print(&mut self, record: &ConsumedRecord) -> io::Result<()> {
        let topic = &self.topic;
        match &self.percent {
            Some(percent) => self.stream.raw(|out| percent.write(out, topic, record)),
            None => self.stream.push(&RecordRow { topic, record }),
        }
    }

    /// Once this returns well, stdout took everything printed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.stream.end()
    }
}

struct RecordRow<'a> {
    topic: &'a str,
    record: &'a ConsumedRecord,
}

impl Serialize for RecordRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RecordOut::new(self.topic, self.record).serialize(serializer)
    }
}

impl Row for RecordRow<'_> {
    const COLUMNS: &'static [&'static str] = &["PARTITION", "OFFSET", "TIME", "KEY", "VALUE"];
    const WIDE: &'static [&'static str] = &["HEADERS", "EPOCH", "APPENDED"];

    fn name(&self) -> String {
        format!("{}/{}@{}", self.topic, self.record.partition, self.record.offset)
    }

    fn cells(&self) -> Vec<String> {
        let record = self.record;
        vec![
            record.partition.to_string(),
            record.offset.to_string(),
            time_ms(record.timestamp_ms),
            text(record.key.as_deref()),
            text(record.value.as_deref()),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let record = self.record;
        let headers = record.headers.iter();
        let headers = headers.map(|header| format!("{}={}", header.name, text(header.value.as_deref())));
        vec![
            headers.collect::<Vec<_>>().join(","),
            record.leader_epoch.to_string(),
            time_ms(record.append_time_ms),
        ]
    }
}

/// For people only: what is no UTF-8 is replaced.
fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use fidelog_client::types::LeaderEpoch;

    use super::*;

    fn printed(format: Option<Format>) -> String {
        let record = ConsumedRecord {
            partition: 1,
            offset: 5,
            leader_epoch: LeaderEpoch(2),
            timestamp_ms: 0,
            append_time_ms: 0,
            key: None,
            value: Some("a\x1b[1m".into()),
            headers: Vec::new(),
        };
        let mut out = Vec::new();
        let mut printer = Printer::new("t", &mut out, format, RecordFormat::default());
        printer.print(&record).unwrap();
        printer.end().unwrap();
        drop(printer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_in_every_format() {
        assert_eq!(printed(None), "a\x1b[1m\n");
        assert_eq!(printed(Some(Format::Name)), "t/1@5\n");
        let json =
            r#"{"topic":"t","partition":1,"offset":5,"ts":0,"key":null,"value":"a\u001b[1m","headers":{}}"#;
        assert_eq!(printed(Some(Format::Jsonl)), format!("{json}\n"));
        assert_eq!(printed(Some(Format::Json)), format!("[\n{json}\n]\n"));
        let table = "PARTITION  OFFSET     TIME       KEY        VALUE\n1          5          -          null       a\\u{1b}[1m\n";
        assert_eq!(printed(Some(Format::Table)), table);
    }
}
