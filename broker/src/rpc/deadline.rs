//! How long a caller waits: what its `grpc-timeout` says, and what a request asks for.
//!
//! Always true: an answer is due a little before its caller gives up, so that it can still arrive; a caller whose
//! time is up already is refused before anything is done.

use std::time::Duration;

use fidelog_proto::v1::Reason;
use tokio::time::Instant;

use super::status::Failure;

/// Kept back for the way to the caller, at most.
const WAY_BACK_MAX: Duration = Duration::from_millis(20);
/// Digits a `grpc-timeout` may have.
const DIGITS_MAX: usize = 8;

/// When a caller gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    at: Option<Instant>,
}

impl Deadline {
    /// Nobody gives up.
    pub(super) const NONE: Self = Self { at: None };

    /// What the headers of a call say, counted from now.
    ///
    /// # Errors
    /// When the time is up, or is not a time.
    pub(super) fn of(headers: &http::HeaderMap) -> Result<Self, Failure> {
        let Some(value) = headers.get("grpc-timeout") else { return Ok(Self::NONE) };
        let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
            let message =
                format!("grpc-timeout is {value:?}; use 1 to {DIGITS_MAX} digits and one of H M S m u n");
            Failure::invalid("grpc-timeout", message)
        })?;
        if timeout.is_zero() {
            let message = "the deadline had passed before the request was looked at; nothing was done";
            return Err(Failure::new(Reason::DeadlineExceeded, message));
        }
        let due = timeout - WAY_BACK_MAX.min(timeout / 10);
        Ok(Self { at: Instant::now().checked_add(due) })
    }

    /// The shorter of `wait` and what is left.
    #[must_use]
    pub(super) fn cap(self, wait: Duration) -> Duration {
        self.left().map_or(wait, |left| left.min(wait))
    }

    /// What is left; `None` when nobody gives up.
    #[must_use]
    pub(super) fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// The layer of requests puts it into the extensions of every call.
pub(super) fn of_call<T>(request: &tonic::Request<T>) -> Deadline {
    request.extensions().get::<Deadline>().copied().unwrap_or(Deadline::NONE)
}

fn parse(value: &str) -> Option<Duration> {
    let unit = value.chars().last()?;
    let digits = value.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_is_a_time() {
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "1", "-1S", "+1S", "123456789S", "1x", "1.5S", "1 S", "ä"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_due_before_its_caller_gives_up() {
        let of = |value: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(value));
            Deadline::of(&headers)
        };
        assert!(of("1S").unwrap().left().unwrap() <= Duration::from_millis(980));
        assert!(of("10m").unwrap().cap(Duration::from_secs(9)) <= Duration::from_millis(9));
        assert_eq!(of("0S").unwrap_err().reason(), Reason::DeadlineExceeded);
        assert_eq!(of("soon").unwrap_err().reason(), Reason::InvalidArgument);
        assert_eq!(Deadline::NONE.cap(Duration::from_secs(9)), Duration::from_secs(9));
    }
}
