//! Power cuts at random instants: what was answered is there afterwards, and what was not is there whole or not at
//! all.
//!
//! One seed is a node's life: votes, appends, cuts, purges and snapshots as the library asks for them, interrupted by
//! crashes that lose, keep or tear whatever is not synced, while it runs and while it opens again; or by a sync that
//! fails, after which the file reads well and the disk never got it, so that only writing it again keeps it.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::sim::{Fault, FaultError, SimDisk};
use fidelog_log::env::{Disk, Operation};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{RaftLogReader, StorageHelper};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::fixture::{Entry, Store, blank, fold, found, grants, log_id, membership};
use super::stored::encode_image;
use super::{Contents, LogId, RaftStore, SnapshotMeta, StorageError, StoredMembership, Vote};
use crate::meta::state::fixture::cluster;
use crate::meta::store::LastStop;

const SEEDS: u64 = 300;
const LIVES: u32 = 3;
const STEPS_PER_LIFE_MAX: u32 = 30;
const CHANGES_TO_CRASH_MAX: u64 = 150;
const ROOT: &str = "/data";

/// What a store must hold.
#[derive(Clone, Debug)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogId>,
    snapshot: Option<SnapshotMeta>,
    /// The log from index 0 on, with what was purged.
    full: Vec<Entry>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.full.last().map(|entry| entry.log_id)
    }

    fn covered(&self) -> Option<LogId> {
        self.snapshot.as_ref().and_then(|meta| meta.last_log_id)
    }

    /// The entries that must be in the log. A snapshot may be ahead of it until it is purged.
    fn log(&self, logged_end: u64) -> &[Entry] {
        let end = usize::try_from(logged_end).unwrap();
        &self.full[usize::try_from(end_of(self.purged)).unwrap().min(end)..end]
    }

    fn holds(&self, logged_end: u64, contents: &Contents) -> bool {
        let log: Vec<_> = contents.log.iter().map(|(entry, _)| entry).collect();
        self.vote == contents.vote
            && self.purged == contents.purged
            && self.snapshot.as_ref() == contents.snapshot.as_ref().map(|(meta, _)| meta)
            && self.log(logged_end).iter().collect::<Vec<_>>() == log
    }
}

fn end_of(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

/// What the library asks for.
#[derive(Clone, Debug)]
enum Step {
    Vote(Vote),
    Append(Vec<Entry>),
    Truncate(LogId),
    Purge(LogId),
    Build,
    /// A leader's snapshot of its whole log.
    Install(SnapshotMeta, Vec<Entry>),
}

/// A model with the end of the log as it is in the file.
#[derive(Clone, Debug)]
struct Kept {
    model: Model,
    logged_end: u64,
    /// Asked for before a snapshot covered it: written with the snapshot that does.
    purge_due: Option<LogId>,
}

impl Kept {
    fn after(mut self, step: &Step, applied: Option<LogId>) -> Self {
        let model = &mut self.model;
        match step {
            Step::Vote(vote) => model.vote = Some(*vote),
            Step::Append(entries) => {
                model.full.extend(entries.iter().cloned());
                self.logged_end = end_of(model.last());
            }
            Step::Truncate(from) => {
                model.full.truncate(usize::try_from(from.index).unwrap());
                self.logged_end = from.index;
            }
            Step::Purge(upto) => self.purge_due = Some(*upto),
            Step::Build => model.snapshot = Some(about(&model.full, applied.unwrap(), true)),
            Step::Install(meta, full) => {
                model.full.clone_from(full);
                model.snapshot = Some(meta.clone());
            }
        }
        let covered = self.model.covered();
        if let Some(upto) = self.purge_due.take_if(|upto| Some(*upto) <= covered) {
            self.model.purged = Some(upto);
            self.logged_end = self.logged_end.max(upto.index + 1);
        }
        self
    }
}

/// What a snapshot of `full` up to `last` says of itself.
fn about(full: &[Entry], last: LogId, own: bool) -> SnapshotMeta {
    let covered = &full[..=usize::try_from(last.index).unwrap()];
    let last_membership = covered.iter().rev().find_map(|entry| match &entry.payload {
        openraft::EntryPayload::Membership(it) => Some(StoredMembership::new(Some(entry.log_id), it.clone())),
        _ => None,
    });
    let len = encode_image(fold(covered).as_ref()).len();
    let maker = if own { super::fixture::NODE } else { 8 };
    SnapshotMeta {
        last_log_id: Some(last),
        last_membership: last_membership.unwrap_or_default(),
        snapshot_id: format!("{last}@{maker}+{len}"),
    }
}

fn image(full: &[Entry]) -> Box<std::io::Cursor<Vec<u8>>> {
    Box::new(std::io::Cursor::new(encode_image(fold(full).as_ref())))
}

struct Life {
    seed: u64,
    disk: SimDisk,
    random: StdRng,
    kept: Kept,
    /// Given to the store and not answered well.
    doubtful: Vec<Step>,
    term: u64,
    applied: Option<LogId>,
    /// The last one that is committed.
    committed: Option<LogId>,
    /// The last one the store was told so of, and the one it was told before its last answer.
    told: Option<LogId>,
    told_synced: Option<LogId>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new(ROOT)).unwrap();
        Store::format(&disk, Path::new(ROOT));
        let model = Model { vote: None, purged: None, snapshot: None, full: Vec::new() };
        Self {
            seed,
            disk,
            random: StdRng::seed_from_u64(seed),
            kept: Kept { model, logged_end: 0, purge_due: None },
            doubtful: Vec::new(),
            term: 1,
            applied: None,
            committed: None,
            told: None,
            told_synced: None,
        }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// Reads what the file holds; with a crash or two in the middle.
    fn read(&mut self) -> Contents {
        if self.random.random_range(0..3) == 0 {
            self.disk.crash_after(self.random.random_range(0..40));
        }
        loop {
            let read = RaftStore::read(self.disk(), Path::new(ROOT), cluster(), LastStop::Unclean);
            match read {
                Ok(contents) if !self.disk.is_crashed() => {
                    // What is armed and did not strike must not strike later.
                    self.disk.crash_after(u64::MAX / 2);
                    return contents;
                }
                Err(error) if !self.disk.is_crashed() => panic!("seed {}: {error}", self.seed),
                _ => self.disk.restart(),
            }
        }
    }

    /// Opens the store, and checks that it holds what it must.
    async fn open(&mut self) -> Store {
        let contents = self.read();
        let mut allowed = vec![self.kept.clone()];
        for step in std::mem::take(&mut self.doubtful) {
            let more: Vec<_> = allowed.iter().map(|kept| kept.clone().after(&step, self.applied)).collect();
            allowed.extend(more);
        }
        let found = allowed.into_iter().find(|kept| kept.model.holds(kept.logged_end, &contents));
        let Some(found) = found else {
            panic!("seed {}: kept {:?}, found {contents:?}", self.seed, self.kept);
        };
        self.kept = Kept { purge_due: None, ..found };
        let (from, to) = (end_of(self.told_synced), end_of(self.told));
        let committed_end = end_of(contents.committed);
        assert!((from..=to).contains(&committed_end), "seed {}: {from} {committed_end} {to}", self.seed);

        let mut store = Store::open(self.disk(), Path::new(ROOT), LastStop::Clean).unwrap();
        let mut helper = StorageHelper::new(&mut store.log, &mut store.machine);
        helper.get_initial_state().await.unwrap();
        self.applied = store.machine.applied_state().await.unwrap().0;
        let applied_end = end_of(self.applied);
        let covered = self.kept.model.covered();
        assert_eq!(applied_end, committed_end.max(end_of(covered)), "seed {}", self.seed);
        // The library purges what a snapshot is ahead of the log.
        if self.kept.logged_end < applied_end {
            self.kept.logged_end = applied_end;
            self.kept.model.purged = self.applied;
        }
        let full = &self.kept.model.full[..usize::try_from(applied_end).unwrap()];
        assert_eq!(store.state().as_deref(), fold(full).as_ref(), "seed {}", self.seed);
        (self.told, self.told_synced) = (contents.committed, contents.committed);
        self.committed = self.committed.max(self.applied);
        store
    }

    /// Lives until the power is cut, or not.
    async fn live(&mut self) {
        let mut store = self.open().await;
        let changes = self.random.random_range(0..CHANGES_TO_CRASH_MAX);
        let sync_fails = self.random.random_range(0..4) == 0;
        if sync_fails {
            self.disk.inject(Fault::once(Operation::Sync, 1 + changes / 10, FaultError::Io));
        } else {
            self.disk.crash_after(changes);
        }
        for _ in 0..self.random.random_range(1..STEPS_PER_LIFE_MAX) {
            if self.step(&mut store).await.is_err() {
                let cause = self.disk.is_crashed() || sync_fails;
                assert!(cause, "seed {}: an error without a cause", self.seed);
                break;
            }
        }
        let Store { opened, .. } = store;
        if sync_fails {
            let _ = opened.close();
            self.disk.clear_faults();
            self.disk.kill();
            return;
        }
        if self.random.random_range(0..4) == 0 {
            // Whether it closed well or not, all that was answered stays.
            if opened.close().is_ok() {
                self.told_synced = self.told;
            }
        } else {
            self.disk.cut_power();
            let _ = opened.close();
        }
        self.disk.restart();
    }

    async fn step(&mut self, store: &mut Store) -> Result<(), StorageError> {
        let committed_end = end_of(self.committed);
        let covered = self.kept.model.covered();
        match self.random.random_range(0..20) {
            0..4 => {
                self.term += 1;
                let vote = if self.random.random() {
                    Vote::new(self.term, 7)
                } else {
                    Vote::new_committed(self.term, 8)
                };
                self.run(store, Step::Vote(vote)).await
            }
            4..10 => {
                let entries = self.entries(end_of(self.kept.model.last()), &self.kept.model.full.clone());
                self.run(store, Step::Append(entries)).await
            }
            10..14 if committed_end < self.kept.logged_end => self.commit(store).await,
            14..15 if committed_end < self.kept.logged_end => {
                let from = self.random.random_range(committed_end..self.kept.logged_end);
                let from = self.kept.model.full[usize::try_from(from).unwrap()].log_id;
                self.run(store, Step::Truncate(from)).await
            }
            15..17 if self.applied > covered => self.run(store, Step::Build).await,
            17..18 if covered > self.kept.model.purged => {
                let range = end_of(self.kept.model.purged)..end_of(covered);
                let upto = self.random.random_range(range);
                let upto = self.kept.model.full[usize::try_from(upto).unwrap()].log_id;
                self.run(store, Step::Purge(upto)).await
            }
            18 if self.applied > covered => self.append_and_build(store).await,
            19 => self.install(store).await,
            _ => Ok(()),
        }
    }

    /// Entries that follow `full`.
    fn entries(&mut self, from: u64, full: &[Entry]) -> Vec<Entry> {
        let mut full = full.to_vec();
        let from_at = full.len();
        for index in from..from + self.random.random_range(1..5) {
            let id = log_id(self.term, index);
            let entry = match fold(&full) {
                _ if index == 0 => membership(id),
                None => found(id),
                Some(state) => match self.random.random_range(0..10) {
                    0 => blank(id),
                    1 => membership(id),
                    2 => found(id),
                    3 => super::fixture::batch(id, state.index().next(), Vec::new()),
                    count => grants(id, &state, count),
                },
            };
            full.push(entry);
        }
        full.split_off(from_at)
    }

    /// Tells the store that more is committed, and applies it.
    async fn commit(&mut self, store: &mut Store) -> Result<(), StorageError> {
        let index = self.random.random_range(end_of(self.committed)..self.kept.logged_end);
        let id = self.kept.model.full[usize::try_from(index).unwrap()].log_id;
        self.committed = self.committed.max(Some(id));
        self.told = self.committed;
        store.log.save_committed(self.told).await?;
        let entries = store.log.try_get_log_entries(end_of(self.applied)..=index).await?;
        store.machine.apply(entries).await?;
        self.applied = Some(id);
        let full = &self.kept.model.full[..=usize::try_from(index).unwrap()];
        assert_eq!(store.state().as_deref(), fold(full).as_ref(), "seed {}", self.seed);
        Ok(())
    }

    async fn run(&mut self, store: &mut Store, step: Step) -> Result<(), StorageError> {
        let result = match &step {
            Step::Vote(vote) => store.log.save_vote(vote).await,
            Step::Append(entries) => store.log.blocking_append(entries.clone()).await,
            Step::Truncate(from) => store.log.truncate(*from).await,
            Step::Purge(upto) => store.log.purge(*upto).await,
            Step::Build => store.machine.get_snapshot_builder().await.build_snapshot().await.map(drop),
            Step::Install(meta, full) => store.machine.install_snapshot(meta, image(full)).await,
        };
        self.answered(step, result.is_ok());
        result
    }

    fn answered(&mut self, step: Step, well: bool) {
        if well {
            self.kept = self.kept.clone().after(&step, self.applied);
            self.told_synced = self.told;
        } else {
            self.doubtful.push(step);
        }
    }

    /// Two at once: they may share a commit.
    async fn append_and_build(&mut self, store: &mut Store) -> Result<(), StorageError> {
        let entries = self.entries(end_of(self.kept.model.last()), &self.kept.model.full.clone());
        let mut builder = store.machine.get_snapshot_builder().await;
        let appended = store.log.blocking_append(entries.clone());
        let (appended, built) = futures::join!(appended, builder.build_snapshot());
        self.answered(Step::Build, built.is_ok());
        self.answered(Step::Append(entries), appended.is_ok());
        appended.and(built.map(drop))
    }

    /// A leader that is ahead sends its snapshot: what conflicts is cut, the snapshot kept, the log purged.
    async fn install(&mut self, store: &mut Store) -> Result<(), StorageError> {
        let committed_end = end_of(self.committed.max(self.applied));
        let mut full = self.kept.model.full.clone();
        if committed_end < self.kept.logged_end {
            let from = full[usize::try_from(committed_end).unwrap()].log_id;
            self.run(store, Step::Truncate(from)).await?;
            full.truncate(usize::try_from(committed_end).unwrap());
        }
        self.term += 1;
        full.extend(self.entries(committed_end, &full));
        let last = full.last().unwrap().log_id;
        let meta = about(&full, last, false);
        // The library does not wait for the one before it begins the other.
        let purging = store.log.purge(last);
        let installing = store.machine.install_snapshot(&meta, image(&full));
        let (purged, installed) = if self.random.random() {
            futures::join!(purging, installing)
        } else {
            let (installed, purged) = futures::join!(installing, purging);
            (purged, installed)
        };
        self.answered(Step::Purge(last), purged.is_ok());
        self.answered(Step::Install(meta, full), installed.is_ok());
        if installed.is_ok() {
            (self.applied, self.committed) = (Some(last), Some(last));
        }
        installed.and(purged)
    }
}

#[test]
fn whatever_was_answered_is_there_after_any_crash() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut life = Life::new(seed);
        runtime.block_on(async {
            for _ in 0..LIVES {
                life.live().await;
            }
            let store = life.open().await;
            store.opened.close().unwrap();
        });
    }
}
