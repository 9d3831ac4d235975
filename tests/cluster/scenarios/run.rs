//! One scenario, from its seed.

use std::time::Duration;

use fidelog_client::{Client, Codec};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::fault::Fault;
use crate::harness::{Builder, Cluster, LONG, Network, stop_and_compare, wait_until};
use crate::workload::{Workload, Writer};

/// Brokers of a scenario, all of which vote.
pub(super) const BROKERS: u32 = 3;
const TOPIC: &str = "orders";

/// A cluster under load.
pub(super) struct Scene<'a> {
    pub(super) cluster: Cluster,
    pub(super) workload: Workload,
    client: Client,
    network: Option<&'a Network>,
}

impl<'a> Scene<'a> {
    async fn start(random: &mut StdRng, network: Option<&'a Network>) -> Self {
        let builder = Builder::new("scenario").set("log.segment_bytes", 131_072);
        let builder = builder.set("topic_defaults.record_bytes_max", 16_384);
        let builder = builder.set("log.replica_lag_max_ms", random.random_range(1_000..10_000));
        let builder = match network {
            Some(network) => builder.within(network),
            None => builder,
        };
        let cluster = builder.start().await;
        let client = cluster.client().await;
        cluster.topic(&client, TOPIC).await;
        cluster.in_sync(&client, TOPIC).await;
        let mut workload = Workload::new(TOPIC);
        workload.write(&client, Writer::new(1));
        workload.write(&client, Writer { codec: Codec::Lz4, ..Writer::new(2) });
        workload.write(&client, Writer::hasty(3));
        workload.read(&client);
        workload.commit(&client);
        Self { cluster, workload, client, network }
    }

    pub(super) fn network(&self) -> &Network {
        self.network.expect("links are cut only where there is a network")
    }

    /// Who leads the quorum.
    pub(super) async fn controller(&self) -> u32 {
        wait_until("somebody leads the quorum", LONG, async || {
            let controller = self.client.admin().describe_cluster().await.ok()?.controller;
            (controller != 0).then_some(controller)
        })
        .await
    }

    pub(super) async fn in_sync(&self) {
        self.cluster.in_sync(&self.client, TOPIC).await;
    }
}

/// Runs the scenario of `seed`.
///
/// # Panics
/// When anything acknowledged is lost, doubled or out of order, when replicas differ, when the cluster does not heal.
pub(super) async fn run(seed: u64, network: Option<&Network>) {
    println!("scenario {seed}: repeat with FIDELOG_SCENARIOS=1 FIDELOG_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = Scene::start(&mut random, network).await;
    for _ in 0..random.random_range(2..=4) {
        scene.workload.acknowledged(random.random_range(20..150)).await;
        let mut fault = Fault::choose(&mut random, scene.network.is_some());
        println!("  {fault}");
        fault.strike(&mut scene).await;
        if fault.is_survived() {
            scene.workload.acknowledged(50).await;
        }
        // How long it lasts; nothing waits for this pause.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..3_000))).await;
        fault.mend(&mut scene);
        // Mostly everybody is well again before the next; sometimes only there.
        scene.cluster.ready().await;
        if random.random_bool(0.7) {
            scene.in_sync().await;
        }
    }
    scene.in_sync().await;
    scene.workload.acknowledged(100).await;
    let Scene { mut cluster, workload, client, .. } = scene;
    workload.finish(&client).await;
    drop(client);
    let bytes = stop_and_compare(cluster.brokers());
    println!("  {bytes} bytes are the same on every replica");
}
