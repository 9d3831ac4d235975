//! From values to what the broker needs: every one checked, every mistake noted.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fidelog_broker::LogConfig;
use fidelog_broker::meta::state::{ConfigError as TopicConfigError, TopicDefaults};
use fidelog_broker::node::{BrokerAddress, NodeConfig};
use fidelog_broker::rpc::RpcLimits;
use fidelog_broker::types::BrokerId;

use super::error::ConfigError;
use super::nodes;
use super::settings::{SETTINGS, Source, Values};

/// What a segment may be large.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 30;

/// Reads values and notes every mistake; what could not be read is `None`, and nothing is checked against it.
pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    mistakes: RefCell<&'a mut Vec<ConfigError>>,
}

impl Reader<'_> {
    fn optional<T>(&self, key: &'static str) -> Option<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.values.get(key) else { return Some(None) };
        match value.text.parse() {
            Ok(value) => Some(Some(value)),
            Err(error) => self.wrong(key, format!("{error}; {}", doc(key))),
        }
    }

    fn required<T>(&self, key: &'static str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match self.optional(key)? {
            Some(value) => Some(value),
            None => self.note(ConfigError::Missing { key, doc: doc(key) }),
        }
    }

    fn within(&self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let value: u64 = self.required(key)?;
        if (min..=max).contains(&value) {
            return Some(value);
        }
        self.wrong(key, format!("allowed is {min} to {max}"))
    }

    fn source(&self, key: &str) -> Source {
        self.values.get(key).map_or(Source::Default, |value| value.source.clone())
    }

    fn wrong<T>(&self, key: &'static str, allowed: String) -> Option<T> {
        let value = self.values.get(key).map_or_else(|| "-".to_owned(), |value| value.text.clone());
        self.note(ConfigError::Value { source_: self.source(key), key: key.to_owned(), value, allowed })
    }

    pub(super) fn conflict<T>(&self, source_: Source, message: String) -> Option<T> {
        self.note(ConfigError::Conflict { source_, message })
    }

    pub(super) fn note<T>(&self, mistake: ConfigError) -> Option<T> {
        self.mistakes.borrow_mut().push(mistake);
        None
    }
}

fn doc(key: &str) -> &'static str {
    SETTINGS.iter().find(|setting| setting.key == key).map_or("", |setting| setting.doc)
}

/// The broker's configuration; `None` when there is any mistake, which is noted.
pub(super) fn build(values: &Values, mistakes: &mut Vec<ConfigError>) -> Option<NodeConfig> {
    let read = Reader { values, mistakes: RefCell::new(mistakes) };
    // Everything is read before anything is given up, so that every mistake is noted.
    let broker = read.within("broker.id", 1, u64::from(u32::MAX));
    let broker = broker.map(|id| BrokerId(u32::try_from(id).unwrap_or(u32::MAX)));
    let allow_unreplicated = read.required("cluster.allow_unreplicated");
    let brokers = nodes::nodes(&read, allow_unreplicated);
    let own = own(&read, broker, brokers.as_deref());
    let (listen, peer_listen) = addresses(&read);
    let data_dir = data_dir(&read);
    let cluster = read.required("cluster.id");
    let advertise = read.optional("broker.advertise");
    let rack = read.optional("broker.rack");
    let log = log(&read);
    let topic_defaults = topic_defaults(&read, brokers.as_deref());
    let replica_lag_max = read.within("log.replica_lag_max_ms", 500, 3_600_000);
    let partition_pending_bytes_max = read.within("limits.partition_pending_bytes_max", 1 << 20, 1 << 34);
    let catch_up_bytes_per_s = read.within("limits.catch_up_bytes_per_s", 1 << 20, 1 << 40);
    let scrub_bytes_per_s = read.within("log.scrub_bytes_per_s", 0, 1 << 40);
    let retention_every = read.within("log.retention_check_ms", 100, 3_600_000);
    let rpc = rpc(&read);
    let client_threads = client_threads(&read);
    let peer_threads = threads(&read, "broker.peer_threads");
    let own = own?;
    Some(NodeConfig {
        cluster: cluster?,
        broker: broker?,
        listen: listen?,
        peer_listen: peer_listen?,
        advertise: advertise?.unwrap_or(own.client),
        peer_advertise: own.peer,
        rack: rack?,
        data_dir: data_dir?,
        log: log?,
        topic_defaults: topic_defaults?,
        allow_unreplicated: allow_unreplicated?,
        replica_lag_max: Duration::from_millis(replica_lag_max?),
        partition_pending_bytes_max: partition_pending_bytes_max?,
        catch_up_bytes_per_s: catch_up_bytes_per_s?,
        scrub_bytes_per_s: NonZeroU64::new(scrub_bytes_per_s?),
        retention_every: Duration::from_millis(retention_every?),
        rpc: rpc?,
        client_threads: client_threads?,
        peer_threads: peer_threads?,
        brokers: brokers?,
    })
}

fn own(
    read: &Reader<'_>,
    broker: Option<BrokerId>,
    brokers: Option<&[BrokerAddress]>,
) -> Option<BrokerAddress> {
    let (broker, brokers) = (broker?, brokers?);
    brokers.iter().find(|it| it.id == broker).cloned().or_else(|| {
        let message = format!(
            "cluster.brokers does not list broker {broker}: every broker, this one included, must stand there"
        );
        read.conflict(read.source("broker.id"), message)
    })
}

fn addresses(read: &Reader<'_>) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let (listen, peer_listen) = (read.required("broker.listen"), read.required("broker.peer_listen"));
    if let (Some(listen), Some(peer_listen)) = (listen, peer_listen) {
        let listen: SocketAddr = listen;
        if listen == peer_listen && listen.port() != 0 {
            let message = format!("broker.listen and broker.peer_listen are both {listen}");
            read.conflict::<()>(read.source("broker.peer_listen"), message);
        }
    }
    let open: Option<bool> = read.required("broker.unsafe_open_access");
    for (key, address) in [("broker.listen", listen), ("broker.peer_listen", peer_listen)] {
        if open == Some(false) && address.is_some_and(|address| !address.ip().is_loopback()) {
            let allowed = "this is beyond loopback, and there is no TLS or user yet: anybody who reaches it can read and \
                           delete everything; if that is what you want, say broker.unsafe_open_access = true";
            read.wrong::<()>(key, allowed.to_owned());
        }
    }
    (listen, peer_listen)
}

fn data_dir(read: &Reader<'_>) -> Option<PathBuf> {
    let data_dir: PathBuf = read.required("broker.data_dir")?;
    if data_dir.is_absolute() {
        return Some(data_dir);
    }
    read.wrong("broker.data_dir", "an absolute path is expected".to_owned())
}

/// Half the cores: the flusher, the peers' runtime and the kernel want the rest. More threads than that cost a wake-up
/// a request, measured on two cores.
fn client_threads(read: &Reader<'_>) -> Option<usize> {
    if read.values.get("broker.client_threads").is_some() {
        return threads(read, "broker.client_threads");
    }
    Some(std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 8)))
}

fn threads(read: &Reader<'_>, key: &'static str) -> Option<usize> {
    Some(usize::try_from(read.within(key, 1, 64)?).unwrap_or(1))
}

fn log(read: &Reader<'_>) -> Option<LogConfig> {
    let defaults = LogConfig::default();
    let segment_bytes = read.within("log.segment_bytes", *SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
    let segment_ms = read.within("log.segment_ms", 1, u64::MAX);
    let free_bytes_min = read.optional("log.free_bytes_min");
    let recovery_point_ms = read.within("log.recovery_point_ms", 10, 60_000);
    let recovery_point_bytes = read.within("log.recovery_point_bytes", 4096, 1 << 40);
    let sealed_open_max = read.within("log.sealed_open_max", 1, 1 << 20);
    let aside_bytes_max = read.within("log.aside_bytes_max", 0, u64::MAX);
    let ballast_bytes = read.within("log.ballast_bytes", 0, 1 << 34);
    let producer_idle_ms = read.within("log.producer_idle_ms", 1000, u64::MAX);
    let segment_bytes = segment_bytes?;
    let config = LogConfig {
        segment_bytes,
        // Files never grow by more than a segment; a small segment alone must be a valid setting.
        growth_bytes_min: defaults.growth_bytes_min.min(segment_bytes),
        growth_bytes_max: defaults.growth_bytes_max.min(segment_bytes),
        segment_ms: segment_ms?,
        free_bytes_min: free_bytes_min?,
        recovery_point_every: Duration::from_millis(recovery_point_ms?),
        recovery_point_bytes: recovery_point_bytes?,
        sealed_open_max: usize::try_from(sealed_open_max?).unwrap_or(512),
        aside_bytes_max: aside_bytes_max?,
        ballast_bytes: ballast_bytes?,
        producer_idle_ms: producer_idle_ms?,
        ..defaults
    };
    match config.check() {
        Ok(()) => Some(config),
        Err(error) => read.conflict(read.source("log.segment_bytes"), format!("[log] {error}")),
    }
}

fn rpc(read: &Reader<'_>) -> Option<RpcLimits> {
    let bytes =
        |key| read.within(key, 32 << 20, 1 << 40).map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    let (requests, reads) = (bytes("limits.request_bytes_max"), bytes("limits.read_bytes_max"));
    Some(RpcLimits { request_bytes_max: requests?, read_bytes_max: reads?, ..RpcLimits::default() })
}

fn topic_defaults(read: &Reader<'_>, brokers: Option<&[BrokerAddress]>) -> Option<TopicDefaults> {
    const REPLICATION: &str = "topic_defaults.replication_factor";
    const MINIMUM: &str = "topic_defaults.min_insync_replicas";
    let small = |key, min| read.within(key, min, 15).map(|value| u16::try_from(value).unwrap_or(u16::MAX));
    let partition_count = read.within("topic_defaults.partitions", 1, 10_000);
    let (replication_factor, min_insync_replicas) = (small(REPLICATION, 1), small(MINIMUM, 2));
    let retention_ms = read.within("topic_defaults.retention_ms", 1, u64::MAX);
    let retention_bytes = read.optional("topic_defaults.retention_bytes");
    let record_bytes_max = read.within("topic_defaults.record_bytes_max", 1, 8 << 20);
    // `log` notes what is wrong with these two; nothing is held against a value that is.
    let parsed = |key: &str| read.values.get(key).and_then(|value| value.text.parse::<u64>().ok());
    let segment_ms = parsed("log.segment_ms").filter(|&ms| ms > 0);
    let segment_bytes = parsed("log.segment_bytes").filter(|bytes| SEGMENT_BYTES.contains(bytes));
    // A default that nobody chose gives way to a smaller cluster, or a smaller factor.
    let chosen = |key| read.source(key) != Source::Default;
    let holding = brokers.map(|brokers| brokers.iter().filter(|it| it.role.is_broker()).count());
    if let (Some(factor), Some(holding)) = (replication_factor, holding)
        && usize::from(factor) > holding
        && chosen(REPLICATION)
    {
        read.wrong::<()>(REPLICATION, format!("cluster.brokers lists {holding}; at most that many"));
    }
    if let (Some(factor), Some(minimum)) = (replication_factor, min_insync_replicas)
        && minimum > factor
        && chosen(MINIMUM)
    {
        read.wrong::<()>(MINIMUM, format!("{REPLICATION} is {factor}; at most that many can be in sync"));
    }
    let defaults = TopicDefaults {
        partition_count: u32::try_from(partition_count?).unwrap_or(3),
        replication_factor: replication_factor?,
        min_insync_replicas: min_insync_replicas?,
        retention_ms: retention_ms?,
        retention_bytes: retention_bytes?,
        record_bytes_max: record_bytes_max?,
        segment_ms: segment_ms?,
        segment_bytes: segment_bytes?,
    };
    match defaults.check() {
        Ok(()) => Some(defaults),
        Err(error) => {
            let [own, segment] = match error {
                TopicConfigError::RetentionBelowSegmentBytes { .. } => {
                    ["topic_defaults.retention_bytes", "log.segment_bytes"]
                }
                TopicConfigError::SegmentBelowRecord { .. } => {
                    ["topic_defaults.record_bytes_max", "log.segment_bytes"]
                }
                _ => ["topic_defaults.retention_ms", "log.segment_ms"],
            };
            let source = if chosen(own) { read.source(own) } else { read.source(segment) };
            read.conflict(source, format!("[topic_defaults] {error}"))
        }
    }
}
