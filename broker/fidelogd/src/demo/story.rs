//! What happened when, and a progress bar where somebody sees it.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::local::terminal::say;

const TEMPLATE: &str = "{bar:32} {pos}/{len} lines acknowledged, {elapsed}";

/// Lines with the time since the beginning.
#[derive(Debug)]
pub(super) struct Story {
    began: Instant,
    bar: ProgressBar,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), bar: ProgressBar::hidden() }
    }

    /// Something that happened just now.
    pub(super) fn say(&self, line: impl Display) {
        self.say_plain(format_args!("{:>8.3} s  {line}", self.began.elapsed().as_secs_f64()));
    }

    /// Something without a time.
    pub(super) fn say_plain(&self, line: impl Display) {
        self.bar.suspend(|| say(line));
    }

    /// Begins a bar over so many lines, on stderr, if that is a terminal.
    pub(super) fn begin_bar(&mut self, lines: u64) -> ProgressBar {
        if std::io::stderr().is_terminal() {
            self.bar = ProgressBar::with_draw_target(Some(lines), ProgressDrawTarget::stderr_with_hz(5));
            self.bar.set_style(
                ProgressStyle::with_template(TEMPLATE).expect("the template is a constant, tested below"),
            );
        }
        self.bar.clone()
    }

    /// Takes the bar away.
    pub(super) fn end_bar(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
