//! What a partition hears from the flusher, in order, and whether the data directory was latched at that moment.

use std::sync::{Arc, Mutex};

use fidelog_log::{CutDone, DataDir, FlushTiming, LogEvents, LogFailure, Room, SecureError};
use fidelog_record::types::Offset;

/// One event.
#[derive(Debug)]
pub(crate) enum Heard {
    Secured(Result<Room, SecureError>),
    Durable(Offset),
    Cut(CutDone),
    Started(Offset),
    /// Whether a cut was refused for good reason, and the words.
    Failed {
        refused: bool,
        reason: String,
    },
    /// What came of a close or a delete.
    Closed(Result<(), String>),
}

/// Keeps what is heard until it is taken.
#[derive(Debug)]
pub(crate) struct Recorder {
    home: Arc<DataDir>,
    heard: Mutex<Vec<(Heard, bool)>>,
}

impl Recorder {
    pub(crate) fn new(home: Arc<DataDir>) -> Self {
        Self { home, heard: Mutex::default() }
    }

    fn note(&self, heard: Heard) {
        let latched = self.home.latched().is_some();
        self.heard.lock().expect("nobody panics while holding it").push((heard, latched));
    }

    pub(crate) fn take(&self) -> Vec<(Heard, bool)> {
        std::mem::take(&mut *self.heard.lock().expect("nobody panics while holding it"))
    }
}

impl LogEvents for Recorder {
    fn secured(&self, room: Result<Room, SecureError>) {
        self.note(Heard::Secured(room));
    }

    fn durable(&self, durable_end: Offset, _: FlushTiming) {
        self.note(Heard::Durable(durable_end));
    }

    fn cut(&self, done: CutDone) {
        self.note(Heard::Cut(done));
    }

    fn started(&self, start: Offset) {
        self.note(Heard::Started(start));
    }

    fn failed(&self, failure: &LogFailure) {
        let refused = matches!(failure, LogFailure::CutBelowCommitted { .. });
        self.note(Heard::Failed { refused, reason: failure.to_string() });
    }

    fn closed(&self, ended: Result<(), LogFailure>) {
        self.note(Heard::Closed(ended.map_err(|failure| failure.to_string())));
    }
}
