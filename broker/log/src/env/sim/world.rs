//! What the simulated disk and its open files share: the tree, the faults, and whether there is power.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::faults::Faults;
use super::tree::{NodeId, Tree};
use crate::env::Operation;

/// Capacity of a disk that was given none, bytes.
const CAPACITY_BYTES: u64 = 1 << 40;

/// The state behind one `SimDisk`.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) faults: Faults,
    pub(super) random: StdRng,
    /// Changes asked for so far.
    pub(super) changes: u64,
    pub(super) power: Power,
    /// Syncs say yes and do nothing.
    pub(super) lying: bool,
    pub(super) capacity_bytes: u64,
    pub(super) used_bytes: u64,
    pub(super) locks: BTreeSet<PathBuf>,
    /// Counts processes: files and locks of an earlier one are dead.
    pub(super) process: u64,
}

/// Whether calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// On, and gone with the change of this number.
    Until(u64),
    Off,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            tree: Tree::new(),
            faults: Faults::default(),
            random: StdRng::seed_from_u64(seed),
            changes: 0,
            power: Power::On,
            lying: false,
            capacity_bytes: CAPACITY_BYTES,
            used_bytes: 0,
            locks: BTreeSet::new(),
            process: 0,
        }
    }

    /// The error of every call while there is no power.
    pub(super) fn check_power(&self) -> io::Result<()> {
        match self.power {
            Power::Off => Err(crashed()),
            Power::On | Power::Until(_) => Ok(()),
        }
    }

    /// A call that changes nothing.
    pub(super) fn look<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        look: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_power()?;
        match self.faults.strike(operation, path, &mut self.random) {
            Some(error) => Err(error),
            None => look(self),
        }
    }

    /// A call that changes something; `struck` is what a fault leaves behind. When the power goes in the middle of
    /// it, it may have been carried out.
    pub(super) fn change<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        change: impl FnOnce(&mut Self) -> io::Result<T>,
        struck: impl FnOnce(&mut Self),
    ) -> io::Result<T> {
        self.check_power()?;
        self.changes += 1;
        if self.power == Power::Until(self.changes) {
            if self.random.random() {
                let _ = change(self); // nobody is left to hear the outcome
            }
            self.power = Power::Off;
            return Err(crashed());
        }
        match self.faults.strike(operation, path, &mut self.random) {
            Some(error) => {
                struck(self);
                Err(error)
            }
            None => change(self),
        }
    }

    /// Takes room for a file to reach to `end`.
    pub(super) fn take_room(&mut self, node: NodeId, end: u64) -> io::Result<()> {
        let content = self.tree.content(node);
        let missing = content.room_missing(end);
        if missing > self.capacity_bytes.saturating_sub(self.used_bytes) {
            return Err(super::FaultError::StorageFull.to_error());
        }
        content.take_room(end);
        self.used_bytes += missing;
        Ok(())
    }

    /// Gives back the room of a file that lost its name.
    pub(super) fn give_room_back(&mut self, node: NodeId) {
        let room_bytes = self.tree.content(node).room_bytes();
        self.used_bytes = self.used_bytes.saturating_sub(room_bytes);
    }

    /// The process ends: its files and locks do.
    pub(super) fn end_process(&mut self) {
        self.process += 1;
        self.locks.clear();
    }

    /// The power goes, if it has not gone yet, and comes back.
    pub(super) fn crash(&mut self) {
        self.end_process();
        self.tree.crash(&mut self.random);
        self.used_bytes = self.tree.room_bytes();
        self.power = Power::On;
    }
}

/// The error of a call that hears no answer.
pub(super) fn crashed() -> io::Error {
    io::Error::other("the simulated machine crashed; nothing is answered until it is restarted")
}
