//! The product: real brokers as processes of their own, driven through the SDK.
//!
//! A broker is this program started again with a role, as a floor's server is; it runs the daemon itself, with the
//! configuration a fresh installation would have. Everything on the client's side is the public SDK at its
//! defaults: what is measured is what a program that follows the first page of the documentation gets.

pub mod broker;
pub mod catch_up;
pub mod cluster;
pub mod creation;
pub mod failover;
pub mod figure;
mod load;
pub mod memory;
pub mod moves;
pub mod network;
pub mod produce;
pub mod scale;
pub mod start_up;
pub mod steady;
pub mod tail;
