//! What is wrong with a topic's settings.

use fidelog_proto::v1::Reason;

use crate::meta::state::ConfigError;
use crate::rpc::status::Failure;

/// The failure of a change of settings; the error's own sentence names value, limit and remedy.
pub(in crate::rpc) fn config_failure(error: &ConfigError) -> Failure {
    let failure = Failure::new(Reason::InvalidArgument, error.to_string());
    match error {
        ConfigError::UnknownKey { .. } => failure.with("field", "configs.key"),
        ConfigError::OutOfRange { key, value, min, max } => {
            failure.with("field", key).with("value", value).with("min", min).with("max", max)
        }
        ConfigError::SegmentBelowRecord { segment_bytes_min, .. } => {
            failure.with("field", "segment_bytes").with("min", segment_bytes_min)
        }
        ConfigError::RetentionBelowSegmentBytes { segment_bytes, .. } => {
            failure.with("field", "retention_bytes").with("min", segment_bytes)
        }
        ConfigError::RetentionBelowSegmentMs { segment_ms, .. } => {
            failure.with("field", "retention_ms").with("min", segment_ms)
        }
    }
}
