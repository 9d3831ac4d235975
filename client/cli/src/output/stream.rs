//! Answers without a known end: records and receipts, printed as they come.
//!
//! Nothing is kept: columns have a least width instead of a fitting one. Whoever reads is given whole items only, at
//! every [`Stream::flush`]. With `-o json` the whole is one array, closed by [`Stream::end`].

use std::io::{self, BufWriter, Write};

use super::{Format, Row, json, printable};

const BUFFER_BYTES: usize = 256 * 1024;
const COLUMN_WIDTH_MIN: usize = 9;

/// Prints rows to `W`.
#[derive(Debug)]
pub(crate) struct Stream<W: Write> {
    out: BufWriter<W>,
    format: Format,
    count: u64,
}

impl<W: Write> Stream<W> {
    pub(crate) fn new(out: W, format: Format) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, out), format, count: 0 }
    }

    pub(crate) fn push<T: Row>(&mut self, item: &T) -> io::Result<()> {
        let first = self.count == 0;
        self.count += 1;
        match self.format {
            Format::Name => writeln!(self.out, "{}", item.name()),
            Format::Jsonl => writeln!(self.out, "{}", json::line(item)),
            Format::Json => write!(self.out, "{}{}", if first { "[\n" } else { ",\n" }, json::line(item)),
            Format::Table | Format::Wide => {
                if first {
                    let heads =
                        [T::COLUMNS, if self.format == Format::Wide { T::WIDE } else { &[] }].concat();
                    self.line(heads.into_iter().map(str::to_owned))?;
                }
                let wide = if self.format == Format::Wide { item.wide_cells() } else { Vec::new() };
                self.line(item.cells().into_iter().chain(wide))
            }
        }
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) -> io::Result<()> {
        let cells = cells.map(|cell| format!("{:<COLUMN_WIDTH_MIN$}", printable(&cell)));
        writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, write: impl FnOnce(&mut BufWriter<W>) -> io::Result<()>) -> io::Result<()> {
        self.count += 1;
        write(&mut self.out)
    }

    /// Hands over what was pushed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Closes what must be closed.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            self.out.write_all(if self.count == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Item(u32);

    impl Row for Item {
        const COLUMNS: &'static [&'static str] = &["NUMBER"];
        const WIDE: &'static [&'static str] = &["AGAIN"];

        fn name(&self) -> String {
            format!("#{}", self.0)
        }

        fn cells(&self) -> Vec<String> {
            vec![self.0.to_string()]
        }

        fn wide_cells(&self) -> Vec<String> {
            self.cells()
        }
    }

    fn streamed(format: Format, items: u32) -> String {
        let mut bytes = Vec::new();
        let mut stream = Stream::new(&mut bytes, format);
        (1..=items).for_each(|number| stream.push(&Item(number)).unwrap());
        stream.end().unwrap();
        drop(stream);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_stream_in_every_format() {
        assert_eq!(streamed(Format::Jsonl, 2), "1\n2\n");
        assert_eq!(streamed(Format::Json, 2), "[\n1,\n2\n]\n");
        assert_eq!(streamed(Format::Json, 0), "[]\n");
        assert_eq!(streamed(Format::Name, 2), "#1\n#2\n");
        assert_eq!(streamed(Format::Table, 1), "NUMBER\n1\n");
        assert_eq!(streamed(Format::Wide, 1), "NUMBER     AGAIN\n1          1\n");
    }
}
