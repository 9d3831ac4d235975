//! What can go wrong with a request, and whether it may have changed anything.
//!
//! What is always true: an error is *definite* (this request changed nothing) or *unknown*, and says so
//! ([`RequestError::certainty`]). A broker's reason is never guessed from text. Producers and consumers have errors
//! of their own, built on these.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fidelog_proto::v1::{self, Reason};
use fidelog_proto::{Certainty, Meaning};
use fidelog_record::types::{BrokerId, LeaderEpoch};
use tonic_types::StatusExt;

use crate::backoff;

/// The domain every reason of a broker carries in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "fidelog";

/// Where a partition's leader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The broker.
    pub broker: BrokerId,
    /// Its host:port for clients.
    pub address: String,
    /// The epoch it leads in.
    pub epoch: LeaderEpoch,
}

impl Leader {
    pub(crate) fn from_hint(hint: Option<v1::LeaderHint>) -> Option<Self> {
        let hint = hint.filter(|hint| hint.broker_id != 0 && !hint.address.is_empty())?;
        Some(Self {
            broker: BrokerId(hint.broker_id),
            address: hint.address,
            epoch: LeaderEpoch(hint.leader_epoch),
        })
    }
}

/// A broker's own words: why it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// One sentence for people.
    pub message: String,
    /// The same facts for programs; keys are documented in `proto/README.md`.
    pub details: BTreeMap<String, String>,
    /// Retry no sooner than this.
    pub retry_after: Option<Duration>,
    /// Who leads the partition, when the broker knows better than we.
    pub leader: Option<Leader>,
}

impl Refusal {
    /// Whether the attempt may have changed anything, and whether repeating it may help.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        self.reason.meaning()
    }

    /// Somebody has too much to do: coming back soon makes it worse. Everything else that passes ends with a new
    /// leader or a replica that is back, and is looked for often.
    pub(crate) fn asks_for_relief(&self) -> bool {
        matches!(
            self.reason,
            Reason::Overloaded | Reason::LimitExceeded | Reason::ProducerWindowFull | Reason::DiskFull
        )
    }

    /// Records that are damaged at their leader, and are mended from another copy or read at another leader.
    pub(crate) fn awaits_mending(&self) -> bool {
        self.reason == Reason::DataLoss && self.details.contains_key("mendable")
    }

    /// The broker may only lag behind the others: a topic just created, or grown, reaches it a moment later.
    pub(crate) fn may_lag(&self) -> bool {
        matches!(self.reason, Reason::UnknownTopic | Reason::UnknownPartition)
    }

    pub(crate) fn from_wire(error: v1::Error) -> Self {
        Self {
            reason: error.reason(),
            message: error.message,
            details: error.details.into_iter().collect(),
            retry_after: (error.retry_after_ms > 0)
                .then(|| Duration::from_millis(error.retry_after_ms.into())),
            leader: Leader::from_hint(error.leader),
        }
    }

    pub(crate) fn from_status(status: &tonic::Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        let facts: BTreeMap<String, String> =
            info.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Some(Self {
            reason: Reason::from_name(&info.reason).unwrap_or(Reason::Unspecified),
            message: status.message().to_owned(),
            details: facts,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            leader: None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.message)
    }
}

/// Why a single request did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// A broker answered, with a reason.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No broker could be reached: the request was never sent.
    #[error("no broker could be reached ({tried}): {cause}; check the addresses and that the brokers run")]
    Unreachable {
        /// The addresses tried, with commas between them.
        tried: String,
        /// What the last of them said.
        cause: String,
    },
    /// It was sent, and no answer came.
    #[error("the request to {address} was sent, and its outcome is unknown: {cause}")]
    Lost {
        /// Where it was sent.
        address: String,
        /// What happened.
        cause: String,
    },
    /// The answer lacks what it must have.
    #[error("the broker's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// A name or a number is not one that a broker would take; nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

impl RequestError {
    /// Whether the request may have changed anything.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::Refused(refusal) => refusal.meaning().certainty,
            Self::Unreachable { .. } | Self::Invalid(_) => Certainty::Definite,
            Self::Lost { .. } | Self::Malformed(_) => Certainty::Unknown,
        }
    }

    /// The broker's reason, if a broker answered.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            _ => None,
        }
    }

    pub(crate) fn from_status(status: &tonic::Status, address: &str) -> Self {
        match Refusal::from_status(status) {
            Some(refusal) => Self::Refused(Box::new(refusal)),
            None => Self::Lost {
                address: address.to_owned(),
                cause: format!("{}: {}", status.code().description(), status.message()),
            },
        }
    }

    /// How long to wait before request number `failures` + 1.
    pub(crate) fn wait(&self, failures: u32, chance: u64) -> Duration {
        match self {
            Self::Refused(refusal) if refusal.asks_for_relief() => backoff::wait(failures, chance),
            _ => backoff::search(failures, chance),
        }
        .max(self.advice())
    }

    fn advice(&self) -> Duration {
        match self {
            Self::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    /// See [`Refusal::may_lag`].
    pub(crate) fn may_lag(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.may_lag())
    }

    /// The same request may succeed if sent again.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.meaning().retriable,
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Malformed(_) | Self::Invalid(_) => false,
        }
    }
}

impl From<Refusal> for RequestError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, StatusExt};

    #[test]
    fn a_status_with_details_becomes_a_refusal() {
        let mut details =
            ErrorDetails::with_error_info("OVERLOADED", DOMAIN, [("limit".to_owned(), "5".to_owned())]);
        details.set_retry_info(Some(Duration::from_millis(20)));
        let status = tonic::Status::with_error_details(tonic::Code::ResourceExhausted, "slow down", details);
        let RequestError::Refused(refusal) = RequestError::from_status(&status, "a:1") else {
            panic!("refused")
        };
        assert_eq!(refusal.reason, Reason::Overloaded);
        assert_eq!(refusal.details["limit"], "5");
        assert_eq!(refusal.retry_after, Some(Duration::from_millis(20)));
    }

    #[test]
    fn a_status_without_a_reason_leaves_the_outcome_unknown() {
        let error = RequestError::from_status(&tonic::Status::unavailable("gone"), "a:1");
        assert_eq!(error.certainty(), Certainty::Unknown);
        assert!(error.reason().is_none());
    }
}
