//! What a node is told. Where each value came from is the daemon's to know.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use fidelog_log::LogConfig;
use fidelog_record::types::{BrokerId, ClusterId};

use super::role::Role;
use crate::meta::state::TopicDefaults;
use crate::rpc::RpcLimits;

/// One broker of the cluster, as the configuration of every broker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Its number.
    pub id: BrokerId,
    /// Where clients reach it, `host:port`.
    pub client: String,
    /// Where brokers reach it, `host:port`.
    pub peer: String,
    /// What it does.
    pub role: Role,
}

/// Everything a node needs to know.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster.
    pub cluster: ClusterId,
    /// This broker.
    pub broker: BrokerId,
    /// All nodes, this one included.
    pub brokers: Vec<BrokerAddress>,
    /// Where to listen for clients.
    pub listen: SocketAddr,
    /// Where to listen for brokers.
    pub peer_listen: SocketAddr,
    /// What clients are told; `host:port`.
    pub advertise: String,
    /// What brokers are told; `host:port`.
    pub peer_advertise: String,
    /// Replicas of a partition are spread over racks.
    pub rack: Option<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Settings of the logs.
    pub log: LogConfig,
    /// Defaults of new topics, used once, when the cluster's metadata is founded.
    pub topic_defaults: TopicDefaults,
    /// Whether one copy is enough for Fidelog's own topics, when one or two nodes hold replicas (N19). Default false.
    pub allow_unreplicated: bool,
    /// How long a follower may lag before it leaves the in-sync set. Default 10 s.
    pub replica_lag_max: Duration,
    /// Bytes of one partition that may be unacknowledged. Default 64 MiB.
    pub partition_pending_bytes_max: u64,
    /// Bytes a second that catching up may take per follower. Default 400 MiB.
    pub catch_up_bytes_per_s: u64,
    /// Bytes a second that are read to find damage before anybody asks for what it hit. Default 8 MiB; none: not at all.
    pub scrub_bytes_per_s: Option<NonZeroU64>,
    /// How often retention looks. Default 30 s.
    pub retention_every: Duration,
    /// Bounds of the public services.
    pub rpc: RpcLimits,
    /// Threads of the runtime that serves clients. Default: the number of cores, at most 4.
    pub client_threads: usize,
    /// Threads of the runtime between brokers. Default 1.
    pub peer_threads: usize,
}

impl NodeConfig {
    /// The nodes that vote on metadata when the cluster is founded, by id.
    #[must_use]
    pub fn controllers(&self) -> Vec<&BrokerAddress> {
        let mut controllers: Vec<_> = self.brokers.iter().filter(|it| it.role.is_controller()).collect();
        controllers.sort_unstable_by_key(|it| it.id);
        controllers
    }

    /// The controller that founds the cluster: the one of the lowest id.
    #[must_use]
    pub fn founder(&self) -> Option<BrokerId> {
        self.controllers().first().map(|it| it.id)
    }

    /// What this node does.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.brokers.iter().find(|it| it.id == self.broker).map(|it| it.role)
    }

    /// Whether this node votes on metadata.
    #[must_use]
    pub fn is_controller(&self) -> bool {
        self.role().is_some_and(Role::is_controller)
    }

    /// Whether this node holds replicas.
    #[must_use]
    pub fn is_broker(&self) -> bool {
        self.role().is_some_and(Role::is_broker)
    }
}
