//! The active controller and the operator. Who lives is judged by the product's own liveness; what it finds due is
//! proposed at once. Here are its sessions, and the topic that a run is about.

use std::collections::BTreeSet;

use fidelog_broker::group::POSITIONS_TOPIC;
use fidelog_broker::meta::controller::duties::Duties;
use fidelog_broker::meta::controller::heartbeat::{BrokerHealth, Heartbeat, SessionId};
use fidelog_broker::meta::controller::liveness::{Liveness, Verdict};
use fidelog_broker::meta::state::{FenceReason, Proposal, TopicConfig, TopicState};
use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerEpoch, BrokerId, TopicId, TopicName};

use crate::broker::index_of;
use crate::cluster::Sim;
use crate::event::{Asked, Event, Own};

/// Leaderships that may go back at one turn.
const RETURNS_ROOM: usize = 10;

/// What the active controller knows.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) liveness: Liveness,
    duties: Duties,
    /// Topics that clients use.
    pub(crate) used: BTreeSet<TopicId>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { liveness: Liveness::new(Moment::default()), duties: Duties::default(), used: BTreeSet::new() }
    }
}

/// One process has one stream of heartbeats.
fn session_of(broker: usize, life: u64) -> SessionId {
    SessionId(life * 100 + broker as u64)
}

impl Sim {
    pub(crate) fn beat(&mut self, broker: usize) {
        let told = self.has_told_failures(broker);
        let Some(life) = self.life_mut(broker) else { return };
        life.ready |= told && life.hosting && life.unopened.is_empty();
        let Some(life) = self.life(broker) else { return };
        let Some((epoch, _)) = life.registered else { return };
        let (number, sent) = (life.number, self.agenda.now());
        let heartbeat = Heartbeat {
            broker: self.brokers[broker].id,
            epoch,
            number: 0,
            passed: life.view.as_ref().map(|view| view.index()).unwrap_or_default(),
            ready: life.ready,
            stopping: life.stopping,
            health: BrokerHealth {
                failed: life.home.latched().map(|reason| reason.to_string()),
                ..BrokerHealth::default()
            },
        };
        if !self.network.is_cut(broker, self.quorum_node()) {
            let micros = self.hop();
            let beat = Event::Beat { broker, life: number, sent, heartbeat: Box::new(heartbeat) };
            self.agenda.after(micros, beat);
        }
        self.own_later(broker, self.settings.beat, Own::Beat);
    }

    /// Answered after it is known who decides: only to a process that is the registered one, and not fenced.
    pub(crate) fn beat_heard(&mut self, broker: usize, life: u64, sent: Moment, heartbeat: &Heartbeat) {
        if self.quorum.away {
            return;
        }
        let (now, state) = (self.agenda.now(), self.quorum.state().clone());
        self.control.liveness.heard(&state, session_of(broker, life), heartbeat, now);
        if state.broker(heartbeat.broker).is_some_and(|entry| entry.fenced) || heartbeat.stopping {
            self.take_turn();
        }
        let alive = |entry: &fidelog_broker::meta::state::BrokerEntry| {
            entry.epoch == heartbeat.epoch && !entry.fenced
        };
        let alive = state.broker(heartbeat.broker).is_some_and(|entry| alive(entry));
        if alive && !self.network.is_cut(self.quorum_node(), broker) {
            let micros = self.hop();
            self.agenda.after(micros, Event::Of { broker, life, what: Own::BeatAnswered(sent) });
        }
    }

    /// A heartbeat that was answered extends the lease from when it was sent (N12).
    pub(crate) fn beat_answered(&mut self, broker: usize, sent: Moment) {
        self.life(broker).into_iter().for_each(|life| life.lease.extend(sent));
    }

    /// A process ended. Where the machine still has power its connections end with it, and are refused from then on.
    pub(crate) fn session_gone(&mut self, broker: usize, life: u64) {
        let reachable = !self.network.is_cut(broker, self.quorum_node());
        if reachable && !self.brokers[broker].disk.is_crashed() {
            let now = self.agenda.now();
            self.control.liveness.ended(session_of(broker, life), now);
        }
    }

    /// Another controller is the active one from now on: it knows the metadata, and nothing else.
    pub(crate) fn move_controller(&mut self) {
        self.tell("controller", &[], || "another controller is the active one".to_owned());
        let used = std::mem::take(&mut self.control.used);
        self.control = Control { liveness: Liveness::new(self.agenda.now()), used, ..Control::new() };
    }

    pub(crate) fn look_at_sessions(&mut self) {
        self.agenda.after(self.settings.tick, Event::Control);
        if !self.quorum.away {
            self.take_turn();
            self.prepare();
        }
        self.look_at_destroyed();
    }

    fn take_turn(&mut self) {
        let (now, state) = (self.agenda.now(), self.quorum.state().clone());
        for (broker, broker_epoch, verdict) in self.control.liveness.turn(&state, now) {
            self.carry_out(broker, broker_epoch, &verdict);
        }
        for duty in self.control.duties.due(&state, &self.control.liveness, now, RETURNS_ROOM) {
            self.consider(Asked { asker: None, proposal: duty.proposal() });
        }
    }

    fn carry_out(&mut self, broker: BrokerId, broker_epoch: BrokerEpoch, verdict: &Verdict) {
        let proposal = match *verdict {
            Verdict::Fence(reason) => Proposal::FenceBroker { broker, broker_epoch, reason },
            Verdict::Unfence => Proposal::UnfenceBroker { broker, broker_epoch },
            Verdict::HandOver => Proposal::HandOver { broker, broker_epoch },
            Verdict::Probe => {
                let index = index_of(broker);
                let cut = self.network.is_cut(index, self.quorum_node())
                    || self.network.is_cut(self.quorum_node(), index);
                let off = self.brokers[index].disk.is_crashed();
                if self.life(index).is_none() && !cut && !off {
                    self.control.liveness.refused(broker, broker_epoch);
                }
                return;
            }
        };
        if let Proposal::FenceBroker { reason: FenceReason::HeartbeatsMissing, .. } = proposal {
            self.tell("silent", &[broker.0.into()], || format!("broker {broker} is silent"));
        }
        self.consider(Asked { asker: None, proposal });
    }

    /// Once every broker is there, a topic is made; once that is open, clients and troubles begin.
    fn prepare(&mut self) {
        let state = self.quorum.state().clone();
        let unfenced = state.brokers().filter(|entry| !entry.fenced).count();
        let is_first = self.control.used.is_empty();
        if is_first && state.topics().next().is_none() && unfenced == self.brokers.len() {
            self.create_topic("t0", self.settings.partition_count);
            if self.settings.group {
                self.create_topic(POSITIONS_TOPIC, 1);
            }
        }
        for topic in state.topics().filter(|topic| topic.state == TopicState::Open) {
            if !self.control.used.insert(topic.id) {
                continue;
            }
            match topic.internal {
                true => self.begin_group(topic.id),
                false => self.begin_clients(topic.id, topic.partition_count),
            }
        }
        if is_first && !self.control.used.is_empty() {
            let micros = 300_000 + self.below(300_000);
            self.agenda.after(micros, Event::Trouble);
            self.agenda.after(micros + self.settings.chaos, Event::Heal);
        }
    }

    pub(crate) fn create_topic(&mut self, name: &str, partition_count: u32) {
        let proposal = Proposal::CreateTopic {
            name: TopicName::internal(name).or_else(|_| TopicName::new(name)).expect("a name"),
            partition_count: Some(partition_count),
            replication_factor: Some(3),
            config: TopicConfig::default(),
            allow_unreplicated: false,
            internal: name == POSITIONS_TOPIC,
            assignment: None,
        };
        self.consider(Asked { asker: None, proposal });
    }

    /// A topic comes, or one goes, and may come again under the same name.
    pub(crate) fn change_topics(&mut self) {
        let some = self.below(2);
        let name = format!("u{some}");
        match self.quorum.state().topic_by_name(&name).map(|topic| topic.id) {
            None => self.create_topic(&name, 1),
            Some(topic) => {
                self.consider(Asked { asker: None, proposal: Proposal::DeleteTopic { topic } });
                self.clients.forget(topic);
            }
        }
    }
}
