//! From a line to a record. Pure.

use bytes::Bytes;
use fidelog_client::types::limits::RECORD_BYTES_MAX;
use fidelog_client::{Header, Record};

use super::{InputFormat, Produce};
use crate::exit::Failure;
use crate::line_reader::Line;
use crate::record_json::RecordIn;

/// A line of JSON may take this: every byte of the largest record escaped, and the names of its fields.
const JSON_LINE_BYTES_MAX: usize = 6 * RECORD_BYTES_MAX + 1024 * 1024;

/// How lines become records.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    input: InputFormat,
    key: Option<Bytes>,
    separator: Option<Vec<u8>>,
    headers: Vec<Header>,
    partition: Option<u32>,
    keep_partitions: bool,
}

/// A record, and where it must go if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) record: Record,
    pub(super) partition: Option<u32>,
}

/// `NAME=VALUE`.
pub(super) fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is no header; write it as name=value")),
    }
}

impl Recipe {
    pub(super) fn new(command: &Produce) -> Result<Self, Failure> {
        let jsonl = command.input == InputFormat::Jsonl;
        if jsonl && (command.key.is_some() || command.key_separator.is_some()) {
            return Err(Failure::usage("with -i jsonl each line holds its own key; leave out -k and -K"));
        }
        if !jsonl && command.keep_partitions {
            return Err(Failure::usage("--keep-partitions needs -i jsonl: plain lines name no partition"));
        }
        if command.key_separator.as_deref() == Some("") {
            return Err(Failure::usage("the separator of -K is empty; name at least one character"));
        }
        let headers = command.headers.iter();
        let headers = headers.map(|(name, value)| Header::new(name.as_str(), value.clone()));
        Ok(Self {
            input: command.input,
            key: command.key.clone().map(Bytes::from),
            separator: command.key_separator.clone().map(String::into_bytes),
            headers: headers.collect(),
            partition: command.partition,
            keep_partitions: command.keep_partitions,
        })
    }

    /// The longest line worth reading, bytes.
    pub(super) fn line_bytes_max(&self) -> usize {
        match self.input {
            InputFormat::Lines => RECORD_BYTES_MAX,
            InputFormat::Jsonl => JSON_LINE_BYTES_MAX,
        }
    }

    /// The record of a line, or what is wrong with the line.
    pub(super) fn make(&self, line: Line) -> Result<Made, String> {
        let (mut record, named) = match self.input {
            InputFormat::Lines => (self.plain(line.bytes)?, None),
            InputFormat::Jsonl => {
                let read = RecordIn::parse(&line.bytes).map_err(|error| json_error(&error))?;
                let named = read.partition;
                (read.into_record(), named)
            }
        };
        record.headers.extend(self.headers.iter().cloned());
        if self.keep_partitions && named.is_none() {
            return Err("it names no partition; leave out --keep-partitions".to_owned());
        }
        let partition = if self.keep_partitions { named } else { self.partition };
        Ok(Made { record, partition })
    }

    fn plain(&self, line: Vec<u8>) -> Result<Record, String> {
        let line = Bytes::from(line);
        let Some(separator) = &self.separator else {
            return Ok(Record { key: self.key.clone(), ..Record::new(line) });
        };
        let at = line.windows(separator.len()).position(|window| window == &separator[..]);
        let at =
            at.ok_or_else(|| format!("it holds no `{}`; give a key and a value", separator.escape_ascii()))?;
        Ok(Record::new(line.slice(at + separator.len()..)).key(line.slice(..at)))
    }
}

/// Every line is a text of its own to the parser, which would call it line 1.
fn json_error(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let bare = said.strip_suffix(&place).unwrap_or(&said);
    format!("{bare}, at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn recipe(args: &str) -> Result<Recipe, Failure> {
        let args = ["fidelog", "produce", "t"].into_iter().chain(args.split_whitespace());
        match Cli::try_parse_from(args).unwrap().command {
            Command::Produce(command) => Recipe::new(&command),
            _ => panic!("not produce"),
        }
    }

    fn make(args: &str, line: &[u8]) -> Result<Made, String> {
        recipe(args).unwrap().make(Line { number: 1, bytes: line.to_vec() })
    }

    #[test]
    fn a_line_is_a_value_byte_for_byte() {
        for line in [&b""[..], b"a\r", b"\xff\0", b"a:b"] {
            assert_eq!(make("", line).unwrap().record, Record::new(line.to_vec()));
        }
    }

    #[test]
    fn an_error_in_json_names_the_column_and_no_line_of_its_own() {
        let error = make("-i jsonl", b"{\"key\":").unwrap_err();
        assert_eq!(error, "EOF while parsing a value, at column 7");
    }

    #[test]
    fn a_separator_may_be_escaped() {
        assert_eq!(make("-K \\t", b"k\tv").unwrap().record, Record::new("v").key("k"));
    }

    #[test]
    fn a_separator_parts_key_and_value_at_its_first_place() {
        let made = make("-K ::", b"k::v::w").unwrap();
        assert_eq!(made.record, Record::new("v::w").key("k"));
        assert_eq!(make("-K :", b":").unwrap().record, Record::new("").key(""));
        assert!(make("-K :", b"none").unwrap_err().contains("`:`"));
    }

    #[test]
    fn flags_apply_to_every_record() {
        let made = make("-k device -H a=1 -H b=x=y -p 3", b"v").unwrap();
        assert_eq!(made.record, Record::new("v").key("device").header("a", "1").header("b", "x=y"));
        assert_eq!(made.partition, Some(3));
        assert!(parse_header("novalue").is_err() && parse_header("=v").is_err());
    }

    #[test]
    fn a_line_of_json_is_a_whole_record() {
        let line =
            br#"{"topic":"t","partition":2,"offset":9,"ts":5,"key":"k","value":null,"headers":{"h":"1"}}"#;
        let made = make("-i jsonl -H more=2", line).unwrap();
        let expected = Record::tombstone("k").header("h", "1").header("more", "2").timestamp_ms(5);
        assert_eq!((made.record, made.partition), (expected, None));
        assert_eq!(make("-i jsonl --keep-partitions", line).unwrap().partition, Some(2));
        assert_eq!(make("-i jsonl -p 4", line).unwrap().partition, Some(4));
        assert!(make("-i jsonl --keep-partitions", b"{}").is_err());
        assert!(make("-i jsonl", b"").is_err());
    }

    #[test]
    fn flags_that_contradict_are_refused() {
        for args in ["-i jsonl -k a", "-i jsonl -K :", "--keep-partitions", "-K="] {
            assert_eq!(recipe(args).unwrap_err().exit, crate::exit::Exit::Usage, "{args}");
        }
    }
}
