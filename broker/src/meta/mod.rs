//! Floor 5: the cluster's metadata.
//!
//! ```text
//!   propose -> quorum (decides, logs, syncs) -> watch -> view of every broker -> whoever subscribed
//! ```
//!
//! [`state`] is the metadata as a pure value; [`quorum`] the trait through which everybody reaches whoever decides;
//! [`raft`] the controllers that do, each over a [`store`] of its own; [`view`] what a broker keeps of the watch, and
//! [`follower`] the task that keeps it.
//!
//! Always true: only the watch moves anybody's view of the metadata, never the answer to a proposal (N7); an entry is
//! shown to nobody before it is synced; the highest index seen is synced before it is acted on (N1).
//!
//! Not here: how anything travels between nodes (floor rpc).

pub mod controller;
pub mod follower;
pub mod lease;
mod published;
pub mod quorum;
pub mod raft;
pub mod state;
pub mod store;
pub mod view;
