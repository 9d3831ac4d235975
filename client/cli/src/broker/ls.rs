//! `broker ls`.

use super::report::BrokerRow;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::Rows;

/// List brokers, with what they hold and lead
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:
  fidelog broker ls
  fidelog broker ls -o wide
  fidelog broker ls -o json"
)]
pub(super) struct Ls {}

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let brokers = context.connect().await?.admin().list_brokers().await?;
    context.print(&Rows(brokers.into_iter().map(BrokerRow::from).collect()))?;
    Ok(Exit::Success)
}
