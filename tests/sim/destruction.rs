//! Disks that lose what was synced: emptied ones, and ones put back as they once were.
//!
//! Always true: what was acknowledged is left on some other member of every partition's sets. No rule saves more than
//! that.

use std::path::{Path, PathBuf};

use fidelog_broker::meta::state::PartitionEntry;
use fidelog_broker::partition::Partition;
use fidelog_log::env::sim::SimDisk;
use fidelog_log::env::{Disk, Latched, OpenMode};
use fidelog_record::PlacedBatch;
use fidelog_record::types::{PartitionIndex, TopicId, TopicPartition};
use rand::seq::IndexedRandom;
use std::sync::Arc;

use crate::broker::{Life, ROOT, index_of};
use crate::cluster::Sim;
use crate::event::Event;
use crate::judge::held;
use crate::mending::scrub;
use crate::trouble::Trouble;

/// No partition comes before it.
const FIRST: TopicPartition = TopicPartition { topic: TopicId::NIL, partition: PartitionIndex(0) };

impl Sim {
    /// Whether every partition has another member that holds what was acknowledged.
    fn may_be_destroyed(&self, broker: usize) -> bool {
        let me = self.brokers[broker].id;
        let whole = |id: &fidelog_record::types::BrokerId| !self.brokers[index_of(*id)].tainted;
        let others_tainted =
            (0..self.brokers.len()).any(|other| other != broker && self.brokers[other].tainted);
        let safe = self.quorum.state().partitions().all(|(_, entry)| {
            !entry.is_member(me) || entry.members().filter(|id| *id != me && whole(id)).count() > 0
        });
        safe && !others_tainted
    }

    pub(crate) fn copy_disk(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else { return };
        let generation = life.home.identity().generation;
        self.tell("copy", &[broker as u64], || format!("the disk of broker {} is copied", broker + 1));
        let machine = &mut self.brokers[broker];
        machine.copy = Some((machine.disk.copy(), generation));
    }

    /// Only where the quorum can know: a later generation was registered since (N13).
    pub(crate) fn roll_back(&mut self, broker: usize) {
        let me = self.brokers[broker].id;
        let registered = self.quorum.state().broker(me).map(|entry| (entry.generation, entry.directory));
        let Some((copy, generation)) = self.brokers[broker].copy.take() else { return };
        let known = registered.is_some_and(|(registered, _)| registered > generation);
        if !known || !self.may_be_destroyed(broker) {
            return;
        }
        self.tell("roll back", &[broker as u64], || {
            format!("the disk of broker {} is put back as it was at generation {generation}", broker + 1)
        });
        self.end(broker, "its disk is put back");
        let machine = &mut self.brokers[broker];
        machine.disk = copy;
        (machine.lying, machine.lied) = (false, false);
        machine.disk.set_lying(false);
        machine.disk.crash();
        machine.disk.clear_faults();
        (machine.tainted, machine.hurt) = (true, None);
    }

    pub(crate) fn empty_disk(&mut self, broker: usize) {
        if !self.may_be_destroyed(broker) {
            return;
        }
        self.tell("empty", &[broker as u64], || format!("the disk of broker {} is emptied", broker + 1));
        self.end(broker, "its disk is replaced");
        self.replace_disk(broker);
    }

    /// An empty disk, formatted anew.
    pub(crate) fn replace_disk(&mut self, broker: usize) {
        let cluster = self.cluster;
        let machine = &mut self.brokers[broker];
        machine.lying = false;
        machine.disk.set_lying(false);
        machine.disk.crash();
        machine.disk.clear_faults();
        machine.disk.set_capacity_bytes(1 << 40);
        let latched = Latched::new(Arc::new(machine.disk.clone()), ROOT, Arc::new(machine.clock.clone()));
        latched.remove_dir_all(Path::new(ROOT)).expect("the disk is well");
        latched.sync_dir(Path::new("/")).expect("the disk is well");
        (machine.copy, machine.tainted, machine.needs_mount) = (None, true, false);
        (machine.hurt, machine.lied) = (None, false);
        machine.format(cluster);
    }

    /// What is synced from now on is not, until the power is cut: what N10 is for.
    pub(crate) fn lie(&mut self, broker: usize, micros: u64) {
        if !self.may_be_destroyed(broker) {
            return;
        }
        self.tell("lies", &[broker as u64], || format!("syncs of broker {} do nothing", broker + 1));
        let index = self.quorum.state().index();
        let machine = &mut self.brokers[broker];
        machine.disk.set_lying(true);
        (machine.lying, machine.lied, machine.tainted, machine.hurt) = (true, true, true, None);
        machine.lied_since.get_or_insert(index);
        self.agenda.after(micros, Event::Over(Trouble::LyingDisk(broker)));
    }

    pub(crate) fn end_lie(&mut self, broker: usize) {
        if std::mem::take(&mut self.brokers[broker].lying) {
            self.cut_power(broker);
            self.brokers[broker].disk.set_lying(false);
        }
    }

    /// A bit of a batch that another living in-sync replica holds, too: damage in what only one holds, acknowledged or
    /// not, takes an operator.
    pub(crate) fn flip_bit(&mut self, broker: usize) {
        if self.brokers[broker].tainted || !self.may_be_destroyed(broker) {
            return;
        }
        let shared = self.shared_batches(broker);
        let Some((partition, batch)) = shared.choose(&mut self.random) else { return };
        let (hurt, batch) = ((*partition, batch.base_offset()), batch.to_bytes());
        let (byte, bit) = (self.below(batch.len() as u64), self.below(8));
        let disk = self.brokers[broker].disk.clone();
        let Some((file, at)) = place_of(&disk, &batch) else { return };
        if disk.flip_bit(&file, at + byte, u8::try_from(bit).expect("below 8")).is_ok() {
            (self.brokers[broker].tainted, self.brokers[broker].hurt) = (true, Some(hurt));
            self.tell("flips", &[broker as u64, at + byte], || {
                format!("a bit of broker {} flips at {} of {}", broker + 1, at + byte, file.display())
            });
        }
    }

    /// What this broker has synced, and another one that is in sync, whole and up.
    fn shared_batches(&self, broker: usize) -> Vec<(TopicPartition, PlacedBatch)> {
        let mut shared = Vec::new();
        for ((_, at), shadow) in self.judge.shadows.range((broker, FIRST)..(broker + 1, FIRST)) {
            let Some(entry) = self.quorum.state().partition(*at) else { continue };
            let proven = entry.isr.iter().filter(|id| !entry.unproven.contains(id)).map(|&id| index_of(id));
            let others = proven.filter(|&other| {
                other != broker && !self.brokers[other].tainted && self.partition(other, *at).is_some()
            });
            let others: Vec<_> = others.filter_map(|other| self.judge.shadows.get(&(other, *at))).collect();
            let is_shared =
                |it: &&PlacedBatch| others.iter().any(|other| other.at(it.base_offset()) == Some(*it));
            shared.extend(shadow.batches.iter().filter(is_shared).map(|it| (*at, it.clone())));
        }
        shared
    }

    /// Whose data was destroyed holds everything again once it is in every in-sync set, with a replica that was made anew.
    pub(crate) fn look_at_destroyed(&mut self) {
        for broker in 0..self.brokers.len() {
            if !self.brokers[broker].tainted || self.brokers[broker].lying {
                continue;
            }
            let me = self.brokers[broker].id;
            let registered = self.life(broker).and_then(|life| life.registered).map(|(epoch, _)| epoch);
            let state = self.quorum.state();
            let known = registered.is_some() && state.broker(me).map(|entry| entry.epoch) == registered;
            let hosted =
                |at: TopicPartition| self.life(broker).is_some_and(|life| life.partitions.contains_key(&at));
            // One that restarted uncleanly is no proof: what it holds is not looked at yet (N10).
            let proven = |entry: &PartitionEntry| entry.isr.contains(&me) && !entry.unproven.contains(&me);
            let in_sync =
                state.partitions().all(|(at, entry)| !entry.has_replica(me) || proven(entry) && hosted(at));
            let damaged = self.life(broker).is_some_and(|life| {
                life.partitions.values().for_each(|partition| scrub(partition));
                life.partitions.values().any(|partition| partition.view().is_damaged())
            });
            let readable = |life: &Life| life.partitions.values().all(|partition| is_readable(partition));
            if known && in_sync && !damaged && self.life(broker).is_some_and(readable) {
                self.tell("whole", &[broker as u64], || {
                    format!("broker {} holds everything again", broker + 1)
                });
                let machine = &mut self.brokers[broker];
                (machine.tainted, machine.lied, machine.hurt) = (false, false, None);
            }
        }
    }
}

/// Whether every batch of a log is there.
fn is_readable(partition: &Partition) -> bool {
    let view = partition.view();
    let (start, end) = (view.start(), view.durable_end());
    let (batches, reached) = held(partition, partition.id(), start, end);
    let mut next = start;
    let follows = |batch: &PlacedBatch| {
        let fits = batch.base_offset() <= next;
        next = batch.end_offset();
        fits
    };
    reached == end && batches.iter().all(follows) && next == end
}

/// The segment file that holds these bytes, and where.
fn place_of(disk: &SimDisk, bytes: &[u8]) -> Option<(PathBuf, u64)> {
    let topics = Path::new(ROOT).join("topics");
    for topic in disk.list(&topics).ok()? {
        for partition in disk.list(&topics.join(&topic.name)).ok()? {
            let directory = topics.join(&topic.name).join(&partition.name);
            for file in disk.list(&directory).ok()?.iter().filter(|it| it.name.ends_with(".log")) {
                let path = directory.join(&file.name);
                let opened = disk.open(&path, OpenMode::Read).ok()?;
                let mut content = vec![0; usize::try_from(opened.len().ok()?).expect("files are small")];
                opened.read_exact_at(&mut content, 0).ok()?;
                if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
                    return Some((path, at as u64));
                }
            }
        }
    }
    None
}
