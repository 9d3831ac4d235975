//! Reports of epochs and streams that are over. A leader counts none of them (N4, N6): a follower may have been cut since.
//! They are kept only while the bug is planted that counts them.

use std::collections::BTreeMap;

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{BrokerId, Offset};

/// The most that each follower ever reported to this process; empty unless planted.
#[derive(Debug, Default)]
pub(in crate::partition) struct Outdated(BTreeMap<BrokerId, Offset>);

impl Outdated {
    pub(super) fn note(&mut self, follower: BrokerId, durable_end: Offset) {
        if is_planted(Planted::ReportEpochIgnored) {
            let known = self.0.entry(follower).or_default();
            *known = durable_end.max(*known);
        }
    }

    /// What counts of a follower that has `reported` this in the present epoch, on the present stream.
    pub(super) fn counted(&self, follower: BrokerId, reported: Option<Offset>) -> Option<Offset> {
        match is_planted(Planted::ReportEpochIgnored) {
            true => reported.max(self.0.get(&follower).copied()),
            false => reported,
        }
    }
}
