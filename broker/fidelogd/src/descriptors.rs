//! Open files: every partition that is written to keeps one, every connection another.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Fewer than this is too few for a broker with a thousand partitions and clients.
const ENOUGH: u64 = 16_384;

/// Raises this process's limit of open files as far as it may without privilege, and says so when that is little.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(from = ?current, to = ?maximum, "limit of open files"),
        Err(error) => warn!("the limit of open files stays at {current:?}: {error}"),
    }
    if maximum.is_some_and(|maximum| maximum < ENOUGH) {
        warn!(
            "at most {maximum:?} files may be open; raise it (LimitNOFILE=, ulimit -n) to host many partitions"
        );
    }
}
