//! What goes in: a copy of the file, taken before anything else, so that the comparison reads what was produced even
//! when somebody writes to the file meanwhile; and its lines.
//!
//! What is always true: a line is the bytes between two line feeds; a carriage return stays, an empty line is a line,
//! bytes need not be UTF-8, and a last line without a line feed counts. No line takes more memory than the limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The sample: a text made for this project, with an empty line, a carriage return and bytes that are not UTF-8.
pub(super) const SAMPLE: &[u8] = include_bytes!("sample.txt");

/// Where a line stands in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its first byte.
    pub(super) begin: u64,
    /// How many bytes it has, the line feed not counted.
    pub(super) bytes: u32,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) bytes: Vec<u8>,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// It is longer than a record may be.
    #[error(
        "line {number} is longer than {bytes_max} bytes, the largest record of the topic; split it, or leave it out"
    )]
    TooLong {
        /// Which line.
        number: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// The copy.
    #[error("line {number} cannot be read: {source}")]
    Read {
        /// Which line.
        number: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Where the text comes from, opened: what happens to its name from now on does not matter.
#[derive(Debug)]
pub(super) enum Source {
    Sample,
    File(PathBuf, File),
}

impl Source {
    /// Opens a file, or takes the sample.
    ///
    /// # Errors
    /// The file's name and what the system said of it.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self::Sample) };
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        match file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            true => Err(format!("{} is a directory; name a file", path.display())),
            false => Ok(Self::File(path.to_owned(), file)),
        }
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Sample => "the sample".to_owned(),
            Self::File(path, _) => path.display().to_string(),
        }
    }

    /// Copies all of it to `to`.
    ///
    /// # Errors
    /// The name of the file that could not be read or written, and what the system said.
    pub(super) fn copy(self, to: &Path) -> Result<Size, String> {
        let name = self.name();
        let mut source: Box<dyn Read> = match self {
            Self::Sample => Box::new(SAMPLE),
            Self::File(_, file) => Box::new(file),
        };
        let unwritten = |error: io::Error| format!("{}: {error}", to.display());
        let mut copy = File::create(to).map_err(unwritten)?;
        let (mut feeds, mut bytes, mut last) = (0, 0, b'\n');
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = match source.read(&mut buffer) {
                Ok(read) => &buffer[..read],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("{name}: {error}")),
            };
            let Some(&end) = read.last() else { break };
            copy.write_all(read).map_err(unwritten)?;
            feeds += read.iter().filter(|&&byte| byte == b'\n').count() as u64;
            bytes += read.len() as u64;
            last = end;
        }
        Ok(Size { lines: feeds + u64::from(last != b'\n'), bytes })
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// The lines of a stream, one after the other.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    count: u64,
    begin: u64,
    bytes_max: usize,
}

impl Lines<BufReader<File>> {
    /// The lines of a file, none of which may be longer than `bytes_max`.
    pub(super) fn open(path: &Path, bytes_max: usize) -> io::Result<Self> {
        Ok(Self::new(BufReader::with_capacity(256 << 10, File::open(path)?), bytes_max))
    }
}

impl<R: BufRead> Lines<R> {
    fn new(input: R, bytes_max: usize) -> Self {
        assert!(u32::try_from(bytes_max).is_ok(), "a record of {bytes_max} bytes is none");
        Self { input, count: 0, begin: 0, bytes_max }
    }

    /// The next line; `None` at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, LineError> {
        let number = self.count + 1;
        let mut bytes = Vec::new();
        let read = (&mut self.input)
            .take(self.bytes_max as u64 + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| LineError::Read { number, source })?;
        if read == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() > self.bytes_max {
            return Err(LineError::TooLong { number, bytes_max: self.bytes_max });
        }
        let length = u32::try_from(bytes.len()).expect("it is not longer than the limit");
        let place = Place { begin: self.begin, bytes: length };
        self.begin += read as u64;
        self.count = number;
        Ok(Some(Line { number, place, bytes }))
    }
}

/// Something that lines can be read from again, by their places.
pub(super) trait Original {
    /// Puts the bytes of a line into `bytes`.
    fn line(&self, place: Place, bytes: &mut Vec<u8>) -> io::Result<()>;
}

impl Original for File {
    fn line(&self, place: Place, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.resize(place.bytes as usize, 0);
        self.read_exact_at(bytes, place.begin)
    }
}

#[cfg(test)]
impl Original for &[u8] {
    fn line(&self, place: Place, bytes: &mut Vec<u8>) -> io::Result<()> {
        let begin = usize::try_from(place.begin).unwrap();
        bytes.clear();
        bytes.extend_from_slice(&self[begin..begin + place.bytes as usize]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(3, input), 1024);
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    #[test]
    fn a_line_is_what_stands_between_two_line_feeds() {
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
            let found = lines(input);
            assert_eq!(found.iter().map(|line| &line.bytes[..]).collect::<Vec<_>>(), expected, "{input:?}");
            let mut again = Vec::new();
            for (line, number) in found.iter().zip(1..) {
                input.line(line.place, &mut again).unwrap();
                assert_eq!((&again, line.number), (&line.bytes, number), "{input:?}");
            }
        }
    }

    #[test]
    fn an_over_long_line_is_told_by_its_number() {
        for (input, number) in
            [(&b"1234\n12345\n1"[..], 2), (&b"12345"[..], 1), (&b"\n\n1234\n123456"[..], 4)]
        {
            let mut lines = Lines::new(input, 4);
            let error = loop {
                match lines.next_line() {
                    Ok(line) => assert!(line.is_some(), "{input:?} was taken"),
                    Err(error) => break error,
                }
            };
            assert!(
                matches!(error, LineError::TooLong { number: n, bytes_max: 4 } if n == number),
                "{error}"
            );
        }
    }

    #[test]
    fn the_sample_has_what_a_text_may_have() {
        let found = lines(SAMPLE);
        assert!(found.len() > 500);
        assert!(found.iter().any(|line| line.bytes.is_empty()));
        assert!(found.iter().any(|line| line.bytes.ends_with(b"\r")));
        assert!(found.iter().any(|line| std::str::from_utf8(&line.bytes).is_err()));
        assert!(!SAMPLE.ends_with(b"\n"));
    }

    #[test]
    fn the_copy_is_the_file_and_its_lines_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        for text in [&b"a\r\n\xff"[..], b"", b"\n", b"a", b"a\n\n"] {
            std::fs::write(&from, text).unwrap();
            let size = Source::open(Some(&from)).unwrap().copy(&to).unwrap();
            assert_eq!(std::fs::read(&to).unwrap(), text);
            assert_eq!((size.lines, size.bytes), (lines(text).len() as u64, text.len() as u64), "{text:?}");
        }
        let size = Source::open(None).unwrap().copy(&to).unwrap();
        assert_eq!(size.lines, lines(SAMPLE).len() as u64);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Source::open(Some(&directory.path().join("none"))).unwrap_err().contains("none"));
        assert!(Source::open(Some(directory.path())).unwrap_err().contains("is a directory"));
    }
}
