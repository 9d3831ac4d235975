//! A group that reads, commits what it has processed and looks what is stored: what was acknowledged as committed is
//! never taken back (G8), whoever owns the positions by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fidelog_client::{Client, Consumer};

use crate::harness::{LONG, retry};

const GROUP: &str = "committing";
/// How often a group that gets nothing looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// Batches between one commit and the next.
const BATCHES: usize = 5;

/// Reads and commits until `stop`.
///
/// # Panics
/// When a position that was acknowledged as committed is answered smaller, or not at all.
pub(super) async fn commit(client: Client, topic: String, stop: Arc<AtomicBool>) {
    let mut acknowledged: BTreeMap<u32, u64> = BTreeMap::new();
    let mut commits = 0_u64;
    let mut consumer = open(&client, &topic).await;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BATCHES {
            match tokio::time::timeout(LOOK, consumer.next_batch()).await {
                Ok(Some(batch)) => drop(batch.expect("nothing ends a group but itself")),
                Ok(None) => panic!("a group ended by itself"),
                Err(_) => break,
            }
        }
        let positions: Vec<_> = consumer.position().iter().map(|at| (at.partition, at.offset)).collect();
        // What is not acknowledged may count or not; opened anew, the group learns which.
        match consumer.commit_processed().await {
            Ok(()) => {
                commits += 1;
                for (partition, offset) in positions {
                    let known = acknowledged.entry(partition).or_default();
                    *known = offset.max(*known);
                }
            }
            Err(error) => {
                println!("a commit was not acknowledged: {error}");
                drop(consumer);
                consumer = open(&client, &topic).await;
            }
        }
        check(&client, &topic, &acknowledged).await;
    }
    println!("{commits} commits, positions {acknowledged:?}");
    assert!(commits > 0, "no commit was acknowledged");
}

async fn open(client: &Client, topic: &str) -> Consumer {
    retry("a group opens", LONG, || {
        let builder = client.consumer(topic).group(GROUP);
        async move { builder.open().await.ok() }
    })
    .await
}

async fn check(client: &Client, topic: &str, acknowledged: &BTreeMap<u32, u64>) {
    let Ok(stored) = client.admin().fetch_positions(GROUP, topic).await else { return };
    for (partition, committed) in acknowledged.iter().filter(|(_, committed)| **committed > 0) {
        let answer = stored.iter().find(|it| it.partition == *partition).and_then(|it| it.offset);
        assert!(
            answer.is_some_and(|answer| answer >= *committed),
            "partition {partition}: {committed} was acknowledged as committed, and now {answer:?} is answered"
        );
    }
}
