//! A group and its members, who store how far they got and ask for it; and the owners of positions on every broker
//! (G8, N18).

use std::collections::BTreeMap;
use std::sync::Arc;

use fidelog_broker::group::state::{
    Commit, CommitFate, CommitResult, OwnerName, PartitionPosition, PositionLimits, SnapshotSizes,
};
use fidelog_broker::group::{CommitAll, Fetch, Open, Positions, PositionsError, Testimony};
use fidelog_broker::partition::Partition;
use fidelog_log::env::{Clock, Moment};
use fidelog_record::types::{
    BrokerId, Generation, GroupName, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition,
};

use crate::broker::index_of;
use crate::cluster::Sim;
use crate::event::{Event, Own};
use crate::surroundings::{Surroundings, Task, Wish};

/// Between two calls of a member, microseconds at most; now and then.
const PAUSE: u64 = 80_000;
const LONG_PAUSE: u64 = 3_000_000;
/// How long a member waits for an answer, microseconds.
const PATIENCE: u64 = 1_000_000;
/// How long the quorum may take to testify, microseconds.
const TESTIMONY: u64 = 2_000_000;

/// What a member asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Commit(Offset, Generation),
    Fetch,
}

/// What the owner says.
#[derive(Debug)]
pub(crate) enum Told {
    Positions(Vec<PartitionPosition>),
    Fates(Vec<CommitResult>),
}

pub(crate) type Answer = Result<Told, PositionsError>;

/// The positions of one process.
pub(crate) struct Owners {
    pub(crate) positions: Positions,
    surroundings: Arc<Surroundings>,
    tasks: Vec<Task<()>>,
    calls: BTreeMap<u64, Task<Answer>>,
}

impl Owners {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let surroundings = Arc::new(Surroundings::default());
        let sizes = SnapshotSizes { weight_min: 40, part_position_count_max: 2 };
        let (witness, hands) = (Arc::clone(&surroundings) as _, Arc::clone(&surroundings) as _);
        let positions = Positions::new(clock, witness, hands, PositionLimits::default(), sizes);
        Self { positions, surroundings, tasks: Vec::new(), calls: BTreeMap::new() }
    }

    /// This partition holds positions.
    pub(crate) fn host(&mut self, topic: TopicId, partition: Arc<Partition>) {
        self.positions.topic_exists(topic, 1);
        self.tasks.push(Task::new(self.positions.host(partition).run()));
    }

    pub(crate) fn are_woken(&self) -> bool {
        self.tasks.iter().any(Task::is_woken) || self.calls.values().any(Task::is_woken)
    }

    /// All tasks go on until none is woken; which calls were answered.
    fn go_on(&mut self) -> Vec<(u64, Answer)> {
        let mut answered = Vec::new();
        while self.are_woken() {
            self.tasks.retain_mut(|task| task.go_on().is_none());
            let done = self.calls.iter_mut().filter_map(|(&call, task)| Some((call, task.go_on()?)));
            let done: Vec<_> = done.collect();
            for (call, answer) in done {
                self.calls.remove(&call);
                answered.push((call, answer));
            }
        }
        answered
    }
}

/// One reader of the group.
#[derive(Debug, Default)]
struct Member {
    generation: Option<Generation>,
    next: u64,
    owner: usize,
}

/// A call that is under way.
#[derive(Debug)]
struct Asked {
    member: usize,
    call: Call,
    floor: Option<Offset>,
    begun: Moment,
}

/// The group's members.
#[derive(Debug, Default)]
pub(crate) struct Group {
    topic: Option<TopicId>,
    members: Vec<Member>,
    asked: BTreeMap<u64, Asked>,
    next_call: u64,
    /// When a member was told a position, last.
    told_at: Option<Moment>,
}

impl Group {
    /// The topic of which positions are asked for, if none was told since `then`.
    pub(crate) fn unserved_since(&self, then: Moment) -> Option<TopicId> {
        self.topic.filter(|_| self.told_at.is_none_or(|told_at| told_at <= then))
    }
}

fn group() -> GroupName {
    GroupName::new("g").expect("a name")
}

async fn carry_out(positions: Positions, topic: TopicId, member: usize, call: Call) -> Answer {
    let partition = PartitionIndex(0);
    match call {
        Call::Open => {
            let owner = OwnerName::new(&format!("member {member}")).expect("short");
            let open = Open { group: group(), topic, partitions: vec![partition], owner };
            positions.open(open).await.map(Told::Positions)
        }
        Call::Commit(offset, generation) => {
            let commits = vec![Commit { partition, offset, leader_epoch: LeaderEpoch(1), generation }];
            positions.commit(CommitAll { group: group(), topic, commits }).await.map(Told::Fates)
        }
        Call::Fetch => positions.fetch(Fetch { group: group(), topic }).await.map(Told::Positions),
    }
}

impl Sim {
    pub(crate) fn begin_group(&mut self, topic: TopicId) {
        self.group.topic = Some(topic);
        for member in 0..self.settings.member_count {
            self.group.members.push(Member::default());
            self.agenda.after(10_000, Event::Member(member));
        }
    }

    /// A member asks whom it takes for the owner; stores more as long as producers produce.
    pub(crate) fn member_acts(&mut self, member: usize) {
        let pause = if self.percent(10) && !self.healing { LONG_PAUSE } else { PAUSE };
        let micros = 1_000 + self.below(pause);
        self.agenda.after(micros, Event::Member(member));
        if self.group.asked.values().any(|asked| asked.member == member) {
            return;
        }
        let count = self.brokers.len() as u64;
        let other = usize::try_from(self.below(count)).expect("few brokers");
        let (asks_other, opens, looks_up) = (self.percent(25), self.percent(3), self.percent(25));
        // One only reads: whoever leads no more is asked long after the other has gone on elsewhere.
        let reads = self.healing || member == 0 || self.percent(30);
        let leader = self.owner_by_metadata();
        let it = &mut self.group.members[member];
        if asks_other {
            it.owner = other;
        } else if looks_up && let Some(leader) = leader {
            it.owner = index_of(leader);
        }
        let call = match it.generation.filter(|_| !opens) {
            None if !reads => Call::Open,
            Some(generation) if !reads => {
                it.next += 1;
                Call::Commit(Offset(it.next), generation)
            }
            _ => Call::Fetch,
        };
        if let Call::Commit(offset, _) = call {
            self.judge.positions.attempted(offset);
        }
        let (broker, begun) = (it.owner, self.agenda.now());
        let floor = self.judge.positions.floor();
        self.group.next_call += 1;
        let number = self.group.next_call;
        self.group.asked.insert(number, Asked { member, call, floor, begun });
        let (life, micros) = (self.life(broker).map_or(0, |life| life.number), self.hop());
        self.agenda.after(micros, Event::Of { broker, life, what: Own::Call(number) });
        self.agenda.after(PATIENCE, Event::Told { call: number, answer: None });
    }

    /// Who leads the group's positions, as a member may have read it anywhere.
    fn owner_by_metadata(&self) -> Option<BrokerId> {
        let at = TopicPartition { topic: self.group.topic?, partition: PartitionIndex(0) };
        self.quorum.state().partition(at)?.leader
    }

    /// A call reaches a process.
    pub(crate) fn called(&mut self, broker: usize, number: u64) {
        let (Some(asked), Some(topic)) = (self.group.asked.get(&number), self.group.topic) else { return };
        let (member, call) = (asked.member, asked.call);
        let Some(life) = self.life_mut(broker) else { return };
        life.owners.positions.topic_exists(topic, 1);
        let positions = life.owners.positions.clone();
        life.owners.calls.insert(number, Task::new(carry_out(positions, topic, member, call)));
        self.settle(broker);
    }

    /// Owners and calls of a process go on; what they wish for is seen to.
    pub(crate) fn go_on(&mut self, broker: usize) {
        let Some(life) = self.life_mut(broker) else { return };
        let answered = life.owners.go_on();
        let wishes = life.owners.surroundings.take();
        for (call, answer) in answered {
            self.tell("tells", &[broker as u64, call, u64::from(answer.is_ok())], || {
                format!("broker {} answers call {call}: {answer:?}", broker + 1)
            });
            let lost = !self.healing && self.percent(2);
            let micros = self.hop();
            let answer = if lost { None } else { Some(answer) };
            self.agenda.after(micros, Event::Told { call, answer });
        }
        for wish in wishes {
            match wish {
                Wish::Pause(duration, done) => {
                    let micros = u64::try_from(duration.as_micros()).expect("short");
                    self.own_later(broker, micros, Own::Paused(done));
                }
                Wish::Leads(at, epoch, told) => {
                    let quorum = self.quorum_node();
                    let heard = !self.quorum.away
                        && !self.network.is_cut(broker, quorum)
                        && !self.network.is_cut(quorum, broker);
                    let entry = self.quorum.state().partition(at);
                    let me = self.brokers[broker].id;
                    let testimony = match entry.map(|it| (it.leader, it.leader_epoch)) {
                        _ if !heard => Testimony::Unknown { reason: "the quorum was not heard".to_owned() },
                        Some((leader, seen)) if leader == Some(me) && seen == epoch => Testimony::Leads,
                        other => {
                            let (leader, epoch) = other.unwrap_or((None, LeaderEpoch(0)));
                            Testimony::Deposed { leader, epoch }
                        }
                    };
                    let micros = if heard { 2 * self.hop() } else { TESTIMONY };
                    self.own_later(broker, micros, Own::Testified(told, testimony));
                }
            }
        }
    }

    /// A member hears the answer, or that none will come.
    pub(crate) fn member_hears(&mut self, number: u64, answer: Option<Answer>) {
        let Some(Asked { member, call, floor, begun }) = self.group.asked.remove(&number) else { return };
        let count = self.brokers.len() as u64;
        let other = usize::try_from(self.below(count)).expect("few brokers");
        self.tell("member", &[member as u64, number], || {
            format!("member {member} hears of {call:?}, begun at {} us: {answer:?}", begun.micros)
        });
        let it = &mut self.group.members[member];
        let told = match answer {
            Some(Ok(Told::Positions(positions))) => {
                let position = positions.first().map(|it| it.position.clone());
                if call == Call::Open {
                    it.generation = position.as_ref().map(|it| it.generation);
                }
                position.and_then(|it| it.offset)
            }
            Some(Ok(Told::Fates(mut fates))) => match fates.remove(0).fate {
                CommitFate::InForce(position) => position.offset,
                CommitFate::Fenced { current } => {
                    it.generation = None;
                    current.offset
                }
                CommitFate::NotOpened => None,
            },
            Some(Err(PositionsError::UnknownGroup { .. })) => None,
            Some(Err(PositionsError::NotOwner { leader: Some(leader), .. }))
                if index_of(leader) != it.owner =>
            {
                it.owner = index_of(leader);
                return;
            }
            Some(Err(_)) | None => {
                it.owner = other;
                return;
            }
        };
        it.next = it.next.max(told.map_or(0, |told| told.0));
        self.group.told_at = Some(begun);
        self.judge.positions.told(floor, told);
    }
}
