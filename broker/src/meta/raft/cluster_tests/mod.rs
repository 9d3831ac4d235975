//! Controllers together: founded late, cut, killed, emptied, with proposals through all of them.

mod cluster;
mod full;
mod net;
mod rebuilt;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fidelog_record::types::{BrokerId, MetaIndex};
use futures::StreamExt;

use super::RaftQuorum;
use crate::meta::quorum::{MetadataQuorum, ProposeError, VoterChange, WatchEvent};
use crate::meta::state::fixture::{register, registration};
use crate::meta::state::{Entry, Proposal};
use cluster::{Cluster, until, watched};
use net::Dice;

fn grant(count: u32) -> Proposal {
    Proposal::GrantProducerIds { broker: BrokerId(1), count }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_founded_before_all_are_there_and_then_all_vote() {
    let mut cluster = Cluster::new(1, 3);
    cluster.start(1).await;
    cluster.start(3).await;
    let error = cluster.quorum(3).propose(register(registration(1))).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unavailable { .. }), "{error}");
    assert!(cluster.quorum(1).status().voters.is_empty(), "two of three are not all");
    cluster.start(2).await;
    cluster.ready().await;
    cluster.described(3, "three vote", |it| it.voters.iter().filter(|it| it.votes).count() == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alone_decides_confirms_and_comes_back() {
    let mut cluster = Cluster::new(2, 1);
    cluster.start(1).await;
    cluster.ready().await;
    assert_eq!(cluster.accepted(1, grant(5)).await, MetaIndex(2));
    assert_eq!(cluster.quorum(1).confirm().await, Ok(MetaIndex(2)));
    let before = watched(&cluster.quorum(1), MetaIndex(2)).await.0;
    cluster.kill(1).await;
    cluster.start(1).await;
    cluster.leader().await;
    assert_eq!(cluster.quorum(1).confirm().await, Ok(MetaIndex(2)));
    assert_eq!(watched(&cluster.quorum(1), MetaIndex(2)).await.0, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_confirms_nothing_refuses_nothing_and_ends_its_watches() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.ready().await;
    let former = cluster.leader().await;
    let quorum = cluster.quorum(former);
    let mut watch = quorum.watch(MetaIndex(0));
    assert!(watch.next().await.is_some_and(|event| event.is_ok()), "it opens");
    cluster.net.cut(BrokerId(former));
    assert!(quorum.confirm().await.is_err());
    // The one that would be refused rests on a state that may be old.
    let error = quorum.propose(grant(0)).await.unwrap_err();
    assert!(!matches!(error, ProposeError::Refused { .. }), "{error}");
    until("its watch ends", async || matches!(watch.next().await, Some(Err(_)) | None).then_some(())).await;
    let others: Vec<u32> = cluster.running().into_iter().filter(|id| *id != former).collect();
    let index = cluster.accepted(others[0], grant(7)).await;
    cluster.net.heal();
    until("the former leader is told", async || quorum.confirm().await.ok().filter(|it| *it >= index)).await;
    let one = watched(&quorum, index).await.0;
    assert_eq!(one, watched(&cluster.quorum(others[1]), index).await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_directory_learns_takes_its_place_and_votes() {
    let mut cluster = Cluster::new(4, 3);
    cluster.start_all().await;
    cluster.ready().await;
    cluster.accepted(2, grant(3)).await;
    let former = cluster.node(3);
    cluster.kill(3).await;
    cluster.format(3);
    let node = cluster.node(3);
    cluster.start(3).await;
    cluster
        .described(1, "the new directory votes and the former is gone", |it| {
            it.voters.iter().any(|it| it.node == node && it.votes)
                && it.voters.iter().all(|it| it.node != former)
        })
        .await;
    cluster.kill(1).await;
    let index = cluster.accepted(3, grant(9)).await;
    assert_eq!(watched(&cluster.quorum(3), index).await.0, watched(&cluster.quorum(2), index).await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_leave_and_come_back_on_request_but_never_below_a_majority() {
    let mut cluster = Cluster::new(5, 3);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let others: Vec<u32> = cluster.running().into_iter().filter(|id| *id != leader).collect();
    let (stays, goes) = (others[0], others[1]);
    let remove = |id| VoterChange::Remove { broker: BrokerId(id) };
    cluster.quorum(stays).change_voters(remove(goes)).await.unwrap();
    let votes = |id: u32, wanted: bool| {
        move |it: &crate::meta::quorum::QuorumStatus| {
            it.voters.iter().any(|it| it.broker == BrokerId(id) && it.votes) == wanted
        }
    };
    cluster.described(leader, "it votes no more", votes(goes, false)).await;
    until("it may vote again", async || {
        let change = VoterChange::Add { broker: BrokerId(goes) };
        cluster.quorum(leader).change_voters(change).await.ok()
    })
    .await;
    cluster.described(leader, "it votes again", votes(goes, true)).await;
    let leader = cluster.leader().await;
    let dead = cluster.running().into_iter().find(|id| *id != leader).expect("three run");
    cluster.kill(dead).await;
    let third = cluster.running().into_iter().find(|id| *id != leader).expect("two run");
    let refused = cluster.quorum(leader).change_voters(remove(third)).await.unwrap_err();
    assert!(refused.to_string().contains("no majority"), "{refused}");
}

/// What became of each proposal, by its count.
type Told = BTreeMap<u32, Result<MetaIndex, ProposeError>>;

async fn propose_some(quorum: RaftQuorum, counts: std::ops::Range<u32>) -> Told {
    let mut told = Told::new();
    for count in counts {
        let answer = quorum.propose(grant(count)).await;
        told.insert(count, answer.map(|accepted| accepted.index));
    }
    told
}

/// Every entry there is, from the registration on, as watches that are resumed show them.
struct Seen {
    at: MetaIndex,
    /// Where each grant stands, by its count.
    granted: BTreeMap<u32, MetaIndex>,
}

impl Seen {
    fn new() -> Self {
        Self { at: MetaIndex(1), granted: BTreeMap::new() }
    }

    /// Follows whichever controller still has the entries, up to `to`.
    async fn catch_up(&mut self, cluster: &Cluster, to: MetaIndex) {
        until("the entries are seen", async || {
            for id in cluster.running() {
                self.follow(&cluster.quorum(id), to).await;
            }
            (self.at >= to).then_some(())
        })
        .await;
    }

    /// Until the watch is lost, or shows a snapshot, which a controller that was restarted does.
    async fn follow(&mut self, quorum: &RaftQuorum, to: MetaIndex) {
        let mut stream = quorum.watch(self.at);
        while self.at < to
            && let Some(Ok(event)) = stream.next().await
        {
            match event {
                WatchEvent::Opened { .. } => {}
                WatchEvent::Snapshot(_) => return,
                WatchEvent::Entries(entries) => {
                    for (index, entry) in entries {
                        assert_eq!(index, self.at.next(), "a watch has no holes");
                        self.at = index;
                        let Entry::ProducerIdsGranted { from, to_end, .. } = *entry else {
                            panic!("{entry:?}")
                        };
                        let twice = self.granted.insert(u32::try_from(to_end - from).unwrap(), index);
                        assert_eq!(twice, None, "{entry:?} was decided twice");
                    }
                }
            }
        }
    }
}

/// Everybody proposes while leaders are cut off and killed; then every answer must have been true.
async fn storm(seed: u64) -> [usize; 3] {
    let mut dice = Dice::new(seed);
    let mut cluster = Cluster::new(seed, 3);
    cluster.start_all().await;
    cluster.ready().await;
    cluster.net.rough(dice.below(60), 1 + dice.below(8));
    let (mut told, mut seen) = (Told::new(), Seen::new());
    let mut next = 1;
    for _ in 0..4 {
        let proposing: Vec<_> = cluster
            .running()
            .into_iter()
            .map(|id| {
                let counts = next..next + 25;
                next += 25;
                tokio::spawn(propose_some(cluster.quorum(id), counts))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        let leader = cluster.leader().await;
        match dice.below(3) {
            0 => cluster.kill(leader).await,
            1 => cluster.net.cut(BrokerId(leader)),
            _ => cluster.kill(1 + u32::try_from(dice.below(3)).unwrap()).await,
        }
        for task in proposing {
            told.append(&mut task.await.unwrap());
        }
        cluster.net.heal();
        let index =
            until("a round", async || cluster.quorum(cluster.running()[0]).confirm().await.ok()).await;
        seen.catch_up(&cluster, index).await;
        let down: Vec<u32> = (1..=3).filter(|id| !cluster.running().contains(id)).collect();
        for id in down {
            cluster.start(id).await;
        }
        cluster.net.rough(dice.below(60), 1 + dice.below(8));
    }
    cluster.net.heal();
    judge(seed, &cluster, &told, seen).await
}

async fn judge(seed: u64, cluster: &Cluster, told: &Told, mut seen: Seen) -> [usize; 3] {
    let last = cluster.accepted(1, grant(999_999)).await;
    seen.catch_up(cluster, last).await;
    let (state, _) = watched(&cluster.quorum(1), last).await;
    for id in [2, 3] {
        assert_eq!(watched(&cluster.quorum(id), last).await.0, state, "seed {seed}: broker {id}");
    }
    let granted = seen.granted;
    let mut counts = [0; 3];
    let mut indexes = BTreeSet::new();
    for (count, answer) in told {
        let found = granted.get(count).copied();
        match answer {
            Ok(index) => {
                counts[0] += 1;
                assert_eq!(found, Some(*index), "seed {seed}: an accepted proposal is where it was told");
                assert!(indexes.insert(*index));
            }
            Err(error) if error.is_definite() => {
                counts[1] += 1;
                assert_eq!(found, None, "seed {seed}: told as not taken: {error}");
            }
            Err(_) => counts[2] += 1,
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_true_while_leaders_are_cut_off_and_killed() {
    let seeds = std::env::var("FIDELOG_QUORUM_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(3);
    let first = std::env::var("FIDELOG_QUORUM_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut sums = [0; 3];
    for seed in first..first + seeds {
        println!("seed {seed}");
        let counts = storm(seed).await;
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    println!("{sums:?} accepted, definitely not taken, unknown");
    assert!(sums[0] > 0, "{sums:?}: nothing was accepted");
}
