//! A group reads everything, with two readers one after the other: the second goes on where the first committed.

use std::fs::File;

use fidelog_client::Client;

use super::compare::Comparison;
use super::story::Story;
use super::words;
use super::{GROUP, TOPIC};
use crate::local::terminal::grouped;

/// How often a reader commits, in records: what it would read again if it were killed.
const COMMIT_EVERY: u64 = 1_000;

/// Who reads, and how far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) name: &'static str,
    /// Stops after so many records; `None`: at the end.
    pub(super) records_max: Option<u64>,
    /// How many records are printed; half as many again of those that look strange.
    pub(super) show: u64,
}

/// Reads, compares and commits; tells how many records that were. The reader is gone when this returns.
///
/// # Errors
/// A sentence, when it cannot be read or committed.
pub(super) async fn read(
    client: &Client,
    reader: Reader,
    comparison: &mut Comparison,
    original: &File,
    story: &Story,
) -> Result<u64, String> {
    let builder = client.consumer(TOPIC).group(GROUP).owner(reader.name).stop_at_end();
    let mut consumer = builder.open().await.map_err(|error| format!("group {GROUP}: {error}"))?;
    let begins: Vec<_> =
        consumer.position().iter().map(|at| format!("{}/{}", at.partition, at.offset)).collect();
    story.say(format_args!("{} of group {GROUP} begins at {}", reader.name, begins.join(", ")));
    let (mut records, mut rare_left) = (0, reader.show.div_ceil(2));
    while reader.records_max.is_none_or(|max| records < max) {
        let Some(record) = consumer.next().await else { break };
        let record = record.map_err(|error| format!("{}: {error}", reader.name))?;
        records += 1;
        if records == reader.show + 1 {
            story.say_plain("             …");
        }
        let rare = records > reader.show && rare_left > 0 && words::is_rare(record.value.as_deref());
        rare_left -= u64::from(rare);
        if records <= reader.show || rare {
            story.say_plain(words::record(&record));
        }
        let at = (record.partition, record.offset);
        comparison
            .take(at, record.value.as_deref(), original)
            .map_err(|error| format!("the copy: {error}"))?;
        if records % COMMIT_EVERY == 0 {
            commit(&mut consumer, reader).await?;
        }
    }
    commit(&mut consumer, reader).await?;
    let ends: Vec<_> =
        consumer.position().iter().map(|at| format!("{}/{}", at.partition, at.offset)).collect();
    story.say(format_args!(
        "{} has read {} records, committed {}, and is gone",
        reader.name,
        grouped(records),
        ends.join(", ")
    ));
    Ok(records)
}

async fn commit(consumer: &mut fidelog_client::Consumer, reader: Reader) -> Result<(), String> {
    consumer.commit_processed().await.map_err(|error| format!("{} cannot commit: {error}", reader.name))
}
