//! `topic alter`: settings, the number of partitions, the number of replicas.

use std::collections::BTreeMap;

use fidelog_client::Admin;

use super::config::{parse_setting, settings};
use super::desc::TopicReport;
use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::or_interrupted;
use crate::moves::{MovesReport, Wait, moving};

/// Change a topic's settings, its number of partitions or of replicas
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog topic alter orders --config retention_ms=30d --yes
  fidelog topic alter orders --reset retention_bytes --dry-run
  fidelog topic alter orders --partitions 12 --yes
  fidelog topic alter orders --replication-factor 3 --yes --wait

Partitions are only ever added, and keys go to other partitions from then on: records of a key are in order before and after,
not across. Running producers and consumers take up new partitions within 30 s. Another number of replicas is reached by
moves; given again, it begins those that are left.")]
pub(super) struct Alter {
    /// The topic
    topic: String,
    /// A new value; may be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = parse_setting)]
    configs: Vec<(String, String)>,
    /// Back to the cluster's default; may be repeated
    #[arg(long, value_name = "KEY")]
    reset: Vec<String>,
    /// So many partitions in all
    #[arg(
        short = 'p', long, value_name = "N", conflicts_with = "dry_run",
        value_parser = clap::value_parser!(u32).range(2..=10_000)
    )]
    partitions: Option<u32>,
    /// So many copies of each partition
    #[arg(
        short = 'r', long, value_name = "N", conflicts_with = "dry_run",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    replication_factor: Option<u32>,
    /// Needed for a single copy, or min_insync_replicas=1: what is acknowledged can be lost with one disk
    #[arg(long)]
    allow_unreplicated: bool,
    /// Check only; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    wait: Wait,
}

pub(super) async fn run(context: &Context, mut command: Alter) -> Result<Exit, Failure> {
    let set = std::mem::take(&mut command.configs).into_iter().map(|(key, value)| (key, Some(value)));
    let reset = std::mem::take(&mut command.reset).into_iter().map(|key| (key, None));
    let changes = settings(set.chain(reset))?;
    let named = command.named(&changes);
    if named.is_empty() {
        let message = "nothing to change; give --config, --reset, --partitions or --replication-factor";
        return Err(Failure::usage(message));
    }
    let topic = &command.topic;
    if !command.dry_run {
        command.consent.ask(&format!("Change {} of topic `{topic}`", named.join(", ")))?;
    }
    let admin = context.connect().await?.admin();
    let moves = or_interrupted(command.change(context, &admin, changes)).await;
    let exit = moves.map_err(|failure| failure.context(format!("topic `{topic}`")))?;
    if command.replication_factor.is_some() {
        let what = format!("the move of topic `{topic}` to its new replicas");
        let ours = |partition: &fidelog_client::wire::PartitionState| partition.topic == *topic;
        command.wait.until_done(context, &what, || moving(&admin, ours)).await?;
    }
    Ok(exit)
}

impl Alter {
    /// What is to be changed, in words.
    fn named(&self, changes: &BTreeMap<String, Option<String>>) -> Vec<String> {
        let count = |what: &str, count: Option<u32>| count.map(|count| format!("{what} to {count}"));
        let counts = [
            count("the number of partitions", self.partitions),
            count("the number of replicas", self.replication_factor),
        ];
        changes.keys().cloned().chain(counts.into_iter().flatten()).collect()
    }

    async fn change(
        &self,
        context: &Context,
        admin: &Admin,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<Exit, Failure> {
        let (topic, allow) = (&self.topic, self.allow_unreplicated);
        let mut exit = Exit::Success;
        let mut altered = None;
        if !changes.is_empty() {
            altered = Some(admin.alter_topic(topic, changes, allow, self.dry_run).await?);
        }
        if let Some(count) = self.partitions {
            admin.add_partitions(topic, count).await?;
        }
        if let Some(factor) = self.replication_factor {
            let report = MovesReport::from(admin.set_replication_factor(topic, factor, allow).await?);
            context.note(&report.summary("begun"));
            exit = report.exit();
        }
        let described = match altered.filter(|_| self.dry_run) {
            Some(tried) => tried,
            None => admin.describe_topic(topic).await?,
        };
        context.print(&TopicReport::new(described, Vec::new()))?;
        context.note(if self.dry_run { "dry run: nothing was changed" } else { "changed" });
        Ok(exit)
    }
}
