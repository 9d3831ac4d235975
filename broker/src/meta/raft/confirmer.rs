//! Confirms leadership for everybody who waits, one round for all of them.
//!
//! Always true: a round answers only those who asked before it began (N12, N18).

use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::MetaIndex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::leadership::{Leadership, NoRound};
use crate::meta::published::Published;

/// How long a round may take, repetitions included.
const ROUND_MAX: Duration = Duration::from_millis(1_000);
/// The most that one round answers.
const ASKERS_MAX: usize = 4_096;

pub(super) type Confirmed = Result<MetaIndex, NoRound>;

/// The task that confirms.
pub(super) struct Confirmer {
    pub(super) leadership: Leadership,
    pub(super) published: Arc<Published>,
    pub(super) askers: mpsc::Receiver<oneshot::Sender<Confirmed>>,
}

impl Confirmer {
    /// Works until the last handle is gone.
    pub(super) async fn run(mut self) {
        let mut askers = Vec::new();
        while self.askers.recv_many(&mut askers, ASKERS_MAX).await > 0 {
            let round = self.leadership.confirm(Instant::now() + ROUND_MAX).await;
            // Applied by now, so that it covers all that was committed before the round.
            let answer = round.map(|()| self.published.index());
            for asker in askers.drain(..) {
                // Who no longer waits needs no answer.
                let _ = asker.send(answer.clone());
            }
        }
    }
}
