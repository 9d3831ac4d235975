//! How the store is, for everybody who must know: working, waiting for room, or stopped for good.
//!
//! Always true: once stopped it stays stopped, and the first reason is kept.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

/// How the store is.
///
/// ```text
///   Working --the disk has no room--> Full --room again--> Working
///   Working, Full --the first failure, or closed--> Stopped
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// It takes writes.
    Working,
    /// The disk has no room: writes wait, and nothing is lost.
    Full {
        /// What the disk said.
        reason: Arc<str>,
    },
    /// Nothing is written any more.
    Stopped {
        /// The first reason.
        reason: Arc<str>,
    },
}

/// Nothing is written any more, and what was being written may or may not be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata store stopped: {reason}")]
pub struct StoreStopped {
    /// The first reason.
    pub reason: Arc<str>,
}

type OnStop = Box<dyn Fn(&str) + Send + Sync>;
type MakeRoom = Box<dyn Fn() -> bool + Send + Sync>;

/// The one place the store's health is kept.
pub(in crate::meta) struct Health {
    now: watch::Sender<StoreHealth>,
    on_stop: OnStop,
    make_room: OnceLock<MakeRoom>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").field(&*self.now.borrow()).finish()
    }
}

impl Health {
    /// A working store; `on_stop` hears the reason when it stops, once. It must not block.
    pub(in crate::meta) fn new(on_stop: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let now = watch::Sender::new(StoreHealth::Working);
        Self { now, on_stop: Box::new(on_stop), make_room: OnceLock::new() }
    }

    /// What gives room up for the store when the disk has none, and tells whether there was any to give. May block. The
    /// first one given counts.
    pub(in crate::meta) fn room_from(&self, make_room: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.make_room.set(Box::new(make_room));
    }

    /// Tells whether there may be more room now.
    pub(super) fn make_room(&self) -> bool {
        self.make_room.get().is_some_and(|make_room| make_room())
    }

    pub(in crate::meta) fn subscribe(&self) -> watch::Receiver<StoreHealth> {
        self.now.subscribe()
    }

    /// Why it stopped, if it did.
    pub(in crate::meta) fn stopped(&self) -> Option<StoreStopped> {
        match &*self.now.borrow() {
            StoreHealth::Stopped { reason } => Some(StoreStopped { reason: Arc::clone(reason) }),
            StoreHealth::Working | StoreHealth::Full { .. } => None,
        }
    }

    /// Stops, unless it has; tells the first reason.
    pub(in crate::meta) fn stop(&self, reason: &str) -> StoreStopped {
        let stopped = StoreHealth::Stopped { reason: reason.into() };
        if self.change(stopped) {
            (self.on_stop)(reason);
        }
        self.stopped().expect("it is stopped, and stays so")
    }

    /// Tells whether that is news.
    pub(super) fn full(&self, reason: &str) -> bool {
        let was_full = matches!(*self.now.borrow(), StoreHealth::Full { .. });
        self.change(StoreHealth::Full { reason: reason.into() }) && !was_full
    }

    /// Tells whether that is news.
    pub(super) fn working(&self) -> bool {
        self.change(StoreHealth::Working)
    }

    fn change(&self, to: StoreHealth) -> bool {
        self.now.send_if_modified(|now| {
            let changes = *now != to && !matches!(now, StoreHealth::Stopped { .. });
            if changes {
                *now = to;
            }
            changes
        })
    }
}
