//! Voters come and go, and one whose disk is full stalls nobody.

use fidelog_client::Client;

use crate::harness::{Builder, Cluster, LONG, SmallDisk, wait_until};
use crate::small_disk::{small_disk_of, spare};
use crate::workload::{Workload, Writer};

/// The brokers whose controllers vote.
async fn voters(client: &Client) -> Vec<u32> {
    let Ok(quorum) = client.admin().describe_quorum().await else { return Vec::new() };
    let mut voters: Vec<u32> = quorum.members.iter().filter(|it| it.votes).map(|it| it.broker_id).collect();
    voters.sort_unstable();
    voters
}

async fn voters_are(client: &Client, wanted: &[u32]) {
    wait_until(&format!("{wanted:?} vote"), LONG, async || (voters(client).await == wanted).then_some(()))
        .await;
}

/// Who leads the quorum.
async fn active(client: &Client) -> u32 {
    wait_until("somebody leads the quorum", LONG, async || {
        let leader = client.admin().describe_quorum().await.ok()?.leader;
        (leader != 0).then_some(leader)
    })
    .await
}

async fn add(client: &Client, broker: u32) {
    wait_until(&format!("broker {broker} may vote"), LONG, async || {
        client.admin().add_voter(broker).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_is_removed_and_added_again_running_or_not() {
    let mut cluster = Cluster::start("voters-again").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    voters_are(&client, &[1, 2, 3]).await;
    for round in 0..2 {
        let leader = active(&client).await;
        let goes = if leader == 3 { 2 } else { 3 };
        let stay: Vec<u32> = (1..=3).filter(|id| *id != goes).collect();
        if round == 1 {
            cluster.broker(goes).kill();
        }
        wait_until("it is removed", LONG, async || client.admin().remove_voter(goes).await.ok()).await;
        voters_are(&client, &stay).await;
        if round == 1 {
            cluster.broker(goes).start();
            cluster.ready().await;
        }
        add(&client, goes).await;
        voters_are(&client, &[1, 2, 3]).await;
    }
    // The leader itself: it leads on without a vote, until it goes.
    let leader = active(&client).await;
    wait_until("the leader is removed", LONG, async || client.admin().remove_voter(leader).await.ok()).await;
    cluster.broker(leader).kill();
    wait_until("another leads", LONG, async || (active(&client).await != leader).then_some(())).await;
    cluster.broker(leader).start();
    cluster.ready().await;
    add(&client, leader).await;
    voters_are(&client, &[1, 2, 3]).await;
    cluster.topic(&client, "later").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_did_not_vote_becomes_a_voter_with_the_data_it_has() {
    let mut cluster =
        Builder::new("voters-new").roles(&[Some("both"), Some("broker"), Some("broker")]).start().await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.acknowledged(100).await;
    voters_are(&client, &[1]).await;
    cluster.give_roles(&[Some("both"); 3]);
    // Who votes already is to know of the others before they come.
    for id in [1, 2, 3] {
        assert!(cluster.broker(id).terminate().success());
        if id != 1 {
            cluster.broker(id).format().expect("it gets a store of the quorum");
        }
        cluster.broker(id).start();
        cluster.ready().await;
        cluster.in_sync(&client, "orders").await;
    }
    for id in [2, 3] {
        add(&client, id).await;
    }
    voters_are(&client, &[1, 2, 3]).await;
    cluster.broker(1).kill();
    workload.acknowledged(100).await;
    cluster.broker(1).start();
    cluster.ready().await;
    workload.finish(&client).await;
}

/// Broker 3 votes on a small disk; all goes on while that is full, and it takes part again when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_with_a_full_disk_is_only_behind() {
    let roles = [None, None, None];
    let Some((disk, cluster)) = small_disk_of("full-voter", 3, &roles).await else { return };
    goes_on_while_full(disk, cluster).await;
}

/// The same while broker 3 leads the quorum: it goes on to lead as long as its store finds room, and is replaced then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_the_quorum_with_a_full_disk_stalls_nobody() {
    let roles = [None, None, None];
    let Some((disk, mut cluster)) = small_disk_of("full-active", 3, &roles).await else { return };
    let client = cluster.client().await;
    for _ in 0..20 {
        let leads = active(&client).await;
        if leads == 3 {
            break;
        }
        // One that is back soon enough goes on leading.
        cluster.broker(leads).kill();
        wait_until("another leads", LONG, async || (active(&client).await != leads).then_some(())).await;
        cluster.broker(leads).start();
        cluster.ready().await;
    }
    assert_eq!(active(&client).await, 3, "after 20 kills of who led instead");
    goes_on_while_full(disk, cluster).await;
}

async fn goes_on_while_full(disk: SmallDisk, mut cluster: Cluster) {
    let client = cluster.client().await;
    let topic = cluster.topic_led_by(&client, "orders", 1).await;
    spare(&cluster, &client).await;
    cluster.in_sync(&client, &topic).await;
    let mut workload = Workload::new(&topic);
    // Short records: the disk has to hold all of them, however long it takes.
    workload.write(&client, Writer::new(1));
    workload.read(&client);
    workload.acknowledged(200).await;

    disk.fill();
    cluster.in_sync_are(&client, &topic, &[1, 2]).await;
    let created = async |number: u32| {
        let name = format!("made-{number}");
        wait_until(&format!("{name} is decided on"), LONG, async || {
            let made = client.admin().create_topic(fidelog_client::NewTopic::new(&name)).await;
            (made.is_ok() || client.admin().describe_topic(&name).await.is_ok()).then_some(())
        })
        .await;
    };
    for number in 0..3 {
        created(number).await;
        // What the daemon throws off goes to somebody else.
        disk.fill();
    }
    workload.acknowledged(300).await;
    println!("stood still: {}", cluster.broker(3).log().contains("the quorum's store waits for room"));

    // Deleting reaches it, and gives room.
    disk.free();
    disk.has_ballast().await;
    disk.fill();
    client.admin().delete_topic("spare", None).await.expect("deleting takes no room");
    cluster.in_sync(&client, &topic).await;
    disk.free();
    workload.acknowledged(100).await;
    created(99).await;
    voters_are(&client, &[1, 2, 3]).await;
    assert!(cluster.broker(3).is_running(), "no restart was needed");
    cluster.ready().await;
    workload.finish(&client).await;
}
