//! Heartbeats and their answers as the wire has them, both ways.

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId, MetaIndex};

use crate::meta::controller::heartbeat::{BrokerHealth, Heartbeat, Told};
use crate::meta::controller::session::Answer;

/// What of a reason is kept: it is said by another node, and shown to people.
const REASON_BYTES_MAX: usize = 1024;

pub(super) fn encode_heartbeat(cluster: ClusterId, it: Heartbeat) -> wire::HeartbeatRequest {
    let BrokerHealth { failed, disk_free_bytes } = it.health;
    wire::HeartbeatRequest {
        cluster_id: Bytes::copy_from_slice(cluster.as_bytes()),
        broker_id: it.broker.0,
        broker_epoch: it.epoch.0,
        number: it.number,
        metadata_index: it.passed.0,
        ready: it.ready,
        stopping: it.stopping,
        health: Some(wire::BrokerHealth { failed: failed.unwrap_or_default(), disk_free_bytes }),
    }
}

/// A heartbeat of this cluster.
///
/// # Errors
/// Whose it is instead.
pub(super) fn decode_heartbeat(
    cluster: ClusterId,
    request: wire::HeartbeatRequest,
) -> Result<Heartbeat, String> {
    if request.cluster_id != cluster.as_bytes().as_slice() {
        return Err(format!(
            "this node belongs to cluster {cluster}, broker {} to another; check the addresses",
            request.broker_id
        ));
    }
    let health = request.health.unwrap_or_default();
    let health = BrokerHealth {
        failed: (!health.failed.is_empty()).then(|| shortened(health.failed)),
        disk_free_bytes: health.disk_free_bytes,
    };
    Ok(Heartbeat {
        broker: BrokerId(request.broker_id),
        epoch: BrokerEpoch(request.broker_epoch),
        number: request.number,
        passed: MetaIndex(request.metadata_index),
        ready: request.ready,
        stopping: request.stopping,
        health,
    })
}

fn shortened(mut text: String) -> String {
    let end = (0..=REASON_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    text
}

pub(super) fn encode_answer(answer: Answer) -> wire::HeartbeatResponse {
    let (told, active) = match answer.told {
        Told::Alive => (wire::Told::Alive, None),
        Told::Fenced => (wire::Told::Fenced, None),
        Told::Superseded => (wire::Told::Superseded, None),
        Told::NotRegistered => (wire::Told::NotRegistered, None),
        Told::NotActive { active } => (wire::Told::NotActive, active),
    };
    let active_broker_id = active.map_or(0, |active| active.0);
    wire::HeartbeatResponse { number: answer.number, told: told.into(), active_broker_id }
}

/// An answer; none when this version does not know it.
pub(super) fn decode_answer(response: wire::HeartbeatResponse) -> Option<Answer> {
    let told = match response.told() {
        wire::Told::Alive => Told::Alive,
        wire::Told::Fenced => Told::Fenced,
        wire::Told::Superseded => Told::Superseded,
        wire::Told::NotRegistered => Told::NotRegistered,
        wire::Told::NotActive => {
            let active = Some(BrokerId(response.active_broker_id)).filter(|active| active.0 != 0);
            Told::NotActive { active }
        }
        wire::Told::Unspecified => return None,
    };
    Some(Answer { number: response.number, told })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat() -> Heartbeat {
        let health = BrokerHealth { failed: Some("EIO".to_owned()), disk_free_bytes: Some(0) };
        Heartbeat {
            broker: BrokerId(2),
            epoch: BrokerEpoch(9),
            number: 41,
            passed: MetaIndex(77),
            ready: true,
            stopping: true,
            health,
        }
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let cluster = ClusterId::from_random([1; 16]);
        for heartbeat in [heartbeat(), Heartbeat { health: BrokerHealth::default(), ..heartbeat() }] {
            let request = encode_heartbeat(cluster, heartbeat.clone());
            assert_eq!(decode_heartbeat(cluster, request), Ok(heartbeat));
        }
        let active = [None, Some(BrokerId(3))].map(|active| Told::NotActive { active });
        for told in
            [Told::Alive, Told::Fenced, Told::Superseded, Told::NotRegistered].into_iter().chain(active)
        {
            let answer = Answer { number: 41, told };
            assert_eq!(decode_answer(encode_answer(answer)), Some(answer));
        }
        assert_eq!(decode_answer(wire::HeartbeatResponse::default()), None);
    }

    #[test]
    fn another_cluster_is_refused_and_a_long_reason_is_cut() {
        let (ours, other) = (ClusterId::from_random([1; 16]), ClusterId::from_random([2; 16]));
        assert!(decode_heartbeat(ours, encode_heartbeat(other, heartbeat())).is_err());
        let mut long = encode_heartbeat(ours, heartbeat());
        long.health = Some(wire::BrokerHealth { failed: "ä".repeat(600), ..Default::default() });
        let failed = decode_heartbeat(ours, long).unwrap().health.failed.unwrap();
        assert_eq!(failed, "ä".repeat(512));
    }
}
