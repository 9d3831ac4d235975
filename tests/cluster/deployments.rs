//! Two brokers and a node that only votes (N19): what it serves, and what the loss of each of the three leaves.

use std::time::Duration;

use fidelog_client::types::Offset;
use fidelog_client::{Client, NewTopic, Producer, Reason, Record};

use crate::harness::directory::{copy, remove};
use crate::harness::{Builder, Cluster, LONG, wait_until};
use crate::history::{Outcome, Value};
use crate::raw::Raw;
use crate::workload::{Workload, Writer};

const DATA: [u32; 2] = [1, 2];
const VOTER: u32 = 3;

async fn two_and_a_voter(name: &'static str) -> Cluster {
    Builder::new(name).roles(&[Some("both"), Some("both"), Some("controller")]).start().await
}

/// On both brokers, one partition; `minimum` of them acknowledge.
fn pair(name: &str, minimum: u32) -> NewTopic {
    let configs = [("min_insync_replicas".to_owned(), minimum.to_string())].into();
    let allow_unreplicated = minimum == 1;
    NewTopic { partitions: 1, replication_factor: 2, configs, allow_unreplicated, ..NewTopic::new(name) }
}

/// A topic that one replica is enough for, and how much of it was acknowledged.
struct Alone {
    producer: Producer,
    stored: u64,
}

impl Alone {
    const TOPIC: &str = "alone";

    async fn new(client: &Client) -> Self {
        client.admin().create_topic(pair(Self::TOPIC, 1)).await.expect("it was asked for explicitly");
        let producer = client.producer(Self::TOPIC).open().await.expect("the topic is there");
        Self { producer, stored: 0 }
    }

    /// Sends a few records; how many replicas the last receipt tells.
    async fn send(&mut self) -> u32 {
        let mut replicas = 0;
        for _ in 0..10 {
            let record = Record::new(self.stored.to_string());
            let delivery = self.producer.send(record).await.expect("there is memory");
            let receipt = delivery.await.expect("whoever is left acknowledges it");
            assert!(receipt.offset.is_none_or(|offset| offset == Offset(self.stored)), "{receipt:?}");
            self.stored += 1;
            replicas = receipt.replicas;
        }
        replicas
    }

    /// Every record is there, once and in order.
    async fn read_back(&self, client: &Client) {
        let mut consumer = client.consumer(Self::TOPIC).open().await.expect("its leader answers");
        for number in 0..self.stored {
            let record = consumer.next().await.expect("there are more").expect("it can be read");
            assert_eq!(
                (record.offset, record.value.as_deref()),
                (number, Some(number.to_string().as_bytes()))
            );
        }
    }
}

/// Waits until a produce is definitely refused because one of two replicas is not enough.
async fn refused(workload: &Workload, impatient: &Producer, counter: &mut u64) {
    let refusal = wait_until("a produce is refused for want of replicas", LONG, async || {
        let value = Value { producer: 99, counter: *counter };
        *counter += 1;
        let place = workload.recorder.sending(value, 0);
        let delivery = impatient.send(Record::new(value.to_string())).await.expect("there is memory");
        let error = delivery.await.expect_err("one broker alone acknowledges nothing");
        if error.is_definite() {
            workload.recorder.sent(place, Outcome::NotStored);
        }
        (error.is_definite() && error.reason() == Some(Reason::NotEnoughReplicas)).then_some(error)
    });
    println!("refused: {}", refusal.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_serves_clients_that_know_nobody_else() {
    let mut cluster = two_and_a_voter("voter-serves").await;
    let client = Client::connect([cluster.client_address(VOTER).to_string()]).await.expect("it answers");
    let told = client.admin().describe_cluster().await.expect("it follows the metadata");
    assert_eq!(told.answered_by, VOTER);
    assert!(told.quorum_reachable);
    let mut brokers: Vec<_> = told.brokers.iter().map(|it| (it.id, it.reachable)).collect();
    brokers.sort_unstable();
    assert_eq!(brokers, DATA.map(|id| (id, true)), "it is a broker itself to nobody");
    let quorum = client.admin().describe_quorum().await.expect("its leader answers");
    assert_eq!(quorum.members.iter().filter(|member| member.votes).count(), 3);

    client.admin().create_topic(pair("orders", 2)).await.expect("two brokers hold it");
    let producer = client.producer("orders").open().await.expect("the voter grants an identity");
    for number in 0..10 {
        let delivery = producer.send(Record::new(number.to_string())).await.expect("there is memory");
        assert_eq!(delivery.await.expect("both are there").replicas, 2);
    }
    // Without the SDK, which goes to the leader by itself: the voter sends these calls on.
    let raw = Raw(cluster.channel(VOTER));
    assert_ne!(raw.producer().await, 0);
    raw.produce("orders", crate::raw::batch("sent on", 0, 0, 0)).await.expect("its leader takes it");
    assert_eq!(raw.read_all("orders").await.len(), 11);
    wait_until("positions are kept by the two brokers", LONG, async || {
        let positions = client.admin().describe_topic("__positions").await.ok()?;
        positions.partitions.iter().all(|it| it.replicas.len() == 2 && it.leader != 0).then_some(())
    })
    .await;

    assert!(cluster.broker(VOTER).terminate().success());
    assert!(cluster.broker(VOTER).log().contains("clean=true"), "its stop is clean");
    drop(cluster.client().await);
    wait_until("health names the voter that is away", LONG, async || silent_voter(&client).await).await;
    cluster.broker(VOTER).start();
    cluster.ready().await;
    let nobody = async || silent_voter(&client).await.is_none().then_some(());
    wait_until("health says no more of it", LONG, nobody).await;
    assert_eq!(Raw(cluster.channel(VOTER)).read_all("orders").await.len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_of_the_three_may_die_and_nothing_acknowledged_is_lost() {
    let mut cluster = two_and_a_voter("voter-losses").await;
    let client = cluster.client().await;
    client.admin().create_topic(pair("pairs", 2)).await.expect("two brokers hold it");
    let mut alone = Alone::new(&client).await;
    for topic in ["pairs", Alone::TOPIC] {
        cluster.in_sync(&client, topic).await;
    }
    let mut workload = Workload::new("pairs");
    workload.write(&client, Writer::new(1));
    workload.read(&client);
    let impatient = client.producer("pairs").delivery_budget(Duration::from_millis(300));
    let impatient = impatient.open().await.expect("an identity is granted");
    let mut counter = 0;

    for round in 0..2 {
        let acked = workload.recorder.counts().acked;
        workload.acknowledged(100).await;
        assert_eq!(alone.send().await, 2);
        let victim = cluster.leader(&client, "pairs", 0).await;
        let survivor = DATA[0] + DATA[1] - victim;
        println!("round {round}: broker {victim} is killed");
        cluster.broker(victim).kill();

        wait_until("the other leads", LONG, async || {
            (cluster.leader(&client, "pairs", 0).await == survivor).then_some(())
        })
        .await;
        assert!(Raw(cluster.channel(survivor)).read_all("pairs").await.len() >= acked, "reads go on");
        refused(&workload, &impatient, &mut counter).await;
        assert_eq!(alone.send().await, 1, "one is enough where that was asked for, and is told");

        cluster.broker(victim).start();
        cluster.ready().await;
        for topic in ["pairs", Alone::TOPIC] {
            cluster.in_sync(&client, topic).await;
        }
        workload.acknowledged(100).await;
    }

    cluster.broker(VOTER).kill();
    workload.acknowledged(100).await;
    assert_eq!(alone.send().await, 2);
    // The voter may have led the quorum: then the outcome of what was on its way is unknown, and reading tells.
    wait_until("two of three voters decide", LONG, async || {
        let created = client.admin().create_topic(pair("later", 2)).await;
        (created.is_ok() || client.admin().describe_topic("later").await.is_ok()).then_some(())
    })
    .await;
    cluster.broker(VOTER).start();
    cluster.ready().await;
    workload.acknowledged(100).await;
    alone.read_back(&client).await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_rolled_back_or_emptied_is_taken_in_anew() {
    let mut cluster = two_and_a_voter("voter-rolled-back").await;
    let client = cluster.client().await;
    let data = cluster.broker(VOTER).data_dir();
    let older = data.with_extension("older");
    assert!(cluster.broker(VOTER).terminate().success());
    copy(&data, &older);
    cluster.broker(VOTER).start();
    cluster.ready().await;
    cluster.broker(VOTER).kill();
    let mut former = node_of_voter(&client).await;

    remove(&data);
    std::fs::rename(&older, &data).expect("the older copy takes its place");
    for rolled_back in [true, false] {
        if !rolled_back {
            cluster.broker(VOTER).kill();
            remove(&data);
            cluster.broker(VOTER).format().expect("an empty directory is formatted");
        }
        cluster.broker(VOTER).start();
        cluster.ready().await;
        wait_until("it votes under a new number", LONG, async || {
            let quorum = client.admin().describe_quorum().await.ok()?;
            let voters: Vec<_> = quorum.members.iter().filter(|it| it.votes).collect();
            let anew = voters.iter().any(|it| it.broker_id == VOTER && it.node_id != former);
            (voters.len() == 3 && anew).then_some(())
        })
        .await;
        former = node_of_voter(&client).await;
    }
    assert!(cluster.broker(VOTER).log().contains("this directory was rolled back"));
    // Not found so again.
    assert!(cluster.broker(VOTER).terminate().success());
    cluster.broker(VOTER).start();
    cluster.ready().await;
    assert_eq!(node_of_voter(&client).await, former);
}

/// What health says of voters that are not heard.
async fn silent_voter(client: &Client) -> Option<String> {
    let health = client.admin().check_health().await.ok()?;
    let told = health.findings.into_iter().find(|finding| finding.kind == "voter_silent")?;
    assert!(told.message.contains(&format!("broker {VOTER} at")), "{}", told.message);
    Some(told.message)
}

async fn node_of_voter(client: &Client) -> u64 {
    wait_until("the quorum tells who votes", LONG, async || {
        let quorum = client.admin().describe_quorum().await.ok()?;
        quorum.members.iter().find(|it| it.broker_id == VOTER && it.votes).map(|it| it.node_id)
    })
    .await
}
