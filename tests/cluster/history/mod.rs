//! What clients saw, and whether it may have been.
//!
//! | file | what it holds |
//! |---|---|
//! | `event` | a value, a send with its outcome, a receipt, a read |
//! | `recorder` | where tasks note events as they happen |
//! | `anomaly` | what must never be seen, by name |
//! | `checker` | finds anomalies in a history: pure |
//! | `checker_tests` | each anomaly is found in a history made up for it |

mod anomaly;
mod checker;
#[cfg(test)]
mod checker_tests;
mod event;
mod recorder;

pub(crate) use event::{Outcome, Synced, Value};
pub(crate) use recorder::Recorder;
