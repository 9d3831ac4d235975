//! A broker as it is shown.

use fidelog_client::wire::BrokerDescription;
use serde::Serialize;

use crate::output::Row;
use crate::quantity::time_ms;

/// A broker.
#[derive(Debug, Serialize)]
pub(super) struct BrokerRow {
    pub(super) id: u32,
    pub(super) address: String,
    pub(super) peer_address: String,
    pub(super) rack: String,
    pub(super) broker_epoch: u64,
    pub(super) directory_id: String,
    pub(super) generation: u64,
    pub(super) registered_at_ms: u64,
    pub(super) fenced: bool,
    pub(super) fenced_because: String,
    pub(super) fenced_at_ms: u64,
    pub(super) draining: bool,
    pub(super) reachable: bool,
    pub(super) controller: bool,
    pub(super) replicas: u32,
    pub(super) leads: u32,
    pub(super) preferred: u32,
    pub(super) not_in_sync: u32,
    pub(super) feature_level: u32,
}

impl From<BrokerDescription> for BrokerRow {
    fn from(broker: BrokerDescription) -> Self {
        Self {
            id: broker.id,
            address: broker.address,
            peer_address: broker.peer_address,
            rack: broker.rack,
            broker_epoch: broker.broker_epoch,
            directory_id: crate::topic::id_text(&broker.directory_id),
            generation: broker.generation,
            registered_at_ms: broker.registered_at_ms,
            fenced: broker.fenced,
            fenced_because: broker.fenced_because,
            fenced_at_ms: broker.fenced_at_ms,
            draining: broker.draining,
            reachable: broker.reachable,
            controller: broker.controller,
            replicas: broker.replicas,
            leads: broker.leads,
            preferred: broker.preferred,
            not_in_sync: broker.not_in_sync,
            feature_level: broker.feature_level,
        }
    }
}

impl BrokerRow {
    /// How it is, in a word or a few.
    pub(super) fn state(&self) -> String {
        match (self.fenced, self.draining, self.reachable) {
            (true, _, _) => format!("fenced: {}", self.fenced_because),
            (false, true, true) => "draining".to_owned(),
            (false, true, false) => "draining, not reached".to_owned(),
            (false, false, true) => "up".to_owned(),
            (false, false, false) => "not reached".to_owned(),
        }
    }
}

impl Row for BrokerRow {
    const COLUMNS: &'static [&'static str] =
        &["BROKER", "ADDRESS", "STATE", "LEADS", "REPLICAS", "NOT IN SYNC", "CONTROLLER", "RACK"];
    const WIDE: &'static [&'static str] = &["EPOCH", "PREFERRED", "REGISTERED", "DIRECTORY"];

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.address.clone(),
            self.state(),
            self.leads.to_string(),
            self.replicas.to_string(),
            self.not_in_sync.to_string(),
            self.controller.to_string(),
            self.rack.clone(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.broker_epoch.to_string(),
            self.preferred.to_string(),
            time_ms(self.registered_at_ms),
            self.directory_id.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Rows, assert_golden};

    #[test]
    fn field_names_are_a_contract() {
        let broker = BrokerDescription {
            id: 2,
            address: "b2:9094".into(),
            peer_address: "b2:9095".into(),
            directory_id: bytes::Bytes::from_static(&[2; 16]),
            broker_epoch: 9,
            fenced: true,
            fenced_because: "its heartbeats are missing".into(),
            replicas: 3,
            ..BrokerDescription::default()
        };
        let row = BrokerRow::from(broker);
        assert_eq!(row.state(), "fenced: its heartbeats are missing");
        assert_golden(&Rows(vec![row]), include_str!("../../golden/broker_ls.json"));
    }
}
