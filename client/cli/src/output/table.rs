//! Tables without boxes or colour: columns by two spaces, so that `awk` and people read the same.

use std::fmt;

use super::Row;

/// Heads, and rows below them.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|&column| column.to_owned()).collect()] }
    }

    /// A table without heads: names and values.
    pub(crate) fn facts<const N: usize>(facts: [(&str, String); N]) -> Self {
        Self { rows: facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect() }
    }

    pub(crate) fn of<T: Row>(rows: &[T], wide: bool) -> Self {
        let wide_columns = if wide { T::WIDE } else { &[] };
        let mut table = Self::new(&[T::COLUMNS, wide_columns].concat());
        for row in rows {
            let mut cells = row.cells();
            if wide {
                cells.extend(row.wide_cells());
            }
            table.push(cells);
        }
        table
    }

    pub(crate) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| super::printable(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        f.write_str(&lines.join("\n"))
    }
}
