//! Resends through the plain wire: answered with the first attempt's offset, over a kill too, and never stored twice.

use crate::harness::Cluster;
use crate::raw::{Raw, batch, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_is_answered_with_the_original_offset() {
    let mut cluster = Cluster::start("idempotence").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let raw = Raw(cluster.channel(leader));
    let id = raw.producer().await;

    for sequence in 0..3 {
        let receipt = raw.produce("orders", batch("first", id, 0, sequence)).await.expect("it is stored");
        assert_eq!((receipt.base_offset, receipt.duplicate), (sequence, false));
    }
    let again = raw.produce("orders", batch("first", id, 0, 1)).await.expect("it is recognised");
    assert_eq!((again.base_offset, again.duplicate), (1, true));

    let gap = raw.produce("orders", batch("gap", id, 0, 9)).await.expect_err("sequences are missing");
    assert_eq!(reason(&gap), "OUT_OF_ORDER");

    cluster.broker(leader).kill();
    cluster.broker(leader).start();
    cluster.ready().await;
    cluster.in_sync(&client, "orders").await;
    let again = raw.produce("orders", batch("first", id, 0, 2)).await.expect("it is recognised after a kill");
    assert_eq!((again.base_offset, again.duplicate), (2, true));

    let newer = raw.produce("orders", batch("newer", id, 1, 0)).await.expect("a new epoch begins at 0");
    assert_eq!((newer.base_offset, newer.duplicate), (3, false));
    let fenced = raw.produce("orders", batch("older", id, 0, 3)).await.expect_err("a newer epoch exists");
    assert_eq!(reason(&fenced), "PRODUCER_FENCED");

    let stored = raw.read_all("orders").await;
    assert_eq!(
        stored,
        ["first", "first", "first", "newer"],
        "something was stored twice, or should not be there"
    );
}
