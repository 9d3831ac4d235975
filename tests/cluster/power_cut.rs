//! The power goes, for one broker or for all of them at once: what was not synced is gone. Every broker that a receipt
//! names holds its record on its disk before anything is started again (D1), and the history is sound (G7).

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::RealDisk;
use fidelog_log::{OfflineDir, Piece};
use fidelog_record::PlacedBatch;
use fidelog_record::types::TopicId;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::harness::{Builder, lacks, seed, shim};
use crate::history::{Synced, Value};
use crate::workload::{Workload, Writer};

/// Power cuts, unless `FIDELOG_POWER_CUTS` says otherwise.
const CUTS: u64 = 8;

const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_on_the_disks_its_receipt_names() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let Some(library) = shim::compile("power_cut", scratch.path()) else {
        lacks("power_cut", "a C compiler, `cc`");
        return;
    };
    let mut random = StdRng::seed_from_u64(seed::of_this_run());
    let builder = Builder::new("power-cut").set("log.segment_bytes", 131_072);
    let mut cluster = builder.set("topic_defaults.record_bytes_max", 16_384).prepare();
    for broker in cluster.brokers() {
        broker.environment("LD_PRELOAD", library.display());
        broker.environment("POWER_CUT_BELOW", broker.data_dir().display());
        broker.environment("POWER_CUT_TRIGGER", scratch.path().join(format!("cut-{}", broker.id)).display());
        broker.environment("POWER_CUT_SEED", random.random::<u32>());
        broker.format().expect("a new directory is formatted");
        broker.start();
    }
    cluster.ready().await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.in_sync(&client, "orders").await;
    let topic = client.admin().describe_topic("orders").await.expect("it was made").topic_id;
    let topic = TopicId::try_from(&topic[..]).expect("topic ids have one length");
    let mut workload = Workload::new("orders");
    for number in 1..=3 {
        workload.write(&client, Writer::new(number));
    }
    workload.read(&client);

    for cut in 0..seed::count("FIDELOG_POWER_CUTS", CUTS) {
        let mut victims = vec![1, 2, 3];
        victims.shuffle(&mut random);
        victims.truncate(*[1, 2, 3, 3].choose(&mut random).expect("there are some"));
        let count = random.random_range(1..200);
        println!("cut {cut}: {victims:?} after {count} acknowledgements");
        workload.acknowledged(count).await;
        let trigger = |id: u32| scratch.path().join(format!("cut-{id}"));
        for &id in &victims {
            std::fs::write(trigger(id), "").expect("the trigger is written");
        }
        for &id in &victims {
            let status = cluster.broker(id).wait_for_exit();
            assert_eq!(status.signal(), Some(SIGKILL), "broker {id}: {status}");
            std::fs::remove_file(trigger(id)).expect("the trigger is removed");
        }
        let receipts = workload.recorder.receipts();
        for &id in &victims {
            holds(&cluster.broker(id).data_dir(), topic, id, &receipts);
        }
        for &id in &victims {
            cluster.broker(id).start();
        }
        cluster.ready().await;
    }
    workload.acknowledged(100).await;
    workload.finish(&client).await;
}

/// Every receipt that names broker `id` is true of what lies below `directory`.
fn holds(directory: &Path, topic: TopicId, id: u32, receipts: &[Synced]) {
    let stored = stored(directory, topic);
    for receipt in receipts.iter().filter(|receipt| receipt.by.contains(&id)) {
        let Synced { value, partition, offset, .. } = receipt;
        let found = stored.get(&(*partition, *offset));
        assert_eq!(
            found,
            Some(value),
            "broker {id} had synced {value} at offset {offset} of partition {partition}, says its receipt; its disk \
             holds {found:?} there, and {} records in all",
            stored.len()
        );
    }
}

/// The values of `topic` below `directory`, by partition and offset.
fn stored(directory: &Path, topic: TopicId) -> HashMap<(u32, u64), Value> {
    let mut stored = HashMap::new();
    let offline = OfflineDir::open(Arc::new(RealDisk), directory).expect("the directory can be read");
    for partition in offline.partitions() {
        let Some(at) = partition.partition.filter(|at| at.topic == topic) else { continue };
        for segment in &partition.segments {
            let mut walk = offline.walk(partition, segment).expect("the segment can be read");
            while let Some(piece) = walk.step().expect("the segment can be read") {
                let Piece::Batch(batch) = piece else { continue };
                let batch = PlacedBatch::from_bytes(batch.bytes).expect("it was verified");
                for record in batch.records().expect("it was verified") {
                    let record = record.expect("it was verified");
                    let value = record.value.as_deref().and_then(Value::parse).expect("a value of ours");
                    stored.insert((at.partition.0, record.offset.0), value);
                }
            }
        }
    }
    stored
}
