//! Why a call on positions was not carried out.

use fidelog_proto::v1::Reason;
use fidelog_record::types::{BrokerId, LeaderEpoch};

use crate::group::{CallOutcome, PositionsError};
use crate::rpc::status::Failure;

/// The failure of a call; `hint` tells where the owner is.
pub(in crate::rpc) fn positions_failure(
    error: &PositionsError,
    hint: impl FnOnce(Option<BrokerId>, LeaderEpoch) -> Failure,
) -> Failure {
    match error {
        PositionsError::NotOwner { leader, epoch, .. } => hint(*leader, *epoch),
        PositionsError::UnknownGroup { group } => {
            Failure::new(Reason::UnknownGroup, error.to_string()).with("group", group)
        }
        PositionsError::LimitExceeded(_) => Failure::new(Reason::LimitExceeded, error.to_string()),
        PositionsError::Unavailable { outcome: CallOutcome::Unknown, .. } => {
            Failure::new(Reason::OutcomeUnknown, error.to_string())
        }
        PositionsError::Unavailable { retriable: true, .. } => {
            Failure::new(Reason::Unavailable, error.to_string())
        }
        PositionsError::Unavailable { retriable: false, .. } => {
            Failure::new(Reason::DataLoss, error.to_string())
        }
    }
}
