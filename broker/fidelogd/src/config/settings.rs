//! Every setting: its key, its default, what it is. The one list that file, environment, `config print` and the
//! documentation share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::error::ConfigError;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `section.name`, units in the name.
    pub key: &'static str,
    /// `None`: must be set, or follows from others.
    pub default: Option<&'static str>,
    /// What it is, with its range.
    pub doc: &'static str,
}

const fn setting(key: &'static str, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { key, default, doc }
}

/// All settings, in the order they are shown. `cluster.brokers` is a list of its own.
pub const SETTINGS: &[Setting] = &[
    setting("broker.id", None, "this broker's number, from 1; one of cluster.brokers"),
    setting("broker.data_dir", None, "an absolute path on a local disk, made by `fidelogd format`"),
    setting("broker.listen", Some("127.0.0.1:9094"), "where to listen for clients"),
    setting("broker.peer_listen", Some("127.0.0.1:9095"), "where to listen for brokers"),
    setting("broker.advertise", None, "what clients are told; default: its `client` in cluster.brokers"),
    setting("broker.rack", None, "replicas of a partition are spread over racks"),
    setting(
        "broker.unsafe_open_access",
        Some("false"),
        "must be true to listen beyond loopback: there is no TLS yet",
    ),
    setting("broker.client_threads", None, "threads that serve clients, 1 to 64; default: half the cores"),
    setting("broker.peer_threads", Some("1"), "threads that serve other brokers, 1 to 64"),
    setting("cluster.id", None, "the cluster's id, a UUID; the same on every broker"),
    setting(
        "cluster.allow_unreplicated",
        Some("false"),
        "must be true for a cluster of one broker; with two, groups go on with one",
    ),
    setting("log.segment_bytes", Some("268435456"), "largest segment file, 4096 to 1073741824"),
    setting("log.segment_ms", Some("604800000"), "longest time a segment is written to"),
    setting("log.free_bytes_min", None, "produces are refused when less is free; default: max(5 %, 1 GiB)"),
    setting("log.recovery_point_ms", Some("1000"), "how often recovery points are written, 10 to 60000"),
    setting(
        "log.recovery_point_bytes",
        Some("16777216"),
        "and after how many bytes; bounds what a start scans",
    ),
    setting("log.sealed_open_max", Some("512"), "sealed segments kept open at once"),
    setting("log.aside_bytes_max", Some("1073741824"), "what is kept of cut tails, oldest removed first"),
    setting(
        "log.ballast_bytes",
        Some("67108864"),
        "room kept so that a start works on a full disk; 0 for none",
    ),
    setting("log.producer_idle_ms", Some("86400000"), "how long an idle producer is remembered"),
    setting(
        "log.replica_lag_max_ms",
        Some("10000"),
        "how long a follower may lag before it leaves the in-sync set",
    ),
    setting(
        "log.scrub_bytes_per_s",
        Some("8388608"),
        "what is read to find damage before anybody asks for it; 0: not at all",
    ),
    setting("log.retention_check_ms", Some("30000"), "how often retention looks, 100 to 3600000"),
    setting("limits.partition_pending_bytes_max", Some("67108864"), "unacknowledged bytes of one partition"),
    setting(
        "limits.request_bytes_max",
        Some("268435456"),
        "bytes of requests in memory, all clients together",
    ),
    setting("limits.read_bytes_max", Some("268435456"), "bytes read and not yet sent, all clients together"),
    setting("limits.catch_up_bytes_per_s", Some("419430400"), "what catching up may take per follower"),
    setting("topic_defaults.partitions", Some("3"), "of a new topic"),
    setting("topic_defaults.replication_factor", Some("3"), "of a new topic"),
    setting("topic_defaults.min_insync_replicas", Some("2"), "of a new topic; at least 2"),
    setting("topic_defaults.retention_ms", Some("604800000"), "how long records are kept at least"),
    setting(
        "topic_defaults.retention_bytes",
        None,
        "bytes of a partition kept at least; default: only time counts",
    ),
    setting("topic_defaults.record_bytes_max", Some("1048576"), "largest record, at most 8388608"),
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As written.
    pub text: String,
    /// Where.
    pub source: Source,
}

/// A broker as `cluster.brokers` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBroker {
    /// `id`, `client`, `peer`, `role`, as written.
    pub fields: BTreeMap<String, String>,
    /// Where.
    pub source: Source,
}

/// All values in force.
#[derive(Clone, Debug, Default)]
pub struct Values {
    by_key: BTreeMap<&'static str, Value>,
    /// `cluster.brokers`.
    pub brokers: Vec<ListedBroker>,
    /// Where that list stands.
    pub brokers_source: Option<Source>,
}

impl Values {
    /// Nothing but defaults.
    #[must_use]
    pub fn defaults() -> Self {
        let default = |setting: &Setting| {
            let text = setting.default?.to_owned();
            Some((setting.key, Value { text, source: Source::Default }))
        };
        let by_key = SETTINGS.iter().filter_map(default).collect();
        Self { by_key, brokers: Vec::new(), brokers_source: None }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key)
    }

    /// Sets `key`.
    ///
    /// # Errors
    /// When nobody knows it.
    pub fn set(&mut self, key: &str, text: String, source: Source) -> Result<(), ConfigError> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            return Err(ConfigError::UnknownKey { source_: source, key: key.to_owned(), near: nearest(key) });
        };
        self.by_key.insert(setting.key, Value { text, source });
        Ok(())
    }

    /// `FIDELOGD_SECTION__NAME` overrides `section.name`. `FIDELOGD_` names without `__` belong to the command line.
    pub(super) fn take_environment(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Vec<ConfigError> {
        let mut mistakes = Vec::new();
        for (name, text) in environment {
            let Some((section, key)) = name.strip_prefix("FIDELOGD_").and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let key = format!("{}.{}", section.to_ascii_lowercase(), key.to_ascii_lowercase());
            mistakes.extend(self.set(&key, text, Source::Environment(name)).err());
        }
        mistakes
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in SETTINGS {
            let (text, source) = match self.get(setting.key) {
                Some(value) => (value.text.as_str(), value.source.to_string()),
                None => ("-", "not set".to_owned()),
            };
            writeln!(f, "{:<38} {:<40} {source}", setting.key, text)?;
        }
        for broker in &self.brokers {
            let field = |name| broker.fields.get(name).map_or("-", String::as_str);
            let role = broker.fields.get("role").map(|role| format!(" {role}")).unwrap_or_default();
            let text = format!("{} {} {}{role}", field("id"), field("client"), field("peer"));
            writeln!(f, "{:<38} {text:<40} {}", "cluster.brokers", broker.source)?;
        }
        Ok(())
    }
}

/// Whether anything may be set in this section.
pub(super) fn check_section(section: &str, source_: Source) -> Result<(), ConfigError> {
    let sections = || SETTINGS.iter().filter_map(|setting| setting.key.split_once('.')).map(|(name, _)| name);
    if sections().any(|known| known == section) {
        return Ok(());
    }
    let near = sections().find(|known| section.starts_with(known) || known.starts_with(section));
    Err(ConfigError::UnknownSection { source_, section: section.to_owned(), near })
}

/// The known key that shares the most letters at either end with `key`, when it is close.
fn nearest(key: &str) -> Option<&'static str> {
    let common = |known: &str| {
        let front = known.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
        let back = known.bytes().rev().zip(key.bytes().rev()).take_while(|(a, b)| a == b).count();
        (front + back).min(known.len().min(key.len()))
    };
    let best = SETTINGS.iter().map(|setting| setting.key).max_by_key(|known| common(known))?;
    (common(best) * 4 >= key.len() * 3).then_some(best)
}
