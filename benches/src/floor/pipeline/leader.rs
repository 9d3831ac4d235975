//! The leader: checks what producers send, gives it a place, hands it to its disk and its followers at once, and
//! answers when all of them have it.
//!
//! ```text
//!   0 ............ committed_end ............ end
//!   synced everywhere | on its way to a disk  | next message
//! ```
//!
//! `committed_end` is the least synced end of all replicas and never goes back. Queues are bounded by what the
//! producers keep in flight.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::Result;
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};

use super::MESSAGE_BYTES_MAX;
use super::flusher::Flusher;
use super::follower::check;
use crate::floor::wire;
use crate::floor::wire::proto::follower_client::FollowerClient;
use crate::floor::wire::proto::leader_server;
use crate::floor::wire::proto::{Piece, ProduceAnswer, ProduceRequest, PushAnswer, PushRequest};

/// Messages taken from one producer at a time, before its answers are looked at again.
const TAKEN_COUNT_MAX: usize = 256;

/// One leader with one file and its followers.
#[derive(Debug)]
pub struct Leader {
    log: Arc<Log>,
    committed_end: watch::Receiver<u64>,
}

impl Leader {
    /// Makes its file at `path` and opens a push stream to each of `followers`.
    ///
    /// # Errors
    /// When the file cannot be made or a follower cannot be reached.
    pub async fn start(path: &Path, followers: &[SocketAddr]) -> Result<Self> {
        let (committed, committed_end) = watch::channel(0);
        let replicas = Arc::new(Replicas::new(1 + followers.len(), committed));
        let of_disk = replicas.clone();
        let flusher = Flusher::start(path, move |end| of_disk.synced(0, end))?;
        let mut queues = Vec::new();
        for (index, address) in followers.iter().enumerate() {
            let queue = Arc::new(PushQueue::default());
            let channel = wire::connect(*address).await?;
            let mut client = FollowerClient::new(channel).max_encoding_message_size(MESSAGE_BYTES_MAX);
            let answers = client.push(Pushes(queue.clone())).await?.into_inner();
            tokio::spawn(follow(answers, index + 1, replicas.clone()));
            queues.push(queue);
        }
        let log = Log { state: Mutex::new(LogState { end: 0, flusher }), queues };
        Ok(Self { log: log.into(), committed_end })
    }
}

/// Reads what one follower has synced. A lost follower ends the process: nothing could be answered any more.
async fn follow(mut answers: Streaming<PushAnswer>, replica: usize, replicas: Arc<Replicas>) {
    loop {
        match answers.message().await {
            Ok(Some(answer)) => replicas.synced(replica, answer.synced_end),
            Ok(None) => break,
            Err(error) => {
                eprintln!("follower {replica} of the floor failed: {error}");
                break;
            }
        }
    }
    std::process::exit(1);
}

/// How far each replica has synced, the leader's own disk first.
#[derive(Debug)]
struct Replicas {
    synced_ends: Mutex<Vec<u64>>,
    committed: watch::Sender<u64>,
}

impl Replicas {
    fn new(count: usize, committed: watch::Sender<u64>) -> Self {
        Self { synced_ends: Mutex::new(vec![0; count]), committed }
    }

    fn synced(&self, replica: usize, synced_end: u64) {
        let mut ends = self.synced_ends.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            ends[replica] <= synced_end,
            "replica {replica} went back from {} to {synced_end}",
            ends[replica]
        );
        ends[replica] = synced_end;
        let least = ends.iter().copied().min().unwrap_or(0);
        // Still under the lock, so that a later end is never followed by an earlier one.
        self.committed.send_if_modified(|end| std::mem::replace(end, least) < least);
    }
}

/// Where messages get their place; the order of places is the order on every disk.
#[derive(Debug)]
struct Log {
    state: Mutex<LogState>,
    queues: Vec<Arc<PushQueue>>,
}

#[derive(Debug)]
struct LogState {
    end: u64,
    flusher: Flusher,
}

impl Log {
    /// Appends `pieces` and adds the end of each to `ends`.
    fn append(&self, pieces: &mut Vec<Piece>, ends: &mut VecDeque<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in &*pieces {
            state.end += piece.payload.len() as u64;
            ends.push_back(state.end);
        }
        for queue in &self.queues {
            queue.waiting().pieces.extend(pieces.iter().cloned());
        }
        state.flusher.append(pieces.drain(..).map(|piece| piece.payload));
        drop(state);
        self.queues.iter().for_each(|queue| queue.wake());
    }
}

/// What one follower was not sent yet.
#[derive(Debug, Default)]
struct PushQueue(Mutex<PushWaiting>);

#[derive(Debug, Default)]
struct PushWaiting {
    pieces: Vec<Piece>,
    /// The push stream, when it waits for pieces.
    sender: Option<Waker>,
}

impl PushQueue {
    fn waiting(&self) -> MutexGuard<'_, PushWaiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let sender = self.waiting().sender.take();
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

/// The push stream to one follower: each request carries all that waits.
struct Pushes(Arc<PushQueue>);

impl Stream for Pushes {
    type Item = PushRequest;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PushRequest>> {
        let mut waiting = self.0.waiting();
        if waiting.pieces.is_empty() {
            waiting.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(PushRequest { pieces: std::mem::take(&mut waiting.pieces) }))
    }
}

#[tonic::async_trait]
impl leader_server::Leader for Leader {
    type ProduceStream = ProduceAnswers;

    async fn produce(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<ProduceAnswers>, Status> {
        Ok(Response::new(ProduceAnswers {
            incoming: Some(request.into_inner()),
            log: self.log.clone(),
            committed: WatchStream::new(self.committed_end.clone()),
            committed_end: 0,
            ends: VecDeque::new(),
            answered_count: 0,
            taken: Vec::new(),
        }))
    }
}

/// One producer's stream: takes its messages and answers those that are committed, in one task.
#[derive(Debug)]
pub struct ProduceAnswers {
    /// None once the producer has said that no more will come.
    incoming: Option<Streaming<ProduceRequest>>,
    log: Arc<Log>,
    committed: WatchStream<u64>,
    committed_end: u64,
    /// Ends of the unanswered messages, oldest first.
    ends: VecDeque<u64>,
    answered_count: u64,
    taken: Vec<Piece>,
}

impl Stream for ProduceAnswers {
    type Item = Result<ProduceAnswer, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let more = self.take_messages(cx)?;
            if self.answer_committed(cx) {
                return Poll::Ready(Some(Ok(ProduceAnswer { answered_count: self.answered_count })));
            }
            if self.incoming.is_none() && self.ends.is_empty() {
                return Poll::Ready(None);
            }
            if !more {
                return Poll::Pending;
            }
        }
    }
}

impl ProduceAnswers {
    /// Appends what has arrived; true when there may be more already.
    fn take_messages(&mut self, cx: &mut Context<'_>) -> Result<bool, Status> {
        let mut more = true;
        while more && self.taken.len() < TAKEN_COUNT_MAX {
            let Some(incoming) = &mut self.incoming else { break };
            match incoming.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => {
                    let ProduceRequest { crc, payload } = message?;
                    let piece = Piece { crc, payload };
                    check(&piece)?;
                    self.taken.push(piece);
                }
                Poll::Ready(None) => self.incoming = None,
                Poll::Pending => more = false,
            }
        }
        if !self.taken.is_empty() {
            self.log.append(&mut self.taken, &mut self.ends);
        }
        Ok(more && self.incoming.is_some())
    }

    /// Counts the messages below the committed end as answered; true when there are new ones.
    fn answer_committed(&mut self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Some(end)) = self.committed.poll_next_unpin(cx) {
            self.committed_end = end;
        }
        let newly = self.ends.iter().take_while(|end| **end <= self.committed_end).count();
        self.ends.drain(..newly);
        self.answered_count += newly as u64;
        newly > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_replica_has_synced_is_committed() {
        let (committed, committed_end) = watch::channel(0);
        let replicas = Replicas::new(3, committed);
        for (replica, synced_end, expected) in
            [(0, 10, 0), (1, 5, 0), (2, 7, 5), (1, 20, 7), (2, 30, 10), (0, 25, 20)]
        {
            replicas.synced(replica, synced_end);
            assert_eq!(
                *committed_end.borrow(),
                expected,
                "after replica {replica} synced up to {synced_end}"
            );
        }
    }
}
