//! Which line was acknowledged where: one entry for every receipt.
//!
//! What is always true: entries of a partition stand in the order in which their lines were handed over.

use fidelog_client::Receipt;

use super::input::Place;

/// A line that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its offset, as its receipt says.
    pub(super) offset: u64,
    /// Its number, from 1.
    pub(super) line: u64,
    pub(super) place: Place,
}

/// A receipt worth showing.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) line: u64,
    pub(super) receipt: Receipt,
}

/// The receipts of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct PartitionLedger {
    entries: Vec<Entry>,
    /// How many were synced by so many brokers.
    by_replicas: [u64; 16],
    duplicates: u64,
    first: Option<Shown>,
    slowest: Option<Shown>,
}

impl PartitionLedger {
    /// Enters a receipt.
    pub(super) fn enter(&mut self, line: u64, place: Place, receipt: &Receipt) {
        // Stored so long ago that its offset is forgotten: behind the one before it, which the comparison will see.
        let next = self.entries.last().map_or(0, |last| last.offset + 1);
        let offset = receipt.offset.map_or(next, |offset| offset.0);
        self.entries.push(Entry { offset, line, place });
        let replicas = (receipt.replicas as usize).min(self.by_replicas.len() - 1);
        self.by_replicas[replicas] += 1;
        self.duplicates += u64::from(receipt.duplicate || receipt.already_stored);
        let shown = || Some(Shown { line, receipt: receipt.clone() });
        if self.first.is_none() {
            self.first = shown();
        }
        let slowest_us = self.slowest.as_ref().map(|slowest| slowest.receipt.stages.client_us);
        if slowest_us.is_none_or(|slowest| receipt.stages.client_us > slowest) {
            self.slowest = shown();
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The receipts of all partitions, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(pub(super) Vec<PartitionLedger>);

impl Ledger {
    /// How many lines were acknowledged.
    pub(super) fn lines(&self) -> u64 {
        self.0.iter().map(|partition| partition.entries.len() as u64).sum()
    }

    /// How many were recognised by the brokers as sent before.
    pub(super) fn duplicates(&self) -> u64 {
        self.0.iter().map(|partition| partition.duplicates).sum()
    }

    /// How many lines were synced by how many brokers, fewest first.
    pub(super) fn by_replicas(&self) -> Vec<(usize, u64)> {
        let of = |replicas: usize| self.0.iter().map(|partition| partition.by_replicas[replicas]).sum();
        (0..16).map(|replicas| (replicas, of(replicas))).filter(|(_, lines)| *lines > 0).collect()
    }

    /// The first receipt of each partition, and the one that took longest of all, by line.
    pub(super) fn shown(&self) -> Vec<&Shown> {
        let slowest = self.0.iter().filter_map(|partition| partition.slowest.as_ref());
        let slowest = slowest.max_by_key(|shown| shown.receipt.stages.client_us);
        let mut shown: Vec<_> = self.0.iter().filter_map(|partition| partition.first.as_ref()).collect();
        shown.extend(slowest.filter(|slowest| shown.iter().all(|first| first.line != slowest.line)));
        shown.sort_by_key(|shown| shown.line);
        shown
    }

    /// The lines 1 to this one are all acknowledged.
    pub(super) fn without_gap_to(&self) -> u64 {
        let mut lines: Vec<u64> =
            self.0.iter().flat_map(|it| it.entries.iter().map(|entry| entry.line)).collect();
        lines.sort_unstable();
        lines.iter().zip(1..).take_while(|(line, expected)| **line == *expected).count() as u64
    }
}

#[cfg(test)]
pub(super) mod tests {
    use fidelog_client::Stages;
    use fidelog_client::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

    use super::*;

    pub(in crate::demo) fn receipt(offset: Option<u64>, replicas: u32, client_us: u64) -> Receipt {
        Receipt {
            topic_id: TopicId::NIL,
            partition: PartitionIndex(0),
            offset: offset.map(Offset),
            base_offset: offset.map(Offset),
            leader_epoch: LeaderEpoch(1),
            synced_by: [].into(),
            replicas,
            append_time_ms: 0,
            stages: Stages { client_us, ..Stages::default() },
            duplicate: false,
            already_stored: offset.is_none(),
        }
    }

    #[test]
    fn receipts_are_counted_and_the_telling_ones_kept() {
        let place = Place { begin: 0, bytes: 0 };
        let mut partitions = vec![PartitionLedger::default(); 2];
        for (partition, line, offset, replicas, client_us) in
            [(0, 1, Some(0), 3, 10), (1, 2, Some(0), 3, 20), (0, 3, Some(1), 2, 900), (0, 5, None, 2, 30)]
        {
            partitions[partition].enter(line, place, &receipt(offset, replicas, client_us));
        }
        let ledger = Ledger(partitions);
        assert_eq!((ledger.lines(), ledger.duplicates(), ledger.without_gap_to()), (4, 1, 3));
        assert_eq!(ledger.by_replicas(), [(2, 2), (3, 2)]);
        assert_eq!(ledger.shown().iter().map(|shown| shown.line).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(ledger.0[0].entries()[2].offset, 2, "a forgotten offset is the one behind");
    }
}
