//! The gRPC floor: a client and a server that stores nothing, in two processes.
//!
//! It shows what the wire alone costs on this machine, with both ends sharing its cores. The server neither looks
//! at a payload nor keeps it.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::Stream;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::child::{Child, Role};
use super::payload::Payloads;
use super::producer::{Checksum, produce};
use super::wire;
use super::wire::proto::sink_client::SinkClient;
use super::wire::proto::sink_server::{self, SinkServer};
use super::wire::proto::{ProduceAnswer, ProduceRequest};
use crate::contender::{Contender, Running, warm_up};
use crate::sample::Sample;
use crate::shape::Shape;

/// How the client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcFloor {
    /// One stream per producer, answers cumulative.
    Stream,
    /// One call per message; `in_flight` calls at a time on each producer's connection.
    Unary,
}

impl Contender for GrpcFloor {
    fn start(&self, shape: &Shape, _dir: &Path) -> Result<Box<dyn Running>> {
        ensure!(shape.replicas == 1, "the gRPC floor has no replicas, and {shape} asks for them");
        let (kind, shape, server, runtime) = (*self, *shape, Child::spawn(&Role::Sink)?, wire::runtime()?);
        Ok(Box::new(Client { kind, shape, server, runtime }))
    }
}

struct Client {
    kind: GrpcFloor,
    shape: Shape,
    server: Child,
    runtime: Runtime,
}

impl Running for Client {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        let (address, shape) = (self.server.address(), self.shape);
        let work = async move |kind| match kind {
            GrpcFloor::Stream => {
                let open = |channel, messages| async move { SinkClient::new(channel).stream(messages).await };
                produce(address, &shape, Checksum::LeftOut, time, open).await
            }
            GrpcFloor::Unary => call_each(address, &shape, time).await,
        };
        self.runtime.block_on(work(self.kind))
    }
}

async fn call_each(address: std::net::SocketAddr, shape: &Shape, time: Duration) -> Result<Sample> {
    let mut channels = Vec::new();
    for _ in 0..shape.producers {
        channels.push(wire::connect(address).await?);
    }
    let counted_from = Instant::now() + warm_up(time);
    let payloads = Payloads::new(1, shape.batch_bytes());
    let callers: Vec<_> = channels
        .iter()
        .flat_map(|channel| std::iter::repeat_n(channel, shape.in_flight))
        .map(|channel| tokio::spawn(call(channel.clone(), payloads.clone(), *shape, counted_from, time)))
        .collect();
    let mut total = Sample::default();
    for caller in callers {
        total.merge(&caller.await??);
    }
    Ok(total)
}

/// One caller: the next call starts when the answer to the last is there.
async fn call(
    channel: Channel,
    mut payloads: Payloads,
    shape: Shape,
    counted_from: Instant,
    time: Duration,
) -> Result<Sample> {
    let mut client = SinkClient::new(channel);
    let mut sample = Sample::default();
    loop {
        let payload = payloads.take();
        let before = Instant::now();
        client.unary(ProduceRequest { crc: 0, payload }).await?;
        let after = Instant::now();
        if after >= counted_from + time {
            return Ok(sample.over(time));
        }
        if after >= counted_from {
            sample.record(after - before, shape.records_per_batch, shape.batch_bytes());
        }
    }
}

/// The service of a server that stores nothing.
pub fn sink() -> SinkServer<Sink> {
    SinkServer::new(Sink)
}

/// Answers and forgets.
#[derive(Debug)]
pub struct Sink;

#[tonic::async_trait]
impl sink_server::Sink for Sink {
    type StreamStream = Counts;

    async fn stream(&self, request: Request<Streaming<ProduceRequest>>) -> Result<Response<Counts>, Status> {
        Ok(Response::new(Counts { incoming: request.into_inner(), received_count: 0, closed: false }))
    }

    async fn unary(&self, _request: Request<ProduceRequest>) -> Result<Response<ProduceAnswer>, Status> {
        Ok(Response::new(ProduceAnswer { answered_count: 1 }))
    }
}

/// Answers of the sink: one for all that has arrived.
#[derive(Debug)]
pub struct Counts {
    incoming: Streaming<ProduceRequest>,
    received_count: u64,
    closed: bool,
}

impl Stream for Counts {
    type Item = Result<ProduceAnswer, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closed {
            return Poll::Ready(None);
        }
        let answered_count = self.received_count;
        loop {
            match Pin::new(&mut self.incoming).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    message?;
                    self.received_count += 1;
                }
                Poll::Ready(None) => {
                    self.closed = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        match self.received_count {
            count if count > answered_count => Poll::Ready(Some(Ok(ProduceAnswer { answered_count: count }))),
            _ if self.closed => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}
