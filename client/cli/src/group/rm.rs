//! `group rm`.

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Forget a group's positions
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "delete",
    after_help = "Examples:
  fidelog group rm billing
  fidelog group rm billing --topic orders --yes"
)]
pub(super) struct Rm {
    /// The group
    group: String,
    /// Only its positions on this topic
    #[arg(long)]
    topic: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(context: &Context, command: &Rm) -> Result<Exit, Failure> {
    let group = &command.group;
    let admin = context.connect().await?.admin();
    let known = admin.describe_group(group).await?.ok_or_else(|| super::unknown(group))?;
    let on = command.topic.as_ref().map_or_else(String::new, |topic| format!(" on topic `{topic}`"));
    let topics =
        known.topics.iter().filter(|known| command.topic.as_ref().is_none_or(|topic| *topic == known.topic));
    let positions: usize = topics.map(|topic| topic.positions.len()).sum();
    command.consent.ask(&format!("Forget {positions} positions of group `{group}`{on}"))?;
    let forgotten = admin.delete_group(group, command.topic.as_deref()).await?;
    context.note(&format!("{forgotten} positions of group `{group}`{on} are forgotten"));
    Ok(Exit::Success)
}
