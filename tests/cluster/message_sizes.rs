//! A message is taken up to 16 MiB by every service, and whatever is too large beyond that is told with that limit.

use bytes::Bytes;
use fidelog_proto::v1::cluster_service_client::ClusterServiceClient;
use fidelog_proto::v1::fetch_service_client::FetchServiceClient;
use fidelog_proto::v1::position_service_client::PositionServiceClient;
use fidelog_proto::v1::produce_service_client::ProduceServiceClient;
use fidelog_proto::v1::topic_service_client::TopicServiceClient;
use fidelog_proto::v1::{
    CommitPositionsRequest, DescribeTopicRequest, FetchRequest, GetRoutesRequest, PositionCommit,
    ProduceRequest,
};

use crate::harness::Cluster;
use crate::raw::reason;

/// Beyond the library's own limit, far below ours.
const LARGE: usize = 5 << 20;
const TOO_LARGE: usize = 17 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_takes_messages_up_to_the_promised_size() {
    let cluster = Cluster::start("sizes").await;
    for (bytes, expected) in [(LARGE, "INVALID_ARGUMENT"), (TOO_LARGE, "MESSAGE_TOO_LARGE")] {
        let channel = || cluster.channel(1);
        let id = Bytes::from(vec![1; bytes]);
        let check = |what: &str, refused: tonic::Status| {
            assert_eq!(reason(&refused), expected, "{what} of {bytes} bytes: {}", refused.message());
        };
        let produce = ProduceRequest { topic_id: id.clone(), ..Default::default() };
        check("a produce", ProduceServiceClient::new(channel()).produce(produce).await.unwrap_err());
        let fetch = FetchRequest { topic_id: id.clone(), ..Default::default() };
        check("a fetch", FetchServiceClient::new(channel()).fetch(fetch).await.unwrap_err());
        let describe = DescribeTopicRequest { topic_id: id.clone(), ..Default::default() };
        check(
            "a description",
            TopicServiceClient::new(channel()).describe_topic(describe).await.unwrap_err(),
        );
        let routes = GetRoutesRequest { topics: vec!["x".repeat(1024); bytes / 1024] };
        check("a route", ClusterServiceClient::new(channel()).get_routes(routes).await.unwrap_err());
        let commit = PositionCommit { partition: 1, offset: 1, leader_epoch: 1, generation: 1 };
        let commits =
            CommitPositionsRequest { group: "billing".into(), topic_id: id, commits: vec![commit; 1_000] };
        check("a commit", PositionServiceClient::new(channel()).commit_positions(commits).await.unwrap_err());
    }
}
