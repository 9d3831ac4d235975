//! A stream written as straight code: an async block that sends, polled by whoever reads.
//!
//! Always true: sender and reader are one task, so that an item costs no wake-up; one item at a time is held, and the
//! block does not go on before it was taken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

/// The reading end.
pub(super) struct CoStream<T> {
    /// The block; `None` once it has ended.
    block: Option<BoxFuture<'static, ()>>,
    item: Arc<Mutex<Option<T>>>,
}

/// The sending end, inside the block.
pub(super) struct Out<T> {
    item: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> CoStream<T> {
    /// A stream of what `block` sends.
    pub(super) fn new<F>(block: impl FnOnce(Out<T>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let item = Arc::new(Mutex::new(None));
        let block = block(Out { item: Arc::clone(&item) }).boxed();
        Self { block: Some(block), item }
    }
}

impl<T> Stream for CoStream<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let ended = match &mut self.block {
            Some(block) => block.as_mut().poll(cx).is_ready(),
            None => true,
        };
        if ended {
            self.block = None;
        }
        let item = self.item.lock().take();
        match item {
            Some(item) => Poll::Ready(Some(item)),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<T> Out<T> {
    /// Hands an item over; returns when the reader comes for the next.
    pub(super) async fn send(&mut self, item: T) {
        *self.item.lock() = Some(item);
        // The reader has the item in hand when it polls again, and needs no waker: it is the task that polls.
        std::future::poll_fn(|_| if self.item.lock().is_some() { Poll::Pending } else { Poll::Ready(()) })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn what_is_sent_comes_out_in_order_and_the_end_is_told() {
        let stream = CoStream::new(|mut out| async move {
            for number in 0..5 {
                if number == 3 {
                    tokio::task::yield_now().await;
                }
                out.send(number).await;
            }
        });
        assert_eq!(stream.collect::<Vec<i32>>().await, [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn nothing_is_made_before_it_is_asked_for() {
        let made = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&made);
        let mut stream = CoStream::new(|mut out| async move {
            loop {
                *counted.lock() += 1;
                out.send(()).await;
            }
        });
        stream.next().await;
        assert_eq!(*made.lock(), 1);
        stream.next().await;
        assert_eq!(*made.lock(), 2);
    }
}
