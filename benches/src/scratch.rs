//! The directory a run's data lives in: on a real disk, and gone afterwards.
//!
//! A run that is killed leaves its directory behind; its name begins with `fidelog-bench-`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::mount::Mount;

/// A directory that is removed when dropped.
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes a directory below `base`, or below the system's directory for temporary files.
    ///
    /// # Errors
    /// When it cannot be made, or when it lies in memory, where every figure of the disk would be a lie.
    pub fn below(base: Option<&Path>) -> Result<Self> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        let mount = Mount::of(&base)?;
        ensure!(
            !mount.is_memory(),
            "{} is on {}, which is memory and not a disk; set FIDELOG_BENCH_DIR to a directory on a disk",
            base.display(),
            mount.kind
        );
        let dir = tempfile::Builder::new().prefix("fidelog-bench-").tempdir_in(&base);
        Ok(Self(dir.with_context(|| format!("cannot make a directory below {}", base.display()))?))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A directory of its own for one row.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn for_row(&self) -> Result<TempDir> {
        tempfile::tempdir_in(self.path()).context("cannot make a directory for a row")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_with_the_way_out() {
        let memory = Path::new("/dev/shm");
        if !Mount::of(memory).is_ok_and(|mount| mount.is_memory()) {
            eprintln!("skipped: {} is not memory here", memory.display());
            return;
        }
        let error = Scratch::below(Some(memory)).err().unwrap();
        assert!(error.to_string().contains("FIDELOG_BENCH_DIR"), "{error}");
    }

    #[test]
    fn it_is_gone_afterwards() {
        let scratch = Scratch::below(Some(Path::new(env!("CARGO_MANIFEST_DIR")))).unwrap();
        let path = scratch.path().to_owned();
        std::fs::write(path.join("file"), b"data").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
