//! One data directory: whose it is, what it holds, and what all its logs share.
//!
//! ```text
//!  <root>/identity             whose it is, how far it has come (N13)
//!         identity.unfinished  what it said before: the next version is written into it, and the two change names
//!         lock                 held as long as a process uses it
//!         clean-stop           present only between a clean stop and the next start
//!         recovery-points      per partition, up to where everything is synced
//!         topics/<topic id>/<partition>/<base>.log .index .time .producers, epochs
//!         aside/               what was cut, bounded; logs that were removed, to be unlinked
//!         ballast              room for the day there is none
//! ```
//!
//! Always true: a directory is used by one process; `clean-stop` is gone, durably, before anything else is written,
//! and speaks only for logs that ended soundly, in the last process or in the one before that nobody opened since;
//! nothing here creates an identity but [`DataDir::format`]. Files of other names are reported and left alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fidelog_record::types::{BrokerId, ClusterId, DirectoryId, Generation, MetaIndex, TopicPartition};
use parking_lot::Mutex;

mod error;
mod found;
mod names;
mod raised;

pub use error::DataDirError;
pub use found::Found;

use crate::aside::Aside;
use crate::ballast::BALLAST;
use crate::config::LogConfig;
use crate::env::{Clock, FilesystemKind, LatchReason, Latched};
use crate::files::{DiskError, Files};
use crate::identity::{CleanStop, DATA_FORMAT_VERSION, Identity};
use crate::open_files::OpenFiles;
use crate::recovery_points::{RecoveryPoint, RecoveryPoints};
use crate::small_file::{self, SmallFileError, UNFINISHED};
use names::{partitions, settle_names, strays};

/// Whose a data directory must be to be opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The cluster; `None` takes what the identity says.
    pub cluster_id: Option<ClusterId>,
    /// The broker; `None` takes what the identity says.
    pub broker_id: Option<BrokerId>,
}

/// A data directory in use.
pub struct DataDir {
    root: PathBuf,
    files: Files,
    clock: Arc<dyn Clock>,
    config: LogConfig,
    identity: Mutex<Identity>,
    cluster_id: ClusterId,
    found: Found,
    points: Mutex<RecoveryPoints>,
    /// Whether `points` says something that its file does not. Changed under the lock of `points` only.
    points_unstored: AtomicBool,
    points_refused: AtomicBool,
    /// The logs that this process has written to, or may have.
    opened: Mutex<BTreeSet<TopicPartition>>,
    /// The logs that a clean stop right now could not speak for: open, or not opened since an unclean stop.
    unproven: Mutex<BTreeSet<TopicPartition>>,
    aside: Aside,
    open_files: OpenFiles,
    /// Bytes of the next growth steps of all logs together.
    growth: AtomicU64,
    _lock: Box<dyn Send + Sync>,
}

impl DataDir {
    /// Makes `root` a data directory: an identity of generation 0, durable. `directory_id` is minted by the caller.
    ///
    /// # Errors
    /// When it is one already, holds other files, or lies on a file system that keeps nothing.
    pub fn format(
        disk: Latched,
        root: &Path,
        cluster_id: ClusterId,
        broker_id: BrokerId,
        directory_id: DirectoryId,
    ) -> Result<Identity, DataDirError> {
        let files = Files::new(disk);
        files.create_dir_all(root)?;
        refuse_filesystem(&files, root)?;
        let _lock = lock(&files, root)?;
        match small_file::read::<Identity>(&files, &root.join("identity")) {
            Ok(identity) => {
                return Err(DataDirError::Formatted { root: root.to_owned(), identity: Box::new(identity) });
            }
            Err(SmallFileError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // What an earlier `format` that was cut short may have left holds no data.
        let topics_empty = files.list_if_present(&root.join("topics"))?.is_empty();
        let harmless = |name: &str| match name {
            "lock" | "lost+found" | "recovery-points" | BALLAST => true,
            "topics" => topics_empty,
            other => other.ends_with(UNFINISHED),
        };
        if let Some(entry) = files.list(root)?.into_iter().find(|entry| !harmless(&entry.name)) {
            return Err(DataDirError::NotEmpty { root: root.to_owned(), found: entry.name });
        }
        let identity = Identity {
            format_version: DATA_FORMAT_VERSION,
            cluster_id,
            broker_id,
            directory_id,
            generation: Generation(0),
            quorum_incarnation: None,
            meta_index_seen: MetaIndex(0),
        };
        files.create_dir_all(&root.join("topics"))?;
        small_file::write(&files, &root.join("recovery-points"), &RecoveryPoints::default())?;
        small_file::write(&files, &root.join("identity"), &identity)?;
        Ok(identity)
    }

    /// Opens a formatted directory for this process alone, and takes away its clean-stop marker. Raise the generation
    /// next ([`Self::raise_generation`]), once the quorum has judged the one found, then open the logs.
    ///
    /// # Errors
    /// As [`DataDirError`] tells.
    pub fn open(
        disk: Latched,
        clock: Arc<dyn Clock>,
        root: &Path,
        expected: Expected,
        config: LogConfig,
    ) -> Result<Arc<Self>, DataDirError> {
        config.check()?;
        let files = Files::new(disk).with_ballast(root);
        if files.list(root).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Err(DataDirError::NotFormatted { root: root.to_owned() });
        }
        refuse_filesystem(&files, root)?;
        let lock = lock(&files, root)?;
        let identity = read_identity(&files, root, expected)?;
        if files.free_bytes(root)? < config.ballast_bytes {
            files.release_ballast()?; // the metadata's store lies here, too, and is about to be opened
        }
        let clean_stop = small_file::read::<CleanStop>(&files, &root.join("clean-stop"))
            .ok()
            .filter(|marker| marker.generation == identity.generation);
        if files.remove_if_present(&root.join("clean-stop"))? {
            files.sync_dir(root)?;
        }
        let (points, points_lost) =
            match small_file::read::<RecoveryPoints>(&files, &root.join("recovery-points")) {
                Ok(points) => (points, None),
                // A disk that does not answer says nothing about what is stored.
                Err(SmallFileError::Disk(error)) => return Err(error.into()),
                Err(error) => (RecoveryPoints::default(), Some(error.to_string())),
            };
        if clean_stop.is_none() {
            settle_names(&files, root)?;
            if points_lost.is_none() {
                small_file::write(&files, &root.join("recovery-points"), &points)?;
            }
        }
        let aside = Aside::open(&files, root.join("aside"), config.aside_bytes_max, config.aside_count_max)?;
        let strays = strays(&files, root)?;
        let clean = clean_stop.is_some() && points_lost.is_none();
        let unproven: BTreeSet<TopicPartition> = match clean_stop.filter(|_| clean) {
            Some(marker) => marker.unproven.into_iter().collect(),
            None => {
                let pointed = points.iter().map(|(at, _)| at);
                partitions(&files, root)?.into_iter().chain(pointed).collect()
            }
        };
        let found = Found {
            generation: identity.generation,
            clean,
            unproven: if clean { unproven.clone() } else { BTreeSet::new() },
            points_lost,
            strays,
        };
        let home = Self {
            root: root.to_owned(),
            open_files: OpenFiles::new(config.sealed_open_max),
            cluster_id: identity.cluster_id,
            identity: Mutex::new(identity),
            points: Mutex::new(points),
            points_unstored: AtomicBool::new(false),
            points_refused: AtomicBool::new(false),
            opened: Mutex::default(),
            unproven: Mutex::new(unproven),
            files,
            clock,
            config,
            found,
            aside,
            growth: AtomicU64::new(0),
            _lock: lock,
        };
        home.sweep_deleted()?;
        home.tend_ballast()?;
        Ok(Arc::new(home))
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Settings of its logs.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Whose it is now.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// What the start found.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Why nothing is written any more, if so (R1).
    #[must_use]
    pub fn latched(&self) -> Option<Arc<LatchReason>> {
        self.files.latched()
    }

    /// Bytes and files kept in `aside/`.
    #[must_use]
    pub fn aside_usage(&self) -> (u64, usize) {
        self.aside.usage()
    }

    /// The partitions that have a directory here, in order.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, DiskError> {
        partitions(&self.files, &self.root)
    }

    /// The partitions that have a recovery point here; one without a directory is lost, never empty (N14).
    #[must_use]
    pub fn partitions_with_points(&self) -> Vec<TopicPartition> {
        self.points.lock().iter().map(|(partition, _)| partition).collect()
    }

    /// Writes the recovery points of all logs opened so far: once after a start, so that the next one reads less.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn checkpoint(&self) -> Result<(), DiskError> {
        self.write_points()
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn aside(&self) -> &Aside {
        &self.aside
    }

    pub(crate) fn open_files(&self) -> &OpenFiles {
        &self.open_files
    }

    pub(crate) fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    pub(crate) fn partition_path(&self, at: TopicPartition) -> PathBuf {
        self.root.join("topics").join(at.topic.to_string()).join(at.partition.to_string())
    }

    pub(crate) fn point(&self, at: TopicPartition) -> Option<RecoveryPoint> {
        self.points.lock().get(at).cloned()
    }

    /// Changes points in memory; tells whether anything changed. [`Self::write_points`] makes it durable.
    pub(crate) fn set_point(&self, at: TopicPartition, point: RecoveryPoint) -> bool {
        let mut points = self.points.lock();
        let changed = points.set(at, point);
        self.points_unstored.fetch_or(changed, Ordering::Relaxed);
        changed
    }

    /// Notes that a log is opened; tells whether it is for the first time. What a clean stop promised of it holds that
    /// once only.
    pub(crate) fn note_opened(&self, at: TopicPartition) -> bool {
        self.unproven.lock().insert(at);
        self.opened.lock().insert(at)
    }

    /// Notes that a log was let go of with everything in it synced, and all that the next start relies on stored; or
    /// that it is gone.
    pub(crate) fn note_proven(&self, at: TopicPartition) {
        self.unproven.lock().remove(&at);
    }

    pub(crate) fn remove_point(&self, at: TopicPartition) -> bool {
        let mut points = self.points.lock();
        let removed = points.remove(at);
        self.points_unstored.fetch_or(removed, Ordering::Relaxed);
        removed
    }

    pub(crate) fn write_points(&self) -> Result<(), DiskError> {
        let points = self.points.lock();
        let stored = small_file::write(&self.files, &self.root.join("recovery-points"), &*points);
        self.points_refused.store(stored.is_err(), Ordering::Relaxed);
        self.points_unstored.fetch_and(stored.is_err(), Ordering::Relaxed);
        stored
    }

    /// Stores the points if that was refused last time: the file may still say that a step is under way which is
    /// done, and the next start would then take what was appended since for leftovers.
    pub(crate) fn write_refused_points(&self) -> Result<(), DiskError> {
        if self.points_refused.load(Ordering::Relaxed) { self.write_points() } else { Ok(()) }
    }

    /// Whether points were changed, or their file could not be written, since they were last stored. A step that
    /// relies on a lowered point looks here: that an earlier attempt lowered it in memory proves nothing.
    pub(crate) fn points_unstored(&self) -> bool {
        self.points_unstored.load(Ordering::Relaxed)
    }

    /// Says that everything is synced, but for what is not proven; the last write of a process.
    pub(crate) fn mark_clean_stop(&self) -> Result<(), DiskError> {
        let generation = self.identity.lock().generation;
        let unproven = self.unproven.lock().iter().copied().collect();
        small_file::write(&self.files, &self.root.join("clean-stop"), &CleanStop { generation, unproven })
    }

    /// A log's next growth step was `before` bytes, and is `now`.
    pub(crate) fn note_growth(&self, before: u64, now: u64) {
        self.growth.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// How many bytes must stay free on the disk.
    pub(crate) fn free_bytes_min(&self) -> Result<u64, DiskError> {
        const GIB: u64 = 1 << 30;
        match self.config.free_bytes_min {
            Some(bytes) => Ok(bytes),
            None => {
                let growth = self.growth.load(Ordering::Relaxed);
                Ok((self.files.total_bytes(&self.root)? / 20).max(GIB.saturating_add(growth)))
            }
        }
    }
}

impl std::fmt::Debug for DataDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDir").field("root", &self.root).finish_non_exhaustive()
    }
}

fn read_identity(files: &Files, root: &Path, expected: Expected) -> Result<Identity, DataDirError> {
    let root = root.to_owned();
    let identity = match small_file::read::<Identity>(files, &root.join("identity")) {
        Ok(identity) => identity,
        Err(SmallFileError::Missing { .. }) => return Err(DataDirError::NotFormatted { root }),
        Err(error) => return Err(error.into()),
    };
    if identity.format_version != DATA_FORMAT_VERSION {
        return Err(DataDirError::Version { root, found: identity.format_version });
    }
    if let Some(expected) = expected.cluster_id.filter(|expected| *expected != identity.cluster_id) {
        return Err(DataDirError::ForeignCluster { root, found: identity.cluster_id, expected });
    }
    if let Some(expected) = expected.broker_id.filter(|expected| *expected != identity.broker_id) {
        return Err(DataDirError::ForeignBroker { root, found: identity.broker_id, expected });
    }
    Ok(identity)
}

fn refuse_filesystem(files: &Files, root: &Path) -> Result<(), DataDirError> {
    match files.filesystem(root)? {
        FilesystemKind::Disk => Ok(()),
        kind @ (FilesystemKind::Memory(_) | FilesystemKind::Network(_)) => {
            Err(DataDirError::Filesystem { root: root.to_owned(), kind })
        }
    }
}

fn lock(files: &Files, root: &Path) -> Result<Box<dyn Send + Sync>, DataDirError> {
    files.lock(&root.join("lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => DataDirError::Locked { root: root.to_owned() },
        _ => error.into(),
    })
}
