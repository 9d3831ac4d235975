//! `consume`: records out, in offset order in each partition.
//!
//! What is always true: a group's position moves only past records that stdout took; no record is passed over
//! silently. It follows unless `--to`, `--range`, `-n` or `-e` gives it an end.

mod format;
mod printer;
mod pump;

use clap::ValueEnum;
use fidelog_client::{Client, Consumer, ConsumerBuilder, StartAt};

use crate::context::{Context, unix_ms};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::offsets::{OffsetRange, OffsetSpec};
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

Formats of -f: %t topic, %p partition, %o offset, %k key, %v value, %h headers, %d time, %T time in Unix ms, %% percent,
\\n \\t \\r \\\\ and \\0")]
pub(crate) struct Consume {
    /// The topic
    topic: String,
    /// Only these partitions
    #[arg(short = 'p', long, value_name = "N,..", value_delimiter = ',')]
    partitions: Vec<u32>,
    /// Where to begin; default: where the group stands, else start
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
}

pub(crate) async fn run(context: &Context, command: Consume) -> Result<Exit, Failure> {
    if command.from() == OffsetSpec::Group && command.group.is_none() {
        return Err(Failure::usage("`--from group` needs a group; name it with -g"));
    }
    if command.format.is_some() && context.format().is_some() {
        return Err(Failure::usage("-f and -o both say how records are printed; leave one out"));
    }
    let interrupts = Interrupts::listen();
    let client = context.connect().await?;
    let consumer = open(&client, &command).await?;
    let format = command.format.clone().unwrap_or_default();
    let printer = Printer::new(&command.topic, std::io::stdout(), context.format(), format);
    let commits = command.group.is_some() && command.commit == CommitMode::Auto;
    let mut pump = Pump::new(consumer, printer, interrupts, command.count, commits);
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

async fn open(client: &Client, command: &Consume) -> Result<Consumer, Failure> {
    let topic = &command.topic;
    let partitions = resolve::partitions(client, topic, &command.partitions).await?;
    let begin = begin(client, topic, &partitions, command.from()).await?;
    let mut builder: ConsumerBuilder =
        client.consumer(topic).partitions(partitions.iter().copied()).from(begin);
    if let Some(to) = command.to() {
        builder = builder.until(resolve::resolve(client, topic, &partitions, to).await?);
    }
    if command.exit_at_end {
        builder = builder.stop_at_end();
    }
    if let Some(group) = &command.group {
        builder = builder.group(group).owner(format!("fidelog-cli/{}", std::process::id()));
    }
    Ok(builder.open().await?)
}

async fn begin(
    client: &Client,
    topic: &str,
    partitions: &[u32],
    from: OffsetSpec,
) -> Result<StartAt, Failure> {
    Ok(match from {
        OffsetSpec::Start => StartAt::Start,
        OffsetSpec::End => StartAt::End,
        OffsetSpec::Group => StartAt::Group,
        OffsetSpec::At(offset) => StartAt::Offset(offset),
        OffsetSpec::Time(ms) => StartAt::Timestamp(ms),
        OffsetSpec::Ago(ms) => StartAt::Timestamp(unix_ms().saturating_sub(ms)),
        OffsetSpec::AfterStart(_) | OffsetSpec::BeforeEnd(_) => {
            StartAt::Offsets(resolve::resolve(client, topic, partitions, from).await?)
        }
    })
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
    fn contradictions_are_refused() {
        for args in ["--follow -e", "--range 1:2 --from 3", "--commit none", "--from x", "-f %q"] {
            assert!(consume(args).is_err(), "{args}");
        }
    }
}
