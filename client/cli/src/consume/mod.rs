//! `consume`: records out, in offset order in each partition.
//!
//! What is always true: a group's position moves only past records that stdout took; no record is passed over
//! silently. It follows unless `--to`, `--range`, `-n` or `-e` gives it an end.

mod format;
mod printer;
mod pump;

use std::collections::BTreeMap;

use clap::ValueEnum;
use fidelog_client::{Client, Consumer, ConsumerBuilder, StartAt};

use crate::context::{Context, unix_ms};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::offsets::{OffsetRange, OffsetSpec};
use crate::partial::Missing;
use crate::resolve;
use format::RecordFormat;
use printer::Printer;
use pump::{Ended, Pump};

/// Read records of a topic
///
/// Follows the topic unless --to, --range, -n or -e gives an end. Without -f and -o each value is printed with a line
/// feed behind it. Offsets: start, end, N, +N (behind the start), -N (before the end), @2026-01-31T10:00:00Z,
/// @unix-milliseconds, @-1h (ago), group.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog consume orders
  fidelog consume orders --from -10 -e
  fidelog consume orders --range @-2h:@-1h -o jsonl
  fidelog consume orders -p 0,2 --from 120 -n 5 -f '%p/%o\\t%k=%v\\n'
  fidelog consume orders -g billing -e -o jsonl > batch.jsonl
  fidelog consume orders -g alerts --group-start end

With -e, --to and --range a partition whose leader does not answer is named, and the exit code is 7.

Formats of -f: %t topic, %p partition, %o offset, %k key, %v value, %h headers, %d time, %T time in Unix ms, %% percent,
\\n \\t \\r \\\\ and \\0")]
pub(crate) struct Consume {
    /// The topic
    topic: String,
    /// Only these partitions
    #[arg(short = 'p', long, value_name = "N,..", value_delimiter = ',')]
    partitions: Vec<u32>,
    /// Where to begin; default: where the group stands, else start. With -g it needs --ignore-positions
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    from: Option<OffsetSpec>,
    /// Where to end; the record there is not read
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    to: Option<OffsetSpec>,
    /// Both, as A:B
    #[arg(long, value_name = "A:B", allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    range: Option<OffsetRange>,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "RECORDS")]
    count: Option<u64>,
    /// End at what is the end of each partition now
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Read on for ever: the default without an end
    #[arg(long, conflicts_with_all = ["to", "range", "count", "exit_at_end"])]
    follow: bool,
    /// Go on where this group stands, and take over its positions
    #[arg(short = 'g', long)]
    group: Option<String>,
    /// Where the group begins on partitions it has no position on
    #[arg(
        long,
        value_name = "OFFSET",
        default_value = "start",
        requires = "group",
        conflicts_with_all = ["from", "range"],
        allow_hyphen_values = true
    )]
    group_start: OffsetSpec,
    /// Begin at --from or --range although the group may stand elsewhere, at every start
    #[arg(long, requires = "group")]
    ignore_positions: bool,
    /// Whether the group's positions move on once stdout took the records
    #[arg(long, value_enum, default_value_t = CommitMode::Auto, requires = "group")]
    commit: CommitMode,
    /// How each record is printed
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<RecordFormat>,
}

/// When positions are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CommitMode {
    /// Every second, and at the end
    Auto,
    /// Never
    None,
}

impl Consume {
    fn from(&self) -> OffsetSpec {
        let default = if self.group.is_some() { OffsetSpec::Group } else { OffsetSpec::Start };
        self.range.map(|range| range.from).or(self.from).unwrap_or(default)
    }

    fn to(&self) -> Option<OffsetSpec> {
        self.range.map(|range| range.to).or(self.to)
    }

    fn follows(&self) -> bool {
        self.to().is_none() && self.count.is_none() && !self.exit_at_end
    }

    /// What contradicts itself, beyond what the flags' own rules tell.
    fn check(&self) -> Result<(), Failure> {
        let grouped = self.group.is_some();
        if self.from() == OffsetSpec::Group && !grouped {
            return Err(Failure::usage("`--from group` needs a group; name it with -g"));
        }
        if grouped && self.from() != OffsetSpec::Group && !self.ignore_positions {
            return Err(Failure::usage(
                "-g goes on where the group stands, and --from or --range begins elsewhere: say --group-start for a \
                 group that has no position yet, or --ignore-positions to pass over the stored ones at every start",
            ));
        }
        if self.ignore_positions && self.from() == OffsetSpec::Group {
            return Err(Failure::usage("--ignore-positions needs --from or --range: where to begin instead"));
        }
        if matches!(
            self.group_start,
            OffsetSpec::Group | OffsetSpec::AfterStart(_) | OffsetSpec::BeforeEnd(_)
        ) {
            return Err(Failure::usage("--group-start takes start, end, an offset, or a time such as @-1h"));
        }
        match (self.from(), self.to()) {
            (OffsetSpec::At(from), Some(OffsetSpec::At(to))) if from > to => Err(Failure::usage(format!(
                "the end {to} lies before the beginning {from}; ends are exclusive, and not below it"
            ))),
            _ => Ok(()),
        }
    }
}

pub(crate) async fn run(context: &Context, command: Consume) -> Result<Exit, Failure> {
    command.check()?;
    if command.format.is_some() && context.format().is_some() {
        return Err(Failure::usage("-f and -o both say how records are printed; leave one out"));
    }
    let interrupts = Interrupts::listen();
    let client = context.connect().await?;
    let (consumer, missing) = open(&client, &command).await?;
    let format = command.format.clone().unwrap_or_default();
    let printer = Printer::new(&command.topic, std::io::stdout(), context.format(), format);
    let commits = command.group.is_some() && command.commit == CommitMode::Auto;
    let mut pump = Pump::new(consumer, printer, interrupts, command.count, commits, missing);
    let ended = pump.run(context).await?;
    match ended {
        Ended::AtEnd => Ok(Exit::Success),
        Ended::Interrupted if command.follows() => Ok(Exit::Success),
        Ended::Interrupted => Err(Failure::new(
            Exit::Interrupted,
            format!("interrupted before the end; {} records were printed", pump.printed()),
        )),
    }
}

/// A consumer of the partitions that can be read as asked, and those whose leader could not say where.
async fn open(client: &Client, command: &Consume) -> Result<(Consumer, Missing), Failure> {
    let topic = &command.topic;
    let mut partitions = resolve::partitions(client, topic, &command.partitions).await?;
    let mut missing = Missing::new("could not be read to the end", partitions.len());
    let begin = match command.from() {
        from @ (OffsetSpec::AfterStart(_) | OffsetSpec::BeforeEnd(_)) => {
            StartAt::Offsets(known(client, topic, &mut partitions, from, &mut missing).await?)
        }
        from => start_at(from),
    };
    let until = match command.to() {
        Some(to) => known(client, topic, &mut partitions, to, &mut missing).await?,
        None => BTreeMap::new(),
    };
    if partitions.is_empty() {
        missing.judge()?;
        return Err(Failure::usage("no partition was named"));
    }
    let mut builder: ConsumerBuilder = client.consumer(topic);
    // Of a topic that is followed as a whole, partitions that are added are read as well.
    let bounded = !until.is_empty() || matches!(begin, StartAt::Offsets(_));
    if bounded || !command.partitions.is_empty() {
        builder = builder.partitions(partitions);
    }
    builder = builder.from(begin).until(until);
    if command.exit_at_end {
        builder = builder.stop_at_end();
    }
    if let Some(group) = &command.group {
        let owner = format!("fidelog-cli/{}", std::process::id());
        builder = builder.group(group).group_start(start_at(command.group_start)).owner(owner);
    }
    Ok((builder.open().await?, missing))
}

/// The offsets that `spec` means. Partitions that did not answer are taken out: without a bound they would be read
/// from the wrong place, or for ever.
async fn known(
    client: &Client,
    topic: &str,
    partitions: &mut Vec<u32>,
    spec: OffsetSpec,
    missing: &mut Missing,
) -> Result<BTreeMap<u32, u64>, Failure> {
    let resolved = resolve::resolve(client, topic, partitions, spec).await?;
    partitions.retain(|partition| resolved.offsets.contains_key(partition));
    missing.take(resolved.missing);
    Ok(resolved.offsets)
}

/// What a consumer can be told as it is; the others are resolved first.
fn start_at(from: OffsetSpec) -> StartAt {
    match from {
        OffsetSpec::Start | OffsetSpec::AfterStart(_) => StartAt::Start,
        OffsetSpec::End | OffsetSpec::BeforeEnd(_) => StartAt::End,
        OffsetSpec::Group => StartAt::Group,
        OffsetSpec::At(offset) => StartAt::Offset(offset),
        OffsetSpec::Time(ms) => StartAt::Timestamp(ms),
        OffsetSpec::Ago(ms) => StartAt::Timestamp(unix_ms().saturating_sub(ms)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn consume(args: &str) -> Result<Consume, clap::Error> {
        let args = ["fidelog", "consume", "t"].into_iter().chain(args.split_whitespace());
        Cli::try_parse_from(args).map(|cli| match cli.command {
            Command::Consume(command) => command,
            _ => panic!("not consume"),
        })
    }

    #[test]
    fn it_follows_unless_an_end_is_given() {
        for args in ["", "--follow", "--from 5", "-g group"] {
            assert!(consume(args).unwrap().follows(), "{args}");
        }
        for args in ["-e", "-n 5", "--to end", "--to -1", "--range 1:2"] {
            assert!(!consume(args).unwrap().follows(), "{args}");
        }
    }

    #[test]
    fn a_group_changes_where_reading_begins() {
        assert_eq!(consume("").unwrap().from(), OffsetSpec::Start);
        assert_eq!(consume("-g a").unwrap().from(), OffsetSpec::Group);
        assert_eq!(consume("-g a --from -5").unwrap().from(), OffsetSpec::BeforeEnd(5));
        assert_eq!(consume("--range -5:end").unwrap().from(), OffsetSpec::BeforeEnd(5));
    }

    #[test]
    fn stored_positions_are_passed_over_only_when_that_is_said() {
        for args in
            ["-g a --from end", "-g a --range 1:2", "-g a --ignore-positions", "--range 10:5", "--from group"]
        {
            assert_eq!(consume(args).unwrap().check().unwrap_err().exit, Exit::Usage, "{args}");
        }
        for args in
            ["-g a", "-g a --from group", "-g a --from end --ignore-positions", "-g a --group-start @-1h"]
        {
            assert_eq!(consume(args).unwrap().check(), Ok(()), "{args}");
        }
        assert!(consume("--group-start end").is_err(), "without a group");
    }

    #[test]
    fn contradictions_are_refused() {
        for args in ["--follow -e", "--range 1:2 --from 3", "--commit none", "--from x", "-f %q"] {
            assert!(consume(args).is_err(), "{args}");
        }
    }
}
