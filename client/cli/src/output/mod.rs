//! How answers are printed: a table for people, JSON for programs, names for shells.
//!
//! What is always true: an answer is printed whole or not at all; field names of JSON and the order of columns are a
//! contract, new ones come last.

mod json;
mod stream;
mod table;

pub(crate) use stream::Stream;
pub(crate) use table::Table;

use clap::ValueEnum;
use serde::Serialize;

/// What `-o` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For people with wide screens
    Wide,
    /// One value
    Json,
    /// One value a line
    Jsonl,
    /// Names only, one a line
    Name,
}

/// An answer that can be printed in every format.
pub(crate) trait Show: Serialize {
    /// What `-o name` prints, line by line.
    fn names(&self) -> Vec<String>;

    /// What people read.
    fn table(&self, wide: bool) -> String;

    /// What `-o jsonl` prints, line by line; the whole by default.
    fn lines(&self) -> Vec<String> {
        vec![json::line(self)]
    }
}

/// One row of a list.
pub(crate) trait Row: Serialize {
    /// Heads of the columns.
    const COLUMNS: &'static [&'static str];
    /// Heads of the columns that only `wide` shows, behind the others.
    const WIDE: &'static [&'static str] = &[];

    fn name(&self) -> String;
    fn cells(&self) -> Vec<String>;

    fn wide_cells(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A list of rows of one kind; in JSON an array.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Rows<T>(pub(crate) Vec<T>);

impl<T: Row> Show for Rows<T> {
    fn names(&self) -> Vec<String> {
        self.0.iter().map(Row::name).collect()
    }

    fn table(&self, wide: bool) -> String {
        Table::of(&self.0, wide).to_string()
    }

    fn lines(&self) -> Vec<String> {
        self.0.iter().map(json::line).collect()
    }
}

/// The text of an answer, its last line feed included.
pub(crate) fn render(answer: &impl Show, format: Format) -> String {
    let lines = match format {
        Format::Table => vec![answer.table(false)],
        Format::Wide => vec![answer.table(true)],
        Format::Json => vec![json::pretty(answer)],
        Format::Jsonl => answer.lines(),
        Format::Name => answer.names(),
    };
    lines.into_iter().filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

/// Numbers with commas between them, `-` for none.
pub(crate) fn list(numbers: &[u32]) -> String {
    match numbers {
        [] => "-".to_owned(),
        numbers => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// A value that may be missing.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Text from elsewhere, fit for a terminal: control characters are escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// Compares JSON with a golden file; `field_names` of the tests.
#[cfg(test)]
pub(crate) fn assert_golden(answer: &impl Show, golden: &str) {
    assert_eq!(render(answer, Format::Json), golden, "JSON is a contract: add fields, never rename them");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: &'static str,
        bytes: u64,
    }

    impl Row for Thing {
        const COLUMNS: &'static [&'static str] = &["NAME"];
        const WIDE: &'static [&'static str] = &["BYTES"];

        fn name(&self) -> String {
            self.name.into()
        }

        fn cells(&self) -> Vec<String> {
            vec![self.name.into()]
        }

        fn wide_cells(&self) -> Vec<String> {
            vec![self.bytes.to_string()]
        }
    }

    #[test]
    fn one_list_in_every_format() {
        let things = Rows(vec![Thing { name: "a", bytes: 1 }, Thing { name: "bcdef", bytes: 20 }]);
        let rendered = |format| render(&things, format);
        assert_eq!(rendered(Format::Table), "NAME\na\nbcdef\n");
        assert_eq!(rendered(Format::Wide), "NAME   BYTES\na      1\nbcdef  20\n");
        assert_eq!(rendered(Format::Name), "a\nbcdef\n");
        assert_eq!(
            rendered(Format::Jsonl),
            "{\"name\":\"a\",\"bytes\":1}\n{\"name\":\"bcdef\",\"bytes\":20}\n"
        );
        assert!(rendered(Format::Json).starts_with("[\n  {\n    \"name\": \"a\",\n    \"bytes\": 1\n  },"));
    }

    #[test]
    fn an_empty_list_is_an_empty_array_and_no_lines() {
        let none = Rows(Vec::<Thing>::new());
        assert_eq!([render(&none, Format::Json), render(&none, Format::Jsonl)], ["[]\n", ""]);
        assert_eq!(render(&none, Format::Table), "NAME\n");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\x1b[31m\n\u{fc}"), "a\\u{1b}[31m\\n\u{fc}");
    }
}
