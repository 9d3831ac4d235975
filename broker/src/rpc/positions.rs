//! Positions of groups: what clients ask, told to the owner of a group, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::{self, Reason, position_service_client::PositionServiceClient};
use fidelog_record::types::{GroupName, LeaderEpoch, Offset, PartitionIndex, TopicPartition};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::context::Context;
use super::deadline::{self, Deadline};
use super::forward::{Effect, Way, sized_client};
use super::mapping::positions_failure;
use super::paging::page_size;
use super::position_forms::{committed, group_name, named_once, owner_name, position, result};
use super::route::{self, Named, id_bytes, optional_topic_id};
use super::status::Failure;
use crate::group::state::{Commit, GroupPositions, ResetTo};
use crate::group::{CommitAll, Delete, Fetch, List, Open, POSITIONS_TOPIC, PositionsError, Reset};
use crate::meta::state::{ClusterState, TopicEntry};

/// How long the owner of a group may take.
const OWNER_WAIT: Duration = Duration::from_secs(15);

/// The position service.
#[derive(Clone, Debug)]
pub(super) struct PositionServer {
    context: Arc<Context>,
}

type Answered<T> = Result<Response<T>, Status>;

impl PositionServer {
    /// The service over this context.
    #[must_use]
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn topic(&self, name: &str, id: &[u8]) -> Result<(Arc<ClusterState>, Arc<TopicEntry>), Failure> {
        let state = self.context.state()?;
        let topic = route::topic(&state, Named { name, id, field: "topic" })?;
        Ok((state, topic))
    }

    /// Every broker sends a call on, also one that holds no partition of the internal topic.
    fn learn_topic(&self) -> Result<(), Failure> {
        if let Some(topic) = self.context.state()?.topic_by_name(POSITIONS_TOPIC) {
            self.context.positions.topic_exists(topic.id, topic.partition_count);
        }
        Ok(())
    }

    fn owner(&self, group: &GroupName) -> Result<TopicPartition, Failure> {
        self.learn_topic()?;
        self.context.positions.partition_of(group).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &PositionsError) -> Failure {
        positions_failure(error, |leader, epoch| match error {
            PositionsError::NotOwner { partition, .. } => {
                self.context.led_elsewhere(*partition, leader, epoch)
            }
            _ => Failure::new(Reason::LeaderNotAvailable, error.to_string()),
        })
    }

    /// Whether each offset exists, in the order given.
    async fn checked(
        &self,
        topic: &TopicEntry,
        wanted: impl Iterator<Item = (PartitionIndex, Offset)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        let located = wanted.map(|(index, offset)| Ok((route::partition(topic, index.0)?, offset)));
        let located = located.collect::<Result<Vec<_>, Failure>>()?;
        Ok(self.context.check_positions(located, deadline).await)
    }

    /// Whether a call belongs to another broker: then its answer.
    async fn elsewhere<T, A, F>(
        &self,
        call: Request<T>,
        (owner, effect): (TopicPartition, Effect),
        ask: impl FnOnce(PositionServiceClient<Channel>, Request<T>) -> F,
    ) -> Result<Result<A, T>, Status>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = deadline::of_call(&call);
        match self.context.way(&call, owner) {
            Way::Here => Ok(Err(call.into_inner())),
            Way::To(leader, address) => {
                let message = (call.into_inner(), effect);
                let ask = |channel, request| ask(sized_client!(PositionServiceClient, channel), request);
                let answer =
                    self.context.forward((leader, address), message, (deadline, OWNER_WAIT), ask).await?;
                Ok(Ok(answer.into_inner()))
            }
        }
    }
}

fn partitions_of(topic: &TopicEntry, asked: &[u32]) -> Result<Vec<PartitionIndex>, Failure> {
    if asked.is_empty() {
        return Ok((0..topic.partition_count).map(PartitionIndex).collect());
    }
    named_once(asked.iter().copied(), "partitions")?;
    asked.iter().map(|&index| route::partition(topic, index).map(|at| at.partition)).collect()
}

#[tonic::async_trait]
impl v1::position_service_server::PositionService for PositionServer {
    async fn open_positions(
        &self,
        call: Request<v1::OpenPositionsRequest>,
    ) -> Answered<v1::OpenPositionsResponse> {
        let owner = self.owner(&group_name(&call.get_ref().group)?)?;
        let ask = |mut client: PositionServiceClient<_>, request| async move {
            client.open_positions(request).await
        };
        let request = match self.elsewhere(call, (owner, Effect::Changes), ask).await? {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(request) => request,
        };
        let (_, topic) = self.topic(&request.topic, &request.topic_id)?;
        let open = Open {
            group: group_name(&request.group)?,
            topic: topic.id,
            partitions: partitions_of(&topic, &request.partitions)?,
            owner: owner_name(&request.owner)?,
        };
        let opened = self.context.positions.open(open).await.map_err(|error| self.failure(&error))?;
        let positions = opened.into_iter().map(position).collect();
        Ok(Response::new(v1::OpenPositionsResponse { topic_id: id_bytes(topic.id.as_bytes()), positions }))
    }

    async fn commit_positions(
        &self,
        call: Request<v1::CommitPositionsRequest>,
    ) -> Answered<v1::CommitPositionsResponse> {
        let deadline = deadline::of_call(&call);
        let owner = self.owner(&group_name(&call.get_ref().group)?)?;
        let ask = |mut client: PositionServiceClient<_>, request| async move {
            client.commit_positions(request).await
        };
        let request = match self.elsewhere(call, (owner, Effect::Changes), ask).await? {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(request) => request,
        };
        let (_, topic) = self.topic("", &request.topic_id)?;
        named_once(request.commits.iter().map(|commit| commit.partition), "commits")?;
        let commits: Vec<Commit> = request.commits.iter().map(committed).collect();
        let wanted = commits.iter().map(|commit| (commit.partition, commit.offset));
        let checked = self.checked(&topic, wanted, deadline).await?;
        // A partition whose leader is away keeps back its own commit, not those of the others.
        let (mut good, mut refused) = (Vec::new(), Vec::new());
        for (commit, check) in commits.into_iter().zip(checked) {
            match check {
                Ok(()) => good.push(commit),
                Err(failure) => refused.push((commit.partition, failure)),
            }
        }
        if good.is_empty()
            && let Some((_, first)) = refused.first()
        {
            return Err(first.clone().into());
        }
        let all = CommitAll { group: group_name(&request.group)?, topic: topic.id, commits: good };
        let results = self.context.positions.commit(all).await.map_err(|error| self.failure(&error))?;
        let refused = refused.into_iter().map(|(partition, failure)| v1::PositionResult {
            partition: partition.0,
            position: None,
            error: Some(failure.into()),
        });
        let results = results.into_iter().map(result).chain(refused).collect();
        Ok(Response::new(v1::CommitPositionsResponse { results }))
    }

    async fn fetch_positions(
        &self,
        call: Request<v1::FetchPositionsRequest>,
    ) -> Answered<v1::FetchPositionsResponse> {
        let owner = self.owner(&group_name(&call.get_ref().group)?)?;
        let ask = |mut client: PositionServiceClient<_>, request| async move {
            client.fetch_positions(request).await
        };
        let request = match self.elsewhere(call, (owner, Effect::Reads), ask).await? {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(request) => request,
        };
        let (_, topic) = self.topic(&request.topic, &request.topic_id)?;
        let fetch = Fetch { group: group_name(&request.group)?, topic: topic.id };
        let found = self.context.positions.fetch(fetch).await.map_err(|error| self.failure(&error))?;
        let positions = found.into_iter().map(position).collect();
        Ok(Response::new(v1::FetchPositionsResponse { topic_id: id_bytes(topic.id.as_bytes()), positions }))
    }

    async fn reset_positions(
        &self,
        call: Request<v1::ResetPositionsRequest>,
    ) -> Answered<v1::ResetPositionsResponse> {
        let deadline = deadline::of_call(&call);
        let owner = self.owner(&group_name(&call.get_ref().group)?)?;
        let ask = |mut client: PositionServiceClient<_>, request| async move {
            client.reset_positions(request).await
        };
        let request = match self.elsewhere(call, (owner, Effect::Changes), ask).await? {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(request) => request,
        };
        let (_, topic) = self.topic(&request.topic, &request.topic_id)?;
        named_once(request.resets.iter().map(|reset| reset.partition), "resets")?;
        let resets = request.resets.iter().map(|wish| ResetTo {
            partition: PartitionIndex(wish.partition),
            offset: Offset(wish.offset),
            leader_epoch: LeaderEpoch(0),
        });
        let resets: Vec<ResetTo> = resets.collect();
        let wanted = resets.iter().map(|reset| (reset.partition, reset.offset));
        // All or none: somebody moves a group to one point, not to half of it.
        self.checked(&topic, wanted, deadline).await?.into_iter().collect::<Result<(), Failure>>()?;
        let reset = Reset { group: group_name(&request.group)?, topic: topic.id, resets };
        let moved = self.context.positions.reset(reset).await.map_err(|error| self.failure(&error))?;
        Ok(Response::new(v1::ResetPositionsResponse { positions: moved.into_iter().map(position).collect() }))
    }

    async fn list_groups(&self, call: Request<v1::ListGroupsRequest>) -> Answered<v1::ListGroupsResponse> {
        self.learn_topic()?;
        let owners = self.context.positions.partitions().map_err(|error| self.failure(&error))?;
        let (index, after) = match group_name_if(&call.get_ref().group)? {
            Some(group) => (self.owner(&group)?.partition.0, None),
            None => split_token(&call.get_ref().page_token)?,
        };
        let Some(&owner) = owners.iter().find(|owner| owner.partition.0 == index) else {
            return Ok(Response::new(v1::ListGroupsResponse::default()));
        };
        let ask =
            |mut client: PositionServiceClient<_>, request| async move { client.list_groups(request).await };
        let request = match self.elsewhere(call, (owner, Effect::Reads), ask).await? {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(request) => request,
        };
        let group_count_max = page_size(request.page_size)?;
        let one = group_name_if(&request.group)?;
        let list = List { group: one.clone(), after, group_count_max };
        let page = self.context.positions.list(owner, list).await.map_err(|error| self.failure(&error))?;
        let next_page_token = match (one, page.next_after) {
            (Some(_), _) => String::new(),
            (None, Some(after)) => format!("{index}/{after}"),
            (None, None) if owners.iter().any(|owner| owner.partition.0 == index + 1) => {
                format!("{}/", index + 1)
            }
            (None, None) => String::new(),
        };
        let state = self.context.state()?;
        let groups = page.groups.into_iter().map(|group| described(&state, group)).collect();
        Ok(Response::new(v1::ListGroupsResponse { groups, next_page_token }))
    }

    async fn delete_group(&self, call: Request<v1::DeleteGroupRequest>) -> Answered<v1::DeleteGroupResponse> {
        let owner = self.owner(&group_name(&call.get_ref().group)?)?;
        let ask =
            |mut client: PositionServiceClient<_>, request| async move { client.delete_group(request).await };
        let request = match self.elsewhere(call, (owner, Effect::Changes), ask).await? {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(request) => request,
        };
        let topic = match (request.topic.as_str(), optional_topic_id(&request.topic_id)?) {
            ("", None) => None,
            // A topic that is gone has no name any more, and its positions are still to be forgotten.
            ("", Some(id)) => Some(id),
            (name, _) => Some(self.topic(name, &request.topic_id)?.1.id),
        };
        let delete = Delete { group: group_name(&request.group)?, topic };
        let count = self.context.positions.delete(delete).await.map_err(|error| self.failure(&error))?;
        Ok(Response::new(v1::DeleteGroupResponse { positions: u32::try_from(count).unwrap_or(u32::MAX) }))
    }
}

fn group_name_if(group: &str) -> Result<Option<GroupName>, Failure> {
    if group.is_empty() { Ok(None) } else { group_name(group).map(Some) }
}

/// A page's token: the positions partition, and the group behind which the page begins.
fn split_token(token: &str) -> Result<(u32, Option<GroupName>), Failure> {
    if token.is_empty() {
        return Ok((0, None));
    }
    let invalid = || Failure::invalid("page_token", "page_token is not one that a page ended with");
    let (index, after) = token.split_once('/').ok_or_else(invalid)?;
    Ok((index.parse().map_err(|_| invalid())?, group_name_if(after).map_err(|_| invalid())?))
}

/// A deleted topic has no name here: the one it had may be another topic's by now.
fn described(state: &ClusterState, group: GroupPositions) -> v1::GroupDescription {
    let topics = group.topics.into_iter().map(|of| {
        let topic = state.topic(of.topic);
        v1::GroupTopic {
            topic: topic.map(|topic| topic.name.to_string()).unwrap_or_default(),
            topic_id: id_bytes(of.topic.as_bytes()),
            positions: of.positions.into_iter().map(position).collect(),
            deleted: topic.is_none(),
        }
    });
    v1::GroupDescription { group: group.group.to_string(), topics: topics.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_page_ended_with_is_refused() {
        assert_eq!(split_token("").unwrap(), (0, None));
        assert_eq!(split_token("2/").unwrap(), (2, None));
        let after = GroupName::new("billing").unwrap();
        assert_eq!(split_token("1/billing").unwrap(), (1, Some(after)));
        for bad in ["billing", "-1/a", "1/a/b", "x/", "1/__", "99999999999/"] {
            assert!(split_token(bad).is_err(), "{bad:?}");
        }
    }
}
