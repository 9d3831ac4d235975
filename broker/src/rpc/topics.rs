//! Topics: create, list, describe, change, delete. Any broker answers.

use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1;
use fidelog_record::types::{TopicId, TopicName};
use tonic::{Request, Response, Status};
use tracing::warn;

use super::context::Context;
use super::deadline;
use super::mapping::{config_failure, refusal_failure};
use super::paging::{page, page_size};
use super::replica_description::replica_positions;
use super::route::{self, Named, id_bytes, optional_topic_id};
use super::status::Failure;
use super::topic_description::{description, summary};
use crate::meta::state::{
    ClusterState, ConfigChange, ConfigError, ConfigKey, Entry, Minted, Outcome, Proposal, TopicConfig,
    TopicEntry, TopicState,
};

const READY_WAIT_DEFAULT: Duration = Duration::from_secs(10);
const READY_WAIT_MAX: Duration = Duration::from_secs(60);

/// The topic service.
#[derive(Clone, Debug)]
pub(super) struct TopicServer {
    context: Arc<Context>,
}

impl TopicServer {
    /// The service over this context.
    #[must_use]
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// What a change would come to, on the metadata this broker has.
    fn try_out(&self, state: &ClusterState, proposal: &Proposal) -> Result<(ClusterState, Entry), Failure> {
        let minted = Minted { topic: TopicId::from_random(self.context.entropy.id_bytes()) };
        let entry = state
            .decide(proposal, self.context.clock.wall_ms(), &minted)
            .map_err(|refusal| refusal_failure(&refusal))?;
        let mut tried = state.clone();
        tried.apply(state.index().next(), &entry).map_err(|error| {
            Failure::new(v1::Reason::Conflict, format!("the change does not apply: {error}"))
        })?;
        Ok((tried, entry))
    }

    /// The topic once it is ready, or as it is when the time is up.
    async fn ready(
        &self,
        id: TopicId,
        mut state: Arc<ClusterState>,
        wait: Duration,
    ) -> Result<v1::TopicDescription, Failure> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let Some(topic) = state.topic(id) else {
                let message = format!("topic {id} was deleted while its replicas were being made");
                return Err(Failure::new(v1::Reason::Conflict, message).with("topic_id", id));
            };
            if topic.state == TopicState::Open {
                return Ok(description(&self.context, &state, topic));
            }
            let next = self.context.meta.wait_for(state.index().next());
            match tokio::time::timeout_at(until, next).await {
                Ok(later) => state = later,
                Err(_) => return Ok(description(&self.context, &state, topic)),
            }
        }
    }
}

/// Whoever looks for a lost record later finds who allowed it.
fn warn_if_unreplicated(topic: &TopicEntry) {
    if topic.min_insync_replicas() == 1 {
        let (topic, replicas) = (&topic.name, topic.replication_factor);
        warn!(%topic, replicas, "an acknowledgement of this topic may stand for one copy, as was allowed");
    }
}

#[tonic::async_trait]
impl v1::topic_service_server::TopicService for TopicServer {
    async fn create_topic(
        &self,
        call: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let request = call.into_inner();
        let wait = match request.timeout_ms {
            0 => READY_WAIT_DEFAULT,
            ms => Duration::from_millis(ms.into()).min(READY_WAIT_MAX),
        };
        let dry_run = request.dry_run;
        let proposal = creation(request)?;
        let topic = if dry_run {
            let (tried, entry) = self.try_out(&*self.context.state()?, &proposal)?;
            let Outcome::TopicCreated { topic } = Outcome::of(&entry) else {
                return Err(unexpected(&entry).into());
            };
            tried.topic(topic).map(|topic| description(&self.context, &tried, topic))
        } else {
            let (accepted, state) = self.context.change(proposal, deadline).await?;
            let Outcome::TopicCreated { topic } = accepted.outcome else {
                return Err(unexpected(&accepted.outcome).into());
            };
            if let Some(topic) = state.topic(topic) {
                warn_if_unreplicated(topic);
            }
            Some(self.ready(topic, state, deadline.cap(wait)).await?)
        };
        Ok(Response::new(v1::CreateTopicResponse { topic }))
    }

    async fn list_topics(
        &self,
        call: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        let request = call.into_inner();
        let size = page_size(request.page_size)?;
        let state = self.context.state()?;
        let shown = state.topics().filter(|topic| request.include_internal || !topic.internal).collect();
        let (topics, next_page_token) = page(shown, |topic| topic.name.as_str(), &request.page_token, size);
        let topics = topics.into_iter().map(|topic| summary(&self.context, &state, topic)).collect();
        Ok(Response::new(v1::ListTopicsResponse { topics, next_page_token }))
    }

    async fn describe_topic(
        &self,
        call: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        let request = call.get_ref();
        let state = self.context.state()?;
        let topic =
            route::topic(&state, Named { name: &request.name, id: &request.topic_id, field: "name" })?;
        Ok(Response::new(v1::DescribeTopicResponse {
            topic: Some(description(&self.context, &state, &topic)),
        }))
    }

    async fn describe_partitions(
        &self,
        call: Request<v1::DescribePartitionsRequest>,
    ) -> Result<Response<v1::DescribePartitionsResponse>, Status> {
        let request = call.into_inner();
        let state = self.context.state()?;
        let topic =
            route::topic(&state, Named { name: &request.topic, id: &request.topic_id, field: "topic" })?;
        for &index in &request.partitions {
            route::partition(&topic, index)?;
        }
        let mut hosted = self.context.partitions.of_topic(topic.id);
        hosted
            .retain(|it| request.partitions.is_empty() || request.partitions.contains(&it.id().partition.0));
        let now = self.context.clock.now();
        // Sizes and times are asked of the disk.
        let described = tokio::task::spawn_blocking(move || {
            hosted.iter().map(|partition| replica_positions(partition, now)).collect()
        });
        let partitions = described.await.map_err(|error| {
            Failure::new(v1::Reason::Unavailable, format!("the description was not finished: {error}"))
        })?;
        Ok(Response::new(v1::DescribePartitionsResponse {
            topic_id: id_bytes(topic.id.as_bytes()),
            broker_id: self.context.me.0,
            partitions,
        }))
    }

    async fn alter_topic(
        &self,
        call: Request<v1::AlterTopicRequest>,
    ) -> Result<Response<v1::AlterTopicResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let request = call.into_inner();
        let state = self.context.state()?;
        let topic =
            route::topic(&state, Named { name: &request.name, id: &request.topic_id, field: "name" })?;
        let changes = request.configs.iter().map(config_change).collect::<Result<Vec<_>, _>>()?;
        if changes.is_empty() {
            return Err(Failure::invalid("configs", "no setting is named; name one or more").into());
        }
        let allow_unreplicated = request.allow_unreplicated;
        let proposal = Proposal::AlterTopic { topic: topic.id, changes, allow_unreplicated };
        let shown = if request.dry_run {
            let (tried, _) = self.try_out(&state, &proposal)?;
            tried.topic(topic.id).map(|topic| description(&self.context, &tried, topic))
        } else {
            let (_, state) = self.context.change(proposal, deadline).await?;
            let altered = state.topic(topic.id);
            if let Some(altered) = altered.filter(|it| it.min_insync_replicas() < topic.min_insync_replicas())
            {
                warn_if_unreplicated(altered);
            }
            altered.map(|topic| description(&self.context, &state, topic))
        };
        Ok(Response::new(v1::AlterTopicResponse { topic: shown }))
    }

    async fn delete_topic(
        &self,
        call: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let request = call.get_ref();
        let state = self.context.state()?;
        optional_topic_id(&request.topic_id)?;
        let topic =
            route::topic(&state, Named { name: &request.name, id: &request.topic_id, field: "name" })?;
        self.context.change(Proposal::DeleteTopic { topic: topic.id }, deadline).await?;
        Ok(Response::new(v1::DeleteTopicResponse { topic_id: id_bytes(topic.id.as_bytes()) }))
    }
}

fn unexpected(what: &impl std::fmt::Debug) -> Failure {
    Failure::new(
        v1::Reason::ChangeOutcomeUnknown,
        format!("the quorum answered a creation with {what:?}; look for it"),
    )
}

fn creation(request: v1::CreateTopicRequest) -> Result<Proposal, Failure> {
    let name = TopicName::new(&request.name)
        .map_err(|error| Failure::new(v1::Reason::InvalidName, error.to_string()).with("field", "name"))?;
    let replication_factor = u16::try_from(request.replication_factor).map_err(|_| {
        let message = format!("replication_factor is {}; use one for each copy", request.replication_factor);
        Failure::invalid("replication_factor", message)
    })?;
    let mut config = TopicConfig::default();
    for change in &request.configs {
        let ConfigChange { key, value } = config_change(change)?;
        config.set(key, value).map_err(|error| config_failure(&error))?;
    }
    Ok(Proposal::CreateTopic {
        name,
        partition_count: (request.partitions > 0).then_some(request.partitions),
        replication_factor: (replication_factor > 0).then_some(replication_factor),
        config,
        allow_unreplicated: request.allow_unreplicated,
        internal: false,
        assignment: None,
    })
}

fn config_change(change: &v1::ConfigChange) -> Result<ConfigChange, Failure> {
    let key: ConfigKey = change.key.parse().map_err(|error: ConfigError| config_failure(&error))?;
    let value = change.value.as_deref().map(|text| {
        text.parse::<u64>().map_err(|_| {
            let (min, max) = key.range().into_inner();
            let shown: String = text.chars().take(64).collect();
            let message = format!("{key} = {shown:?} is not a whole number; allowed is {min} to {max}");
            Failure::invalid("configs.value", message).with("key", key)
        })
    });
    Ok(ConfigChange { key, value: value.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(change: impl FnOnce(&mut v1::CreateTopicRequest)) -> Result<Proposal, Failure> {
        let mut request = v1::CreateTopicRequest { name: "orders".into(), ..Default::default() };
        change(&mut request);
        creation(request)
    }

    fn config(key: &str, value: &str) -> v1::ConfigChange {
        v1::ConfigChange { key: key.into(), value: Some(value.into()) }
    }

    #[test]
    fn what_is_left_out_is_the_defaults_business() {
        let Proposal::CreateTopic { partition_count, replication_factor, internal, .. } =
            create(|_| ()).unwrap()
        else {
            panic!("not a creation")
        };
        assert_eq!((partition_count, replication_factor, internal), (None, None, false));
    }

    #[test]
    fn each_bad_field_is_named() {
        let field = |result: Result<Proposal, Failure>| {
            let failure = result.unwrap_err();
            (failure.reason(), failure.detail("field").map(str::to_owned))
        };
        use v1::Reason::{InvalidArgument, InvalidName};
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(field(create(|it| it.name = "__own".into())), (InvalidName, named("name")));
        assert_eq!(field(create(|it| it.name = "a/b".into())), (InvalidName, named("name")));
        assert_eq!(
            field(create(|it| it.replication_factor = 70_000)),
            (InvalidArgument, named("replication_factor"))
        );
        let configs =
            |key: &'static str, value: &'static str| create(|it| it.configs = vec![config(key, value)]);
        assert_eq!(field(configs("retention", "1")), (InvalidArgument, named("configs.key")));
        assert_eq!(field(configs("retention_ms", "-1")), (InvalidArgument, named("configs.value")));
        assert_eq!(field(configs("retention_ms", "0")), (InvalidArgument, named("retention_ms")));
    }
}
