//! One replica as the broker that holds it sees it. Asks the disk: call it where blocking is allowed.

use fidelog_log::env::Moment;
use fidelog_proto::v1;

use crate::partition::{Leading, Machine, Partition, Role};

/// The positions of a replica.
pub(super) fn replica_positions(partition: &Partition, now: Moment) -> v1::ReplicaPositions {
    let segments = partition.view().segments();
    let mut shown = partition.inspect(|machine| seen(machine, now));
    shown.partition = partition.id().partition.0;
    match segments {
        Ok(segments) => {
            shown.segments = u32::try_from(segments.len()).unwrap_or(u32::MAX);
            shown.stored_bytes = segments.iter().map(|segment| segment.file_bytes).sum();
            shown.newest_ms = segments.iter().map(|segment| segment.newest_ms).max().unwrap_or(0);
        }
        Err(error) if shown.problem.is_empty() => shown.problem = error.to_string(),
        Err(_) => {}
    }
    if shown.problem.is_empty() {
        shown.problem = partition.trouble().unwrap_or_default();
    }
    shown
}

fn seen<W>(machine: &Machine<W>, now: Moment) -> v1::ReplicaPositions {
    let positions = machine.positions();
    let published = machine.published();
    v1::ReplicaPositions {
        role: role(machine.role()).to_owned(),
        leader_epoch: published.leader_epoch.0,
        start_offset: positions.start.0,
        committed_end: positions.committed_end.0,
        durable_end: positions.durable_end.0,
        end_offset: positions.end.0,
        followers: match machine.role() {
            Role::Leader(leading) => followers(leading, now),
            Role::Idle | Role::Follower(_) | Role::Stopped(_) | Role::Lost(_) => Vec::new(),
        },
        problem: published.problem.unwrap_or_default(),
        ..v1::ReplicaPositions::default()
    }
}

fn role<W>(role: &Role<W>) -> &'static str {
    match role {
        Role::Leader(leading) if leading.is_open() => "leader",
        Role::Leader(_) | Role::Idle => "opening",
        Role::Follower(_) => "follower",
        Role::Stopped(_) => "stopped",
        Role::Lost(_) => "lost",
    }
}

fn followers<W>(leading: &Leading<W>, now: Moment) -> Vec<v1::FollowerPositions> {
    let shown = leading.followers.iter().map(|(id, follower)| {
        let in_sync = leading.in_sync.committed().contains(&id);
        let lagging_ms = now.micros_since(follower.caught_up_at) / 1000;
        v1::FollowerPositions {
            broker_id: id.0,
            durable_end: follower.durable_end().map(|end| end.0),
            in_sync,
            lagging_ms: if in_sync { 0 } else { lagging_ms },
        }
    });
    shown.collect()
}
