//! The percent format of `consume -f`. Pure.
//!
//! Keys and values are written byte for byte; null is written as nothing.

use std::io::{self, Write};
use std::str::FromStr;

use fidelog_client::ConsumedRecord;

use crate::escape::escape;
use crate::quantity::time_ms;

/// A parsed format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordFormat {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Headers,
    Time,
    TimeMs,
}

impl Default for RecordFormat {
    /// The value and a line feed.
    fn default() -> Self {
        Self { parts: vec![Part::Value, Part::Text("\n".into())] }
    }
}

impl FromStr for RecordFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '\\' => {
                    plain.push(escape(chars.next())?);
                    continue;
                }
                '%' => part(chars.next())?,
                c => {
                    plain.push(c);
                    continue;
                }
            };
            match part {
                Some(part) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
                None => plain.push('%'),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }
}

/// What stands for `%c`; `None` for a percent sign itself.
fn part(c: Option<char>) -> Result<Option<Part>, String> {
    Ok(Some(match c {
        Some('t') => Part::Topic,
        Some('p') => Part::Partition,
        Some('o') => Part::Offset,
        Some('k') => Part::Key,
        Some('v') => Part::Value,
        Some('h') => Part::Headers,
        Some('d') => Part::Time,
        Some('T') => Part::TimeMs,
        Some('%') => return Ok(None),
        Some(c) => return Err(format!("`%{c}` means nothing; use %t %p %o %k %v %h %d %T or %%")),
        None => return Err("the format ends within `%`; write %% for a percent sign".to_owned()),
    }))
}

impl RecordFormat {
    pub(super) fn write(&self, out: &mut impl Write, topic: &str, record: &ConsumedRecord) -> io::Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.write_all(text.as_bytes())?,
                Part::Topic => out.write_all(topic.as_bytes())?,
                Part::Partition => write!(out, "{}", record.partition)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Key => out.write_all(record.key.as_deref().unwrap_or_default())?,
                Part::Value => out.write_all(record.value.as_deref().unwrap_or_default())?,
                Part::Headers => headers(out, record)?,
                Part::Time => out.write_all(time_ms(record.timestamp_ms).as_bytes())?,
                Part::TimeMs => write!(out, "{}", record.timestamp_ms)?,
            }
        }
        Ok(())
    }
}

/// `name=value,name=value`.
fn headers(out: &mut impl Write, record: &ConsumedRecord) -> io::Result<()> {
    for (index, header) in record.headers.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}{}=", header.name)?;
        out.write_all(header.value.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fidelog_client::types::LeaderEpoch;
    use fidelog_client::{Header, Record};
    use proptest::prelude::*;

    use super::*;

    fn write(format: &str) -> Vec<u8> {
        let Record { key, value, mut headers, .. } =
            Record::new(&b"\xffv"[..]).key("k").header("a", "1").header("b", "2");
        headers.push(Header::null("c"));
        let record = ConsumedRecord {
            partition: 2,
            offset: 7,
            leader_epoch: LeaderEpoch(1),
            timestamp_ms: 1_767_225_600_000,
            append_time_ms: 0,
            key,
            value,
            headers,
        };
        let mut out = Vec::new();
        format.parse::<RecordFormat>().unwrap().write(&mut out, "orders", &record).unwrap();
        out
    }

    #[test]
    fn every_letter_is_written() {
        let expected = b"orders/2@7 k=\xffv [a=1,b=2,c=] 2026-01-01T00:00:00.000Z 1767225600000 100%\n\t\\";
        assert_eq!(write(r"%t/%p@%o %k=%v [%h] %d %T 100%%\n\t\\"), expected);
    }

    #[test]
    fn the_default_is_the_value_and_a_line_feed() {
        assert_eq!(r"%v\n".parse(), Ok(RecordFormat::default()));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for format in ["%q", "%", "a\\", "\\x"] {
            assert!(format.parse::<RecordFormat>().is_err(), "{format}");
        }
    }

    proptest! {
        #[test]
        fn no_format_panics(format: String) {
            let _any = format.parse::<RecordFormat>();
        }

        #[test]
        fn plain_text_is_written_as_it_is(text in "[^%\\\\]*") {
            prop_assert_eq!(write(&text), text.as_bytes());
        }
    }
}
