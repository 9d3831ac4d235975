//! A small file system of its own for a data directory, so that a disk can really be full.
//!
//! Always true: it is unmounted, and its loop device free again, when this is dropped. Declare it before the cluster that
//! uses it: what is declared last is dropped first. Mounting takes root.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::wait::{LONG, wait_until};

const MIB: usize = 1 << 20;

/// A mounted file system in a file.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    _directory: TempDir,
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl SmallDisk {
    /// A new one of so many MiB, or why none can be had.
    pub(crate) fn mount(mib: usize) -> Result<Self, String> {
        let directory = TempDir::with_prefix("fidelog-small-disk-").map_err(|error| error.to_string())?;
        let (image, at) = (directory.path().join("image"), directory.path().join("mounted"));
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len((mib * MIB) as u64).map_err(|error| error.to_string())?;
        let path = |path: &Path| path.to_str().expect("a temporary path is text").to_owned();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &path(&image)])?;
        run("mount", &["-o", "loop", &path(&image), &path(&at)])?;
        Ok(Self { _directory: directory, at })
    }

    /// Where a data directory may be made on it.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.at.join("data")
    }

    /// Waits until the broker on it has its ballast again, or for the first time.
    pub(crate) async fn has_ballast(&self) {
        wait_until("the ballast is there", LONG, async || self.ballast().exists().then_some(())).await;
    }

    /// The broker's room for the day without a free byte.
    pub(crate) fn ballast(&self) -> PathBuf {
        self.data_dir().join("ballast")
    }

    fn filling(&self) -> PathBuf {
        self.at.join("filling")
    }

    /// Fills it until not even one byte has room. What a broker on it frees meanwhile may stay free.
    pub(crate) fn fill(&self) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.filling());
        let mut file = file.expect("the filling can be opened");
        // What somebody frees meanwhile is not filled again byte by byte.
        for (bytes, times) in [(MIB, usize::MAX), (4096, MIB / 4096), (1, 4096)] {
            let mut fits = || file.write_all(&vec![1; bytes]).and_then(|()| file.sync_data()).is_ok();
            for _ in 0..times {
                if !fits() {
                    break;
                }
            }
        }
    }

    /// Takes all filling away.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.filling()).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let at = self.at.to_string_lossy();
        // Lazily if somebody still looks into it: it must not outlive the test.
        if let Err(error) = run("umount", &[&at]).or_else(|_| run("umount", &["-l", &at])) {
            eprintln!("{error}");
        }
    }
}
