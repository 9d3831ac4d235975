//! Controllers come and go, and the level of features that all nodes know rises.

use std::sync::Arc;

use fidelog_record::types::{BrokerId, Generation};

use super::super::{ClusterState, ControllerEntry, ControllerRegistration, Entry, FEATURE_LEVEL, Refusal};
use super::broker::{LEAP, is_address};

impl ClusterState {
    /// A directory found below its registered generation was rolled back or cloned: its votes may be forgotten, so it
    /// comes back only emptied, with another node id (N13, DESIGN §7). The same process start was judged before.
    pub(super) fn decide_controller(
        &self,
        it: &ControllerRegistration,
        now_ms: u64,
    ) -> Result<Entry, Refusal> {
        if !is_address(&it.address) {
            let (field, value) = ("address".to_owned(), it.address.chars().take(300).collect());
            let expected = "host:port of at most 300 bytes".to_owned();
            return Err(Refusal::InvalidRegistration { broker: it.broker, field, value, expected });
        }
        if it.feature_level < self.feature_level {
            let (given, needed) = (it.feature_level, self.feature_level);
            return Err(Refusal::FeatureLevelTooLow { broker: it.broker, given, needed });
        }
        let known = self.controller(it.broker).filter(|known| known.directory == it.directory);
        let is_emptied = known.is_some_and(|known| it.emptied && it.node_id != known.node_id);
        let forgets = |known: &&Arc<ControllerEntry>| {
            known.start != it.start && (it.generation_found < known.generation || it.node_id != known.node_id)
        };
        if let Some(known) = known.filter(forgets).filter(|_| !is_emptied) {
            let (found, registered) = (it.generation_found, known.generation);
            return Err(Refusal::ControllerRolledBack { broker: it.broker, found, registered });
        }
        // Last, since this refusal says that what was found is believed.
        if it.generation_new <= it.generation_found && !is_emptied {
            let (found, new) = (it.generation_found, it.generation_new);
            return Err(Refusal::GenerationNotRaised { broker: it.broker, found, new });
        }
        let due = known.map_or(0, |known| match is_emptied {
            true => known.generation.0.saturating_add(LEAP),
            false => known.generation.0,
        });
        let generation = it.generation_new.max(Generation(due));
        let controller = ControllerEntry {
            broker: it.broker,
            start: it.start,
            node_id: it.node_id,
            directory: it.directory,
            generation,
            address: it.address.clone(),
            feature_level: it.feature_level,
            registered_at_ms: now_ms,
        };
        Ok(Entry::ControllerRegistered { controller })
    }

    pub(super) fn decide_controller_generation(
        &self,
        broker: BrokerId,
        node_id: u64,
        generation: Generation,
    ) -> Result<Entry, Refusal> {
        let known = self.known_controller(broker, node_id)?;
        if generation < known.generation {
            let (given, current) = (generation, known.generation);
            return Err(Refusal::StaleGeneration { broker, given, current });
        }
        Ok(Entry::ControllerGenerationRaised { broker, generation })
    }

    pub(super) fn decide_controller_removal(&self, broker: BrokerId, node_id: u64) -> Result<Entry, Refusal> {
        self.known_controller(broker, node_id)?;
        Ok(Entry::ControllerRemoved { broker })
    }

    fn known_controller(&self, broker: BrokerId, node_id: u64) -> Result<&ControllerEntry, Refusal> {
        let known = self.controller(broker).filter(|known| known.node_id == node_id);
        known.map(AsRef::as_ref).ok_or(Refusal::UnknownController { broker, node_id })
    }

    /// One level at a time, and only one that every node knows.
    pub(super) fn decide_feature_level(&self, level: u32) -> Result<Entry, Refusal> {
        let current = self.feature_level;
        if level != current + 1 || level > FEATURE_LEVEL {
            return Err(Refusal::FeatureLevel { given: level, current, max: FEATURE_LEVEL });
        }
        let brokers = self.brokers().map(|it| (it.id, it.feature_level));
        let controllers = self.controllers().map(|it| (it.broker, it.feature_level));
        match brokers.chain(controllers).find(|(_, known)| *known < level) {
            Some((broker, given)) => Err(Refusal::FeatureLevelTooLow { broker, given, needed: level }),
            None => Ok(Entry::FeatureLevelRaised { level }),
        }
    }
}
