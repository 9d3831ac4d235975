//! How a command ends: an exit code, and for a failure one line.
//!
//! The codes are a contract (`lib.rs`). Every error of the SDK becomes a code here and nowhere else.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use fidelog_client::{
    Certainty, CommitError, ConsumeError, DeliveryError, FlushError, Reason, Refusal, RequestError, SendCause,
};
use serde::Serialize;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    Success = 0,
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    Unreachable = 4,
    NotAllowed = 5,
    Conflict = 6,
    SomeFailed = 7,
    Problem = 8,
    Interrupted = 130,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) reason: Option<&'static str>,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) outcome: Option<&'static str>,
}

/// The error object of `-o json`.
#[derive(Serialize)]
struct ErrorJson<'a> {
    kind: Exit,
    exit_code: u8,
    message: &'a str,
    reason: Option<&'static str>,
    outcome: Option<&'static str>,
    details: &'a BTreeMap<String, String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), reason: None, details: BTreeMap::new(), outcome: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Words before the message: what was being done.
    pub(crate) fn context(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Stdout took no more. A reader that went away had enough: that is success, and nothing is said.
    pub(crate) fn stdout(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Success, ""),
            _ => Self::new(Exit::Failure, format!("stdout: {error}")),
        }
    }

    fn refused(refusal: &Refusal, message: String) -> Self {
        let mut failure = Self::new(of_reason(refusal.reason), message);
        failure.reason = Some(refusal.reason.name());
        failure.details.clone_from(&refusal.details);
        failure.certainty(refusal.meaning().certainty)
    }

    fn certainty(mut self, certainty: Certainty) -> Self {
        self.outcome = Some(match certainty {
            Certainty::Definite => "definite",
            Certainty::Unknown => "unknown",
        });
        self
    }

    /// Says it on stderr, in one line.
    pub(crate) fn tell(&self, json: bool) {
        if self.message.is_empty() {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        // Nobody is left to tell when stderr is closed.
        let _closed = match (json, colour) {
            (true, _) => writeln!(stderr, "{}", self.to_json()),
            (false, true) => writeln!(stderr, "\x1b[1;31merror:\x1b[0m {}", one_line(&self.message)),
            (false, false) => writeln!(stderr, "error: {}", one_line(&self.message)),
        };
    }

    fn to_json(&self) -> serde_json::Value {
        let error = ErrorJson {
            kind: self.exit,
            exit_code: self.exit.code(),
            message: &self.message,
            reason: self.reason,
            outcome: self.outcome,
            details: &self.details,
        };
        serde_json::json!({ "error": error })
    }
}

/// Line feeds would break the promise of one line a failure.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A command line that does not parse, in one line.
pub(crate) fn usage(error: &clap::Error) -> Failure {
    let rendered = error.render().to_string();
    if matches!(error.kind(), clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        eprint!("{rendered}");
        return Failure::usage("a command is missing; choose one of the above");
    }
    let said =
        rendered.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let said = one_line(&said.collect::<Vec<_>>().join(" "));
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    Failure::usage(format!("{said}; --help tells more"))
}

/// The exit code of a broker's reason.
fn of_reason(reason: Reason) -> Exit {
    match reason {
        Reason::InvalidArgument | Reason::InvalidName => Exit::Usage,
        Reason::UnknownTopic | Reason::UnknownPartition | Reason::UnknownGroup | Reason::OffsetOutOfRange => {
            Exit::NotFound
        }
        Reason::NotLeader
        | Reason::LeaderNotAvailable
        | Reason::UnknownEpoch
        | Reason::Unavailable
        | Reason::OutcomeUnknown
        | Reason::DeadlineExceeded
        | Reason::NotYetAvailable
        | Reason::QuorumUnavailable
        | Reason::ChangeOutcomeUnknown => Exit::Unreachable,
        Reason::NotPermitted => Exit::NotAllowed,
        Reason::TopicExists
        | Reason::StaleTopicId
        | Reason::FencedEpoch
        | Reason::FencedGeneration
        | Reason::ProducerFenced
        | Reason::NotEnoughReplicas
        | Reason::NotEnoughBrokers
        | Reason::Conflict
        | Reason::WrongCluster => Exit::Conflict,
        Reason::Unspecified
        | Reason::DataCorrupt
        | Reason::InvalidBatch
        | Reason::RecordTooLarge
        | Reason::BatchTooLarge
        | Reason::MessageTooLarge
        | Reason::TimestampOutOfRange
        | Reason::UnsupportedFormat
        | Reason::Overloaded
        | Reason::DiskFull
        | Reason::DataLoss
        | Reason::OutOfOrder
        | Reason::UnknownProducer
        | Reason::ProducerWindowFull
        | Reason::MetadataLost
        | Reason::LimitExceeded => Exit::Failure,
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match &error {
            RequestError::Refused(refusal) => Self::refused(refusal, message),
            RequestError::Unreachable { .. } | RequestError::Lost { .. } => {
                Self::new(Exit::Unreachable, message).certainty(error.certainty())
            }
            RequestError::Invalid(_) => Self::usage(message),
            RequestError::Malformed(_) => Self::new(Exit::Failure, message).certainty(error.certainty()),
        }
    }
}

impl From<ConsumeError> for Failure {
    fn from(error: ConsumeError) -> Self {
        let message = error.to_string();
        match error {
            ConsumeError::Request(error) => error.into(),
            ConsumeError::Refused { refusal, .. } => Self::refused(&refusal, message),
            ConsumeError::OutOfRange { .. } => Self::new(Exit::NotFound, message),
            ConsumeError::Unreachable { .. } => Self::new(Exit::Unreachable, message),
            ConsumeError::Fenced { .. } => Self::new(Exit::Conflict, message),
            _ => Self::new(Exit::Failure, message),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        let message = error.to_string();
        match error {
            CommitError::Request(error) => error.into(),
            CommitError::Refused { refusal, .. } => Self::refused(&refusal, message),
            CommitError::Fenced { .. } => Self::new(Exit::Conflict, message),
            _ => Self::new(Exit::Failure, message),
        }
    }
}

impl From<&DeliveryError> for Failure {
    fn from(error: &DeliveryError) -> Self {
        let certainty = if error.is_definite() { Certainty::Definite } else { Certainty::Unknown };
        // Without a reason the budget or a connection ended: nobody answered.
        let exit = error.reason().map_or(Exit::Unreachable, of_reason);
        let mut failure = Self::new(exit, error.to_string()).certainty(certainty);
        failure.reason = error.reason().map(Reason::name);
        failure
    }
}

impl From<&SendCause> for Failure {
    fn from(cause: &SendCause) -> Self {
        let exit = match cause {
            SendCause::UnknownPartition { .. } => Exit::NotFound,
            SendCause::Fenced(_) => Exit::Conflict,
            _ => Exit::Failure,
        };
        Self::new(exit, cause.to_string()).certainty(Certainty::Definite)
    }
}

impl From<FlushError> for Failure {
    fn from(error: FlushError) -> Self {
        let message = error.to_string();
        Self { message, ..Self::from(&error.first) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn refusal(reason: Reason) -> Refusal {
        Refusal {
            reason,
            message: "no".into(),
            details: BTreeMap::from([("limit".into(), "5".into())]),
            retry_after: None,
            leader: None,
        }
    }

    #[test]
    fn codes_are_the_documented_ones() {
        let documented = [
            (Exit::Success, 0),
            (Exit::Failure, 1),
            (Exit::Usage, 2),
            (Exit::NotFound, 3),
            (Exit::Unreachable, 4),
            (Exit::NotAllowed, 5),
            (Exit::Conflict, 6),
            (Exit::SomeFailed, 7),
            (Exit::Problem, 8),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in documented {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn sdk_errors_become_their_codes() {
        let of = |reason| Failure::from(RequestError::from(refusal(reason))).exit;
        assert_eq!(of(Reason::UnknownTopic), Exit::NotFound);
        assert_eq!(of(Reason::NotPermitted), Exit::NotAllowed);
        assert_eq!(of(Reason::TopicExists), Exit::Conflict);
        assert_eq!(of(Reason::NotEnoughReplicas), Exit::Conflict);
        assert_eq!(of(Reason::QuorumUnavailable), Exit::Unreachable);
        assert_eq!(of(Reason::InvalidName), Exit::Usage);
        assert_eq!(of(Reason::DiskFull), Exit::Failure);
        let lost = RequestError::Lost { address: "a:1".into(), cause: "gone".into() };
        assert_eq!(Failure::from(lost).exit, Exit::Unreachable);
        let fenced = ConsumeError::Fenced { group: "g".into(), partition: 1 };
        assert_eq!(Failure::from(fenced).exit, Exit::Conflict);
    }

    #[test]
    fn an_error_object_has_these_fields() {
        let failure = Failure::from(RequestError::from(refusal(Reason::UnknownTopic)));
        let expected = r#"{"error":{"details":{"limit":"5"},"exit_code":3,"kind":"not_found","message":"UNKNOWN_TOPIC: no","outcome":"definite","reason":"UNKNOWN_TOPIC"}}"#;
        assert_eq!(failure.to_json().to_string(), expected);
    }

    #[test]
    fn a_usage_error_is_one_line() {
        let error = crate::args::Cli::try_parse_from(["fidelog", "topic", "create"]).unwrap_err();
        let failure = usage(&error);
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            !failure.message.contains('\n') && failure.message.contains("<TOPIC>"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::stdout(&std::io::ErrorKind::BrokenPipe.into());
        assert_eq!((closed.exit, closed.message.as_str()), (Exit::Success, ""));
        let full = Failure::stdout(&std::io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit, Exit::Failure);
    }
}
