//! Decides proposals, at the one who leads.
//!
//! ```text
//!   propose --queue--> take all that wait, decide each on the applied state and on what this batch decided already
//!      --> one `Batch` after that state's index --> applied: Counts -> answered
//!                                                            Void   -> decided again on the newer state
//! ```
//!
//! Always true: an acceptance is told only after its entry was applied, hence committed, here; a refusal only when
//! the state it rests on was the newest one at some moment after the proposal came: its batch counted, or a round
//! confirmed it. What was handed to the library and not seen applied is unknown, everything else is definite.
//!
//! Two batches on one index can be under way when one was given up: the first that is applied voids the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Entropy};
use fidelog_record::types::{MetaIndex, TopicId};
use openraft::Raft;
use openraft::error::RaftError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::command::{Applied, Command};
use super::leadership::{Leadership, NoRound};
use super::types::TypeConfig;
use crate::meta::published::Published;
use crate::meta::quorum::{Accepted, FormerSessions, ProposeError};
use crate::meta::state::{ApplyError, ClusterState, Entry, Minted, Outcome, Proposal, Refusal, Stored};

/// The most proposals of one batch.
const PROPOSALS_PER_BATCH_MAX: usize = 512;
/// A batch is closed when its entries reach this.
const BATCH_BYTES_TARGET: usize = 1 << 20;
/// How often a proposal is decided again because others decided at the same time.
const ROUNDS_MAX: usize = 8;
/// How long a batch may take to be applied; then its outcome is unknown.
const WRITE_MAX: Duration = Duration::from_secs(3);
/// How long a round that confirms leadership may take.
const CONFIRM_MAX: Duration = Duration::from_millis(500);

/// Why a proposal has no acceptance from this controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotDecided {
    /// Definite: this controller does not lead.
    NotLeader,
    /// As told to the one who asked.
    Error(ProposeError),
}

/// A proposal on its way.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) proposal: Proposal,
    pub(super) answer: oneshot::Sender<Result<Accepted, NotDecided>>,
}

impl Waiting {
    fn tell(self, answer: Result<Accepted, NotDecided>) {
        // Whoever no longer waits learns it from the watch.
        let _ = self.answer.send(answer);
    }
}

fn unavailable(reason: impl Into<String>) -> NotDecided {
    NotDecided::Error(ProposeError::Unavailable { reason: reason.into() })
}

/// The task that decides.
pub(super) struct Proposer {
    pub(super) raft: Raft<TypeConfig>,
    pub(super) leadership: Leadership,
    pub(super) published: Arc<Published>,
    pub(super) waiting: mpsc::Receiver<Waiting>,
    pub(super) sessions: Arc<dyn FormerSessions>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// A batch was given up: nothing is handed to the library before a majority answers again.
    pub(super) is_doubtful: bool,
}

/// What one batch decided.
struct Round {
    base: MetaIndex,
    entries: Vec<Entry>,
    accepted: Vec<(Waiting, Accepted)>,
    refused: Vec<(Waiting, Refusal)>,
}

/// What became of a round.
enum Fate {
    /// It holds.
    Holds,
    /// Others were faster: it must be decided again.
    Void,
    /// Nothing was handed over.
    NotTaken(NotDecided),
    /// It was handed over and not seen again.
    Unknown(String),
}

impl Proposer {
    /// Works until the last handle is gone.
    pub(super) async fn run(mut self) {
        let mut taken = Vec::new();
        while self.waiting.recv_many(&mut taken, PROPOSALS_PER_BATCH_MAX).await > 0 {
            let mut taken = VecDeque::from(std::mem::take(&mut taken));
            while !taken.is_empty() {
                taken = self.turn(taken).await;
            }
        }
    }

    /// Decides from the front of `taken` and answers; gives back what did not fit the batch.
    async fn turn(&mut self, mut taken: VecDeque<Waiting>) -> VecDeque<Waiting> {
        for _ in 0..ROUNDS_MAX {
            if !self.leadership.is_mine() {
                return tell_all(taken, &NotDecided::NotLeader);
            }
            let Some(state) = self.published.state() else {
                return tell_all(taken, &unavailable("its metadata is being founded"));
            };
            let (round, rest) = match self.decide(ClusterState::clone(&state), taken) {
                Ok(decided) => decided,
                // What was being decided is dropped, so that its outcome counts as unknown.
                Err(error) => {
                    self.published.stop(&error.to_string());
                    return VecDeque::new();
                }
            };
            match self.settle(&round).await {
                Fate::Holds => {
                    round.tell();
                    return rest;
                }
                Fate::Void => taken = round.take_back(rest),
                Fate::NotTaken(why) => {
                    return tell_all(round.take_back(rest), &why);
                }
                Fate::Unknown(reason) => {
                    round.tell_unknown(&reason);
                    return rest;
                }
            }
        }
        tell_all(taken, &unavailable("too many others were decided first"))
    }

    fn decide(
        &self,
        mut state: ClusterState,
        mut taken: VecDeque<Waiting>,
    ) -> Result<(Round, VecDeque<Waiting>), ApplyError> {
        let now_ms = self.clock.wall_ms();
        let base = state.index();
        let mut round = Round { base, entries: Vec::new(), accepted: Vec::new(), refused: Vec::new() };
        let mut bytes = 0;
        while bytes < BATCH_BYTES_TARGET
            && let Some(mut waiting) = taken.pop_front()
        {
            self.fill_in(&mut waiting.proposal);
            let minted = Minted { topic: TopicId::from_random(self.entropy.id_bytes()) };
            match state.decide(&waiting.proposal, now_ms, &minted) {
                Ok(entry) => {
                    let index = state.index().next();
                    state.apply(index, &entry)?;
                    bytes += entry.to_bytes().len();
                    round.accepted.push((waiting, Accepted { index, outcome: Outcome::of(&entry) }));
                    round.entries.push(entry);
                }
                Err(refusal) => round.refused.push((waiting, refusal)),
            }
        }
        Ok((round, taken))
    }

    /// What only the one who decides knows, whatever the proposer says of it.
    fn fill_in(&self, proposal: &mut Proposal) {
        match proposal {
            Proposal::RegisterBroker { registration } => {
                registration.former_session_alive = self.sessions.is_open(registration.id);
            }
            Proposal::RecoverPartition { plan, known, .. } => {
                let entry = self.published.state().and_then(|it| it.partition(plan.partition).cloned());
                let replicas = entry.iter().flat_map(|entry| &entry.replicas);
                *known =
                    Some(replicas.filter_map(|replica| self.sessions.known_for(replica.broker)).collect());
            }
            _ => {}
        }
    }

    async fn settle(&mut self, round: &Round) -> Fate {
        if round.entries.is_empty() || self.is_doubtful {
            match self.leadership.confirm(Instant::now() + CONFIRM_MAX).await {
                Ok(()) => self.is_doubtful = false,
                Err(NoRound::NotLeader) => return Fate::NotTaken(NotDecided::NotLeader),
                Err(NoRound::Unconfirmed(why) | NoRound::Stopped(why)) => {
                    return Fate::NotTaken(unavailable(why));
                }
            }
            if self.published.index() != round.base {
                return Fate::Void;
            }
            if round.entries.is_empty() {
                return Fate::Holds;
            }
        }
        self.write(round).await
    }

    async fn write(&mut self, round: &Round) -> Fate {
        let command = Command::Batch { base: round.base, entries: round.entries.clone() };
        // Giving it up leaves its outcome unknown, and it is told so.
        let Ok(written) = timeout(WRITE_MAX, self.raft.client_write(command)).await else {
            self.is_doubtful = true;
            return Fate::Unknown(format!("no majority took it within {WRITE_MAX:?}"));
        };
        match written.map(|response| response.data) {
            Ok(Applied::Counts { index }) => {
                let last = round.accepted.last().map(|(_, accepted)| accepted.index);
                assert_eq!(Some(index), last, "a batch gives the indexes it was decided with");
                Fate::Holds
            }
            Ok(Applied::Void { .. }) => Fate::Void,
            Ok(Applied::Nothing) => Fate::Unknown("a batch was applied as something else".to_owned()),
            // The library says the same of what it never took and of what another leader overwrote here; the latter
            // may stand in a third controller's log and be committed yet.
            Err(RaftError::APIError(_)) => Fate::Unknown("the leader changed meanwhile".to_owned()),
            Err(RaftError::Fatal(fatal)) => Fate::Unknown(fatal.to_string()),
        }
    }
}

fn tell_all(waiting: VecDeque<Waiting>, why: &NotDecided) -> VecDeque<Waiting> {
    waiting.into_iter().for_each(|waiting| waiting.tell(Err(why.clone())));
    VecDeque::new()
}

impl Round {
    fn tell(self) {
        for (waiting, accepted) in self.accepted {
            waiting.tell(Ok(accepted));
        }
        for (waiting, refusal) in self.refused {
            waiting.tell(Err(NotDecided::Error(ProposeError::Refused { refusal })));
        }
    }

    /// Refusals may rest on entries whose fate is unknown: they are taken back, which is definite.
    fn tell_unknown(self, reason: &str) {
        for (waiting, _) in self.accepted {
            waiting.tell(Err(NotDecided::Error(ProposeError::Unreachable { reason: reason.to_owned() })));
        }
        for (waiting, _) in self.refused {
            waiting.tell(Err(unavailable(reason)));
        }
    }

    /// All of them, to be decided again, before `rest`.
    fn take_back(self, rest: VecDeque<Waiting>) -> VecDeque<Waiting> {
        let accepted = self.accepted.into_iter().map(|(waiting, _)| waiting);
        let refused = self.refused.into_iter().map(|(waiting, _)| waiting);
        accepted.chain(refused).chain(rest).collect()
    }
}
