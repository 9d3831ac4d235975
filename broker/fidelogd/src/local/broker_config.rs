//! The configuration file of one broker of a local cluster: written at every start, for its ports may change.

use std::fmt::Write;
use std::path::Path;

use fidelog_broker::types::ClusterId;

use super::ports::{Ports, local};

/// Produces are refused when less is free. Far below a server's: a laptop's disk is fuller.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// The text of it. `data_dir` is UTF-8: whoever opened the home has made sure.
pub(super) fn text(broker: u16, data_dir: &str, cluster: ClusterId, ports: &Ports) -> String {
    let mut brokers = String::new();
    for (id, pair) in (1..).zip(ports.pairs()) {
        let (client, peer) = (local(pair.client), local(pair.peer));
        writeln!(brokers, "    {{ id = {id}, client = \"{client}\", peer = \"{peer}\" }},")
            .expect("a string takes everything");
    }
    let own = ports.pairs()[usize::from(broker - 1)];
    let (listen, peer_listen) = (local(own.client), local(own.peer));
    let data_dir = toml::Value::from(data_dir);
    format!(
        "\
# Broker {broker} of a cluster on one machine, for trying things out. `fidelogd dev` writes this file at every start.
[broker]
id = {broker}
data_dir = {data_dir}
listen = \"{listen}\"
peer_listen = \"{peer_listen}\"

[cluster]
id = \"{cluster}\"
brokers = [
{brokers}]

[log]
free_bytes_min = {FREE_BYTES_MIN}

[topic_defaults]
replication_factor = 3
min_insync_replicas = 2
"
    )
}

/// The name of the file.
pub(super) fn name(broker: u16) -> String {
    format!("broker{broker}.toml")
}

/// What a broker would be told by it: the environment has no say in it.
pub(super) fn load(path: &Path, text: &str) -> Result<crate::config::Loaded, crate::config::ConfigErrors> {
    crate::config::load_text(path, text, std::iter::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_would_start_with_it() {
        let cluster = ClusterId::from_random([7; 16]);
        let ports = Ports::from_base(Some(19094)).unwrap();
        for (broker, listen) in [(1, 19094), (2, 19194), (3, 19294)] {
            let data_dir = format!("/home/o\"brien \\ ünï/broker{broker}");
            let text = text(broker, &data_dir, cluster, &ports);
            let node = load(Path::new("broker.toml"), &text).unwrap().node;
            assert_eq!((node.broker.0, node.cluster), (u32::from(broker), cluster));
            assert_eq!((node.listen.port(), node.peer_listen.port()), (listen, listen + 1));
            assert_eq!(node.data_dir, Path::new(&data_dir));
            assert_eq!(node.brokers.len(), 3);
            assert_eq!(
                (node.topic_defaults.replication_factor, node.topic_defaults.min_insync_replicas),
                (3, 2)
            );
        }
    }
}
