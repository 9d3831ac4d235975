//! A broker that lags behind the others has not heard of a topic, or of a partition, that was just made: it is not
//! believed while others know better.

use std::sync::Arc;

use fidelog_client::{Client, Record};

use crate::support::{Partitions, TOPIC, TestBroker};

/// Two brokers, of which the first, which is asked first, lags behind.
async fn behind(partitions: usize, heard_of: usize) -> (Arc<Partitions>, [TestBroker; 2], Client) {
    let shared = Partitions::new(partitions);
    let brokers = [1, 2].map(|id| TestBroker::start(id, &shared));
    let client = Client::connect(brokers.iter().map(TestBroker::address)).await.unwrap();
    shared.lead(2);
    shared.lag(1, heard_of);
    (shared, brokers, client)
}

/// UNKNOWN_TOPIC of one broker was final for `open`.
#[tokio::test]
async fn a_topic_that_one_broker_does_not_know_yet_is_opened_all_the_same() {
    let (shared, _brokers, client) = behind(1, 0).await;
    // Whichever is asked first.
    for number in 0..4 {
        let producer = client.producer(TOPIC).open().await.unwrap();
        producer.send(Record::new(number.to_string())).await.unwrap().await.unwrap();
        producer.close().await.unwrap();
        let mut consumer = client.consumer(TOPIC).open().await.unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().offset, 0);
        client.consumer(TOPIC).group(format!("group-{number}")).open().await.unwrap();
    }
    assert_eq!(shared.values(0).len(), 4);
}

#[tokio::test]
async fn a_partition_that_one_broker_does_not_know_yet_is_opened_all_the_same() {
    let (_shared, _brokers, client) = behind(3, 2).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    assert!((2..=3).contains(&producer.partition_count()));
    for _ in 0..4 {
        let named = client.consumer(TOPIC).partitions([2]).open().await.unwrap();
        assert_eq!(named.partition_count(), 1);
    }
    let nowhere = client.consumer(TOPIC).partitions([3]).open().await.unwrap_err();
    assert!(nowhere.to_string().contains("has no partition 3; it has 3"), "{nowhere}");
}
