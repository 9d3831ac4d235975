//! Definitely not stored means never stored (N16).

use std::collections::BTreeMap;

use super::history::History;
use crate::clients::named;
use crate::judge::Fate;

/// What producers were told, by lane and number.
#[derive(Debug, Default)]
pub(crate) struct Settled(BTreeMap<(usize, u64), Fate>);

impl Settled {
    pub(crate) fn told(&mut self, lane: usize, number: u64, fate: Fate) {
        self.0.insert((lane, number), fate);
    }

    /// Whether its producer was told that it is stored.
    pub(crate) fn is_stored(&self, lane: usize, number: u64) -> bool {
        self.0.get(&(lane, number)) == Some(&Fate::Stored)
    }

    /// How many were told each.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |fate| self.0.values().filter(|it| **it == fate).count();
        (count(Fate::Stored), count(Fate::Unknown), count(Fate::Refused))
    }

    /// At the end: what was refused, and only refused, is nowhere.
    pub(crate) fn refused_is_nowhere(&self, history: &History) {
        for batch in history.batches() {
            let Some((lane, number)) = named(batch) else { continue };
            assert!(
                self.0.get(&(lane, number)) != Some(&Fate::Refused),
                "lane {lane}: batch {number} was definitely not stored, and lies at {}",
                batch.base_offset()
            );
        }
    }
}
