//! What befalls data directories: copied, put back, gone.

use std::path::Path;

/// Copies everything below `from`, which nobody may be writing to.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory is made");
    for entry in std::fs::read_dir(from).expect("a directory is read") {
        let entry = entry.expect("an entry is read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a file is copied")),
        }
    }
}

/// Removes the directory and everything in it.
pub(crate) fn remove(directory: &Path) {
    std::fs::remove_dir_all(directory).expect("a directory is removed");
}
