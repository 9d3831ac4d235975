//! Flipped bits in old segments: what they hit is never served, and is mended from another replica. Replicas whose
//! sound batches differ are told of, and left alone.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fidelog_client::{Client, Fetch, Record};
use fidelog_record::types::{PartitionIndex, TopicId, TopicPartition};
use fidelog_record::{EncodedBatch, PlacedBatch, Placement};

use crate::harness::{Builder, Cluster, LONG, wait_until};

const RECORDS: u64 = 400;
const SEGMENT_HEADER_BYTES: usize = 64;

/// Segment files of the only partition that holds megabytes, oldest first.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![data_dir.join("topics")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory is read") {
            let path = entry.expect("an entry is read").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|it| it == "log")
                && path.metadata().expect("it is there").len() > 1 << 20
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A sealed segment of one broker, as it was written.
struct Sealed {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Sealed {
    /// The segment of this place among the broker's.
    fn of(cluster: &mut Cluster, broker: u32, place: usize) -> Self {
        let segments = segments(&cluster.broker(broker).data_dir());
        assert!(place + 1 < segments.len(), "the log did not roll: {segments:?}");
        let path = segments[place].clone();
        let bytes = std::fs::read(&path).expect("a segment is read");
        Self { path, bytes }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).expect("a segment is opened");
        file.write_all_at(bytes, at as u64).expect("a segment is written");
    }

    fn flip_a_bit(&self, at: usize) {
        self.write(at, &[self.bytes[at] ^ 0x10]);
    }

    /// Whether the file holds what it held, but for room that was allocated and never used.
    fn is_as_it_was(&self) -> bool {
        let now = std::fs::read(&self.path).expect("a segment is read");
        let used = now.len().min(self.bytes.len());
        now[..used] == self.bytes[..used]
            && now[used..].iter().chain(&self.bytes[used..]).all(|byte| *byte == 0)
    }

    async fn mended(&self) {
        wait_until(&format!("{} is mended", self.path.display()), LONG, async || {
            self.is_as_it_was().then_some(())
        })
        .await;
    }
}

fn value(number: u64) -> String {
    format!("{number} {}", "x".repeat(20_000))
}

/// A topic of one partition whose log has several segments on every broker.
async fn written(builder: Builder) -> (Cluster, Client) {
    let cluster = builder.start().await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let producer = client.producer("orders").open().await.expect("the topic is there");
    for number in 0..RECORDS {
        let delivery = producer.send(Record::new(value(number))).await.expect("there is memory");
        delivery.await.expect("it is acknowledged");
    }
    (cluster, client)
}

/// Reads every record once; what comes is right, what does not come is called lost.
async fn read_once(client: &Client) -> u64 {
    let mut served = 0;
    for offset in 0..RECORDS {
        let fetch = Fetch { bytes_max: 1, ..Fetch::new("orders", 0, offset) };
        match client.fetch(fetch).await {
            Ok(batch) => {
                let record = batch.records().next().expect("at least one comes").expect("it can be read");
                assert_eq!(record.value.as_deref(), Some(value(offset).as_bytes()), "damage was served");
                served += 1;
            }
            Err(error) => {
                let why = error.to_string();
                assert!(why.contains("DATA_LOSS"), "offset {offset}: {why}");
            }
        }
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_leaders_segment_is_never_served_and_is_mended() {
    let (mut cluster, client) = written(Builder::new("corruption")).await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let damaged = Sealed::of(&mut cluster, leader, 1);
    assert_eq!(cluster.broker(leader).terminate().code(), Some(0));
    damaged.flip_a_bit(1 << 20);
    cluster.broker(leader).start();
    cluster.ready().await;
    cluster.leader(&client, "orders", 0).await;
    assert!(read_once(&client).await > 0);
    damaged.mended().await;
    wait_until("everything is served", LONG, async || (read_once(&client).await == RECORDS).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_damage_on_two_of_three_replicas_is_mended_on_both() {
    let (mut cluster, client) = written(Builder::new("corruption-two")).await;
    cluster.in_sync(&client, "orders").await;
    let mut damaged = Vec::new();
    for (broker, place, at) in [(1, 0, 700_000), (1, 1, 64), (2, 0, 100_000), (2, 1, 1 << 20)] {
        damaged.push((broker, Sealed::of(&mut cluster, broker, place), at));
    }
    assert_eq!(cluster.broker(2).terminate().code(), Some(0));
    assert_eq!(cluster.broker(1).terminate().code(), Some(0));
    for (_, segment, at) in &damaged {
        segment.flip_a_bit(*at);
    }
    cluster.broker(1).start();
    cluster.broker(2).start();
    cluster.ready().await;
    for (_, segment, _) in &damaged {
        segment.mended().await;
    }
    wait_until("everything is served", LONG, async || (read_once(&client).await == RECORDS).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scrub_finds_a_flipped_bit_that_nobody_reads() {
    let (mut cluster, client) = written(Builder::new("scrub").set("log.scrub_bytes_per_s", 64 << 20)).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let follower = if leader == 3 { 2 } else { 3 };
    for broker in [follower, leader] {
        let damaged = Sealed::of(&mut cluster, broker, 1);
        damaged.flip_a_bit(900_001);
        damaged.mended().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_batches_that_differ_are_told_of_and_left_alone() {
    let (mut cluster, client) =
        written(Builder::new("differing").set("log.scrub_bytes_per_s", 64 << 20)).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let follower = if leader == 3 { 2 } else { 3 };
    let segment = Sealed::of(&mut cluster, follower, 1);
    let told = cluster.broker(follower).log().len();
    let forged = another_in_its_place(&segment);
    segment.write(SEGMENT_HEADER_BYTES, &forged);
    cluster.broker(follower).wait_for_log(told, "differ from the leader's though both are sound");
    let now = std::fs::read(&segment.path).expect("a segment is read");
    assert!(now[SEGMENT_HEADER_BYTES..].starts_with(&forged), "nobody decided which of the two is right");
}

/// The first batch of a segment placed a millisecond later: it fits as well as the true one.
fn another_in_its_place(segment: &Sealed) -> Vec<u8> {
    let directory = segment.path.parent().expect("it lies in its partition's directory");
    let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
    let partition: u32 = name(directory).parse().expect("the directory is the partition's number");
    let topic: TopicId = name(directory.parent().expect("it lies in its topic's"))
        .parse()
        .expect("the directory above is the topic's id");
    let at = &segment.bytes[SEGMENT_HEADER_BYTES..];
    let length = u32::from_le_bytes(at[4..8].try_into().expect("four bytes")) as usize;
    let bytes = Bytes::copy_from_slice(&at[..length]);
    let stored = PlacedBatch::from_bytes(bytes.clone()).expect("it is a batch");
    let encoded = EncodedBatch::from_bytes(bytes).expect("it is a batch");
    let placement = Placement {
        topic_partition: TopicPartition { topic, partition: PartitionIndex(partition) },
        base_offset: stored.base_offset(),
        leader_epoch: stored.leader_epoch(),
        append_time_ms: stored.append_time_ms() + 1,
        committed_below: stored.committed_below(),
    };
    encoded.place(placement).to_bytes().to_vec()
}
