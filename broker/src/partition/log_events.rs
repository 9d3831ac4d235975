//! What a partition hears of its log, each a step of its machine. Called on the flusher's thread.

use fidelog_log::{CutDone, FlushTiming, LogEvents, LogFailure, Room, SecureError};
use fidelog_record::types::Offset;
use tracing::error;

use super::shell::Partition;

impl LogEvents for Partition {
    fn secured(&self, room: Result<Room, SecureError>) {
        let wall_ms = self.clock.wall_ms();
        let answer = room.map_err(|error| error.to_string());
        self.step(|machine, now| machine.secured(answer, now, wall_ms));
    }

    fn durable(&self, durable_end: Offset, timing: FlushTiming) {
        self.step(|machine, now| machine.durable(durable_end, timing, now));
    }

    fn cut(&self, done: CutDone) {
        self.step(|machine, now| machine.cut_done(done, now));
    }

    fn started(&self, start: Offset) {
        self.step(|machine, _| machine.started(start));
    }

    fn failed(&self, failure: &LogFailure) {
        error!(partition = %self.id, "{failure}");
        self.step(|machine, _| machine.failed(&failure.to_string()));
    }

    fn closed(&self, ended: Result<(), LogFailure>) {
        drop(self.closed.send_replace(ended));
    }
}
