//! Records from a stream of bytes: what stands between two line feeds, and nothing else.
//!
//! What is always true: a carriage return stays, an empty line is an empty record, bytes need not be UTF-8, and a
//! last line without a line feed counts. No line takes more memory than the limit.

use std::io::{self, BufRead};

/// One line, and its number from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// It is longer than allowed.
    #[error("line {number} is longer than {bytes_max} bytes; split it, or leave it out")]
    TooLong {
        /// Which line.
        number: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// The stream failed.
    #[error("line {number} cannot be read: {source}")]
    Read {
        /// Which line.
        number: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads lines from `R`.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    input: R,
    lines: u64,
    bytes_max: usize,
}

impl<R: BufRead> LineReader<R> {
    /// Lines of at most `bytes_max` bytes, the line feed not counted.
    pub(crate) fn new(input: R, bytes_max: usize) -> Self {
        Self { input, lines: 0, bytes_max }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, LineError> {
        let number = self.lines + 1;
        let mut bytes = Vec::new();
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(LineError::Read { number, source }),
            };
            if buffer.is_empty() && bytes.is_empty() {
                return Ok(None);
            }
            let feed = buffer.iter().position(|byte| *byte == b'\n');
            let part = feed.unwrap_or(buffer.len());
            if bytes.len() + part > self.bytes_max {
                return Err(LineError::TooLong { number, bytes_max: self.bytes_max });
            }
            bytes.extend_from_slice(&buffer[..part]);
            let over = feed.is_some() || buffer.is_empty();
            let used = part + usize::from(feed.is_some());
            self.input.consume(used);
            if over {
                self.lines = number;
                return Ok(Some(Line { number, bytes }));
            }
        }
    }
}

impl<R: BufRead> LineReader<R> {
    /// Passes over the next line, however long it is; false at the end.
    pub(crate) fn skip_line(&mut self) -> Result<bool, LineError> {
        let number = self.lines + 1;
        let read = |source| LineError::Read { number, source };
        let mut any = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(read)?,
            };
            let feed = buffer.iter().position(|byte| *byte == b'\n');
            let (used, over) =
                (feed.map_or(buffer.len(), |feed| feed + 1), feed.is_some() || buffer.is_empty());
            any |= used > 0;
            self.input.consume(used);
            if over {
                self.lines += u64::from(any);
                return Ok(any);
            }
        }
    }
}

impl<R: io::Read> LineReader<io::BufReader<R>> {
    /// Whether a whole line is here already, so that the next call does not wait.
    pub(crate) fn has_line(&self) -> bool {
        self.input.buffer().contains(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn lines(input: &[u8], buffer: usize) -> Vec<Vec<u8>> {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, input), 1024);
        std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| line.bytes).collect()
    }

    #[test]
    fn a_record_is_what_stands_between_two_line_feeds() {
        let known: [(&[u8], &[&[u8]]); 7] = [
            (b"", &[]),
            (b"\n", &[b""]),
            (b"a", &[b"a"]),
            (b"a\n", &[b"a"]),
            (b"a\r\n\nb", &[b"a\r", b"", b"b"]),
            (b"\xff\0\n\n", &[b"\xff\0", b""]),
            (b"a\n\n\n", &[b"a", b"", b""]),
        ];
        for (input, expected) in known {
            for buffer in [1, 2, 64] {
                assert_eq!(lines(input, buffer), expected, "{input:?} through {buffer} bytes");
            }
        }
    }

    #[test]
    fn an_over_long_line_is_told_by_its_number() {
        let mut reader = LineReader::new(&b"1234\n12345\n1"[..], 4);
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, b"1234");
        let error = reader.next_line().unwrap_err();
        assert!(matches!(error, LineError::TooLong { number: 2, bytes_max: 4 }), "{error}");
    }

    #[test]
    fn a_skipped_line_may_be_of_any_length() {
        let mut reader = LineReader::new(BufReader::with_capacity(3, &b"12345678\n\n1\nlast"[..]), 4);
        assert!(reader.skip_line().unwrap() && reader.skip_line().unwrap());
        assert_eq!(reader.next_line().unwrap().unwrap(), Line { number: 3, bytes: b"1".into() });
        assert!(reader.skip_line().unwrap() && !reader.skip_line().unwrap());
        assert_eq!(reader.next_line().unwrap(), None);
    }

    proptest! {
        #[test]
        fn lines_joined_are_the_input(
            input in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            buffer in 1usize..40,
        ) {
            let mut joined = lines(&input, buffer).join(&b'\n');
            if input.ends_with(b"\n") {
                joined.push(b'\n');
            }
            prop_assert_eq!(joined, input);
        }
    }
}
