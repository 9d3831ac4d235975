//! Setting up a consumer, and opening it although some partitions' leaders are away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use fidelog_record::types::limits::{FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX};
use fidelog_record::types::{PartitionIndex, TopicId, TopicPartition};
use tokio::sync::mpsc;

use crate::admin::check_group;
use crate::client::{Core, check_topic};
use crate::error::RequestError;
use crate::event::Event;
use crate::fetch::OffsetAt;

use super::driver::{Driver, Wish};
use super::growth::{Growth, Membership};
use super::heard::Heard;
use super::placement::{Begin, Plan};
use super::position::GroupPositions;
use super::{Consumer, ConsumerPosition, WhenOutOfRange};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record still kept: the default without a group.
    #[default]
    Start,
    /// At the end: only what is committed from now on.
    End,
    /// At this offset, in every partition.
    Offset(u64),
    /// At these offsets, by partition; partitions that are not named are not read.
    Offsets(BTreeMap<u32, u64>),
    /// At the first record whose timestamp is at or after this, Unix milliseconds.
    Timestamp(u64),
    /// Where the group stands: the default with a group. Where it has no position, as `group_start` says.
    Group,
}

/// A consumer to be set up. Every setting has a default.
#[derive(Debug)]
pub struct ConsumerBuilder {
    core: Arc<Core>,
    topic: String,
    partitions: Option<BTreeSet<u32>>,
    from: Option<StartAt>,
    until: BTreeMap<u32, u64>,
    stop_at_end: bool,
    group: Option<String>,
    group_start: StartAt,
    owner: String,
    buffer_bytes: usize,
    fetch_bytes: usize,
    out_of_range: WhenOutOfRange,
}

impl ConsumerBuilder {
    pub(crate) fn new(core: Arc<Core>, topic: &str) -> Self {
        Self {
            core,
            topic: topic.to_owned(),
            partitions: None,
            from: None,
            until: BTreeMap::new(),
            stop_at_end: false,
            group: None,
            group_start: StartAt::Start,
            owner: format!("fidelog-rust/{}", std::process::id()),
            buffer_bytes: 16 * MIB,
            fetch_bytes: FETCH_BYTES_DEFAULT,
            out_of_range: WhenOutOfRange::Error,
        }
    }

    /// Reads only these partitions. Default: all, and those that the topic gets while the consumer is open, from their
    /// start; not with `until`, `stop_at_end` or [`StartAt::Offsets`], which name what is read.
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = u32>) -> Self {
        self.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// Where reading begins. Default: where the group stands, and without a group at the start.
    #[must_use]
    pub fn from(mut self, from: StartAt) -> Self {
        self.from = Some(from);
        self
    }

    /// Ends in front of these offsets, by partition; others are read on.
    #[must_use]
    pub fn until(mut self, ends: impl IntoIterator<Item = (u32, u64)>) -> Self {
        self.until = ends.into_iter().collect();
        self
    }

    /// Ends at what is the committed end of each partition when the consumer opens. Default: reads on for ever.
    ///
    /// A partition whose leader does not answer meanwhile is told as [`crate::ConsumeError::Unreachable`] and given up, after
    /// a third of the client's request timeout while opening and after the whole of it later.
    #[must_use]
    pub fn stop_at_end(mut self) -> Self {
        self.stop_at_end = true;
        self
    }

    /// The group whose positions are taken over, continued and committed. Whoever held them is fenced.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Where a group without a position begins. Default: at the start.
    #[must_use]
    pub fn group_start(mut self, start: StartAt) -> Self {
        self.group_start = start;
        self
    }

    /// How the reader names itself to people who look at the group; at most 249 bytes. Default: the process id.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// What brokers may send ahead of the program, all together, bytes; one batch per broker may come on top.
    /// 64 KiB to 1 GiB, default 16 MiB.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes.clamp(64 * KIB, 1024 * MIB);
        self
    }

    /// About how much comes at once, bytes. 1 to 8 MiB, default 1 MiB.
    #[must_use]
    pub fn fetch_bytes(mut self, bytes: usize) -> Self {
        self.fetch_bytes = bytes.clamp(1, FETCH_BYTES_MAX);
        self
    }

    /// What happens when an offset does not exist, because retention passed it. Default: an error, never a silent
    /// jump.
    #[must_use]
    pub fn when_out_of_range(mut self, policy: WhenOutOfRange) -> Self {
        self.out_of_range = policy;
        self
    }

    /// Finds where to begin, takes over the group's positions, and begins reading. Must be called within a Tokio
    /// runtime, on which the consumer's task runs.
    ///
    /// Partitions whose leader is away do not keep the others from being read. Where to begin is asked of all at once,
    /// for a third of the client's request timeout; who has not answered then is asked on in the background, and read
    /// once it answers.
    ///
    /// # Errors
    /// When the topic, a partition or the group's name does not exist, or no broker answered in time.
    pub async fn open(self) -> Result<Consumer, RequestError> {
        check_topic(&self.topic)?;
        let routes = self.core.routes_of(&self.topic, self.partitions_named()).await?;
        let partitions = self.chosen(routes.partition_count())?;
        let group = match &self.group {
            Some(group) => Some(self.open_group(group, routes.id, &partitions).await?),
            None => None,
        };
        let plans = self.plans(routes.id, &partitions, group.as_ref())?;
        let (deliver, incoming) = mpsc::unbounded_channel();
        let (consumed, credit) = mpsc::unbounded_channel();
        let mut wish = Wish {
            topic: self.topic.clone(),
            topic_id: Bytes::copy_from_slice(routes.id.as_bytes()),
            bytes_max: u32::try_from(self.fetch_bytes).expect("at most 8 MiB"),
            buffer_bytes: self.buffer_bytes as u64,
            give_up_after: self.stop_at_end.then_some(self.core.request_timeout),
            cursors: BTreeMap::new(),
            unplaced: Vec::new(),
            growth: self.growth(routes.id, routes.partition_count(), group.as_ref()),
        };
        let mut positions = BTreeMap::new();
        let patience = self.core.patience();
        let placed = plans.into_iter().map(|plan| async {
            let placed = plan.place(&self.core, &self.topic, patience).await;
            (plan, placed)
        });
        for (plan, placed) in futures::future::join_all(placed).await {
            let partition = plan.partition();
            match placed {
                Ok(placed) => {
                    let offset = placed.cursor.next();
                    let leader_epoch = group.as_ref().map(|group| group.epoch_at(partition, offset));
                    let leader_epoch = leader_epoch.unwrap_or_default();
                    positions.insert(partition, ConsumerPosition { partition, offset, leader_epoch });
                    if let Some((from, to)) = placed.reset {
                        let topic = self.topic.clone();
                        self.core.listener.tell(Event::ConsumerReset { topic, partition, from, to });
                    }
                    wish.cursors.insert(partition, placed.cursor);
                }
                // Whoever reads on for ever can wait for a leader; who reads to the end is told that it is away.
                Err(error) if error.is_passing() && !self.stop_at_end => wish.unplaced.push(plan),
                Err(error) => {
                    // The receiver is ours.
                    let _held = deliver.send(Heard::Failed(error));
                }
            }
        }
        tokio::spawn(Driver::new(self.core.clone(), wish, deliver, credit).run());
        Ok(Consumer {
            core: self.core,
            topic: self.topic,
            topic_id: routes.id,
            incoming,
            consumed,
            current: None,
            partitions: partitions.len(),
            positions,
            group,
            over: false,
            fenced: None,
        })
    }

    /// One past the last partition that was named; 0: none was.
    fn partitions_named(&self) -> u32 {
        let named = match (&self.partitions, &self.from) {
            (Some(partitions), _) => partitions.last(),
            (None, Some(StartAt::Offsets(offsets))) => {
                offsets.last_key_value().map(|(partition, _)| partition)
            }
            (None, _) => None,
        };
        named.map_or(0, |last| last.saturating_add(1))
    }

    fn chosen(&self, partition_count: u32) -> Result<Vec<u32>, RequestError> {
        let mut chosen = self.partitions.clone().unwrap_or_else(|| (0..partition_count).collect());
        if let (Some(StartAt::Offsets(offsets)), None) = (&self.from, &self.partitions) {
            chosen = offsets.keys().copied().collect();
        }
        match chosen.iter().find(|partition| **partition >= partition_count) {
            None => Ok(chosen.into_iter().collect()),
            Some(partition) => Err(RequestError::Invalid(format!(
                "topic `{}` has no partition {partition}; it has {partition_count}, from 0",
                self.topic
            ))),
        }
    }

    /// How partitions that are added are taken up, if all are read for ever.
    fn growth(&self, topic_id: TopicId, known: u32, group: Option<&GroupPositions>) -> Option<Growth> {
        let named = self.partitions.is_some() || matches!(self.from, Some(StartAt::Offsets(_)));
        if named || self.stop_at_end || !self.until.is_empty() {
            return None;
        }
        let membership = self.group.as_ref().zip(group).map(|(group, positions)| Membership {
            group: group.clone(),
            owner: self.owner.clone(),
            generations: positions.generations().collect(),
        });
        let (topic, out_of_range) = (self.topic.clone(), self.out_of_range);
        Some(Growth { topic, topic_id, known, out_of_range, group: membership })
    }

    async fn open_group(
        &self,
        group: &str,
        topic_id: TopicId,
        partitions: &[u32],
    ) -> Result<GroupPositions, RequestError> {
        check_group(group)?;
        GroupPositions::open(&self.core, group, &self.topic, topic_id, partitions, &self.owner).await
    }

    fn plans(
        &self,
        topic: TopicId,
        partitions: &[u32],
        group: Option<&GroupPositions>,
    ) -> Result<Vec<Plan>, RequestError> {
        let default = if group.is_some() { StartAt::Group } else { StartAt::Start };
        let from = self.from.as_ref().unwrap_or(&default);
        let mut plans = Vec::new();
        for &partition in partitions {
            let begin = match (from, group) {
                (StartAt::Group, None) => {
                    return Err(RequestError::Invalid(
                        "StartAt::Group needs a group; name one with `group`".into(),
                    ));
                }
                (StartAt::Group, Some(group)) => match group.stored(partition) {
                    Some(offset) => Some(Begin::At(offset)),
                    None => begin(partition, &self.group_start),
                },
                (from, _) => begin(partition, from),
            };
            plans.extend(begin.map(|begin| Plan {
                at: TopicPartition { topic, partition: PartitionIndex(partition) },
                begin,
                until: self.until.get(&partition).copied(),
                stop_at_end: self.stop_at_end,
                out_of_range: self.out_of_range,
            }));
        }
        Ok(plans)
    }
}

fn begin(partition: u32, from: &StartAt) -> Option<Begin> {
    Some(match from {
        StartAt::Offset(offset) => Begin::At(*offset),
        StartAt::Offsets(offsets) => Begin::At(*offsets.get(&partition)?),
        StartAt::Start | StartAt::Group => Begin::Ask(OffsetAt::Start),
        StartAt::End => Begin::Ask(OffsetAt::End),
        StartAt::Timestamp(timestamp_ms) => Begin::Ask(OffsetAt::Timestamp(*timestamp_ms)),
    })
}
