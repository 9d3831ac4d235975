//! This controller's place in the quorum: who it is, whom it knows, which messages it believes.
//!
//! Always true: a message of another cluster, one meant for another directory, and one from a directory older than
//! this controller has seen it are not believed (DESIGN §7). That goes for answers as well: a vote of a directory
//! that was rolled back is no vote.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fidelog_record::types::{BrokerId, ClusterId, DirectoryId, Generation, Incarnation};

use super::types::{NodeId, Voter};
use super::wire::{Controller, RaftMessage};
use crate::meta::published::Published;

/// Tells the present generation of this controller's data directory.
pub type TellGeneration = Arc<dyn Fn() -> Generation + Send + Sync>;

/// Who a controller is, and what it was told.
pub struct SeatParts {
    /// The cluster.
    pub cluster: ClusterId,
    /// Which node of it.
    pub broker: BrokerId,
    /// The number of its directory in the quorum.
    pub node: NodeId,
    /// Its data directory.
    pub directory: DirectoryId,
    /// That directory's generation.
    pub generation: TellGeneration,
    /// Every configured controller's address between brokers, its own included.
    pub controllers: BTreeMap<BrokerId, String>,
    /// Whether no quorum was ever followed from that directory.
    pub may_found: bool,
}

/// See the file.
pub(super) struct Seat {
    parts: SeatParts,
    published: Arc<Published>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat(broker {}, node {})", self.parts.broker, self.parts.node)
    }
}

impl Seat {
    pub(super) fn new(parts: SeatParts, published: Arc<Published>) -> Self {
        Self { parts, published }
    }

    pub(super) fn cluster(&self) -> ClusterId {
        self.parts.cluster
    }

    pub(super) fn broker(&self) -> BrokerId {
        self.parts.broker
    }

    pub(super) fn node(&self) -> NodeId {
        self.parts.node
    }

    /// The other configured controllers.
    pub(super) fn others(&self) -> impl Iterator<Item = (BrokerId, &str)> {
        let all = self.parts.controllers.iter().map(|(broker, address)| (*broker, address.as_str()));
        all.filter(|(broker, _)| *broker != self.parts.broker)
    }

    pub(super) fn is_configured(&self, broker: BrokerId) -> bool {
        self.parts.controllers.contains_key(&broker)
    }

    /// The configured controller of the lowest id founds the quorum, unless its directory has seen metadata: then there
    /// was one.
    pub(super) fn may_found(&self) -> bool {
        self.parts.may_found && self.parts.controllers.keys().next() == Some(&self.parts.broker)
    }

    /// Who this controller is.
    pub(super) fn controller(&self) -> Controller {
        let SeatParts { broker, node, directory, generation, controllers, .. } = &self.parts;
        let address = controllers.get(broker).cloned().unwrap_or_default();
        Controller {
            broker: *broker,
            node: *node,
            directory: *directory,
            generation: generation(),
            address,
            incarnation: self.incarnation(),
        }
    }

    /// Where a member is: where the configuration says, else where it said itself.
    pub(super) fn address_of(&self, voter: &Voter) -> String {
        self.parts.controllers.get(&voter.broker).unwrap_or(&voter.address).clone()
    }

    pub(super) fn message(&self, to: NodeId, body: Vec<u8>, chunk: Bytes) -> RaftMessage {
        RaftMessage { cluster: self.parts.cluster, from: self.controller(), to, body: body.into(), chunk }
    }

    /// Whether `message` is for this controller and from one that may be believed.
    pub(super) fn check(&self, message: &RaftMessage) -> Result<(), String> {
        let RaftMessage { cluster, from, to, .. } = message;
        if *cluster != self.parts.cluster {
            return Err(format!(
                "this controller belongs to cluster {}, broker {} to {cluster}; check the addresses",
                self.parts.cluster, from.broker
            ));
        }
        if *to != self.parts.node {
            return Err(format!(
                "controller {to} is meant; here, on broker {}, is controller {}",
                self.parts.broker, self.parts.node
            ));
        }
        if self.is_foreign(from) {
            return Err(format!(
                "broker {} belongs to another quorum of this cluster: one of them was rebuilt when the other was given up; \
                 empty its data directory, and format it",
                from.broker
            ));
        }
        match self.rolled_back(from) {
            Some(seen) => Err(format!(
                "directory {} of broker {} is at generation {}, {seen} was registered: it was rolled back or cloned",
                from.directory, from.broker, from.generation
            )),
            None => Ok(()),
        }
    }

    fn incarnation(&self) -> Option<Incarnation> {
        self.published.look(|state| state.incarnation())
    }

    /// Whether `controller` goes by metadata of another founding, or rebuilding, than this one does.
    pub(super) fn is_foreign(&self, controller: &Controller) -> bool {
        let own = self.incarnation();
        controller.incarnation.is_some_and(|theirs| own.is_some_and(|own| own != theirs))
    }

    /// The generation that was registered of a controller's directory, when that is higher than it says.
    pub(super) fn rolled_back(&self, controller: &Controller) -> Option<Generation> {
        self.generation_seen(controller).filter(|seen| controller.generation < *seen)
    }

    /// The highest generation of that directory in this controller's applied state.
    fn generation_seen(&self, of: &Controller) -> Option<Generation> {
        self.published.look(|state| {
            let broker = state.broker(of.broker).map(|it| (it.directory, it.generation));
            // One that holds no replicas is registered as a controller only.
            let controller = state.controller(of.broker).map(|it| (it.directory, it.generation));
            let seen = [broker, controller].into_iter().flatten();
            seen.filter(|(directory, _)| *directory == of.directory).map(|(_, generation)| generation).max()
        })?
    }
}
