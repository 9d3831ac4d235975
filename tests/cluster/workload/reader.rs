//! Consumers that note what they get.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fidelog_client::{Client, ConsumedBatch, Consumer};

use crate::harness::{LONG, retry};
use crate::history::Recorder;

/// How often a reader that gets nothing looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

async fn open(client: &Client, topic: &str, to_end: bool) -> Consumer {
    retry("a reader opens", LONG, || {
        let builder = client.consumer(topic);
        let builder = if to_end { builder.stop_at_end() } else { builder };
        async move { builder.open().await.ok() }
    })
    .await
}

fn note(recorder: &Recorder, session: u32, batch: &ConsumedBatch) {
    for record in batch.records() {
        let record = record.expect("a verified batch can be read");
        recorder.read(session, record.partition, record.offset, record.value.as_deref());
    }
}

/// Reads on until `stop`.
pub(super) async fn follow(client: Client, topic: String, recorder: Recorder, stop: Arc<AtomicBool>) {
    let mut consumer = open(&client, &topic, false).await;
    let session = recorder.session();
    while !stop.load(Ordering::Relaxed) {
        match tokio::time::timeout(LOOK, consumer.next_batch()).await {
            Ok(Some(batch)) => note(&recorder, session, &batch.expect("nothing ends a reader but itself")),
            Ok(None) => panic!("a reader ended by itself"),
            Err(_) => {}
        }
    }
}

/// Reads every partition from the start to what is its end now.
pub(crate) async fn read_to_end(client: &Client, topic: &str, recorder: &Recorder) {
    let mut consumer = open(client, topic, true).await;
    let session = recorder.session();
    let reading = async {
        while let Some(batch) = consumer.next_batch().await {
            note(recorder, session, &batch.expect("everything that is kept can be read"));
        }
    };
    tokio::time::timeout(2 * LONG, reading).await.expect("reading to the end ends");
}
