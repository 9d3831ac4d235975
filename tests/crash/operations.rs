//! What a run does to the log, one operation at a time, drawn from the seed.

use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_log::{FlushOutcome, Log, LogWork};
use fidelog_record::types::Offset;
use rand::Rng;

use crate::batches;
use crate::model::{Existence, Step};
use crate::partition::Desk;
use crate::run::Run;

impl Run {
    /// One operation, drawn.
    pub(crate) fn operate(&mut self) {
        let index = self.random.random_range(0..self.partitions.len());
        match self.random.random_range(0..100) {
            0..44 => self.append(index),
            44..64 => self.flush(),
            64..70 => self.commit(index),
            70..72 => self.roll(index),
            72..76 => self.cut(index),
            76..78 => self.start_over(index),
            78..81 => self.advance_start(index),
            81..85 => self.pass_time(),
            85..88 => self.partitions[index].read(&mut self.random, self.excused),
            88..91 => self.plan_fault(15),
            91 if self.random.random() => self.keep_house(),
            91 => self.close(index),
            92 => self.delete(index),
            93 => self.limit_room(),
            94 => self.stop_cleanly(),
            95..98 => {
                let life = self.life.as_ref().expect("operations happen while a process runs");
                self.random_end(&life.process.clone(), 30);
            }
            _ => self.end_now(),
        }
    }

    fn append(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if !partition.takes_batches() {
            return self.mend(index);
        }
        let flusher = &self.life.as_ref().expect("operations happen while a process runs").flusher;
        for _ in 0..self.random.random_range(1..4) {
            if self.random.random_ratio(1, 12) {
                partition.model.epoch += 1;
            }
            let now_ms = self.clock.wall_ms();
            let batch = batches::draw(&partition.model, &mut self.random, now_ms);
            if (batch.length() as u64) <= partition.room_bytes() {
                partition.append(flusher, batch);
            } else if !partition.desk.as_ref().is_some_and(|desk| desk.securing) {
                partition.submit(flusher, LogWork::Secure { bytes: batch.length() as u64 });
            }
        }
        self.clock.advance(Duration::from_millis(self.random.random_range(0..40)));
    }

    /// A log that failed goes on after a cut, or a start-over, whichever was under way.
    fn mend(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let flusher = &self.life.as_ref().expect("operations happen while a process runs").flusher;
        let deleting = matches!(partition.model.step, Step::Delete);
        let asks_again = |desk: &Desk| if deleting { desk.delete_refused } else { desk.failed };
        if !partition.desk.as_ref().is_some_and(asks_again) {
            return;
        }
        let committed_end = partition.model.committed_end;
        let work = match partition.model.step.clone() {
            Step::None => {
                let to = partition.model.end();
                partition.model.step = Step::Cut { to, permitted: None };
                LogWork::Cut { to, committed_end, permitted: None }
            }
            Step::Cut { to, permitted } => LogWork::Cut { to, committed_end, permitted },
            Step::StartOver { at, producers } => LogWork::StartOver { at, producers },
            Step::Close => return,
            Step::Delete => LogWork::Delete,
        };
        self.story.note("mend", &[], || format!("  [{index}] mend: {work:?}"));
        partition.submit(flusher, work);
        self.flush();
    }

    fn flush(&mut self) {
        let life = self.life.as_ref().expect("operations happen while a process runs");
        let outcome = life.flusher.flush_once(Duration::ZERO);
        self.story.note("flush", &[], || format!("flush: {outcome:?}"));
        let ended = life.process.has_ended() || self.disk.is_crashed();
        let latched = matches!(outcome, FlushOutcome::Latched(_));
        assert!(!latched || self.excused || ended, "latched without a fault: {outcome:?}");
        for partition in &mut self.partitions {
            partition.hear(self.excused || ended);
        }
        if latched && !ended && self.random.random_ratio(1, 2) {
            self.end_now();
        }
    }

    fn commit(&mut self, index: usize) {
        let model = &mut self.partitions[index].model;
        if matches!(model.step, Step::None) && model.committed_end < model.durable_end {
            let end = Offset(self.random.random_range(model.committed_end.0..=model.durable_end.0));
            model.committed_end = end;
            self.submit(index, LogWork::Committed { end });
        }
    }

    fn submit(&mut self, index: usize, work: LogWork) {
        self.story.note("submit", &[index as u64], || format!("  [{index}] submit {work:?}"));
        let flusher = &self.life.as_ref().expect("operations happen while a process runs").flusher;
        self.partitions[index].submit(flusher, work);
    }

    fn roll(&mut self, index: usize) {
        if self.partitions[index].takes_batches()
            && !self.partitions[index].desk.as_ref().is_some_and(|desk| desk.securing)
        {
            self.submit(index, LogWork::Roll);
        }
    }

    fn cut(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if !partition.takes_batches() {
            return;
        }
        let (committed, end) = (partition.model.committed_end.0, partition.model.end().0);
        // An operator may have permitted to cut what is committed.
        let from = partition.model.start_asked.0.min(committed);
        let permitted =
            self.random.random_ratio(1, 5).then(|| Offset(self.random.random_range(from..=committed)));
        let floor = permitted.map_or(committed, |permitted| permitted.0);
        let least = if self.random.random_ratio(1, 10) { 0 } else { floor };
        let to = Offset(self.random.random_range(least..=end + 1));
        partition.model.step = Step::Cut { to, permitted };
        self.submit(index, LogWork::Cut { to, committed_end: Offset(committed), permitted });
    }

    fn start_over(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if !partition.takes_batches() {
            return;
        }
        let at = Offset(self.random.random_range(0..partition.model.end().0 + 20));
        // The memory that a leader sends is of batches below `at`; this log's own is as good as any.
        let producers = partition.model.producers_below(at);
        partition.model.step = Step::StartOver { at, producers: producers.clone() };
        self.submit(index, LogWork::StartOver { at, producers });
    }

    fn advance_start(&mut self, index: usize) {
        let model = &mut self.partitions[index].model;
        if matches!(model.step, Step::None) && model.start_asked < model.committed_end {
            let to = Offset(self.random.random_range(model.start_asked.0..=model.committed_end.0));
            model.start_asked = to;
            self.submit(index, LogWork::AdvanceStart { to });
        }
    }

    fn pass_time(&mut self) {
        self.clock.advance(Duration::from_millis(self.random.random_range(1..1_500)));
    }

    fn close(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.desk.is_none() || !matches!(partition.model.step, Step::None) {
            return;
        }
        partition.model.step = Step::Close;
        self.submit(index, LogWork::Close);
        self.flush();
        self.reopen(index);
    }

    /// Opens a log that was closed, in the same process.
    fn reopen(&mut self, index: usize) {
        let Some(life) = &self.life else { return };
        let partition = &mut self.partitions[index];
        if partition.desk.is_some() || partition.model.existence == Existence::Gone {
            return;
        }
        match Log::open(&life.home, partition.model.at) {
            Ok((log, report)) => {
                let excused = self.excused || self.disk.is_crashed() || life.process.has_ended();
                partition.check_opened(&log, &report, &mut self.random, excused);
                partition.attach(&life.home, &life.flusher, log);
            }
            Err(error) => {
                self.story.note("not reopened", &[], || format!("not opened again: {error}"));
                assert!(self.excused || self.has_ended(), "{error}");
                self.end_now();
            }
        }
    }

    fn keep_house(&mut self) {
        let life = self.life.as_ref().expect("operations happen while a process runs");
        let swept = life.home.sweep_deleted();
        self.story.note("sweep", &[u64::from(swept.is_ok())], || format!("sweep: {swept:?}"));
        let tended = life.home.tend_ballast();
        self.story.note("ballast", &[u64::from(tended.is_ok())], || format!("ballast: {tended:?}"));
        let excused = self.excused || self.has_ended();
        assert!(
            excused || (swept.is_ok() && tended.is_ok()),
            "failed without a fault: {swept:?}, {tended:?}"
        );
    }

    fn delete(&mut self, index: usize) {
        if self.partitions[index].desk.is_none() || !matches!(self.partitions[index].model.step, Step::None) {
            return;
        }
        self.partitions[index].model.step = Step::Delete;
        self.submit(index, LogWork::Delete);
        if self.partitions.len() < 5 {
            self.add_partition();
            let (life, partition) = (self.life.as_ref(), self.partitions.last_mut());
            let (Some(life), Some(partition)) = (life, partition) else { return };
            if let Ok(log) = Log::create(&life.home, partition.model.at) {
                partition.model.existence = Existence::Sure;
                partition.attach(&life.home, &life.flusher, log);
            }
        }
    }
}
