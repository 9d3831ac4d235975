//! The Fidelog daemon: `serve`, `format`, `config`, `quorum`, `dev`, `demo`.
//!
//! [`run`] is the whole program; the binary is three lines around it, so that tests can build one of their own.
//! Logs go to stderr; what a verb prints goes to stdout. A panic in any task or thread is logged and aborts the
//! process: a bug stops the broker, it does not limp on.

mod abort;
mod args;
pub mod config;
mod demo;
mod descriptors;
mod dev;
mod local;
mod logging;
mod quorum;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, ConfigVerb, QuorumVerb, Verb};

/// Exit codes of the daemon.
mod exit {
    /// Something else failed.
    pub(crate) const FAILED: u8 = 1;
    /// The command line or the configuration is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// A comparison found a difference.
    pub(crate) const DIFFERENT: u8 = 8;
    /// The data directory failed: a sync returned an error, and nothing of it is believed any more (G6).
    pub(crate) const DISK: u8 = 9;
    /// Ctrl-C before the end.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Runs the daemon with a command line whose first word is the program's name. To be called on the main thread: the
/// brokers that `dev` and `demo` start die with the thread that started them.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(exit::FAILED);
            // Nothing can be done about a closed stdout.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    abort::on_panic();
    match args.verb {
        Verb::Serve(serve) => serve::serve(&serve.target.config, serve.parent, &args.log),
        Verb::Format(format) => serve::format(&format.config, &args.log),
        Verb::Config(verb) => match verb {
            ConfigVerb::Check(target) => match logging::start(&args.log) {
                Ok(()) => config::check(&target.config),
                Err(error) => {
                    eprintln!("fidelogd: {error}");
                    ExitCode::from(exit::USAGE)
                }
            },
            ConfigVerb::Print(target) => config::print(&target.config),
        },
        Verb::Quorum(verb) => match verb {
            QuorumVerb::Show(target) => quorum::show(&target.config, &args.log),
            QuorumVerb::Rebuild(it) => quorum::rebuild(&it.target.config, it.agree, &args.log),
            QuorumVerb::Accept(it) => quorum::accept(&it.target.config, it.agree, &args.log),
        },
        Verb::Dev(dev) => dev::run(&dev, &args.log),
        Verb::Demo(demo) => demo::run(&demo, &args.log),
    }
}
