//! The bare pipeline: what any log broker must do before it may acknowledge, and nothing else.
//!
//! ```text
//!  client ── messages ──> leader ── check CRC ──┬─> flusher thread: append, fdatasync ─┐
//!    ^                                          ├─> push ─> follower 1: check, append, ├─> all synced?
//!    |                                          └─> push ─> follower 2: fdatasync ─────┘       |
//!    └───────────────────── cumulative answer ─────────────────────────────────────────────────┘
//! ```
//!
//! Client, leader and each follower are processes of their own. Everybody runs at their own pace: a flusher
//! writes all that waits with one sync, a push carries all that waits, an answer covers all that is done. A message
//! is answered when every replica has synced it. Its partitions share one file and one sync, which no broker that
//! keeps them apart can better.

mod flusher;
mod follower;
mod leader;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use super::child::{Child, Role};
use super::producer::{Checksum, produce};
use super::wire;
use super::wire::proto::follower_server::FollowerServer;
use super::wire::proto::leader_client::LeaderClient;
use super::wire::proto::leader_server::LeaderServer;
use crate::contender::{Contender, Running};
use crate::sample::Sample;
use crate::shape::Shape;

pub use follower::Follower;
pub use leader::Leader;

/// Largest message between these processes: a push carries everything that waits.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineFloor;

impl Contender for PipelineFloor {
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
        ensure!(shape.replicas >= 1, "{shape} asks for no replica at all");
        let own_dir = |index: usize| {
            let dir = dir.join(format!("replica-{index}"));
            std::fs::create_dir(&dir).map(|()| dir)
        };
        let followers: Vec<_> = (1..shape.replicas)
            .map(|index| Child::spawn(&Role::Follower { dir: own_dir(index)? }))
            .collect::<Result<_>>()?;
        let addresses = followers.iter().map(Child::address).collect();
        let leader = Child::spawn(&Role::Leader { dir: own_dir(0)?, followers: addresses })?;
        Ok(Box::new(Pipeline { shape: *shape, leader, _followers: followers, runtime: wire::runtime()? }))
    }
}

/// The client, and the processes it keeps alive; the leader is dropped first.
struct Pipeline {
    shape: Shape,
    leader: Child,
    _followers: Vec<Child>,
    runtime: Runtime,
}

impl Running for Pipeline {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        self.runtime.block_on(produce_to(self.leader.address(), &self.shape, time))
    }
}

async fn produce_to(leader: SocketAddr, shape: &Shape, time: Duration) -> Result<Sample> {
    let open = |channel, messages| async move { LeaderClient::new(channel).produce(messages).await };
    produce(leader, shape, Checksum::Made, time, open).await
}

/// The service of a leader with its file in `dir` and an open push stream to each follower.
///
/// # Errors
/// When the file cannot be made or a follower cannot be reached.
pub async fn leader(dir: &Path, followers: &[SocketAddr]) -> Result<LeaderServer<Leader>> {
    let leader = Leader::start(&dir.join("log"), followers).await?;
    Ok(LeaderServer::new(leader).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// The service of a follower with its file in `dir`; it takes one push stream in its life.
///
/// # Errors
/// When the file cannot be made.
pub fn follower(dir: &Path) -> Result<FollowerServer<Follower>> {
    let follower = Follower::start(&dir.join("log"))?;
    Ok(FollowerServer::new(follower).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

#[cfg(test)]
mod tests;
