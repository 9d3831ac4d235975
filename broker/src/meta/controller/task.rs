//! What the active controller does besides judging: one thing at a time of each kind.

use std::fmt;

use fidelog_record::types::{BrokerEpoch, BrokerId};

use super::duties::Duty;
use crate::meta::state::{FenceReason, Proposal};

/// Something to be done now. Never twice at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Ask whether an address refuses connections.
    Probe(BrokerId, BrokerEpoch),
    /// Propose to fence a registration.
    Fence(BrokerId, BrokerEpoch, FenceReason),
    /// Propose to unfence it.
    Unfence(BrokerId, BrokerEpoch),
    /// Propose to hand over what it leads.
    HandOver(BrokerId, BrokerEpoch),
    /// Propose what is due by time.
    Duty(Duty),
}

impl Task {
    /// What is proposed for it; nothing for a probe.
    #[must_use]
    pub fn proposal(&self) -> Option<Proposal> {
        match *self {
            Self::Probe(..) => None,
            Self::Fence(broker, broker_epoch, reason) => {
                Some(Proposal::FenceBroker { broker, broker_epoch, reason })
            }
            Self::Unfence(broker, broker_epoch) => Some(Proposal::UnfenceBroker { broker, broker_epoch }),
            Self::HandOver(broker, broker_epoch) => Some(Proposal::HandOver { broker, broker_epoch }),
            Self::Duty(ref duty) => Some(duty.proposal()),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe(broker, epoch) => write!(f, "probe broker {broker} of epoch {epoch}"),
            Self::Fence(broker, epoch, reason) => {
                write!(f, "fence broker {broker} of epoch {epoch}: {}", reason.text())
            }
            Self::Unfence(broker, epoch) => write!(f, "unfence broker {broker} of epoch {epoch}"),
            Self::HandOver(broker, epoch) => {
                write!(f, "hand over what broker {broker} of epoch {epoch} leads")
            }
            Self::Duty(duty) => duty.fmt(f),
        }
    }
}
