//! Small files that describe themselves: `identity`, `recovery-points`, `epochs`, producer snapshots.
//!
//! ```text
//!  fidelog <kind> <version> crc32=<8 hex digits>\n      the checksum covers every byte behind this line
//!  JSON
//! ```
//!
//! Behind the JSON there may be blanks, in a file that is written into its own former version.
//!
//! Always true: a file is written aside, synced, takes the place of the old one, and its directory is synced, so that one
//! or the other is found whole after a crash. A file that does not verify is damaged, never "empty" or "absent". Not
//! here: what to do about a damaged one; each owner decides.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{DiskError, Files};

/// Ending of a file that is being written; one found at start was never finished, but for that of `identity`, which is its
/// former version.
pub(crate) const UNFINISHED: &str = ".unfinished";
/// A larger file is taken for damaged rather than read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A value that is kept in a small file.
pub trait Stored: Serialize + DeserializeOwned {
    /// The word on the file's first line.
    const KIND: &'static str;
    /// Version of its JSON; a reader refuses any other.
    const VERSION: u32;

    /// Whether the invariants of the value hold; one that parses but breaks them is damaged.
    fn is_sound(&self) -> bool {
        true
    }
}

/// Why a small file could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SmallFileError {
    /// There is none.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Its bytes are not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Written by another version.
    #[error("{} has version {found}; this program reads version {expected}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it states.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The bytes of the file that holds `value`.
#[must_use]
pub(crate) fn encode<T: Stored>(value: &T) -> Vec<u8> {
    encode_padded(value, 0)
}

/// The same, with blanks behind the JSON where the file would be shorter than `bytes_min`.
fn encode_padded<T: Stored>(value: &T, bytes_min: usize) -> Vec<u8> {
    let first_line = |crc: u32| format!("fidelog {} {} crc32={crc:08x}\n", T::KIND, T::VERSION).into_bytes();
    let mut json = serde_json::to_vec(value).expect("maps with text keys and plain numbers always serialise");
    let json_bytes_min = bytes_min.saturating_sub(first_line(0).len());
    json.resize(json.len().max(json_bytes_min), b' ');
    let mut bytes = first_line(crc32fast::hash(&json));
    bytes.extend_from_slice(&json);
    bytes
}

/// The value that `bytes`, the whole file at `path`, hold.
///
/// # Errors
/// [`SmallFileError::Damaged`] or [`SmallFileError::Version`].
pub(crate) fn decode<T: Stored>(bytes: &[u8], path: &Path) -> Result<T, SmallFileError> {
    let damaged = |why: String| SmallFileError::Damaged { path: path.to_owned(), why };
    let line_end = bytes.iter().take(128).position(|&byte| byte == b'\n');
    let line_end = line_end.ok_or_else(|| damaged("it has no first line".into()))?;
    let (line, json) = (&bytes[..line_end], &bytes[line_end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| damaged("its first line is not text".into()))?;
    let words: Vec<&str> = line.split(' ').collect();
    let &["fidelog", kind, version, crc] = words.as_slice() else {
        return Err(damaged("its first line is not `fidelog <kind> <version> crc32=<sum>`".into()));
    };
    if kind != T::KIND {
        return Err(damaged(format!("it is of kind `{kind}`, not `{}`", T::KIND)));
    }
    let computed = format!("crc32={:08x}", crc32fast::hash(json));
    if crc != computed {
        return Err(damaged(format!("it states {crc}, its bytes give {computed}")));
    }
    let found = version.parse::<u32>().map_err(|_| damaged(format!("its version is `{version}`")))?;
    if found != T::VERSION {
        return Err(SmallFileError::Version { path: path.to_owned(), found, expected: T::VERSION });
    }
    let value: T = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
    if value.is_sound() { Ok(value) } else { Err(damaged("its values contradict each other".into())) }
}

/// Reads and verifies the file at `path`.
///
/// # Errors
/// As [`SmallFileError`] tells.
pub(crate) fn read<T: Stored>(files: &Files, path: &Path) -> Result<T, SmallFileError> {
    let file = match files.open_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SmallFileError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    let file_bytes = file.len()?;
    if file_bytes > FILE_BYTES_MAX {
        let why = format!("it has {file_bytes} bytes; at most {FILE_BYTES_MAX} are expected");
        return Err(SmallFileError::Damaged { path: path.to_owned(), why });
    }
    decode(&file.read(0, file_bytes)?, path)
}

/// Writes the file at `path`, replacing what is there; durable when this returns. Takes the room of the ballast where
/// there is no other.
///
/// # Errors
/// Whatever the disk says. The old file is then still there, whole, or the new one is.
pub(crate) fn write<T: Stored>(files: &Files, path: &Path, value: &T) -> Result<(), DiskError> {
    Prepared::new(path.to_owned(), value).write(files)
}

/// A file that is to be written, by whichever thread.
pub(crate) struct Prepared {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Prepared {
    pub(crate) fn new<T: Stored>(path: PathBuf, value: &T) -> Self {
        Self { path, bytes: encode(value) }
    }

    /// As [`write`].
    pub(crate) fn write(&self, files: &Files) -> Result<(), DiskError> {
        or_without_ballast(files, || write_bytes(files, &self.path, &self.bytes))
    }
}

/// As [`write`], but into the room of the version before the present one, which stays beside it as the unfinished file:
/// once there are two versions, a disk without a free byte does not matter.
///
/// Only for a file in the root of the data directory: its names are settled when the directory is opened. Were the last
/// change of names not durable, what is overwritten here could be what a power cut brings back.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_in_turn<T: Stored>(files: &Files, path: &Path, value: &T) -> Result<(), DiskError> {
    or_without_ballast(files, || write_over(files, path, value))
}

fn or_without_ballast(files: &Files, step: impl Fn() -> Result<(), DiskError>) -> Result<(), DiskError> {
    match step() {
        Err(error) if error.is_full() && files.latched().is_none() => {
            if files.release_ballast()? {
                step()
            } else {
                Err(error)
            }
        }
        done => done,
    }
}

fn write_bytes(files: &Files, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let unfinished = unfinished_path(path);
    files.remove_if_present(&unfinished)?;
    let file = files.create(&unfinished)?;
    let written = file.allocate(0..bytes.len() as u64).and_then(|()| file.write(&[IoSlice::new(bytes)], 0));
    if let Err(error) = written {
        if files.latched().is_none() {
            files.remove_if_present(&unfinished)?; // gives the room back
        }
        return Err(error);
    }
    file.sync()?;
    files.rename(&unfinished, path)?;
    files.sync_parent(path)
}

fn write_over<T: Stored>(files: &Files, path: &Path, value: &T) -> Result<(), DiskError> {
    let spare = unfinished_path(path);
    let file = match files.open_write(&spare) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => files.create(&spare)?,
        opened => opened?,
    };
    // What was longer keeps its length: there is nothing that cuts a file.
    let bytes_min = file.len()?.min(FILE_BYTES_MAX);
    let bytes = encode_padded(value, usize::try_from(bytes_min).expect("256 MiB can be addressed"));
    // Only what it grows by: some file systems want room for all that is named, allocated or not.
    if file.len()? < bytes.len() as u64 {
        file.allocate(file.len()?..bytes.len() as u64)?;
    }
    file.write(&[IoSlice::new(&bytes)], 0)?;
    file.sync()?;
    match files.exchange(&spare, path) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => files.rename(&spare, path)?,
        exchanged => exchanged?,
    }
    files.sync_parent(path)
}

/// Where a file is written before it takes its name.
pub(crate) fn unfinished_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::testing;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Stored for Note {
        const KIND: &'static str = "note";
        const VERSION: u32 = 3;
    }

    #[test]
    fn the_first_line_says_what_it_is() {
        let bytes = encode(&Note { text: "a".into() });
        let crc = crc32fast::hash(br#"{"text":"a"}"#);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            format!("fidelog note 3 crc32={crc:08x}\n{{\"text\":\"a\"}}")
        );
    }

    #[test]
    fn a_written_file_is_read_back_and_replaced() {
        let (files, directory) = testing::files();
        let path = directory.path().join("note");
        assert!(matches!(read::<Note>(&files, &path), Err(SmallFileError::Missing { .. })));
        for text in ["one", "two, longer", ""] {
            write(&files, &path, &Note { text: text.into() }).unwrap();
            assert_eq!(read::<Note>(&files, &path).unwrap().text, text);
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let bytes = encode(&Note { text: "a".into() });
        let newer = String::from_utf8(bytes).unwrap().replace("note 3", "note 4").into_bytes();
        assert!(matches!(
            decode::<Note>(&newer, Path::new("x")),
            Err(SmallFileError::Version { found: 4, .. })
        ));
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(text in ".{0,40}", at in any::<prop::sample::Index>(), flip in 1u8..) {
            let note = Note { text };
            let mut bytes = encode(&note);
            prop_assert_eq!(&decode::<Note>(&bytes, Path::new("x")).unwrap(), &note);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode::<Note>(&bytes, Path::new("x")).is_err());
            prop_assert!(decode::<Note>(&bytes[..at], Path::new("x")).is_err());
        }
    }
}
