//! A file system of 32 MiB of its own, filled to the last byte. Mounting one takes root: skipped elsewhere.
//!
//! In a program of its own: a process that is being started holds the locks of all data directories for a moment.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]
#![expect(dead_code, reason = "the harness serves other tests, too")]
#![expect(clippy::cast_possible_truncation, reason = "bytes made of small numbers")]

#[path = "log/harness.rs"]
mod harness;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fidelog_log::env::{RealClock, RealDisk};

use harness::{Machine, bytes_of, read_all};

const MIB: u64 = 1 << 20;

/// A mounted file system in a file; gone when dropped.
struct SmallDisk {
    _directory: tempfile::TempDir,
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let directory =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
        let (image, at) = (directory.path().join("image"), directory.path().join("mounted"));
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(32 * MIB).map_err(|error| error.to_string())?;
        let image = image.to_str().ok_or("a path that is no text")?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", image])?;
        run("mount", &["-o", "loop", image, at.to_str().ok_or("a path that is no text")?])?;
        Ok(Self { _directory: directory, at })
    }

    /// Writes until not even one byte has room.
    fn fill(&self, name: &str) -> PathBuf {
        let path = self.at.join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        for bytes in [MIB as usize, 4096, 1] {
            while file.write_all(&vec![1; bytes]).and_then(|()| file.sync_data()).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &[&self.at.to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}

fn has_ballast(root: &Path) -> bool {
    root.join("ballast").exists()
}

#[test]
fn a_start_on_a_real_disk_without_a_free_byte_serves_all_that_was_acknowledged() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: no small file system can be mounted here: {why}"),
    };
    let root = disk.at.join("data");
    let mut machine = Machine::at(root.clone(), Arc::new(RealDisk), Arc::new(RealClock));
    machine.config.ballast_bytes = 4 * MIB;
    let mut broker = machine.create();
    assert!(has_ballast(&root));
    let batches: Vec<_> = (0..40).map(|_| broker.append(2, 100)).collect();
    drop(broker);
    let filling = disk.fill("filling");
    let (broker, report) = machine.open();
    assert!(!has_ballast(&root));
    assert_eq!(report.end, batches.last().unwrap().end_offset(), "{report:?}");
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    assert!(!broker.home.tend_ballast().unwrap(), "there is no room");
    std::fs::remove_file(filling).unwrap();
    assert!(broker.home.tend_ballast().unwrap() && has_ballast(&root), "there is room");
    broker.stop();
}
