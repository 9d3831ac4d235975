//! Whether offsets that somebody wants stored as positions exist: none above a partition's committed end is taken.
//!
//! ```text
//!   offset <= this broker's replica's committed_end, or an end heard before --> it exists (ends only rise, but for an
//!                                                                                operator's recovery)
//!   else: this broker leads --> its own end decides
//!         another one does  --> it is asked, once
//!         nobody can say    --> refused, retriable: a position is never believed
//! ```
//!
//! Always true: a position above the end would skip, silently, every record that is still to be written below it.

use std::collections::HashMap;
use std::time::Duration;

use fidelog_proto::v1::{self, Reason, fetch_service_client::FetchServiceClient, list_offsets_request::At};
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use futures::StreamExt;
use parking_lot::Mutex;

use super::context::Context;
use super::deadline::Deadline;
use super::forward::{Effect, sized_client};
use super::list_offsets::list_offsets;
use super::route::id_bytes;
use super::status::Failure;

/// How long a partition's leader may take to say where it ends.
const ASK_WAIT: Duration = Duration::from_secs(5);
/// Leaders asked at the same time for one call.
const ASKING_MAX: usize = 32;
/// Partitions whose ends are remembered: as many as a cluster may have.
const REMEMBERED_MAX: usize = 20_000;

/// Ends that leaders have told.
#[derive(Debug, Default)]
pub(super) struct CommittedEnds {
    /// With the last recovery of the partition by an operator when it was told: what was cut by a later one is no end.
    told: Mutex<HashMap<TopicPartition, (LeaderEpoch, Offset)>>,
}

impl CommittedEnds {
    fn covers(&self, at: TopicPartition, recovered: LeaderEpoch, offset: Offset) -> bool {
        self.told.lock().get(&at).is_some_and(|&(epoch, end)| epoch == recovered && offset <= end)
    }

    fn remember(&self, at: TopicPartition, recovered: LeaderEpoch, end: Offset) {
        let mut told = self.told.lock();
        // Topics come and go: forgetting all costs one question each, keeping all would grow for ever.
        if told.len() >= REMEMBERED_MAX && !told.contains_key(&at) {
            told.clear();
        }
        let known = told.entry(at).or_default();
        // The tuple's order: a later recovery counts more than any end.
        *known = (recovered, end).max(*known);
    }
}

impl Context {
    /// Whether each of these offsets is at most its partition's committed end, in the order given.
    pub(super) async fn check_positions(
        &self,
        wanted: impl IntoIterator<Item = (TopicPartition, Offset)>,
        deadline: Deadline,
    ) -> Vec<Result<(), Failure>> {
        // Stopping here is safe: nothing was changed by asking.
        let checks = wanted.into_iter().map(|(at, offset)| self.check_position(at, offset, deadline));
        futures::stream::iter(checks).buffered(ASKING_MAX).collect().await
    }

    async fn check_position(
        &self,
        at: TopicPartition,
        offset: Offset,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let recovered = self.last_recovery(at);
        let is_covered =
            self.covered_here(at, recovered, offset) || self.committed_ends.covers(at, recovered, offset);
        if offset == Offset(0) || is_covered {
            return Ok(());
        }
        let bounds = self.ask_end(at, deadline).await.map_err(|why| self.unchecked(at, offset, &why))?;
        let (start, end) = (Offset(bounds.start_offset), Offset(bounds.committed_end));
        self.committed_ends.remember(at, recovered, end);
        if offset <= end {
            return Ok(());
        }
        let message = format!(
            "partition {}: offset {offset} is above {end}, its committed end; a position is at most there",
            self.name_of(at)
        );
        let failure = Failure::new(Reason::OffsetOutOfRange, message).with("offset", offset);
        Err(failure.with("partition", at.partition).with("start", start).with("end", end))
    }

    /// The leadership that began with the partition's last recovery by an operator; 0 without one.
    fn last_recovery(&self, at: TopicPartition) -> LeaderEpoch {
        let state = self.meta.state();
        let entry = state.as_ref().and_then(|state| state.partition(at));
        entry.and_then(|entry| entry.recoveries.last()).map_or(LeaderEpoch(0), |it| it.leader_epoch)
    }

    /// A replica's committed end is true wherever it is, if perhaps old; after a recovery only the leader's is, since others
    /// may not have cut yet.
    fn covered_here(&self, at: TopicPartition, recovered: LeaderEpoch, offset: Offset) -> bool {
        self.partitions.get(at).is_some_and(|it| {
            let published = it.published();
            let published = published.borrow();
            (recovered == LeaderEpoch(0) || published.leading.is_some())
                && offset <= published.positions.committed_end
        })
    }

    async fn ask_end(
        &self,
        at: TopicPartition,
        deadline: Deadline,
    ) -> Result<v1::ListOffsetsResponse, String> {
        let state = self.state().map_err(|failure| failure.message().to_owned())?;
        let leader = state.partition(at).and_then(|entry| entry.leader);
        let elsewhere = leader.filter(|&leader| leader != self.me).and_then(|leader| state.broker(leader));
        let Some(broker) = elsewhere else {
            let answer = list_offsets(self, at, Some(At::End(true))).await;
            return answer.map_err(|failure| failure.message().to_owned());
        };
        let request = v1::ListOffsetsRequest {
            topic_id: id_bytes(at.topic.as_bytes()),
            partition: at.partition.0,
            at: Some(At::End(true)),
            ..v1::ListOffsetsRequest::default()
        };
        let ask = |channel, request| async move {
            sized_client!(FetchServiceClient, channel).list_offsets(request).await
        };
        let leader = (broker.id, broker.peer_address.clone());
        let answer = self.forward(leader, (request, Effect::Reads), (deadline, ASK_WAIT), ask).await;
        answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
    }

    fn unchecked(&self, at: TopicPartition, offset: Offset, why: &str) -> Failure {
        let message = format!(
            "partition {}: whether offset {offset} exists cannot be asked of its leader ({why}); nothing was \
             stored, try again",
            self.name_of(at)
        );
        let failure = Failure::new(Reason::LeaderNotAvailable, message);
        failure.with("partition", at.partition).with("offset", offset)
    }
}

#[cfg(test)]
mod tests {
    use fidelog_record::types::{PartitionIndex, TopicId};

    use super::*;

    fn at(index: u32) -> TopicPartition {
        TopicPartition { topic: TopicId::default(), partition: PartitionIndex(index) }
    }

    const NEVER: LeaderEpoch = LeaderEpoch(0);

    #[test]
    fn an_end_that_was_told_covers_what_lies_at_or_below_it() {
        let ends = CommittedEnds::default();
        assert!(!ends.covers(at(0), NEVER, Offset(1)));
        ends.remember(at(0), NEVER, Offset(7));
        ends.remember(at(0), NEVER, Offset(5));
        assert!(ends.covers(at(0), NEVER, Offset(7)), "an older answer that came late lowered it");
        assert!(!ends.covers(at(0), NEVER, Offset(8)) && !ends.covers(at(1), NEVER, Offset(1)));
    }

    #[test]
    fn an_end_from_before_a_recovery_covers_nothing_after_it() {
        let ends = CommittedEnds::default();
        ends.remember(at(0), NEVER, Offset(1_000));
        let recovered = LeaderEpoch(4);
        assert!(!ends.covers(at(0), recovered, Offset(950)));
        ends.remember(at(0), recovered, Offset(900));
        ends.remember(at(0), NEVER, Offset(1_000));
        assert!(ends.covers(at(0), recovered, Offset(900)) && !ends.covers(at(0), recovered, Offset(901)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let ends = CommittedEnds::default();
        for index in 0..u32::try_from(REMEMBERED_MAX).unwrap() + 5 {
            ends.remember(at(index), NEVER, Offset(1));
        }
        assert!(ends.told.lock().len() <= REMEMBERED_MAX);
    }
}
