//! The producing side shared by the floors with a network: streams that keep a fixed number of messages in flight.
//!
//! A message's latency runs from the moment its stream hands it to gRPC to the moment its answer is read. Each
//! producer has a connection of its own. Answers are cumulative, as a broker's would be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::Stream;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::payload::Payloads;
use super::wire;
use super::wire::proto::{ProduceAnswer, ProduceRequest};
use crate::contender::warm_up;
use crate::sample::Sample;
use crate::shape::Shape;

/// Whether producers make a checksum for each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-32 over the payload, made as the message is sent.
    Made,
    /// Left 0, for a server that does not look.
    LeftOut,
}

/// Runs the shape's producers against `address` for `time` after the warm-up, and adds up what they saw.
///
/// `open` starts the bidirectional call of one producer.
///
/// # Errors
/// The first error of a connection or call, or an answer nobody asked for.
pub async fn produce<Open, Opened>(
    address: SocketAddr,
    shape: &Shape,
    checksum: Checksum,
    time: Duration,
    open: Open,
) -> Result<Sample>
where
    Open: Fn(Channel, Messages) -> Opened,
    Opened: Future<Output = Result<Response<Streaming<ProduceAnswer>>, Status>> + Send + 'static,
{
    let mut opened = Vec::new();
    for seed in 0..shape.producers {
        let channel = wire::connect(address).await?;
        let window = Arc::new(Window::new(shape.in_flight));
        let payloads = Payloads::new(seed as u64, shape.batch_bytes());
        let call = open(channel, Messages { window: window.clone(), payloads, checksum });
        opened.push((window, call));
    }
    let counted_from = Instant::now() + warm_up(time);
    let (records, bytes) = (shape.records_per_batch, shape.batch_bytes());
    let tasks: Vec<_> = opened
        .into_iter()
        .map(|(window, call)| {
            tokio::spawn(async move {
                let answers = call.await?.into_inner();
                Tally { window, records, bytes, counted_from, counted_end: counted_from + time }
                    .count(answers)
                    .await
            })
        })
        .collect();
    let mut total = Sample::default();
    for task in tasks {
        total.merge(&task.await??);
    }
    Ok(total)
}

/// What one producer has in flight.
#[derive(Debug)]
struct Window {
    in_flight_max: usize,
    state: Mutex<WindowState>,
}

#[derive(Debug, Default)]
struct WindowState {
    /// When each unanswered message was handed over, oldest first.
    sent: VecDeque<Instant>,
    /// No further message is sent.
    stopped: bool,
    /// The stream of messages, when it waits for room.
    sender: Option<Waker>,
}

impl Window {
    fn new(in_flight_max: usize) -> Self {
        Self { in_flight_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, WindowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of one producer: one more whenever there is room in its window.
#[derive(Debug)]
pub struct Messages {
    window: Arc<Window>,
    payloads: Payloads,
    checksum: Checksum,
}

impl Stream for Messages {
    type Item = ProduceRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ProduceRequest>> {
        {
            let mut state = self.window.state();
            if state.stopped {
                return Poll::Ready(None);
            }
            if state.sent.len() == self.window.in_flight_max {
                state.sender = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.sent.push_back(Instant::now());
        }
        let payload = self.payloads.take();
        let crc = match self.checksum {
            Checksum::Made => crc32fast::hash(&payload),
            Checksum::LeftOut => 0,
        };
        Poll::Ready(Some(ProduceRequest { crc, payload }))
    }
}

/// Counts the answers of one producer.
struct Tally {
    window: Arc<Window>,
    records: usize,
    bytes: usize,
    counted_from: Instant,
    counted_end: Instant,
}

impl Tally {
    /// Reads answers until the time is over, then stops the messages and waits for the last answer.
    async fn count(self, mut answers: Streaming<ProduceAnswer>) -> Result<Sample> {
        let mut sample = Sample::default();
        let mut answered_count = 0;
        while let Some(answer) = answers.message().await? {
            ensure!(answer.answered_count > answered_count, "an answer for {} again", answer.answered_count);
            self.settle(answer.answered_count - answered_count, &mut sample)?;
            answered_count = answer.answered_count;
        }
        ensure!(self.window.state().sent.is_empty(), "the server left messages unanswered");
        Ok(sample.over(self.counted_end - self.counted_from))
    }

    fn settle(&self, newly_answered: u64, sample: &mut Sample) -> Result<()> {
        let now = Instant::now();
        let counts = now >= self.counted_from && now < self.counted_end;
        let mut state = self.window.state();
        for _ in 0..newly_answered {
            let Some(sent) = state.sent.pop_front() else {
                anyhow::bail!("the server answered a message that was not sent");
            };
            if counts {
                sample.record(now - sent, self.records, self.bytes);
            }
        }
        state.stopped = now >= self.counted_end;
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        Ok(())
    }
}
