//! A bug stops the process, in every profile: half a broker would acknowledge what it cannot know.

use std::backtrace::Backtrace;

/// From now on a panic on any thread or task is logged and aborts the process.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let backtrace = Backtrace::force_capture();
        eprintln!(
            "fidelogd: bug: thread {name}: {panic}\n{backtrace}\nfidelogd: aborting; what was acknowledged is on disk"
        );
        std::process::abort();
    }));
}
