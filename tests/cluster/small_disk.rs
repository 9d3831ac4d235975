//! A disk without a free byte, a real one: below the low-water mark nothing is appended to it, everything else goes on,
//! and with room again it takes part again, without a restart. Takes root, for the file system of its own.

use std::collections::BTreeMap;

use fidelog_client::{Client, OffsetAt, Reason};
use tonic::Code;

use crate::disk_full::{taken, until_refused};
use crate::harness::{Builder, Cluster, LONG, SmallDisk, wait_until};
use crate::history::Recorder;
use crate::raw::{Raw, plain, reason, record};
use crate::workload::{Workload, Writer, read_to_end};

const DISK_MIB: usize = 96;
/// What must stay free: a few files of segments' size.
const FREE_BYTES_MIN: u64 = 4 << 20;

/// A cluster whose broker `id` has a small disk; nothing where none can be had.
async fn with_small_disk(name: &'static str, id: u32) -> Option<(SmallDisk, Cluster)> {
    // Who votes is another story: `voters`.
    small_disk_of(name, id, &[Some("both"), Some("broker"), Some("broker")]).await
}

/// The same, of nodes with these roles.
pub(crate) async fn small_disk_of(
    name: &'static str,
    id: u32,
    roles: &[Option<&'static str>],
) -> Option<(SmallDisk, Cluster)> {
    let disk = match SmallDisk::mount(DISK_MIB) {
        Ok(disk) => disk,
        Err(why) => {
            // Root in a container may mount nothing, and no script can change that.
            println!("skipped: {name} needs a file system of its own, which takes root: {why}");
            return None;
        }
    };
    let cluster = Builder::new(name)
        .roles(roles)
        .keep_in(id, &disk.data_dir())
        .set("log.free_bytes_min", FREE_BYTES_MIN)
        .set("log.replica_lag_max_ms", 1_000)
        .set("log.retention_check_ms", 200)
        .start()
        .await;
    Some((disk, cluster))
}

/// A topic nobody needs, of several times what must stay free.
pub(crate) async fn spare(cluster: &Cluster, client: &Client) {
    cluster.topic_of(client, "spare", 1, &[]).await;
    let recorder = Recorder::default();
    for counter in 0..300 {
        taken(client, "spare", &recorder, 1, counter).await.expect("there is room");
    }
    cluster.in_sync(client, "spare").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_with_a_full_disk_leaves_the_set_and_returns_by_itself() {
    let Some((disk, mut cluster)) = with_small_disk("full-follower", 3).await else { return };
    let client = cluster.client().await;
    let topic = cluster.topic_led_by(&client, "orders", 2).await;
    spare(&cluster, &client).await;
    let mut workload = Workload::new(&topic);
    // Short records: the disk has to hold all of them, however long the follower needs to come back.
    workload.write(&client, Writer::new(1));
    workload.read(&client);
    workload.acknowledged(200).await;
    cluster.in_sync(&client, &topic).await;

    disk.fill();
    cluster.in_sync_are(&client, &topic, &[1, 2]).await;
    workload.acknowledged(300).await;
    // It serves on: what it knows, and what others have to answer.
    let raw = Raw(cluster.channel(3));
    assert!(!raw.fetch(&topic, 0).await.expect("it is forwarded").is_empty());
    let names = client.admin().list_topics(false).await.expect("topics are listed");
    assert!(names.iter().any(|it| it.name == topic), "{names:?}");

    // Deleting frees room there, too.
    client.admin().delete_topic("spare", None).await.expect("deleting takes no room");
    cluster.in_sync(&client, &topic).await;
    workload.acknowledged(100).await;

    // A start without a free byte has the ballast to live on.
    disk.free();
    disk.has_ballast().await;
    cluster.broker(3).kill();
    disk.fill();
    cluster.broker(3).start();
    cluster.ready().await;
    assert!(!disk.ballast().exists(), "it started with its ballast on a full disk");
    cluster.in_sync_are(&client, &topic, &[1, 2]).await;
    workload.acknowledged(100).await;
    cluster.in_sync_are(&client, &topic, &[1, 2]).await;

    disk.free();
    cluster.in_sync(&client, &topic).await;
    workload.acknowledged(100).await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_full_disk_refuses_and_goes_on_with_all_else() {
    let Some((disk, mut cluster)) = with_small_disk("full-leader", 2).await else { return };
    let client = cluster.client().await;
    let topic = cluster.topic_led_by(&client, "orders", 2).await;
    spare(&cluster, &client).await;
    let recorder = Recorder::default();
    for counter in 0..300 {
        taken(&client, &topic, &recorder, 1, counter).await.expect("there is room");
    }

    disk.fill();
    let refused = until_refused(&client, &topic, &recorder, 2).await;
    assert_eq!(refused.reason(), Some(Reason::DiskFull), "{refused}");
    // As another language hears it.
    let raw = Raw(cluster.channel(2));
    let refused = raw.request(plain(&topic, Some(0), vec![record(900_000)])).await.expect_err("no room");
    assert_eq!((reason(&refused).as_str(), refused.code()), ("DISK_FULL", Code::ResourceExhausted));
    assert!(refused.message().contains("broker 2"), "{refused}");
    read_to_end(&client, &topic, &recorder).await;
    client.admin().list_topics(false).await.expect("topics are listed");

    // Retention goes on, and gives room: all but about a segment.
    let keep =
        |bytes: Option<&str>| BTreeMap::from([("retention_bytes".to_owned(), bytes.map(str::to_owned))]);
    client
        .admin()
        .alter_topic(&topic, keep(Some("2097152")), false, false)
        .await
        .expect("settings take no room");
    wait_until("retention gives up what is old", LONG, async || {
        let listed = client.list_offsets(&topic, 0, OffsetAt::Start).await.ok()?;
        (listed.start_offset > 0).then_some(())
    })
    .await;
    until_taken(&client, &topic, &recorder, 3).await;
    client.admin().alter_topic(&topic, keep(None), false, false).await.expect("settings take no room");

    // So does deleting, as long as there is ballast to throw off for what a broker must note of it.
    disk.free();
    disk.has_ballast().await;
    disk.fill();
    until_refused(&client, &topic, &recorder, 4).await;
    client.admin().delete_topic("spare", None).await.expect("deleting takes no room");
    until_taken(&client, &topic, &recorder, 5).await;

    // A start without a free byte: others lead meanwhile and take records, and it counts again when there is room.
    disk.has_ballast().await;
    cluster.broker(2).kill();
    disk.fill();
    cluster.broker(2).start();
    cluster.ready().await;
    assert!(!disk.ballast().exists(), "it started with its ballast on a full disk");
    read_to_end(&client, &topic, &recorder).await;
    until_taken(&client, &topic, &recorder, 6).await;
    disk.free();
    cluster.in_sync(&client, &topic).await;
    read_to_end(&client, &topic, &recorder).await;
    recorder.judge();
}

/// Sends until something is acknowledged.
async fn until_taken(client: &Client, topic: &str, recorder: &Recorder, producer: u32) {
    let mut counter = 0;
    wait_until(&format!("{topic} takes records again, of writer {producer}"), LONG, async || {
        let sent = taken(client, topic, recorder, producer, counter).await;
        counter += 1;
        sent.ok()
    })
    .await;
}
