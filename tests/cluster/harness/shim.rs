//! Libraries that are preloaded into a broker and stand between it and its disk.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `cluster/<name>.c` into `directory`; `None` where there is no C compiler.
///
/// # Panics
/// When it does not compile.
pub(crate) fn compile(name: &str, directory: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(format!("{name}.c"));
    let library = directory.join(format!("{name}.so"));
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .args(["-ldl", "-lpthread"])
        .status();
    match compiler {
        Ok(status) => {
            assert!(status.success(), "{name}.c does not compile");
            Some(library)
        }
        Err(_) => None,
    }
}
