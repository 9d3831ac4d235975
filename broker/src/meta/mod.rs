//! Floor 5: the cluster's metadata.
//!
//! ```text
//!   propose -> quorum (decides, logs, syncs) -> watch -> view of every broker -> whoever subscribed
//! ```
//!
//! [`state`] is the metadata as a pure value; [`quorum`] the trait through which everybody reaches whoever decides;
//! [`local`] a quorum of one over [`store`], entries and snapshots in one redb file; [`view`] what a broker keeps of
//! the watch, and [`follower`] the task that keeps it.
//!
//! Always true: only the watch moves anybody's view of the metadata, never the answer to a proposal (N7); an entry is
//! shown to nobody before it is synced; the highest index seen is synced before it is acted on (N1).
//!
//! Not here: elections, sessions and heartbeats; how proposals travel between brokers (floor rpc).

pub mod controller;
pub mod follower;
pub mod lease;
pub mod local;
mod published;
pub mod quorum;
pub mod raft;
pub mod state;
pub mod store;
pub mod view;

#[cfg(test)]
mod faulty_disk;
