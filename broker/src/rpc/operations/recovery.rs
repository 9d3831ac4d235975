//! Recovery of a partition by an operator, in two steps (N9, G5): what is left and what would be lost, then, with that
//! plan's hash, doing it.
//!
//! Always true: what is carried out is the plan that was shown, made anew from the same replicas; the quorum refuses it
//! while anybody who may hold everything, or may still acknowledge, has not been fenced for long enough.

use std::time::Duration;

use fidelog_proto::v1::{self, Reason};
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
use futures::future::join_all;

use super::partitions::state_of;
use super::tail::{self, Producers};
use crate::meta::state::{
    BrokerEntry, ClusterState, EndReport, Minted, PartitionEntry, Proposal, RecoveryPlan,
};
use crate::rpc::context::Context;
use crate::rpc::deadline::Deadline;
use crate::rpc::forward::{Effect, sized_client};
use crate::rpc::route::name_in;
use crate::rpc::status::Failure;

/// How long a replica's broker is asked.
const ASK_WAIT: Duration = Duration::from_secs(5);

/// A plan, and what it was made of.
struct Made {
    plan: RecoveryPlan,
    replicas: Vec<v1::RecoveryReplica>,
}

/// What it would come to.
pub(super) async fn plan(
    context: &Context,
    request: &v1::PlanRecoveryRequest,
    deadline: Deadline,
) -> Result<v1::PlanRecoveryResponse, Failure> {
    let state = context.state()?;
    let at = super::partition_of(&state, request.partition.as_ref())?;
    let Made { plan, mut replicas } = make(context, &state, at, request.broker_id, deadline).await?;
    let (producers, producers_complete) = hurt(context, &state, &plan, &mut replicas, deadline).await;
    let order = order(&plan, plan.hash());
    let minted = Minted { topic: TopicId::from_bytes([0; 16]) };
    let refused = state.decide(&order, context.clock.wall_ms(), &minted).err();
    let tails = || replicas.iter().filter_map(|replica| replica.tail.as_ref());
    let leader_end = tails().find(|tail| tail.broker_id == plan.leader.0).map_or(0, |tail| tail.durable_end);
    Ok(v1::PlanRecoveryResponse {
        topic: state.topic(at.topic).map(|topic| topic.name.to_string()).unwrap_or_default(),
        partition: at.partition.0,
        partition_epoch: plan.partition_epoch.0,
        leader: plan.leader.0,
        cut_end: plan.cut_end.0,
        leader_end,
        known_end: tails().map(|tail| tail.durable_end.max(tail.committed_end)).max().unwrap_or_default(),
        producers: producers.into_values().collect(),
        producers_complete,
        hash: format!("{:08x}", plan.hash()),
        refused: refused.map(|refusal| refusal.to_string()).unwrap_or_default(),
        replicas,
    })
}

/// Does it, if the plan is still the one that was read.
pub(super) async fn recover(
    context: &Context,
    request: &v1::RecoverRequest,
    deadline: Deadline,
) -> Result<Option<v1::PartitionState>, Failure> {
    let hash = u32::from_str_radix(&request.hash, 16).map_err(|_| {
        let shown: String = request.hash.chars().take(64).collect();
        Failure::invalid("hash", format!("hash {shown:?} is none; give back the 8 digits of the plan"))
    })?;
    let state = context.state()?;
    let at = super::partition_of(&state, request.partition.as_ref())?;
    let Made { plan, .. } = make(context, &state, at, request.broker_id, deadline).await?;
    let (_, state) = context.change(order(&plan, hash), deadline).await?;
    Ok(state_of(&state, at))
}

fn order(plan: &RecoveryPlan, plan_hash: u32) -> Proposal {
    Proposal::RecoverPartition { plan: plan.clone(), plan_hash, known: None }
}

async fn make(
    context: &Context,
    state: &ClusterState,
    at: TopicPartition,
    wanted: u32,
    deadline: Deadline,
) -> Result<Made, Failure> {
    let name = name_in(Some(state), at);
    let entry = state.partition(at).ok_or_else(|| context.not_leader(at))?;
    let asked = entry.replicas.iter().map(|replica| ask(context, state, at, replica.broker, None, deadline));
    let answers = join_all(asked).await;
    let now_ms = context.clock.wall_ms();
    let replicas: Vec<v1::RecoveryReplica> = entry
        .replicas
        .iter()
        .zip(answers)
        .map(|(replica, answer)| {
            described(entry, state.broker(replica.broker).map(|it| &**it), replica.broker, answer, now_ms)
        })
        .collect();
    let plan = choose(state, at, entry, &replicas, BrokerId(wanted)).ok_or_else(|| {
        let message = format!(
            "partition {name}: no live broker tells what it holds of it, so nobody can be chosen to lead; start one of them"
        );
        Failure::new(Reason::LeaderNotAvailable, message)
    })?;
    Ok(Made { plan, replicas })
}

/// Of those that can lead and answered, the one wanted or, with 0, the one that holds most.
pub(super) fn choose(
    state: &ClusterState,
    at: TopicPartition,
    entry: &PartitionEntry,
    replicas: &[v1::RecoveryReplica],
    wanted: BrokerId,
) -> Option<RecoveryPlan> {
    let tails = || replicas.iter().filter_map(|replica| replica.tail.as_ref().map(|tail| (replica, tail)));
    let able =
        tails().filter(|(replica, _)| !replica.fenced && (wanted.0 == 0 || replica.broker_id == wanted.0));
    let (_, best) =
        able.max_by_key(|(replica, tail)| (tail.last_epoch, tail.durable_end, replica.in_sync))?;
    let epoch_of = |id: u32| state.broker(BrokerId(id)).map(|broker| broker.epoch);
    let ends = tails().filter_map(|(_, tail)| {
        Some(EndReport {
            broker: BrokerId(tail.broker_id),
            broker_epoch: epoch_of(tail.broker_id)?,
            last_epoch: LeaderEpoch(tail.last_epoch),
            durable_end: Offset(tail.durable_end),
        })
    });
    Some(RecoveryPlan {
        partition: at,
        partition_epoch: entry.epoch,
        leader: BrokerId(best.broker_id),
        leader_broker_epoch: epoch_of(best.broker_id)?,
        ends: ends.collect(),
        // Below its own committed end it holds what all held (N5); from there on it may differ.
        cut_end: Offset(best.committed_end),
    })
}

/// Who produced what others hold from the cut on, and whether that is all.
async fn hurt(
    context: &Context,
    state: &ClusterState,
    plan: &RecoveryPlan,
    replicas: &mut [v1::RecoveryReplica],
    deadline: Deadline,
) -> (Producers, bool) {
    let (mut producers, mut complete) = (Producers::new(), true);
    for replica in replicas.iter_mut() {
        let Some(known) = &replica.tail else {
            complete = false;
            continue;
        };
        if replica.broker_id == plan.leader.0 || known.durable_end <= plan.cut_end.0 {
            continue;
        }
        let broker = BrokerId(replica.broker_id);
        match ask(context, state, plan.partition, broker, Some(plan.cut_end), deadline).await {
            Ok(tail) => {
                complete &= tail.looked_to >= tail.durable_end;
                tail::merge(&mut producers, &tail.producers);
                replica.tail = Some(tail);
            }
            Err(_) => complete = false,
        }
    }
    (producers, complete)
}

fn described(
    entry: &PartitionEntry,
    broker: Option<&BrokerEntry>,
    id: BrokerId,
    answer: Result<v1::DescribeTailResponse, Failure>,
    now_ms: u64,
) -> v1::RecoveryReplica {
    let fenced = broker.is_none_or(|broker| broker.fenced);
    let since = broker.filter(|_| fenced).map_or(now_ms, |broker| broker.fenced_at_ms);
    let problem = match &answer {
        Ok(tail) => tail.problem.clone(),
        Err(failure) => failure.message().to_owned(),
    };
    v1::RecoveryReplica {
        broker_id: id.0,
        in_sync: entry.isr.contains(&id),
        eligible: entry.eligible.contains(&id),
        fenced,
        fenced_ms: now_ms.saturating_sub(since),
        tail: answer.ok(),
        problem,
    }
}

/// What the replica on `broker` holds.
async fn ask(
    context: &Context,
    state: &ClusterState,
    at: TopicPartition,
    broker: BrokerId,
    from: Option<Offset>,
    deadline: Deadline,
) -> Result<v1::DescribeTailResponse, Failure> {
    if broker == context.me {
        return here(context, at, from).await;
    }
    let address = state
        .broker(broker)
        .map(|broker| broker.peer_address.clone())
        .ok_or_else(|| Failure::new(Reason::Unavailable, format!("broker {broker} has not registered")))?;
    let topic_id = crate::rpc::route::id_bytes(at.topic.as_bytes());
    let request = v1::DescribeTailRequest {
        partition: Some(v1::PartitionName { topic: String::new(), topic_id, partition: at.partition.0 }),
        from_offset: from.map(|from| from.0),
    };
    let call = |channel, request| async move {
        use v1::operations_service_client::OperationsServiceClient;
        sized_client!(OperationsServiceClient, channel).describe_tail(request).await
    };
    let answer =
        context.forward((broker, address), (request, Effect::Reads), (deadline, ASK_WAIT), call).await;
    answer.map(tonic::Response::into_inner).map_err(|status| {
        let message = format!("broker {broker} does not tell what it holds: {}", status.message());
        Failure::new(Reason::Unavailable, message)
    })
}

/// What the replica on this broker holds.
pub(super) async fn here(
    context: &Context,
    at: TopicPartition,
    from: Option<Offset>,
) -> Result<v1::DescribeTailResponse, Failure> {
    let partition = context.hosted(at)?;
    let me = context.me.0;
    let described = tokio::task::spawn_blocking(move || tail::describe(&partition, me, from)).await;
    described.map_err(|error| {
        Failure::new(Reason::Unavailable, format!("the description was not finished: {error}"))
    })
}
