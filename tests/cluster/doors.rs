//! Who is let in where: brokers' ports are for brokers, what is no gRPC is told so, and a mistake on a stream is told
//! without ending what goes on.

use fidelog_proto::v1::cluster_service_client::ClusterServiceClient;
use fidelog_proto::v1::consume_request::Action;
use fidelog_proto::v1::fetch_service_client::FetchServiceClient;
use fidelog_proto::v1::{ConsumeRequest, DescribeClusterRequest, Subscribe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use crate::harness::{Cluster, LONG, wait_until};
use crate::raw::{Raw, batch, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_port_is_not_for_clients() {
    let mut cluster = Cluster::start("doors").await;
    let peer = cluster.broker(2).peer_address();
    let channel =
        Endpoint::from_shared(format!("http://{peer}")).expect("an address makes a URI").connect_lazy();
    let refused =
        ClusterServiceClient::new(channel).describe_cluster(DescribeClusterRequest {}).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_PERMITTED", "{refused}");
    let clients = cluster.broker(2).client_address().to_string();
    assert!(refused.message().contains(&clients), "{refused}");

    // HTTP/2 by hand: preface, empty settings, one POST whose content type is literal text/plain.
    let mut stream = TcpStream::connect(clients).await.expect("it listens");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut block = vec![0x83, 0x86, 0x41, 1, b'x']; // POST, http, authority x
    for (index, text) in [(0x44_u8, "/fidelog.v1.ClusterService/DescribeCluster"), (0x5f, "text/plain")] {
        block.extend([index, u8::try_from(text.len()).expect("it is short")]);
        block.extend(text.as_bytes());
    }
    bytes.extend([0, 0, u8::try_from(block.len()).expect("it is short"), 1, 0x05, 0, 0, 0, 1]);
    bytes.extend(block);
    stream.write_all(&bytes).await.expect("it is sent");
    let mut answer = Vec::new();
    // Literal digits or Huffman-coded: 415 has one form each.
    let told = |answer: &[u8]| {
        [&b"415"[..], &[0x68, 0x2d, 0xff][..]].iter().any(|status| answer.windows(3).any(|it| it == *status))
    };
    let mut buffer = [0; 1024];
    while !told(&answer) {
        let count = stream.read(&mut buffer).await.expect("it answers");
        assert!(count > 0, "no 415 before the end: {answer:x?}");
        answer.extend(&buffer[..count]);
    }
}

/// The refusal of a second wish under an id came as the end of the first, which went on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_id_in_use_ends_the_stream_and_not_only_in_name() {
    let cluster = Cluster::start("twice").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    let leader = cluster.leader(&client, "orders", 0).await;
    // Its own view may still show the topic being made.
    let raw = Raw(cluster.channel(leader));
    wait_until("the leader serves it", LONG, async || raw.fetch("orders", 0).await.ok().map(drop)).await;
    let wish = || ConsumeRequest {
        action: Some(Action::Subscribe(Subscribe {
            subscription_id: 7,
            topic: "orders".into(),
            ..Default::default()
        })),
    };
    let requests = tonic::codegen::tokio_stream::iter([wish(), wish()]);
    let answers = FetchServiceClient::new(cluster.channel(leader)).consume(requests).await;
    let mut answers = answers.expect("the stream opens").into_inner();
    let refused = answers.message().await.expect_err("the id is in use");
    assert_eq!(reason(&refused), "INVALID_ARGUMENT", "{refused}");
}

/// Messages named topics by their ids, which nobody knows by heart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_names_the_topic_and_an_id_never_granted_is_refused() {
    let cluster = Cluster::start("names").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let raw = Raw(cluster.channel(leader));
    let beyond = raw.fetch("orders", 1_000).await.expect_err("nothing is there");
    assert!(beyond.message().contains("partition orders/0:"), "{beyond}");
    let refused = raw.produce("orders", batch("x", 1 << 60, 0, 0)).await.expect_err("it was never granted");
    assert_eq!(reason(&refused), "UNKNOWN_PRODUCER", "{refused}");
}
