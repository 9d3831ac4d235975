//! What can go wrong with a node, its disk or its links.

use std::fmt;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::run::{BROKERS, Scene};
use crate::harness::directory::{copy, remove};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `kill -9` of these at once.
    Kill(Vec<u32>),
    /// `kill -9` of whoever leads the quorum.
    KillController,
    /// SIGSTOP.
    Pause(u32),
    /// SIGTERM, one after the other, each started again at once.
    Rolling,
    /// Its disk is replaced by an empty one.
    EmptyDisk(u32),
    /// Its disk is replaced by what it held earlier.
    OlderDisk(u32),
    /// Its network is pulled.
    Unplug(u32),
    /// These two do not reach each other.
    Cut(u32, u32),
    /// What the first sends does not reach the second.
    CutOneWay(u32, u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(ids) => write!(f, "kill -9 of {ids:?}"),
            Self::KillController => f.write_str("kill -9 of the quorum's leader"),
            Self::Pause(id) => write!(f, "SIGSTOP of {id}"),
            Self::Rolling => f.write_str("a rolling restart"),
            Self::EmptyDisk(id) => write!(f, "an empty disk in {id}"),
            Self::OlderDisk(id) => write!(f, "an older disk in {id}"),
            Self::Unplug(id) => write!(f, "{id} unplugged"),
            Self::Cut(a, b) => write!(f, "{a} and {b} cut from each other"),
            Self::CutOneWay(from, to) => write!(f, "{from} cannot send to {to}"),
        }
    }
}

impl Fault {
    /// Some fault; of links only where there is a network to cut.
    pub(super) fn choose(random: &mut StdRng, network: bool) -> Self {
        let mut ids: Vec<u32> = (1..=BROKERS).collect();
        ids.shuffle(random);
        let [a, b, ..] = ids[..] else { unreachable!("there are three brokers") };
        match random.random_range(0..if network { 16 } else { 10 }) {
            0 | 1 => Self::Kill(vec![a]),
            2 => Self::Kill(ids[..*[2, 3].choose(random).expect("two")].to_vec()),
            3 | 4 => Self::KillController,
            5 | 6 => Self::Pause(a),
            7 => Self::Rolling,
            8 => Self::EmptyDisk(a),
            9 => Self::OlderDisk(a),
            10 | 11 => Self::Unplug(a),
            12 | 13 => Self::Cut(a, b),
            _ => Self::CutOneWay(a, b),
        }
    }

    /// Whether acknowledgements must go on while it lasts: one node of three is away at most.
    pub(super) fn is_survived(&self) -> bool {
        match self {
            Self::Kill(ids) => ids.len() == 1,
            // A rolling restart is over before anybody looks.
            Self::KillController
            | Self::Pause(_)
            | Self::Unplug(_)
            | Self::EmptyDisk(_)
            | Self::OlderDisk(_) => true,
            Self::Rolling => true,
            // Two that do not reach each other may quarrel through the third; they must be well when it is over.
            Self::Cut(..) | Self::CutOneWay(..) => false,
        }
    }

    /// Lets it happen.
    pub(super) async fn strike(&mut self, scene: &mut Scene<'_>) {
        if *self == Self::KillController {
            *self = Self::Kill(vec![scene.controller().await]);
        }
        match self {
            Self::Kill(ids) => ids.iter().for_each(|id| scene.cluster.broker(*id).kill()),
            Self::KillController => unreachable!("it is known by now who that is"),
            Self::Pause(id) => scene.cluster.broker(*id).pause(),
            Self::Rolling => {
                for id in 1..=BROKERS {
                    let broker = scene.cluster.broker(id);
                    assert_eq!(broker.terminate().code(), Some(0), "broker {id} did not stop cleanly");
                    broker.start();
                    scene.cluster.ready().await;
                    scene.in_sync().await;
                }
            }
            Self::EmptyDisk(id) => {
                let broker = scene.cluster.broker(*id);
                broker.kill();
                remove(&broker.data_dir());
            }
            Self::OlderDisk(id) => {
                let broker = scene.cluster.broker(*id);
                assert_eq!(broker.terminate().code(), Some(0), "broker {id} did not stop cleanly");
                let older = broker.data_dir().with_extension("older");
                copy(&broker.data_dir(), &older);
                broker.start();
                scene.cluster.ready().await;
                scene.workload.acknowledged(100).await;
                let broker = scene.cluster.broker(*id);
                broker.kill();
                remove(&broker.data_dir());
                std::fs::rename(&older, broker.data_dir()).expect("the older copy takes its place");
            }
            Self::Unplug(id) => scene.network().plug(*id, false),
            Self::Cut(a, b) => {
                scene.network().cut(*a, *b);
                scene.network().cut(*b, *a);
            }
            Self::CutOneWay(from, to) => scene.network().cut(*from, *to),
        }
    }

    /// Takes it back.
    pub(super) fn mend(&self, scene: &mut Scene<'_>) {
        match self {
            Self::Kill(ids) => ids.iter().for_each(|id| scene.cluster.broker(*id).start()),
            Self::KillController => unreachable!("it became a plain kill when it struck"),
            Self::Pause(id) => scene.cluster.broker(*id).resume(),
            Self::Rolling => {}
            Self::EmptyDisk(id) => {
                let broker = scene.cluster.broker(*id);
                broker.format().expect("an empty disk is formatted");
                broker.start();
            }
            Self::OlderDisk(id) => scene.cluster.broker(*id).start(),
            Self::Unplug(id) => scene.network().plug(*id, true),
            Self::Cut(a, b) => {
                scene.network().join(*a, *b);
                scene.network().join(*b, *a);
            }
            Self::CutOneWay(from, to) => scene.network().join(*from, *to),
        }
    }
}
