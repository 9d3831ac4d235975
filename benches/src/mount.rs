//! Which file system a directory lies on, read from the kernel's list of mounts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Kind of file system, such as `ext4`.
    pub kind: String,
    /// What it was mounted from, such as `/dev/sda1`.
    pub device: String,
}

impl Mount {
    /// The mount that holds `dir`.
    ///
    /// # Errors
    /// When the directory or the list of mounts cannot be read.
    pub fn of(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("directory {}", dir.display()))?;
        let list = std::fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        Self::find(&list, &dir).with_context(|| format!("no mount holds {}", dir.display()))
    }

    /// The deepest mount point above `dir`; of two on one point the later, which hides the earlier.
    fn find(list: &str, dir: &Path) -> Option<Self> {
        let mounts = list.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
            // The kernel writes a space in a path as \040.
            let point = PathBuf::from(point.replace("\\040", " "));
            let depth = point.components().count();
            let mount = Self { kind: kind.to_owned(), device: device.to_owned() };
            dir.starts_with(&point).then_some((depth, mount))
        });
        mounts.max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
    }

    /// Whether files here live in memory, where a sync costs nothing.
    pub fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs" | "devtmpfs" | "hugetlbfs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_holds_a_directory() {
        let list = "/dev/vda / ext4 rw 0 0\nold /a\\040b xfs rw 0 0\ntmpfs /a\\040b tmpfs rw 0 0\n";
        let kind = |dir| Mount::find(list, Path::new(dir)).unwrap().kind;
        assert_eq!(kind("/a b/c"), "tmpfs");
        assert_eq!(kind("/a bc"), "ext4");
        assert!(Mount::find(list, Path::new("/a b")).unwrap().is_memory());
    }
}
