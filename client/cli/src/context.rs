//! What every command is handed: the global flags, and ways to the brokers and to the reader.

use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime};

use fidelog_client::Client;

use crate::args::Globals;
use crate::exit::{Failure, one_line};
use crate::output::{self, Format, Show};

/// Making a connection never waits longer than this, whatever the timeout of a request.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// The global flags.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    globals: Globals,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals }
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
        let timeout = self.globals.timeout;
        let mut builder = Client::builder(brokers)
            .client_id("fidelog-cli")
            .request_timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX));
        if self.globals.verbose > 0 {
            builder = builder.on_event(|event| tell(&format!("{event:?}")));
        }
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
