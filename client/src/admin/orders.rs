//! Orders: who leads, and where replicas lie. Each is answered once it is decided; what it began goes on by itself.

use bytes::Bytes;
use fidelog_proto::v1;

use crate::calls::Repeat;
use crate::client::check_topic;
use crate::error::RequestError;

use super::operations::operations;
use super::{Admin, call};

impl Admin {
    /// Lets the controller on this broker vote on the metadata; returns once it has learned everything and votes.
    ///
    /// # Errors
    /// When it cannot vote, or the outcome is unknown.
    pub async fn add_voter(&self, broker: u32) -> Result<(), RequestError> {
        let request = v1::AddVoterRequest { broker_id: broker };
        call!(self, Repeat::IfDefinite, operations, add_voter, request).map(drop)
    }

    /// Lets the controller on this broker vote no more.
    ///
    /// # Errors
    /// When the others are no majority that can be reached, or the outcome is unknown.
    pub async fn remove_voter(&self, broker: u32) -> Result<(), RequestError> {
        let request = v1::RemoveVoterRequest { broker_id: broker };
        call!(self, Repeat::IfDefinite, operations, remove_voter, request).map(drop)
    }

    /// Raises the level of features to `level`, one above the present one, for good.
    ///
    /// # Errors
    /// When a node does not know it, it is not the next one, or the outcome is unknown.
    pub async fn raise_feature_level(&self, level: u32) -> Result<(), RequestError> {
        let request = v1::RaiseFeatureLevelRequest { level };
        call!(self, Repeat::IfDefinite, operations, raise_feature_level, request).map(drop)
    }

    /// Begins to empty a broker: it leads only what nobody else can, gets no replicas, and, unless `keep_replicas`,
    /// gives those it has to others. With `dry_run` only the moves that would take are told.
    ///
    /// # Errors
    /// When there is no such broker, or the outcome is unknown.
    pub async fn drain_broker(
        &self,
        broker: u32,
        keep_replicas: bool,
        dry_run: bool,
    ) -> Result<v1::MovePlan, RequestError> {
        let request = v1::DrainBrokerRequest { broker_id: broker, keep_replicas, dry_run };
        plan(call!(self, Repeat::IfDefinite, operations, drain_broker, request)?.plan)
    }

    /// A drained broker takes part again.
    ///
    /// # Errors
    /// When there is no such broker, or the outcome is unknown.
    pub async fn resume_broker(&self, broker: u32) -> Result<(), RequestError> {
        let request = v1::ResumeBrokerRequest { broker_id: broker };
        call!(self, Repeat::IfDefinite, operations, resume_broker, request).map(drop)
    }

    /// Lets another in-sync replica lead each of these partitions; `None`: their preferred leaders. At most 1,000.
    ///
    /// # Errors
    /// When no broker answered. Each partition has its own outcome.
    pub async fn elect_leaders(
        &self,
        partitions: &[(String, u32)],
        broker: Option<u32>,
    ) -> Result<Vec<v1::ElectedLeader>, RequestError> {
        let partitions = partitions.iter().map(|(topic, partition)| name(topic, *partition));
        let request = v1::ElectLeadersRequest {
            partitions: partitions.collect::<Result<_, _>>()?,
            broker_id: broker.unwrap_or_default(),
        };
        // Whoever leads already is left alone.
        Ok(call!(self, Repeat::InTurn, operations, elect_leaders, request)?.results)
    }

    /// Begins to move a partition to these brokers, the preferred leader first.
    ///
    /// # Errors
    /// When it cannot be moved so, is being moved already, or the outcome is unknown.
    pub async fn move_replicas(
        &self,
        topic: &str,
        partition: u32,
        replicas: &[u32],
    ) -> Result<v1::PartitionState, RequestError> {
        let request = v1::MoveReplicasRequest {
            partition: Some(name(topic, partition)?),
            replicas: replicas.to_vec(),
            partition_epoch: 0,
        };
        let answer = call!(self, Repeat::IfDefinite, operations, move_replicas, request)?;
        answer.partition.ok_or(RequestError::Malformed("a moved partition without its state"))
    }

    /// Ends a move where it began.
    ///
    /// # Errors
    /// When the partition is not being moved, its new replicas are needed by now, or the outcome is unknown.
    pub async fn cancel_move(&self, topic: &str, partition: u32) -> Result<v1::PartitionState, RequestError> {
        let request = v1::CancelMoveRequest { partition: Some(name(topic, partition)?) };
        let answer = call!(self, Repeat::IfDefinite, operations, cancel_move, request)?;
        answer.partition.ok_or(RequestError::Malformed("a partition without its state"))
    }

    /// Begins to spread replicas and preferred leaders evenly; with `dry_run` only tells the moves.
    ///
    /// # Errors
    /// When no broker answered, or the outcome is unknown.
    pub async fn rebalance(&self, dry_run: bool) -> Result<v1::MovePlan, RequestError> {
        let request = v1::RebalanceRequest { dry_run };
        plan(call!(self, Repeat::IfDefinite, operations, rebalance, request)?.plan)
    }

    /// Gives a topic more partitions; tells how many it has.
    ///
    /// Keys move: `murmur2(key) % partitions` names another partition for most of them from now on. Records of a key are in
    /// order before the growth and after it, and not across it, because those in the former partition stay there. Clients
    /// take up the new partitions within their `routes_age_max`, 30 s by default; until then two producers may send a key
    /// to two partitions. Who needs one order across the growth stops producing, waits until consumers have read all, and
    /// grows then. Consumers of all partitions read the new ones from their start; those that named partitions do not.
    ///
    /// # Errors
    /// When there is no such topic, it has as many already, or the outcome is unknown.
    pub async fn add_partitions(&self, topic: &str, partitions: u32) -> Result<u32, RequestError> {
        check_topic(topic)?;
        let request = v1::AddPartitionsRequest { name: topic.to_owned(), topic_id: Bytes::new(), partitions };
        Ok(call!(self, Repeat::IfDefinite, operations, add_partitions, request)?.partitions)
    }

    /// Gives a topic another number of replicas, and begins the moves that takes. Asked again, it begins what is left.
    ///
    /// # Errors
    /// When there is no such topic, there are not enough brokers, or the outcome is unknown.
    pub async fn set_replication_factor(
        &self,
        topic: &str,
        replication_factor: u32,
        allow_unreplicated: bool,
    ) -> Result<v1::MovePlan, RequestError> {
        check_topic(topic)?;
        let request = v1::SetReplicationFactorRequest {
            name: topic.to_owned(),
            topic_id: Bytes::new(),
            replication_factor,
            allow_unreplicated,
        };
        plan(call!(self, Repeat::IfDefinite, operations, set_replication_factor, request)?.plan)
    }

    /// What recovering a partition by hand would come to: who would lead, which offsets and producers would be hurt, as
    /// far as its replicas can be asked. The first of two steps; nothing is changed. `None` as the leader: the live
    /// replica that holds most.
    ///
    /// # Errors
    /// When there is no such partition, or no live replica tells what it holds.
    pub async fn plan_recovery(
        &self,
        topic: &str,
        partition: u32,
        leader: Option<u32>,
    ) -> Result<v1::PlanRecoveryResponse, RequestError> {
        let request = v1::PlanRecoveryRequest {
            partition: Some(name(topic, partition)?),
            broker_id: leader.unwrap_or_default(),
        };
        call!(self, Repeat::InTurn, operations, plan_recovery, request)
    }

    /// Carries out the plan with this hash: the second step. Acknowledged records may be lost, as the plan says.
    ///
    /// # Errors
    /// When the plan is not the present one any more, somebody who may hold everything is not fenced for long enough,
    /// or the outcome is unknown.
    pub async fn recover(
        &self,
        topic: &str,
        partition: u32,
        leader: u32,
        hash: &str,
    ) -> Result<v1::PartitionState, RequestError> {
        let request = v1::RecoverRequest {
            partition: Some(name(topic, partition)?),
            broker_id: leader,
            hash: hash.to_owned(),
        };
        let answer = call!(self, Repeat::IfDefinite, operations, recover, request)?;
        answer.partition.ok_or(RequestError::Malformed("a recovered partition without its state"))
    }
}

fn plan(plan: Option<v1::MovePlan>) -> Result<v1::MovePlan, RequestError> {
    plan.ok_or(RequestError::Malformed("the moves of an order"))
}

fn name(topic: &str, partition: u32) -> Result<v1::PartitionName, RequestError> {
    check_topic(topic)?;
    Ok(v1::PartitionName { topic: topic.to_owned(), topic_id: Bytes::new(), partition })
}
