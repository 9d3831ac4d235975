//! The metadata is the same for everybody at the same index.

use fidelog_broker::meta::state::ClusterState;

/// A broker was shown this, and that was committed.
pub(crate) fn agree(broker: usize, shown: &ClusterState, committed: &ClusterState) {
    assert!(
        shown == committed,
        "broker {} sees another state at index {} than the quorum had",
        broker + 1,
        shown.index()
    );
}
