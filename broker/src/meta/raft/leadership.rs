//! Who leads, as this controller knows it, and the round that proves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fidelog_record::types::MetaIndex;
use openraft::Raft;
use openraft::error::{CheckIsLeaderError, ClientWriteError, RaftError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::command::Command;
use super::config::HEARTBEAT_MS;
use super::heard::Heard;
use super::types::{NodeId, TypeConfig, Voter};
use crate::meta::store::StoreHealth;

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// This controller.
    Me,
    /// Another.
    Other(Voter),
    /// Nobody that this controller knows of.
    Nobody,
}

/// Why a round confirmed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRound {
    /// This controller does not lead.
    NotLeader,
    /// It may lead, but no majority said so in time.
    Unconfirmed(String),
    /// The library ended here.
    Stopped(String),
}

/// The library, asked about leadership.
///
/// A leader that restarts goes on leading in its old term, and what it remembers as committed may lag behind what it had
/// acknowledged: a round alone would confirm a state that is too old. So the first confirmation of a term in this process
/// also sees an entry of its own committed, and with it all that was in the log before.
#[derive(Clone)]
pub(super) struct Leadership {
    raft: Raft<TypeConfig>,
    node: NodeId,
    health: watch::Receiver<StoreHealth>,
    /// The term whose log this process has seen committed up to an entry it wrote; 0 before the first. Only the
    /// largest matters, hence relaxed.
    caught_up_in: Arc<AtomicU64>,
}

impl Leadership {
    pub(super) fn new(raft: Raft<TypeConfig>, node: NodeId, health: watch::Receiver<StoreHealth>) -> Self {
        Self { raft, node, health, caught_up_in: Arc::default() }
    }

    /// Whether the store waits for room. The library waits with it, and takes itself for what it was before: a leader
    /// that says nothing, whom the others replace within a second.
    pub(super) fn is_full(&self) -> bool {
        matches!(*self.health.borrow(), StoreHealth::Full { .. })
    }

    /// Who leads now.
    pub(super) fn now(&self) -> Leads {
        if self.is_full() {
            return Leads::Nobody;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        match metrics.current_leader {
            Some(node) if node == self.node => Leads::Me,
            Some(node) => match metrics.membership_config.membership().get_node(&node) {
                Some(voter) => Leads::Other(voter.clone()),
                None => Leads::Nobody,
            },
            None => Leads::Nobody,
        }
    }

    /// Tells every change of who leads, for ever.
    pub(super) async fn tell(self, heard: Heard) {
        let mut metrics = self.raft.metrics();
        let mut told = Leads::Nobody;
        loop {
            let term = metrics.borrow_and_update().current_term;
            let leads = self.now();
            if leads != told {
                match &leads {
                    Leads::Me => {
                        heard.begin();
                        tracing::info!(term, "this controller leads the metadata quorum");
                    }
                    Leads::Other(voter) => tracing::info!(term, "the metadata quorum is led by {voter}"),
                    Leads::Nobody => tracing::info!(term, "nobody leads the metadata quorum"),
                }
                told = leads;
            }
            // Stopping here is safe: nothing was taken.
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn is_mine(&self) -> bool {
        self.now() == Leads::Me
    }

    /// Waits until somebody leads, at most until `deadline`; not while the store waits for room, which is no time for
    /// this controller to learn it.
    pub(super) async fn somebody(&self, deadline: Instant) -> Leads {
        let mut metrics = self.raft.metrics();
        loop {
            metrics.mark_unchanged();
            match self.now() {
                Leads::Nobody if self.is_full() => return Leads::Nobody,
                Leads::Nobody => {}
                leads => return leads,
            }
            // Stopping here is safe: nothing was begun.
            match timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Leads::Nobody,
            }
        }
    }

    /// Sees an entry of this process committed and applied, once a term.
    async fn catch_up(&self, deadline: Instant) -> Result<(), NoRound> {
        let term = self.raft.metrics().borrow().current_term;
        if self.caught_up_in.load(Ordering::Relaxed) == term {
            return Ok(());
        }
        if !self.is_mine() {
            return Err(NoRound::NotLeader);
        }
        // It changes nothing, whatever the state is; given up, it may still be committed, which does no harm.
        let nothing = Command::Batch { base: MetaIndex(0), entries: Vec::new() };
        match timeout_at(deadline, self.raft.client_write(nothing)).await {
            Err(_) => Err(NoRound::Unconfirmed("no majority took an entry in time".to_owned())),
            Ok(Ok(written)) => {
                self.caught_up_in.fetch_max(written.log_id.leader_id.term, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(RaftError::Fatal(fatal))) => Err(NoRound::Stopped(fatal.to_string())),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(NoRound::NotLeader),
            Ok(Err(RaftError::APIError(error))) => Err(NoRound::Unconfirmed(error.to_string())),
        }
    }

    /// A round in which a majority confirms that this controller leads, begun after the call; then everything
    /// committed before it is applied here.
    pub(super) async fn confirm(&self, deadline: Instant) -> Result<(), NoRound> {
        let mut why = "no round was finished in time".to_owned();
        self.catch_up(deadline).await?;
        loop {
            // Stopping here is safe: a round changes nothing.
            match timeout_at(deadline, self.raft.ensure_linearizable()).await {
                Err(_) => return Err(NoRound::Unconfirmed(why)),
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(RaftError::Fatal(fatal))) => return Err(NoRound::Stopped(fatal.to_string())),
                Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)))) => {
                    return Err(NoRound::NotLeader);
                }
                Ok(Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(error)))) => {
                    why = format!("no majority answered: {error}");
                }
            }
            let again = Instant::now() + Duration::from_millis(HEARTBEAT_MS / 4);
            if again >= deadline {
                return Err(NoRound::Unconfirmed(why));
            }
            tokio::time::sleep_until(again).await;
        }
    }
}
