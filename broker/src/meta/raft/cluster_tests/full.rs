//! A controller whose disk has no room.

use fidelog_log::env::Operation;
use fidelog_log::env::sim::{Fault, FaultError};
use fidelog_record::types::MetaIndex;
use futures::StreamExt;

use super::cluster::{Cluster, until, watched};
use super::grant;
use crate::meta::quorum::MetadataQuorum;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_room_leads_nothing_passes_questions_on_and_goes_on_with_room() {
    let mut cluster = Cluster::on_simulated_disks(31, 3);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let follower = cluster.running().into_iter().find(|id| *id != leader).expect("three run");
    for full in [follower, leader] {
        let quorum = cluster.quorum(full);
        let mut watch = quorum.watch(MetaIndex(0));
        assert!(watch.next().await.is_some_and(|event| event.is_ok()), "it opens");
        cluster.disk(full).inject(Fault::from(Operation::Write, 1, FaultError::StorageFull));
        until("there is something to write, and no room", async || {
            // Its fate is of no interest.
            let _ = cluster.quorum(leader).propose(grant(1)).await;
            cluster.is_full(full).then_some(())
        })
        .await;
        // Asked of the one that can write nothing.
        let index = cluster.accepted(full, grant(2)).await;
        assert!(quorum.confirm().await.is_ok_and(|confirmed| confirmed >= index));
        assert!(!quorum.leads() && quorum.status().leader.is_none(), "{:?}", quorum.status());
        until("its watch ends", async || matches!(watch.next().await, Some(Err(_)) | None).then_some(()))
            .await;
        cluster.disk(full).clear_faults();
        let others = cluster.running().into_iter().find(|id| *id != full).expect("three run");
        let last = cluster.accepted(others, grant(3)).await;
        assert_eq!(watched(&quorum, last).await.0, watched(&cluster.quorum(others), last).await.0);
        cluster.described(full, "it knows who leads", |it| it.leader.is_some()).await;
        assert!(!cluster.is_full(full));
    }
}
