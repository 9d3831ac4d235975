//! What every command is handed: the global flags, and ways to the brokers and to the reader.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fidelog_client::Client;

use crate::args::Globals;
use crate::exit::{Failure, one_line};
use crate::output::{self, Format, Show};
use crate::tidings::Tidings;

/// Making a connection never waits longer than this, whatever the timeout of a request.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// How long a request may take.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A producer waits out a broker's restart.
const DELIVERY_BUDGET_DEFAULT: Duration = Duration::from_secs(120);

/// Who waits longer is told why.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(1);

/// The global flags.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    globals: Globals,
    tidings: Arc<Tidings>,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals, tidings: Arc::default() }
    }

    /// What the clients made here were told.
    pub(crate) fn tidings(&self) -> &Tidings {
        &self.tidings
    }

    /// How long the delivery of a record is tried: as long as a request when that was said, 120 s otherwise.
    pub(crate) fn delivery_budget(&self) -> Duration {
        self.globals.timeout.unwrap_or(DELIVERY_BUDGET_DEFAULT)
    }

    /// The format asked for, if one was.
    pub(crate) fn format(&self) -> Option<Format> {
        self.globals.output
    }

    pub(crate) fn brokers(&self) -> &[String] {
        &self.globals.brokers
    }

    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.connect_to(&self.globals.brokers).await
    }

    /// A client of the cluster behind these addresses.
    pub(crate) async fn connect_to(&self, brokers: &[String]) -> Result<Client, Failure> {
        let timeout = self.globals.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let mut builder = Client::builder(brokers)
            .client_id("fidelog-cli")
            .request_timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX));
        let (tidings, verbose) = (Arc::clone(&self.tidings), self.globals.verbose > 0);
        builder = builder.on_event(move |event| {
            if let Some(sentence) = tidings.hear(event).filter(|_| verbose) {
                tell(&sentence);
            }
        });
        Ok(builder.connect().await?)
    }

    /// Prints an answer on stdout.
    pub(crate) fn print(&self, answer: &impl Show) -> Result<(), Failure> {
        let text = output::render(answer, self.format().unwrap_or(Format::Table));
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::stdout(&error))
    }

    /// Says something on stderr, unless asked to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.globals.quiet {
            tell(text);
        }
    }

    /// Does `work`; every second it takes longer, says what it waits for, if that is news.
    pub(crate) async fn patiently<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut told = None;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(SILENCE_MAX) => {
                    let why = self.tidings.trouble();
                    if let Some(why) = &why && told != Some(why.clone()) {
                        self.note(&format!("waiting: {why}"));
                    }
                    told = why;
                }
            }
        }
    }

    /// Whether a progress bar would be seen.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.globals.quiet && std::io::stderr().is_terminal()
    }
}

fn tell(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _closed = writeln!(std::io::stderr().lock(), "{}", one_line(text));
}

/// The present, Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    /// `--timeout 3s produce` was silent for 120 s.
    #[test]
    fn a_timeout_that_was_said_bounds_a_delivery_too() {
        let budget = |args: &str| {
            let cli = Cli::try_parse_from(args.split_whitespace()).unwrap();
            Context::new(cli.globals).delivery_budget()
        };
        assert_eq!(budget("fidelog produce orders --timeout 3s"), Duration::from_secs(3));
        assert_eq!(budget("fidelog produce orders"), DELIVERY_BUDGET_DEFAULT);
    }
}
