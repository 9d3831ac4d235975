#![allow(clippy::unwrap_used, missing_docs, dead_code)]
mod support;
use fidelog_client::{Client, Record};
use support::{Partitions, TOPIC, TestBroker};
#[test]
#[ignore]
fn pace() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async {
        let shared = Partitions::new(3);
        let broker = TestBroker::start(1, &shared);
        let client = Client::connect([broker.address()]).await.unwrap();
        for (size, count) in [(1024_usize, 400_000_u32), (100, 2_000_000)] {
            let producer = client.producer(TOPIC).open().await.unwrap();
            let value = bytes::Bytes::from(vec![7_u8; size]);
            let t = std::time::Instant::now();
            tokio::spawn({
                let producer = producer.clone();
                async move {
                    for _ in 0..count {
                        let _d = producer.send(Record::new(value.clone())).await.unwrap();
                    }
                    println!("handed {:?}", t.elapsed());
                    producer.flush().await.unwrap();
                }
            })
            .await
            .unwrap();
            let e = t.elapsed().as_secs_f64();
            println!(
                "{size} B: {:.0} k/s {:.0} MB/s batches {}",
                f64::from(count) / e / 1e3,
                f64::from(count) * size as f64 / e / 1e6,
                shared.requests()
            );
        }
    });
}
