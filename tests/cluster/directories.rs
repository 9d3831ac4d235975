//! Data directories that are not what they should be: refused with a sentence, or recognised and refilled.

use std::path::PathBuf;

use fidelog_client::{Client, Fetch};

use crate::harness::directory::{copy, remove};
use crate::harness::{Builder, Cluster};
use crate::workload::{Workload, Writer};

/// A cluster that is written to and read from: a topic led by broker 2, followed by 1, which keeps the metadata, and 3.
pub(crate) struct UnderLoad {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) topic: String,
    pub(crate) workload: Workload,
}

impl UnderLoad {
    pub(crate) async fn start(name: &'static str) -> Self {
        let cluster = Cluster::start(name).await;
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
async fn an_emptied_leader_says_what_it_lost_and_serves_none_of_it() {
    let UnderLoad { mut cluster, client, topic, workload } = UnderLoad::start("emptied-leader").await;
    workload.finish(&client).await;
    cluster.broker(2).kill();
    remove(&cluster.broker(2).data_dir());
    cluster.broker(2).format().expect("an empty directory is formatted");
    cluster.broker(2).start();
    cluster.ready().await;
    serves_none_of_what_it_lost(&client, &topic, 2).await;
}

/// Partition 0 of `topic` is without a leader, its data is in no in-sync set, and everybody who asks hears why.
pub(crate) async fn serves_none_of_what_it_lost(client: &Client, topic: &str, leader: u32) {
    let refused = client.fetch(Fetch::new(topic, 0, 0)).await.expect_err("it is lost");
    assert!(refused.to_string().contains("DATA_LOSS"), "{refused}");
    let described = client.admin().describe_topic(topic).await.expect("metadata is told");
    let partition = &described.partitions[0];
    assert_eq!(partition.leader, 0, "{partition:?}");
    assert!(!partition.isr.contains(&leader) && partition.isr.len() == 2, "{partition:?}");
    let why = format!("broker {leader}, its leader, came back without directory ");
    assert!(partition.offline.starts_with(&why), "{partition:?}");
    assert!(partition.offline.ends_with(" and its data; bring that disk back"), "{partition:?}");
}
