//! The configuration: a TOML file, overridden by the environment. Every value knows where it comes from.
//!
//! Unknown keys, wrong types and values out of range stop the start; every mistake is told, one line each, with file and
//! line or the variable, the key, its value and what is allowed. `FIDELOGD_BROKER__ID=2` overrides `[broker] id`.

mod error;
mod file;
mod machine;
mod node;
mod nodes;
mod settings;

use std::path::Path;
use std::process::ExitCode;

use fidelog_broker::node::NodeConfig;

pub use error::{ConfigError, ConfigErrors};
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
/// [`ConfigErrors`].
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigErrors(vec![ConfigError::Unreadable { path: path.to_owned(), source }]))?;
    load_text(path, &text, std::env::vars())
}

/// The same with the text and the environment given.
///
/// # Errors
/// [`ConfigErrors`].
pub fn load_text(
    path: &Path,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let mut values = Values::defaults();
    let mut mistakes = file::read(path, text, &mut values);
    let unreadable = mistakes.iter().any(|mistake| matches!(mistake, ConfigError::Syntax { .. }));
    mistakes.extend(values.take_environment(environment));
    // What a file that is no TOML does not set is not missing from it.
    let node = if unreadable { None } else { node::build(&values, &mut mistakes) };
    match node {
        Some(node) if mistakes.is_empty() => Ok(Loaded { values, node }),
        _ => Err(ConfigErrors(mistakes)),
    }
}

/// One line a mistake.
pub(crate) fn complain(errors: &ConfigErrors) {
    for mistake in &errors.0 {
        eprintln!("fidelogd: {mistake}");
    }
}

/// `config check`: also what `format` and `serve` would refuse on this machine.
pub(crate) fn check(path: &Path) -> ExitCode {
    let checked = load(path).and_then(|loaded| {
        let mistakes = machine::mistakes(&loaded);
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigErrors(mistakes)) }
    });
    match checked {
        Ok(()) => {
            println!("{}: no mistake found; a broker would start with it", path.display());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            complain(&errors);
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
        Err(errors) => {
            complain(&errors);
            ExitCode::from(exit::USAGE)
        }
    }
}

#[cfg(test)]
mod tests;
