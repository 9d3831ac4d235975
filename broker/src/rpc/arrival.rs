//! Bytes of a request as they arrive: paid for from the budget before they are kept, held against limits before
//! anything is decoded.
//!
//! ```text
//!   socket -> h2 frame -> [paid for] -> tonic's buffer -> message -> service
//!                 ^ one unpaid frame a stream at most; while it waits, flow control stops the sender
//! ```
//!
//! gRPC puts five bytes before each message: a compression flag and the length, big-endian. They are read here only
//! to find where messages end; tonic reads them again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::v1::Reason;
use futures::Stream;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::PollSemaphore;
use tonic::Status;

use super::budget::{Budget, Reserved};
use super::limits::RpcLimits;
use super::status::Failure;

const PREFIX_BYTES: usize = 5;

/// Where messages end in a row of bytes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// Bytes of the present message that have not arrived.
    missing: usize,
    length: usize,
}

impl Frames {
    /// Whether a message has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        self.prefix_bytes > 0
    }

    /// Steps over `bytes`; tells of each message that ends, frame included.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut ended: impl FnMut(usize)) -> Result<(), Failure> {
        while !bytes.is_empty() {
            if self.prefix_bytes < PREFIX_BYTES {
                let count = bytes.len().min(PREFIX_BYTES - self.prefix_bytes);
                self.prefix[self.prefix_bytes..self.prefix_bytes + count].copy_from_slice(&bytes[..count]);
                self.prefix_bytes += count;
                bytes = &bytes[count..];
                if self.prefix_bytes < PREFIX_BYTES {
                    return Ok(());
                }
                self.begin()?;
            }
            let count = bytes.len().min(self.missing);
            self.missing -= count;
            bytes = &bytes[count..];
            if self.missing == 0 {
                ended(PREFIX_BYTES + self.length);
                self.prefix_bytes = 0;
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let [_, a, b, c, d] = self.prefix;
        let (bytes, bytes_max) = (u32::from_be_bytes([a, b, c, d]) as usize, RpcLimits::MESSAGE_BYTES_MAX);
        if bytes > bytes_max {
            let message =
                format!("a message of {bytes} bytes; at most {bytes_max} are allowed, send less at once");
            return Err(Failure::limit(Reason::MessageTooLarge, "message_bytes_max", bytes_max, message));
        }
        (self.length, self.missing) = (bytes, bytes);
        Ok(())
    }
}

/// The body of a request, metered.
pub(super) struct Arrival<S> {
    inner: S,
    frames: Frames,
    budget: Budget,
    semaphore: PollSemaphore,
    reserved: Arc<Reserved>,
    /// Arrived, and not paid for yet.
    unpaid: Option<Bytes>,
    message_wait: Duration,
    /// When the present message, or the room it waits for, is overdue.
    overdue: Pin<Box<Sleep>>,
    /// Whether silence is allowed between messages.
    stream: bool,
}

impl<S> Arrival<S> {
    pub(super) fn new(inner: S, budget: &Budget, message_wait: Duration, stream: bool) -> Self {
        Self {
            inner,
            frames: Frames::default(),
            semaphore: PollSemaphore::new(Arc::clone(budget.semaphore())),
            reserved: budget.reserve(),
            budget: budget.clone(),
            unpaid: None,
            message_wait,
            overdue: Box::pin(tokio::time::sleep(message_wait)),
            stream,
        }
    }

    pub(super) fn reserved(&self) -> Arc<Reserved> {
        Arc::clone(&self.reserved)
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.overdue.as_mut().poll(cx)
    }

    fn expect_within(&mut self, wait: Duration) {
        self.overdue.as_mut().reset(Instant::now() + wait);
    }

    /// Pays for what arrived; then it may be kept.
    fn poll_pay(&mut self, bytes: Bytes, cx: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self.semaphore.poll_acquire_many(cx, count) {
            Poll::Ready(permit) => {
                self.reserved.add(permit.expect("the semaphore is never closed"));
                let (was_partial, reserved) = (self.frames.is_partial(), &self.reserved);
                let mut any_ended = false;
                self.frames.take(&bytes, |bytes| {
                    any_ended = true;
                    reserved.complete(bytes);
                })?;
                if self.frames.is_partial() && (any_ended || !was_partial) {
                    self.expect_within(self.message_wait);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => {
                if self.unpaid.is_none() {
                    self.expect_within(self.budget.wait());
                }
                self.unpaid = Some(bytes);
                match self.poll_overdue(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(self.budget.exhausted())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn too_slow(&self) -> Failure {
        let wait_ms = self.message_wait.as_millis();
        let message =
            format!("a message did not arrive whole within {wait_ms} ms; nothing was done, send it again");
        Failure::limit(Reason::DeadlineExceeded, "message_wait_ms", wait_ms, message)
    }
}

impl<S, E> Stream for Arrival<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<tonic::codegen::StdError>,
{
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let paid = match this.unpaid.clone() {
            Some(bytes) => this.poll_pay(bytes, cx),
            None => match Pin::new(&mut this.inner).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => Poll::Ready(Ok(bytes)),
                Poll::Ready(Some(Ok(bytes))) => this.poll_pay(bytes, cx),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Status::from_error(error.into()))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let expected = this.frames.is_partial() || !this.stream;
                    if expected && this.poll_overdue(cx).is_ready() {
                        return Poll::Ready(Some(Err(this.too_slow().into())));
                    }
                    Poll::Pending
                }
            },
        };
        match paid {
            Poll::Ready(result) => {
                this.unpaid = None;
                Poll::Ready(Some(result.map_err(Status::from)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.resize(5 + length as usize, 7);
        bytes
    }

    #[test]
    fn ends_are_found_however_the_bytes_are_cut() {
        let bytes = [message(0), message(3), message(300)].concat();
        for step in 1..bytes.len() {
            let (mut frames, mut ends) = (Frames::default(), Vec::new());
            for part in bytes.chunks(step) {
                frames.take(part, |bytes| ends.push(bytes)).unwrap();
            }
            assert_eq!((ends, frames.is_partial()), (vec![5, 8, 305], false), "steps of {step}");
        }
    }

    fn budget() -> Budget {
        Budget::new("request_bytes_max", 16 << 20, Duration::from_millis(1))
    }

    fn arrival(
        budget: &Budget,
        inner: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Arrival<futures::stream::BoxStream<'static, Result<Bytes, Status>>> {
        Arrival::new(inner.map(Ok).boxed(), budget, Duration::from_millis(1), true)
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_by_its_first_bytes() {
        let budget = budget();
        let claim = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
        let status = arrival(&budget, futures::stream::iter([claim])).next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_full_budget_stops_reading_and_then_refuses() {
        let budget = budget();
        let all = budget.hold(16 << 20).await.unwrap();
        let inner = || futures::stream::iter([Bytes::from(message(10))]);
        let status = arrival(&budget, inner()).next().await.unwrap().unwrap_err();
        assert!(status.message().contains("request_bytes_max"), "{status}");
        drop(all);
        let mut arrival = arrival(&budget, inner());
        assert_eq!(arrival.next().await.unwrap().unwrap().len(), 15);
        let (bytes, held) = arrival.reserved().take_message();
        assert_eq!((bytes, held.is_some()), (15, true));
    }

    #[tokio::test]
    async fn a_message_that_drips_is_given_up() {
        let budget = budget();
        let begun = futures::stream::iter([Bytes::from_static(&[0, 0])]);
        let mut arrival = arrival(&budget, begun.chain(futures::stream::pending()));
        assert!(arrival.next().await.unwrap().is_ok());
        let status = arrival.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }
}
