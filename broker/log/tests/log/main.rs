//! One partition's log from outside: through the flusher and a view, on the real disk and on the simulated one.

#[cfg(feature = "sim")]
mod crash;
#[cfg(feature = "sim")]
mod damage;
#[cfg(feature = "sim")]
mod faults;
mod golden;
mod harness;
mod reopen;
mod steps;
mod write_read;
