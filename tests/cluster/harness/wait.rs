//! Waiting for what must come: looked at again and again, never guessed at, and a clear end when it does not come.

use std::time::{Duration, Instant};

/// Longer than anything healthy takes on a busy machine. Not a measurement: a test that reaches it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(15);

/// Waits until `look` yields something.
///
/// # Panics
/// When `bound` has passed; the message tells `what` was waited for.
pub(crate) async fn wait_until<T>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Ok(Some(found)) = tokio::time::timeout(bound, look()).await {
            return found;
        }
        assert!(begun.elapsed() < bound, "waited {bound:?} in vain until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`wait_until`], for tasks of their own: what is awaited borrows nothing from the closure.
///
/// # Panics
/// As [`wait_until`].
pub(crate) async fn retry<T, F>(what: &str, bound: Duration, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Ok(Some(found)) = tokio::time::timeout(bound, attempt()).await {
            return found;
        }
        assert!(begun.elapsed() < bound, "waited {bound:?} in vain until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
