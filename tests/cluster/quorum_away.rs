//! While the broker that decides metadata is away: what goes on, and what is told about the rest.

use fidelog_client::NewTopic;
use fidelog_proto::v1::cluster_service_client::ClusterServiceClient;
use fidelog_proto::v1::topic_service_client::TopicServiceClient;
use fidelog_proto::v1::{
    DescribeClusterRequest, DescribeTopicRequest, ProduceRequest, Record, RecordList, TopicDescription,
    produce_request,
};

use crate::harness::{Cluster, LONG, wait_until};
use crate::raw::Raw;

const QUORUM: u32 = 1;

/// A topic as `broker` sees it, as soon as it does: it follows the metadata, and may be a moment behind.
async fn described(cluster: &Cluster, broker: u32, topic: &str) -> TopicDescription {
    wait_until(&format!("broker {broker} knows {topic} and its leaders"), LONG, async || {
        let request = DescribeTopicRequest { name: topic.into(), ..Default::default() };
        let answer = TopicServiceClient::new(cluster.channel(broker)).describe_topic(request).await;
        let topic = answer.ok()?.into_inner().topic?;
        topic.partitions.iter().all(|partition| partition.leader != 0).then_some(topic)
    })
    .await
}

/// Fresh producers could open nowhere, and the tools said that all was well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_open_partitions_without_it_take_writes_and_its_own_are_told_as_unreachable() {
    let mut cluster = Cluster::start("quorum-away").await;
    let client = cluster.client().await;
    let pairs = NewTopic { partitions: 3, replication_factor: 2, ..NewTopic::new("pairs") };
    client.admin().create_topic(pairs).await.expect("two of three brokers hold each partition");
    let topic = wait_until("all replicas are in sync", LONG, async || {
        let topic = described(&cluster, 2, "pairs").await;
        topic.partitions.iter().all(|it| it.isr.len() == 2).then_some(topic)
    })
    .await;
    let elsewhere = topic.partitions.iter().find(|it| !it.replicas.contains(&QUORUM));
    let elsewhere = elsewhere.expect("replicas are spread").partition;
    let its_own =
        topic.partitions.iter().find(|it| it.leader == QUORUM).expect("leaders are spread").partition;

    cluster.broker(QUORUM).kill();
    for broker in [2, 3] {
        let raw = Raw(cluster.channel(broker));
        raw.producer().await;
        let record = Record { value: Some("one".into()), ..Record::default() };
        let payload = Some(produce_request::Payload::Records(RecordList { records: vec![record] }));
        let receipt = raw
            .request(ProduceRequest {
                topic: "pairs".into(),
                partition: Some(elsewhere),
                payload,
                ..Default::default()
            })
            .await
            .expect("neither of its replicas is away");
        assert_eq!(receipt.replicas, 2);

        let partition = |topic: &TopicDescription, index| topic.partitions[index as usize].clone();
        wait_until("the loss of the link is noticed", LONG, async || {
            let topic = described(&cluster, broker, "pairs").await;
            let (lost, lives) = (partition(&topic, its_own), partition(&topic, elsewhere));
            assert!(!lives.leader_unreachable && lives.offline.is_empty(), "{}", lives.offline);
            (lost.leader_unreachable && lost.offline.contains("broker 1")).then_some(())
        })
        .await;
        let mut told = ClusterServiceClient::new(cluster.channel(broker));
        let told = told.describe_cluster(DescribeClusterRequest {}).await.expect("it answers").into_inner();
        assert!(told.leaderless > 0, "one of the leaders is dead");
    }
}

/// One dead broker took every group while there was one partition of positions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_broker_takes_its_share_of_the_groups_only() {
    let mut cluster = Cluster::start("groups-spread").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    cluster.in_sync(&client, "__positions").await;
    let owners = described(&cluster, 1, "__positions").await;
    let led = |broker| owners.partitions.iter().filter(|it| it.leader == broker).count();
    assert_eq!([led(1) > 0, led(2) > 0, led(3) > 0], [true; 3], "each leads some of the positions");

    cluster.broker(2).kill();
    let opened = wait_until("groups of the other owners open", LONG, async || {
        let mut opened = 0;
        for name in 0..8 {
            use fidelog_proto::v1::position_service_client::PositionServiceClient;
            let request = fidelog_proto::v1::OpenPositionsRequest {
                group: format!("group-{name}"),
                topic: "orders".into(),
                ..Default::default()
            };
            let answer = PositionServiceClient::new(cluster.channel(1)).open_positions(request).await;
            opened += u32::from(answer.is_ok());
        }
        (opened > 0).then_some(opened)
    })
    .await;
    assert!(opened < 8, "all of them: the dead broker owned none, which proves nothing");
}
