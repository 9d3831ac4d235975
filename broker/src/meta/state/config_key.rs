//! The settings a topic may have of its own, by their stable names, and the range of each.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use fidelog_record::types::limits::RECORD_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::defaults::REPLICATION_FACTOR_MAX;

/// A hundred years: the longest time a setting may name, for all purposes for ever.
const CENTURY_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
/// The most bytes a setting may name: an exbibyte.
const EXBIBYTE: u64 = 1 << 60;
/// The largest segment: its positions fit 32 bits with room.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// A setting of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigKey {
    /// Milliseconds a record is kept at least.
    RetentionMs,
    /// Bytes of a partition kept at least; none by default: only time counts.
    RetentionBytes,
    /// Age, milliseconds, at which a segment is sealed.
    SegmentMs,
    /// Size at which a segment is sealed.
    SegmentBytes,
    /// The largest record, key, value and headers together.
    RecordBytesMax,
    /// The fewest in-sync replicas an acknowledgement may stand for.
    MinInsyncReplicas,
}

impl ConfigKey {
    /// Every key, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::RetentionMs,
        Self::RetentionBytes,
        Self::SegmentMs,
        Self::SegmentBytes,
        Self::RecordBytesMax,
        Self::MinInsyncReplicas,
    ];

    /// Its stable name, unit at the end.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetentionMs => "retention_ms",
            Self::RetentionBytes => "retention_bytes",
            Self::SegmentMs => "segment_ms",
            Self::SegmentBytes => "segment_bytes",
            Self::RecordBytesMax => "record_bytes_max",
            Self::MinInsyncReplicas => "min_insync_replicas",
        }
    }

    /// The values it may have, other settings apart.
    #[must_use]
    pub const fn range(self) -> RangeInclusive<u64> {
        match self {
            Self::RetentionMs | Self::SegmentMs => 1_000..=CENTURY_MS,
            Self::RetentionBytes => 1..=EXBIBYTE,
            Self::SegmentBytes => 1..=SEGMENT_BYTES_MAX,
            Self::RecordBytesMax => 1..=RECORD_BYTES_MAX as u64,
            Self::MinInsyncReplicas => 1..=REPLICATION_FACTOR_MAX as u64,
        }
    }

    /// Whether `value` is within [`Self::range`].
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`], naming key, value and range.
    pub fn check(self, value: u64) -> Result<(), ConfigError> {
        let range = self.range();
        if range.contains(&value) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange { key: self, value, min: *range.start(), max: *range.end() })
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ConfigKey {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let found = Self::ALL.into_iter().find(|key| key.name() == name);
        found.ok_or_else(|| ConfigError::UnknownKey { name: name.chars().take(64).collect() })
    }
}
