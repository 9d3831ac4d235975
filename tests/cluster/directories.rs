//! Data directories that are not what they should be: refused with a sentence, or recognised and refilled.

use std::path::PathBuf;

use fidelog_client::{Client, Fetch, NewTopic, Record};

use crate::harness::directory::{copy, remove};
use crate::harness::{Builder, Cluster, LONG, wait_until};
use crate::workload::{Workload, Writer};

/// A cluster that is written to and read from: a topic led by broker 2, followed by 1 and 3.
pub(crate) struct UnderLoad {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) topic: String,
    pub(crate) workload: Workload,
}

impl UnderLoad {
    pub(crate) async fn start(name: &'static str) -> Self {
        Self::on(Builder::new(name)).await
    }

    /// On a cluster of three like this one.
    pub(crate) async fn on(builder: Builder) -> Self {
        let cluster = builder.start().await;
        let client = cluster.client().await;
        let topic = cluster.topic_led_by(&client, "orders", 2).await;
        cluster.in_sync(&client, &topic).await;
        let mut workload = Workload::new(&topic);
        workload.write(&client, Writer::new(1));
        workload.read(&client);
        workload.acknowledged(200).await;
        Self { cluster, client, topic, workload }
    }

    /// A copy of broker 3's directory, which then goes on from there.
    pub(crate) async fn copy_of_3(&mut self) -> PathBuf {
        let data = self.cluster.broker(3).data_dir();
        let older = data.with_extension("older");
        assert_eq!(self.cluster.broker(3).terminate().code(), Some(0));
        copy(&data, &older);
        self.cluster.broker(3).start();
        self.all_in_sync().await;
        self.workload.acknowledged(200).await;
        older
    }

    /// Waits until everybody that was started serves and every replica counts.
    pub(crate) async fn all_in_sync(&mut self) {
        self.cluster.ready().await;
        self.cluster.in_sync(&self.client, &self.topic).await;
    }

    /// Waits until receipts name `broker` again: what it syncs counts.
    pub(crate) async fn counts_again(&self, broker: u32) {
        let from = self.workload.recorder.receipts().len();
        wait_until(&format!("the syncs of broker {broker} count again"), LONG, async || {
            let receipts = self.workload.recorder.receipts();
            receipts[from..].iter().any(|receipt| receipt.by.contains(&broker)).then_some(())
        })
        .await;
    }

    /// Goes on a little, then ends the load and judges what was seen.
    pub(crate) async fn finish(self) {
        self.workload.acknowledged(100).await;
        self.workload.finish(&self.client).await;
    }
}

#[test]
fn a_directory_that_is_not_formatted_or_not_ours_is_refused() {
    let mut cluster = Builder::new("refused").prepare();
    let (code, said) = cluster.broker(2).start_in_vain();
    assert_eq!(code, Some(1));
    assert!(said.contains("is not formatted; run `fidelogd format` once"), "{said}");

    cluster.broker(2).format().expect("a new directory is formatted");
    let again = cluster.broker(2).format().expect_err("it was formatted before");
    assert!(again.contains("is formatted already"), "{again}");

    let (second, third) = (cluster.broker(2).data_dir(), cluster.broker(3).data_dir());
    copy(&second, &third);
    let (code, said) = cluster.broker(3).start_in_vain();
    assert_eq!(code, Some(1));
    assert!(said.contains("belongs to broker 2, not 3"), "{said}");

    let mut foreign = Builder::new("foreign").prepare();
    copy(&second, &foreign.broker(2).data_dir());
    let (code, said) = foreign.broker(2).start_in_vain();
    assert_eq!(code, Some(1));
    assert!(said.contains("belongs to cluster"), "{said}");

    remove(&third);
    std::fs::create_dir(&third).expect("a directory is made");
    std::fs::write(third.join("precious"), "not ours").expect("a file is written");
    let refused = cluster.broker(3).format().expect_err("somebody's data is in it");
    assert!(refused.contains("precious"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_follower_is_refilled_and_counts_again() {
    let mut scene = UnderLoad::start("emptied-follower").await;
    let emptied = scene.cluster.broker(3);
    emptied.kill();
    remove(&emptied.data_dir());
    let (code, said) = emptied.start_in_vain();
    assert_eq!(code, Some(1), "an emptied directory was taken for a new one: {said}");
    emptied.format().expect("an empty directory is formatted");
    emptied.start();
    scene.all_in_sync().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_leader_is_replaced_and_refilled_and_nothing_is_lost() {
    let mut scene = UnderLoad::start("emptied-leader").await;
    scene.cluster.broker(2).kill();
    remove(&scene.cluster.broker(2).data_dir());
    led_by_another(&scene.client, &scene.topic, 2).await;
    scene.workload.acknowledged(100).await;

    scene.cluster.broker(2).format().expect("an empty directory is formatted");
    scene.cluster.broker(2).start();
    scene.all_in_sync().await;
    scene.counts_again(2).await;
    scene.finish().await;
}

/// Waits until somebody leads partition 0 of `topic`, and not `broker`.
pub(crate) async fn led_by_another(client: &Client, topic: &str, broker: u32) {
    wait_until(&format!("another than broker {broker} leads {topic}"), LONG, async || {
        let leader = client.admin().describe_topic(topic).await.ok()?.partitions.first()?.leader;
        (leader != 0 && leader != broker).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_only_replica_says_what_it_lost_and_serves_none_of_it() {
    let mut cluster = Cluster::start("emptied-only").await;
    let client = cluster.client().await;
    let singles = NewTopic { partitions: 3, replication_factor: 1, ..NewTopic::new("singles") };
    let singles = NewTopic { allow_unreplicated: true, ..singles };
    client.admin().create_topic(singles).await.expect("a single copy was allowed");
    let broker = cluster.leader(&client, "singles", 0).await;
    let producer = client.producer("singles").open().await.expect("the topic is there");
    let delivery = producer.send_to(0, Record::new("one")).await.expect("there is memory");
    delivery.await.expect("it is acknowledged");

    cluster.broker(broker).kill();
    remove(&cluster.broker(broker).data_dir());
    cluster.broker(broker).format().expect("an empty directory is formatted");
    cluster.broker(broker).start();
    cluster.ready().await;
    let partition = wait_until("the loss is told", LONG, async || {
        let described = client.admin().describe_topic("singles").await.ok()?;
        described.partitions[0].offline.contains("came back").then(|| described.partitions[0].clone())
    })
    .await;
    assert_eq!((partition.leader, partition.isr.len()), (0, 0), "{partition:?}");
    let why = format!("broker {broker}, the last that held everything, came back without directory ");
    assert!(partition.offline.starts_with(&why), "{partition:?}");
    assert!(
        partition.offline.ends_with(" and its data; `fidelog partition recover` shows what is left"),
        "{partition:?}"
    );
    let refused = client.fetch(Fetch::new("singles", 0, 0)).await.expect_err("it is lost");
    assert!(refused.to_string().contains("DATA_LOSS"), "{refused}");
}
