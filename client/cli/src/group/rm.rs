//! `group rm`.

use fidelog_client::types::TopicId;
use fidelog_client::wire::{GroupDescription, GroupTopic};

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
    /// Only its positions on this topic; of a deleted topic its id, which `group desc` shows
    #[arg(long, value_name = "NAME|ID")]
    topic: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// What `--topic` names: a name if the group has positions on such a topic, else an id.
fn named(known: &GroupDescription, text: &str) -> Result<Option<TopicId>, Failure> {
    if known.topics.iter().any(|topic| topic.topic == text) {
        return Ok(None);
    }
    let id = known.topics.iter().filter_map(|topic| TopicId::try_from(&topic.topic_id[..]).ok());
    id.into_iter().find(|id| id.to_string() == text).map(Some).ok_or_else(|| {
        let said = format!(
            "group `{}` has no positions on topic `{text}`; `fidelog group desc` shows which",
            known.group
        );
        Failure::new(Exit::NotFound, said)
    })
}

pub(super) async fn run(context: &Context, command: &Rm) -> Result<Exit, Failure> {
    let group = &command.group;
    let admin = context.connect().await?.admin();
    let known = admin.describe_group(group).await?.ok_or_else(|| super::unknown(group))?;
    let on = command.topic.as_ref().map_or_else(String::new, |topic| format!(" on topic `{topic}`"));
    let id = command.topic.as_ref().map(|topic| named(&known, topic)).transpose()?.flatten();
    let chosen = |topic: &&GroupTopic| match (&command.topic, id) {
        (None, _) => true,
        (Some(name), None) => topic.topic == *name,
        (Some(_), Some(id)) => topic.topic_id[..] == id.as_bytes()[..],
    };
    let positions: usize = known.topics.iter().filter(chosen).map(|topic| topic.positions.len()).sum();
    command.consent.ask(&format!("Forget {positions} positions of group `{group}`{on}"))?;
    let forgotten = match id {
        Some(id) => admin.delete_group_on(group, id).await?,
        None => admin.delete_group(group, command.topic.as_deref()).await?,
    };
    context.note(&format!("{forgotten} positions of group `{group}`{on} are forgotten"));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_topic_is_named_by_its_id() {
        let topic = |name: &str, id: u8| GroupTopic {
            topic: name.into(),
            topic_id: bytes::Bytes::copy_from_slice(&[id; 16]),
            ..Default::default()
        };
        let known = GroupDescription { group: "mix".into(), topics: vec![topic("orders", 1), topic("", 2)] };
        assert_eq!(named(&known, "orders"), Ok(None));
        let id = TopicId::from_bytes([2; 16]);
        assert_eq!(named(&known, &id.to_string()), Ok(Some(id)));
        assert_eq!(named(&known, "rt").unwrap_err().exit, Exit::NotFound);
    }
}
