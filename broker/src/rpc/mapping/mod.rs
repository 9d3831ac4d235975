//! What floors below refuse, told to a client: one exhaustive match for each of their errors.
//!
//! Not here: codes and delays ([`super::reason`]), and how a failure is written ([`super::status`]).

mod batch;
mod config;
mod metadata;
mod positions;
mod produce;
mod read;

pub(super) use batch::{door_failure, finish_failure, header_failure, push_failure};
pub(super) use config::config_failure;
pub(super) use metadata::propose_failure;
pub(super) use metadata::refusal_failure;
pub(super) use positions::positions_failure;
pub(super) use produce::{produce_failure, unknown_failure};
pub(super) use read::read_failure;
