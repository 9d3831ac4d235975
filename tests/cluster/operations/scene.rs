//! A cluster under load, and what its partitions are.

use fidelog_client::wire::{ClusterEvent, PartitionState};
use fidelog_client::{Client, ListPartitions, NewTopic};

use super::command::Fidelog;
use crate::harness::{Builder, Cluster, LONG, stop_and_compare, wait_until};
use crate::workload::{Workload, Writer};

/// The topic that is written to.
pub(super) const TOPIC: &str = "orders";

/// Two writers, a reader and a group at work on one topic.
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) client: Client,
    pub(super) fidelog: Fidelog,
    pub(super) workload: Workload,
}

impl Scene {
    /// Brokers 1 to `brokers`, and a topic on three of them.
    pub(super) async fn start(name: &'static str, brokers: usize, partitions: u32) -> Self {
        let cluster = Builder::new(name).roles(&vec![None; brokers]).start().await;
        Self::on(cluster, NewTopic { partitions, ..NewTopic::new(TOPIC) }).await
    }

    /// At work on a new topic of this cluster.
    pub(super) async fn on(cluster: Cluster, topic: NewTopic) -> Self {
        let client = cluster.client().await;
        client.admin().create_topic(topic).await.expect("there are brokers enough");
        cluster.in_sync(&client, TOPIC).await;
        let mut workload = Workload::new(TOPIC);
        for number in 1..=2 {
            workload.write(&client, Writer::new(number));
        }
        workload.read(&client);
        workload.commit(&client);
        workload.acknowledged(200).await;
        let fidelog = Fidelog::of(&cluster.addresses());
        Self { cluster, client, fidelog, workload }
    }

    /// Every partition, those of internal topics among them.
    pub(super) async fn partitions(&self) -> Vec<PartitionState> {
        partitions(&self.client).await
    }

    /// One partition of the topic.
    pub(super) async fn partition(&self, index: u32) -> PartitionState {
        let all = self.partitions().await.into_iter();
        all.filter(|it| it.topic == TOPIC).find(|it| it.partition == index).expect("it is there")
    }

    /// Waits until every replica of every partition is in sync and nothing moves.
    pub(super) async fn settled(&self) {
        wait_until("every replica is in sync", LONG, async || {
            let all = self.partitions().await;
            let settled = |it: &PartitionState| it.isr.len() == it.replicas.len() && it.targets.is_empty();
            all.iter().all(settled).then_some(())
        })
        .await;
    }

    /// Waits until every partition is led by its preferred leader.
    pub(super) async fn led_as_preferred(&self) {
        wait_until("every partition is led by its preferred leader", LONG, async || {
            self.partitions().await.iter().all(|it| it.replicas.first() == Some(&it.leader)).then_some(())
        })
        .await;
    }

    /// How many replicas a broker holds.
    pub(super) async fn held_by(&self, broker: u32) -> usize {
        self.partitions().await.iter().filter(|it| it.replicas.contains(&broker)).count()
    }

    /// Nothing that was produced failed; everything acknowledged is there, once and in order; replicas are the same.
    pub(super) async fn end(self) {
        let Self { mut cluster, client, workload, .. } = self;
        workload.acknowledged(100).await;
        let recorder = workload.recorder.clone();
        workload.finish(&client).await;
        let counts = recorder.counts();
        assert_eq!((counts.not_stored, counts.unknown), (0, 0), "no produce fails: {counts:?}");
        drop(client);
        stop_and_compare(cluster.brokers());
    }
}

/// Every partition, as some broker sees it.
pub(super) async fn partitions(client: &Client) -> Vec<PartitionState> {
    let wish = ListPartitions { include_internal: true, ..ListPartitions::default() };
    client.admin().list_partitions(wish).await.expect("some broker answers")
}

/// Events as they come, and what they were.
pub(super) struct Events {
    told: tokio::task::JoinHandle<()>,
    heard: std::sync::Arc<std::sync::Mutex<Vec<ClusterEvent>>>,
}

impl Events {
    /// From now on.
    pub(super) async fn follow(client: &Client) -> Self {
        let mut events = client.admin().watch_events(None).await.expect("some broker tells");
        let heard: std::sync::Arc<std::sync::Mutex<Vec<ClusterEvent>>> = std::sync::Arc::default();
        let into = std::sync::Arc::clone(&heard);
        let told = tokio::spawn(async move {
            while let Ok(event) = events.next().await {
                into.lock().expect("nobody panics while holding it").push(event);
            }
        });
        Self { told, heard }
    }

    /// Waits until one of this kind came whose message has these words, and tells its place.
    pub(super) async fn told(&self, kind: &str, words: &str) -> usize {
        wait_until(&format!("an event `{kind}` tells `{words}`"), LONG, async || {
            let heard = self.heard.lock().expect("nobody panics while holding it");
            heard.iter().position(|it| it.kind == kind && it.message.contains(words))
        })
        .await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.told.abort();
    }
}
