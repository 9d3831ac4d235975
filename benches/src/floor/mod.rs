//! The floors: the least that can be done for a workload, done as well as we know how.
//!
//! A floor has no topics, no offsets, no recovery and no failure handling; a wrong checksum or a failed sync ends
//! it. What is left is what no broker of this kind can avoid, so the product's figures divided by a floor's say
//! what Fidelog itself costs. Floors never use Fidelog's own crates.

pub mod append_file;
pub mod catch_up;
pub mod child;
pub mod disk;
pub mod grpc;
pub mod payload;
pub mod pipeline;
pub mod producer;
pub mod wire;
