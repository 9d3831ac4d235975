//! Who belongs to the quorum: founding it, taking in emptied directories, adding and removing voters.
//!
//! ```text
//!   a controller that is no member, or hears of no leader: announces itself to every configured one, again and again
//!      the founder heard all of them, none of a founded quorum  --> all are voters; the leader founds the metadata
//!      the leader heard it:  its broker has another directory in the quorum --> learner, caught up, takes its place
//!                            its broker has none                            --> learner, until an operator adds it
//! ```
//!
//! Always true: a quorum is founded once: who was ever told of a founded one does not found another; a directory's
//! number leaves the quorum when another directory answers at its broker's address, and never comes back; a change
//! of the voters is one change at a time, and is refused when the voters it would leave have no majority that can be
//! reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Entropy;
use fidelog_record::types::{BrokerId, Incarnation};
use futures::future::join_all;
use openraft::{ChangeMembers, Raft};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::Membership;
use super::command::Command;
use super::config::LAG_MAX;
use super::leadership::{Leadership, Leads};
use super::seat::Seat;
use super::types::{NodeId, TypeConfig, Voter};
use super::wire::{Answer, Controller, Question, QuorumWire};
use crate::meta::published::Published;
use crate::meta::quorum::{ProposeError, VoterChange};
use crate::meta::state::{ClusterState, TopicDefaults};

/// From one round of announcements, or look at the members, to the next.
const EVERY: Duration = Duration::from_millis(200);
/// How long another controller may take to say who it is.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long a controller that is to vote may take to announce itself; one that was removed has to miss its leader first.
const ANNOUNCED_MAX: Duration = Duration::from_secs(3);
/// How long a learner may take to catch up before its turn is given to the next.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);
/// How long one change may take to be committed; a later turn finishes it.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// See the file.
pub(super) struct Members {
    pub(super) seat: Arc<Seat>,
    pub(super) raft: Raft<TypeConfig>,
    pub(super) leadership: Leadership,
    pub(super) published: Arc<Published>,
    pub(super) wire: Arc<dyn QuorumWire>,
    pub(super) topic_defaults: TopicDefaults,
    pub(super) entropy: Arc<dyn Entropy>,
    /// The last announcement of each configured controller that is, or was, no member.
    pub(super) announced: Mutex<BTreeMap<BrokerId, Controller>>,
    /// Held while the members are being changed.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Members {
    fn membership(&self) -> Membership {
        self.raft.metrics().borrow().membership_config.membership().clone()
    }

    /// Whether this controller's log says who the members are.
    fn is_founded(&self) -> bool {
        self.membership().nodes().next().is_some()
    }

    fn is_member(&self) -> bool {
        self.membership().get_node(&self.seat.node()).is_some()
    }

    /// Takes an announcement.
    pub(super) fn hear(&self, controller: Controller) -> Answer {
        if let Some(registered) = self.seat.rolled_back(&controller) {
            return Answer::RolledBack { registered };
        }
        // Number 0 is nobody's: it only asks, before its store is open.
        let is_other = self.seat.is_configured(controller.broker) && controller.broker != self.seat.broker();
        if is_other && controller.node != 0 && !self.seat.is_foreign(&controller) {
            self.announced.lock().insert(controller.broker, controller);
        }
        Answer::Known { controller: self.seat.controller(), founded: self.is_founded() }
    }

    /// Announces this controller while it is no member, or knows nobody who leads: it may have been removed while it
    /// was away, and never hears of that. As the founder, founds the quorum.
    pub(super) async fn announce(self: Arc<Self>) {
        loop {
            // Stopping here is safe: nothing is under way.
            tokio::time::sleep(EVERY).await;
            let is_member = self.is_member();
            if is_member && self.leadership.now() != Leads::Nobody {
                continue;
            }
            let others = self.seat.others().map(|(broker, address)| self.who_is(broker, address));
            let known: Vec<(Controller, bool)> = join_all(others).await.into_iter().flatten().collect();
            let is_complete = known.len() == self.seat.others().count();
            let may_found = !is_member && self.seat.may_found();
            if may_found && is_complete && known.iter().all(|(_, founded)| !founded) {
                self.found(known.into_iter().map(|(controller, _)| controller)).await;
            }
        }
    }

    /// Who answers at a controller's address, and whether it knows a founded quorum; it learns who asks.
    async fn who_is(&self, broker: BrokerId, address: &str) -> Option<(Controller, bool)> {
        let question = Question::Announce { controller: self.seat.controller() };
        let answer = timeout(ANSWER_MAX, self.wire.ask(broker, address, question)).await.ok()?;
        match answer {
            Ok(Answer::Known { controller, founded }) if controller.broker == broker => {
                Some((controller, founded))
            }
            Ok(answer) => {
                warn!(%broker, address, "what answers there is not this controller: {answer:?}");
                None
            }
            Err(_) => None,
        }
    }

    /// Every configured controller is a voter from the first entry on.
    async fn found(&self, others: impl Iterator<Item = Controller>) {
        let all = others.chain([self.seat.controller()]);
        let voters: BTreeMap<NodeId, Voter> =
            all.map(|it| (it.node, Voter { broker: it.broker, address: it.address })).collect();
        info!(voters = voters.len(), "founding the metadata quorum");
        if let Err(error) = self.raft.initialize(voters).await {
            warn!(%error, "the metadata quorum was not founded");
        }
    }

    /// Looks after the members while this controller leads.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            // Stopping anywhere here is safe: a change half made is found and finished by whoever leads.
            tokio::time::sleep(EVERY).await;
            if !self.leadership.is_mine() {
                continue;
            }
            if self.published.state().is_none() {
                self.found_metadata().await;
                continue;
            }
            let _changing = self.changing.lock().await;
            if let Err(reason) = self.tend().await {
                warn!("the members of the metadata quorum could not be changed: {reason}");
            }
        }
    }

    /// The first entry: the state of a cluster without brokers and topics. Where two are written, one counts.
    async fn found_metadata(&self) {
        let confirmed = self.leadership.confirm(Instant::now() + ANSWER_MAX).await;
        if confirmed.is_err() || self.published.state().is_some() {
            return;
        }
        let incarnation = Incarnation::from_random(self.entropy.id_bytes());
        match ClusterState::founded(self.seat.cluster(), incarnation, self.topic_defaults.clone()) {
            Ok(state) => {
                info!(%incarnation, "founding the cluster's metadata");
                let command = Command::Found { snapshot: Box::new(state.to_snapshot()) };
                let written = timeout(CHANGE_MAX, self.raft.client_write(command)).await;
                if let Ok(Err(error)) = written {
                    warn!(%error, "the cluster's metadata was not founded");
                }
            }
            Err(error) => warn!(%error, "the cluster's metadata cannot be founded: the defaults of topics"),
        }
    }

    /// Finishes a change that was left half made, then takes in who announced itself.
    async fn tend(&self) -> Result<(), String> {
        let membership = self.membership();
        if let [.., last] = membership.get_joint_config().as_slice()
            && membership.get_joint_config().len() > 1
        {
            return self.write(ChangeMembers::ReplaceAllVoters(last.clone())).await;
        }
        let announced: Vec<Controller> = self.announced.lock().values().cloned().collect();
        for controller in announced {
            let membership = self.membership();
            let is_voter = membership.voter_ids().any(|node| node == controller.node);
            let former = nodes_of(&membership, controller.broker, controller.node);
            if membership.get_node(&controller.node).is_some() && (is_voter || former.is_empty()) {
                self.announced.lock().remove(&controller.broker);
                continue;
            }
            self.take_in(&membership, &controller, &former).await?;
        }
        Ok(())
    }

    /// Makes `controller` a learner and, where its broker's former directory voted, a voter in its place.
    async fn take_in(
        &self,
        membership: &Membership,
        controller: &Controller,
        former: &BTreeSet<NodeId>,
    ) -> Result<(), String> {
        // A second process of that broker may have announced itself; what answers at its address is the one.
        let answers = self.who_is(controller.broker, &controller.address).await;
        if answers.is_none_or(|(answering, _)| answering.node != controller.node) {
            self.announced.lock().remove(&controller.broker);
            return Ok(());
        }
        let node = controller.node;
        if membership.get_node(&node).is_none() {
            info!(broker = %controller.broker, node, "a controller with a new directory learns");
            let voter = Voter { broker: controller.broker, address: controller.address.clone() };
            self.write(ChangeMembers::AddNodes(BTreeMap::from([(node, voter)]))).await?;
        }
        if former.is_empty() {
            return Ok(());
        }
        self.caught_up(node).await?;
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        if former.is_disjoint(&voters) {
            return self.write(ChangeMembers::RemoveNodes(former.clone())).await;
        }
        info!(broker = %controller.broker, node, ?former, "it takes the place of its former directory");
        let replaced = voters.difference(former).copied().chain([node]).collect();
        self.write(ChangeMembers::ReplaceAllVoters(replaced)).await
    }

    /// Adds or removes a voter, as an operator asked.
    pub(super) async fn change(&self, change: VoterChange) -> Result<(), ProposeError> {
        let refused = |reason: String| ProposeError::Unavailable { reason };
        if let VoterChange::Add { broker } = change {
            self.taken_in(broker).await;
        }
        let _changing = self.changing.lock().await;
        let membership = self.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let wanted = match change {
            VoterChange::Add { broker } => {
                let nodes = nodes_of(&membership, broker, 0);
                if !nodes.is_disjoint(&voters) {
                    return Ok(());
                }
                let Some(node) = nodes.first().copied() else {
                    return Err(refused(format!(
                        "broker {broker} has no controller that announced itself; it must be configured as one on \
                         every node, and run"
                    )));
                };
                self.caught_up(node).await.map_err(refused)?;
                voters.iter().copied().chain([node]).collect()
            }
            VoterChange::Remove { broker } => {
                let nodes = nodes_of(&membership, broker, 0);
                if nodes.is_disjoint(&voters) {
                    return Ok(());
                }
                voters.difference(&nodes).copied().collect::<BTreeSet<_>>()
            }
        };
        self.check_majority(&membership, &wanted).await.map_err(refused)?;
        let unknown = |reason: String| ProposeError::Unreachable { reason };
        // One that is dropped hears nothing of it and would wait for entries for ever; one that is gone never comes back.
        let left: BTreeSet<NodeId> = voters.difference(&wanted).copied().collect();
        let retain = !left.is_empty() && self.answering(&membership, &left).await == left.len();
        self.write_retaining(ChangeMembers::ReplaceAllVoters(wanted), retain).await.map_err(unknown)
    }

    /// Waits a while for the controller on `broker`, which may be about to announce itself.
    async fn taken_in(&self, broker: BrokerId) {
        let deadline = Instant::now() + ANNOUNCED_MAX;
        while nodes_of(&self.membership(), broker, 0).is_empty() && Instant::now() < deadline {
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whether more than half of `voters` answer.
    async fn check_majority(&self, membership: &Membership, voters: &BTreeSet<NodeId>) -> Result<(), String> {
        let answering = self.answering(membership, voters).await;
        if answering * 2 > voters.len() {
            return Ok(());
        }
        Err(format!(
            "{answering} of the {} voters that would be left can be reached, which is no majority; start the others \
             first",
            voters.len()
        ))
    }

    /// How many of `nodes` answer.
    async fn answering(&self, membership: &Membership, nodes: &BTreeSet<NodeId>) -> usize {
        let ask = nodes.iter().map(async |node| {
            if *node == self.seat.node() {
                return true;
            }
            let Some(voter) = membership.get_node(node) else { return false };
            let answers = self.who_is(voter.broker, &self.seat.address_of(voter)).await;
            answers.is_some_and(|(controller, _)| controller.node == *node)
        });
        join_all(ask).await.into_iter().filter(|answers| *answers).count()
    }

    /// Waits until the leader knows that `node` has nearly all of its log.
    async fn caught_up(&self, node: NodeId) -> Result<(), String> {
        let mut metrics = self.raft.metrics();
        let deadline = Instant::now() + CATCH_UP_MAX;
        loop {
            {
                let metrics = metrics.borrow_and_update();
                let Some(replication) = &metrics.replication else {
                    return Err("this controller no longer leads".to_owned());
                };
                let matched = replication.get(&node).copied().flatten().map(|log_id| log_id.index);
                if matched.is_some_and(|matched| matched + LAG_MAX >= metrics.last_log_index.unwrap_or(0)) {
                    return Ok(());
                }
            }
            match timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err("this controller stopped".to_owned()),
                Err(_) => return Err(format!("controller {node} did not catch up within {CATCH_UP_MAX:?}")),
            }
        }
    }

    /// One change, committed. Voters that are replaced leave the quorum altogether.
    async fn write(&self, change: ChangeMembers<NodeId, Voter>) -> Result<(), String> {
        self.write_retaining(change, false).await
    }

    /// One change, committed; `retain`: voters that are left out go on learning.
    async fn write_retaining(
        &self,
        change: ChangeMembers<NodeId, Voter>,
        retain: bool,
    ) -> Result<(), String> {
        match timeout(CHANGE_MAX, self.raft.change_membership(change, retain)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no majority took it within {CHANGE_MAX:?}")),
        }
    }
}

/// The directories of `broker` in the quorum, without `except`.
fn nodes_of(membership: &Membership, broker: BrokerId, except: NodeId) -> BTreeSet<NodeId> {
    let nodes = membership.nodes().filter(|(node, voter)| voter.broker == broker && **node != except);
    nodes.map(|(node, _)| *node).collect()
}
