//! What goes wrong in a run: faults, a full disk, and ends of the process or the machine.

use std::path::Path;

use fidelog_log::env::sim::{Fault, FaultError};
use fidelog_log::env::{Disk, Operation};
use rand::Rng;

use crate::partition::Partition;
use crate::run::{ROOT, Run};
use fidelog_tests::process::Process;

impl Run {
    pub(crate) fn plan_fault(&mut self, nth_max: u64) {
        const OPERATIONS: [Operation; 12] = [
            Operation::Open,
            Operation::Create,
            Operation::Read,
            Operation::Write,
            Operation::Write,
            Operation::Allocate,
            Operation::Sync,
            Operation::Sync,
            Operation::SyncDir,
            Operation::Rename,
            Operation::Remove,
            Operation::List,
        ];
        const ERRORS: [FaultError; 4] =
            [FaultError::Io, FaultError::StorageFull, FaultError::TooManyFiles, FaultError::ReadOnly];
        let operation = OPERATIONS[self.random.random_range(0..OPERATIONS.len())];
        let error = ERRORS[self.random.random_range(0..ERRORS.len())];
        let nth = self.random.random_range(1..=nth_max);
        self.story.note("fault", &[nth], || {
            format!("planned: {operation} number {nth} from now fails with {error:?}")
        });
        self.disk.inject(Fault::once(operation, nth, error));
        self.excused = true;
    }

    pub(crate) fn limit_room(&mut self) {
        let root = Path::new(ROOT);
        let (Ok(free), Ok(total)) = (self.disk.free_bytes(root), self.disk.total_bytes(root)) else { return };
        let capacity = total - free + self.random.random_range(0..40_000);
        self.story.note("room", &[capacity], || {
            format!("the disk holds {capacity} bytes from now on, {} are used", total - free)
        });
        self.disk.set_capacity_bytes(capacity);
        self.excused = true;
    }

    pub(crate) fn stop_cleanly(&mut self) {
        let life = self.life.as_ref().expect("operations happen while a process runs");
        let stopped = life.flusher.shutdown();
        self.story.note("stop", &[u64::from(stopped.as_ref().is_ok_and(|clean| *clean))], || {
            format!("clean stop: {stopped:?}")
        });
        let ended = self.has_ended();
        for partition in &mut self.partitions {
            partition.hear(self.excused || ended);
        }
        match stopped {
            Ok(clean) => self.expect_all_durable(clean),
            Err(error) => assert!(self.excused || ended, "a clean stop failed without a fault: {error}"),
        }
        self.start();
    }

    fn expect_all_durable(&mut self, clean: bool) {
        let failed = |partition: &Partition| partition.desk.as_ref().is_some_and(|desk| desk.failed);
        assert_eq!(clean, !self.partitions.iter().any(failed), "whether the stop was clean");
        self.stopped_cleanly = clean;
        let found_clean = self.life.as_ref().is_some_and(|life| life.found_clean);
        for partition in
            self.partitions.iter().filter(|partition| partition.desk.is_some() && !failed(partition))
        {
            let (end, durable) = (partition.model.end(), partition.model.durable_end);
            assert_eq!(durable, end, "{}: durable after a clean stop", partition.model.at);
        }
        for partition in &mut self.partitions {
            partition.stopped_with_room = match partition.desk {
                Some(_) => partition.room_bytes() > 0,
                // Not opened by this process: what the last one said still holds.
                None => partition.stopped_with_room && found_clean,
            };
        }
    }

    /// Something that happens in the midst of the next changes.
    pub(crate) fn plan_trouble(&mut self, process: &Process, changes_max: u64) {
        match self.random.random_range(0..3) {
            0 => self.plan_fault(changes_max),
            _ => self.random_end(process, changes_max),
        }
    }

    pub(crate) fn random_end(&mut self, process: &Process, changes_max: u64) {
        let changes = self.random.random_range(0..changes_max);
        if self.random.random() {
            self.story
                .note("cut planned", &[changes], || format!("planned: power cut after {changes} changes"));
            self.disk.crash_after(changes);
        } else {
            self.story
                .note("kill planned", &[changes], || format!("planned: killed after {changes} changes"));
            process.end_after(changes);
        }
    }

    /// The process is killed or the power cut between two operations.
    pub(crate) fn end_now(&mut self) {
        if self.random.random() {
            self.disk.cut_power();
        }
        self.start();
    }
}
