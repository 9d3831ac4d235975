//! A broker that dies with whoever started it.
//!
//! The system sends the signal when the thread that started the process ends; `dev` and `demo` start brokers from the
//! main thread. Killed is all a broker must survive, so it is simply killed.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// From now on this process is killed when process `parent` ends.
///
/// # Errors
/// A sentence, when it is gone already, or the system refuses.
pub(crate) fn die_with(parent: i32) -> Result<(), String> {
    let signalled = set_parent_process_death_signal(Some(Signal::KILL));
    signalled
        .map_err(|error| format!("--parent {parent}: the system does not tell when it ends: {error}"))?;
    // It may have ended before the line above; then somebody else is our parent now.
    match getppid().map(Pid::as_raw_nonzero).map(std::num::NonZero::get) {
        Some(now) if now == parent => Ok(()),
        _ => Err(format!("--parent {parent}: that process did not start this one, or is gone")),
    }
}
