//! One partition's log from outside: through the flusher and a view, on the real disk and on the simulated one.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests; the exception for them does not see their shared parts"
)]
#![expect(clippy::cast_possible_truncation, reason = "bytes made of small numbers")]

#[cfg(feature = "sim")]
mod crash;
#[cfg(feature = "sim")]
mod damage;
#[cfg(feature = "sim")]
mod deletes;
#[cfg(feature = "sim")]
mod faults;
#[cfg(feature = "sim")]
mod full_disk;
mod golden;
mod harness;
#[cfg(feature = "sim")]
mod identity;
#[cfg(feature = "sim")]
mod mending;
mod reopen;
mod steps;
mod write_read;
