//! How an owner waits and reads: by the runtime's clock and threads, or as a simulator has it.

use std::fmt::Debug;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

/// What takes time and is not decided here.
pub trait Hands: Debug + Send + Sync {
    /// Is done once `duration` has passed.
    fn pause(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Carries out `work` where blocking is allowed.
    fn carry_out(&self, work: Box<dyn FnOnce() + Send>);
}

/// The runtime's: to be used within one.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeHands;

impl Hands for RuntimeHands {
    fn pause(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn carry_out(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}
