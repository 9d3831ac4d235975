//! A position beyond the end of its partition is refused whoever leads the partition and whoever owns the group: it
//! would skip, silently, what is still to be written there.

use fidelog_client::{Client, Record};
use fidelog_proto::v1::position_service_client::PositionServiceClient;
use fidelog_proto::v1::{
    CommitPositionsRequest, CommitPositionsResponse, OpenPositionsRequest, PositionCommit, PositionReset,
    Reason, ResetPositionsRequest, ResetPositionsResponse,
};
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::Cluster;
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
