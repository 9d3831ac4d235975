//! The file `ballast`: room kept for the day the disk has no free byte, so that a start still works, and small files
//! are still written.
//!
//! Always true: it holds nothing, and nothing waits for it. It is thrown off by a start that finds less room than it
//! takes, or by whatever then finds none; it is made again once there is plenty. Not for batches: those are refused
//! long before, at the low-water mark.

use std::path::{Path, PathBuf};

use crate::data_dir::DataDir;
use crate::files::{DiskError, Files};
use crate::small_file::unfinished_path;

/// Name of the file.
pub(crate) const BALLAST: &str = "ballast";

/// Throws the ballast below `root` off; tells whether there was any. Its room is free when this returns.
pub(crate) fn release(files: &Files, root: &Path) -> Result<bool, DiskError> {
    let path = root.join(BALLAST);
    let unfinished = files.remove_if_present(&unfinished_path(&path))?;
    let released = files.remove_if_present(&path)? | unfinished;
    if released {
        tracing::warn!(path = %path.display(), "the disk is full: its ballast was thrown off; free space or add a disk");
        files.sync_dir(root)?; // a file system may keep freed blocks back until then
    }
    Ok(released)
}

/// Runs a step of a start; when there is no room for it, once more without the ballast.
pub(crate) fn or_without<T, E>(
    home: &DataDir,
    is_full: impl Fn(&E) -> bool,
    step: impl Fn() -> Result<T, E>,
) -> Result<T, E>
where
    E: From<DiskError>,
{
    match step() {
        Err(error) if is_full(&error) && home.latched().is_none() => {
            if release(home.files(), home.root())? {
                step()
            } else {
                Err(error)
            }
        }
        result => result,
    }
}

impl DataDir {
    /// Throws the ballast off, for whoever else must write here and finds no room; tells whether there was any.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn release_ballast(&self) -> Result<bool, DiskError> {
        release(self.files(), self.root())
    }

    /// Makes the ballast if it is missing and there is room for it twice above the low-water mark; tells whether it is
    /// there. Syncs: call it now and then, where blocking is allowed.
    ///
    /// # Errors
    /// Whatever the disk says, unless it is only full.
    pub fn tend_ballast(&self) -> Result<bool, DiskError> {
        let (files, ballast_bytes) = (self.files(), self.config().ballast_bytes);
        let path: PathBuf = self.root().join(BALLAST);
        match files.open_read(&path) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let needed_bytes = self.free_bytes_min()?.saturating_add(ballast_bytes.saturating_mul(2));
        if ballast_bytes == 0 || files.free_bytes(self.root())? < needed_bytes {
            return Ok(false);
        }
        let unfinished = unfinished_path(&path);
        files.remove_if_present(&unfinished)?;
        let file = files.create(&unfinished)?;
        match file.allocate(0..ballast_bytes) {
            Err(error) if error.is_full() && files.latched().is_none() => {
                return files.remove_if_present(&unfinished).map(|_| false);
            }
            allocated => allocated?,
        }
        file.sync()?;
        files.rename(&unfinished, &path)?;
        files.sync_dir(self.root())?;
        Ok(true)
    }
}
