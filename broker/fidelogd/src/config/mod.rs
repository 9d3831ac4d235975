//! The configuration: a TOML file, overridden by the environment. Every value knows where it comes from.
//!
//! Unknown keys, wrong types and values out of range stop the start; the message names file and line, or the variable,
//! the key, its value and what is allowed. `FIDELOGD_BROKER__ID=2` overrides `[broker] id`.

mod error;
mod file;
mod node;
mod settings;

use std::path::Path;
use std::process::ExitCode;

use fidelog_broker::node::NodeConfig;

pub use error::ConfigError;
pub use settings::{SETTINGS, Setting, Source, Values};

use crate::exit;

/// A configuration that was read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// Every value, with its source.
    pub values: Values,
    /// The same for the broker.
    pub node: NodeConfig,
}

/// Reads `path`, lets the environment override it, and checks everything.
///
/// # Errors
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    load_text(path, &text, std::env::vars())
}

/// The same with the text and the environment given.
///
/// # Errors
/// [`ConfigError`].
pub fn load_text(
    path: &Path,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut values = Values::defaults();
    file::read(path, text, &mut values)?;
    values.take_environment(environment)?;
    let node = node::build(&values)?;
    Ok(Loaded { values, node })
}

/// `config check`.
pub(crate) fn check(path: &Path) -> ExitCode {
    match load(path) {
        Ok(_) => {
            println!("{}: a broker would start with it", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fidelogd: {error}");
            ExitCode::from(exit::USAGE)
        }
    }
}

/// `config print`.
pub(crate) fn print(path: &Path) -> ExitCode {
    match load(path) {
        Ok(loaded) => {
            print!("{}", loaded.values);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fidelogd: {error}");
            ExitCode::from(exit::USAGE)
        }
    }
}

#[cfg(test)]
mod tests;
