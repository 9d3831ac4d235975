//! What a topic gets when it does not say: the cluster's defaults.
//!
//! Always true: they are part of the metadata, not of each broker's file, so that all brokers resolve a topic alike.
//! The default minimum is never below 2: a topic whose acknowledgement may stand for one copy says so itself (G1).

use fidelog_record::types::limits::RECORD_BYTES_MAX_DEFAULT;
use serde::{Deserialize, Serialize};

use super::{ConfigError, ConfigKey, TopicConfig};

/// The most replicas of one partition.
pub const REPLICATION_FACTOR_MAX: u16 = 15;

const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The cluster's defaults for topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicDefaults {
    /// Partitions of a new topic: 3.
    pub partition_count: u32,
    /// Replicas of a new topic's partitions: 3.
    pub replication_factor: u16,
    /// Milliseconds a record is kept at least: 7 days.
    pub retention_ms: u64,
    /// Bytes of a partition kept at least; none: only time counts.
    pub retention_bytes: Option<u64>,
    /// Age, milliseconds, at which a segment is sealed: 7 days.
    pub segment_ms: u64,
    /// Size at which a segment is sealed: 256 MiB.
    pub segment_bytes: u64,
    /// The largest record: 1 MiB.
    pub record_bytes_max: u64,
    /// Minimum of a new topic that does not say: 2, or its replication factor if that is smaller.
    pub min_insync_replicas: u16,
}

impl Default for TopicDefaults {
    fn default() -> Self {
        Self {
            partition_count: 3,
            replication_factor: 3,
            retention_ms: WEEK_MS,
            retention_bytes: None,
            segment_ms: WEEK_MS,
            segment_bytes: 256 << 20,
            record_bytes_max: RECORD_BYTES_MAX_DEFAULT as u64,
            min_insync_replicas: 2,
        }
    }
}

impl TopicDefaults {
    /// Whether every value is in range and fits the others.
    ///
    /// # Errors
    /// [`ConfigError`], naming the value and what it may be.
    pub fn check(&self) -> Result<(), ConfigError> {
        for key in ConfigKey::ALL {
            if let Some(value) = self.get(key) {
                key.check(value)?;
            }
        }
        if !(2..=REPLICATION_FACTOR_MAX).contains(&self.min_insync_replicas) {
            let value = u64::from(self.min_insync_replicas);
            let max = u64::from(REPLICATION_FACTOR_MAX);
            return Err(ConfigError::OutOfRange { key: ConfigKey::MinInsyncReplicas, value, min: 2, max });
        }
        TopicConfig::default().effective(self).check()
    }

    /// The default of `key`; none where nothing is limited.
    #[must_use]
    pub fn get(&self, key: ConfigKey) -> Option<u64> {
        match key {
            ConfigKey::RetentionMs => Some(self.retention_ms),
            ConfigKey::RetentionBytes => self.retention_bytes,
            ConfigKey::SegmentMs => Some(self.segment_ms),
            ConfigKey::SegmentBytes => Some(self.segment_bytes),
            ConfigKey::RecordBytesMax => Some(self.record_bytes_max),
            ConfigKey::MinInsyncReplicas => Some(u64::from(self.min_insync_replicas)),
        }
    }

    /// The minimum of a topic with `replication_factor` replicas that does not say.
    #[must_use]
    pub fn min_insync_for(&self, replication_factor: u16) -> u16 {
        self.min_insync_replicas.min(replication_factor).max(1)
    }
}
