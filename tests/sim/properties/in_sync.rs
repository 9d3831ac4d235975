//! What is committed is synced on every in-sync replica (D1, N6), and on those that may lead besides (N9).

use fidelog_record::types::{BrokerId, Offset};

use crate::judge::Shadow;

/// The leader says that all below `end` is committed; `known` is what this member of the sets has synced.
pub(crate) fn holds(member: BrokerId, known: &Shadow, end: Offset) {
    assert!(
        known.durable_end >= end,
        "{end} is committed, but broker {member}, in sync or eligible, has synced only {}",
        known.durable_end
    );
}
