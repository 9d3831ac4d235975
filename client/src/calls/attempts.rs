//! The attempts of one question: whose turn it is, what went wrong so far, and whether going on makes sense. Pure:
//! outcomes, time and chance come in.
//!
//! What is always true: every broker is tried before any is tried again, and one that is silent is not asked again
//! while another one is free. That a topic or partition does not exist is believed when every broker said so several
//! times: one may lag behind.

use std::time::Duration;

use crate::error::RequestError;

use super::{LAG_PATIENCE, Patience, may_repeat};

/// How often the silence before the next attempt doubles.
const DOUBLINGS_MAX: usize = 3;

/// How often each broker has to say that a topic or partition does not exist; the pauses between are about 70 ms.
pub(crate) const LAGGING_ANSWERS: u32 = 4;

/// What to do after an attempt failed.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask the next broker after this wait, or when its time comes anyway.
    At(Duration),
    /// All were asked: begin again after this wait.
    Later {
        wait: Duration,
        cause: String,
    },
    GiveUp(Box<RequestError>),
}

/// One broker, as this question met it.
#[derive(Debug)]
struct Asked {
    address: String,
    /// Attempts without an answer yet.
    silent: usize,
    /// How often it said that the topic or partition does not exist.
    denials: u32,
    /// Why no connection could be made, the last time.
    unconnected: Option<String>,
}

/// The attempts of one question.
#[derive(Debug)]
pub(super) struct Attempts {
    brokers: Vec<Asked>,
    patience: Patience,
    begun: usize,
    next: usize,
    /// Failures since the last time that all had been tried.
    failed: usize,
    rounds: u32,
    /// The last error other than "could not be reached".
    last: Option<RequestError>,
}

impl Attempts {
    pub(super) fn new(addresses: Vec<String>, patience: Patience) -> Self {
        let asked = |address| Asked { address, silent: 0, denials: 0, unconnected: None };
        let brokers = addresses.into_iter().map(asked).collect();
        Self { brokers, patience, begun: 0, next: 0, failed: 0, rounds: 0, last: None }
    }

    pub(super) fn address(&self, index: usize) -> &str {
        &self.brokers[index].address
    }

    /// Begins an attempt: whom to ask, and how long to wait before somebody else is asked as well.
    pub(super) fn begin(&mut self) -> (usize, Duration) {
        let count = self.brokers.len();
        let in_turn = (0..count).map(|step| (self.next + step) % count);
        let index = in_turn.min_by_key(|&index| self.brokers[index].silent).expect("a client has an address");
        let doublings = (self.begun / count).min(DOUBLINGS_MAX);
        self.begun += 1;
        self.next = (index + 1) % count;
        self.brokers[index].silent += 1;
        (index, self.patience.silence * (1 << doublings))
    }

    /// Takes the failure of an attempt, `elapsed` after the question was first asked.
    pub(super) fn failed(
        &mut self,
        index: usize,
        error: RequestError,
        elapsed: Duration,
        chance: u64,
    ) -> Next {
        let broker = &mut self.brokers[index];
        broker.silent -= 1;
        broker.denials += u32::from(error.may_lag());
        if !may_repeat(&error) && !self.may_be_behind(&error, elapsed) {
            return Next::GiveUp(Box::new(error));
        }
        let cause = error.to_string();
        let wait = error.wait(self.rounds + 1, chance);
        let broker = &mut self.brokers[index];
        match error {
            RequestError::Unreachable { cause, .. } => broker.unconnected = Some(cause),
            error => self.last = Some(error),
        }
        self.failed += 1;
        let silent = self.silent();
        let left = match &self.last {
            Some(last) if last.may_lag() => LAG_PATIENCE.min(self.patience.budget),
            None => self.patience.unreachable.min(self.patience.budget),
            Some(_) => self.patience.budget,
        }
        .saturating_sub(elapsed);
        let untried = self.failed + silent < self.brokers.len();
        if untried && !left.is_zero() {
            return Next::At(Duration::ZERO);
        }
        if silent == 0 && wait >= left {
            return Next::GiveUp(Box::new(self.outcome()));
        }
        (self.failed, self.rounds) = (0, self.rounds.saturating_add(1));
        Next::Later { wait, cause }
    }

    /// Whether brokers that know no such topic, or partition, may only not have heard of it yet.
    fn may_be_behind(&self, error: &RequestError, elapsed: Duration) -> bool {
        let certain = self.brokers.iter().all(|broker| broker.denials >= LAGGING_ANSWERS);
        error.may_lag() && !certain && elapsed < LAG_PATIENCE
    }

    fn silent(&self) -> usize {
        self.brokers.iter().map(|broker| broker.silent).sum()
    }

    /// What to tell: what a broker said, rather than that others could not be reached.
    fn outcome(&mut self) -> RequestError {
        self.last.take().unwrap_or_else(|| {
            let tried: Vec<&str> = self.brokers.iter().map(|broker| broker.address.as_str()).collect();
            let causes: Vec<&str> =
                self.brokers.iter().filter_map(|broker| broker.unconnected.as_deref()).collect();
            RequestError::Unreachable { tried: tried.join(", "), cause: causes.join("; ") }
        })
    }
}

#[cfg(test)]
mod tests {
    use fidelog_proto::v1::{self, Reason};

    use super::*;
    use crate::error::Refusal;

    const SECOND: Duration = Duration::from_secs(1);

    fn three() -> Attempts {
        let addresses = ["a:1", "b:1", "c:1"].map(str::to_owned).to_vec();
        Attempts::new(addresses, Patience { budget: SECOND * 15, unreachable: SECOND * 2, silence: SECOND })
    }

    fn refused(reason: Reason) -> RequestError {
        Refusal::from_wire(v1::Error { reason: reason.into(), ..Default::default() }).into()
    }

    fn dead(address: &str) -> RequestError {
        super::super::unreachable(address, &format!("no connection to {address}"))
    }

    #[test]
    fn a_silent_broker_is_passed_over_while_others_are_free() {
        let mut attempts = three();
        let order: Vec<usize> = (0..3).map(|_| attempts.begin().0).collect();
        assert_eq!(order, [0, 1, 2]);
        let next = attempts.failed(2, refused(Reason::LeaderNotAvailable), Duration::ZERO, 0);
        assert!(matches!(next, Next::Later { wait, .. } if wait < SECOND / 10), "{next:?}");
        for _ in 0..4 {
            assert_eq!(attempts.begin().0, 2);
            attempts.failed(2, refused(Reason::LeaderNotAvailable), Duration::ZERO, 0);
        }
    }

    #[test]
    fn all_are_tried_at_once_when_they_refuse_connections() {
        let mut attempts = three();
        for (index, address) in [(0, "a:1"), (1, "b:1")] {
            assert_eq!(attempts.begin().0, index);
            let next = attempts.failed(index, dead(address), Duration::ZERO, 0);
            assert!(matches!(next, Next::At(Duration::ZERO)), "{next:?}");
        }
        attempts.begin();
        let next = attempts.failed(2, dead("c:1"), Duration::ZERO, 0);
        assert!(matches!(next, Next::Later { .. }), "{next:?}");
        attempts.begin();
        let next = attempts.failed(0, dead("a:1"), SECOND * 2, 0);
        let Next::GiveUp(error) = next else { panic!("{next:?}") };
        assert_eq!(error.to_string().matches("no connection to a:1").count(), 1, "{error}");
        assert!(error.to_string().contains("no connection to c:1"), "{error}");
    }

    #[test]
    fn what_waiting_does_not_mend_ends_it_at_once_and_the_unknown_does_not() {
        let mut attempts = three();
        attempts.begin();
        let next = attempts.failed(0, refused(Reason::OutcomeUnknown), Duration::ZERO, 0);
        assert!(matches!(next, Next::At(_)), "it may be repeated at will: {next:?}");
        attempts.begin();
        let next = attempts.failed(1, refused(Reason::InvalidName), Duration::ZERO, 0);
        assert!(matches!(next, Next::GiveUp(_)), "{next:?}");
    }

    #[test]
    fn that_a_topic_does_not_exist_is_believed_when_everyone_said_so_repeatedly() {
        let mut attempts = three();
        for asked in 1..=3 * LAGGING_ANSWERS {
            let (index, _) = attempts.begin();
            let next = attempts.failed(index, refused(Reason::UnknownTopic), Duration::ZERO, 0);
            let over = matches!(&next, Next::GiveUp(error) if error.reason() == Some(Reason::UnknownTopic));
            assert_eq!(over, asked == 3 * LAGGING_ANSWERS, "{asked}: {next:?}");
        }
    }

    /// One broker that lags behind the others ended `open` with UNKNOWN_TOPIC.
    #[test]
    fn whoever_does_not_know_a_topic_is_not_believed_for_long_when_others_cannot_be_asked() {
        let mut attempts = three();
        let unknown = || refused(Reason::UnknownPartition);
        assert_eq!(attempts.begin().0, 0);
        let next = attempts.failed(0, unknown(), Duration::ZERO, 0);
        assert!(matches!(next, Next::At(Duration::ZERO)), "the others are asked at once: {next:?}");
        for (index, address) in [(1, "b:1"), (2, "c:1")] {
            assert_eq!(attempts.begin().0, index);
            attempts.failed(index, dead(address), Duration::ZERO, 0);
        }
        assert_eq!(attempts.begin().0, 0);
        let next = attempts.failed(0, unknown(), LAG_PATIENCE, 0);
        let Next::GiveUp(error) = next else { panic!("{next:?}") };
        assert_eq!(error.reason(), Some(Reason::UnknownPartition));
    }

    #[test]
    fn a_single_broker_is_asked_again_ever_more_rarely() {
        let mut attempts = Attempts::new(vec!["a:1".into()], three().patience);
        let silences: Vec<Duration> = (0..6).map(|_| attempts.begin().1).collect();
        assert_eq!(silences, [1, 2, 4, 8, 8, 8].map(|seconds| SECOND * seconds));
    }

    #[test]
    fn what_a_broker_said_is_told_rather_than_who_was_away() {
        let mut attempts = three();
        attempts.begin();
        attempts.failed(0, refused(Reason::QuorumUnavailable), SECOND, 0);
        attempts.begin();
        let next = attempts.failed(1, dead("b:1"), SECOND * 15, 0);
        let Next::GiveUp(error) = next else { panic!("{next:?}") };
        assert_eq!(error.reason(), Some(Reason::QuorumUnavailable));
    }
}
