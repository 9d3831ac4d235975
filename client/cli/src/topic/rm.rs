//! `topic rm`.

use fidelog_client::types::TopicId;

use super::id_text;
use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Delete a topic and its records on every replica; this cannot be undone
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "delete",
    after_help = "Examples:
  fidelog topic rm scratch
  fidelog topic rm scratch --yes
  fidelog topic rm scratch --id 0b0c0d0e-0000-4000-8000-000000000001 --yes"
)]
pub(super) struct Rm {
    /// The topic
    topic: String,
    /// Only if it has this id: a name may have been created again
    #[arg(long)]
    id: Option<TopicId>,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(context: &Context, command: &Rm) -> Result<Exit, Failure> {
    let topic = &command.topic;
    let admin = context.connect().await?.admin();
    let missing = |error| Failure::from(error).context(format!("topic `{topic}`"));
    let described = admin.describe_topic(topic).await.map_err(missing)?;
    // What is asked about is what is deleted, even if the name changes hands meanwhile.
    let id = match command.id {
        Some(id) => id,
        None => TopicId::try_from(&described.topic_id[..])
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?,
    };
    let partitions = described.partitions.len();
    let what = format!(
        "Delete topic `{topic}` ({}), its {partitions} partitions and all records",
        id_text(id.as_bytes())
    );
    command.consent.ask(&what)?;
    let id = admin.delete_topic(topic, Some(id)).await.map_err(missing)?;
    context.note(&format!("topic `{topic}` ({id}) is deleted"));
    Ok(Exit::Success)
}
