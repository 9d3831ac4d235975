//! The table people read, one line per contender, and the lines programs read.
//!
//! Rows are printed as they finish; widths are fixed so that nothing has to be known beforehand.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Machine;
use crate::row::Outcome;
use crate::sample::Figures;

/// The column titles and the rule below them.
pub fn head() -> String {
    let titles = format!(
        "{:<9} {:<30} {:<51} {:<8} {:>10} {:>10} {:>9} {:>11}",
        "section", "row", "shape", "who", "p50 us", "p99 us", "MB/s", "records/s"
    );
    let rule = "-".repeat(titles.len());
    format!("{titles}\n{rule}")
}

/// One line for the floor; when there is a product, one for it and one for its ratio to the floor.
pub fn lines(outcome: &Outcome) -> String {
    let row = format!("{:<9} {:<30} {:<51}", outcome.section, outcome.row, outcome.shape.to_string());
    let blank = " ".repeat(row.chars().count());
    let mut text = format!("{row} {}", figures(outcome.against, &outcome.floor));
    if let (Some(product), Some(ratio)) = (&outcome.product, &outcome.ratio) {
        text += &format!("\n{blank} {}", figures("fidelog", product));
        text += &format!("\n{blank} {}", ratios(ratio));
        if let Some(stages) = product.stages {
            text += &format!("\n{:>9} {stages}", "");
        }
    }
    text
}

fn figures(who: &str, figures: &Figures) -> String {
    let Figures { p50_us, p99_us, mb_per_s, records_per_s, stages: _ } = figures;
    format!("{who:<8} {p50_us:>10.1} {p99_us:>10.1} {mb_per_s:>9.1} {records_per_s:>11.0}")
}

fn ratios(ratio: &Figures) -> String {
    let Figures { p50_us, p99_us, mb_per_s, records_per_s, stages: _ } = ratio;
    format!("{:<8} {p50_us:>9.2}x {p99_us:>9.2}x {mb_per_s:>8.2}x {records_per_s:>10.2}x", "ratio")
}

/// Appends the outcome to `path` as one line of JSON, with the machine it was measured on.
///
/// # Errors
/// When the file cannot be written.
pub fn append_json(path: &Path, machine: &Machine, outcome: &Outcome) -> Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        machine: &'a Machine,
        #[serde(flatten)]
        outcome: &'a Outcome,
    }
    let mut line = serde_json::to_vec(&Line { machine, outcome })?;
    line.push(b'\n');
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(&line))
        .with_context(|| format!("cannot append to FIDELOG_BENCH_JSON={}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Section;
    use crate::shape::Shape;

    fn outcome(product: Option<Figures>) -> Outcome {
        let floor =
            Figures { p50_us: 100.0, p99_us: 200.0, mb_per_s: 50.0, records_per_s: 1000.0, stages: None };
        let ratio = product.map(|figures| figures.ratio_to(&floor));
        let (floor_repetitions, product_repetitions) = (vec![floor], Vec::from_iter(product));
        let (section, row, shape) = (Section::Pipeline, "one record", Shape::single(1024).replicas(2));
        let against = "floor";
        Outcome {
            section,
            row,
            shape,
            against,
            floor,
            product,
            ratio,
            floor_repetitions,
            product_repetitions,
        }
    }

    #[test]
    fn a_product_stands_below_its_floor_in_the_same_columns() {
        let product =
            Figures { p50_us: 150.0, p99_us: 200.0, mb_per_s: 25.0, records_per_s: 500.0, stages: None };
        let text = lines(&outcome(Some(product)));
        let ends = |line: &str| line.trim_end().chars().count();
        let of: Vec<_> = text.lines().collect();
        assert_eq!(of.len(), 3);
        assert!(of.iter().all(|line| ends(line) == ends(of[0])), "{text}");
        assert!(of[2].contains("1.50x") && of[2].contains("0.50x"), "{text}");
        assert_eq!(ends(head().lines().next().unwrap()), ends(of[0]));
    }

    #[test]
    fn a_json_line_carries_the_machine_the_shape_and_the_figures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines.json");
        let machine = Machine::of(dir.path());
        for _ in 0..2 {
            append_json(&path, &machine, &outcome(None)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["shape"]["replicas"], 2);
        assert_eq!(line["floor"]["p50_us"], 100.0);
        assert!(line["machine"]["cores"].as_u64().unwrap() >= 1);
    }
}
