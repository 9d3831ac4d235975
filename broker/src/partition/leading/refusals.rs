//! Followers that refuse, say what cannot be, or say nothing: when to begin with them again.

use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerId, LeaderEpoch};

use crate::partition::effect::Effect;
use crate::partition::machine::{Machine, Role};
use crate::replica::message::RefusalCause;
use crate::replica::{FollowerState, StreamId};

/// A follower that says nothing after `Begin` for this many times [`MachineLimits::replica_down_ms_max`] is asked anew.
///
/// [`MachineLimits::replica_down_ms_max`]: crate::partition::MachineLimits::replica_down_ms_max
const SILENCE_IN_DOWN_TIMES: u64 = 2;

/// The pause before a follower that cannot follow is asked anew doubles this often: with 200 ms, up to 13 s.
const RETRY_DOUBLINGS_MAX: u32 = 6;
/// One that is about to follow is asked again at the next tick so often: it sees the metadata a moment after its leader, at
/// every change of leaders, and writes wait for it.
const SOON_MAX: u32 = 3;
/// And before one without room: up to 3 s, so that it takes part again within 10 s of having some (RELIABILITY §7).
const FULL_DOUBLINGS_MAX: u32 = 4;

impl<W> Machine<W> {
    /// A follower said what cannot be: its position is forgotten and asked for again.
    pub(super) fn distrust(&mut self, from: BrokerId, stream: StreamId, why: &str, now: Moment) {
        self.effects.push(Effect::Alarm(format!("{}: {why}", self.id)));
        self.begin_later(from, stream, now);
    }

    pub(super) fn begin_later(&mut self, from: BrokerId, stream: StreamId, now: Moment) {
        self.begin_after(from, stream, self.limits.retry_ms, now);
    }

    fn begin_after(&mut self, from: BrokerId, stream: StreamId, pause_ms: u64, now: Moment) {
        let retry_at = now.plus(Duration::from_millis(pause_ms));
        let Role::Leader(leading) = &mut self.role else { return };
        if let Some(incarnate) = leading.followers.get(from).and_then(|follower| follower.incarnate) {
            leading.followers.begin(stream, incarnate);
            if let Some(follower) = leading.followers.get_mut(from) {
                follower.retry_at = Some(retry_at);
            }
        }
    }

    pub(super) fn refused(
        &mut self,
        from: BrokerId,
        stream: StreamId,
        cause: RefusalCause,
        message: &str,
        epoch: LeaderEpoch,
        now: Moment,
    ) {
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(follower) = leading.followers.get_mut(from) else { return };
        let is_news = follower.refusals.is_none_or(|refusals| refusals.cause != cause);
        let count = follower.note_refusal(cause);
        let retry_ms = self.limits.retry_ms;
        let pause_ms = match cause {
            // Over soon: whoever says it is about to follow.
            RefusalCause::Gap | RefusalCause::UnknownEpoch | RefusalCause::NotAReplica => {
                if count <= SOON_MAX { 0 } else { retry_ms }
            }
            RefusalCause::DiskFull => retry_ms << (count - 1).min(FULL_DOUBLINGS_MAX),
            RefusalCause::Fenced
            | RefusalCause::Stopped
            | RefusalCause::WouldCutCommitted
            | RefusalCause::Corrupt => retry_ms << (count - 1).min(RETRY_DOUBLINGS_MAX),
        };
        let alarms = !matches!(
            cause,
            RefusalCause::Gap
                | RefusalCause::UnknownEpoch
                | RefusalCause::NotAReplica
                | RefusalCause::DiskFull
        );
        if alarms && is_news {
            self.effects.push(Effect::Alarm(format!(
                "{}: broker {from}, which has seen epoch {epoch}, cannot follow: {message}",
                self.id
            )));
        }
        self.begin_after(from, stream, pause_ms, now);
        self.open_if_told(now);
    }

    /// Begins again where a refusal's pause is over, or nothing has come back for long: the stream on which it was said
    /// may be one that the follower does not listen to.
    pub(in crate::partition) fn retry_begins(&mut self, now: Moment) {
        let silence = Duration::from_millis(SILENCE_IN_DOWN_TIMES * self.limits.replica_down_ms_max);
        let Role::Leader(leading) = &mut self.role else { return };
        let is_opening = leading.opening.is_some();
        let due: Vec<_> = leading
            .followers
            .iter_mut()
            .filter_map(|(id, follower)| {
                let FollowerState::Beginning { stream } = follower.state else { return None };
                let is_due = match follower.retry_at {
                    Some(at) => at <= now,
                    // It has told its end, and waits for this leader.
                    None if is_opening && follower.told.is_some() => false,
                    None => now.since(*follower.silent_since.get_or_insert(now)) >= silence,
                };
                is_due.then_some((id, stream))
            })
            .collect();
        for (id, stream) in due {
            self.begin_again(id, stream);
        }
    }
}
