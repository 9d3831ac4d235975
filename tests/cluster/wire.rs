//! Hostile and broken requests: each gets its own reason, nothing of them is stored, and an honest client beside them
//! notices nothing.

use bytes::Bytes;
use fidelog_proto::v1::{ProduceRequest, Record};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Cluster, LONG};
use crate::raw::{Raw, batch, plain, reason, record};

/// Connections of one address that a broker takes are fewer.
const FLOOD: usize = 1_200;

async fn one_topic(name: &'static str) -> (Cluster, u32, Raw) {
    let cluster = Cluster::start(name).await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let raw = Raw(cluster.channel(leader));
    (cluster, leader, raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broken_request_has_its_reason_and_stores_nothing() {
    let (_cluster, _leader, raw) = one_topic("wire").await;
    let future = Record { timestamp_ms: u64::MAX / 4, ..record(1) };
    for (what, request, expected) in [
        ("no topic", plain("", Some(0), vec![record(1)]), "INVALID_ARGUMENT"),
        ("a path for a name", plain("../etc", Some(0), vec![record(1)]), "INVALID_NAME"),
        ("an unknown topic", plain("nobody", Some(0), vec![record(1)]), "UNKNOWN_TOPIC"),
        ("an unknown partition", plain("orders", Some(7), vec![record(1)]), "UNKNOWN_PARTITION"),
        ("no records", plain("orders", Some(0), vec![]), "INVALID_ARGUMENT"),
        (
            "no payload",
            ProduceRequest { payload: None, ..plain("orders", Some(0), vec![]) },
            "INVALID_ARGUMENT",
        ),
        ("a record too large", plain("orders", Some(0), vec![record((1 << 20) + 1)]), "RECORD_TOO_LARGE"),
        ("a record of tomorrow", plain("orders", Some(0), vec![future]), "TIMESTAMP_OUT_OF_RANGE"),
        (
            "an id cut short",
            ProduceRequest {
                topic_id: Bytes::from_static(b"x"),
                ..plain("orders", Some(0), vec![record(1)])
            },
            "INVALID_ARGUMENT",
        ),
        ("a message too large", plain("orders", Some(0), vec![record(17 << 20)]), "MESSAGE_TOO_LARGE"),
    ] {
        let refused = raw.request(request).await.expect_err(what);
        assert_eq!(reason(&refused), expected, "{what}: {refused}");
    }

    let good = batch("good", 0, 0, 0);
    let mut flipped = good.to_vec();
    *flipped.last_mut().expect("it has bytes") ^= 1;
    let refused = raw.produce("orders", flipped.into()).await.expect_err("its bytes were flipped");
    assert_eq!(reason(&refused), "DATA_CORRUPT");
    for cut in [0, 1, 51, 103, good.len() - 1] {
        let refused = raw.produce("orders", good.slice(..cut)).await.expect_err("it is cut short");
        assert!(
            ["INVALID_BATCH", "INVALID_ARGUMENT", "DATA_CORRUPT"].contains(&reason(&refused).as_str()),
            "{cut}: {refused}"
        );
    }
    let beyond = raw.fetch("orders", 1_000).await.expect_err("nothing is there");
    assert_eq!(reason(&beyond), "OFFSET_OUT_OF_RANGE");

    let receipt = raw.produce("orders", good).await.expect("the same connection still serves");
    assert_eq!(receipt.base_offset, 0, "something of what was refused is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_end_their_connection_and_nothing_else() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut cluster, leader, raw) = one_topic("random-bytes").await;
    let address = cluster.broker(leader).client_address();
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for round in 0..60 {
        let mut bytes = if round % 2 == 0 { Vec::new() } else { preface.to_vec() };
        let mut noise = vec![0; 2_000];
        random.fill_bytes(&mut noise);
        bytes.extend(noise);
        let mut stream = TcpStream::connect(address).await.expect("the listener lives");
        // It may be closed before everything is written: that is the answer wanted.
        drop(stream.write_all(&bytes).await);
        let closed = tokio::time::timeout(LONG, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "round {round}: a connection of random bytes stays open");
    }
    raw.produce("orders", batch("honest", 0, 0, 0)).await.expect("an honest client beside it is served");
    assert!(cluster.broker(leader).is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_silent_connections_does_not_shut_out_a_client_that_is_in() {
    let (mut cluster, leader, raw) = one_topic("flood").await;
    raw.produce("orders", batch("before", 0, 0, 0)).await.expect("it is served");
    let address = cluster.broker(leader).client_address();
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        // Beyond the cap connections are closed at once, or refused.
        if let Ok(stream) = TcpStream::connect(address).await {
            flood.push(stream);
        }
    }
    raw.produce("orders", batch("during", 0, 0, 0)).await.expect("it is served during the flood");
    for mut silent in flood {
        let closed = tokio::time::timeout(LONG, silent.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "a silent connection is kept for ever");
    }
    raw.produce("orders", batch("after", 0, 0, 0)).await.expect("it is served afterwards");
    assert_eq!(raw.read_all("orders").await, ["before", "during", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_requests_at_once_on_one_connection_are_all_answered() {
    let (_cluster, _leader, raw) = one_topic("streams").await;
    let requests = (0..3_000).map(|number| {
        let raw = raw.clone();
        tokio::spawn(async move { raw.produce("orders", batch(&number.to_string(), 0, 0, 0)).await })
    });
    let mut offsets = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        offsets.push(request.await.expect("no panic").expect("it waits its turn").base_offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..3_000).collect::<Vec<_>>());
}
