//! Registrations: who may be a broker of this cluster, and whether its data is what it was.

use fidelog_record::types::{BrokerEpoch, BrokerId, Generation, Incarnation};

use super::super::{
    Ancestor, BrokerEntry, ClusterState, DataFound, Entry, FenceReason, Refusal, Registration,
};

/// The longest `host:port` or rack taken.
const TEXT_BYTES_MAX: usize = 300;
/// More than a directory's generation rises in its life: once at every start, and every few seconds.
pub(super) const LEAP: u64 = 1 << 32;

impl ClusterState {
    pub(super) fn decide_registration(&self, it: &Registration, now_ms: u64) -> Result<Entry, Refusal> {
        self.check_identity(it)?;
        check_texts(it)?;
        if it.former_session_alive {
            return Err(Refusal::FormerSessionAlive { broker: it.id });
        }
        let data = self.data_found(it);
        let former = self.broker(it.id);
        if let Some(known) =
            former.filter(|known| data != DataFound::Intact && it.replaces != Some(known.epoch))
        {
            return Err(Refusal::OtherDataRegistered { broker: it.id, registered: known.epoch });
        }
        // Last, since this refusal says that what was found is believed; a rolled-back directory is raised by the leap.
        if it.generation_new <= it.generation_found && data != DataFound::RolledBack {
            let (found, new) = (it.generation_found, it.generation_new);
            return Err(Refusal::GenerationNotRaised { broker: it.id, found, new });
        }
        let broker = BrokerEntry {
            id: it.id,
            epoch: self.last_broker_epoch.next(),
            start: it.start,
            directory: it.directory,
            generation: it.generation_new.max(self.generation_due(it, data)),
            clean: it.clean,
            client_address: it.client_address.clone(),
            peer_address: it.peer_address.clone(),
            rack: it.rack.clone(),
            feature_level: it.feature_level,
            registered_at_ms: now_ms,
            fenced: true,
            fence_reason: Some(FenceReason::Starting),
            // A broker that starts again and again has not led since it was fenced first.
            fenced_at_ms: former.filter(|it| it.fenced).map_or(now_ms, |it| it.fenced_at_ms),
            draining: former.is_some_and(|it| it.draining),
        };
        Ok(Entry::BrokerRegistered { broker, data })
    }

    pub(super) fn decide_generation(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        generation: Generation,
    ) -> Result<Entry, Refusal> {
        let current = self.current(broker, epoch)?.generation;
        if generation < current {
            return Err(Refusal::StaleGeneration { broker, given: generation, current });
        }
        Ok(Entry::GenerationRaised { broker, generation })
    }

    fn check_identity(&self, it: &Registration) -> Result<(), Refusal> {
        if it.cluster != self.cluster {
            return Err(Refusal::WrongCluster { broker: it.id, given: it.cluster, ours: self.cluster });
        }
        let is_covered = it.incarnation_seen.is_none_or(|seen| {
            seen == self.incarnation || Ancestor::any_covers(&self.ancestors, seen, it.index_seen)
        });
        if !is_covered || it.index_seen > self.index {
            return Err(Refusal::MetadataLost {
                broker: it.id,
                incarnation_seen: it.incarnation_seen.unwrap_or(Incarnation::NIL),
                index_seen: it.index_seen,
                incarnation: self.incarnation,
                index: self.index,
            });
        }
        if it.feature_level < self.feature_level {
            let (given, needed) = (it.feature_level, self.feature_level);
            return Err(Refusal::FeatureLevelTooLow { broker: it.id, given, needed });
        }
        Ok(())
    }

    /// What the directory's state says. The same process start was judged when it registered first, and its answer may
    /// have been lost: that its generation is registered by now does not make it rolled back, unless it had to leap.
    fn data_found(&self, it: &Registration) -> DataFound {
        match self.broker(it.id) {
            Some(known) if known.directory != it.directory => DataFound::OtherDirectory,
            Some(known) if known.start == it.start && known.generation <= it.generation_new => {
                DataFound::Intact
            }
            Some(known) if it.generation_found < known.generation => DataFound::RolledBack,
            Some(_) | None => DataFound::Intact,
        }
    }

    /// The least generation that this directory has from now on. A rolled-back one leaps over everything its clones can
    /// have reached, registered or not: started later, they hold less than it and must not pass for intact.
    fn generation_due(&self, it: &Registration, data: DataFound) -> Generation {
        let known = self.broker(it.id).filter(|known| known.directory == it.directory);
        let known = known.map_or(Generation(0), |known| known.generation);
        match data {
            DataFound::RolledBack => Generation(known.0.saturating_add(LEAP)),
            DataFound::Intact | DataFound::OtherDirectory => known,
        }
    }
}

fn check_texts(it: &Registration) -> Result<(), Refusal> {
    let refuse = |field: &str, value: &str, expected: &str| {
        let value = value.chars().take(TEXT_BYTES_MAX).collect();
        let (field, expected) = (field.to_owned(), expected.to_owned());
        Err(Refusal::InvalidRegistration { broker: it.id, field, value, expected })
    };
    if it.id.0 == 0 {
        return refuse("id", "0", "a number from 1");
    }
    for (field, address) in [("client_address", &it.client_address), ("peer_address", &it.peer_address)] {
        if !is_address(address) {
            return refuse(field, address, "host:port of at most 300 bytes");
        }
    }
    match &it.rack {
        Some(rack) if rack.is_empty() || !fits(rack) => refuse("rack", rack, "1 to 300 bytes"),
        _ => Ok(()),
    }
}

/// `host:port` of a length that can be kept.
pub(super) fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    fits(text) && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn fits(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}
