//! What is written to the store, as values, and the tables it goes to.
//!
//! Always true: writing a change again changes nothing, so that a job the disk had no room for can be tried as a
//! whole once more. The log on disk has no holes, and what is missing from its front is in the snapshot.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

/// The format of the file, and the node's number.
pub(super) const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
pub(super) const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshot");
/// Apart from [`SNAPSHOT`], so that nobody reads megabytes to learn what they are about.
pub(super) const IMAGE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("image");

pub(super) const FORMAT_KEY: &str = "format";
pub(super) const NODE_ID_KEY: &str = "node_id";
pub(super) const CLUSTER_KEY: &str = "cluster";
pub(super) const PURGED_KEY: &str = "purged";

/// One of the small things the store keeps; each write replaces the former.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::meta) enum Fact {
    /// Whom this node follows or voted for.
    Vote,
    /// The last entry known to be committed. May lag behind.
    Committed,
}

impl Fact {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Committed => "committed",
        }
    }
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::meta) enum Change {
    /// Keeps a fact.
    Keep(Fact, Vec<u8>),
    /// Entries of the log by index. They must follow what is there.
    Append(Vec<(u64, Vec<u8>)>),
    /// Removes the entries from this index on.
    CutFrom(u64),
    /// Removes the entries before an index, and keeps the id of the last of them. Nothing is removed before the
    /// snapshot covers it: the writer brings it again when it does.
    Purge {
        /// End of what goes, exclusive.
        end: u64,
        /// The last entry that goes.
        last: Vec<u8>,
    },
    /// Replaces the snapshot, unless the one there covers more of the log.
    Snapshot {
        /// End of the log it covers, exclusive.
        end: u64,
        /// What it is about.
        about: Vec<u8>,
        /// Its bytes.
        image: Vec<u8>,
    },
    /// Forgets everything but the cluster: the node starts anew under this number.
    Reset(u64),
}

impl Change {
    /// How far it purges, exclusive; none when it does something else.
    pub(super) fn purge_end(&self) -> Option<u64> {
        match self {
            Self::Purge { end, .. } => Some(*end),
            _ => None,
        }
    }

    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        match self {
            Self::Keep(fact, bytes) => {
                transaction.open_table(FACTS)?.insert(fact.key(), bytes.as_slice())?;
            }
            Self::Append(rows) => append(transaction, rows)?,
            Self::CutFrom(index) => transaction.open_table(LOG)?.retain_in(*index.., |_, _| false)?,
            Self::Purge { end, last } => purge(transaction, *end, last)?,
            Self::Snapshot { end, about, image } => write_snapshot(transaction, *end, about, image)?,
            Self::Reset(node_id) => reset(transaction, *node_id)?,
        }
        Ok(())
    }
}

fn append(transaction: &WriteTransaction, rows: &[(u64, Vec<u8>)]) -> Result<(), redb::Error> {
    let mut log = transaction.open_table(LOG)?;
    let end = log.last()?.map(|(last, _)| last.value().saturating_add(1));
    if let (Some(end), Some((first, _))) = (end, rows.first())
        && *first > end
    {
        let reason = format!("entries from {first} on would leave a hole in a log that ends at {end}");
        return Err(redb::Error::Corrupted(reason));
    }
    for (index, bytes) in rows {
        log.insert(index, bytes.as_slice())?;
    }
    Ok(())
}

fn purge(transaction: &WriteTransaction, end: u64, last: &[u8]) -> Result<(), redb::Error> {
    let covered_end = transaction.open_table(SNAPSHOT)?.last()?.map(|(covered_end, _)| covered_end.value());
    if covered_end.is_some_and(|covered_end| covered_end >= end) {
        transaction.open_table(FACTS)?.insert(PURGED_KEY, last)?;
        transaction.open_table(LOG)?.retain_in(..end, |_, _| false)?;
    }
    Ok(())
}

fn write_snapshot(
    transaction: &WriteTransaction,
    end: u64,
    about: &[u8],
    image: &[u8],
) -> Result<(), redb::Error> {
    let (mut abouts, mut images) = (transaction.open_table(SNAPSHOT)?, transaction.open_table(IMAGE)?);
    if abouts.last()?.is_some_and(|(there, _)| there.value() > end) {
        return Ok(());
    }
    abouts.insert(end, about)?;
    images.insert(end, image)?;
    abouts.retain_in(..end, |_, _| false)?;
    images.retain_in(..end, |_, _| false)?;
    Ok(())
}

fn reset(transaction: &WriteTransaction, node_id: u64) -> Result<(), redb::Error> {
    transaction.open_table(ABOUT)?.insert(NODE_ID_KEY, node_id)?;
    let mut facts = transaction.open_table(FACTS)?;
    for key in [Fact::Vote.key(), Fact::Committed.key(), PURGED_KEY] {
        facts.remove(key)?;
    }
    for table in [LOG, SNAPSHOT, IMAGE] {
        transaction.open_table(table)?.retain(|_, _| false)?;
    }
    Ok(())
}
