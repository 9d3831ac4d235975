//! A position beyond the end of its partition is refused whoever leads the partition and whoever owns the group: it
//! would skip, silently, what is still to be written there.

use fidelog_client::{Client, Record};
use fidelog_proto::v1::position_service_client::PositionServiceClient;
use fidelog_proto::v1::{
    CommitPositionsRequest, CommitPositionsResponse, DeleteGroupRequest, ListGroupsRequest,
    OpenPositionsRequest, PositionCommit, PositionReset, Reason, ResetPositionsRequest,
    ResetPositionsResponse,
};
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::{Cluster, LONG, wait_until};
use crate::raw::reason;

const PARTITIONS: u32 = 3;
/// Far beyond anything that is written here.
const NOWHERE: u64 = 1_000_000_000_000;

struct Positions(Channel);

impl Positions {
    async fn reset(&self, partition: u32, offset: u64) -> Result<ResetPositionsResponse, Status> {
        let request = ResetPositionsRequest {
            group: "billing".into(),
            topic: "orders".into(),
            resets: vec![PositionReset { partition, offset }],
            ..ResetPositionsRequest::default()
        };
        Ok(PositionServiceClient::new(self.0.clone()).reset_positions(request).await?.into_inner())
    }

    async fn commit(&self, offsets: [u64; PARTITIONS as usize]) -> Result<CommitPositionsResponse, Status> {
        let mut client = PositionServiceClient::new(self.0.clone());
        let open =
            OpenPositionsRequest { group: "mail".into(), topic: "orders".into(), ..Default::default() };
        let opened = client.open_positions(open).await?.into_inner();
        let commits = opened.positions.iter().map(|position| PositionCommit {
            partition: position.partition,
            offset: offsets[position.partition as usize],
            leader_epoch: 0,
            generation: position.generation,
        });
        let request = CommitPositionsRequest {
            group: "mail".into(),
            topic_id: opened.topic_id.clone(),
            commits: commits.collect(),
        };
        Ok(client.commit_positions(request).await?.into_inner())
    }
}

async fn written(cluster: &Cluster, records: u64) -> Client {
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", PARTITIONS, &[]).await;
    let producer = client.producer("orders").open().await.expect("the topic is there");
    for number in 0..records * u64::from(PARTITIONS) {
        let to = u32::try_from(number).expect("few records") % PARTITIONS;
        drop(producer.send_to(to, Record::new(number.to_string())).await.expect("there is memory"));
    }
    producer.close().await.expect("all are acknowledged");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_beyond_the_end_is_refused_whoever_leads() {
    let mut cluster = Cluster::start("bounds").await;
    let client = written(&cluster, 10).await;
    cluster.in_sync(&client, "orders").await;
    for broker in 1..=3 {
        let positions = Positions(cluster.channel(broker));
        for partition in 0..PARTITIONS {
            for offset in [11, NOWHERE] {
                let refused = positions.reset(partition, offset).await.expect_err("there is no such offset");
                assert_eq!(reason(&refused), "OFFSET_OUT_OF_RANGE", "{refused}");
                assert!(refused.message().contains(&format!("orders/{partition}")), "{refused}");
            }
            positions.reset(partition, 10).await.expect("the end itself is a position");
        }
        let fates = positions.commit([10, NOWHERE, 7]).await.expect("two of them count").results;
        let error = |partition: u32| {
            let fate = fates.iter().find(|fate| fate.partition == partition).expect("each has its fate");
            fate.error.as_ref().map(|error| error.reason())
        };
        assert_eq!([error(0), error(1), error(2)], [None, Some(Reason::OffsetOutOfRange), None]);
    }

    // Nobody can be asked for the end of a partition whose leader is gone.
    let leader = cluster.leader(&client, "orders", 2).await;
    cluster.broker(leader).kill();
    let other = Positions(cluster.channel(1 + leader % 3));
    let refused = other.reset(2, NOWHERE).await.expect_err("nobody can say whether it exists");
    assert_eq!(reason(&refused), "LEADER_NOT_AVAILABLE", "{refused}");
}

/// `group lag` of a group that had read two topics failed for both once one of them was deleted, and nothing but the
/// whole group could be forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_of_a_deleted_topic_are_told_as_such_and_forgotten_by_its_id() {
    let cluster = Cluster::start("deleted").await;
    let client = written(&cluster, 1).await;
    cluster.topic_of(&client, "passing", 1, &[]).await;
    let mut positions = PositionServiceClient::new(cluster.channel(1));
    let mut ids = Vec::new();
    for topic in ["orders", "passing"] {
        let open = OpenPositionsRequest { group: "mix".into(), topic: topic.into(), ..Default::default() };
        ids.push(positions.open_positions(open).await.expect("the group opens").into_inner().topic_id);
    }
    client.admin().delete_topic("passing", None).await.expect("it is deleted");

    let list = || ListGroupsRequest { group: "mix".into(), ..Default::default() };
    // The owner of the group may be another broker than the one that deleted.
    let told = wait_until("the owner has heard of the deletion", LONG, async || {
        let mut positions = PositionServiceClient::new(cluster.channel(1));
        let told = positions.list_groups(list()).await.expect("groups are listed").into_inner();
        told.groups[0].topics.iter().any(|topic| topic.deleted).then_some(told)
    })
    .await;
    let topic = |id| told.groups[0].topics.iter().find(|topic| topic.topic_id == id).expect("it is listed");
    assert_eq!((topic(&ids[0]).topic.as_str(), topic(&ids[0]).deleted), ("orders", false));
    assert_eq!((topic(&ids[1]).topic.as_str(), topic(&ids[1]).deleted), ("", true));

    let forget = DeleteGroupRequest { group: "mix".into(), topic_id: ids[1].clone(), ..Default::default() };
    assert_eq!(positions.delete_group(forget).await.expect("it is forgotten").into_inner().positions, 1);
    let told = positions.list_groups(list()).await.expect("groups are listed").into_inner();
    assert_eq!(told.groups[0].topics.len(), 1, "the other topic's positions stay");
}
