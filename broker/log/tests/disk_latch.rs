//! What latches a data directory, what does not, and what a latched one still does.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use fidelog_log::env::sim::{Fault, FaultError, SimClock, SimDisk};
use fidelog_log::env::{Clock, DirectoryLatched, Disk, DiskFile, Latched, OpenMode, Operation};

/// A latched data directory on a simulated disk, with one file of ten bytes.
struct Scene {
    sim: SimDisk,
    clock: SimClock,
    disk: Latched,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Scene {
    fn new() -> Self {
        let (sim, clock) = (SimDisk::new(1), SimClock::default());
        let disk = Latched::new(Arc::new(sim.clone()), "/data", Arc::new(clock.clone()));
        disk.create_dir_all(Path::new("/data")).unwrap();
        let path = PathBuf::from("/data/file");
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        file.allocate(0..10).unwrap();
        Self { sim, clock, disk, path, file }
    }

    /// The scene with its next call of `operation` failing.
    fn failing(operation: Operation, error: FaultError) -> Self {
        let scene = Self::new();
        scene.sim.inject(Fault::once(operation, 1, error));
        scene
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&[IoSlice::new(b"bytes")], 0)
    }

    fn is_latched(&self) -> bool {
        self.disk.latch().reason().is_some()
    }
}

fn is_refused(result: io::Result<()>) -> bool {
    DirectoryLatched::of(&result.unwrap_err()).is_some()
}

#[test]
fn a_failed_sync_is_final_even_though_the_disk_would_say_yes_now() {
    let scene = Scene::failing(Operation::Sync, FaultError::Io);
    let error = scene.file.sync_data().unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        FaultError::Io.to_error().raw_os_error(),
        "the first error is the disk's own"
    );
    assert!(is_refused(scene.file.sync_data()));
}

#[test]
fn the_first_reason_is_kept_and_dated() {
    let scene = Scene::failing(Operation::Sync, FaultError::Io);
    scene.sim.inject(Fault::once(Operation::Rename, 1, FaultError::ReadOnly));
    let at_ms = scene.clock.wall_ms();
    scene.file.sync_data().unwrap_err();
    scene.clock.advance(Duration::from_secs(1));
    assert!(is_refused(scene.disk.rename(&scene.path, Path::new("/data/to"))));
    let reason = scene.disk.latch().reason().unwrap();
    assert_eq!((reason.path.as_path(), reason.operation), (scene.path.as_path(), Operation::Sync));
    assert_eq!((reason.directory.as_path(), reason.at_ms), (Path::new("/data"), at_ms));
    let message = reason.to_string();
    assert!(message.contains("sync of /data/file failed"), "{message}");
}

#[test]
fn a_latched_directory_refuses_every_change_and_stays_readable() {
    let scene = Scene::failing(Operation::Sync, FaultError::Io);
    scene.write().unwrap();
    scene.file.sync_data().unwrap_err();
    let changes = scene.sim.changes();

    let new = Path::new("/data/new");
    assert!(is_refused(scene.write()));
    assert!(is_refused(scene.file.allocate(0..100)));
    assert!(is_refused(scene.disk.sync_dir(Path::new("/data"))));
    assert!(is_refused(scene.disk.rename(&scene.path, new)));
    assert!(is_refused(scene.disk.remove_file(&scene.path)));
    assert!(is_refused(scene.disk.remove_dir_all(Path::new("/data"))));
    assert!(is_refused(scene.disk.create_dir_all(new)));
    assert!(is_refused(scene.disk.open(new, OpenMode::CreateNew).map(drop)));
    assert!(is_refused(scene.disk.lock(new).map(drop)));
    assert_eq!(scene.sim.changes(), changes, "nothing reached the disk");

    assert_eq!(scene.file.view(0..5).unwrap(), "bytes");
    assert_eq!(scene.disk.list(Path::new("/data")).unwrap().len(), 1);
    let reopened = scene.disk.open(&scene.path, OpenMode::ReadWrite).unwrap();
    assert_eq!(reopened.len().unwrap(), 10);
    assert!(is_refused(reopened.sync_data()), "the latch is the directory's, not the file's");
    assert!(is_refused(scene.disk.clone().sync_dir(Path::new("/data"))), "clones share it");
}

#[test]
fn any_error_of_a_sync_or_rename_latches() {
    for error in [FaultError::Io, FaultError::StorageFull, FaultError::ReadOnly, FaultError::TooManyFiles] {
        let scene = Scene::failing(Operation::Sync, error);
        scene.file.sync_data().unwrap_err();
        assert!(scene.is_latched(), "sync: {error:?}");
        let scene = Scene::failing(Operation::SyncDir, error);
        scene.disk.sync_dir(Path::new("/data")).unwrap_err();
        assert!(scene.is_latched(), "directory sync: {error:?}");
        let scene = Scene::failing(Operation::Rename, error);
        scene.disk.rename(&scene.path, Path::new("/data/to")).unwrap_err();
        assert!(scene.is_latched(), "rename: {error:?}");
    }
}

#[test]
fn a_failing_disk_latches_on_any_change_and_a_refusal_on_none() {
    let cases = [
        (FaultError::Io, true),
        (FaultError::ReadOnly, true),
        (FaultError::StorageFull, false),
        (FaultError::TooManyFiles, false),
    ];
    for (error, latches) in cases {
        let scene = Scene::failing(Operation::Write, error);
        scene.write().unwrap_err();
        assert_eq!(scene.is_latched(), latches, "write: {error:?}");
        let scene = Scene::failing(Operation::Allocate, error);
        scene.file.allocate(0..100).unwrap_err();
        assert_eq!(scene.is_latched(), latches, "allocate: {error:?}");
        let scene = Scene::failing(Operation::Create, error);
        scene.disk.open(Path::new("/data/new"), OpenMode::CreateNew).unwrap_err();
        assert_eq!(scene.is_latched(), latches, "create: {error:?}");
        let scene = Scene::failing(Operation::Remove, error);
        scene.disk.remove_file(&scene.path).unwrap_err();
        assert_eq!(scene.is_latched(), latches, "remove: {error:?}");
    }
}

#[test]
fn errors_of_reading_never_latch() {
    for (operation, error) in [(Operation::Read, FaultError::Io), (Operation::Open, FaultError::TooManyFiles)]
    {
        let scene = Scene::failing(operation, error);
        let outcome = scene.disk.open(&scene.path, OpenMode::Read).and_then(|file| file.view(0..1));
        assert!(outcome.is_err());
        assert!(!scene.is_latched(), "{operation}: {error:?}");
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room_again() {
    let scene = Scene::new();
    scene.sim.set_capacity_bytes(8192);
    assert_eq!(scene.file.allocate(0..10_000).unwrap_err().kind(), ErrorKind::StorageFull);
    scene.sim.set_capacity_bytes(12_288);
    scene.file.allocate(0..10_000).unwrap();
    scene.file.sync_data().unwrap();
}

#[test]
fn a_sync_that_fails_inside_creating_directories_latches_and_a_full_disk_does_not() {
    let scene = Scene::failing(Operation::CreateDir, FaultError::StorageFull);
    let error = scene.disk.create_dir_all(Path::new("/data/a/b")).unwrap_err();
    assert_eq!((error.kind(), scene.is_latched()), (ErrorKind::StorageFull, false));
    let scene = Scene::failing(Operation::SyncDir, FaultError::StorageFull);
    let error = scene.disk.create_dir_all(Path::new("/data/a/b")).unwrap_err();
    assert_eq!((error.kind(), scene.is_latched()), (ErrorKind::StorageFull, true));
}

#[test]
fn subscribers_hear_once_whenever_they_came() {
    let scene = Scene::failing(Operation::Sync, FaultError::Io);
    let (told, heard) = channel();
    let early = told.clone();
    scene.disk.latch().subscribe(move |reason| early.send(("early", reason.operation)).unwrap());
    assert!(heard.try_recv().is_err());
    scene.file.sync_data().unwrap_err();
    scene.file.sync_data().unwrap_err();
    scene.disk.latch().subscribe(move |reason| told.send(("late", reason.operation)).unwrap());
    let all: Vec<_> = heard.iter().collect();
    assert_eq!(all, [("early", Operation::Sync), ("late", Operation::Sync)]);
}

#[test]
fn a_thread_can_wait_for_the_latch() {
    let scene = Scene::failing(Operation::Sync, FaultError::Io);
    assert!(scene.disk.latch().wait_for(Duration::ZERO).is_none());
    let latch = scene.disk.latch();
    let waiting = thread::spawn(move || latch.wait_for(Duration::MAX));
    scene.file.sync_data().unwrap_err();
    assert_eq!(waiting.join().unwrap().unwrap().operation, Operation::Sync);
}
