//! A node of its own, on the real disk: what it makes of replicas that cannot be opened, and how it stops.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use fidelog_log::LogConfig;
use fidelog_record::types::{BrokerId, ClusterId, TopicPartition};

use super::{BrokerAddress, Node, NodeConfig, Role, format};
use crate::group::POSITIONS_PARTITIONS;
use crate::meta::state::TopicDefaults;
use crate::rpc::RpcLimits;

fn config(data_dir: &Path) -> NodeConfig {
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let address = anywhere.to_string();
    NodeConfig {
        cluster: ClusterId::from_random([1; 16]),
        broker: BrokerId(1),
        brokers: vec![BrokerAddress {
            id: BrokerId(1),
            client: address.clone(),
            peer: address.clone(),
            role: Role::Both,
        }],
        listen: anywhere,
        peer_listen: anywhere,
        advertise: address.clone(),
        peer_advertise: address,
        rack: None,
        data_dir: data_dir.to_owned(),
        log: LogConfig::small(),
        topic_defaults: TopicDefaults::default(),
        allow_unreplicated: true,
        replica_lag_max: Duration::from_secs(10),
        partition_pending_bytes_max: 1 << 20,
        catch_up_bytes_per_s: 1 << 20,
        scrub_bytes_per_s: None,
        retention_every: Duration::from_secs(30),
        rpc: RpcLimits::default(),
        client_threads: 1,
        peer_threads: 1,
    }
}

/// Waits until it hosts so many partitions; tells which. A minute is far more than it takes.
fn hosted(node: &Node, count: usize) -> Vec<TopicPartition> {
    let began = Instant::now();
    loop {
        let mut hosted: Vec<_> = node.partitions.all().iter().map(|partition| partition.id()).collect();
        if hosted.len() >= count {
            hosted.sort();
            return hosted;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{hosted:?}; {count} are expected");
        std::thread::yield_now();
    }
}

/// One replica that could not be opened used to stop the whole broker, at every start again.
#[test]
fn a_replica_that_cannot_be_opened_is_tried_again_and_keeps_no_other_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("data"));
    format(&config).unwrap();
    let node = Node::start(config.clone()).unwrap();
    let all = hosted(&node, POSITIONS_PARTITIONS as usize);
    assert!(node.stop(), "nothing failed");
    let at = all[0];
    let home = config.data_dir.join("topics").join(at.topic.to_string()).join(at.partition.to_string());
    let away = directory.path().join("away");
    std::fs::rename(&home, &away).unwrap();
    std::fs::write(&home, "in the way").unwrap();

    let node = Node::start(config.clone()).unwrap();
    assert!(node.partitions.get(at).is_none());
    std::fs::remove_file(&home).unwrap();
    std::fs::rename(&away, &home).unwrap();
    assert_eq!(hosted(&node, all.len()), all);
    assert!(node.stop(), "nothing failed");
    let node = Node::start(config).unwrap();
    assert_eq!(hosted(&node, all.len()), all);
    assert!(node.stop(), "nothing failed");
}
