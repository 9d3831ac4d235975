//! The real network between brokers: replication streams, and the quorum for those who are not it.
//!
//! For every other broker there are two outgoing streams, live and catch-up, on connections of their own, so that one
//! stuck log never delays the pushes of others (N2). A stream pulls what it sends: partitions only say that they have
//! something, the stream asks them when it can send. So everything that waits goes out together, and nothing is
//! queued that could not be sent.

mod codec;
mod frame;
mod inflow;
mod isr_changes;
mod link;
mod links;
mod meta_service;
mod outbox;
mod pace;
mod probe;
mod quorum_codec;
mod quorum_service;
mod quorum_wire;
mod range_client;
mod range_reads;
mod reader;
mod refill;
mod remote_quorum;
mod replication_service;
mod reply_outbox;
mod server;
mod session_client;
mod session_codec;
mod session_service;
#[cfg(test)]
mod session_tests;
mod tail;
mod way;

pub use link::{LinkSettings, run_links};
pub use links::{LiveStream, PeerLinks};
pub use meta_service::MetaServer;
pub(crate) use pace::Pace;
pub use probe::TcpProbe;
pub use quorum_service::QuorumServer;
pub use quorum_wire::GrpcQuorumWire;
pub(crate) use range_client::RangeClient;
pub use remote_quorum::RemoteQuorum;
pub use replication_service::ReplicationServer;
pub use server::{Internal, peer_server};
pub use session_client::{SelfReport, SessionParts, Standing, run_session};
pub use session_service::SessionServer;
