//! Why a configuration is refused: every mistake there is, one line each.

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
    #[error("{source_}: {message}")]
    Syntax {
        /// Where.
        source_: Source,
        /// What is wrong.
        message: String,
    },
    /// Nobody knows this section.
    #[error("{source_}: unknown section [{section}]{}", hint_section(near))]
    UnknownSection {
        /// Where.
        source_: Source,
        /// What.
        section: String,
        /// A section that looks like it.
        near: Option<&'static str>,
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
    #[error("{source_}: {message}")]
    Conflict {
        /// Where the one was set that was looked at last.
        source_: Source,
        /// What does not fit what.
        message: String,
    },
}

/// All mistakes of a configuration, in the order in which they were found; at least one.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<ConfigError>);

fn lines(mistakes: &[ConfigError]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn hint_section(near: &Option<&'static str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean [{near}]?"))
}

fn hint(near: &Option<&'static str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
