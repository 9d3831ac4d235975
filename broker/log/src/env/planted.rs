//! Bugs planted on purpose, so that the simulator can show that it finds them.
//!
//! Always true: without feature `sim` none of them can be chosen, and the decision points cost nothing. One thread plants
//! at most one, for itself: a run is one thread.

/// A bug. Each is one decision point in real code, or in what stands for it in the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// A follower reports what it has not synced (N2).
    AckBeforeFollowersSync,
    /// A leader counts what a follower reported in an epoch, or on a stream, that is over (N4, N6).
    ReportEpochIgnored,
    /// A leader that starts again leads in the epoch it had (N1).
    SameEpochAfterRestart,
    /// A replica may join that holds the committed end, but not where the epoch began (N7).
    GrowthOnCommittedEndAlone,
    /// A leader believes the answer to its proposal instead of the watch (N7).
    ReplyBelieved,
    /// A leader waits for the committed set alone while a change is under way (N7).
    UnionNotWaitedFor,
    /// A resend is answered before its original is committed (N17).
    ResendAnsweredBeforeCommit,
    /// The quorum adds whatever life of a broker (N8).
    StaleIncarnationAdded,
    /// The quorum believes a broker that restarted uncleanly (N10).
    UncleanBelieved,
    /// After a failed append the leader goes on in the same epoch (DESIGN §3).
    OffsetGivenTwice,
    /// A cut that does not note first, durably, that it is under way (DESIGN §5).
    CutNotDurable,
    /// A growth that became pointless is forgotten instead of withdrawn (N7).
    GrowthNeverWithdrawn,
    /// A follower cuts to what it knows to be committed, and below (N5, KIP-101).
    CutBelowCommitted,
    /// Recovery ends a log at the first misfit, wherever that is (R9).
    DamageTakenForTornTail,
    /// Recovery goes on behind every misfit, as if all of it had been synced (R9).
    TornTailTakenForDamage,
    /// After a failed sync the directory goes on (R1, R2).
    SecondSyncBelieved,
    /// A cut leaves what is remembered of producers as it was (N17).
    ProducersNotRewound,
    /// A leader drops a laggard from the in-sync set by itself (N7).
    ShrunkWithoutQuorum,
    /// An owner tells positions without confirming that it still leads (N18).
    PositionUnconfirmed,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::AckBeforeFollowersSync,
        Self::ReportEpochIgnored,
        Self::SameEpochAfterRestart,
        Self::GrowthOnCommittedEndAlone,
        Self::ReplyBelieved,
        Self::UnionNotWaitedFor,
        Self::ResendAnsweredBeforeCommit,
        Self::StaleIncarnationAdded,
        Self::UncleanBelieved,
        Self::OffsetGivenTwice,
        Self::CutNotDurable,
        Self::GrowthNeverWithdrawn,
        Self::CutBelowCommitted,
        Self::DamageTakenForTornTail,
        Self::TornTailTakenForDamage,
        Self::SecondSyncBelieved,
        Self::ProducersNotRewound,
        Self::ShrunkWithoutQuorum,
        Self::PositionUnconfirmed,
    ];
}

#[cfg(feature = "sim")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for this thread from now on, or none.
#[cfg(feature = "sim")]
pub fn choose(bug: Option<Planted>) {
    CHOSEN.set(bug);
}

/// Whether this bug is planted.
#[cfg(feature = "sim")]
#[must_use]
pub fn is_planted(bug: Planted) -> bool {
    CHOSEN.get() == Some(bug)
}

/// Whether this bug is planted.
#[cfg(not(feature = "sim"))]
#[must_use]
pub const fn is_planted(_bug: Planted) -> bool {
    false
}
