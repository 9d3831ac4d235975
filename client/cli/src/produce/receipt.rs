//! A receipt as it is printed.

use fidelog_client::{Receipt, Stages};
use serde::Serialize;

use crate::output::{Row, list, or_dash};

/// The receipt of one line.
#[derive(Debug, Serialize)]
pub(super) struct ReceiptOut<'a> {
    line: u64,
    topic: &'a str,
    partition: u32,
    offset: Option<u64>,
    leader_epoch: u32,
    synced_by: Vec<u32>,
    replicas: u32,
    append_time_ms: u64,
    duplicate: bool,
    already_stored: bool,
    stages: StagesOut,
}

/// Where the time went, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StagesOut {
    gather_us: u64,
    queue_us: u64,
    append_us: u64,
    sync_us: u64,
    replication_us: u64,
    network_us: u64,
    client_us: u64,
}

impl From<Stages> for StagesOut {
    fn from(stages: Stages) -> Self {
        Self {
            gather_us: stages.gather_us,
            queue_us: stages.queue_us,
            append_us: stages.append_us,
            sync_us: stages.sync_us,
            replication_us: stages.replication_us,
            network_us: stages.network_us,
            client_us: stages.client_us,
        }
    }
}

impl<'a> ReceiptOut<'a> {
    pub(super) fn new(topic: &'a str, line: u64, receipt: &Receipt) -> Self {
        Self {
            line,
            topic,
            partition: receipt.partition.0,
            offset: receipt.offset.map(|offset| offset.0),
            leader_epoch: receipt.leader_epoch.0,
            synced_by: receipt.synced_by.iter().map(|broker| broker.0).collect(),
            replicas: receipt.replicas,
            append_time_ms: receipt.append_time_ms,
            duplicate: receipt.duplicate,
            already_stored: receipt.already_stored,
            stages: receipt.stages.into(),
        }
    }
}

impl Row for ReceiptOut<'_> {
    const COLUMNS: &'static [&'static str] =
        &["LINE", "PARTITION", "OFFSET", "EPOCH", "SYNCED-BY", "CLIENT-US"];
    const WIDE: &'static [&'static str] =
        &["GATHER-US", "QUEUE-US", "APPEND-US", "SYNC-US", "REPL-US", "NETWORK-US", "DUPLICATE"];

    fn name(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, or_dash(self.offset))
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.line.to_string(),
            self.partition.to_string(),
            or_dash(self.offset),
            self.leader_epoch.to_string(),
            list(&self.synced_by),
            self.stages.client_us.to_string(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let StagesOut { gather_us, queue_us, append_us, sync_us, replication_us, network_us, .. } =
            self.stages;
        let stages = [gather_us, queue_us, append_us, sync_us, replication_us, network_us];
        let stages = stages.iter().map(ToString::to_string);
        stages.chain([(self.duplicate || self.already_stored).to_string()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use fidelog_client::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};

    use super::*;
    use crate::output::{Rows, assert_golden};

    fn receipt() -> Receipt {
        Receipt {
            topic_id: TopicId::from_bytes([1; 16]),
            partition: PartitionIndex(2),
            offset: Some(Offset(13)),
            base_offset: Some(Offset(10)),
            leader_epoch: LeaderEpoch(4),
            synced_by: [BrokerId(1), BrokerId(3)].into(),
            replicas: 2,
            append_time_ms: 1_767_225_600_000,
            stages: Stages {
                gather_us: 1,
                queue_us: 2,
                append_us: 3,
                sync_us: 4,
                replication_us: 5,
                network_us: 6,
                client_us: 21,
            },
            duplicate: false,
            already_stored: false,
        }
    }

    #[test]
    fn field_names_are_a_contract() {
        let rows = Rows(vec![ReceiptOut::new("orders", 7, &receipt())]);
        assert_golden(&rows, include_str!("../../golden/receipt.json"));
    }

    #[test]
    fn an_offset_that_is_not_known_is_not_made_up() {
        let receipt = Receipt { offset: None, base_offset: None, already_stored: true, ..receipt() };
        let out = ReceiptOut::new("orders", 1, &receipt);
        assert_eq!(out.name(), "orders/2@-");
        assert_eq!(out.cells().len(), ReceiptOut::COLUMNS.len());
        assert_eq!(out.wide_cells().len(), ReceiptOut::WIDE.len());
    }
}
