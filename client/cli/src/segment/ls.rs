//! `segment ls`: reads names and headers only.

use std::path::PathBuf;

use fidelog_client::types::Offset;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows, or_dash};
use crate::quantity::bytes;

/// List the segments below a directory
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:
  fidelog segment ls /var/lib/fidelog
  fidelog segment ls /var/lib/fidelog/topics -o jsonl"
)]
pub(super) struct Ls {
    /// A data directory, or any directory in it
    directory: PathBuf,
}

#[derive(Debug, Serialize)]
struct SegmentRow {
    file: String,
    topic_id: Option<String>,
    partition: Option<u32>,
    base_offset: u64,
    /// Exclusive; `None`: the newest, which may grow.
    end_offset: Option<u64>,
    file_bytes: u64,
    problem: Option<String>,
}

impl Row for SegmentRow {
    const COLUMNS: &'static [&'static str] =
        &["TOPIC-ID", "PARTITION", "BASE", "END", "SIZE", "FILE", "PROBLEM"];

    fn name(&self) -> String {
        self.file.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            or_dash(self.topic_id.as_ref()),
            or_dash(self.partition),
            self.base_offset.to_string(),
            or_dash(self.end_offset),
            bytes(self.file_bytes),
            self.file.clone(),
            self.problem.clone().unwrap_or_default(),
        ]
    }
}

pub(super) fn run(context: &Context, command: &Ls) -> Result<Exit, Failure> {
    let dir = super::open::open(&command.directory)?;
    let segments = dir.partitions().iter().flat_map(|partition| &partition.segments);
    let rows = segments.map(|segment| {
        let header = segment.header.as_ref().ok();
        SegmentRow {
            file: segment.path.display().to_string(),
            topic_id: header.map(|header| header.partition.topic.to_string()),
            partition: header.map(|header| header.partition.partition.0),
            base_offset: segment.base.0,
            end_offset: segment.end.map(|Offset(end)| end),
            file_bytes: segment.file_bytes,
            problem: segment.header.as_ref().err().map(ToString::to_string),
        }
    });
    context.print(&Rows(rows.collect()))?;
    Ok(Exit::Success)
}
