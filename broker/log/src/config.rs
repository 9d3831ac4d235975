//! What an operator may set about logs, with the bounds of each value. Sizes are bytes.

use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Settings of all logs of one data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment takes no further batch once it would pass this; default 256 MiB, 4 KiB to 1 GiB. One batch that is
    /// larger gets a segment of its own.
    pub segment_bytes: u64,
    /// A segment whose batches span this much append time takes no further batch; default 7 days.
    pub segment_ms: u64,
    /// First and smallest step by which a segment file grows; default 64 KiB. Steps double with the file.
    pub growth_bytes_min: u64,
    /// Largest step by which a segment file grows; default 16 MiB.
    pub growth_bytes_max: u64,
    /// Bytes of batches between two entries of the indexes; default 16 KiB.
    pub index_every_bytes: u64,
    /// Growth is refused when it would leave less than this free; `None`, the default, means the greater of 5 % of
    /// the disk and 1 GiB with the next growth step of every log.
    pub free_bytes_min: Option<u64>,
    /// Recovery points are written at least this often while anything is appended; default 1 s.
    pub recovery_point_every: Duration,
    /// Recovery points are written after this many appended bytes; default 16 MiB.
    pub recovery_point_bytes: u64,
    /// Sealed segments kept open at once, over all logs; default 512, at least 1.
    pub sealed_open_max: usize,
    /// Threads that sync when many files are dirty; default 8. 1 keeps everything on the caller's thread, in a
    /// fixed order.
    pub sync_threads: usize,
    /// Up to this many dirty files are synced one after the other; default 32, below which threads cost more than
    /// they give.
    pub sync_serial_max: usize,
    /// Bytes kept in `aside/`, oldest removed first; default 1 GiB.
    pub aside_bytes_max: u64,
    /// Files kept in `aside/`, oldest removed first; default 64.
    pub aside_count_max: usize,
    /// Room kept by the file `ballast`, so that a start works on a disk without a free byte; default 64 MiB, 0 for none.
    /// A file that is there keeps its size.
    pub ballast_bytes: u64,
    /// Producers remembered per partition; default 100,000. A new one beyond it is refused.
    pub producer_count_max: usize,
    /// A producer is forgotten when nothing of it was appended for this long, by append times; default 24 h.
    pub producer_idle_ms: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 256 * MIB,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            growth_bytes_min: 64 * KIB,
            growth_bytes_max: 16 * MIB,
            index_every_bytes: 16 * KIB,
            free_bytes_min: None,
            recovery_point_every: Duration::from_secs(1),
            recovery_point_bytes: 16 * MIB,
            sealed_open_max: 512,
            sync_threads: 8,
            sync_serial_max: 32,
            aside_bytes_max: 1024 * MIB,
            aside_count_max: 64,
            ballast_bytes: 64 * MIB,
            producer_count_max: 100_000,
            producer_idle_ms: 24 * 60 * 60 * 1000,
        }
    }
}

impl LogConfig {
    /// Least value of `segment_bytes`.
    pub const SEGMENT_BYTES_MIN: u64 = 4 * KIB;
    /// Greatest value of `segment_bytes`.
    pub const SEGMENT_BYTES_MAX: u64 = 1024 * MIB;

    /// Small sizes, so that every test rolls, grows and runs into bounds: segments of 4 KiB, growth by 1 KiB, an
    /// index entry every 256 bytes, no low-water mark, one thread.
    #[must_use]
    pub fn small() -> Self {
        Self {
            segment_bytes: 4 * KIB,
            growth_bytes_min: KIB,
            growth_bytes_max: 2 * KIB,
            index_every_bytes: 256,
            free_bytes_min: Some(0),
            recovery_point_bytes: 2 * KIB,
            sealed_open_max: 4,
            ballast_bytes: 64 * KIB,
            sync_threads: 1,
            ..Self::default()
        }
    }

    /// Checks every value against its bounds.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        in_range("segment_bytes", self.segment_bytes, Self::SEGMENT_BYTES_MIN, Self::SEGMENT_BYTES_MAX)?;
        in_range("segment_ms", self.segment_ms, 1, u64::MAX)?;
        in_range("growth_bytes_min", self.growth_bytes_min, 512, self.segment_bytes)?;
        in_range("growth_bytes_max", self.growth_bytes_max, self.growth_bytes_min, self.segment_bytes)?;
        in_range("index_every_bytes", self.index_every_bytes, 64, self.segment_bytes)?;
        in_range("recovery_point_bytes", self.recovery_point_bytes, 1, u64::MAX)?;
        in_range("sealed_open_max", self.sealed_open_max as u64, 1, 1 << 20)?;
        in_range("sync_threads", self.sync_threads as u64, 1, 64)?;
        in_range("aside_count_max", self.aside_count_max as u64, 1, 1 << 20)?;
        in_range("producer_count_max", self.producer_count_max as u64, 1, 1 << 24)
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log setting `{key}` is {value}; {min} to {max} are allowed")]
pub struct ConfigError {
    /// Its name.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// Least allowed.
    pub min: u64,
    /// Greatest allowed.
    pub max: u64,
}

fn in_range(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError { key, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_and_the_small_sizes_are_allowed() {
        LogConfig::default().check().unwrap();
        LogConfig::small().check().unwrap();
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let config = LogConfig { segment_bytes: 1, ..LogConfig::default() };
        assert_eq!(config.check().unwrap_err().key, "segment_bytes");
    }
}
