//! `broker desc`: one broker, and the partitions it holds.

use fidelog_client::ListPartitions;
use serde::Serialize;

use super::report::BrokerRow;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Show, Table};
use crate::partition::PartitionRow;
use crate::quantity::time_ms;

/// Show one broker and the partitions it holds
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "describe",
    after_help = "Examples:
  fidelog broker desc 2
  fidelog broker desc 2 -o json"
)]
pub(super) struct Desc {
    /// The broker's id
    #[arg(value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
    broker: u32,
}

#[derive(Debug, Serialize)]
struct BrokerReport {
    #[serde(flatten)]
    broker: BrokerRow,
    partitions: Vec<PartitionRow>,
}

impl Show for BrokerReport {
    fn names(&self) -> Vec<String> {
        vec![self.broker.id.to_string()]
    }

    fn table(&self, wide: bool) -> String {
        let broker = &self.broker;
        let facts = Table::facts([
            ("broker", broker.id.to_string()),
            ("state", broker.state()),
            ("clients", broker.address.clone()),
            ("brokers", broker.peer_address.clone()),
            ("rack", broker.rack.clone()),
            ("controller", broker.controller.to_string()),
            ("registered", format!("{}, epoch {}", time_ms(broker.registered_at_ms), broker.broker_epoch)),
            ("directory", format!("{}, generation {}", broker.directory_id, broker.generation)),
            ("leads", format!("{} of {} replicas", broker.leads, broker.replicas)),
            ("not in sync", broker.not_in_sync.to_string()),
        ]);
        format!("{facts}\n\n{}", Table::of(&self.partitions, wide))
    }
}

pub(super) async fn run(context: &Context, command: &Desc) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    let id = command.broker;
    let broker = admin.list_brokers().await?.into_iter().find(|broker| broker.id == id);
    let broker = broker.ok_or_else(|| {
        let message = format!("no broker {id} has registered; `fidelog broker ls` lists them");
        Failure::new(Exit::NotFound, message)
    })?;
    let wish = ListPartitions { broker: Some(id), include_internal: true, ..ListPartitions::default() };
    let partitions = admin.list_partitions(wish).await?.into_iter().map(PartitionRow::from).collect();
    context.print(&BrokerReport { broker: broker.into(), partitions })?;
    Ok(Exit::Success)
}
