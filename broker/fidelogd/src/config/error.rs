//! Why a configuration is refused.

use std::path::PathBuf;

use super::settings::Source;

/// Why a configuration is refused. Each names where, what, and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, a key twice.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column, and what is wrong.
        message: String,
    },
    /// Nobody knows this key.
    #[error("{source_}: unknown key `{key}`{}", hint(near))]
    UnknownKey {
        /// Where.
        source_: Source,
        /// What.
        key: String,
        /// A key that looks like it.
        near: Option<&'static str>,
    },
    /// A value that cannot be.
    #[error("{source_}: {key} = {value}: {allowed}")]
    Value {
        /// Where.
        source_: Source,
        /// Which key.
        key: String,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// A key that must be set.
    #[error("{key} is not set: {doc}")]
    Missing {
        /// Which.
        key: &'static str,
        /// What it is.
        doc: &'static str,
    },
    /// Values that do not fit each other.
    #[error("{0}")]
    Conflict(String),
}

fn hint(near: &Option<&'static str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
