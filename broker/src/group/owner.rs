//! The owner of one positions partition: runs beside the replica and serves while it leads (N18).
//!
//! ```text
//!  not leading --epoch--> replaying --confirmed, all applied--> serving --epoch over--> not leading
//!                             |                                    |
//!                             +---- log not readable ---> broken --+  until the next epoch
//! ```
//!
//! Always true: it applies committed entries only, each once, in log order; it answers from what applying gave; at
//! most one batch of its own is under way, and it is placed under the epoch it was decided in or not at all. A batch
//! whose fate is unknown is waited out before the next one is decided. The state lives as long as the epoch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::EncodedBatch;
use fidelog_record::types::limits::ACK_WAIT_MS_DEFAULT;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::error::PositionsError;
use super::hands::Hands;
use super::log_reader::{Ended, LogReader};
use super::request::{List, Request};
use super::state::{Applied, Entry, GroupPage, PositionLimits, PositionsState, SnapshotSizes, SnapshotStep};
use super::turn::{Change, Turn, in_batches};
use super::witness::{Testimony, Witness};
use crate::partition::{Partition, Produce, ProduceAnswer, ProduceRefusal, Published, Stored, Waiter};

/// The most calls of one turn.
const CALLS_PER_TURN_MAX: usize = 1024;
/// How long a batch may take before its callers are told that its outcome is unknown.
const WAIT: Duration = Duration::from_millis(ACK_WAIT_MS_DEFAULT as u64);
/// How long followers may take to confirm the epoch before the quorum is asked.
const CONFIRM_WAIT: Duration = Duration::from_millis(100);

/// The task that owns a positions partition. It ends when the replica leaves this broker.
#[derive(Debug)]
pub struct Owner {
    partition: Arc<Partition>,
    clock: Arc<dyn Clock>,
    witness: Arc<dyn Witness>,
    hands: Arc<dyn Hands>,
    calls: mpsc::Receiver<Request>,
    published: watch::Receiver<Published>,
    limits: PositionLimits,
    sizes: SnapshotSizes,
}

/// What is known while one epoch is served.
#[derive(Debug)]
struct Serving {
    epoch: LeaderEpoch,
    state: PositionsState,
    /// Changes that found no room in the last batch.
    held: VecDeque<Change>,
    /// No snapshot before the log weighs this: set when one could not be written.
    snapshot_weight_min: u64,
    /// Where the log was last told to begin.
    trimmed_to: Offset,
}

/// Why a batch is not in the state.
enum NotWritten {
    /// Definitely not in the log.
    Refused(ProduceRefusal),
    /// It may be.
    Unknown,
}

impl Owner {
    pub(super) fn new(
        partition: Arc<Partition>,
        (clock, witness, hands): (Arc<dyn Clock>, Arc<dyn Witness>, Arc<dyn Hands>),
        calls: mpsc::Receiver<Request>,
        limits: PositionLimits,
        sizes: SnapshotSizes,
    ) -> Self {
        let published = partition.published();
        Self { partition, clock, witness, hands, calls, published, limits, sizes }
    }

    /// Serves until the replica leaves this broker.
    pub async fn run(mut self) {
        loop {
            let seen = self.published.borrow_and_update().clone();
            let ended = match seen.leading {
                Some(epoch) => self.lead(epoch).await,
                None => self.refuse_while(None, &not_owner(self.partition.id(), &seen)).await,
            };
            match ended {
                Ended::EpochOver => {}
                Ended::Finished => return,
                Ended::Broken(why) => {
                    error!(partition = %self.partition.id(), "group positions cannot be served: {why}");
                    if self.refuse_while(seen.leading, &PositionsError::broken(why)).await == Ended::Finished
                    {
                        return;
                    }
                }
            }
        }
    }

    /// Refuses all calls as long as this replica leads in `leading`, or does not lead.
    async fn refuse_while(&mut self, leading: Option<LeaderEpoch>, why: &PositionsError) -> Ended {
        let mut published = self.published.clone();
        let over = async move {
            // An error means that the partition is gone: calls will end, too.
            match published.wait_for(|seen| seen.leading != leading).await {
                Ok(_) => Ended::EpochOver,
                Err(_) => Ended::Finished,
            }
        };
        refusing(&mut self.calls, over, why).await.unwrap_or_else(|ended| ended)
    }

    fn reader(&self, epoch: LeaderEpoch) -> LogReader {
        LogReader::new(Arc::clone(&self.partition), epoch, Arc::clone(&self.hands))
    }

    async fn lead(&mut self, epoch: LeaderEpoch) -> Ended {
        let reader = self.reader(epoch);
        let loading = PositionsError::not_now("the leader is reading them; try again");
        let state = match refusing(&mut self.calls, reader.replay(), &loading).await {
            Ok(Ok(state)) => state,
            Ok(Err(ended)) | Err(ended) => return ended,
        };
        let (positions, groups) = (state.position_count(), state.group_count());
        info!(partition = %self.partition.id(), %epoch, groups, positions, "group positions are served");
        let mut serving =
            Serving { epoch, state, held: VecDeque::new(), snapshot_weight_min: 0, trimmed_to: Offset::ZERO };
        let ended = self.serve(&mut serving).await;
        let why = not_owner(self.partition.id(), &self.published.borrow());
        for change in serving.held {
            change.caller.refuse(why.clone());
        }
        ended
    }

    async fn serve(&mut self, serving: &mut Serving) -> Ended {
        loop {
            self.trim(serving);
            if let Err(ended) = self.shorten(serving).await {
                return ended;
            }
            let (turn, reads) = match self.gather(serving).await {
                Ok(gathered) => gathered,
                Err(ended) => return ended,
            };
            let wrote = match turn.finish() {
                Some((batch, changes)) => self.write_and_answer(serving, batch, changes).await,
                None => Ok(false),
            };
            let confirmed = match wrote {
                // Everyone in sync took part in it, after the reads came: no newer epoch was known to any of them.
                Ok(true) => Ok(()),
                Ok(false) if reads.is_empty() => Ok(()),
                Ok(false) => self.confirm_epoch(serving.epoch).await,
                Err(_) => Err(not_owner(self.partition.id(), &self.published.borrow())),
            };
            for read in reads {
                match &confirmed {
                    Ok(()) => answer_read(read, &serving.state),
                    Err(why) => refuse(read, why.clone()),
                }
            }
            if let Err(ended) = wrote {
                return ended;
            }
        }
    }

    /// Waits for calls and takes all that wait: changes go into the turn, reads are to be answered after it.
    async fn gather(&mut self, serving: &mut Serving) -> Result<(Turn, Vec<Request>), Ended> {
        let at_ms = self.clock.wall_ms();
        let mut turn = Turn::new(at_ms);
        while let Some(change) = serving.held.pop_front() {
            if let Some(full) = turn.take(change, &serving.state, self.limits) {
                serving.held.push_front(full);
                return Ok((turn, Vec::new()));
            }
        }
        let mut reads = Vec::new();
        let first = if turn.changes.is_empty() { Some(self.next_call(serving.epoch).await?) } else { None };
        let waiting = std::iter::from_fn(|| self.calls.try_recv().ok());
        for call in first.into_iter().chain(waiting).take(CALLS_PER_TURN_MAX) {
            match Change::of(call, at_ms) {
                Err(read) => reads.push(read),
                Ok(change) => {
                    if let Some(full) = turn.take(change, &serving.state, self.limits) {
                        serving.held.push_back(full);
                        break;
                    }
                }
            }
        }
        Ok((turn, reads))
    }

    async fn next_call(&mut self, epoch: LeaderEpoch) -> Result<Request, Ended> {
        let mut published = self.published.clone();
        tokio::select! {
            biased;
            _ = published.wait_for(|seen| seen.leading != Some(epoch)) => Err(Ended::EpochOver),
            // Nothing is lost when the other branch wins: a call is taken out only when this one does.
            call = self.calls.recv() => call.ok_or(Ended::Finished),
        }
    }

    /// Whether this replica still led in `epoch` after the reads at hand came: by a round to all in-sync followers, or
    /// by the quorum when they cannot say (N18).
    async fn confirm_epoch(&self, epoch: LeaderEpoch) -> Result<(), PositionsError> {
        if is_planted(Planted::PositionUnconfirmed)
            || self.partition.confirm_epoch(epoch, self.hands.pause(CONFIRM_WAIT)).await
        {
            return Ok(());
        }
        let partition = self.partition.id();
        match self.witness.leads(partition, epoch).await {
            Testimony::Leads => Ok(()),
            Testimony::Deposed { leader, epoch } => {
                Err(PositionsError::NotOwner { partition, leader, epoch })
            }
            Testimony::Unknown { reason } => Err(PositionsError::not_now(format!(
                "whether their leader still leads is not known: {reason}"
            ))),
        }
    }

    /// Writes the changes and answers them; whether they are committed.
    async fn write_and_answer(
        &mut self,
        serving: &mut Serving,
        batch: EncodedBatch,
        changes: Vec<Change>,
    ) -> Result<bool, Ended> {
        let base = match self.write(serving.epoch, batch).await {
            Ok(stored) => stored.base,
            Err(NotWritten::Refused(refusal)) => {
                let why = refused(self.partition.id(), refusal);
                changes.into_iter().for_each(|change| change.caller.refuse(why.clone()));
                return Ok(false);
            }
            Err(NotWritten::Unknown) => {
                let why = PositionsError::unknown("whether the change was stored could not be learned");
                changes.into_iter().for_each(|change| change.caller.refuse(why.clone()));
                return self.wait_out(serving).await.map(|()| false);
            }
        };
        for (offset, change) in (base.0..).map(Offset).zip(changes) {
            match serving.state.apply(offset, &change.entry) {
                Ok(applied) => change.caller.answer(applied),
                Err(error) => {
                    change.caller.refuse(PositionsError::unknown(error.to_string()));
                    return Err(error.into());
                }
            }
        }
        Ok(true)
    }

    /// Produces a batch under the epoch it was decided in, and waits until it is committed.
    async fn write(&self, epoch: LeaderEpoch, batch: EncodedBatch) -> Result<Stored, NotWritten> {
        let (waiter, answered) = oneshot::channel();
        let arrived = self.clock.now();
        self.partition.produce(Produce { batch, arrived, wait: WAIT, epoch, waiter: Waiter::One(waiter) });
        // Calls that come meanwhile gather for the next turn.
        match answered.await {
            Ok(ProduceAnswer::Stored(stored)) => Ok(stored),
            Ok(ProduceAnswer::Refused(refusal)) => Err(NotWritten::Refused(refusal)),
            Ok(ProduceAnswer::Unknown(_)) | Err(_) => Err(NotWritten::Unknown),
        }
    }

    /// Waits until everything placed so far is committed, and applies it from the log.
    async fn wait_out(&mut self, serving: &mut Serving) -> Result<(), Ended> {
        let end = self.partition.inspect(|machine| machine.positions().end);
        let reader = self.reader(serving.epoch);
        let state = std::mem::replace(&mut serving.state, PositionsState::empty());
        let why = PositionsError::not_now("earlier changes are not committed yet; try again");
        let caught_up = refusing(&mut self.calls, reader.catch_up(state, end), &why).await??;
        serving.state = caught_up;
        Ok(())
    }

    /// Lets the log begin with its last whole snapshot. All of that is committed, since it is applied.
    fn trim(&self, serving: &mut Serving) {
        if let Some(to) = serving.state.trim_to()
            && to > serving.trimmed_to
        {
            self.partition.advance_start(to);
            serving.trimmed_to = to;
        }
    }

    /// Writes a snapshot when the log has become long. Calls wait meanwhile: nothing may come between its records.
    async fn shorten(&mut self, serving: &mut Serving) -> Result<(), Ended> {
        let weight = serving.state.weight_since_snapshot();
        if !serving.state.wants_snapshot(self.sizes) || weight < serving.snapshot_weight_min {
            return Ok(());
        }
        match self.write_snapshot(serving).await {
            Ok(()) => {
                serving.snapshot_weight_min = 0;
                self.trim(serving);
                Ok(())
            }
            Err((why, not_written)) => {
                warn!(partition = %self.partition.id(), "no snapshot of group positions: {why}");
                serving.snapshot_weight_min = serving.state.weight_since_snapshot().saturating_mul(2);
                match not_written {
                    Some(NotWritten::Unknown) => self.wait_out(serving).await,
                    _ => Ok(()),
                }
            }
        }
    }

    async fn write_snapshot(&self, serving: &mut Serving) -> Result<(), (String, Option<NotWritten>)> {
        let entries = serving.state.to_snapshot(self.sizes);
        let batches = in_batches(entries, self.clock.wall_ms()).map_err(|error| (error.to_string(), None))?;
        for (batch, entries) in batches {
            let stored =
                self.write(serving.epoch, batch).await.map_err(|why| (why.to_string(), Some(why)))?;
            for (offset, entry) in (stored.base.0..).map(Offset).zip(entries) {
                apply_snapshot(&mut serving.state, offset, &entry).map_err(|why| (why, None))?;
            }
        }
        Ok(())
    }
}

fn apply_snapshot(state: &mut PositionsState, offset: Offset, entry: &Entry) -> Result<(), String> {
    match state.apply(offset, entry).map_err(|error| error.to_string())? {
        Applied::Snapshot(SnapshotStep::Void) => {
            Err(format!("its record at {offset} does not fit the state"))
        }
        _ => Ok(()),
    }
}

/// Carries out `work`; calls that come meanwhile are refused.
async fn refusing<T>(
    calls: &mut mpsc::Receiver<Request>,
    work: impl Future<Output = T>,
    why: &PositionsError,
) -> Result<T, Ended> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            call = calls.recv() => match call {
                Some(call) => refuse(call, why.clone()),
                None => return Err(Ended::Finished),
            },
        }
    }
}

fn answer_read(read: Request, state: &PositionsState) {
    match read {
        Request::Fetch(fetch, answer) => drop(answer.send(Ok(state.fetch(&fetch.group, fetch.topic)))),
        Request::List(list, answer) => drop(answer.send(Ok(listed(&list, state)))),
        change => unreachable!("{change:?} is no read"),
    }
}

fn listed(list: &List, state: &PositionsState) -> GroupPage {
    match &list.group {
        None => state.page(list.after.as_ref(), list.group_count_max),
        Some(group) => GroupPage { groups: state.describe(group).into_iter().collect(), next_after: None },
    }
}

fn refuse(call: Request, why: PositionsError) {
    match call {
        Request::Open(_, answer) | Request::Reset(_, answer) | Request::Fetch(_, answer) => {
            drop(answer.send(Err(why)));
        }
        Request::Commit(_, answer) => drop(answer.send(Err(why))),
        Request::Delete(_, answer) => drop(answer.send(Err(why))),
        Request::List(_, answer) => drop(answer.send(Err(why))),
    }
}

/// What a replica that does not lead answers.
pub(super) fn not_owner(partition: TopicPartition, seen: &Published) -> PositionsError {
    match &seen.problem {
        Some(why) => PositionsError::not_now(why.clone()),
        None => PositionsError::NotOwner { partition, leader: seen.leader, epoch: seen.leader_epoch },
    }
}

/// A definite refusal of a batch, as its callers are told.
fn refused(partition: TopicPartition, refusal: ProduceRefusal) -> PositionsError {
    match refusal {
        ProduceRefusal::NotLeader { leader, epoch } => PositionsError::NotOwner { partition, leader, epoch },
        ProduceRefusal::FencedEpoch { epoch } | ProduceRefusal::UnknownEpoch { epoch } => {
            PositionsError::NotOwner { partition, leader: None, epoch }
        }
        ProduceRefusal::Opening => PositionsError::not_now("the leader is opening its epoch"),
        ProduceRefusal::NotEnoughReplicas { isr, min_insync } => PositionsError::not_now(format!(
            "{} replicas of the positions partition are in sync; {min_insync} are needed",
            isr.len()
        )),
        ProduceRefusal::Overloaded { pending_bytes, pending_bytes_max } => PositionsError::not_now(format!(
            "{pending_bytes} bytes of the positions partition wait to be committed; at most {pending_bytes_max} may"
        )),
        ProduceRefusal::DiskFull(why) => PositionsError::not_now(why),
        ProduceRefusal::DeadlineExceeded => PositionsError::not_now("there was no room in the log in time"),
        ProduceRefusal::Stopped(why) | ProduceRefusal::DataLoss(why) => PositionsError::broken(why),
        never => PositionsError::broken(format!("{never:?}, which only an idempotent producer can meet")),
    }
}

impl std::fmt::Display for NotWritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Self::Unknown => f.write_str("the outcome of one of its batches is unknown"),
        }
    }
}
