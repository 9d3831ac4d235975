//! How many sealed segments are open at once, over all logs of a data directory.
//!
//! Always true: at most `count_max` are open besides those a reader holds right now. The least recently read is
//! closed first. Segments that are written to are not counted: they must stay open until their last sync (R4).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::segment::Segment;

/// The open sealed segments.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    count_max: usize,
    clock: AtomicU64,
    open: Mutex<Vec<Weak<Segment>>>,
}

impl OpenFiles {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, clock: AtomicU64::new(0), open: Mutex::default() }
    }

    /// A stamp for a read, later than all before.
    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that `segment` was opened, and closes the least recently read ones beyond the bound.
    pub(crate) fn opened(&self, segment: &Arc<Segment>) {
        let mut open = self.open.lock();
        open.retain(|other| {
            other.upgrade().is_some_and(|other| other.is_open() && !Arc::ptr_eq(&other, segment))
        });
        open.push(Arc::downgrade(segment));
        while open.len() > self.count_max {
            let oldest = open
                .iter()
                .enumerate()
                .min_by_key(|(_, segment)| segment.upgrade().map_or(0, |segment| segment.last_read()));
            let Some((index, _)) = oldest else { return };
            if let Some(segment) = open.swap_remove(index).upgrade() {
                segment.close();
            }
        }
    }
}
