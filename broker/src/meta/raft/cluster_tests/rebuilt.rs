//! A quorum rebuilt from one of its voters, and what is left of the former one.

use fidelog_record::types::{BrokerId, Incarnation};

use super::cluster::{Cluster, until, watched};
use super::grant;
use crate::meta::quorum::{MetadataQuorum, QuorumStatus, VoterChange};

const REBUILT: Incarnation = Incarnation::from_bytes([0xbb; 16]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_quorum_goes_on_from_what_was_kept_and_hears_nothing_of_the_former_one() {
    let mut cluster = Cluster::new(21, 3);
    cluster.start_all().await;
    cluster.ready().await;
    let last = cluster.accepted(2, grant(3)).await;
    let (kept, _) = watched(&cluster.quorum(2), last).await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    let plan = cluster.rebuild(2, REBUILT);
    assert!(plan.state.index() >= last && plan.members.len() == 3, "{plan:?}");
    cluster.start(2).await;
    let index = cluster.accepted(2, grant(1)).await;
    assert_eq!(index, plan.state.index().next().next(), "it goes on behind what it took over");
    let (state, _) = watched(&cluster.quorum(2), index).await;
    assert_eq!((state.incarnation(), state.ancestors().len()), (REBUILT, 1));
    assert!(state.next_producer_id() > kept.next_producer_id() + (1 << 31), "none is given twice");

    // The others were not lost after all: two of three, they are a quorum of their own.
    for id in [1, 3] {
        cluster.start(id).await;
    }
    for _ in 0..3 {
        cluster.accepted(1, grant(5)).await;
        cluster.accepted(2, grant(7)).await;
    }
    assert_eq!(cluster.quorum(2).status().voters.len(), 1, "they are not taken in");
    assert_ne!(cluster.quorum(1).status().incarnation, REBUILT);

    for id in [1, 3] {
        cluster.kill(id).await;
        cluster.format(id);
        cluster.start(id).await;
    }
    for id in [1, 3] {
        until("it may vote", async || {
            let change = VoterChange::Add { broker: BrokerId(id) };
            cluster.quorum(2).change_voters(change).await.ok()
        })
        .await;
    }
    let three = |it: &QuorumStatus| it.voters.iter().filter(|it| it.votes).count() == 3;
    cluster.described(1, "all three vote", three).await;
    cluster.kill(2).await;
    let index = cluster.accepted(3, grant(9)).await;
    assert_eq!(watched(&cluster.quorum(1), index).await.0, watched(&cluster.quorum(3), index).await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_was_removed_while_it_was_away_is_added_again() {
    let mut cluster = Cluster::new(22, 3);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let away = cluster.running().into_iter().find(|id| *id != leader).expect("three run");
    cluster.kill(away).await;
    let remove = VoterChange::Remove { broker: BrokerId(away) };
    until("it is removed", async || cluster.quorum(leader).change_voters(remove).await.ok()).await;
    cluster.described(leader, "it is gone", |it| it.voters.len() == 2).await;
    cluster.start(away).await;
    let add = VoterChange::Add { broker: BrokerId(away) };
    until("it votes again", async || cluster.quorum(leader).change_voters(add).await.ok()).await;
    let index = cluster.accepted(away, grant(4)).await;
    assert_eq!(
        watched(&cluster.quorum(away), index).await.0,
        watched(&cluster.quorum(leader), index).await.0
    );
}
