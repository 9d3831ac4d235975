//! Every bound that client, door and log must agree on (DESIGN §10). Sizes are bytes.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Longest name of a topic or a group.
pub const NAME_BYTES_MAX: usize = 249;
/// Default for a topic's `record_bytes_max`: the largest record it takes, key, value and headers together.
pub const RECORD_BYTES_MAX_DEFAULT: usize = MIB;
/// The largest value `record_bytes_max` may have.
pub const RECORD_BYTES_MAX: usize = 8 * MIB;
/// What a batch may add to its one largest record: header, lengths, varints.
pub const BATCH_OVERHEAD_BYTES: usize = 64 * KIB;
/// The largest batch, header included, as stored and as expanded.
pub const BATCH_BYTES_MAX: usize = RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES;
/// The most records in one batch.
pub const BATCH_RECORD_COUNT_MAX: u32 = 1 << 20;
/// The most headers on one record.
pub const HEADER_COUNT_MAX: usize = 64;
/// All headers of one record together, names and values.
pub const HEADER_BYTES_MAX: usize = 32 * KIB;
/// The largest gRPC message either way.
pub const MESSAGE_BYTES_MAX: usize = 16 * MIB;
/// The most a fetch returns unless a single batch is larger.
pub const FETCH_BYTES_MAX: usize = 8 * MIB;
/// What a fetch returns when it does not say.
pub const FETCH_BYTES_DEFAULT: usize = MIB;
/// Longest wait of a fetch, milliseconds.
pub const FETCH_WAIT_MS_MAX: u32 = 30_000;
/// Wait of a fetch that does not say, milliseconds.
pub const FETCH_WAIT_MS_DEFAULT: u32 = 500;
/// Longest wait for an acknowledgement, milliseconds.
pub const ACK_WAIT_MS_MAX: u32 = 60_000;
/// Wait for an acknowledgement when the request does not say, milliseconds.
pub const ACK_WAIT_MS_DEFAULT: u32 = 10_000;
/// Batches of one producer and partition that may be unanswered, and are remembered for resends (N17).
pub const PRODUCER_WINDOW_BATCHES: usize = 1024;
/// The most partitions of one topic.
pub const PARTITION_COUNT_MAX: u32 = 10_000;
/// Streams a client may have open on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// How far in the future, beyond the broker's clock, a record's timestamp may lie: one day, milliseconds.
pub const TIMESTAMP_AHEAD_MS_MAX: u64 = 24 * 60 * 60 * 1000;

const _: () = assert!(HEADER_BYTES_MAX < RECORD_BYTES_MAX_DEFAULT);
const _: () = assert!(RECORD_BYTES_MAX_DEFAULT <= RECORD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX + BATCH_OVERHEAD_BYTES <= MESSAGE_BYTES_MAX);
const _: () = assert!(FETCH_BYTES_DEFAULT <= FETCH_BYTES_MAX && FETCH_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < u32::MAX as usize);
