//! Processes start, register, are paused and end.

use std::sync::Arc;

use fidelog_broker::meta::lease::AckLease;
use fidelog_broker::meta::quorum::{Accepted, ProposeError};
use fidelog_broker::meta::state::{
    DataFound, FEATURE_LEVEL, Outcome, Proposal, Refusal, Registration, StartId,
};
use fidelog_log::Flusher;
use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_tests::process::Process;

use crate::broker::{Life, index_of};
use crate::cluster::Sim;
use crate::event::{Asked, Event, Own, Purpose};
use crate::groups::Owners;
use crate::links::Outbox;
use crate::network::Lane;
use crate::properties::lives;

/// Between two attempts to register, or to report something, microseconds.
const AGAIN: u64 = 250_000;

impl Sim {
    pub(crate) fn start(&mut self, broker: usize) {
        if self.brokers[broker].life.is_some() {
            return;
        }
        let now = self.agenda.now();
        let machine = &mut self.brokers[broker];
        machine.advance_to(now);
        if std::mem::take(&mut machine.needs_mount) {
            machine.disk.crash();
        } else if machine.disk.is_crashed() {
            machine.disk.restart();
        }
        if let Some(changes) = machine.crash_next.take() {
            machine.disk.crash_after(changes);
        }
        let (process, home) = machine.open(&self.story);
        let number = machine.lives;
        self.tell("start", &[broker as u64, number], || {
            format!("broker {} starts, life {number}", broker + 1)
        });
        if let Some(changes) = self.dies_amid_start() {
            process.end_after(changes);
        }
        let home = match home {
            Ok(home) => home,
            Err(why) => return self.start_failed(broker, &process, &why.to_string()),
        };
        let (found, identity) = (home.found().clone(), home.identity());
        let mut start = [0; 16];
        start[..8].copy_from_slice(&number.to_be_bytes());
        start[15] = u8::try_from(broker).expect("few brokers");
        let port = 9000 + broker;
        let registration = Registration {
            cluster: self.cluster,
            id: self.brokers[broker].id,
            start: StartId::from_random(start),
            directory: identity.directory_id,
            generation_found: found.generation,
            generation_new: found.generation,
            clean: found.clean,
            client_address: format!("10.0.0.1:{port}"),
            peer_address: format!("10.0.1.1:{port}"),
            rack: None,
            feature_level: FEATURE_LEVEL,
            incarnation_seen: identity.quorum_incarnation,
            index_seen: identity.meta_index_seen,
            former_session_alive: false,
            replaces: None,
        };
        self.brokers[broker].life = Some(Life {
            number,
            process,
            flusher: Arc::new(Flusher::new(Arc::clone(&home))),
            home,
            outbox: Arc::new(Outbox::default()),
            registration,
            registered: None,
            view: None,
            watch_due: false,
            hosting: false,
            ready: false,
            partitions: std::collections::BTreeMap::new(),
            unopened: std::collections::BTreeSet::new(),
            owners: Owners::new(Arc::new(self.brokers[broker].clock.clone())),
            removing: std::collections::BTreeSet::new(),
            unmended: std::collections::BTreeMap::new(),
            refilling: std::collections::BTreeSet::new(),
            leaving: std::collections::BTreeSet::new(),
            reports: std::collections::BTreeMap::new(),
            next_report: 0,
            flush_due: false,
            flushed_bytes: 0,
            raised_at_bytes: 0,
            exiting: false,
            lease: AckLease::default(),
            stopping: false,
        });
        self.register(broker);
    }

    fn start_failed(&mut self, broker: usize, process: &Process, why: &str) {
        self.tell("start failed", &[broker as u64], || {
            format!("broker {} does not start: {why}", broker + 1)
        });
        if self.brokers[broker].tainted && !self.brokers[broker].disk.is_crashed() && !process.has_ended() {
            // What a lying disk left cannot be used: an operator replaces it.
            self.replace_disk(broker);
            self.agenda.after(200_000, Event::Start(broker));
            return;
        }
        let machine = &mut self.brokers[broker];
        let excused = process.has_ended() || machine.excused || machine.disk.is_crashed();
        assert!(excused, "broker {}: a start failed without a fault: {why}", broker + 1);
        if !machine.disk.is_crashed() {
            machine.disk.kill();
        }
        machine.needs_mount |= process.needs_mount();
        if self.healing || self.percent(50) {
            self.mend_disk(broker);
        }
        let micros = 50_000 + self.below(500_000);
        self.agenda.after(micros, Event::Start(broker));
    }

    pub(crate) fn register(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else { return };
        if life.registered.is_some() {
            return;
        }
        let proposal = Proposal::RegisterBroker { registration: life.registration.clone() };
        self.propose(broker, proposal, Purpose::Registration);
        self.own_later(broker, AGAIN, Own::Register);
    }

    /// The quorum believes what was found: raised only then, since starts that end before that must not take a rolled-back
    /// directory up to what it was registered with (N13).
    fn believed(&mut self, broker: usize) {
        let Some(life) = self.life_mut(broker) else { return };
        let registration = &mut life.registration;
        if registration.generation_new > registration.generation_found {
            return; // Asked twice.
        }
        match life.home.raise_generation() {
            Ok(raised) => {
                registration.generation_new = raised;
                self.own_later(broker, 0, Own::Register);
            }
            Err(error) => self.end(broker, &format!("its generation could not be raised: {error}")),
        }
    }

    pub(crate) fn quorum_answered(
        &mut self,
        broker: usize,
        purpose: Purpose,
        answer: Option<Result<Accepted, ProposeError>>,
    ) {
        match purpose {
            Purpose::Registration => self.registered(broker, answer),
            Purpose::Report(number) => {
                // Only an answer that is definite ends a report; a refusal is one.
                if let Some(Ok(_) | Err(ProposeError::Refused { .. })) = answer
                    && let Some(life) = self.life_mut(broker)
                {
                    life.reports.remove(&number);
                }
            }
            // Only the watch moves the set (N7).
            Purpose::Isr(at) => {
                if let Some(Err(ProposeError::Refused { .. })) = answer
                    && is_planted(Planted::ReplyBelieved)
                {
                    self.step(broker, at, |partition| partition.believe_refusal());
                }
            }
            Purpose::Nothing => {}
        }
    }

    fn registered(&mut self, broker: usize, answer: Option<Result<Accepted, ProposeError>>) {
        let Some(life) = self.life_mut(broker).filter(|life| life.registered.is_none()) else { return };
        let accepted = match answer {
            Some(Ok(accepted)) => accepted,
            Some(Err(ProposeError::Refused { refusal })) => {
                if let Refusal::OtherDataRegistered { registered, .. } = refusal {
                    life.registration.replaces = Some(registered);
                }
                let is_believed = matches!(refusal, Refusal::GenerationNotRaised { .. });
                self.tell("refused", &[broker as u64], || format!("broker {}: {refusal}", broker + 1));
                if is_believed {
                    self.believed(broker);
                }
                return; // it registers again
            }
            _ => return,
        };
        let Outcome::BrokerRegistered { broker_epoch, data, generation } = accepted.outcome else {
            panic!("registering gave {:?}", accepted.outcome);
        };
        if life.home.raise_generation_to(generation).is_err() {
            self.end(broker, "its generation could not be raised");
            return;
        }
        life.registered = Some((broker_epoch, accepted.index));
        self.tell("registered", &[broker as u64, broker_epoch.0], || {
            format!("broker {} is registered with epoch {broker_epoch}, data {data:?}", broker + 1)
        });
        self.watch_soon(broker);
        self.beat(broker);
    }

    /// The view has passed the registration, and what it wants is hosted: the process begins to speak to others.
    pub(crate) fn begin_service(&mut self, broker: usize) {
        let count = self.brokers.len();
        for to in (0..count).filter(|&to| to != broker) {
            for lane in [Lane::Live, Lane::CatchUp] {
                let micros = self.below(20_000);
                self.own_later(broker, micros, Own::Connect(to, lane));
            }
        }
        self.own_later(broker, self.settings.tick, Own::Tick);
        self.own_later(broker, 500_000, Own::Tend);
        self.own_later(broker, 100_000, Own::Mend);
    }

    /// Says something to the quorum; one way may fail, or both.
    pub(crate) fn propose(&mut self, broker: usize, proposal: Proposal, purpose: Purpose) {
        let Some(life) = self.life(broker) else { return };
        let asker = Some((broker, life.number, purpose));
        let cut = self.network.is_cut(broker, self.quorum_node());
        if cut || !self.healing && self.percent(2) {
            return;
        }
        let asked = Asked { asker, proposal };
        if !self.healing && self.percent(3) {
            let micros = self.hop() * 10;
            self.agenda.after(micros, Event::Consider(Box::new(asked.clone())));
        }
        let micros = self.hop() + self.asking_micros(broker);
        self.agenda.after(micros, Event::Consider(Box::new(asked)));
    }

    /// Says it until it is answered definitely.
    pub(crate) fn report(&mut self, broker: usize, proposal: Proposal) {
        let Some(life) = self.life_mut(broker) else { return };
        let number = life.next_report;
        life.next_report += 1;
        life.reports.insert(number, proposal);
        self.report_again(broker, number);
    }

    pub(crate) fn report_again(&mut self, broker: usize, number: u64) {
        let Some(proposal) = self.life(broker).and_then(|life| life.reports.get(&number).cloned()) else {
            return;
        };
        self.propose(broker, proposal, Purpose::Report(number));
        self.own_later(broker, AGAIN, Own::Report(number));
    }

    /// A proposal reaches the quorum; every watch will show what came of it.
    pub(crate) fn consider(&mut self, asked: Asked) {
        let now_ms = self.wall_ms();
        let mut asked = asked;
        if let Proposal::RegisterBroker { registration } = &mut asked.proposal {
            let (state, now) = (self.quorum.state().clone(), self.agenda.now());
            registration.former_session_alive = self.control.liveness.may_run(&state, registration.id, now);
        }
        let before = Arc::clone(self.quorum.state());
        let answer = self.quorum.consider(&asked.proposal, now_ms);
        let index = self.quorum.state().index().0;
        self.tell("considered", &[index, u64::from(answer.is_ok())], || match &answer {
            Ok(accepted) => format!("the quorum takes, as {}: {:?}", accepted.index, asked.proposal),
            Err(error) => format!("the quorum says `{error}` to {:?}", asked.proposal),
        });
        if let (Proposal::RegisterBroker { registration }, Ok(accepted)) = (&asked.proposal, &answer)
            && matches!(accepted.outcome, Outcome::BrokerRegistered { data: DataFound::Intact, .. })
            && registration.clean
            && self.brokers[index_of(registration.id)].lied
        {
            // It lied to a clean stop, which is believed (N10): no rule saves that, and the run ends here.
            self.done = true;
        }
        if let (Proposal::ChangeIsr { partition, isr, .. }, Ok(_)) = (&asked.proposal, &answer) {
            lives::are_as_named(*partition, isr, &before, self.quorum.state());
        }
        if answer.is_ok() && !self.done {
            let all: Vec<_> = self.quorum.state().partitions().map(|(at, _)| at).collect();
            all.into_iter().for_each(|at| self.judge_members(at));
            for broker in 0..self.brokers.len() {
                self.watch_soon(broker);
            }
            self.disturb_moved(&before);
        }
        let Some((broker, life, purpose)) = asked.asker else { return };
        let lost = self.network.is_cut(self.quorum_node(), broker) || !self.healing && self.percent(3);
        let micros = self.hop();
        let answer = if lost { None } else { Some(answer) };
        self.agenda.after(micros, Event::Of { broker, life, what: Own::Answered(purpose, answer) });
    }

    /// The process stands still.
    pub(crate) fn pause(&mut self, broker: usize, micros: u64) {
        let Some(life) = self.life(broker).map(|life| life.number) else { return };
        if self.brokers[broker].paused.is_some() {
            return;
        }
        self.tell("paused", &[broker as u64, micros], || format!("broker {} is stopped", broker + 1));
        self.brokers[broker].paused = Some(std::collections::VecDeque::new());
        self.agenda.after(micros, Event::Resume { broker, life });
    }

    pub(crate) fn resume(&mut self, broker: usize, life: u64) {
        let same = self.life(broker).is_some_and(|it| it.number == life);
        let Some(put_off) = self.brokers[broker].paused.take_if(|_| same) else { return };
        self.tell("resumed", &[broker as u64], || format!("broker {} goes on", broker + 1));
        for what in put_off {
            self.agenda.after(0, Event::Of { broker, life, what });
        }
        self.free_held();
    }

    /// The process ends, whatever of its memory is lost; the disk stays as it is.
    pub(crate) fn end(&mut self, broker: usize, why: &str) {
        if self.life(broker).is_some() {
            self.note_members(broker);
        }
        let Some(life) = self.brokers[broker].life.take() else { return };
        let number = life.number;
        self.tell("ended", &[broker as u64, number], || format!("broker {} ends: {why}", broker + 1));
        let machine = &mut self.brokers[broker];
        machine.paused = None;
        machine.needs_mount |= life.process.needs_mount();
        life.bury();
        self.session_gone(broker, number);
        let machine = &mut self.brokers[broker];
        if !machine.disk.is_crashed() {
            machine.disk.kill();
        }
        self.process_gone(broker);
        self.clients_of_ended(broker, number);
        let micros = if self.healing { 100_000 } else { 50_000 + self.below(self.settings.restart) };
        self.agenda.after(micros, Event::Start(broker));
    }
}
