//! An error on its way out: a reason, a sentence, the same facts for machines; as a gRPC status or inside a stream.
//!
//! Always true: whatever leaves a service as an error was a [`Failure`], so that every error has a reason, and a
//! reason's code is [`reason::code`]'s.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use fidelog_proto::v1::{self, Reason};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::reason;

/// Who speaks in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "fidelog";

/// Why a request fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    reason: Reason,
    message: String,
    details: Vec<(&'static str, String)>,
    leader: Option<v1::LeaderHint>,
}

impl Failure {
    /// A failure for this reason, told in one sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: Vec::new(), leader: None }
    }

    /// A field is malformed or out of range; `message` tells what it is and what it may be.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidArgument, message).with("field", field)
    }

    /// A bound is reached.
    pub fn limit(
        reason: Reason,
        limit: &'static str,
        value: impl Display,
        message: impl Into<String>,
    ) -> Self {
        Self::new(reason, message).with("limit", limit).with("limit_value", value)
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.details.push((key, value.to_string()));
        self
    }

    /// Adds where the leader is.
    #[must_use]
    pub fn led_by(mut self, leader: v1::LeaderHint) -> Self {
        self.leader = Some(leader);
        self
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The value of a fact.
    #[must_use]
    pub fn detail(&self, key: &str) -> Option<&str> {
        self.details.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }
}

impl From<Failure> for v1::Error {
    fn from(failure: Failure) -> Self {
        Self {
            reason: failure.reason.into(),
            message: failure.message,
            details: failure.details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            retry_after_ms: reason::retry_after_ms(failure.reason),
            leader: failure.leader,
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut facts: HashMap<String, String> =
            failure.details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        if let Some(leader) = failure.leader {
            facts.insert("leader_id".to_owned(), leader.broker_id.to_string());
            facts.insert("leader_address".to_owned(), leader.address);
            facts.insert("leader_epoch".to_owned(), leader.leader_epoch.to_string());
        }
        let mut details = ErrorDetails::with_error_info(failure.reason.name(), DOMAIN, facts);
        let retry_after_ms = reason::retry_after_ms(failure.reason);
        if retry_after_ms > 0 {
            details.set_retry_info(Some(Duration::from_millis(retry_after_ms.into())));
        }
        Status::with_error_details(reason::code(failure.reason), failure.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_a_stream_error_tell_the_same() {
        for reason in Reason::all() {
            let leader = v1::LeaderHint { broker_id: 2, address: "b2:9094".into(), leader_epoch: 7 };
            let failure = Failure::new(reason, "a sentence").with("field", "topic").led_by(leader.clone());
            let status = Status::from(failure.clone());
            let error = v1::Error::from(failure);
            assert_eq!(status.code(), reason::code(reason));
            assert_eq!(status.message(), error.message);
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.domain.as_str(), info.reason.as_str()), (DOMAIN, reason.name()));
            assert_eq!(info.metadata["field"], error.details["field"]);
            assert_eq!(info.metadata["leader_address"], leader.address);
            assert_eq!(error.leader, Some(leader));
            let delay = details.retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
            assert_eq!(delay.as_millis(), u128::from(error.retry_after_ms));
        }
    }
}
