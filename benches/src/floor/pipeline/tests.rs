//! The pipeline in one process: what it answers for is on every replica's disk.

use std::io::Read;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::floor::payload::Payloads;
use crate::floor::wire::proto::ProduceRequest;

/// A leader and its followers as tasks; each has a directory of its own below one.
struct Replicas {
    leader: SocketAddr,
    files: Vec<PathBuf>,
    _dir: TempDir,
}

async fn start(replicas: usize) -> Replicas {
    let dir = tempfile::tempdir().unwrap();
    let own = |index: usize| {
        let own = dir.path().join(index.to_string());
        std::fs::create_dir(&own).unwrap();
        own
    };
    let dirs: Vec<_> = (0..replicas).map(own).collect();
    let mut followers = Vec::new();
    for dir in &dirs[1..] {
        let (incoming, address) = wire::listen().unwrap();
        let service = follower(dir).unwrap();
        tokio::spawn(wire::server().add_service(service).serve_with_incoming(incoming));
        followers.push(address);
    }
    let (incoming, address) = wire::listen().unwrap();
    let service = leader(&dirs[0], &followers).await.unwrap();
    tokio::spawn(wire::server().add_service(service).serve_with_incoming(incoming));
    let files = dirs.iter().map(|dir| dir.join("log")).collect();
    Replicas { leader: address, files, _dir: dir }
}

/// The first `bytes` bytes of a replica's file.
fn head_of(path: &Path, bytes: usize) -> Vec<u8> {
    let mut head = Vec::new();
    std::fs::File::open(path).unwrap().take(bytes as u64).read_to_end(&mut head).unwrap();
    head
}

#[test]
fn what_was_answered_lies_in_order_on_every_replica() {
    wire::runtime().unwrap().block_on(async {
        let replicas = start(3).await;
        let mut client = LeaderClient::new(wire::connect(replicas.leader).await.unwrap());
        let mut payloads = Payloads::new(0, 300);
        let sent: Vec<_> = (0..500).map(|_| payloads.take()).collect();
        let messages: Vec<_> = sent
            .iter()
            .map(|payload| ProduceRequest { crc: crc32fast::hash(payload), payload: payload.clone() })
            .collect();

        let mut answers = client.produce(futures::stream::iter(messages)).await.unwrap().into_inner();

        let mut answered = 0_u64;
        while let Some(answer) = answers.message().await.unwrap() {
            assert!(answer.answered_count > answered, "answers only rise");
            answered = answer.answered_count;
            for path in &replicas.files {
                let expected = sent[..usize::try_from(answered).unwrap()].concat();
                assert!(
                    head_of(path, expected.len()) == expected,
                    "{} lacks an answered byte",
                    path.display()
                );
            }
        }
        assert_eq!(answered, sent.len() as u64);
    });
}

#[test]
fn many_producers_are_all_answered_for_and_replicas_agree() {
    let shape = Shape::single(64).in_flight(10).producers(5).replicas(2);
    wire::runtime().unwrap().block_on(async {
        let replicas = start(shape.replicas).await;

        produce_to(replicas.leader, &shape, Duration::from_millis(50)).await.unwrap();

        let of: Vec<_> = replicas.files.iter().map(|path| head_of(path, 64 << 20)).collect();
        assert!(of[0].iter().any(|byte| *byte != 0));
        assert!(of[0] == of[1], "leader and follower hold different bytes");
    });
}

#[test]
fn a_damaged_message_is_refused_and_stored_nowhere() {
    wire::runtime().unwrap().block_on(async {
        let replicas = start(2).await;
        let mut client = LeaderClient::new(wire::connect(replicas.leader).await.unwrap());
        let payload = Payloads::new(0, 1024).take();
        let damaged = ProduceRequest { crc: crc32fast::hash(&payload) ^ 1, payload };

        let mut answers = client.produce(futures::stream::iter([damaged])).await.unwrap().into_inner();

        let error = answers.message().await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::DataLoss, "{error}");
        for path in &replicas.files {
            assert!(head_of(path, 1 << 20).iter().all(|byte| *byte == 0));
        }
    });
}
