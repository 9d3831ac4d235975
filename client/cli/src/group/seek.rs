//! `group seek`: moves a group's positions, also backwards; whoever reads with them is fenced.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::offsets::OffsetSpec;
use crate::output::{Row, Rows, or_dash};
use crate::resolve::{self, Bounds, Resolved};

/// Move a group's positions; readers that hold them must stop
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog group seek billing orders --to start --dry-run
  fidelog group seek billing orders --to @-1h --yes
  fidelog group seek billing orders -p 0 --to 120")]
pub(super) struct Seek {
    /// The group
    group: String,
    /// The topic
    topic: String,
    /// Where to: start, end, N, +N, -N, @time
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    to: OffsetSpec,
    /// Only these partitions
    #[arg(short = 'p', long, value_name = "N,..", value_delimiter = ',')]
    partitions: Vec<u32>,
    /// Show where from and where to; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Serialize)]
struct SeekRow {
    group: String,
    topic: String,
    partition: u32,
    from: Option<u64>,
    to: u64,
    dry_run: bool,
}

impl Row for SeekRow {
    const COLUMNS: &'static [&'static str] = &["PARTITION", "FROM", "TO", "MOVES"];

    fn name(&self) -> String {
        format!("{}/{}/{}@{}", self.group, self.topic, self.partition, self.to)
    }

    fn cells(&self) -> Vec<String> {
        let Self { partition, from, to, .. } = *self;
        vec![partition.to_string(), or_dash(from), to.to_string(), moves(from, to)]
    }
}

fn moves(from: Option<u64>, to: u64) -> String {
    match from {
        None => "set".to_owned(),
        Some(from) if to >= from => format!("+{}", to - from),
        Some(from) => format!("-{}", from - to),
    }
}

pub(super) async fn run(context: &Context, command: &Seek) -> Result<Exit, Failure> {
    let (group, topic) = (&command.group, &command.topic);
    let client = context.connect().await?;
    let partitions = resolve::partitions(&client, topic, &command.partitions).await?;
    let Resolved { offsets: targets, bounds, missing } =
        resolve::resolve(&client, topic, &partitions, command.to).await?;
    check(&targets, &bounds)?;
    let held = client.admin().fetch_positions(group, topic).await?;
    let held: BTreeMap<u32, Option<u64>> =
        held.into_iter().map(|position| (position.partition, position.offset)).collect();
    let rows = |dry_run, targets: &BTreeMap<u32, u64>| {
        let rows = targets.iter().map(|(&partition, &to)| SeekRow {
            group: group.clone(),
            topic: topic.clone(),
            partition,
            from: held.get(&partition).copied().flatten(),
            to,
            dry_run,
        });
        Rows(rows.collect())
    };
    if command.dry_run {
        context.print(&rows(true, &targets))?;
        context.note("dry run: nothing was moved");
        return missing.judge();
    }
    // A group that is moved on some partitions only is worse than one that is not moved.
    missing.judge().map_err(|failure| failure.context("nothing was moved"))?;
    let what =
        format!("Move group `{group}` on {} partitions of topic `{topic}` to {}", targets.len(), command.to);
    command.consent.ask(&what)?;
    let moved = client.admin().reset_positions(group, topic, targets).await?;
    let moved =
        moved.into_iter().filter_map(|position| Some((position.partition, position.offset?))).collect();
    context.print(&rows(false, &moved))?;
    Ok(Exit::Success)
}

/// A position that no partition has would pass over records silently once they are written.
fn check(targets: &BTreeMap<u32, u64>, bounds: &BTreeMap<u32, Bounds>) -> Result<(), Failure> {
    for (partition, to) in targets {
        let Some(Bounds { start, committed_end }) = bounds.get(partition).copied() else { continue };
        if *to < start || *to > committed_end {
            let said = format!(
                "partition {partition} holds offsets {start} to {committed_end} (exclusive), not {to}; nothing was moved"
            );
            return Err(Failure::new(Exit::NotFound, said));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_no_partition_has_is_refused() {
        let bounds = BTreeMap::from([(0, Bounds { start: 5, committed_end: 9 })]);
        for (to, fits) in [(4, false), (5, true), (9, true), (10, false)] {
            assert_eq!(check(&BTreeMap::from([(0, to)]), &bounds).is_ok(), fits, "{to}");
        }
    }

    #[test]
    fn moves_are_told_with_their_sign() {
        assert_eq!(moves(None, 5), "set");
        assert_eq!([moves(Some(3), 5), moves(Some(5), 3), moves(Some(5), 5)], ["+2", "-2", "+0"]);
    }
}
