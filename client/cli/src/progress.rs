//! A progress bar on stderr, where somebody sees it; nothing otherwise.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::context::Context;

/// Progress through bytes of known or unknown number.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Through `bytes`, or through nobody knows how many.
    pub(crate) fn bytes(context: &Context, bytes: Option<u64>) -> Self {
        if !context.shows_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let (bar, template) = match bytes {
            Some(bytes) => {
                (ProgressBar::new(bytes), "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}")
            }
            None => (ProgressBar::no_length(), "{bytes} {bytes_per_sec} {msg}"),
        };
        bar.set_style(
            ProgressStyle::with_template(template).expect("the template is a constant, tested below"),
        );
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        Self { bar }
    }

    /// Through so many things.
    pub(crate) fn items(context: &Context, count: u64) -> Self {
        if !context.shows_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(count);
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template is a constant, tested below"));
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        Self { bar }
    }

    /// So many are done.
    pub(crate) fn reach(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// One that nobody sees.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_templates() {
        for template in [
            "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}",
            "{bytes} {bytes_per_sec} {msg}",
            "{bar:32} {pos}/{len} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
