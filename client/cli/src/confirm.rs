//! Asking before something is changed that cannot be taken back.
//!
//! A terminal is asked; a script says `--yes`. Without either nothing is done.

use std::io::{BufRead, IsTerminal, Write};

use crate::exit::{Exit, Failure};

/// `--yes`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Consent {
    /// Do not ask; for scripts
    #[arg(short = 'y', long)]
    yes: bool,
}

impl Consent {
    /// Goes on only with consent to `what`.
    pub(crate) fn ask(self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Failure::usage(format!("{what}: nobody can be asked here; give --yes to go ahead")));
        }
        ask(what, &mut std::io::stdin().lock(), &mut std::io::stderr().lock())
    }
}

fn ask(what: &str, answers: &mut impl BufRead, prompt: &mut impl Write) -> Result<(), Failure> {
    let refused = || Failure::new(Exit::Interrupted, "nothing was changed");
    write!(prompt, "{what}? [y/N] ").and_then(|()| prompt.flush()).map_err(|_| refused())?;
    let mut answer = String::new();
    answers.read_line(&mut answer).map_err(|_| refused())?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let answer = |text: &str| ask("Delete", &mut text.as_bytes(), &mut Vec::new()).is_ok();
        assert!(answer("y\n") && answer("yes\n") && answer("Y"));
        assert!(!answer("\n") && !answer("") && !answer("no\n") && !answer("yess\n"));
    }
}
