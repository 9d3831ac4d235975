//! Floor 6: one owner per partition: decide, write, wake.
//!
//! [`Machine`] is pure: a step takes an event and the time and pushes [`Effect`]s; it holds everything this replica
//! knows of its partition. [`Partition`] is the thin shell: a lock around the machine, and hands that carry the
//! effects out. The lock is held for a step only, never across an await or a file call.

mod assignment;
mod condition;
mod effect;
mod following;
mod leading;
mod lease;
mod letting_go;
mod links;
mod log_events;
mod log_state;
mod machine;
mod membership;
mod mending;
mod outcome;
mod pending;
mod produce;
mod push;
mod reading;
mod registry;
mod resting;
mod shell;
mod stopping;
mod waiter;
mod wakes;

#[cfg(test)]
mod machine_tests;

pub use assignment::Assignment;
pub use condition::{Condition, Telling};
pub use effect::Effect;
pub use following::Following;
pub use leading::Leading;
pub use lease::Lease;
pub use letting_go::ReopenError;
pub use links::Links;
pub use log_state::LogState;
pub use machine::{Machine, MachineLimits, Positions, Published, Role, Setup};
pub use mending::MendFailed;
pub use outcome::{ProduceAnswer, ProduceRefusal, Stages, Stored, Unknown};
pub use produce::Produce;
pub use push::NextPush;
pub use reading::{ReadAnswer, ReadRefusal};
pub use registry::Partitions;
pub use shell::Partition;
pub use waiter::{AnswerSink, Waiter};
