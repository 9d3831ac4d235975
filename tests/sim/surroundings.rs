//! What the owners of positions on one broker want of the world: pauses, and the quorum's word on who leads; and the
//! tasks that they, and the calls to them, are.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fidelog_broker::group::{Hands, Testimony, Witness};
use fidelog_record::types::{LeaderEpoch, TopicPartition};
use tokio::sync::oneshot;

/// Something an owner waits for.
#[derive(Debug)]
pub(crate) enum Wish {
    Pause(Duration, oneshot::Sender<()>),
    Leads(TopicPartition, LeaderEpoch, oneshot::Sender<Testimony>),
}

/// What was wished for and not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Surroundings(Mutex<Vec<Wish>>);

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Surroundings {
    /// What was wished for since the last call.
    pub(crate) fn take(&self) -> Vec<Wish> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics while holding it"))
    }

    fn wish(&self, wish: Wish) {
        self.0.lock().expect("nobody panics while holding it").push(wish);
    }
}

impl Hands for Surroundings {
    fn pause(&self, duration: Duration) -> Later<()> {
        let (done, over) = oneshot::channel();
        self.wish(Wish::Pause(duration, done));
        Box::pin(async move { drop(over.await) })
    }

    fn carry_out(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

impl Witness for Surroundings {
    fn leads(&self, at: TopicPartition, epoch: LeaderEpoch) -> Later<Testimony> {
        let (told, testimony) = oneshot::channel();
        self.wish(Wish::Leads(at, epoch, told));
        let unheard = || Testimony::Unknown { reason: "the quorum was not heard".to_owned() };
        Box::pin(async move { testimony.await.unwrap_or_else(|_| unheard()) })
    }
}

#[derive(Debug)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Something a process works at.
pub(crate) struct Task<T> {
    future: Later<T>,
    woken: Arc<Flag>,
}

impl<T> Task<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), woken: Arc::new(Flag(AtomicBool::new(true))) }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// Goes on with it, if it was woken; what came of it, if it is done.
    pub(crate) fn go_on(&mut self) -> Option<T> {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }
}
