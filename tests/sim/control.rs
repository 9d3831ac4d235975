//! The active controller's sessions, and the operator: heartbeats, fencing, and the topic that a run is about.

use fidelog_broker::meta::state::{Proposal, TopicConfig, TopicState};
use fidelog_log::env::Moment;
use fidelog_record::types::{TopicId, TopicName};

use crate::cluster::Sim;
use crate::event::{Asked, Event, Own};

/// What the controller knows of sessions.
#[derive(Debug)]
pub(crate) struct Control {
    /// The last heartbeat of each broker: of which process, and when it was heard.
    heard: Vec<Option<(u64, Moment)>>,
    pub(crate) topic: Option<TopicId>,
}

impl Control {
    pub(crate) fn new(broker_count: usize) -> Self {
        Self { heard: vec![None; broker_count], topic: None }
    }

    /// A process ended: its connection is refused from now on.
    pub(crate) fn gone(&mut self, broker: usize) {
        self.heard[broker] = None;
    }
}

impl Sim {
    pub(crate) fn beat(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else { return };
        let (life, ready, sent) = (life.number, life.hosting && life.unopened.is_empty(), self.agenda.now());
        if !self.network.is_cut(broker, self.quorum_node()) {
            let micros = self.hop();
            self.agenda.after(micros, Event::Beat { broker, life, sent, ready });
        }
        self.own_later(broker, self.settings.beat, Own::Beat);
    }

    pub(crate) fn beat_heard(&mut self, broker: usize, life: u64, sent: Moment, _ready: bool) {
        if self.quorum.away {
            return;
        }
        self.control.heard[broker] = Some((life, self.agenda.now()));
        if !self.network.is_cut(self.quorum_node(), broker) {
            let micros = self.hop();
            self.agenda.after(micros, Event::Of { broker, life, what: Own::BeatAnswered(sent) });
        }
    }

    /// A heartbeat that was answered extends the lease from when it was sent (N12).
    pub(crate) fn beat_answered(&mut self, broker: usize, sent: Moment) {
        let lease_end = crate::network::later(sent, self.settings.lease);
        if let Some(life) = self.life_mut(broker) {
            life.lease_end = life.lease_end.max(lease_end);
        }
    }

    pub(crate) fn look_at_sessions(&mut self) {
        self.agenda.after(self.settings.tick, Event::Control);
        self.prepare();
    }

    /// Once every broker is there, the topic is made; once that is open, clients and troubles begin.
    fn prepare(&mut self) {
        let state = self.quorum.state();
        let registered = state.brokers().count();
        let topic = state.topics().next().cloned();
        match topic {
            None if registered == self.brokers.len() => {
                let proposal = Proposal::CreateTopic {
                    name: TopicName::new("t").expect("a name"),
                    partition_count: Some(self.settings.partition_count),
                    replication_factor: Some(3),
                    config: TopicConfig::default(),
                    allow_unreplicated: false,
                    internal: false,
                    assignment: None,
                };
                self.consider(Asked { asker: None, proposal });
            }
            Some(topic) if topic.state == TopicState::Open && self.control.topic.is_none() => {
                self.control.topic = Some(topic.id);
                self.begin_clients(topic.id);
                let micros = 300_000 + self.below(300_000);
                self.agenda.after(micros, Event::Trouble);
                self.agenda.after(micros + self.settings.chaos, Event::Heal);
            }
            _ => {}
        }
    }
}
