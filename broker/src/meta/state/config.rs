//! A topic's own settings, and what they come to together with the cluster's defaults.

use fidelog_record::types::limits::BATCH_OVERHEAD_BYTES;
use serde::{Deserialize, Serialize};

use super::{ConfigKey, TopicDefaults};

/// Why settings were refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ConfigError {
    /// No such setting.
    #[error(
        "{name:?} is not a setting of a topic; known are retention_ms, retention_bytes, segment_ms, segment_bytes, \
         record_bytes_max and min_insync_replicas"
    )]
    UnknownKey {
        /// The name as given, its first 64 characters.
        name: String,
    },
    /// The value alone is wrong.
    #[error("{key} = {value} is out of range; allowed is {min} to {max}")]
    OutOfRange {
        /// The setting.
        key: ConfigKey,
        /// The value as given.
        value: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// A segment could not hold the largest record's batch.
    #[error(
        "segment_bytes = {segment_bytes} cannot hold a batch of one record of record_bytes_max = {record_bytes_max}; \
         set segment_bytes to at least {segment_bytes_min}, or lower record_bytes_max"
    )]
    SegmentBelowRecord {
        /// As it would be.
        segment_bytes: u64,
        /// As it would be.
        record_bytes_max: u64,
        /// The smallest that fits.
        segment_bytes_min: u64,
    },
    /// Retention works by whole segments.
    #[error(
        "retention_bytes = {retention_bytes} is below segment_bytes = {segment_bytes}; retention removes whole \
         segments: raise retention_bytes or lower segment_bytes"
    )]
    RetentionBelowSegmentBytes {
        /// As it would be.
        retention_bytes: u64,
        /// As it would be.
        segment_bytes: u64,
    },
    /// Retention works by whole segments.
    #[error(
        "retention_ms = {retention_ms} is below segment_ms = {segment_ms}; retention removes whole segments: raise \
         retention_ms or lower segment_ms"
    )]
    RetentionBelowSegmentMs {
        /// As it would be.
        retention_ms: u64,
        /// As it would be.
        segment_ms: u64,
    },
}

/// What was set for one topic; `None` means inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicConfig {
    /// See [`ConfigKey::RetentionMs`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// See [`ConfigKey::RetentionBytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
    /// See [`ConfigKey::SegmentMs`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_ms: Option<u64>,
    /// See [`ConfigKey::SegmentBytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_bytes: Option<u64>,
    /// See [`ConfigKey::RecordBytesMax`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_bytes_max: Option<u64>,
    /// See [`ConfigKey::MinInsyncReplicas`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_insync_replicas: Option<u16>,
    /// Whether nobody asked for that minimum: it is the default of when the topic was made, kept for it.
    #[serde(skip_serializing_if = "is_false")]
    pub min_insync_inherited: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl TopicConfig {
    /// What was set for `key`.
    #[must_use]
    pub fn get(&self, key: ConfigKey) -> Option<u64> {
        match key {
            ConfigKey::RetentionMs => self.retention_ms,
            ConfigKey::RetentionBytes => self.retention_bytes,
            ConfigKey::SegmentMs => self.segment_ms,
            ConfigKey::SegmentBytes => self.segment_bytes,
            ConfigKey::RecordBytesMax => self.record_bytes_max,
            ConfigKey::MinInsyncReplicas => self.min_insync_replicas.map(u64::from),
        }
    }

    /// Sets `key`, or lets it be inherited again.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`]; then nothing changed. Whether it fits the other settings is for
    /// [`EffectiveConfig::check`], after all changes.
    pub fn set(&mut self, key: ConfigKey, value: Option<u64>) -> Result<(), ConfigError> {
        if let Some(value) = value {
            key.check(value)?;
        }
        match key {
            ConfigKey::RetentionMs => self.retention_ms = value,
            ConfigKey::RetentionBytes => self.retention_bytes = value,
            ConfigKey::SegmentMs => self.segment_ms = value,
            ConfigKey::SegmentBytes => self.segment_bytes = value,
            ConfigKey::RecordBytesMax => self.record_bytes_max = value,
            ConfigKey::MinInsyncReplicas => {
                self.min_insync_inherited = false;
                self.min_insync_replicas = value.map(|value| {
                    u16::try_from(value).expect("the range of min_insync_replicas fits 16 bits")
                });
            }
        }
        Ok(())
    }

    /// Whether every value that is set is in its range.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first that is not.
    pub fn check_ranges(&self) -> Result<(), ConfigError> {
        ConfigKey::ALL.into_iter().try_for_each(|key| self.get(key).map_or(Ok(()), |value| key.check(value)))
    }

    /// What counts for the topic, and where each value comes from.
    #[must_use]
    pub fn effective(&self, defaults: &TopicDefaults) -> EffectiveConfig {
        let retention_bytes = match self.retention_bytes {
            Some(bytes) => Effective { value: Some(bytes), source: Source::Topic },
            None => Effective { value: defaults.retention_bytes, source: Source::ClusterDefault },
        };
        let mut min_insync_replicas = Effective::of(self.min_insync_replicas, defaults.min_insync_replicas);
        if self.min_insync_inherited {
            min_insync_replicas.source = Source::ClusterDefault;
        }
        EffectiveConfig {
            retention_ms: Effective::of(self.retention_ms, defaults.retention_ms),
            retention_bytes,
            segment_ms: Effective::of(self.segment_ms, defaults.segment_ms),
            segment_bytes: Effective::of(self.segment_bytes, defaults.segment_bytes),
            record_bytes_max: Effective::of(self.record_bytes_max, defaults.record_bytes_max),
            min_insync_replicas,
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set for this topic.
    Topic,
    /// Inherited from the cluster's defaults.
    ClusterDefault,
}

/// A value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective<T> {
    /// What counts.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Effective<T> {
    fn of(own: Option<T>, default: T) -> Self {
        match own {
            Some(value) => Self { value, source: Source::Topic },
            None => Self { value: default, source: Source::ClusterDefault },
        }
    }
}

/// A topic's settings as they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// See [`ConfigKey::RetentionMs`].
    pub retention_ms: Effective<u64>,
    /// See [`ConfigKey::RetentionBytes`]; none: only time counts.
    pub retention_bytes: Effective<Option<u64>>,
    /// See [`ConfigKey::SegmentMs`].
    pub segment_ms: Effective<u64>,
    /// See [`ConfigKey::SegmentBytes`].
    pub segment_bytes: Effective<u64>,
    /// See [`ConfigKey::RecordBytesMax`].
    pub record_bytes_max: Effective<u64>,
    /// See [`ConfigKey::MinInsyncReplicas`].
    pub min_insync_replicas: Effective<u16>,
}

impl EffectiveConfig {
    /// Whether the values fit each other; ranges are for [`ConfigKey::check`], the replication factor for the caller.
    ///
    /// # Errors
    /// [`ConfigError`], naming both values and what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (segment_bytes, record_bytes_max) = (self.segment_bytes.value, self.record_bytes_max.value);
        let segment_bytes_min = record_bytes_max + BATCH_OVERHEAD_BYTES as u64;
        if segment_bytes < segment_bytes_min {
            return Err(ConfigError::SegmentBelowRecord {
                segment_bytes,
                record_bytes_max,
                segment_bytes_min,
            });
        }
        if let Some(retention_bytes) = self.retention_bytes.value.filter(|&bytes| bytes < segment_bytes) {
            return Err(ConfigError::RetentionBelowSegmentBytes { retention_bytes, segment_bytes });
        }
        let (retention_ms, segment_ms) = (self.retention_ms.value, self.segment_ms.value);
        if retention_ms < segment_ms {
            return Err(ConfigError::RetentionBelowSegmentMs { retention_ms, segment_ms });
        }
        Ok(())
    }

    /// Every setting with its value and source, in the order in which they are shown.
    #[must_use]
    pub fn list(&self) -> [(ConfigKey, Option<u64>, Source); 6] {
        let some = |value: Effective<u64>| (Some(value.value), value.source);
        ConfigKey::ALL.map(|key| {
            let (value, source) = match key {
                ConfigKey::RetentionMs => some(self.retention_ms),
                ConfigKey::RetentionBytes => (self.retention_bytes.value, self.retention_bytes.source),
                ConfigKey::SegmentMs => some(self.segment_ms),
                ConfigKey::SegmentBytes => some(self.segment_bytes),
                ConfigKey::RecordBytesMax => some(self.record_bytes_max),
                ConfigKey::MinInsyncReplicas => {
                    (Some(u64::from(self.min_insync_replicas.value)), self.min_insync_replicas.source)
                }
            };
            (key, value, source)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut TopicConfig)) -> String {
        let mut config = TopicConfig::default();
        change(&mut config);
        let ranges = config.check_ranges();
        ranges.and_then(|()| config.effective(&TopicDefaults::default()).check()).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_key_value_and_range() {
        let text = refused(|config| config.record_bytes_max = Some(9 << 20));
        assert_eq!(text, "record_bytes_max = 9437184 is out of range; allowed is 1 to 8388608");
        let text = refused(|config| config.segment_bytes = Some(1 << 20));
        assert!(text.contains("segment_bytes = 1048576") && text.contains("at least 1114112"), "{text}");
        let text = refused(|config| config.retention_ms = Some(60_000));
        assert!(text.contains("retention_ms = 60000 is below segment_ms = 604800000"), "{text}");
        let text = refused(|config| config.retention_bytes = Some(5));
        assert!(text.contains("retention_bytes = 5"), "{text}");
        assert!("retention.ms".parse::<ConfigKey>().unwrap_err().to_string().contains("retention_ms"));
    }

    #[test]
    fn a_value_says_where_it_comes_from() {
        let mut config = TopicConfig::default();
        config.set(ConfigKey::RetentionMs, Some(1_209_600_000)).unwrap();
        let effective = config.effective(&TopicDefaults::default());
        assert_eq!(effective.list()[0], (ConfigKey::RetentionMs, Some(1_209_600_000), Source::Topic));
        assert_eq!(effective.list()[1], (ConfigKey::RetentionBytes, None, Source::ClusterDefault));
        config.set(ConfigKey::RetentionMs, None).unwrap();
        assert_eq!(config, TopicConfig::default());
        let source =
            |config: &TopicConfig| config.effective(&TopicDefaults::default()).min_insync_replicas.source;
        let kept = TopicConfig { min_insync_replicas: Some(2), min_insync_inherited: true, ..config.clone() };
        assert_eq!(source(&kept), Source::ClusterDefault, "nobody set it on the topic");
        let mut asked = kept;
        asked.set(ConfigKey::MinInsyncReplicas, Some(2)).unwrap();
        assert_eq!(source(&asked), Source::Topic);
    }

    #[test]
    fn the_defaults_are_valid_and_a_default_minimum_of_one_is_not() {
        TopicDefaults::default().check().unwrap();
        assert!(TopicDefaults { min_insync_replicas: 1, ..TopicDefaults::default() }.check().is_err());
    }
}
