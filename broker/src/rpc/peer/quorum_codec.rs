//! The messages of the quorum, from and to the wire.

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{BrokerId, ClusterId, DirectoryId, Generation, Incarnation};

use crate::meta::raft::{Controller, RaftMessage};

pub(super) fn encode(message: RaftMessage) -> wire::RaftMessage {
    let RaftMessage { cluster, from, to, body, chunk } = message;
    wire::RaftMessage {
        cluster_id: Bytes::copy_from_slice(cluster.as_bytes()),
        from: Some(wire::ControllerIdentity {
            broker_id: from.broker.0,
            node_id: from.node,
            directory_id: Bytes::copy_from_slice(from.directory.as_bytes()),
            generation: from.generation.0,
            address: from.address,
            incarnation: from.incarnation.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(it.as_bytes())),
        }),
        to_node_id: to,
        body,
        chunk,
    }
}

pub(super) fn decode(message: wire::RaftMessage) -> Result<RaftMessage, String> {
    let wire::RaftMessage { cluster_id, from, to_node_id, body, chunk } = message;
    let from = from.ok_or("a message of the quorum does not say whom it is from")?;
    let cluster = ClusterId::try_from(&cluster_id[..]).map_err(|error| format!("cluster_id: {error}"))?;
    let directory =
        DirectoryId::try_from(&from.directory_id[..]).map_err(|error| format!("directory_id: {error}"))?;
    let incarnation = match from.incarnation.as_ref() {
        [] => None,
        bytes => Some(Incarnation::try_from(bytes).map_err(|error| format!("incarnation: {error}"))?),
    };
    let from = Controller {
        broker: BrokerId(from.broker_id),
        node: from.node_id,
        directory,
        generation: Generation(from.generation),
        address: from.address,
        incarnation,
    };
    Ok(RaftMessage { cluster, from, to: to_node_id, body, chunk })
}
