//! What to run and for how long, from the environment and the command line.
//!
//! The command line of a bench is shared with cargo, which adds flags of its own: unknown flags are ignored.
//! Words that are not flags choose sections, or rows by a part of their name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

/// A group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// One file, one thread, no network.
    Disk,
    /// Two processes, no disk.
    Grpc,
    /// Client, leader and followers, with disk and network.
    Pipeline,
    /// Fidelog with many partitions, compared with itself.
    Partitions,
    /// What a broker takes by itself: memory, disk, time to start.
    Broker,
    /// How long writes stand still when a broker is lost.
    Failover,
    /// How long they stand still when leaders are moved as planned.
    Moves,
    /// Ten thousand partitions, and a thousand topics at once.
    Scale,
    /// Whether anything happens under load when nothing should.
    Steady,
}

impl Section {
    /// Every section, in the order they are run.
    pub const ALL: [Self; 9] = [
        Self::Disk,
        Self::Grpc,
        Self::Pipeline,
        Self::Partitions,
        Self::Broker,
        Self::Failover,
        Self::Moves,
        Self::Scale,
        Self::Steady,
    ];
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Disk => "disk",
            Self::Grpc => "grpc",
            Self::Pipeline => "pipeline",
            Self::Partitions => "partitions",
            Self::Broker => "broker",
            Self::Failover => "failover",
            Self::Moves => "moves",
            Self::Scale => "scale",
            Self::Steady => "steady",
        })
    }
}

impl FromStr for Section {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|section| section.to_string() == text);
        found.with_context(|| {
            let known = Self::ALL.map(|section| section.to_string()).join(", ");
            format!("section {text:?} is unknown; use one of {known}")
        })
    }
}

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sections to run (`FIDELOG_BENCH_SECTIONS`, comma separated, or words on the command line); default all.
    pub sections: Vec<Section>,
    /// Parts of row names; a row runs when it has any of them, or when there are none.
    pub row_names: Vec<String>,
    /// Time of one repetition after its warm-up (`FIDELOG_BENCH_SECONDS`, fractions allowed); default 2 s.
    pub time: Duration,
    /// Repetitions of each contender (`FIDELOG_BENCH_REPETITIONS`); default 3.
    pub repetitions: usize,
    /// Directory for data (`FIDELOG_BENCH_DIR`); default the system's directory for temporary files.
    pub dir: Option<PathBuf>,
    /// File that gets one JSON line per row (`FIDELOG_BENCH_JSON`), appended; default none.
    pub json: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sections: Section::ALL.to_vec(),
            row_names: Vec::new(),
            time: Duration::from_secs(2),
            repetitions: 3,
            dir: None,
            json: None,
        }
    }
}

impl Settings {
    /// Reads the process's arguments (without the program's name) and environment.
    ///
    /// # Errors
    /// When a variable's value cannot be read.
    pub fn read() -> Result<Self> {
        Self::parse(std::env::args().skip(1), |name| {
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    fn parse(args: impl Iterator<Item = String>, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut settings = Self {
            dir: variable("FIDELOG_BENCH_DIR").map(PathBuf::from),
            json: variable("FIDELOG_BENCH_JSON").map(PathBuf::from),
            ..Self::default()
        };
        if let Some(text) = variable("FIDELOG_BENCH_SECONDS") {
            settings.time = seconds(&text)?;
        }
        if let Some(text) = variable("FIDELOG_BENCH_REPETITIONS") {
            settings.repetitions = repetitions(&text)?;
        }
        if let Some(text) = variable("FIDELOG_BENCH_SECTIONS") {
            settings.sections = text
                .split(',')
                .map(|word| word.trim().parse())
                .collect::<Result<_>>()
                .context("FIDELOG_BENCH_SECTIONS")?;
        }
        settings.obey(args);
        Ok(settings)
    }

    fn obey(&mut self, args: impl Iterator<Item = String>) {
        let mut chosen = Vec::new();
        for arg in args {
            match arg.as_str() {
                // Only whether it works: a short run whose figures mean nothing.
                "--test" => (self.time, self.repetitions) = (Duration::from_millis(50), 1),
                "--bench" => {}
                flag if flag.starts_with('-') => eprintln!("ignoring the unknown flag {flag}"),
                word => match word.parse() {
                    Ok(section) => chosen.push(section),
                    Err(_) => self.row_names.push(word.to_owned()),
                },
            }
        }
        if !chosen.is_empty() {
            self.sections = chosen;
        }
    }

    /// Whether the row of that section and name is to be run.
    pub fn wants(&self, section: Section, row: &str) -> bool {
        let named =
            self.row_names.is_empty() || self.row_names.iter().any(|part| row.contains(part.as_str()));
        named && self.sections.contains(&section)
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 =
        text.parse().with_context(|| format!("FIDELOG_BENCH_SECONDS={text:?} is not a number"))?;
    if !(0.01..=3600.0).contains(&seconds) {
        bail!("FIDELOG_BENCH_SECONDS={text} is outside 0.01 to 3600 seconds");
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn repetitions(text: &str) -> Result<usize> {
    let count = text.parse().with_context(|| format!("FIDELOG_BENCH_REPETITIONS={text:?} is not a count"))?;
    ensure!((1..=1000).contains(&count), "FIDELOG_BENCH_REPETITIONS={count} is outside 1 to 1000");
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str], variables: &[(&str, &str)]) -> Result<Settings> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Settings::parse(args.iter().map(|arg| (*arg).to_owned()), find)
    }

    #[test]
    fn what_cargo_adds_changes_nothing() {
        let settings = parse(&["--bench", "--color=always"], &[]).unwrap();
        assert_eq!(settings.sections, Section::ALL);
        assert_eq!(settings.time, Duration::from_secs(2));
        assert_eq!(settings.repetitions, 3);
    }

    #[test]
    fn words_choose_sections_and_rows() {
        let settings = parse(&["grpc", "unary", "--bench"], &[("FIDELOG_BENCH_SECTIONS", "disk")]).unwrap();
        assert!(settings.wants(Section::Grpc, "unary, one in flight"));
        assert!(!settings.wants(Section::Grpc, "stream"));
        assert!(!settings.wants(Section::Disk, "unary"));
    }

    #[test]
    fn a_test_run_is_short() {
        let settings = parse(&["--test"], &[("FIDELOG_BENCH_SECONDS", "9")]).unwrap();
        assert!(settings.time < Duration::from_secs(1));
        assert_eq!(settings.repetitions, 1);
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (name, value) in [
            ("FIDELOG_BENCH_SECONDS", "0"),
            ("FIDELOG_BENCH_SECONDS", "NaN"),
            ("FIDELOG_BENCH_REPETITIONS", "0"),
            ("FIDELOG_BENCH_SECTIONS", "disk,tape"),
        ] {
            let error = parse(&[], &[(name, value)]).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }
}
