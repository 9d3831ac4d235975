//! `produce`: lines in, records and receipts out.
//!
//! ```text
//!  input (a thread: lines) --> sender (a task: lines become records) --> collector (this task: outcomes, in order)
//! ```
//!
//! What is always true: however it ends, it says how many records were acknowledged, and which `--skip` goes on
//! without a gap.

mod collector;
mod input;
mod ledger;
mod receipt;
mod recipe;
mod sender;

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use fidelog_client::Codec;
use tokio::sync::{mpsc, watch};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::Stream;
use crate::progress::Progress;
use collector::{Collector, Ended};
use recipe::Recipe;

/// Send records: one line of stdin or a file is one record
///
/// A record is the bytes between two line feeds: a carriage return is kept, an empty line is an empty record, and
/// bytes need not be UTF-8. Nothing is printed on stdout unless receipts are asked for with -o. A record that cannot be
/// delivered is tried for 120 s, or for as long as --timeout says; after a second it says what it waits for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo hello | fidelog produce orders
  fidelog produce orders -K : < pairs.txt
  fidelog produce orders --file big.log --skip 120
  fidelog produce orders -k device-7 -H source=import -p 0 -o jsonl
  fidelog consume orders -e -o jsonl | fidelog produce copy -i jsonl")]
pub(crate) struct Produce {
    /// The topic
    topic: String,
    /// Key of every record
    #[arg(short = 'k', long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// Each line is a key, this, and a value; \n \t \r \0 and \\ are understood as in consume -f
    #[arg(short = 'K', long, value_name = "SEP", value_parser = crate::escape::unescape)]
    key_separator: Option<String>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = recipe::parse_header)]
    headers: Vec<(String, String)>,
    /// Partition of every record; by key, or spread, when it is not given
    #[arg(short = 'p', long, value_name = "N")]
    partition: Option<u32>,
    /// What a line is
    #[arg(short = 'i', long, value_enum, default_value_t = InputFormat::Lines)]
    input: InputFormat,
    /// With -i jsonl: send each record to the partition its line names
    #[arg(long, conflicts_with = "partition")]
    keep_partitions: bool,
    /// Read a file instead of stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Pass over the first lines: where an earlier attempt told to go on
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    skip: u64,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    /// A value
    Lines,
    /// What `consume -o jsonl` prints
    Jsonl,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Not at all
    None,
    /// Fast
    Lz4,
    /// Small
    Zstd,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// Records sent whose outcome was not looked at yet: what the collector may be behind.
const UNSETTLED_RECORDS_MAX: usize = 64 * 1024;

pub(crate) async fn run(context: &Context, command: Produce) -> Result<Exit, Failure> {
    let recipe = Recipe::new(&command)?;
    let interrupts = Interrupts::listen();
    let (source, bytes) = input::open(command.file.as_deref())?;
    let client = context.patiently(context.connect()).await?;
    let producer = client.producer(&command.topic).compression(command.compression.into());
    let producer = producer.delivery_budget(context.delivery_budget());
    let producer = context.patiently(producer.open()).await?;

    let began = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let (sent, unsettled) = mpsc::channel(UNSETTLED_RECORDS_MAX);
    let lines = input::read(source, recipe.line_bytes_max(), command.skip)?;
    let sender = tokio::spawn(sender::send_all(producer.clone(), recipe, lines, sent, stopped));

    let progress = Progress::bytes(context, bytes);
    let receipts = context.format().map(|format| Stream::new(std::io::stdout(), format));
    let mut collector =
        Collector::new(context, &command.topic, command.skip, interrupts, stop, receipts, &progress);
    let collected = collector.run(unsettled).await;
    progress.finish();
    let ended = match collected {
        // Somebody pressed Ctrl-C twice: the sender may wait for room that never comes.
        Ended::GaveUp => sender::Ended::Stopped,
        Ended::Settled => sender.await.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?,
    };
    let report = collector.report(ended, began.elapsed());
    match report {
        Ok(said) => {
            context.note(&said);
            Ok(Exit::Success)
        }
        Err(failure) => Err(failure),
    }
}
