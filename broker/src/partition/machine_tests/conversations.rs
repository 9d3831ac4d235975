//! Talks with one machine, one for each rule. Broker 1 is the one spoken to when it leads, broker 2 when it follows.

use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_log::{CutDone, EpochHistory, FlushTiming, ProducerTable};
use fidelog_record::batch::BatchBuilder;
use fidelog_record::types::{
    BrokerId, LeaderEpoch, Offset, PartitionEpoch, ProducerEpoch, ProducerId, Sequence,
};
use fidelog_record::{Codec, EncodedBatch, PlacedBatch, Placement, ProducerStamp, RecordRef};

use super::cluster::{LIMITS, partition};
use crate::partition::{
    Assignment, Effect, Lease, LogState, Machine, NextPush, Produce, ProduceAnswer, ProduceRefusal, Role,
    Setup, Unknown,
};
use crate::replica::message::{FollowerMessage, LeaderMessage, Push, RefusalCause};
use crate::replica::{Incarnate, StreamId};

const ONE: BrokerId = BrokerId(1);
const TWO: BrokerId = BrokerId(2);
const THREE: BrokerId = BrokerId(3);
const STREAM: StreamId = StreamId(1);
const EPOCH: LeaderEpoch = LeaderEpoch(5);

const FOR_EVER: Lease =
    Lease { until: Moment { micros: u64::MAX }, in_touch_until: Moment { micros: u64::MAX } };

/// One record, the `sequence`th of producer 9.
fn record(sequence: u64) -> EncodedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.try_push(RecordRef { key: None, value: Some(b"v"), headers: &[], timestamp_ms: 1 }).unwrap();
    let base_sequence = Sequence(sequence);
    builder.finish(ProducerStamp { id: ProducerId(9), epoch: ProducerEpoch(1), base_sequence }).unwrap()
}

/// The same, placed at the offset of the same number.
fn placed(offset: u64, epoch: u32) -> PlacedBatch {
    record(offset).place(Placement {
        topic_partition: partition(),
        base_offset: Offset(offset),
        leader_epoch: LeaderEpoch(epoch),
        append_time_ms: 1,
        committed_below: Offset::ZERO,
    })
}

fn begin(start: u64, committed_end: u64) -> LeaderMessage {
    let (start, committed_end) = (Offset(start), Offset(committed_end));
    LeaderMessage::Begin { number: 1, start, committed_end, last_epoch: EPOCH }
}

/// Of a follower that shares its last epoch with the leader.
fn ask(epoch: u32, end: u64) -> FollowerMessage {
    let (epoch, end) = (LeaderEpoch(epoch), Offset(end));
    FollowerMessage::Ask { begun: 1, epoch, end, shared_epoch: epoch, shared_end: end }
}

/// A log with these (epoch, start)s, all of it synced.
fn log(committed_end: u64, end: u64, epochs: &[(u32, u64)]) -> LogState {
    let mut history = EpochHistory::default();
    for &(epoch, start) in epochs {
        history.append(LeaderEpoch(epoch), Offset(start)).unwrap();
    }
    LogState {
        start: Offset::ZERO,
        committed_end: Offset(committed_end),
        durable_end: Offset(end),
        end: Offset(end),
        epochs: history,
        producers: ProducerTable::default(),
        room_bytes: 10_000,
    }
}

fn entry(partition_epoch: u32, isr: &[BrokerId]) -> Assignment {
    Assignment {
        replicas: vec![ONE, TWO, THREE],
        copies: [ONE, TWO, THREE].map(|id| (id, PartitionEpoch(0))).into(),
        isr: isr.iter().copied().collect(),
        leader: Some(ONE),
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(partition_epoch.into()),
        min_insync: 2,
        damaged: Default::default(),
        lost_leader: None,
        recoveries: Vec::new(),
    }
}

/// One side of a conversation.
struct Talk {
    machine: Machine<u64>,
    now: Moment,
}

impl Talk {
    fn with(me: BrokerId, log: LogState, unclean: bool, isr: &[BrokerId]) -> Self {
        let machine = Machine::new(Setup { id: partition(), me, log, unclean, limits: LIMITS });
        let mut talk = Self { machine, now: Moment::default() };
        talk.machine.set_lease(FOR_EVER);
        talk.machine.assigned(entry(1, isr), talk.now);
        talk.effects();
        talk
    }

    fn effects(&mut self) -> Vec<Effect<u64>> {
        let mut effects = Vec::new();
        self.machine.take_effects(&mut effects);
        effects
    }

    fn up(&mut self, broker: BrokerId, stream: StreamId) -> Vec<Effect<u64>> {
        let incarnate = Incarnate {
            broker,
            epoch: fidelog_record::types::BrokerEpoch(1),
            directory: fidelog_record::types::DirectoryId::NIL,
        };
        self.machine.stream_up(stream, incarnate);
        self.effects()
    }

    /// What the follower says; of where it stands, in answer to the last beginning.
    fn heard(&mut self, from: BrokerId, stream: StreamId, mut message: FollowerMessage) -> Vec<Effect<u64>> {
        if let FollowerMessage::Ask { begun, .. } | FollowerMessage::Matched { begun, .. } = &mut message
            && let Role::Leader(leading) = &self.machine.role
        {
            *begun = leading.followers.get(from).map_or(0, |follower| follower.begun);
        }
        self.machine.heard(from, stream, EPOCH, message, self.now);
        self.effects()
    }

    /// The follower is up and matched at `end` on a stream of its own number.
    fn matched(&mut self, from: BrokerId, end: u64, last_epoch: u32) -> Vec<Effect<u64>> {
        let stream = StreamId(from.0.into());
        self.up(from, stream);
        let (end, last_epoch) = (Offset(end), LeaderEpoch(last_epoch));
        self.heard(from, stream, FollowerMessage::Matched { begun: 0, end, durable_end: end, last_epoch })
    }

    /// The follower is sent all there is, and reports it.
    fn report(&mut self, from: BrokerId, durable_end: u64) -> Vec<Effect<u64>> {
        let stream = StreamId(from.0.into());
        while let NextPush::Send(..) = self.machine.next_push(from, stream, 1_000_000) {}
        self.heard(from, stream, FollowerMessage::Report { durable_end: Offset(durable_end) })
    }

    fn produce(&mut self, waiter: u64, sequence: u64) -> Vec<Effect<u64>> {
        let (wait, epoch) = (Duration::from_millis(100), LeaderEpoch(0));
        let produce = Produce { batch: record(sequence), arrived: self.now, wait, epoch, waiter };
        self.machine.produce(produce, self.now, 1);
        self.effects()
    }

    fn synced(&mut self, end: u64) -> Vec<Effect<u64>> {
        self.machine.durable(Offset(end), FlushTiming::default(), self.now);
        self.effects()
    }

    fn later(&mut self, milliseconds: u64) -> Vec<Effect<u64>> {
        self.now = self.now.plus(Duration::from_millis(milliseconds));
        self.machine.tick(self.now);
        self.effects()
    }

    fn led(&mut self, message: LeaderMessage) -> Vec<Effect<u64>> {
        self.machine.led(STREAM, EPOCH, message);
        self.effects()
    }

    fn begun(&mut self, committed_end: u64) -> Vec<Effect<u64>> {
        self.led(begin(0, committed_end))
    }

    fn committed_end(&self) -> u64 {
        self.machine.positions().committed_end.0
    }

    fn shows(&mut self, partition_epoch: u32, isr: &[BrokerId]) {
        self.machine.assigned(entry(partition_epoch, isr), self.now);
    }
}

fn answers(effects: &[Effect<u64>]) -> Vec<(u64, &ProduceAnswer)> {
    let mut found = Vec::new();
    for effect in effects {
        if let Effect::Answer(waiter, answer) = effect {
            found.push((*waiter, answer));
        }
    }
    found
}

fn replies(effects: &[Effect<u64>]) -> Vec<&FollowerMessage> {
    let mut found = Vec::new();
    for effect in effects {
        if let Effect::Reply { message, .. } = effect {
            found.push(message);
        }
    }
    found
}

fn proposed(effects: &[Effect<u64>]) -> Vec<Vec<u32>> {
    let change = |effect: &Effect<u64>| match effect {
        Effect::Propose { proposed, .. } => Some(proposed.isr.iter().map(|id| id.0).collect()),
        _ => None,
    };
    effects.iter().filter_map(change).collect()
}

fn begins(effects: &[Effect<u64>]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Tell { message: LeaderMessage::Begin { .. }, .. }))
        .count()
}

fn leader(isr: &[BrokerId]) -> Talk {
    Talk::with(ONE, log(0, 0, &[]), false, isr)
}

fn follower(log: LogState) -> Talk {
    Talk::with(TWO, log, false, &[ONE, TWO])
}

fn cut_to(end: u64, epochs: &[(u32, u64)]) -> CutDone {
    let LogState { end, epochs, producers, room_bytes, .. } = log(0, end, epochs);
    CutDone { end, epochs, producers, room_bytes }
}

#[test]
fn n2_a_push_that_does_not_follow_is_refused() {
    let mut talk = follower(log(0, 1, &[(3, 0)]));
    talk.begun(0);
    talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(3), epoch: LeaderEpoch(3), end: Offset(1) });
    let push = Push {
        previous_epoch: LeaderEpoch(4), // ours is 3
        previous_end: Offset(1),
        start: Offset::ZERO,
        committed_end: Offset::ZERO,
        batches: vec![placed(1, 5)],
    };
    let effects = talk.led(LeaderMessage::Push(push));
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Refused { cause: RefusalCause::Gap, .. }]));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Append(_))));
}

#[test]
fn n2_a_follower_reports_only_what_it_has_synced() {
    let mut talk = follower(log(0, 0, &[]));
    talk.begun(0);
    let push = Push {
        previous_epoch: LeaderEpoch(0),
        previous_end: Offset::ZERO,
        start: Offset::ZERO,
        committed_end: Offset::ZERO,
        batches: vec![placed(0, 5)],
    };
    assert!(replies(&talk.led(LeaderMessage::Push(push))).is_empty());
    assert_eq!(talk.machine.held_bytes(), placed(0, 5).length() as u64, "it counts what it has not synced");
    assert_eq!(replies(&talk.synced(1)), [&FollowerMessage::Report { durable_end: Offset(1) }]);
    assert_eq!(talk.machine.held_bytes(), 0);
}

/// A new leader held batches it had not synced yet; its follower wanted them, and nobody told the stream's sender
/// when they could be read.
#[test]
fn n2_what_a_new_leader_has_synced_is_pushed_to_whoever_lacks_it() {
    let mut held = log(0, 4, &[(3, 0)]);
    held.durable_end = Offset(2);
    let mut talk = Talk::with(ONE, held, false, &[ONE, TWO]);
    talk.matched(TWO, 2, 3);
    assert!(matches!(talk.machine.next_push(TWO, StreamId(2), 1_000), NextPush::Nothing));
    let effects = talk.synced(4);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::PushReady { to: TWO, .. })), "{effects:?}");
    assert!(matches!(
        talk.machine.next_push(TWO, StreamId(2), 1_000),
        NextPush::Read { from: Offset(2), .. }
    ));
}

#[test]
fn n6_nothing_is_committed_before_the_slowest_member_reports_nor_below_the_minimum() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.report(TWO, 1);
    assert_eq!(talk.committed_end(), 0);
    let effects = talk.report(THREE, 1);
    assert!(matches!(answers(&effects)[..], [(1, ProduceAnswer::Stored(_))]));
    talk.shows(2, &[ONE]);
    talk.effects();
    let effects = talk.produce(2, 1);
    assert!(matches!(
        answers(&effects)[..],
        [(2, ProduceAnswer::Refused(ProduceRefusal::NotEnoughReplicas { .. }))]
    ));
}

#[test]
fn n6_a_new_leader_says_not_yet_until_its_own_epoch_confirms() {
    let mut talk = Talk::with(ONE, log(1, 3, &[(3, 0)]), false, &[ONE, TWO]);
    assert!(!talk.machine.published().confirmed);
    talk.matched(TWO, 3, 3);
    assert!(talk.machine.published().confirmed);
    assert_eq!(talk.committed_end(), 3);
}

#[test]
fn n7_a_laggard_is_waited_for_until_the_watch_shows_it_gone() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.report(TWO, 1);
    assert_eq!(proposed(&talk.later(200)), [[1, 2]], "broker 3 has had no stream for longer than it may");
    assert_eq!(talk.committed_end(), 0);
    talk.shows(2, &[ONE, TWO]);
    assert_eq!(talk.committed_end(), 1);
}

/// A member whose stream is well and whose disk hangs holds what is committed, because that waits for it: it was
/// proposed in again by the very step that proposed it out, and held up every acknowledgement for ever.
#[test]
fn n7_a_member_that_hangs_with_its_stream_up_leaves_the_set() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.report(TWO, 1);
    talk.later(100);
    let changes: Vec<_> = (0..6).flat_map(|_| proposed(&talk.later(100))).collect();
    assert_eq!(changes.first(), Some(&vec![1, 2]));
}

#[test]
fn n7_a_follower_joins_only_at_this_epochs_beginning() {
    let mut talk = Talk::with(ONE, log(1, 3, &[(3, 0)]), false, &[ONE, TWO]);
    assert!(
        proposed(&talk.matched(THREE, 2, 3)).is_empty(),
        "it holds what is committed, not where the epoch began"
    );
    assert_eq!(proposed(&talk.matched(THREE, 3, 3)), [[1, 2, 3]]);
    talk.matched(TWO, 3, 3);
    talk.produce(1, 0);
    talk.synced(4);
    talk.report(TWO, 4);
    assert_eq!(talk.committed_end(), 3, "whom it proposed it waits for");
}

mod failing;
mod moving;
mod producing;
mod reconciling;
mod recovering;
mod resting;
mod streams;
