//! Real clusters for the tests: processes, directories, addresses, and waiting without guessing.
//!
//! | file | what it holds |
//! |---|---|
//! | `address` | which loopback addresses a cluster gets |
//! | `broker` | one daemon: its files, its process, its log |
//! | `cluster` | some of them, and clients to them |
//! | `directory` | copies of data directories, and an end of them |
//! | `network` | namespaces with links that can be cut |
//! | `small_disk` | a file system of its own that can be filled |
//! | `replicas` | what lies on the disks of stopped brokers |
//! | `wait` | waiting for a condition, bounded |
//! | `seed` | what a run can be repeated with |
//! | `shim` | what stands between a broker and its disk |
//! | `skip` | what a test does on a machine that lacks something |

mod address;
mod broker;
mod cluster;
pub(crate) mod directory;
mod network;
mod replicas;
pub(crate) mod seed;
pub(crate) mod shim;
mod skip;
mod small_disk;
mod wait;

pub(crate) use cluster::{Builder, Cluster};
pub(crate) use network::Network;
pub(crate) use replicas::stop_and_compare;
pub(crate) use skip::lacks;
pub(crate) use small_disk::SmallDisk;
pub(crate) use wait::{LONG, retry, wait_until};
