//! The disks that held everything acknowledged are gone: a stale replica is made leader by hand, and what is lost by it
//! is what was told before (N5, N9, G5).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use fidelog_client::{Client, NewTopic, Producer, Record};
use serde_json::Value;

use super::command::Fidelog;
use super::scene::{Events, TOPIC, partitions};
use crate::harness::directory::remove;
use crate::harness::{Builder, Cluster, LONG, stop_and_compare, wait_until};

/// Nobody else may lead before this has passed since the last moment at which somebody may have acknowledged.
const LEASE_AND_MORE: Duration = Duration::from_secs(12);

/// How often a plan is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Three brokers, and a node that votes alone: whatever happens to the others, the quorum stays.
async fn start(name: &'static str) -> (Cluster, Client, Fidelog) {
    let roles = [Some("broker"), Some("broker"), Some("broker"), Some("controller")];
    let cluster = Builder::new(name).roles(&roles).start().await;
    let (client, fidelog) = (cluster.client().await, Fidelog::of(&cluster.addresses()));
    (cluster, client, fidelog)
}

/// What was acknowledged at which offset.
#[derive(Default)]
struct Acknowledged(BTreeMap<u64, String>);

impl Acknowledged {
    async fn produce(&mut self, producer: &Producer, what: &str, count: usize) {
        for number in 0..count {
            let value = format!("{what} {number}");
            let delivery = producer.send(Record::new(value.clone())).await.expect("there is memory");
            let receipt = delivery.await.unwrap_or_else(|error| panic!("{value}: {error}"));
            let offset = receipt.offset.expect("nothing was sent twice").0;
            self.0.insert(offset, value);
        }
    }

    /// Exactly this is there. What a recovery gave up was overwritten in this map as it was in the log.
    async fn is_what_is_read(&self, client: &Client) {
        let mut consumer = client.consumer(TOPIC).stop_at_end().open().await.expect("its leader answers");
        let mut read = BTreeMap::new();
        while let Some(record) = consumer.next().await {
            let record = record.expect("it can be read");
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            assert!(read.insert(record.offset, value).is_none(), "offset {} twice", record.offset);
        }
        assert!(read == self.0, "read {read:?}, acknowledged and not given up {:?}", self.0);
    }

    /// What the plan tells is lost.
    fn give_up(&mut self, plan: &Value) {
        let lost = self.0.split_off(&number(plan, "leader_end"));
        println!("{} acknowledged records are given up", lost.len());
    }
}

fn number(plan: &Value, field: &str) -> u64 {
    plan[field].as_u64().unwrap_or_else(|| panic!("{field} is no number: {plan}"))
}

fn text(plan: &Value, field: &str) -> String {
    plan[field].as_str().unwrap_or_else(|| panic!("{field} is no text: {plan}")).to_owned()
}

/// Waits until the recovery that was planned would not be refused any more.
async fn plan_when_allowed(fidelog: &Fidelog, arguments: &[&str]) -> Value {
    let plan = wait_until("the recovery is not refused any more", LONG, async || {
        tokio::time::sleep(LOOK_EVERY).await; // Processes are dear.
        let plan = fidelog.json(arguments).await;
        text(&plan, "refused").is_empty().then_some(plan)
    });
    plan.await
}

/// Carries a plan out. The quorum's own clock may have begun a little later than the one that the plan was shown by.
async fn carry_out(fidelog: &Fidelog, partition: &str, plan: &Value) {
    let (leader, hash) = (number(plan, "leader").to_string(), text(plan, "hash"));
    wait_until("the recovery is carried out", LONG, async || {
        let said =
            fidelog.run(&["partition", "recover", partition, "--leader", &leader, "--plan", &hash]).await;
        let early = said.notes.contains("recovery needs");
        assert!(said.code == Some(0) || early, "{said:?}");
        (said.code == Some(0)).then_some(())
    })
    .await;
}

/// Recovers all that nobody leads, positions of groups among them, from whoever holds most.
async fn recover_the_rest(client: &Client, fidelog: &Fidelog) {
    for partition in partitions(client).await.into_iter().filter(|it| it.leader == 0) {
        let name = format!("{}/{}", partition.topic, partition.partition);
        let plan = plan_when_allowed(fidelog, &["partition", "recover", &name]).await;
        carry_out(fidelog, &name, &plan).await;
    }
}

fn holds_files(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Replicas 1 and 2 held everything, 3 was away. The disk of 1 is gone, 2 is down for as long as anybody waits; once 3
/// leads, 2 comes back all the same, with records that nobody else has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_replica_is_made_leader_and_whoever_comes_back_with_more_follows_it() {
    let (mut cluster, client, fidelog) = start("recover").await;
    let topic = NewTopic { partitions: 1, ..NewTopic::new(TOPIC) };
    client.admin().create_topic(topic).await.expect("there are three brokers");
    cluster.in_sync(&client, TOPIC).await;
    let (mut acknowledged, mut producer) =
        (Acknowledged::default(), client.producer(TOPIC).open().await.expect("it is there"));
    acknowledged.produce(&producer, "everywhere", 100).await;
    assert_eq!(cluster.broker(3).terminate().code(), Some(0));
    cluster.in_sync_are(&client, TOPIC, &[1, 2]).await;
    acknowledged.produce(&producer, "on 1 and 2", 100).await;

    let struck = Instant::now();
    cluster.broker(1).kill();
    cluster.broker(2).kill();
    remove(&cluster.broker(1).data_dir());
    cluster.broker(3).start();
    cluster.ready().await;
    wait_until("nobody leads", LONG, async || {
        partitions(&client).await.iter().all(|it| it.topic != TOPIC || it.leader == 0).then_some(())
    })
    .await;
    let events = Events::follow(&client).await;

    let recover = ["partition", "recover", "orders/0"];
    let plan = fidelog.json(&recover).await;
    assert_eq!((number(&plan, "leader"), number(&plan, "leader_end")), (3, 100), "{plan}");
    assert!(number(&plan, "cut_end") <= 100, "{plan}");
    let early =
        fidelog.run(&[&recover[..], &["--leader", "3", "--plan", &text(&plan, "hash")]].concat()).await;
    assert!(struck.elapsed() > LEASE_AND_MORE || early.code == Some(6), "{early:?}");
    let wrong = fidelog.run(&[&recover[..], &["--leader", "3", "--plan", "00000001"]].concat()).await;
    assert_ne!(wrong.code, Some(0), "it is no plan's hash: {wrong:?}");

    let allowed = plan_when_allowed(&fidelog, &recover).await;
    assert!(struck.elapsed() >= LEASE_AND_MORE, "N9: the lease was not waited out: {:?}", struck.elapsed());
    assert_eq!(text(&allowed, "hash"), text(&plan, "hash"), "nothing has changed");
    // The partition changes under the operator's eyes: what was read is no longer what would be done.
    for minimum in ["3", "2"] {
        let config = format!("min_insync_replicas={minimum}");
        fidelog.done(&["topic", "alter", TOPIC, "--config", &config, "--yes"]).await;
    }
    let stale =
        fidelog.run(&[&recover[..], &["--leader", "3", "--plan", &text(&plan, "hash")]].concat()).await;
    assert_ne!(stale.code, Some(0), "{stale:?}");
    let plan = plan_when_allowed(&fidelog, &recover).await;
    acknowledged.give_up(&plan);
    carry_out(&fidelog, "orders/0", &plan).await;
    events.told("partition_recovered", "orders/0").await;
    assert_eq!(cluster.leader(&client, TOPIC, 0).await, 3);
    recover_the_rest(&client, &fidelog).await;

    cluster.broker(1).format().expect("its new disk is empty");
    cluster.broker(1).start();
    cluster.broker(2).start();
    cluster.ready().await;
    cluster.in_sync(&client, TOPIC).await;
    acknowledged.is_what_is_read(&client).await;
    producer = client.producer(TOPIC).open().await.expect("it is there");
    acknowledged.produce(&producer, "afterwards", 50).await;
    acknowledged.is_what_is_read(&client).await;
    assert!(holds_files(&cluster.broker(2).data_dir().join("aside")), "what was cut is kept");
    wait_until("every replica of every partition is in sync", LONG, async || {
        partitions(&client).await.iter().all(|it| it.isr.len() == 3).then_some(())
    })
    .await;
    drop((producer, client));
    stop_and_compare(cluster.brokers());
}

/// Broker 1 acknowledged alone and lost its disk. Of the two that are left the operator wants the one that holds less:
/// what the other has more is told, with who produced it, and that one gives it up while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_stale_replicas_the_lesser_is_wanted_and_the_loss_is_told_to_the_record() {
    let (mut cluster, client, fidelog) = start("recover-lesser").await;
    let configs = [("min_insync_replicas".to_owned(), "1".to_owned())].into();
    let topic = NewTopic { partitions: 1, configs, allow_unreplicated: true, ..NewTopic::new(TOPIC) };
    client.admin().create_topic(topic).await.expect("it was asked for explicitly");
    cluster.in_sync(&client, TOPIC).await;
    fidelog.run(&["partition", "elect", "orders/0", "--broker", "1"]).await;
    let mut acknowledged = Acknowledged::default();
    for (left, what) in [(3, "everywhere"), (2, "on 1 and 2")] {
        let producer = client.producer(TOPIC).open().await.expect("it is there");
        acknowledged.produce(&producer, what, 50).await;
        assert_eq!(cluster.broker(left).terminate().code(), Some(0));
    }
    cluster.in_sync_are(&client, TOPIC, &[1]).await;
    let producer = client.producer(TOPIC).open().await.expect("it is there");
    acknowledged.produce(&producer, "on 1 alone", 50).await;

    cluster.broker(1).kill();
    remove(&cluster.broker(1).data_dir());
    cluster.broker(1).format().expect("its new disk is empty");
    let struck = Instant::now();
    for id in 1..=3 {
        cluster.broker(id).start();
    }
    cluster.ready().await;

    let greater = fidelog.json(&["partition", "recover", "orders/0"]).await;
    assert_eq!((number(&greater, "leader"), number(&greater, "leader_end")), (2, 100), "{greater}");
    let recover = ["partition", "recover", "orders/0", "--leader", "3"];
    let plan = plan_when_allowed(&fidelog, &recover).await;
    assert!(struck.elapsed() >= LEASE_AND_MORE, "N9: who lost its data may have acknowledged until then");
    assert_eq!((number(&plan, "leader_end"), number(&plan, "known_end")), (50, 100), "{plan}");
    assert!(number(&plan, "cut_end") <= 50, "{plan}");
    let hurt = plan["producers"].as_array().expect("a list");
    let records: u64 = hurt.iter().map(|it| number(it, "records")).sum();
    assert_eq!(records, 100 - number(&plan, "cut_end"), "{plan}");
    let last = hurt.iter().find(|it| number(it, "end_offset") == 100).expect("the last ones");
    assert_eq!((number(last, "first_offset"), number(last, "records")), (50, 50), "one producer: {plan}");

    acknowledged.give_up(&plan);
    carry_out(&fidelog, "orders/0", &plan).await;
    recover_the_rest(&client, &fidelog).await;
    cluster.in_sync(&client, TOPIC).await;
    acknowledged.is_what_is_read(&client).await;
    let producer = client.producer(TOPIC).open().await.expect("it is there");
    acknowledged.produce(&producer, "afterwards", 50).await;
    acknowledged.is_what_is_read(&client).await;
    wait_until("every replica of every partition is in sync", LONG, async || {
        partitions(&client).await.iter().all(|it| it.isr.len() == 3).then_some(())
    })
    .await;
    drop((producer, client));
    stop_and_compare(cluster.brokers());
}
