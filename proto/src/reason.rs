//! What each [`Reason`] means to a client, as data.
//!
//! What is always true: every reason has a meaning here, in one exhaustive match, and a test holds the match, the
//! comments of `common.proto` and the table in `README.md` together. Not here: what a client does about it.

use crate::v1::Reason;

/// Whether a refused attempt may have changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// This attempt stored, or changed, nothing.
    Definite,
    /// It may have been stored, or changed.
    Unknown,
}

/// What a reason tells a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meaning {
    /// Whether the attempt may have changed anything.
    pub certainty: Certainty,
    /// Whether the very same request may succeed later, or elsewhere, without anybody changing anything. One exception is
    /// told by its details: a read refused with DATA_LOSS and `mendable`.
    pub retriable: bool,
}

impl Meaning {
    const REFUSED: Self = Self { certainty: Certainty::Definite, retriable: false };
    const LATER: Self = Self { certainty: Certainty::Definite, retriable: true };
    const UNKNOWN: Self = Self { certainty: Certainty::Unknown, retriable: false };
}

impl Reason {
    /// Every reason that can be sent, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=Self::ChangeOutcomeUnknown as i32).filter_map(|number| Self::try_from(number).ok())
    }

    /// What it means to a client. A reason that should not have been sent is taken for the worst: unknown.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        match self {
            Self::Unspecified | Self::OutcomeUnknown | Self::ChangeOutcomeUnknown => Meaning::UNKNOWN,
            Self::NotLeader
            | Self::LeaderNotAvailable
            | Self::UnknownEpoch
            | Self::NotEnoughReplicas
            | Self::Overloaded
            | Self::Unavailable
            | Self::DeadlineExceeded
            | Self::ProducerWindowFull
            | Self::NotYetAvailable
            | Self::QuorumUnavailable
            | Self::Conflict
            | Self::LimitExceeded => Meaning::LATER,
            Self::InvalidArgument
            | Self::InvalidName
            | Self::UnknownTopic
            | Self::UnknownPartition
            | Self::StaleTopicId
            | Self::TopicExists
            | Self::DataCorrupt
            | Self::InvalidBatch
            | Self::RecordTooLarge
            | Self::BatchTooLarge
            | Self::MessageTooLarge
            | Self::TimestampOutOfRange
            | Self::UnsupportedFormat
            | Self::FencedEpoch
            | Self::DiskFull
            | Self::DataLoss
            | Self::OutOfOrder
            | Self::ProducerFenced
            | Self::UnknownProducer
            | Self::OffsetOutOfRange
            | Self::UnknownGroup
            | Self::FencedGeneration
            | Self::MetadataLost
            | Self::NotEnoughBrokers
            | Self::NotPermitted
            | Self::WrongCluster => Meaning::REFUSED,
        }
    }

    /// Whether the attempt may have changed anything.
    #[must_use]
    pub const fn certainty(self) -> Certainty {
        self.meaning().certainty
    }

    /// Whether the very same request may succeed later, or elsewhere, without anybody changing anything.
    #[must_use]
    pub const fn retriable(self) -> bool {
        self.meaning().retriable
    }

    /// Its name without `REASON_`: what `ErrorInfo.reason` holds, and what people read.
    #[must_use]
    pub fn name(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix("REASON_").unwrap_or(name)
    }

    /// The reason of this [name](Self::name), if it is known.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_str_name(&format!("REASON_{name}"))
    }
}
