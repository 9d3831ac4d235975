//! Orders that change who leads and where replicas lie (R4, N15).
//!
//! Always true: what an order begins is in the metadata, and goes on without whoever gave it; of an order about many
//! partitions each has its own fate, and that one was refused hides no other.

use fidelog_proto::v1;
use fidelog_record::types::{BrokerId, PartitionEpoch, TopicPartition};
use futures::{StreamExt, stream};

use super::partitions::state_of;
use super::plan::{self, Move, Plan};
use crate::meta::quorum::Accepted;
use crate::meta::state::{ClusterState, Proposal};
use crate::rpc::context::Context;
use crate::rpc::deadline::Deadline;
use crate::rpc::route::{self, Named, name_in};
use crate::rpc::status::Failure;

/// Partitions of one request.
const ELECTIONS_MAX: usize = 1_000;
/// Orders on their way to the quorum at once: it decides all that wait in one step.
const ORDERS_AT_ONCE: usize = 64;

/// Marks a broker as one to be emptied, and begins that.
pub(super) async fn drain(
    context: &Context,
    request: &v1::DrainBrokerRequest,
    deadline: Deadline,
) -> Result<v1::MovePlan, Failure> {
    let broker = super::named_broker(request.broker_id)?;
    let mut state = context.state()?;
    if state.broker(broker).is_none() {
        return Err(unknown_broker(broker));
    }
    if !request.dry_run && !state.broker(broker).is_some_and(|entry| entry.draining) {
        state = context.change(Proposal::DrainBroker { broker }, deadline).await?.1;
    }
    match request.keep_replicas {
        true => Ok(v1::MovePlan::default()),
        false => carry_out(context, &state, plan::drain(&state, broker), request.dry_run, deadline).await,
    }
}

/// The broker takes part again.
pub(super) async fn resume(context: &Context, broker: BrokerId, deadline: Deadline) -> Result<(), Failure> {
    let state = context.state()?;
    match state.broker(broker) {
        None => Err(unknown_broker(broker)),
        Some(entry) if !entry.draining => Ok(()),
        Some(_) => context.change(Proposal::ResumeBroker { broker }, deadline).await.map(drop),
    }
}

/// Spreads replicas and preferred leaders evenly.
pub(super) async fn rebalance(
    context: &Context,
    dry_run: bool,
    deadline: Deadline,
) -> Result<v1::MovePlan, Failure> {
    let state = context.state()?;
    carry_out(context, &state, plan::rebalance(&state), dry_run, deadline).await
}

/// Gives a topic another number of replicas.
pub(super) async fn set_replication_factor(
    context: &Context,
    request: &v1::SetReplicationFactorRequest,
    deadline: Deadline,
) -> Result<v1::MovePlan, Failure> {
    let mut state = context.state()?;
    let named = Named { name: &request.name, id: &request.topic_id, field: "name" };
    let topic = route::topic(&state, named)?;
    let factor = u16::try_from(request.replication_factor).ok().filter(|&factor| factor > 0);
    let replication_factor = factor.ok_or_else(|| {
        let message = format!("replication_factor is {}; use one for each copy", request.replication_factor);
        Failure::invalid("replication_factor", message)
    })?;
    if topic.replication_factor != replication_factor {
        let allow_unreplicated = request.allow_unreplicated;
        let order =
            Proposal::SetReplicationFactor { topic: topic.id, replication_factor, allow_unreplicated };
        state = context.change(order, deadline).await?.1;
    }
    let plan = plan::with_factor(&state, topic.id, replication_factor.into());
    carry_out(context, &state, plan, false, deadline).await
}

/// Gives a topic more partitions; tells how many it has.
pub(super) async fn add_partitions(
    context: &Context,
    request: &v1::AddPartitionsRequest,
    deadline: Deadline,
) -> Result<u32, Failure> {
    let state = context.state()?;
    let named = Named { name: &request.name, id: &request.topic_id, field: "name" };
    let topic = route::topic(&state, named)?.id;
    let order = Proposal::AddPartitions { topic, total: request.partitions };
    let (_, state) = context.change(order, deadline).await?;
    Ok(state.topic(topic).map_or(request.partitions, |topic| topic.partition_count))
}

/// Begins to move a partition.
pub(super) async fn begin(
    context: &Context,
    request: &v1::MoveReplicasRequest,
    deadline: Deadline,
) -> Result<Option<v1::PartitionState>, Failure> {
    let state = context.state()?;
    let partition = super::partition_of(&state, request.partition.as_ref())?;
    let epoch = Some(PartitionEpoch(request.partition_epoch)).filter(|epoch| epoch.0 > 0);
    let replicas = request.replicas.iter().copied().map(BrokerId).collect();
    let order = Proposal::MoveReplicas { partition, replicas, partition_epoch: epoch };
    let (_, state) = context.change(order, deadline).await?;
    Ok(state_of(&state, partition))
}

/// Ends a move where it began.
pub(super) async fn cancel(
    context: &Context,
    request: &v1::CancelMoveRequest,
    deadline: Deadline,
) -> Result<Option<v1::PartitionState>, Failure> {
    let state = context.state()?;
    let partition = super::partition_of(&state, request.partition.as_ref())?;
    let (_, state) = context.change(Proposal::CancelMove { partition }, deadline).await?;
    Ok(state_of(&state, partition))
}

/// Lets others lead; each partition has its own answer.
pub(super) async fn elect(
    context: &Context,
    request: &v1::ElectLeadersRequest,
    deadline: Deadline,
) -> Result<Vec<v1::ElectedLeader>, Failure> {
    if request.partitions.len() > ELECTIONS_MAX {
        let count = request.partitions.len();
        let message = format!("{count} partitions are named; at most {ELECTIONS_MAX} are allowed at once");
        return Err(Failure::invalid("partitions", message));
    }
    let state = context.state()?;
    let broker = Some(BrokerId(request.broker_id)).filter(|broker| broker.0 > 0);
    let named: Vec<_> = request
        .partitions
        .iter()
        .map(|named| (named.clone(), super::partition_of(&state, Some(named))))
        .collect();
    let elections = stream::iter(named).map(|(named, found)| async move {
        let (at, outcome) = match found {
            Ok(at) => (Some(at), elect_one(context, at, broker, deadline).await),
            Err(failure) => (None, Err(failure)),
        };
        elected(context, named, at, outcome)
    });
    Ok(elections.buffered(ORDERS_AT_ONCE).collect().await)
}

async fn elect_one(
    context: &Context,
    partition: TopicPartition,
    broker: Option<BrokerId>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let state = context.state()?;
    let entry = state.partition(partition);
    let wanted = broker.or_else(|| Some(entry?.replicas.first()?.broker));
    if wanted.is_some() && entry.is_some_and(|entry| entry.leader == wanted) {
        return Ok(());
    }
    context.change(Proposal::ElectLeader { partition, broker }, deadline).await.map(drop)
}

fn elected(
    context: &Context,
    named: v1::PartitionName,
    at: Option<TopicPartition>,
    outcome: Result<(), Failure>,
) -> v1::ElectedLeader {
    let state = context.meta.state();
    let entry = at.zip(state.as_ref()).and_then(|(at, state)| state.partition(at));
    v1::ElectedLeader {
        topic: named.topic,
        partition: named.partition,
        leader: entry.and_then(|entry| entry.leader).map_or(0, |leader| leader.0),
        leader_epoch: entry.map_or(0, |entry| entry.leader_epoch.0),
        error: outcome.err().map(v1::Error::from),
    }
}

/// Begins the moves of a plan, or only tells them.
async fn carry_out(
    context: &Context,
    state: &ClusterState,
    plan: Plan,
    dry_run: bool,
    deadline: Deadline,
) -> Result<v1::MovePlan, Failure> {
    let stays = plan.stays.iter().map(|(at, why)| v1::Unmoved {
        topic: topic_name(state, *at),
        partition: at.partition.0,
        why: why.clone(),
    });
    let stays = stays.collect();
    let moves = stream::iter(plan.moves).map(|step| async move {
        let begun = match dry_run {
            true => Ok(()),
            false => begin_planned(context, &step, deadline).await.map(drop),
        };
        planned(state, &step, begun)
    });
    Ok(v1::MovePlan { moves: moves.buffered(ORDERS_AT_ONCE).collect().await, stays })
}

async fn begin_planned(context: &Context, step: &Move, deadline: Deadline) -> Result<Accepted, Failure> {
    let order = Proposal::MoveReplicas {
        partition: step.at,
        replicas: step.to.clone(),
        partition_epoch: Some(step.epoch),
    };
    Ok(context.change(order, deadline).await?.0)
}

fn planned(state: &ClusterState, step: &Move, begun: Result<(), Failure>) -> v1::PlannedMove {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.0).collect();
    v1::PlannedMove {
        topic: topic_name(state, step.at),
        partition: step.at.partition.0,
        from: ids(&step.from),
        to: ids(&step.to),
        error: begun.err().map(v1::Error::from),
    }
}

fn topic_name(state: &ClusterState, at: TopicPartition) -> String {
    state.topic(at.topic).map_or_else(|| name_in(None, at), |topic| topic.name.to_string())
}

fn unknown_broker(broker: BrokerId) -> Failure {
    Failure::invalid(
        "broker_id",
        format!("no broker {broker} has registered; ListBrokers names those that have"),
    )
}
