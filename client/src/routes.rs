//! Who leads what: a cache of the cluster's answer, mended by the hints that errors carry.
//!
//! What is always true: a route is never replaced by one of an older epoch of the same topic. A stale route costs a
//! round trip, never correctness: brokers refuse what they do not lead.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fidelog_proto::v1;
use fidelog_record::types::TopicId;
use parking_lot::Mutex;

use crate::error::{Leader, Refusal, RequestError};

/// What a client knows of one topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicRoutes {
    pub(crate) id: TopicId,
    pub(crate) record_bytes_max: usize,
    pub(crate) leaders: Vec<Option<Leader>>,
    /// The metadata index of the answer.
    index: u64,
    asked_at: Instant,
}

impl TopicRoutes {
    fn replaces(&self, other: &Self) -> bool {
        self.id != other.id && self.index > other.index
    }

    /// How long ago the cluster told it.
    pub(crate) fn age(&self) -> Duration {
        self.asked_at.elapsed()
    }

    pub(crate) fn partition_count(&self) -> u32 {
        u32::try_from(self.leaders.len()).expect("a topic has at most PARTITION_COUNT_MAX partitions")
    }
}

/// A leader that is not the one known before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) partition: u32,
    pub(crate) leader: Leader,
}

/// What an answer of the cluster came to.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) routes: Arc<TopicRoutes>,
    pub(crate) changes: Vec<Change>,
    /// How many partitions there were before, if there are more now.
    pub(crate) grew_from: Option<u32>,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    state: Mutex<State>,
    /// Rises with every leader that is not the one known before, and with new partitions.
    version: AtomicU64,
    /// One question per client at a time; who waited behind one uses its answer.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    addresses: Vec<String>,
    /// The metadata index of the answer that named them.
    addresses_index: u64,
    topics: HashMap<String, Arc<TopicRoutes>>,
}

impl Routes {
    /// Rises with every leader that is not the one known before, and with new partitions: while it stands, no route
    /// changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn note_change(&self, changed: bool) {
        self.version.fetch_add(u64::from(changed), Ordering::Release);
    }

    /// Addresses of the brokers last heard of.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.state.lock().addresses.clone()
    }

    pub(crate) fn topic(&self, topic: &str) -> Option<Arc<TopicRoutes>> {
        self.state.lock().topics.get(topic).cloned()
    }

    /// The topic's routes, if they were asked for at or after `moment`.
    pub(crate) fn topic_since(&self, topic: &str, moment: Instant) -> Option<Arc<TopicRoutes>> {
        self.topic(topic).filter(|routes| routes.asked_at >= moment)
    }

    pub(crate) fn leader(&self, topic: &str, partition: u32) -> Option<Leader> {
        self.topic(topic)?.leaders.get(partition as usize)?.clone()
    }

    /// Takes the cluster's answer to a question asked at `asked_at`; tells what changed.
    pub(crate) fn adopt(
        &self,
        topic: &str,
        answer: v1::GetRoutesResponse,
        asked_at: Instant,
    ) -> Result<Adopted, RequestError> {
        let mut state = self.state.lock();
        state.adopt_brokers(&answer.brokers, answer.metadata_index);
        let route = answer.topics.into_iter().find(|route| route.topic == topic);
        let route = route.ok_or(RequestError::Malformed("routes without the topic that was asked for"))?;
        if let Some(error) = route.error {
            return Err(Refusal::from_wire(error).into());
        }
        let former = state.topics.get(topic).cloned();
        let mut routes = read(route, answer.metadata_index, asked_at)?;
        if let Some(former) = former.as_ref().filter(|former| former.replaces(&routes)) {
            // Of a topic that was deleted and created again, the answering broker knows only the former one.
            let routes = Arc::new(TopicRoutes { asked_at, ..TopicRoutes::clone(former) });
            state.topics.insert(topic.to_owned(), routes.clone());
            return Ok(Adopted { routes, changes: Vec::new(), grew_from: None });
        }
        let changes = former.as_ref().map(|former| merge(&mut routes, former)).unwrap_or_default();
        let same = former.filter(|former| former.id == routes.id).map(|former| former.partition_count());
        let grew_from = same.filter(|before| *before < routes.partition_count());
        self.note_change(!changes.is_empty() || grew_from.is_some());
        let routes = Arc::new(routes);
        state.topics.insert(topic.to_owned(), routes.clone());
        Ok(Adopted { routes, changes, grew_from })
    }

    pub(crate) fn adopt_brokers(&self, brokers: &[v1::Broker], metadata_index: u64) {
        self.state.lock().adopt_brokers(brokers, metadata_index);
    }

    /// Takes a hint from an error; tells whether it is news.
    pub(crate) fn learn(&self, topic: &str, partition: u32, leader: Leader) -> Option<Change> {
        let mut state = self.state.lock();
        let routes = Arc::make_mut(state.topics.get_mut(topic)?);
        let known = routes.leaders.get_mut(partition as usize)?;
        if known.as_ref().is_some_and(|known| known.epoch > leader.epoch || *known == leader) {
            return None;
        }
        *known = Some(leader.clone());
        self.note_change(true);
        Some(Change { partition, leader })
    }
}

impl State {
    /// A broker that lags behind does not undo what a fresher one told.
    fn adopt_brokers(&mut self, brokers: &[v1::Broker], metadata_index: u64) {
        if !brokers.is_empty() && metadata_index >= self.addresses_index {
            self.addresses_index = metadata_index;
            self.addresses = brokers.iter().map(|broker| broker.address.clone()).collect();
        }
    }
}

fn read(route: v1::TopicRoute, index: u64, asked_at: Instant) -> Result<TopicRoutes, RequestError> {
    let id = TopicId::try_from(&route.topic_id[..])
        .map_err(|_| RequestError::Malformed("a topic id of 16 bytes"))?;
    let mut leaders = vec![None; route.partitions.len()];
    for partition in route.partitions {
        let place = leaders.get_mut(partition.partition as usize);
        let place =
            place.ok_or(RequestError::Malformed("routes whose partitions are not numbered from 0"))?;
        *place = Leader::from_hint(partition.leader);
    }
    if leaders.is_empty() {
        return Err(RequestError::Malformed("a topic without partitions"));
    }
    Ok(TopicRoutes { id, record_bytes_max: route.record_bytes_max as usize, leaders, index, asked_at })
}

/// Keeps what was told of a newer epoch, and of more partitions, than the answer knows: partitions are never taken away.
fn merge(routes: &mut TopicRoutes, former: &TopicRoutes) -> Vec<Change> {
    if routes.id != former.id {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for (partition, (new, old)) in (0..).zip(routes.leaders.iter_mut().zip(&former.leaders)) {
        match (&mut *new, old) {
            (Some(fresh), Some(known)) if known.epoch > fresh.epoch => *new = Some(known.clone()),
            (Some(fresh), known) if known.as_ref() != Some(fresh) => {
                changes.push(Change { partition, leader: fresh.clone() });
            }
            _ => {}
        }
    }
    routes.leaders.extend(former.leaders.iter().skip(routes.leaders.len()).cloned());
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(broker_id: u32, leader_epoch: u32) -> v1::LeaderHint {
        v1::LeaderHint { broker_id, address: format!("b{broker_id}:1"), leader_epoch }
    }

    fn answer(broker: u32, epoch: u32) -> v1::GetRoutesResponse {
        let partitions = vec![v1::PartitionRoute { partition: 0, leader: Some(hint(broker, epoch)) }];
        let topic_id = bytes::Bytes::from_static(&[7; 16]);
        let topic =
            v1::TopicRoute { topic: "t".into(), topic_id, partitions, error: None, record_bytes_max: 9 };
        v1::GetRoutesResponse { topics: vec![topic], ..Default::default() }
    }

    #[test]
    fn an_answer_that_knows_less_than_a_hint_does_not_undo_it() {
        let routes = Routes::default();
        routes.adopt("t", answer(1, 4), Instant::now()).unwrap();
        let leader = Leader::from_hint(Some(hint(2, 5))).unwrap();
        assert!(routes.learn("t", 0, leader.clone()).is_some());
        assert!(routes.learn("t", 0, leader.clone()).is_none(), "no news");
        let adopted = routes.adopt("t", answer(1, 4), Instant::now()).unwrap();
        assert!(adopted.changes.is_empty());
        assert_eq!(routes.leader("t", 0), Some(leader));
    }

    #[test]
    fn a_broker_that_lags_does_not_bring_back_a_deleted_topic() {
        let routes = Routes::default();
        let mut young = answer(1, 4);
        young.metadata_index = 20;
        young.topics[0].topic_id = bytes::Bytes::from_static(&[8; 16]);
        let adopted = routes.adopt("t", young, Instant::now()).unwrap();
        let kept = routes.adopt("t", answer(2, 9), Instant::now()).unwrap();
        assert_eq!((kept.routes.id, kept.changes), (adopted.routes.id, Vec::new()));
        assert_eq!(routes.leader("t", 0).unwrap().broker.0, 1);
    }

    #[test]
    fn the_version_rises_only_with_a_new_leader() {
        let routes = Routes::default();
        routes.adopt("t", answer(1, 4), Instant::now()).unwrap();
        let known = routes.version();
        routes.adopt("t", answer(1, 4), Instant::now()).unwrap();
        assert_eq!(routes.version(), known);
        routes.adopt("t", answer(2, 5), Instant::now()).unwrap();
        assert!(routes.version() > known);
    }

    #[test]
    fn partitions_that_were_added_are_told_once_and_stay() {
        let routes = Routes::default();
        let mut grown = answer(1, 4);
        grown.topics[0].partitions.push(v1::PartitionRoute { partition: 1, leader: Some(hint(3, 1)) });
        routes.adopt("t", answer(1, 4), Instant::now()).unwrap();
        let version = routes.version();
        let adopted = routes.adopt("t", grown.clone(), Instant::now()).unwrap();
        assert_eq!((adopted.grew_from, adopted.routes.partition_count()), (Some(1), 2));
        assert!(routes.version() > version);
        // A broker that lags behind knows only the first.
        for answer in [answer(1, 4), grown] {
            let adopted = routes.adopt("t", answer, Instant::now()).unwrap();
            assert_eq!((adopted.grew_from, adopted.routes.partition_count()), (None, 2));
        }
        assert_eq!(routes.leader("t", 1).unwrap().broker.0, 3);
    }

    #[test]
    fn a_hint_of_an_older_epoch_is_no_news() {
        let routes = Routes::default();
        routes.adopt("t", answer(1, 4), Instant::now()).unwrap();
        assert!(routes.learn("t", 0, Leader::from_hint(Some(hint(2, 3))).unwrap()).is_none());
    }
}
