//! `segment dump`: the batches of one file, or their records.

use std::io::Write;
use std::path::PathBuf;

use fidelog_client::ConsumedRecord;
use fidelog_client::types::TopicPartition;
use fidelog_log::{OfflineBatch, OfflineError, Piece};
use fidelog_record::{BatchHeader, Codec, PlacedBatch, StoredRecord};
use serde::{Serialize, Serializer};

use super::open::{Torn, disk, open, torn};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Row, Stream};
use crate::quantity::time_ms;
use crate::record_json::RecordOut;

/// Print the batches of a segment file, or their records
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog segment dump 00000000000000000000.log
  fidelog segment dump 00000000000000000000.log --from 120 -n 5 -o wide
  fidelog segment dump 00000000000000000000.log --records -o jsonl

Damage on the way is passed over, named at the end, and the exit code is 8.")]
pub(super) struct Dump {
    /// The file
    file: PathBuf,
    /// Records instead of batches; their topic is told by its id
    #[arg(long)]
    records: bool,
    /// From this offset on
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    /// At most so many
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
}

#[derive(Debug, Serialize)]
struct BatchRow {
    position: u64,
    base_offset: u64,
    end_offset: u64,
    records: u32,
    bytes: u32,
    codec: &'static str,
    leader_epoch: u32,
    append_time_ms: u64,
    committed_below: u64,
    max_timestamp_ms: u64,
    producer_id: u64,
    producer_epoch: u32,
    base_sequence: u64,
}

impl BatchRow {
    fn new(position: u64, header: &BatchHeader) -> Self {
        Self {
            position,
            base_offset: header.base_offset.0,
            end_offset: header.end_offset.0,
            records: header.record_count,
            bytes: header.length,
            codec: match header.codec {
                Codec::None => "none",
                Codec::Lz4 => "lz4",
                Codec::Zstd => "zstd",
            },
            leader_epoch: header.leader_epoch.0,
            append_time_ms: header.append_time_ms,
            committed_below: header.committed_below.0,
            max_timestamp_ms: header.max_timestamp_ms,
            producer_id: header.producer.id.0,
            producer_epoch: header.producer.epoch.0,
            base_sequence: header.producer.base_sequence.0,
        }
    }
}

impl Row for BatchRow {
    const COLUMNS: &'static [&'static str] =
        &["BASE", "END", "RECORDS", "BYTES", "CODEC", "EPOCH", "APPENDED"];
    const WIDE: &'static [&'static str] =
        &["POSITION", "COMMITTED-BELOW", "NEWEST", "PRODUCER", "PRODUCER-EPOCH", "SEQUENCE"];

    fn name(&self) -> String {
        self.base_offset.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.base_offset.to_string(),
            self.end_offset.to_string(),
            self.records.to_string(),
            self.bytes.to_string(),
            self.codec.to_owned(),
            self.leader_epoch.to_string(),
            time_ms(self.append_time_ms),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            self.committed_below.to_string(),
            time_ms(self.max_timestamp_ms),
            self.producer_id.to_string(),
            self.producer_epoch.to_string(),
            self.base_sequence.to_string(),
        ]
    }
}

/// A stored record, in the shape that `consume` prints.
struct StoredRow {
    topic: String,
    record: ConsumedRecord,
}

impl StoredRow {
    fn new(at: TopicPartition, batch: &PlacedBatch, record: StoredRecord) -> Self {
        let record = ConsumedRecord {
            partition: at.partition.0,
            offset: record.offset.0,
            leader_epoch: batch.leader_epoch(),
            timestamp_ms: record.timestamp_ms,
            append_time_ms: batch.append_time_ms(),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        Self { topic: at.topic.to_string(), record }
    }
}

impl Serialize for StoredRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RecordOut::new(&self.topic, &self.record).serialize(serializer)
    }
}

impl Row for StoredRow {
    const COLUMNS: &'static [&'static str] = &["OFFSET", "TIME", "KEY", "VALUE"];

    fn name(&self) -> String {
        self.record.offset.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let text = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let record = &self.record;
        vec![
            record.offset.to_string(),
            time_ms(record.timestamp_ms),
            text(record.key.as_deref()),
            text(record.value.as_deref()),
        ]
    }
}

pub(super) fn run(context: &Context, command: &Dump) -> Result<Exit, Failure> {
    if command.file.is_dir() {
        return Err(Failure::usage("dump takes one segment file; `fidelog segment ls` shows them"));
    }
    let mut stream = Stream::new(std::io::stdout(), context.format().unwrap_or(Format::Table));
    let Ending { torn_tail, damage } = dump(command, &mut stream)?;
    let place = command.file.display();
    if let Some(said) = torn_tail {
        context.note(&format!("{place}: torn tail: {said}"));
    }
    let said = match &damage[..] {
        [] => return Ok(Exit::Success),
        [only] => only.clone(),
        [first, .., last] => format!("{} damaged places; the first: {first}; the last: {last}", damage.len()),
    };
    Err(Failure::new(Exit::Problem, format!("{place}: {said}")))
}

/// What was met beside batches.
#[derive(Debug)]
struct Ending {
    torn_tail: Option<String>,
    damage: Vec<String>,
}

fn dump<W: Write>(command: &Dump, stream: &mut Stream<W>) -> Result<Ending, Failure> {
    let dir = open(&command.file)?;
    let partition = &dir.partitions()[0];
    let segment = &partition.segments[0];
    let failed = |said: String| Failure::new(Exit::Problem, format!("{}: {said}", segment.path.display()));
    let told = segment.header.as_ref().map(|header| header.partition);
    let at = partition.partition.map_or(told, Ok).map_err(|misfit| failed(misfit.to_string()))?;
    let mut walk = dir.walk(partition, segment).map_err(|error| match error {
        OfflineError::Disk(error) => disk(&error),
        error => Failure::new(Exit::Problem, error.to_string()),
    })?;
    let (mut left, mut damage) = (command.count.unwrap_or(u64::MAX), Vec::new());
    while left > 0 {
        let OfflineBatch { position, header, bytes } = match walk.step().map_err(|error| disk(&error))? {
            None => break,
            Some(Piece::Damage { offsets, misfit, .. }) => {
                damage.push(format!("offsets {} to {} are lost: {misfit}", offsets.start, offsets.end));
                continue;
            }
            Some(Piece::Batch(batch)) => batch,
        };
        if header.end_offset.0 <= command.from {
            continue;
        }
        if !command.records {
            stream.push(&BatchRow::new(position, &header)).map_err(|error| Failure::stdout(&error))?;
            left -= 1;
            continue;
        }
        let batch = PlacedBatch::from_bytes(bytes).map_err(|error| failed(error.to_string()))?;
        for record in batch.records().map_err(|error| failed(error.to_string()))? {
            let record = record.map_err(|error| failed(error.to_string()))?;
            if record.offset.0 < command.from || left == 0 {
                continue;
            }
            let row = StoredRow::new(at, &batch, record);
            stream.push(&row).map_err(|error| Failure::stdout(&error))?;
            left -= 1;
        }
    }
    stream.end().map_err(|error| Failure::stdout(&error))?;
    let torn_tail = match torn(partition, segment, walk.tail()) {
        Some(Torn::Told(said)) => Some(said),
        Some(Torn::CannotTell(said)) => {
            damage.push(said);
            None
        }
        None => None,
    };
    Ok(Ending { torn_tail, damage })
}

#[cfg(test)]
mod tests {
    use super::super::stored::Stored;
    use super::*;

    fn dumped(file: std::path::PathBuf) -> (usize, Ending) {
        let command = Dump { file, records: true, from: 0, count: None };
        let mut bytes = Vec::new();
        let mut stream = Stream::new(&mut bytes, Format::Jsonl);
        let ending = dump(&command, &mut stream).unwrap();
        drop(stream);
        (bytes.iter().filter(|byte| **byte == b'\n').count(), ending)
    }

    /// It printed what came before the damage, said nothing, and ended with 0.
    #[test]
    fn a_dump_that_is_not_whole_says_so() {
        let stored = Stored::new();
        let (records, ending) = dumped(stored.segment().to_owned());
        assert_eq!((records, ending.damage.len()), (8, 0));
        stored.change(|bytes| bytes[stored.middle()..].fill(1));
        let (records, ending) = dumped(stored.segment().to_owned());
        assert_eq!(records, 4);
        assert!(ending.damage[0].contains("offsets 4 to 8 are lost"), "{ending:?}");
        let bare = stored.bare();
        let (_, ending) = dumped(bare.path().join(stored.segment().file_name().unwrap()));
        assert!(ending.damage[0].contains("cannot tell"), "{ending:?}");
    }
}
