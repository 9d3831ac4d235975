//! `kill -9` of brokers at random moments under load, round after round, on one cluster: nothing acknowledged is lost,
//! nothing is out of order, nothing is there twice.

use std::time::Duration;

use fidelog_client::Codec;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::harness::{Builder, Cluster, seed};
use crate::workload::{Workload, Writer};

/// Rounds of all tests here together, unless `FIDELOG_CLUSTER_ROUNDS` says otherwise.
const ROUNDS: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_rounds_of_kills() {
    let mut random = StdRng::seed_from_u64(seed::of_this_run());
    // Small segments and late recovery points: every round rolls, and every start has a tail to write again.
    let builder = Builder::new("kills").set("log.segment_bytes", 131_072).set("log.recovery_point_ms", 1_000);
    let builder = builder.set("topic_defaults.record_bytes_max", 16_384);
    let mut cluster = builder.start().await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.in_sync(&client, "orders").await;

    let mut workload = Workload::new("orders");
    for number in 1..=2 {
        workload.write(
            &client,
            Writer { codec: [Codec::None, Codec::Lz4][number as usize - 1], ..Writer::new(number) },
        );
    }
    workload.write(&client, Writer::hasty(3));
    workload.read(&client);

    for round in 0..seed::count("FIDELOG_CLUSTER_ROUNDS", ROUNDS) {
        let victims = victims(&mut random);
        let count = random.random_range(1..150);
        let delay = Duration::from_micros(random.random_range(0..5_000));
        println!("round {round}: kill {victims:?} {delay:?} after {count} acknowledgements");
        workload.acknowledged(count).await;
        // A random moment within the handling of a request; nothing waits for this pause.
        tokio::time::sleep(delay).await;
        kill_and_restart(&mut cluster, &victims, &mut random).await;
    }
    workload.acknowledged(100).await;
    workload.finish(&client).await;
}

/// One broker, mostly; sometimes two, sometimes all.
fn victims(random: &mut StdRng) -> Vec<u32> {
    let count = *[1, 1, 1, 1, 2, 3].choose(random).expect("there are some");
    [1, 2, 3].choose_multiple(random, count).copied().collect()
}

async fn kill_and_restart(cluster: &mut Cluster, victims: &[u32], random: &mut StdRng) {
    for id in victims {
        cluster.broker(*id).kill();
    }
    for id in victims {
        cluster.broker(*id).start();
        // Sometimes again, in the middle of its recovery.
        if random.random_bool(0.2) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
            cluster.broker(*id).kill();
            cluster.broker(*id).start();
        }
    }
    cluster.ready().await;
}
