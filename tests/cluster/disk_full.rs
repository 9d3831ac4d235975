//! The low-water mark of the disk: produces are refused, definitely and saying so; reads go on; space back, all goes on.

use std::time::Duration;

use fidelog_client::{Client, DeliveryError, Reason, Record};

use crate::harness::Cluster;
use crate::history::{Outcome, Recorder, Value};
use crate::workload::{Workload, Writer, read_to_end};

/// More than any disk has: everything is below the mark.
const NOTHING_IS_ENOUGH: u64 = 1 << 60;
/// How long one record is tried.
const BUDGET: Duration = Duration::from_secs(3);
const FILLING_BYTES: usize = 60_000;
/// Twelve megabytes: more than is allocated in advance.
const RECORDS_MAX: u64 = 200;

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
    let refused = until_refused(&client, "orders", &recorder, 2).await;
    assert_eq!(refused.reason(), Some(Reason::DiskFull), "{refused}");
    read_to_end(&client, "orders", &recorder).await;

    for broker in cluster.brokers() {
        broker.terminate();
        broker.set("log.free_bytes_min", 0);
        broker.start();
    }
    cluster.ready().await;
    taken(&client, "orders", &recorder, 3, 0).await.expect("there is room");
    read_to_end(&client, "orders", &recorder).await;
    recorder.judge();
}

/// Sends record after record to a topic of one partition, until one is refused; definitely, and there are not many that
/// find room: what is allocated already may be filled.
pub(crate) async fn until_refused(
    client: &Client,
    topic: &str,
    recorder: &Recorder,
    producer: u32,
) -> DeliveryError {
    for counter in 0..RECORDS_MAX {
        if let Err(refused) = taken(client, topic, recorder, producer, counter).await {
            assert!(refused.is_definite(), "{refused}");
            return refused;
        }
    }
    panic!("{RECORDS_MAX} records of {FILLING_BYTES} bytes found room on a full disk");
}

/// Sends one record to a topic of one partition.
pub(crate) async fn taken(
    client: &Client,
    topic: &str,
    recorder: &Recorder,
    producer: u32,
    counter: u64,
) -> Result<(), DeliveryError> {
    let sender = client.producer(topic).delivery_budget(BUDGET).open().await.expect("it opens");
    let value = Value { producer, counter };
    let place = recorder.sending(value, 0);
    let filling = ".".repeat(FILLING_BYTES);
    let delivery = sender.send(Record::new(format!("{value} {filling}"))).await.expect("there is memory");
    let told = delivery.await;
    recorder.sent(
        place,
        match &told {
            Ok(receipt) => Outcome::Acked { offset: receipt.offset.map(|offset| offset.0) },
            Err(error) if error.is_definite() => Outcome::NotStored,
            Err(_) => Outcome::Unknown,
        },
    );
    told.map(drop)
}
