//! From values to what the broker needs, every one checked.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fidelog_broker::LogConfig;
use fidelog_broker::meta::state::TopicDefaults;
use fidelog_broker::node::{BrokerAddress, NodeConfig};
use fidelog_broker::rpc::RpcLimits;
use fidelog_broker::types::BrokerId;

use super::error::ConfigError;
use super::settings::{ListedBroker, SETTINGS, Source, Values};

struct Reader<'a>(&'a Values);

impl Reader<'_> {
    fn optional<T>(&self, key: &'static str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        value.text.parse().map(Some).map_err(|error| self.wrong(key, format!("{error}; {}", doc(key))))
    }

    fn required<T>(&self, key: &'static str) -> Result<T, ConfigError>
    where
        T: FromStr<Err: Display>,
    {
        self.optional(key)?.ok_or(ConfigError::Missing { key, doc: doc(key) })
    }

    fn within(&self, key: &'static str, min: u64, max: u64) -> Result<u64, ConfigError> {
        let value: u64 = self.required(key)?;
        if (min..=max).contains(&value) {
            return Ok(value);
        }
        Err(self.wrong(key, format!("allowed is {min} to {max}")))
    }

    fn wrong(&self, key: &'static str, allowed: String) -> ConfigError {
        let (value, source_) = self
            .0
            .get(key)
            .map_or(("-", Source::Default), |value| (value.text.as_str(), value.source.clone()));
        ConfigError::Value { source_, key: key.to_owned(), value: value.to_owned(), allowed }
    }
}

fn doc(key: &str) -> &'static str {
    SETTINGS.iter().find(|setting| setting.key == key).map_or("", |setting| setting.doc)
}

pub(super) fn build(values: &Values) -> Result<NodeConfig, ConfigError> {
    let read = Reader(values);
    let broker =
        BrokerId(u32::try_from(read.within("broker.id", 1, u64::from(u32::MAX))?).unwrap_or(u32::MAX));
    let brokers = values.brokers.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
    check_brokers(&brokers)?;
    let Some(own) = brokers.iter().find(|it| it.id == broker).cloned() else {
        return Err(ConfigError::Conflict(format!(
            "cluster.brokers does not list broker {broker}: every broker, this one included, must stand there"
        )));
    };
    let allow_unreplicated: bool = read.required("cluster.allow_unreplicated")?;
    if brokers.len() == 1 && !allow_unreplicated {
        return Err(ConfigError::Conflict(
            "cluster.brokers lists one broker only: its loss loses everything; if that is what you want, say \
             cluster.allow_unreplicated = true"
                .to_owned(),
        ));
    }
    let listen: SocketAddr = read.required("broker.listen")?;
    let peer_listen: SocketAddr = read.required("broker.peer_listen")?;
    if listen == peer_listen && listen.port() != 0 {
        return Err(ConfigError::Conflict(format!("broker.listen and broker.peer_listen are both {listen}")));
    }
    let open: bool = read.required("broker.unsafe_open_access")?;
    for (key, address) in [("broker.listen", listen), ("broker.peer_listen", peer_listen)] {
        if !address.ip().is_loopback() && !open {
            let allowed = "this is beyond loopback, and there is no TLS or user yet: anybody who reaches it can read and \
                           delete everything; if that is what you want, say broker.unsafe_open_access = true";
            return Err(read.wrong(key, allowed.to_owned()));
        }
    }
    let data_dir: PathBuf = read.required("broker.data_dir")?;
    if !data_dir.is_absolute() {
        return Err(read.wrong("broker.data_dir", "an absolute path is expected".to_owned()));
    }
    Ok(NodeConfig {
        cluster: read.required("cluster.id")?,
        broker,
        listen,
        peer_listen,
        advertise: read.optional("broker.advertise")?.unwrap_or(own.client),
        peer_advertise: own.peer,
        rack: read.optional("broker.rack")?,
        data_dir,
        log: log(&read)?,
        topic_defaults: topic_defaults(&read)?,
        allow_unreplicated,
        replica_lag_max: Duration::from_millis(read.within("log.replica_lag_max_ms", 500, 3_600_000)?),
        partition_pending_bytes_max: read.within("limits.partition_pending_bytes_max", 1 << 20, 1 << 34)?,
        catch_up_bytes_per_s: read.within("limits.catch_up_bytes_per_s", 1 << 20, 1 << 40)?,
        retention_every: Duration::from_millis(read.within("log.retention_check_ms", 100, 3_600_000)?),
        rpc: rpc(&read)?,
        client_threads: client_threads(&read)?,
        peer_threads: threads(&read, "broker.peer_threads")?,
        brokers,
    })
}

/// Half the cores: the flusher, the peers' runtime and the kernel want the rest. More threads than that cost a wake-up
/// a request, measured on two cores.
fn client_threads(read: &Reader<'_>) -> Result<usize, ConfigError> {
    if read.0.get("broker.client_threads").is_some() {
        return threads(read, "broker.client_threads");
    }
    Ok(std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 8)))
}

fn threads(read: &Reader<'_>, key: &'static str) -> Result<usize, ConfigError> {
    Ok(usize::try_from(read.within(key, 1, 64)?).unwrap_or(1))
}

fn listed(broker: &ListedBroker) -> Result<BrokerAddress, ConfigError> {
    let field = |name: &str| {
        broker.fields.get(name).cloned().ok_or_else(|| ConfigError::Value {
            source_: broker.source.clone(),
            key: format!("cluster.brokers.{name}"),
            value: "-".to_owned(),
            allowed: "each broker has id, client and peer".to_owned(),
        })
    };
    let wrong = |name: &str, value: &str, allowed: &str| ConfigError::Value {
        source_: broker.source.clone(),
        key: format!("cluster.brokers.{name}"),
        value: value.to_owned(),
        allowed: allowed.to_owned(),
    };
    let id = field("id")?;
    let number: u32 = id.parse().map_err(|_| wrong("id", &id, "a number from 1 is expected"))?;
    if number == 0 {
        return Err(wrong("id", &id, "a number from 1 is expected"));
    }
    let address = |name: &str| {
        let text = field(name)?;
        let port = text
            .rsplit_once(':')
            .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
        if port.is_none_or(|port| port == 0) {
            return Err(wrong(name, &text, "host:port is expected, the port not 0"));
        }
        Ok(text)
    };
    Ok(BrokerAddress { id: BrokerId(number), client: address("client")?, peer: address("peer")? })
}

fn check_brokers(brokers: &[BrokerAddress]) -> Result<(), ConfigError> {
    for (index, broker) in brokers.iter().enumerate() {
        if broker.client == broker.peer {
            return Err(ConfigError::Conflict(format!(
                "broker {} has one address for clients and peers",
                broker.id
            )));
        }
        for other in &brokers[..index] {
            if other.id == broker.id {
                return Err(ConfigError::Conflict(format!(
                    "cluster.brokers lists broker {} twice",
                    broker.id
                )));
            }
            if other.client == broker.client || other.peer == broker.peer {
                return Err(ConfigError::Conflict(format!(
                    "cluster.brokers gives brokers {} and {} the same address",
                    other.id, broker.id
                )));
            }
        }
    }
    Ok(())
}

fn log(read: &Reader<'_>) -> Result<LogConfig, ConfigError> {
    let defaults = LogConfig::default();
    let segment_bytes = read.within("log.segment_bytes", 4096, 1 << 30)?;
    let config = LogConfig {
        segment_bytes,
        // Files never grow by more than a segment; a small segment alone must be a valid setting.
        growth_bytes_min: defaults.growth_bytes_min.min(segment_bytes),
        growth_bytes_max: defaults.growth_bytes_max.min(segment_bytes),
        segment_ms: read.within("log.segment_ms", 1, u64::MAX)?,
        free_bytes_min: read.optional("log.free_bytes_min")?,
        recovery_point_every: Duration::from_millis(read.within("log.recovery_point_ms", 10, 60_000)?),
        recovery_point_bytes: read.within("log.recovery_point_bytes", 4096, 1 << 40)?,
        sealed_open_max: usize::try_from(read.within("log.sealed_open_max", 1, 1 << 20)?).unwrap_or(512),
        aside_bytes_max: read.within("log.aside_bytes_max", 0, u64::MAX)?,
        producer_idle_ms: read.within("log.producer_idle_ms", 1000, u64::MAX)?,
        ..defaults
    };
    config.check().map_err(|error| ConfigError::Conflict(format!("[log] {error}")))?;
    Ok(config)
}

fn rpc(read: &Reader<'_>) -> Result<RpcLimits, ConfigError> {
    let bytes =
        |key| read.within(key, 32 << 20, 1 << 40).map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    Ok(RpcLimits {
        request_bytes_max: bytes("limits.request_bytes_max")?,
        read_bytes_max: bytes("limits.read_bytes_max")?,
        ..RpcLimits::default()
    })
}

fn topic_defaults(read: &Reader<'_>) -> Result<TopicDefaults, ConfigError> {
    let small = |key, max| read.within(key, 1, max).map(|value| u16::try_from(value).unwrap_or(u16::MAX));
    let defaults = TopicDefaults {
        partition_count: u32::try_from(read.within("topic_defaults.partitions", 1, 10_000)?).unwrap_or(3),
        replication_factor: small("topic_defaults.replication_factor", 15)?,
        min_insync_replicas: small("topic_defaults.min_insync_replicas", 15)?,
        retention_ms: read.within("topic_defaults.retention_ms", 1, u64::MAX)?,
        retention_bytes: read.optional("topic_defaults.retention_bytes")?,
        record_bytes_max: read.within("topic_defaults.record_bytes_max", 1, 8 << 20)?,
        segment_ms: read.within("log.segment_ms", 1, u64::MAX)?,
        segment_bytes: read.within("log.segment_bytes", 4096, 1 << 30)?,
    };
    defaults.check().map_err(|error| ConfigError::Conflict(format!("[topic_defaults] {error}")))?;
    Ok(defaults)
}
