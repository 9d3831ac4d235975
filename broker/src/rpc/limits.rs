//! Bounds of the public services, each with a name that an error can tell.

use std::time::Duration;

use fidelog_record::types::limits::MESSAGE_BYTES_MAX;

/// Bounds of the public services of one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Bytes of requests in memory, from their first byte until they are answered, all connections together.
    pub request_bytes_max: usize,
    /// Bytes read for fetches and not yet handed to their connections, all connections together.
    pub read_bytes_max: usize,
    /// How long a request may wait for room in either of them before it is refused.
    pub room_wait: Duration,
    /// How long one message may take to arrive.
    pub message_wait: Duration,
    /// Bytes of unanswered requests on one produce stream; beyond them it is not read.
    pub stream_bytes_max: usize,
    /// Unanswered requests on one produce stream; beyond them it is not read.
    pub stream_requests_max: usize,
    /// Subscriptions on one consume stream.
    pub subscriptions_max: usize,
    /// Producer ids taken from the quorum at a time.
    pub producer_ids_per_grant: u32,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            request_bytes_max: 256 << 20,
            read_bytes_max: 256 << 20,
            room_wait: Duration::from_secs(5),
            message_wait: Duration::from_secs(30),
            stream_bytes_max: 32 << 20,
            stream_requests_max: 4096,
            subscriptions_max: 1024,
            producer_ids_per_grant: 1000,
        }
    }
}

impl RpcLimits {
    /// The largest gRPC message taken, bytes.
    pub const MESSAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
}
