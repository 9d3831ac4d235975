//! What a partition has to do with damage: it hands mended segments to its log, takes in what they say of producers, and
//! remembers for people what is wrong with its stored records.
//!
//! Not here: finding damage, and getting batches; the node does both.

use std::ops::Range;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use fidelog_log::{LogWork, MendAnswer, MendError, Mended, ProducerTable};
use fidelog_record::types::Offset;
use tokio::sync::oneshot;

use super::machine::Machine;
use super::shell::Partition;

/// What people must hear of.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    /// Why damage is not mended yet.
    unmended: Option<String>,
    /// Where undamaged batches differ from the leader's.
    differing: Option<String>,
}

/// Why a mended segment did not take its place.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MendFailed {
    /// The log says no.
    #[error(transparent)]
    Refused(#[from] MendError),
    /// The log was let go of, or nothing is written any more.
    #[error("the log is not there any more")]
    LogGone,
}

/// A mended segment is on its way into the log. Until the machine has taken in what it says of producers, nobody hears
/// that the range is not damaged any more: this replica would be proposed, and could lead, without knowing them.
struct Taking {
    partition: Weak<Partition>,
}

impl Taking {
    fn begin(partition: &Partition) -> Self {
        partition.taking.fetch_add(1, Ordering::AcqRel);
        Self { partition: partition.this.clone() }
    }

    /// A step follows, in which the machine hears of it.
    fn end(self) {
        let partition = self.partition.clone();
        drop(self);
        if let Some(partition) = partition.upgrade() {
            partition.step(|_, _| ());
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(partition) = self.partition.upgrade() {
            partition.taking.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Partition {
    /// Everything below is committed, as far as this replica knows.
    #[must_use]
    pub fn committed_end(&self) -> Offset {
        self.inspect(|machine| machine.positions().committed_end)
    }

    /// Puts a mended segment into the log; tells what came from elsewhere.
    ///
    /// # Errors
    /// [`MendFailed`]; the log is as it was.
    pub async fn take_mended(&self, mended: Mended) -> Result<Vec<Range<Offset>>, MendFailed> {
        let (sender, heard) = oneshot::channel();
        let taking = Taking::begin(self);
        let answer = MendAnswer(Box::new(move |done| {
            if let (Ok(done), Some(partition)) = (&done, taking.partition.upgrade()) {
                partition.step(|machine, _| machine.remember_producers(&done.producers));
            }
            taking.end();
            // An error means that nobody waits any more; the step was taken all the same.
            drop(sender.send(done));
        }));
        self.submit(LogWork::Mend { mended: Box::new(mended), answer });
        // Stopping here is safe: the flusher goes on by itself.
        Ok(heard.await.map_err(|_| MendFailed::LogGone)??.mended)
    }

    /// Says why damage is not mended yet; `None` when there is none.
    pub fn note_unmended(&self, why: Option<String>) {
        self.trouble.lock().unmended = why;
    }

    /// Says where undamaged batches differ from the leader's; `None` when they do not.
    pub fn note_differing(&self, what: Option<String>) {
        self.trouble.lock().differing = what;
    }

    /// What is wrong with the stored records, for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().clone();
        let damage = self.view().damage();
        let damaged = damage.first().map(|first| {
            let ranges = damage.len();
            let why = trouble.unmended.as_deref().unwrap_or("they are being mended from another replica");
            format!("{ranges} damaged range(s), the first is offsets {}..{}: {why}", first.start, first.end)
        });
        trouble.differing.into_iter().chain(damaged).reduce(|all, next| format!("{all}; {next}"))
    }
}

impl<W> Machine<W> {
    /// Takes in what batches say that were damaged when this machine was made.
    pub(super) fn remember_producers(&mut self, mended: &ProducerTable) {
        self.log.producers.remember(mended, self.limits.producers.idle_ms);
    }
}
