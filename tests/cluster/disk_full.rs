//! The low-water mark of the disk: produces are refused, definitely and saying so; reads go on; space back, all goes on.

use std::time::Duration;

use fidelog_client::{Reason, Record};

use crate::harness::Cluster;
use crate::history::{Outcome, Value};
use crate::workload::{Workload, Writer, read_to_end};

/// More than any disk has: everything is below the mark.
const NOTHING_IS_ENOUGH: u64 = 1 << 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_low_water_mark_produces_are_refused_and_reads_go_on() {
    let mut cluster = Cluster::start("disk-full").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.acknowledged(200).await;
    let recorder = workload.recorder.clone();
    workload.finish(&client).await;

    for broker in cluster.brokers() {
        broker.terminate();
        broker.set("log.free_bytes_min", NOTHING_IS_ENOUGH);
        broker.start();
    }
    cluster.ready().await;
    let hasty =
        client.producer("orders").delivery_budget(Duration::from_secs(20)).open().await.expect("it opens");
    // What is allocated already may be filled; then no more is.
    let mut refused = None;
    for counter in 0..200 {
        let value = Value { producer: 2, counter };
        let place = recorder.sending(value, 0);
        let filling = ".".repeat(60_000);
        let delivery = hasty.send(Record::new(format!("{value} {filling}"))).await.expect("there is memory");
        match delivery.await {
            Ok(receipt) => {
                recorder.sent(place, Outcome::Acked { offset: receipt.offset.map(|offset| offset.0) })
            }
            Err(error) => {
                assert!(error.is_definite(), "{error}");
                recorder.sent(place, Outcome::NotStored);
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("twelve megabytes found room on a full disk");
    assert_eq!(refused.reason(), Some(Reason::DiskFull), "{refused}");
    read_to_end(&client, "orders", &recorder).await;

    for broker in cluster.brokers() {
        broker.terminate();
        broker.set("log.free_bytes_min", 0);
        broker.start();
    }
    cluster.ready().await;
    let producer = client.producer("orders").open().await.expect("it opens");
    let value = Value { producer: 3, counter: 0 };
    let place = recorder.sending(value, 0);
    let receipt =
        producer.send(Record::new(value.to_string())).await.expect("memory").await.expect("there is room");
    recorder.sent(place, Outcome::Acked { offset: receipt.offset.map(|offset| offset.0) });
    read_to_end(&client, "orders", &recorder).await;
    recorder.judge();
}
