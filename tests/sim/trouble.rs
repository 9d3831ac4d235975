//! What goes wrong, and when it is over.

use fidelog_broker::replica::StreamId;
use fidelog_log::env::sim::{Fault, FaultError};
use fidelog_log::env::{Clock, Disk, Operation};
use fidelog_record::types::TopicPartition;
use rand::seq::IndexedRandom;
use std::path::Path;

use crate::broker::ROOT;
use crate::cluster::Sim;
use crate::event::{Event, Own};
use crate::slowness::{SYNC, WATCH};

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One process is killed.
    Kill,
    /// One machine loses its power.
    PowerCut,
    /// All processes are killed at once.
    KillAll,
    /// All machines lose their power at once.
    PowerCutAll,
    /// A process is killed, or its power cut, amid its next changes of the disk.
    EndAmidWork,
    /// A clean stop.
    Stop,
    /// A process stands still for a while.
    Pause,
    /// A machine is cut off from all others.
    Isolate,
    /// A link is cut, both ways or one.
    CutLink,
    /// A broker and the quorum hear nothing of each other; brokers hear one another.
    LoseQuorum,
    /// A stream breaks.
    BreakStream,
    /// A wall clock jumps.
    Clock,
    /// A disk is slow.
    SlowDisk,
    /// An operation of a disk fails.
    DiskFault,
    /// A disk is full.
    FullDisk,
    /// A watch lags.
    SlowWatch,
    /// The quorum has no majority.
    QuorumAway,
    /// Another controller becomes the active one.
    ControllerMoves,
    /// What a broker proposes arrives late.
    SlowProposals,
    /// One stream is slow.
    SlowStream,
    /// A link is cut, and whole again, and cut again.
    Flapping,
    /// Other members are asked to lead.
    Elect,
    /// A partition moves.
    Move,
    /// A topic is created, or deleted.
    Topics,
    /// A leader gives up its oldest records.
    Retain,
    /// A disk is copied, to be put back later.
    CopyDisk,
    /// A disk is put back as it was when it was copied.
    RollBack,
    /// A disk is replaced by an empty one.
    EmptyDisk,
    /// Syncs of a disk do nothing for a while, until its power is cut.
    LyingDisk,
    /// A bit flips on a disk.
    FlipBit,
}

impl Kind {
    /// All but [`Self::FlipBit`]: while a disk is damaged, less is promised of it, and less is looked at.
    pub(crate) const ALL: [Self; 29] = [
        Self::Kill,
        Self::PowerCut,
        Self::KillAll,
        Self::PowerCutAll,
        Self::EndAmidWork,
        Self::Stop,
        Self::Pause,
        Self::Isolate,
        Self::CutLink,
        Self::LoseQuorum,
        Self::BreakStream,
        Self::Clock,
        Self::SlowDisk,
        Self::DiskFault,
        Self::FullDisk,
        Self::SlowWatch,
        Self::QuorumAway,
        Self::ControllerMoves,
        Self::SlowProposals,
        Self::SlowStream,
        Self::Flapping,
        Self::Elect,
        Self::Move,
        Self::Topics,
        Self::Retain,
        Self::CopyDisk,
        Self::RollBack,
        Self::EmptyDisk,
        Self::LyingDisk,
    ];
}

/// Trouble that ends.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Cut(Vec<(usize, usize)>),
    SlowDisk(usize),
    BadDisk(usize),
    SlowWatch(usize),
    SlowProposals(usize),
    SlowStream(StreamId),
    LyingDisk(usize),
    QuorumAway,
}

impl Sim {
    pub(crate) fn make_trouble(&mut self) {
        if self.healing {
            return;
        }
        let micros = self.below(2 * self.settings.quiet);
        self.agenda.after(micros, Event::Trouble);
        let Some(kind) = self.settings.troubles.choose(&mut self.random).copied() else { return };
        let broker = usize::try_from(self.below(self.brokers.len() as u64)).expect("few brokers");
        let micros = 50_000 + self.below(3_000_000);
        match kind {
            Kind::Kill => self.end(broker, "killed"),
            Kind::PowerCut => self.cut_power(broker),
            Kind::KillAll => {
                (0..self.brokers.len()).for_each(|broker| self.end(broker, "killed, with all others"))
            }
            Kind::PowerCutAll => (0..self.brokers.len()).for_each(|broker| self.cut_power(broker)),
            Kind::EndAmidWork => self.end_amid_work(broker, 40),
            Kind::Stop => {
                self.life_mut(broker).into_iter().for_each(|life| life.stopping = true);
                let micros = self.below(600_000);
                self.own_later(broker, micros, Own::Stop);
            }
            Kind::Pause => self.pause(broker, micros),
            Kind::Isolate => self.isolate(broker, micros),
            Kind::CutLink => self.cut_link(broker, micros),
            Kind::LoseQuorum => self.lose_quorum(broker, 1_000_000 + micros),
            Kind::BreakStream => {
                let all: Vec<_> = self.network.streams.keys().copied().collect();
                let some = all.choose(&mut self.random).copied();
                some.into_iter().for_each(|id| self.break_stream(id));
            }
            Kind::Clock => self.jump(broker),
            Kind::SlowDisk => self.slow_disk(broker, micros),
            Kind::DiskFault => self.plan_fault(broker),
            Kind::FullDisk => self.fill_disk(broker, micros),
            Kind::SlowWatch => self.slow_watch(broker, micros),
            Kind::QuorumAway => {
                self.tell("quorum away", &[], || "the quorum has no majority".to_owned());
                self.quorum.away = true;
                self.agenda.after(micros / 2, Event::Over(Trouble::QuorumAway));
            }
            Kind::ControllerMoves => self.move_controller(),
            Kind::SlowProposals => self.slow_proposals(broker, micros),
            Kind::SlowStream => self.slow_stream(broker, micros),
            Kind::Flapping => self.flap(broker),
            Kind::Elect => self.elect(),
            Kind::Move => self.move_replicas(),
            Kind::Topics => self.change_topics(),
            Kind::Retain => self.retain(broker),
            Kind::CopyDisk => self.copy_disk(broker),
            Kind::RollBack => self.roll_back(broker),
            Kind::EmptyDisk => self.empty_disk(broker),
            Kind::LyingDisk => self.lie(broker, micros / 2),
            Kind::FlipBit => self.flip_bit(broker),
        }
    }

    pub(crate) fn cut_power(&mut self, broker: usize) {
        self.brokers[broker].disk.cut_power();
        self.end(broker, "the power is cut");
    }

    pub(crate) fn end_amid_work(&mut self, broker: usize, changes_max: u64) {
        let changes = self.below(changes_max);
        let cut = self.percent(60);
        self.tell("end planned", &[broker as u64, changes], || {
            format!("broker {} will end after {changes} more changes; power cut: {cut}", broker + 1)
        });
        match cut {
            // A machine without power loses it again as it starts.
            true if self.brokers[broker].disk.is_crashed() => {
                self.brokers[broker].crash_next = Some(changes);
            }
            true => self.brokers[broker].disk.crash_after(changes),
            false => self.life(broker).into_iter().for_each(|life| life.process.end_after(changes)),
        }
    }

    /// How many changes a starting process makes before it is killed, if it is.
    pub(crate) fn dies_amid_start(&mut self) -> Option<u64> {
        let dies = !self.healing && self.percent(6);
        dies.then(|| self.below(30))
    }

    /// A clean stop: everybody is told, everything synced.
    pub(crate) fn stop(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else { return };
        if life.registered.is_none() {
            // A start takes no notice of signals: it ends, and what it found unclean stays so (N10).
            self.end(broker, "stopped before it was registered");
            return;
        }
        let (flusher, partitions) = (std::sync::Arc::clone(&life.flusher), life.partitions.clone());
        partitions.values().for_each(|partition| partition.stopping());
        self.settle(broker);
        let stopped = flusher.shutdown();
        self.tell("stops", &[broker as u64], || format!("broker {} stops: {stopped:?}", broker + 1));
        self.settle(broker);
        drop((flusher, partitions));
        self.end(broker, "stopped");
    }

    fn isolate(&mut self, broker: usize, micros: u64) {
        let others = (0..=self.brokers.len()).filter(|&other| other != broker);
        let cut: Vec<_> = others.flat_map(|other| [(broker, other), (other, broker)]).collect();
        self.cut_links(cut, micros);
    }

    /// Long enough that another one leads what this broker does not know it leads no more (N12, N18).
    fn lose_quorum(&mut self, broker: usize, micros: u64) {
        let quorum = self.quorum_node();
        self.cut_links(vec![(broker, quorum), (quorum, broker)], micros);
    }

    pub(crate) fn cut_link(&mut self, broker: usize, micros: u64) {
        let other = usize::try_from(self.below(self.brokers.len() as u64 + 1)).expect("few brokers");
        if other == broker {
            return;
        }
        let cut = match self.below(3) {
            0 => vec![(broker, other)],
            1 => vec![(other, broker)],
            _ => vec![(broker, other), (other, broker)],
        };
        self.cut_links(cut, micros);
    }

    /// A link breaks and comes back, a few times.
    fn flap(&mut self, broker: usize) {
        let other = usize::try_from(self.below(self.brokers.len() as u64)).expect("few brokers");
        let mut begins = 0;
        for _ in 0..2 + self.below(4) {
            let micros = 20_000 + self.below(700_000);
            self.agenda.after(begins, Event::Cut { one: broker, other, micros });
            begins += micros + self.below(600_000);
        }
    }

    /// Nothing passes between two machines for a while, and every stream between them breaks.
    pub(crate) fn cut_between(&mut self, one: usize, other: usize, micros: u64) {
        if one == other || self.healing {
            return;
        }
        self.cut_links(vec![(one, other), (other, one)], micros);
        for id in self.network.of(one) {
            if self.network.streams.get(&id).is_some_and(|stream| stream.from == other || stream.to == other)
            {
                self.break_stream(id);
            }
        }
    }

    fn cut_links(&mut self, cut: Vec<(usize, usize)>, micros: u64) {
        self.tell("cut", &[cut.len() as u64], || {
            let named: Vec<_> = cut.iter().map(|(from, to)| (from + 1, to + 1)).collect();
            format!("nothing passes from and to: {named:?}")
        });
        cut.iter().for_each(|&(from, to)| self.network.cut(from, to));
        self.agenda.after(micros, Event::Over(Trouble::Cut(cut)));
    }

    fn jump(&mut self, broker: usize) {
        let clock = &self.brokers[broker].clock;
        let wall_ms = clock.wall_ms();
        let by = self.below(2_000_000);
        let wall_ms = if self.percent(50) { wall_ms + by } else { wall_ms - by };
        self.tell("clock", &[broker as u64, wall_ms], || {
            format!("the wall clock of broker {} jumps", broker + 1)
        });
        self.brokers[broker].clock.set_wall_ms(wall_ms);
    }

    fn plan_fault(&mut self, broker: usize) {
        const OPERATIONS: [Operation; 11] = [
            Operation::Open,
            Operation::Create,
            Operation::Write,
            Operation::Write,
            Operation::Allocate,
            Operation::Sync,
            Operation::Sync,
            Operation::Sync,
            Operation::SyncDir,
            Operation::Rename,
            Operation::Remove,
        ];
        const ERRORS: [FaultError; 4] =
            [FaultError::Io, FaultError::StorageFull, FaultError::TooManyFiles, FaultError::ReadOnly];
        let operation = *OPERATIONS.choose(&mut self.random).expect("there are some");
        let error = *ERRORS.choose(&mut self.random).expect("there are some");
        let nth = 1 + self.below(10);
        self.tell("fault", &[broker as u64, nth], || {
            format!(
                "planned for broker {}: {operation} number {nth} from now fails with {error:?}",
                broker + 1
            )
        });
        self.brokers[broker].disk.inject(Fault::once(operation, nth, error));
        self.brokers[broker].excused = true;
    }

    fn fill_disk(&mut self, broker: usize, micros: u64) {
        let disk = &self.brokers[broker].disk;
        let root = Path::new(ROOT);
        let (Ok(free), Ok(total)) = (disk.free_bytes(root), disk.total_bytes(root)) else { return };
        let capacity = total - free + self.below(20_000);
        self.tell("full disk", &[broker as u64, capacity], || {
            format!("the disk of broker {} is full", broker + 1)
        });
        self.brokers[broker].disk.set_capacity_bytes(capacity);
        self.brokers[broker].excused = true;
        self.agenda.after(micros, Event::Over(Trouble::BadDisk(broker)));
    }

    /// Faults of a disk are over; what they did stays done.
    pub(crate) fn mend_disk(&mut self, broker: usize) {
        let machine = &mut self.brokers[broker];
        machine.disk.clear_faults();
        machine.disk.set_capacity_bytes(1 << 40);
        machine.excused = false;
    }

    /// Leaders of this broker give up their oldest records.
    fn retain(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else { return };
        let state = self.quorum.state();
        // Positions are given up by their owners alone.
        let records = |at: &TopicPartition| state.topic(at.topic).is_some_and(|topic| !topic.internal);
        let hosted: Vec<_> = life.partitions.keys().copied().filter(records).collect();
        for at in hosted {
            let Some(history) = self.judge.history.get(&at) else { continue };
            let bases: Vec<_> = history.batches().iter().map(|batch| batch.base_offset()).collect();
            let Some(&to) = bases.choose(&mut self.random) else { continue };
            self.tell("retain", &[broker as u64, to.0], || {
                format!("broker {} is to retain from {to}", broker + 1)
            });
            self.step(broker, at, |partition| partition.advance_start(to));
        }
    }

    pub(crate) fn end_trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut(cut) => {
                if self.healing {
                    return; // All links are whole already.
                }
                cut.iter().for_each(|&(from, to)| self.network.mend(from, to));
                self.free_held();
            }
            Trouble::SlowDisk(broker) => self.brokers[broker].sync_micros_max = SYNC,
            Trouble::BadDisk(broker) => self.mend_disk(broker),
            Trouble::SlowWatch(broker) => self.brokers[broker].watch_micros_max = WATCH,
            Trouble::SlowProposals(broker) => self.brokers[broker].ask_micros_max = 0,
            Trouble::SlowStream(id) => {
                if let Some(stream) = self.network.streams.get_mut(&id) {
                    (stream.to_follower.slow_micros, stream.to_leader.slow_micros) = (0, 0);
                }
            }
            Trouble::LyingDisk(broker) => self.end_lie(broker),
            Trouble::QuorumAway => {
                self.quorum.away = false;
                self.move_controller();
            }
        }
    }
}
