//! The metadata quorum's stand-in: linearizable, real decisions on real state, and never down for long. What is unreliable
//! is the way to it and back, and the watches (they lag, repeat, and begin anew).

use std::sync::Arc;

use fidelog_broker::meta::quorum::{Accepted, ProposeError};
use fidelog_broker::meta::state::{ClusterState, Entry, Minted, Outcome, Proposal, TopicDefaults};
use fidelog_record::types::{ClusterId, Incarnation, MetaIndex, TopicId};

/// The quorum.
pub(crate) struct Quorum {
    /// The state at every index.
    history: Vec<Arc<ClusterState>>,
    entries: Vec<Arc<Entry>>,
    minted: u64,
    /// Nothing is decided, because it has no majority.
    pub(crate) away: bool,
}

impl Quorum {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        let founded =
            ClusterState::founded(cluster, Incarnation::from_random([7; 16]), TopicDefaults::default())
                .expect("the defaults can be");
        Self { history: vec![Arc::new(founded)], entries: Vec::new(), minted: 0, away: false }
    }

    /// The committed state.
    pub(crate) fn state(&self) -> &Arc<ClusterState> {
        self.history.last().expect("it begins with the founded state")
    }

    /// The state as it was at `index`.
    pub(crate) fn state_at(&self, index: MetaIndex) -> Option<&Arc<ClusterState>> {
        self.history.get(usize::try_from(index.0).ok()?)
    }

    /// The state as it was at `index`, and whatever it was since.
    pub(crate) fn states_from(&self, index: MetaIndex) -> impl Iterator<Item = &Arc<ClusterState>> {
        self.history.iter().skip(usize::try_from(index.0).expect("few entries"))
    }

    /// At most `count_max` entries behind `index`.
    pub(crate) fn entries_after(&self, index: MetaIndex, count_max: usize) -> Vec<(MetaIndex, Arc<Entry>)> {
        let first = usize::try_from(index.0).expect("few entries");
        let numbered = (first..self.entries.len()).map(|at| MetaIndex(at as u64 + 1));
        numbered.zip(self.entries.iter().skip(first).cloned()).take(count_max).collect()
    }

    /// Decides.
    pub(crate) fn consider(&mut self, proposal: &Proposal, now_ms: u64) -> Result<Accepted, ProposeError> {
        if self.away {
            return Err(ProposeError::Unavailable { reason: "no majority".to_owned() });
        }
        self.minted += 1;
        let mut bytes = [0x70; 16];
        bytes[8..].copy_from_slice(&self.minted.to_be_bytes());
        let minted = Minted { topic: TopicId::from_random(bytes) };
        let state = self.state();
        let entry =
            state.decide(proposal, now_ms, &minted).map_err(|refusal| ProposeError::Refused { refusal })?;
        let (mut next, index) = (ClusterState::clone(state), state.index().next());
        next.apply(index, &entry).expect("what was decided applies");
        let outcome = Outcome::of(&entry);
        self.history.push(Arc::new(next));
        self.entries.push(Arc::new(entry));
        Ok(Accepted { index, outcome })
    }
}
