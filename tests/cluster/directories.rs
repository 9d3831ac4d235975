//! Data directories that are not what they should be: refused with a sentence, or recognised and refilled.

use std::path::Path;

use crate::harness::{Builder, Cluster};
use crate::workload::{Workload, Writer};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory is made");
    for entry in std::fs::read_dir(from).expect("a directory is read") {
        let entry = entry.expect("an entry is read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a file is copied")),
        }
    }
}

fn empty(directory: &Path) {
    std::fs::remove_dir_all(directory).expect("a directory is removed");
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

    empty(&third);
    std::fs::create_dir(&third).expect("a directory is made");
    std::fs::write(third.join("precious"), "not ours").expect("a file is written");
    let refused = cluster.broker(3).format().expect_err("somebody's data is in it");
    assert!(refused.contains("precious"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_follower_is_refilled_and_counts_again() {
    let mut cluster = Cluster::start("emptied-follower").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    // Not the one that keeps the metadata.
    let follower = if leader == 3 { 2 } else { 3 };
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.read(&client);
    workload.acknowledged(500).await;

    cluster.broker(follower).kill();
    empty(&cluster.broker(follower).data_dir());
    let (code, said) = cluster.broker(follower).start_in_vain();
    assert_eq!(code, Some(1), "an emptied directory was taken for a new one: {said}");
    cluster.broker(follower).format().expect("an empty directory is formatted");
    cluster.broker(follower).start();
    cluster.ready().await;
    cluster.in_sync(&client, "orders").await;
    workload.acknowledged(100).await;

    // It holds everything: the others' acknowledgements rest on it alone when the other follower goes.
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_rolled_back_to_an_older_copy_is_recognised_and_refilled() {
    let mut cluster = Cluster::start("rolled-back").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let follower = if leader == 3 { 2 } else { 3 };
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.read(&client);
    workload.acknowledged(200).await;

    let data = cluster.broker(follower).data_dir();
    let older = data.with_extension("older");
    assert_eq!(cluster.broker(follower).terminate().code(), Some(0));
    copy(&data, &older);
    cluster.broker(follower).start();
    cluster.ready().await;
    cluster.in_sync(&client, "orders").await;
    workload.acknowledged(200).await;

    cluster.broker(follower).kill();
    empty(&data);
    std::fs::rename(&older, &data).expect("the older copy takes its place");
    cluster.broker(follower).start();
    cluster.ready().await;
    cluster.in_sync(&client, "orders").await;
    workload.acknowledged(100).await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_leader_says_what_it_lost_and_serves_none_of_it() {
    let mut cluster = Cluster::start("emptied-leader").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 3, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.acknowledged(300).await;
    workload.finish(&client).await;

    // Not the one that keeps the metadata; each of three brokers leads one of three partitions.
    let leaders = [cluster.leader(&client, "orders", 0).await, cluster.leader(&client, "orders", 1).await];
    let (partition, victim) = if leaders[0] == 1 { (1, leaders[1]) } else { (0, leaders[0]) };
    cluster.broker(victim).kill();
    empty(&cluster.broker(victim).data_dir());
    cluster.broker(victim).format().expect("an empty directory is formatted");
    cluster.broker(victim).start();
    cluster.ready().await;

    let refused =
        client.fetch(fidelog_client::Fetch::new("orders", partition, 0)).await.expect_err("it is lost");
    assert!(refused.to_string().contains("DATA_LOSS"), "{refused}");
    let problem = client.admin().describe_topic("orders").await.expect("metadata is told");
    println!("{:?}", problem.partitions.iter().map(|it| &it.offline).collect::<Vec<_>>());
}
