//! The active controller: who lives, who is fenced, and what is due by time.
//!
//! ```text
//!   brokers --heartbeats--> session --> liveness --verdicts--\
//!                              |                              active --proposals--> quorum --watch--> everybody
//!                           rounds --answers-->   duties ----/
//! ```
//!
//! Every controller has one; only that of the node that leads the quorum does anything. [`liveness`] and [`duties`]
//! decide, and are pure; [`active`] asks them at every turn and proposes what they find due; [`session`] and `rounds`
//! take and answer heartbeats.
//!
//! Always true: nothing here moves the metadata but proposals, decided by the quorum on the present state; a
//! heartbeat is answered only after a round, begun after it came, that confirmed who decides (N12); nothing here is
//! stored, and a new active controller begins with nothing but the metadata.
//!
//! Not here: elections, which are made where entries are applied; the wire.

pub mod active;
pub mod duties;
pub mod heartbeat;
pub mod liveness;
mod rounds;
pub mod session;
pub mod task;

#[cfg(test)]
mod active_tests;
#[cfg(test)]
mod liveness_tests;
#[cfg(test)]
pub(crate) mod testing;
