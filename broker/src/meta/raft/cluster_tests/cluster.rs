//! Controllers in one process, each on a store of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::sim::SimDisk;
use fidelog_log::env::{Clock, Disk, Latched, RealClock, RealDisk, RealEntropy};
use fidelog_record::types::{BrokerId, Generation, Incarnation, MetaIndex};
use futures::StreamExt;
use tempfile::TempDir;

use super::super::{
    NodeId, Opened, RaftParts, RaftQuorum, RaftStore, RebuildError, RebuildPlan, Rebuilder, SeatParts, Voter,
};
use super::net::Net;
use crate::meta::quorum::{FormerSessions, MetadataQuorum, ProposeError, QuorumStatus, WatchEvent};
use crate::meta::state::fixture::{cluster, directory, register, registration};
use crate::meta::state::{ClusterState, Entry, KnownFor, Proposal, TopicDefaults};
use crate::meta::store::{LastStop, StoreHealth};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct NoSessions;

impl FormerSessions for NoSessions {
    fn is_open(&self, _: BrokerId) -> bool {
        false
    }

    fn known_for(&self, _: BrokerId) -> Option<KnownFor> {
        None
    }
}

struct Member {
    quorum: RaftQuorum,
    opened: Opened,
}

struct Place {
    home: TempDir,
    /// Where its disk is simulated.
    disk: Option<SimDisk>,
    node: NodeId,
    member: Option<Member>,
}

/// Some controllers, by broker id from 1.
pub(super) struct Cluster {
    pub(super) net: Net,
    places: BTreeMap<u32, Place>,
    next_node: NodeId,
}

/// Tries until `look` finds something.
pub(super) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(LONG, looking).await.unwrap_or_else(|_| panic!("{what}: not within {LONG:?}"))
}

impl Cluster {
    /// `count` formatted controllers, none of them started.
    pub(super) fn new(seed: u64, count: u32) -> Self {
        let mut cluster = Self { net: Net::new(seed), places: BTreeMap::new(), next_node: 101 };
        (1..=count).for_each(|id| cluster.format(id));
        cluster
    }

    /// The same on simulated disks.
    pub(super) fn on_simulated_disks(seed: u64, count: u32) -> Self {
        let mut made = Self { net: Net::new(seed), places: BTreeMap::new(), next_node: 101 };
        for id in 1..=count {
            let (home, disk) = (tempfile::tempdir().unwrap(), SimDisk::new(seed + u64::from(id)));
            disk.create_dir_all(home.path()).unwrap();
            let node = made.mint();
            RaftStore::format(&disk, home.path(), cluster(), node).unwrap();
            made.places.insert(id, Place { home, disk: Some(disk), node, member: None });
        }
        made
    }

    fn mint(&mut self) -> NodeId {
        self.next_node += 1;
        self.next_node - 1
    }

    /// A new directory for `id`, under a new number.
    pub(super) fn format(&mut self, id: u32) {
        let (home, node) = (tempfile::tempdir().unwrap(), self.mint());
        RaftStore::format(&RealDisk, home.path(), cluster(), node).unwrap();
        self.places.insert(id, Place { home, disk: None, node, member: None });
    }

    /// Makes `id`, which does not run, the only voter of a new quorum.
    pub(super) fn rebuild(&mut self, id: u32, incarnation: Incarnation) -> RebuildPlan {
        let node_id = self.mint();
        let place = self.places.get_mut(&id).expect("a controller");
        let (disk, at): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), place.home.path());
        let contents = RaftStore::read(Arc::clone(&disk), at, cluster(), LastStop::Unclean).unwrap();
        let plan = contents.rebuild_plan(cluster()).unwrap();
        let voter = Voter { broker: BrokerId(id), address: format!("10.0.0.{id}:9095") };
        let rebuilder = Rebuilder { node_id, voter, incarnation, now_ms: 1 };
        RaftStore::rebuild(Arc::clone(&disk), at, cluster(), &plan, rebuilder.clone()).unwrap();
        let again = RaftStore::rebuild(disk, at, cluster(), &plan, rebuilder).unwrap_err();
        assert!(matches!(again, RebuildError::Changed), "{again}");
        place.node = node_id;
        plan
    }

    pub(super) fn disk(&self, id: u32) -> &SimDisk {
        self.places[&id].disk.as_ref().expect("it is simulated")
    }

    pub(super) fn is_full(&self, id: u32) -> bool {
        let member = self.places[&id].member.as_ref().expect("it runs");
        matches!(*member.opened.health().borrow(), StoreHealth::Full { .. })
    }

    pub(super) fn node(&self, id: u32) -> NodeId {
        self.places[&id].node
    }

    pub(super) fn quorum(&self, id: u32) -> RaftQuorum {
        self.places[&id].member.as_ref().expect("it runs").quorum.clone()
    }

    pub(super) fn running(&self) -> Vec<u32> {
        self.places.iter().filter(|(_, place)| place.member.is_some()).map(|(id, _)| *id).collect()
    }

    pub(super) async fn start_all(&mut self) {
        for id in self.places.keys().copied().collect::<Vec<_>>() {
            self.start(id).await;
        }
    }

    pub(super) async fn start(&mut self, id: u32) {
        let controllers = self.places.keys().map(|id| (BrokerId(*id), format!("10.0.0.{id}:9095"))).collect();
        let place = self.places.get_mut(&id).expect("a controller");
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let disk: Arc<dyn Disk> = match &place.disk {
            Some(disk) => Arc::new(disk.clone()),
            None => Arc::new(RealDisk),
        };
        let disk: Arc<dyn Disk> = Arc::new(Latched::new(disk, place.home.path(), Arc::clone(&clock)));
        let (log, machine, opened) =
            RaftStore::open(disk, place.home.path(), cluster(), LastStop::Unclean).unwrap();
        assert_eq!(opened.node_id, place.node);
        let seat = SeatParts {
            cluster: cluster(),
            broker: BrokerId(id),
            node: place.node,
            directory: directory(id),
            generation: Arc::new(|| Generation(1)),
            controllers,
            may_found: true,
        };
        let parts = RaftParts {
            seat,
            wire: Arc::new(self.net.wire(BrokerId(id))),
            sessions: Arc::new(NoSessions),
            topic_defaults: TopicDefaults::default(),
            clock,
            entropy: Arc::new(RealEntropy),
        };
        let quorum = RaftQuorum::start(parts, log, machine, &opened).await.unwrap();
        self.net.join(BrokerId(id), quorum.clone());
        place.member = Some(Member { quorum, opened });
    }

    /// From one moment to the next nobody hears of it any more.
    pub(super) async fn kill(&mut self, id: u32) {
        self.net.leave(BrokerId(id));
        let Some(member) = self.places.get_mut(&id).and_then(|place| place.member.take()) else { return };
        member.quorum.shut_down().await;
        // It may have failed to write what the others have not heard of: all the same.
        let _ = tokio::task::spawn_blocking(move || member.opened.close()).await;
    }

    /// Who leads, as those say that agree.
    pub(super) async fn leader(&self) -> u32 {
        until("somebody leads", async || {
            self.running().into_iter().find(|id| self.quorum(*id).leads() && self.is_confirmed(*id))
        })
        .await
    }

    fn is_confirmed(&self, id: u32) -> bool {
        let says = |other: u32| self.quorum(other).status().leader == Some(BrokerId(id));
        self.running().into_iter().filter(|other| says(*other)).count() * 2 > self.places.len()
    }

    /// A quorum that decides, with broker 1 registered.
    pub(super) async fn ready(&self) {
        self.accepted(self.running()[0], register(registration(1))).await;
    }

    /// Proposes again until it is accepted.
    pub(super) async fn accepted(&self, at: u32, proposal: Proposal) -> MetaIndex {
        until("a proposal is accepted", async || match self.quorum(at).propose(proposal.clone()).await {
            Ok(accepted) => Some(accepted.index),
            Err(ProposeError::Refused { refusal }) => panic!("{refusal}"),
            Err(_) => None,
        })
        .await
    }

    /// How the quorum is, told by its leader, as soon as `wanted` holds.
    pub(super) async fn described(&self, at: u32, what: &str, wanted: impl Fn(&QuorumStatus) -> bool) {
        until(what, async || {
            let status = self.quorum(at).describe().await;
            wanted(&status).then_some(())
        })
        .await;
    }
}

/// The state and every entry after the first snapshot, as a watch of `quorum` shows them up to `to`. Lost watches are
/// taken up where they ended.
pub(super) async fn watched(quorum: &RaftQuorum, to: MetaIndex) -> (ClusterState, Vec<(MetaIndex, Entry)>) {
    let mut state: Option<ClusterState> = None;
    let mut shown = Vec::new();
    let watching = async {
        loop {
            let from = state.as_ref().map_or(MetaIndex(0), ClusterState::index);
            let mut stream = quorum.watch(from);
            while let Some(Ok(event)) = stream.next().await {
                match event {
                    WatchEvent::Opened { index, .. } => assert!(index >= from, "{index} is behind {from}"),
                    WatchEvent::Snapshot(snapshot) => {
                        let before = state.replace(ClusterState::clone(&snapshot));
                        assert!(before.is_none_or(|before| before.index() < snapshot.index()));
                    }
                    WatchEvent::Entries(entries) => {
                        let state = state.as_mut().expect("a snapshot comes first");
                        for (index, entry) in entries {
                            if index <= state.index() {
                                continue;
                            }
                            state.apply(index, &entry).expect("nothing is missing");
                            shown.push((index, Entry::clone(&entry)));
                        }
                    }
                }
                if let Some(state) = state.take_if(|state| state.index() >= to) {
                    return state;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let state = tokio::time::timeout(LONG, watching).await.expect("the watch gets there");
    (state, shown)
}
