//! `topic create`.

use fidelog_client::NewTopic;

use super::config::{parse_setting, settings};
use super::desc::TopicReport;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Create a topic
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog topic create orders
  fidelog topic create orders -p 6 -r 3 --config retention_ms=30d --config segment_bytes=64m
  fidelog topic create scratch -r 1 --allow-unreplicated
  fidelog topic create orders --dry-run

Settings: retention_ms, retention_bytes, segment_ms, segment_bytes, record_bytes_max, min_insync_replicas")]
pub(crate) struct Create {
    /// Its name: 1 to 249 of A-Z a-z 0-9 . _ -
    topic: String,
    /// How many partitions; the cluster's default is 3
    #[arg(short = 'p', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: Option<u32>,
    /// How many copies of each; the cluster's default is 3
    #[arg(short = 'r', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    replication_factor: Option<u32>,
    /// A setting; may be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = parse_setting)]
    configs: Vec<(String, String)>,
    /// Needed for a single copy, or min_insync_replicas=1: what is acknowledged can be lost with one disk
    #[arg(long)]
    allow_unreplicated: bool,
    /// Check only; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: Create) -> Result<Exit, Failure> {
    let name = command.topic.clone();
    let dry_run = command.dry_run;
    let topic = NewTopic {
        name: command.topic,
        partitions: command.partitions.unwrap_or_default(),
        replication_factor: command.replication_factor.unwrap_or_default(),
        configs: settings(command.configs)?,
        allow_unreplicated: command.allow_unreplicated,
        dry_run,
    };
    let created = context.connect().await?.admin().create_topic(topic).await;
    let created = created.map_err(|error| Failure::from(error).context(format!("topic `{name}`")))?;
    context.print(&TopicReport::new(created, Vec::new()))?;
    context.note(if dry_run { "dry run: nothing was created" } else { "created" });
    Ok(Exit::Success)
}
