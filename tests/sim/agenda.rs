//! What is to happen, in the order of its time; what is to happen at one time happens in the order it was decided.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fidelog_log::env::Moment;

use crate::event::Event;

/// The agenda of one run.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    items: BinaryHeap<Reverse<Item>>,
    next: u64,
    now: Moment,
}

#[derive(Debug)]
struct Item {
    at: Moment,
    number: u64,
    event: Event,
}

impl Item {
    fn place(&self) -> (Moment, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl Agenda {
    /// The time of what happens now.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// `event` happens `micros` from now.
    pub(crate) fn after(&mut self, micros: u64, event: Event) {
        self.at(self.now.plus(Duration::from_micros(micros)), event);
    }

    /// `event` happens at `at`, or now if that has passed.
    pub(crate) fn at(&mut self, at: Moment, event: Event) {
        self.items.push(Reverse(Item { at: at.max(self.now), number: self.next, event }));
        self.next += 1;
    }

    /// What happens next; its time is now.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let Reverse(item) = self.items.pop()?;
        self.now = item.at;
        Some(item.event)
    }
}
