//! Nobody lives who holds a partition: tools and programs go on with the others, and name what is missing.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fidelog_client::{Client, NewTopic, Record};

use crate::harness::{Cluster, LONG, wait_until};

const RECORDS: u64 = 30;
/// Of every command: what the commands may take is told by it.
const TIMEOUT: &str = "3s";
/// What is told of a partition while everybody who holds it is down.
const DOWN: &str = "all brokers that hold everything are down; it waits for one of them";

fn fidelog(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fidelog-under-test"));
    command
        .env("FIDELOG_BROKERS", cluster.addresses().join(","))
        .args(["--timeout", TIMEOUT])
        .args(arguments);
    command.output().expect("the command line can be run")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A filled topic of one replica a partition, the broker that is to go, and the only partition it holds.
struct Filled {
    topic: String,
    victim: u32,
    of: u32,
}

impl Filled {
    async fn new(cluster: &Cluster, client: &Client) -> Self {
        let filled = Self::topic(cluster, client).await;
        let producer = client.producer(&filled.topic).open().await.expect("the topic is there");
        for number in 0..RECORDS {
            let partition = u32::try_from(number % 3).expect("below three");
            drop(
                producer.send_to(partition, Record::new(number.to_string())).await.expect("there is memory"),
            );
        }
        producer.close().await.expect("all are acknowledged");
        filled
    }

    async fn topic(cluster: &Cluster, client: &Client) -> Self {
        for number in 0..30 {
            let topic = format!("orders-{number}");
            let singles = NewTopic { partitions: 3, replication_factor: 1, ..NewTopic::new(&topic) };
            let singles = NewTopic { allow_unreplicated: true, ..singles };
            client.admin().create_topic(singles).await.expect("a single copy was allowed");
            let mut leaders = Vec::new();
            for partition in 0..3 {
                leaders.push(cluster.leader(client, &topic, partition).await);
            }
            for (of, victim) in (0..).zip(&leaders) {
                if leaders.iter().filter(|leader| *leader == victim).count() == 1 {
                    return Self { topic, victim: *victim, of };
                }
            }
        }
        panic!("of 30 topics none has a broker that holds one partition");
    }

    /// Kills the broker, and waits until that is known and groups have found their new owners.
    async fn strike(&self, cluster: &mut Cluster) {
        cluster.broker(self.victim).kill();
        wait_until("it is told that nobody leads", LONG, async || {
            said(&fidelog(cluster, &["topic", "desc", &self.topic])).contains(DOWN).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_nobody_can_lead_blinds_neither_tools_nor_readers() {
    let mut cluster = Cluster::start("outage").await;
    let client = cluster.client().await;
    let filled = Filled::new(&cluster, &client).await;
    let Filled { topic, victim, of } = &filled;
    let (topic, of) = (topic.as_str(), *of);
    let expect = |cluster: &Cluster, arguments: &[&str], code: i32| {
        let output = fidelog(cluster, arguments);
        assert_eq!(output.status.code(), Some(code), "fidelog {}: {}", arguments.join(" "), said(&output));
        output
    };
    expect(&cluster, &["consume", topic, "-g", "billing", "-n", "3"], 0);
    expect(&cluster, &["consume", topic, "-e", "--from", "99999"], 3);
    filled.strike(&mut cluster).await;

    let offsets = said(&expect(&cluster, &["topic", "offsets", topic, "-o", "jsonl"], 7));
    assert_eq!(offsets.matches("\"committed_end\":10").count(), 2, "{offsets}");
    let lag = wait_until("the group's positions are kept by a living broker", LONG, async || {
        let lag = fidelog(&cluster, &["group", "lag", "billing"]);
        (lag.status.code() == Some(7)).then_some(said(&lag))
    })
    .await;
    assert!(lag.contains(&format!("{topic}/{of}")), "{lag}");
    expect(&cluster, &["group", "seek", "billing", topic, "--to", "start", "--dry-run"], 7);
    let read = expect(&cluster, &["consume", topic, "-e"], 7);
    let lines = read.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines as u64, RECORDS * 2 / 3, "{}", said(&read));
    assert!(said(&read).contains(&format!("partition {topic}/{of}: nobody leads it")), "{}", said(&read));

    // A program that starts in the outage reads what can be read, and the rest once that broker is back.
    let mut consumer = client.consumer(topic).open().await.expect("some leaders answer");
    for _ in 0..RECORDS * 2 / 3 {
        let record = consumer.next().await.expect("there are more").expect("it can be read");
        assert_ne!(record.partition, of);
    }
    cluster.broker(*victim).start();
    for offset in 0..RECORDS / 3 {
        let record = consumer.next().await.expect("there are more").expect("it can be read");
        assert_eq!((record.partition, record.offset), (of, offset));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_produce_that_waits_says_why_and_ends_when_it_was_told_to() {
    let mut cluster = Cluster::start("outage-produce").await;
    let client = cluster.client().await;
    let filled = Filled::new(&cluster, &client).await;
    filled.strike(&mut cluster).await;
    let lines = tempfile::tempdir().expect("a temporary directory");
    let file = lines.path().join("lines");
    std::fs::write(&file, "a line\n").expect("the file is written");
    let began = Instant::now();
    let file = file.to_str().expect("a plain path");
    let output = fidelog(&cluster, &["produce", &filled.topic, "-p", &filled.of.to_string(), "--file", file]);
    let told = said(&output);
    assert!(began.elapsed() < Duration::from_secs(60), "it took its own 120 s: {told}");
    assert!(matches!(output.status.code(), Some(4 | 6)), "{told}");
    assert!(told.contains("waiting, 0 records acknowledged so far: "), "{told}");
    assert!(told.contains("go on with --skip 0"), "{told}");
    println!("{told}");
}
