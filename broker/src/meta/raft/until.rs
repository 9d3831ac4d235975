//! A stream that ends with one last item of its own.

use futures::future::{Either, select};
use futures::stream::{Stream, StreamExt, unfold};

/// What `stream` shows, until `end` resolves: then its value, and nothing more. Ends early when `stream` does.
pub(super) fn until<T>(
    stream: impl Stream<Item = T> + Send + 'static,
    end: impl Future<Output = T> + Send + 'static,
) -> impl Stream<Item = T> + Send {
    let parts = Some((Box::pin(stream), Box::pin(end)));
    unfold(parts, async |parts| {
        let (mut stream, end) = parts?;
        // Dropping `next` loses nothing: an item is taken only together with its place.
        match select(stream.next(), end).await {
            Either::Left((item, end)) => item.map(|item| (item, Some((stream, end)))),
            Either::Right((last, _)) => Some((last, None)),
        }
    })
}
