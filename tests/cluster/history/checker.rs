//! Finds in a history what must never be there. Pure.
//!
//! It presumes that somebody read every partition to its end after the last send was answered: only then is a value
//! that was never read missing.

use std::collections::{BTreeMap, HashMap};

use super::anomaly::Anomaly;
use super::event::{History, Outcome, Send, Value};

/// Everything wrong with `history`; empty when nothing is.
pub(super) fn check(history: &History) -> Vec<Anomaly> {
    let sends: HashMap<Value, &Send> = history.sends.iter().map(|send| (send.value, send)).collect();
    let mut found = Vec::new();
    let places = Places::of(history, &mut found);
    sessions(history, &mut found);
    unexpected_and_aborted(&places, &sends, &mut found);
    duplicates(&places, &mut found);
    order(&places, &mut found);
    missing(history, &places, &mut found);
    found
}

/// Which value stands at which place, from reads and receipts alike.
struct Places {
    /// By partition and offset.
    stored: BTreeMap<(u32, u64), Stored>,
    /// How far readers got, by partition: the highest offset read.
    read_to: HashMap<u32, u64>,
}

#[derive(Clone, Copy)]
struct Stored {
    value: Option<Value>,
    was_read: bool,
}

impl Places {
    fn of(history: &History, found: &mut Vec<Anomaly>) -> Self {
        let mut places = Self { stored: BTreeMap::new(), read_to: HashMap::new() };
        for send in &history.sends {
            if let Outcome::Acked { offset: Some(offset) } = send.outcome {
                places.note(send.partition, offset, Some(send.value), false, found);
            }
        }
        for read in &history.reads {
            places.note(read.partition, read.offset, read.value, true, found);
            let to = places.read_to.entry(read.partition).or_default();
            *to = read.offset.max(*to);
        }
        places
    }

    fn note(
        &mut self,
        partition: u32,
        offset: u64,
        value: Option<Value>,
        was_read: bool,
        found: &mut Vec<Anomaly>,
    ) {
        let at = self.stored.entry((partition, offset)).or_insert(Stored { value, was_read });
        if at.value == value {
            at.was_read |= was_read;
            return;
        }
        let told =
            |value: Option<Value>| value.map_or_else(|| "foreign bytes".to_owned(), |it| it.to_string());
        let (first, second) = (told(at.value), told(value));
        found.push(Anomaly::InconsistentOffset { partition, offset, first, second });
        // What was read counts further on.
        if was_read && !at.was_read {
            *at = Stored { value, was_read };
        }
    }

    fn read(&self) -> impl Iterator<Item = (u32, u64, Option<Value>)> {
        let read = self.stored.iter().filter(|(_, stored)| stored.was_read);
        read.map(|((partition, offset), stored)| (*partition, *offset, stored.value))
    }
}

/// A session gets offset after offset.
fn sessions(history: &History, found: &mut Vec<Anomaly>) {
    let mut last: HashMap<(u32, u32), u64> = HashMap::new();
    for read in &history.reads {
        let (session, partition, offset) = (read.session, read.partition, read.offset);
        match last.insert((session, partition), offset) {
            Some(before) if offset <= before => {
                found.push(Anomaly::NonmonotonicRead { session, partition, before, offset });
            }
            Some(before) if offset > before + 1 => {
                found.push(Anomaly::SkippedRead { session, partition, before, offset });
            }
            _ => {}
        }
    }
}

fn unexpected_and_aborted(places: &Places, sends: &HashMap<Value, &Send>, found: &mut Vec<Anomaly>) {
    for (partition, offset, value) in places.read() {
        let Some(value) = value else {
            found.push(Anomaly::Unexpected { what: "something foreign".to_owned(), partition, offset });
            continue;
        };
        match sends.get(&value) {
            Some(send) if send.partition == partition => {
                if send.outcome == Outcome::NotStored {
                    found.push(Anomaly::AbortedRead { value, partition, offset });
                }
            }
            _ => found.push(Anomaly::Unexpected { what: value.to_string(), partition, offset }),
        }
    }
}

fn duplicates(places: &Places, found: &mut Vec<Anomaly>) {
    let mut first: HashMap<Value, u64> = HashMap::new();
    for ((partition, offset), stored) in &places.stored {
        let Some(value) = stored.value else { continue };
        if let Some(first) = first.insert(value, *offset) {
            found.push(Anomaly::Duplicate { value, partition: *partition, first, second: *offset });
        }
    }
}

/// Within a partition the values of one producer stand in the order they were sent.
fn order(places: &Places, found: &mut Vec<Anomaly>) {
    let mut highest: HashMap<(u32, u32), Value> = HashMap::new();
    for ((partition, _), stored) in &places.stored {
        let Some(value) = stored.value else { continue };
        let highest = highest.entry((*partition, value.producer)).or_insert(value);
        if value.counter < highest.counter {
            found.push(Anomaly::OutOfOrder { earlier: value, later: *highest, partition: *partition });
        } else {
            *highest = value;
        }
    }
}

fn missing(history: &History, places: &Places, found: &mut Vec<Anomaly>) {
    let read: std::collections::HashSet<Value> = places.read().filter_map(|(_, _, value)| value).collect();
    for Send { value, partition, outcome } in history.sends.iter().copied() {
        let Outcome::Acked { offset } = outcome else { continue };
        if read.contains(&value) {
            continue;
        }
        let read_to = places.read_to.get(&partition).copied();
        found.push(match (offset, read_to) {
            (Some(offset), Some(read_to)) if read_to > offset => {
                Anomaly::LostWrite { value, partition, offset }
            }
            _ => Anomaly::Unseen { value, partition },
        });
    }
}
