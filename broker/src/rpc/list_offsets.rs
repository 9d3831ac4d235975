//! Where a partition starts and ends, and which record is the first at or after a time.
//!
//! Always true: an end that this leader's own epoch has not confirmed is never told as the end (N6): the one before
//! it may have told a greater one.

use std::sync::Arc;

use fidelog_proto::v1::{self, Reason, list_offsets_request::At};
use fidelog_record::Batches;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};

use super::context::Context;
use super::mapping::read_failure;
use super::reading;
use super::status::Failure;
use crate::partition::{Partition, Published, ReadAnswer, ReadRefusal};

/// A record found by its time.
struct AtTime {
    offset: Offset,
    timestamp_ms: u64,
}

/// Answers for the leader of `at`.
///
/// # Errors
/// Why it cannot.
pub(super) async fn list_offsets(
    context: &Context,
    at: TopicPartition,
    wanted: Option<At>,
) -> Result<v1::ListOffsetsResponse, Failure> {
    let partition = context.hosted(at)?;
    let published = partition.published().borrow().clone();
    reading::readable(context, &partition, &published, LeaderEpoch(0))?;
    let found = |offset: Offset, timestamp_ms| v1::ListOffsetsResponse {
        offset: offset.0,
        timestamp_ms,
        leader_epoch: published.leading.unwrap_or(published.leader_epoch).0,
        start_offset: published.positions.start.0,
        committed_end: published.positions.committed_end.0,
        topic_id: partition.topic_bytes(),
    };
    match wanted {
        None => Err(Failure::invalid("at", "neither start, end nor timestamp_ms is set; set one")),
        Some(At::Start(true)) => Ok(found(published.positions.start, 0)),
        Some(At::End(true)) => Ok(found(confirmed_end(context, &partition, &published)?, 0)),
        Some(At::Start(false)) => {
            Err(Failure::invalid("start", "start is false; set it to true, or another"))
        }
        Some(At::End(false)) => Err(Failure::invalid("end", "end is false; set it to true, or another")),
        Some(At::TimestampMs(time_ms)) => match at_time(context, &partition, &published, time_ms).await? {
            Some(AtTime { offset, timestamp_ms }) => Ok(found(offset, timestamp_ms)),
            None => Ok(found(confirmed_end(context, &partition, &published)?, 0)),
        },
    }
}

fn confirmed_end(context: &Context, partition: &Partition, published: &Published) -> Result<Offset, Failure> {
    let committed_end = published.positions.committed_end;
    if published.confirmed {
        // Another may lead, and have told a greater one.
        reading::worth_waiting(context, partition, published)?;
        return Ok(committed_end);
    }
    let message = format!(
        "partition {}: its leader only knows offsets below {committed_end} to be committed yet; try again",
        context.name_of(partition.id())
    );
    Err(Failure::new(Reason::NotYetAvailable, message).with("committed_end", committed_end))
}

async fn at_time(
    context: &Context,
    partition: &Arc<Partition>,
    published: &Published,
    time_ms: u64,
) -> Result<Option<AtTime>, Failure> {
    let (below, reader) = (published.positions.committed_end, Arc::clone(partition));
    let start = published.positions.start;
    let search = tokio::task::spawn_blocking(move || search(&reader, start, below, time_ms));
    let searched = search.await.map_err(|error| {
        Failure::new(Reason::Unavailable, format!("the search was not finished: {error}"))
    })?;
    let at = partition.id();
    searched.map_err(|refusal| {
        let (name, copies) = (context.name_of(at), context.copies_of(at));
        read_failure(refusal, &name, below, copies, || context.not_leader(at))
    })
}

/// The first record below `below` at or after a time: its batch by the index, the record by reading that batch.
fn search(
    partition: &Partition,
    start: Offset,
    below: Offset,
    time_ms: u64,
) -> Result<Option<AtTime>, ReadRefusal> {
    let found = partition.view().offset_for_time(time_ms, below);
    let Some(base) = found.map_err(|error| ReadRefusal::Disk(error.to_string()))? else { return Ok(None) };
    let base = base.max(start);
    let ReadAnswer::Batches { bytes, .. } = partition.read(base, 1)? else { return Ok(None) };
    let damaged = |error: &dyn std::fmt::Display| ReadRefusal::DataLoss(error.to_string());
    for batch in Batches::new(bytes, partition.id()) {
        let batch = batch.map_err(|error| damaged(&error))?;
        for record in batch.records().map_err(|error| damaged(&error))? {
            let record = record.map_err(|error| damaged(&error))?;
            if record.timestamp_ms >= time_ms && record.offset >= base && record.offset < below {
                return Ok(Some(AtTime { offset: record.offset, timestamp_ms: record.timestamp_ms }));
            }
        }
    }
    // Retention moved the start past the record meanwhile: the next batch is the first that is left.
    Ok(Some(AtTime { offset: base, timestamp_ms: 0 }))
}
