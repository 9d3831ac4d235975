//! A network in memory between controllers: it loses, delays and cuts what the seed says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::BrokerId;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::super::{Answer, CallError, Question, QuorumWire, RaftKind, RaftMessage, RaftQuorum};

/// A small generator of numbers.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[derive(Debug)]
struct Inner {
    up: BTreeMap<BrokerId, RaftQuorum>,
    /// Brokers that nothing reaches and that reach nothing.
    cut: BTreeSet<BrokerId>,
    /// Messages and answers lost, of a thousand.
    lost: u64,
    delay_ms_end: u64,
    dice: Dice,
}

/// The network.
#[derive(Clone, Debug)]
pub(super) struct Net(Arc<Mutex<Inner>>);

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        Self(Arc::new(Mutex::new(Inner {
            up: BTreeMap::new(),
            cut: BTreeSet::new(),
            lost: 0,
            delay_ms_end: 1,
            dice,
        })))
    }

    pub(super) fn rough(&self, lost: u64, delay_ms_end: u64) {
        let mut inner = self.0.lock();
        (inner.lost, inner.delay_ms_end) = (lost, delay_ms_end);
    }

    pub(super) fn cut(&self, broker: BrokerId) {
        self.0.lock().cut.insert(broker);
    }

    pub(super) fn heal(&self) {
        self.0.lock().cut.clear();
        self.rough(0, 1);
    }

    pub(super) fn join(&self, broker: BrokerId, quorum: RaftQuorum) {
        self.0.lock().up.insert(broker, quorum);
    }

    pub(super) fn leave(&self, broker: BrokerId) {
        self.0.lock().up.remove(&broker);
    }

    pub(super) fn wire(&self, me: BrokerId) -> Wire {
        Wire { net: self.clone(), me }
    }

    /// Whom a message reaches, after how long; nobody when it is lost.
    fn carry(&self, from: BrokerId, to: BrokerId) -> (Option<RaftQuorum>, Duration) {
        let mut inner = self.0.lock();
        let delay_ms_end = inner.delay_ms_end;
        let delay = Duration::from_millis(inner.dice.below(delay_ms_end));
        let lost = inner.dice.below(1_000) < inner.lost;
        let is_cut = inner.cut.contains(&from) || inner.cut.contains(&to);
        let reached = (!lost && !is_cut).then(|| inner.up.get(&to).cloned()).flatten();
        (reached, delay)
    }
}

/// One controller's end of the network.
#[derive(Clone)]
pub(super) struct Wire {
    net: Net,
    me: BrokerId,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.me)
    }
}

impl Wire {
    /// There, done, and back; either way may lose it.
    async fn call<T>(
        self,
        to: BrokerId,
        work: impl AsyncFnOnce(RaftQuorum) -> Result<T, String>,
    ) -> Result<T, CallError> {
        let (reached, delay) = self.net.carry(self.me, to);
        tokio::time::sleep(delay).await;
        let Some(quorum) = reached else {
            return Err(CallError::NotTaken { reason: format!("broker {to} is not reached") });
        };
        let done = work(quorum).await.map_err(|reason| CallError::NotTaken { reason })?;
        let (back, delay) = self.net.carry(to, self.me);
        tokio::time::sleep(delay).await;
        match back {
            Some(_) => Ok(done),
            None => Err(CallError::Lost { reason: format!("the answer of broker {to} was lost") }),
        }
    }
}

impl QuorumWire for Wire {
    fn raft(
        &self,
        broker: BrokerId,
        _address: &str,
        kind: RaftKind,
        message: RaftMessage,
    ) -> BoxFuture<'static, Result<RaftMessage, CallError>> {
        let wire = self.clone();
        async move { wire.call(broker, async move |quorum| quorum.receive(kind, message).await).await }
            .boxed()
    }

    fn ask(
        &self,
        broker: BrokerId,
        _address: &str,
        question: Question,
    ) -> BoxFuture<'static, Result<Answer, CallError>> {
        let wire = self.clone();
        async move { wire.call(broker, async move |quorum| Ok(quorum.answer(question).await)).await }.boxed()
    }
}
