//! Operations: what people who run the cluster ask and order.
//!
//! | file | what it holds |
//! |---|---|
//! | `brokers` | brokers, with what they hold and lead |
//! | `partitions` | partitions of all topics |
//! | `moves` | orders that change who leads and where replicas lie |
//! | `plan` | where replicas should lie: pure |
//! | `recovery` | recovery of a partition by an operator, in two steps |
//! | `tail` | what a replica holds, and who produced the end of it |
//! | `quorum` | who votes on the metadata |
//! | `health` | what is wrong, and what to do: pure |
//! | `events` | what happened between two states: pure |
//! | `journal` | what happened lately, for those who watch |
//!
//! Always true: any broker answers, from its own view; what changes something goes through the quorum.

mod brokers;
mod events;
mod features;
mod health;
mod journal;
mod moves;
mod partitions;
mod plan;
mod quorum;
mod recovery;
mod tail;
#[cfg(test)]
mod tests;

pub(super) use journal::Journal;

use std::pin::Pin;
use std::sync::Arc;

use fidelog_proto::v1::{self, Reason};
use fidelog_record::types::{BrokerId, Offset, TopicPartition};
use futures::Stream;
use tonic::{Request, Response, Status};

use super::co_stream::CoStream;
use super::context::Context;
use super::deadline;
use super::route::{self, Named};
use super::status::Failure;
use crate::meta::state::{ClusterState, Proposal};

/// The operations service.
#[derive(Clone, Debug)]
pub(super) struct OperationsServer {
    context: Arc<Context>,
}

impl OperationsServer {
    /// The service over this context.
    #[must_use]
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl v1::operations_service_server::OperationsService for OperationsServer {
    async fn describe_quorum(
        &self,
        _: Request<v1::DescribeQuorumRequest>,
    ) -> Result<Response<v1::DescribeQuorumResponse>, Status> {
        Ok(Response::new(quorum::describe(&self.context).await))
    }

    async fn add_voter(
        &self,
        call: Request<v1::AddVoterRequest>,
    ) -> Result<Response<v1::AddVoterResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let broker = named_broker(call.get_ref().broker_id)?;
        quorum::add(&self.context, broker, deadline).await?;
        Ok(Response::new(v1::AddVoterResponse {}))
    }

    async fn remove_voter(
        &self,
        call: Request<v1::RemoveVoterRequest>,
    ) -> Result<Response<v1::RemoveVoterResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let broker = named_broker(call.get_ref().broker_id)?;
        quorum::remove(&self.context, broker, deadline).await?;
        Ok(Response::new(v1::RemoveVoterResponse {}))
    }

    async fn describe_features(
        &self,
        _: Request<v1::DescribeFeaturesRequest>,
    ) -> Result<Response<v1::DescribeFeaturesResponse>, Status> {
        Ok(Response::new(features::describe(&*self.context.state()?)))
    }

    async fn raise_feature_level(
        &self,
        call: Request<v1::RaiseFeatureLevelRequest>,
    ) -> Result<Response<v1::RaiseFeatureLevelResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let proposal = Proposal::RaiseFeatureLevel { level: call.get_ref().level };
        self.context.change(proposal, deadline).await?;
        Ok(Response::new(v1::RaiseFeatureLevelResponse {}))
    }

    async fn list_brokers(
        &self,
        _: Request<v1::ListBrokersRequest>,
    ) -> Result<Response<v1::ListBrokersResponse>, Status> {
        let state = self.context.state()?;
        Ok(Response::new(v1::ListBrokersResponse {
            brokers: brokers::descriptions(&self.context, &state),
            metadata_index: state.index().0,
            answered_by: self.context.me.0,
        }))
    }

    async fn list_partitions(
        &self,
        call: Request<v1::ListPartitionsRequest>,
    ) -> Result<Response<v1::ListPartitionsResponse>, Status> {
        Ok(Response::new(partitions::list(&*self.context.state()?, call.get_ref())?))
    }

    async fn check_health(
        &self,
        _: Request<v1::CheckHealthRequest>,
    ) -> Result<Response<v1::CheckHealthResponse>, Status> {
        let state = self.context.state()?;
        let reaches = |broker| self.context.reaches(broker);
        let mut findings = health::findings(&state, reaches);
        findings.extend(quorum::trouble(&self.context).await);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let worst = findings.first().map_or(v1::Severity::Info.into(), |finding| finding.severity);
        Ok(Response::new(v1::CheckHealthResponse {
            severity: worst,
            findings,
            metadata_index: state.index().0,
            answered_by: self.context.me.0,
        }))
    }

    async fn drain_broker(
        &self,
        call: Request<v1::DrainBrokerRequest>,
    ) -> Result<Response<v1::DrainBrokerResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let plan = moves::drain(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::DrainBrokerResponse { plan: Some(plan) }))
    }

    async fn resume_broker(
        &self,
        call: Request<v1::ResumeBrokerRequest>,
    ) -> Result<Response<v1::ResumeBrokerResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let broker = named_broker(call.get_ref().broker_id)?;
        moves::resume(&self.context, broker, deadline).await?;
        Ok(Response::new(v1::ResumeBrokerResponse {}))
    }

    async fn elect_leaders(
        &self,
        call: Request<v1::ElectLeadersRequest>,
    ) -> Result<Response<v1::ElectLeadersResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let results = moves::elect(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::ElectLeadersResponse { results }))
    }

    async fn move_replicas(
        &self,
        call: Request<v1::MoveReplicasRequest>,
    ) -> Result<Response<v1::MoveReplicasResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let partition = moves::begin(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::MoveReplicasResponse { partition }))
    }

    async fn cancel_move(
        &self,
        call: Request<v1::CancelMoveRequest>,
    ) -> Result<Response<v1::CancelMoveResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let partition = moves::cancel(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::CancelMoveResponse { partition }))
    }

    async fn rebalance(
        &self,
        call: Request<v1::RebalanceRequest>,
    ) -> Result<Response<v1::RebalanceResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let plan = moves::rebalance(&self.context, call.get_ref().dry_run, deadline).await?;
        Ok(Response::new(v1::RebalanceResponse { plan: Some(plan) }))
    }

    async fn add_partitions(
        &self,
        call: Request<v1::AddPartitionsRequest>,
    ) -> Result<Response<v1::AddPartitionsResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let partitions = moves::add_partitions(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::AddPartitionsResponse { partitions }))
    }

    async fn set_replication_factor(
        &self,
        call: Request<v1::SetReplicationFactorRequest>,
    ) -> Result<Response<v1::SetReplicationFactorResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let plan = moves::set_replication_factor(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::SetReplicationFactorResponse { plan: Some(plan) }))
    }

    async fn plan_recovery(
        &self,
        call: Request<v1::PlanRecoveryRequest>,
    ) -> Result<Response<v1::PlanRecoveryResponse>, Status> {
        let deadline = deadline::of_call(&call);
        Ok(Response::new(recovery::plan(&self.context, call.get_ref(), deadline).await?))
    }

    async fn recover(
        &self,
        call: Request<v1::RecoverRequest>,
    ) -> Result<Response<v1::RecoverResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let partition = recovery::recover(&self.context, call.get_ref(), deadline).await?;
        Ok(Response::new(v1::RecoverResponse { partition }))
    }

    async fn describe_tail(
        &self,
        call: Request<v1::DescribeTailRequest>,
    ) -> Result<Response<v1::DescribeTailResponse>, Status> {
        let request = call.get_ref();
        let at = partition_of(&*self.context.state()?, request.partition.as_ref())?;
        let from = request.from_offset.map(Offset);
        Ok(Response::new(recovery::here(&self.context, at, from).await?))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchEventsResponse, Status>> + Send>>;

    async fn watch_events(
        &self,
        call: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let after = Some(call.get_ref().after_index).filter(|&after| after > 0);
        let context = Arc::clone(&self.context);
        Ok(Response::new(Box::pin(CoStream::new(|mut out| async move {
            let (mut look, missed) = context.journal.look(after);
            let began = v1::WatchEventsResponse {
                metadata_index: look.told_to(),
                missed,
                answered_by: context.me.0,
                events: Vec::new(),
            };
            out.send(Ok(began)).await;
            loop {
                let told = tokio::select! {
                    told = context.journal.next(&mut look) => told,
                    () = context.stopping.cancelled() => break,
                };
                out.send(Ok(v1::WatchEventsResponse { answered_by: context.me.0, ..told })).await;
            }
            let stopping = Failure::new(Reason::Unavailable, "this broker is stopping; watch at another one");
            out.send(Err(stopping.into())).await;
        }))))
    }
}

/// A broker named in a request.
fn named_broker(id: u32) -> Result<BrokerId, Failure> {
    match id {
        0 => Err(Failure::invalid("broker_id", "broker_id is 0; name a broker, from 1")),
        id => Ok(BrokerId(id)),
    }
}

/// A partition named in a request.
fn partition_of(state: &ClusterState, named: Option<&v1::PartitionName>) -> Result<TopicPartition, Failure> {
    let named = named.ok_or_else(|| Failure::invalid("partition", "no partition is named"))?;
    let topic = Named { name: &named.topic, id: &named.topic_id, field: "partition.topic" };
    let topic = route::topic(state, topic)?;
    route::partition(&topic, named.partition)
}

/// Ids with commas between them; empty for nobody.
fn id_list(ids: impl IntoIterator<Item = BrokerId>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}
