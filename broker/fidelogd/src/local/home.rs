//! The directory of a local cluster, and the marker that says it is ours.
//!
//! What is always true: a directory is written to only when it was empty or carries the marker; it is replaced only
//! when its marker says `demo`; one process at a time works in it, which holds the marker locked until it ends,
//! however it ends.
//!
//! ```text
//!   <dir>/fidelog-local.json   the marker: who made it, the cluster's id
//!   <dir>/broker1.toml         written again at every start
//!   <dir>/broker1.log          appended to
//!   <dir>/broker1/             the data directory
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use fidelog_broker::env::{Entropy, RealEntropy};
use fidelog_broker::types::ClusterId;
use serde::{Deserialize, Serialize};

use super::{LocalError, at};

const MARKER: &str = "fidelog-local.json";

/// Which verb made a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `dev`: kept for ever.
    Dev,
    /// `demo`: replaced by the next one.
    Demo,
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    made_by: String,
    version: u32,
    kind: Kind,
    cluster_id: ClusterId,
}

/// A directory that is ours, and nobody else's while this lives.
#[derive(Debug)]
pub(crate) struct Home {
    directory: PathBuf,
    cluster_id: ClusterId,
    _locked: File,
}

/// Where a verb keeps its cluster unless told otherwise.
///
/// # Errors
/// When the user has no home.
pub(crate) fn default_dir(kind: Kind) -> Result<PathBuf, LocalError> {
    let base = etcetera::choose_base_strategy().map_err(|error| LocalError::NoDataDir(error.to_string()))?;
    let name = match kind {
        Kind::Dev => "dev",
        Kind::Demo => "demo",
    };
    Ok(base.data_dir().join("fidelog").join(name))
}

impl Home {
    /// Opens a cluster's directory, whichever verb made it; makes one of `dev`'s where nothing is.
    ///
    /// # Errors
    /// When it belongs to somebody else, or somebody works in it.
    pub(crate) fn open(directory: &Path) -> Result<Self, LocalError> {
        let directory = absolute(directory)?;
        match open_marker(&directory)? {
            Some((locked, marker)) => Ok(Self { directory, cluster_id: marker.cluster_id, _locked: locked }),
            None => Self::make(directory, Kind::Dev),
        }
    }

    /// A fresh directory for a `demo`, in the place of an earlier one if there is one.
    ///
    /// # Errors
    /// As [`Self::open`], and when what is there was not made by `demo`.
    pub(crate) fn replace(directory: &Path) -> Result<Self, LocalError> {
        let directory = absolute(directory)?;
        if let Some((locked, marker)) = open_marker(&directory)? {
            if marker.kind != Kind::Demo {
                return Err(LocalError::OfDev(directory));
            }
            empty(&directory)?;
            // Only now, with everything else gone: a removal that was cut short leaves a directory with its marker.
            fs::remove_file(directory.join(MARKER)).map_err(at(&directory))?;
            drop(locked);
        }
        Self::make(directory, Kind::Demo)
    }

    /// A file beside a directory that may be replaced later, and on the same disk. It goes unless it is kept.
    ///
    /// # Errors
    /// When the place cannot be written to.
    pub(crate) fn scratch_beside(directory: &Path) -> Result<tempfile::NamedTempFile, LocalError> {
        let directory = absolute(directory)?;
        let parent = directory.parent().unwrap_or(&directory);
        fs::create_dir_all(parent).map_err(at(parent))?;
        tempfile::Builder::new().prefix(".fidelog-demo-").tempfile_in(parent).map_err(at(parent))
    }

    fn make(directory: PathBuf, kind: Kind) -> Result<Self, LocalError> {
        fs::create_dir_all(&directory).map_err(at(&directory))?;
        if fs::read_dir(&directory).map_err(at(&directory))?.next().is_some() {
            return Err(LocalError::NotOurs(directory));
        }
        let cluster_id = ClusterId::from_random(RealEntropy.id_bytes());
        let marker = Marker { made_by: "fidelogd".to_owned(), version: 1, kind, cluster_id };
        let path = directory.join(MARKER);
        let mut locked = File::options().write(true).create_new(true).open(&path).map_err(at(&path))?;
        lock(&locked, &directory)?;
        let text = serde_json::to_string_pretty(&marker).expect("a marker is plain data");
        let written = locked.write_all(text.as_bytes()).and_then(|()| locked.sync_all());
        written.map_err(at(&path))?;
        File::open(&directory).and_then(|directory| directory.sync_all()).map_err(at(&directory))?;
        Ok(Self { directory, cluster_id, _locked: locked })
    }

    /// Where it is: an absolute path.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The cluster's id.
    pub(crate) fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }
}

fn absolute(directory: &Path) -> Result<PathBuf, LocalError> {
    let directory = std::path::absolute(directory).map_err(at(directory))?;
    match directory.to_str() {
        Some(_) => Ok(directory),
        None => Err(LocalError::NotText(directory)),
    }
}

/// The marker, locked; `None` when there is none.
fn open_marker(directory: &Path) -> Result<Option<(File, Marker)>, LocalError> {
    let path = directory.join(MARKER);
    let mut file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path)(error)),
    };
    lock(&file, directory)?;
    let mut text = String::new();
    // A marker takes some 150 bytes; what is larger is none.
    (&mut file).take(4096).read_to_string(&mut text).map_err(at(&path))?;
    let wrong = |cause: String| LocalError::Marker { path: path.clone(), cause };
    let marker: Marker =
        serde_json::from_str(&text).map_err(|error| wrong(format!("not a marker of fidelogd ({error})")))?;
    match (marker.made_by.as_str(), marker.version) {
        ("fidelogd", 1) => Ok(Some((file, marker))),
        (made_by, version) => {
            Err(wrong(format!("made by {made_by}, version {version}; fidelogd, 1 is known here")))
        }
    }
}

fn lock(file: &File, directory: &Path) -> Result<(), LocalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LocalError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(directory)(error)),
    }
}

/// Removes everything but the marker. Links are removed, not followed.
fn empty(directory: &Path) -> Result<(), LocalError> {
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        let path = entry.path();
        if entry.file_name() == MARKER {
            continue;
        }
        let is_dir = entry.file_type().map_err(at(&path))?.is_dir();
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(at(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_missing_directory_becomes_ours_and_stays_the_same_cluster() {
        let parent = tempfile::tempdir().unwrap();
        for directory in [parent.path().join("a/b"), parent.path().join("empty")] {
            if directory.ends_with("empty") {
                fs::create_dir(&directory).unwrap();
            }
            let first = Home::open(&directory).unwrap().cluster_id();
            assert_eq!(Home::open(&directory).unwrap().cluster_id(), first);
        }
    }

    #[test]
    fn a_directory_without_our_marker_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.tex"), "years").unwrap();
        assert!(matches!(Home::open(directory.path()), Err(LocalError::NotOurs(_))));
        assert!(matches!(Home::replace(directory.path()), Err(LocalError::NotOurs(_))));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_marker_of_somebody_else_is_no_marker() {
        let directory = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            r#"{"made_by":"x","version":1,"kind":"demo","cluster_id":"5b7c7d43-7a0e-4b6a-9a56-1f0c3c8a2f11"}"#,
        ] {
            fs::write(directory.path().join(MARKER), text).unwrap();
            assert!(matches!(Home::replace(directory.path()), Err(LocalError::Marker { .. })), "{text}");
            assert!(matches!(Home::open(directory.path()), Err(LocalError::Marker { .. })), "{text}");
        }
    }

    #[test]
    fn demo_replaces_what_demo_made_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let first = Home::replace(directory.path()).unwrap().cluster_id();
        fs::create_dir_all(directory.path().join("broker1/topics")).unwrap();
        fs::write(directory.path().join("broker1.toml"), "x").unwrap();
        assert_eq!(Home::open(directory.path()).unwrap().cluster_id(), first, "dev opens what demo made");
        let second = Home::replace(directory.path()).unwrap();
        assert_ne!(second.cluster_id(), first);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "only the new marker is left");

        let dev = tempfile::tempdir().unwrap();
        drop(Home::open(dev.path()).unwrap());
        assert!(matches!(Home::replace(dev.path()), Err(LocalError::OfDev(_))));
    }

    #[test]
    fn one_process_at_a_time_works_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let held = Home::replace(directory.path()).unwrap();
        assert!(matches!(Home::open(directory.path()), Err(LocalError::InUse(_))));
        assert!(matches!(Home::replace(directory.path()), Err(LocalError::InUse(_))));
        drop(held);
        assert!(Home::open(directory.path()).is_ok());
    }
}
