//! `topic alter`.

use super::config::{parse_setting, settings};
use super::desc::TopicReport;
use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Change a topic's settings
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog topic alter orders --config retention_ms=30d --yes
  fidelog topic alter orders --reset retention_bytes --dry-run")]
pub(super) struct Alter {
    /// The topic
    topic: String,
    /// A new value; may be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = parse_setting)]
    configs: Vec<(String, String)>,
    /// Back to the cluster's default; may be repeated
    #[arg(long, value_name = "KEY")]
    reset: Vec<String>,
    /// Needed for min_insync_replicas=1: an acknowledgement then may stand for a single copy
    #[arg(long)]
    allow_unreplicated: bool,
    /// Check only; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(context: &Context, command: Alter) -> Result<Exit, Failure> {
    let set = command.configs.into_iter().map(|(key, value)| (key, Some(value)));
    let changes = settings(set.chain(command.reset.into_iter().map(|key| (key, None))))?;
    if changes.is_empty() {
        return Err(Failure::usage("nothing to change; give --config or --reset"));
    }
    let topic = &command.topic;
    if !command.dry_run {
        let named = changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        command.consent.ask(&format!("Change {named} of topic `{topic}`"))?;
    }
    let (allow, dry_run) = (command.allow_unreplicated, command.dry_run);
    let altered = context.connect().await?.admin().alter_topic(topic, changes, allow, dry_run).await;
    let altered = altered.map_err(|error| Failure::from(error).context(format!("topic `{topic}`")))?;
    context.print(&TopicReport::new(altered, Vec::new()))?;
    context.note(if command.dry_run { "dry run: nothing was changed" } else { "changed" });
    Ok(Exit::Success)
}
