//! Where tasks note what they do and see.

use std::sync::Arc;
use std::sync::Mutex;

use super::checker::check;
use super::event::{History, Outcome, Read, Send, Synced, Value};

/// A history under way. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    shared: Arc<Mutex<Under>>,
}

#[derive(Debug, Default)]
struct Under {
    history: History,
    sessions: u32,
}

/// What a history holds, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acked: usize,
    pub(crate) not_stored: usize,
    pub(crate) unknown: usize,
    pub(crate) read: usize,
}

impl Recorder {
    /// A record is about to be handed over. Yields where its outcome belongs.
    pub(crate) fn sending(&self, value: Value, partition: u32) -> usize {
        let mut under = self.lock();
        under.history.sends.push(Send { value, partition, outcome: Outcome::Unknown });
        under.history.sends.len() - 1
    }

    /// What became of the send at `place`.
    pub(crate) fn sent(&self, place: usize, outcome: Outcome) {
        self.lock().history.sends[place].outcome = outcome;
    }

    /// What a receipt said about the send at `place`.
    pub(crate) fn synced(&self, place: usize, offset: u64, by: Vec<u32>) {
        let mut under = self.lock();
        let Send { value, partition, .. } = under.history.sends[place];
        under.history.synced.push(Synced { value, partition, offset, by });
    }

    /// Every receipt so far.
    pub(crate) fn receipts(&self) -> Vec<Synced> {
        self.lock().history.synced.clone()
    }

    /// A reader begins, or begins anew.
    pub(crate) fn session(&self) -> u32 {
        let mut under = self.lock();
        under.sessions += 1;
        under.sessions
    }

    /// A reader got a record.
    pub(crate) fn read(&self, session: u32, partition: u32, offset: u64, value: Option<&[u8]>) {
        let value = value.and_then(Value::parse);
        self.lock().history.reads.push(Read { session, partition, offset, value });
    }

    /// How much there is.
    pub(crate) fn counts(&self) -> Counts {
        let under = self.lock();
        let count = |wanted: fn(&Outcome) -> bool| {
            under.history.sends.iter().filter(|it| wanted(&it.outcome)).count()
        };
        Counts {
            acked: count(|outcome| matches!(outcome, Outcome::Acked { .. })),
            not_stored: count(|outcome| *outcome == Outcome::NotStored),
            unknown: count(|outcome| *outcome == Outcome::Unknown),
            read: under.history.reads.len(),
        }
    }

    /// Checks everything noted so far, after the last reader has read to the end.
    ///
    /// # Panics
    /// When anything is wrong; the first anomalies are told.
    pub(crate) fn judge(&self) {
        let anomalies = check(&self.lock().history);
        let told: Vec<_> = anomalies.iter().take(20).map(ToString::to_string).collect();
        assert!(anomalies.is_empty(), "{} anomalies, such as:\n{}", anomalies.len(), told.join("\n"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Under> {
        self.shared.lock().expect("nobody panics while holding it")
    }
}
