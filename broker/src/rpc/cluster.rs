//! The cluster: who is there, and who leads what, as this broker sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_proto::v1;
use tonic::{Request, Response, Status};

use super::context::Context;
use super::route::{self, Named, id_bytes, leader_hint};
use super::status::Failure;
use super::topic_description::{count, is_under_replicated};
use crate::meta::state::{BrokerEntry, ClusterState, TopicEntry, TopicState};

/// Topics one request may ask routes of.
const TOPICS_MAX: usize = 1000;

/// The cluster service.
#[derive(Clone, Debug)]
pub(super) struct ClusterServer {
    context: Arc<Context>,
}

impl ClusterServer {
    /// The service over this context.
    #[must_use]
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn brokers(&self, state: &ClusterState) -> Vec<v1::Broker> {
        state.brokers().map(|broker| self.broker(broker)).collect()
    }

    fn broker(&self, broker: &BrokerEntry) -> v1::Broker {
        v1::Broker {
            id: broker.id.0,
            address: broker.client_address.clone(),
            rack: broker.rack.clone().unwrap_or_default(),
            broker_epoch: broker.epoch.0,
            reachable: self.context.reaches(broker.id),
            directory_id: id_bytes(broker.directory.as_bytes()),
        }
    }
}

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for ClusterServer {
    async fn describe_cluster(
        &self,
        _: Request<v1::DescribeClusterRequest>,
    ) -> Result<Response<v1::DescribeClusterResponse>, Status> {
        let context = &self.context;
        let state = context.state()?;
        let lost_since = context.meta.session_lost_since();
        let silent = lost_since.map_or(0, |since| (context.clock.now().micros_since(since) / 1000).max(1));
        let open = |state: &ClusterState, topic| {
            state.topic(topic).is_some_and(|topic| topic.state == TopicState::Open)
        };
        let partitions = || state.partitions().filter(|(at, _)| open(&state, at.topic));
        Ok(Response::new(v1::DescribeClusterResponse {
            cluster_id: id_bytes(context.cluster.as_bytes()),
            brokers: self.brokers(&state),
            controller: context.quorum.status().leader.map_or(0, |leader| leader.0),
            quorum_reachable: lost_since.is_none(),
            quorum_silent_ms: silent,
            metadata_index: state.index().0,
            answered_by: context.me.0,
            version: context.version.clone(),
            topics: count(state.topics()),
            partitions: u32::try_from(state.partition_count()).unwrap_or(u32::MAX),
            under_replicated: count(partitions().filter(|(_, entry)| is_under_replicated(entry))),
            leaderless: count(partitions().filter(|(_, entry)| context.is_leaderless(entry))),
        }))
    }

    async fn get_routes(
        &self,
        call: Request<v1::GetRoutesRequest>,
    ) -> Result<Response<v1::GetRoutesResponse>, Status> {
        let names = &call.get_ref().topics;
        if names.len() > TOPICS_MAX {
            let message =
                format!("{} topics are named; at most {TOPICS_MAX} are allowed at once", names.len());
            return Err(Failure::invalid("topics", message).into());
        }
        // A large topic named a thousand times would make an answer that only its asker wanted that big.
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            let shown: String = twice.chars().take(64).collect();
            return Err(Failure::invalid("topics", format!("topic {shown:?} is named twice")).into());
        }
        let state = self.context.state()?;
        Ok(Response::new(v1::GetRoutesResponse {
            cluster_id: id_bytes(self.context.cluster.as_bytes()),
            brokers: self.brokers(&state),
            topics: names.iter().map(|name| topic_route(&state, name)).collect(),
            metadata_index: state.index().0,
        }))
    }
}

fn topic_route(state: &ClusterState, name: &str) -> v1::TopicRoute {
    match route::topic(state, Named { name, id: &[], field: "topics" }) {
        Ok(topic) => known_route(state, &topic),
        Err(failure) => v1::TopicRoute {
            topic: name.to_owned(),
            error: Some(failure.into()),
            ..v1::TopicRoute::default()
        },
    }
}

fn known_route(state: &ClusterState, topic: &TopicEntry) -> v1::TopicRoute {
    let partitions = (0..).zip(state.partitions_of(topic.id));
    let record_bytes_max = topic.config.record_bytes_max.unwrap_or(state.defaults().record_bytes_max);
    v1::TopicRoute {
        topic: topic.name.to_string(),
        topic_id: id_bytes(topic.id.as_bytes()),
        partitions: partitions
            .map(|(index, entry)| v1::PartitionRoute {
                partition: index,
                leader: Some(match entry.leader {
                    Some(leader) => leader_hint(Some(state), leader, entry.leader_epoch),
                    None => {
                        v1::LeaderHint { leader_epoch: entry.leader_epoch.0, ..v1::LeaderHint::default() }
                    }
                }),
            })
            .collect(),
        error: None,
        record_bytes_max: u32::try_from(record_bytes_max).unwrap_or(u32::MAX),
    }
}
