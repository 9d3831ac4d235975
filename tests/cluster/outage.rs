//! A broker is gone that leads something: tools and programs go on with what the others lead, and name what is missing.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fidelog_client::{Client, Record};
use fidelog_record::partitioner::partition_for_key;

use crate::harness::{Cluster, LONG, wait_until};

const RECORDS: u64 = 30;
/// Of every command: what the commands may take is told by it.
const TIMEOUT: &str = "3s";

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

/// A filled topic, and the one partition of three that a broker leads which can go: which broker, and which partition.
struct Filled {
    topic: String,
    victim: u32,
    of: u32,
}

impl Filled {
    async fn new(cluster: &Cluster, client: &Client) -> Self {
        let filled = Self::topic(cluster, client).await;
        cluster.in_sync(client, &filled.topic).await;
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
            cluster.topic(client, &topic).await;
            let mut leaders = Vec::new();
            for partition in 0..3 {
                leaders.push((cluster.leader(client, &topic, partition).await, partition));
            }
            // Broker 1 decides metadata; it stays.
            let alone = |victim: u32| leaders.iter().filter(|(leader, _)| *leader == victim).count() == 1;
            if let Some(&(victim, of)) = leaders.iter().find(|(leader, _)| *leader != 1 && alone(*leader)) {
                return Self { topic, victim, of };
            }
        }
        panic!("of 30 topics none has a broker beside 1 that leads one partition");
    }
}

/// A group whose positions another broker than `victim` keeps.
async fn group_kept_elsewhere(cluster: &Cluster, client: &Client, victim: u32) -> String {
    let topic = client.admin().describe_topic("__positions").await.expect("it is made at the first start");
    let partition_count = u32::try_from(topic.partitions.len()).expect("a handful");
    for number in 0..100 {
        let group = format!("billing-{number}");
        let partition = partition_for_key(group.as_bytes(), partition_count);
        if cluster.leader(client, "__positions", partition).await != victim {
            return group;
        }
    }
    panic!("broker {victim} keeps the positions of all of 100 groups");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_leader_blinds_neither_tools_nor_readers() {
    let mut cluster = Cluster::start("outage").await;
    let client = cluster.client().await;
    let Filled { topic, victim, of } = Filled::new(&cluster, &client).await;
    let topic = topic.as_str();
    let group = group_kept_elsewhere(&cluster, &client, victim).await;
    let group = group.as_str();
    let expect = |cluster: &Cluster, arguments: &[&str], codes: &[i32]| {
        let output = fidelog(cluster, arguments);
        let code = output.status.code().expect("it ends by itself");
        assert!(codes.contains(&code), "fidelog {}: {code}, {}", arguments.join(" "), said(&output));
        output
    };
    expect(&cluster, &["consume", topic, "-g", group, "-n", "3"], &[0]);
    expect(&cluster, &["consume", topic, "-e", "--from", "99999"], &[3]);
    cluster.broker(victim).kill();
    let others = format!("{}", RECORDS * 2 / 3);

    let offsets = said(&expect(&cluster, &["topic", "offsets", topic, "-o", "jsonl"], &[7]));
    assert_eq!(offsets.matches("\"committed_end\":10").count(), 2, "{offsets}");
    let lag = said(&expect(&cluster, &["group", "lag", group], &[7]));
    assert!(lag.contains(&format!("{topic}/{of}")), "{lag}");
    expect(&cluster, &["group", "seek", group, topic, "--to", "start", "--dry-run"], &[7]);
    let read = expect(&cluster, &["consume", topic, "-e"], &[7]);
    assert_eq!(
        read.stdout.iter().filter(|byte| **byte == b'\n').count().to_string(),
        others,
        "{}",
        said(&read)
    );
    assert!(said(&read).contains(&format!("{of}: partition {of}")), "{}", said(&read));
    wait_until("the leader's silence is noticed", LONG, async || {
        said(&fidelog(&cluster, &["topic", "desc", topic]))
            .contains(&format!("broker {victim}, its leader, cannot be reached"))
            .then_some(())
    })
    .await;

    // A program that starts in the outage reads what can be read, and the rest once its leader is back.
    let mut consumer = client.consumer(topic).open().await.expect("some leaders answer");
    for _ in 0..RECORDS * 2 / 3 {
        let record = consumer.next().await.expect("there are more").expect("it can be read");
        assert_ne!(record.partition, of);
    }
    cluster.broker(victim).start();
    for offset in 0..RECORDS / 3 {
        let record = consumer.next().await.expect("there are more").expect("it can be read");
        assert_eq!((record.partition, record.offset), (of, offset));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_produce_that_waits_says_why_and_ends_when_it_was_told_to() {
    let mut cluster = Cluster::start("outage-produce").await;
    let client = cluster.client().await;
    let Filled { topic, victim, of } = Filled::new(&cluster, &client).await;
    let topic = topic.as_str();
    cluster.broker(victim).kill();
    let lines = tempfile::tempdir().expect("a temporary directory");
    let file = lines.path().join("lines");
    std::fs::write(&file, "a line\n").expect("the file is written");
    let began = Instant::now();
    let file = file.to_str().expect("a plain path");
    let output = fidelog(&cluster, &["produce", topic, "-p", &of.to_string(), "--file", file]);
    let told = said(&output);
    assert!(began.elapsed() < Duration::from_secs(60), "it took its own 120 s: {told}");
    assert!(matches!(output.status.code(), Some(4 | 6)), "{told}");
    assert!(told.contains("waiting, 0 records acknowledged so far: "), "{told}");
    assert!(told.contains("go on with --skip 0"), "{told}");
    println!("{told}");
}
