//! A partition as it is shown.

use fidelog_client::wire::PartitionState;
use serde::Serialize;

use crate::output::{Row, list, or_dash};

/// A partition.
#[derive(Debug, Serialize)]
pub(crate) struct PartitionRow {
    pub(super) topic: String,
    pub(super) partition: u32,
    /// `None`: nobody leads, and `offline` says why.
    pub(super) leader: Option<u32>,
    pub(super) leader_epoch: u32,
    pub(super) partition_epoch: u64,
    pub(super) replicas: Vec<u32>,
    pub(super) isr: Vec<u32>,
    pub(super) eligible: Vec<u32>,
    pub(super) min_insync_replicas: u32,
    pub(super) offline: String,
    /// Where it is going; empty: it stays.
    pub(super) targets: Vec<u32>,
}

impl From<PartitionState> for PartitionRow {
    fn from(partition: PartitionState) -> Self {
        Self {
            topic: partition.topic,
            partition: partition.partition,
            leader: (partition.leader != 0).then_some(partition.leader),
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: partition.replicas,
            isr: partition.isr,
            eligible: partition.eligible,
            min_insync_replicas: partition.min_insync_replicas,
            offline: partition.offline,
            targets: partition.targets,
        }
    }
}

impl Row for PartitionRow {
    const COLUMNS: &'static [&'static str] =
        &["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "MIN", "OFFLINE"];
    const WIDE: &'static [&'static str] = &["ELIGIBLE", "VERSION", "MOVES TO"];

    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name(),
            or_dash(self.leader),
            self.leader_epoch.to_string(),
            list(&self.replicas),
            list(&self.isr),
            self.min_insync_replicas.to_string(),
            self.offline.clone(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![list(&self.eligible), self.partition_epoch.to_string(), list(&self.targets)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Rows, assert_golden};

    #[test]
    fn field_names_are_a_contract() {
        let partition = PartitionState {
            topic: "orders".into(),
            partition: 1,
            leader: 2,
            leader_epoch: 4,
            partition_epoch: 9,
            replicas: vec![1, 2, 3],
            isr: vec![2, 3],
            min_insync_replicas: 2,
            ..PartitionState::default()
        };
        let row = PartitionRow::from(partition);
        assert_eq!(row.name(), "orders/1");
        assert_golden(&Rows(vec![row]), include_str!("../../golden/partition_ls.json"));
    }
}
