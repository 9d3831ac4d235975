//! Answers that lack some partitions: what is known is printed, and who did not answer is named, in one line.
//!
//! What is always true: a command that lacks an answer does not end with success. It ends with 7 when some partitions
//! answered, and as the first failure says when none did.

use crate::exit::{Exit, Failure};

/// Partitions without an answer.
#[derive(Debug)]
pub(crate) struct Missing {
    /// What could not be done, in the words behind "partitions".
    what: &'static str,
    total: usize,
    failures: Vec<(String, Failure)>,
}

impl Missing {
    /// Of `total` partitions, none yet.
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        Self { what, total, failures: Vec::new() }
    }

    pub(crate) fn note(&mut self, partition: impl ToString, failure: Failure) {
        self.failures.push((partition.to_string(), failure));
    }

    /// Those of another list too.
    pub(crate) fn take(&mut self, others: Self) {
        self.failures.extend(others.failures);
    }

    pub(crate) fn count(&self) -> usize {
        self.failures.len()
    }

    /// What those from number `first` on lack, in one line; equal reasons are told once.
    pub(crate) fn told_from(&self, first: usize) -> String {
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for (partition, failure) in &self.failures[first..] {
            let reason = failure.message.clone();
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, partitions)) => partitions.push(partition),
                None => reasons.push((reason, vec![partition])),
            }
        }
        let told: Vec<_> = reasons
            .iter()
            .map(|(reason, partitions)| format!("{}: {reason}", partitions.join(", ")))
            .collect();
        format!("{} of {} partitions {}: {}", self.failures.len(), self.total, self.what, told.join("; "))
    }

    /// How a command ends that printed what is known.
    pub(crate) fn judge(self) -> Result<Exit, Failure> {
        let Some((_, first)) = self.failures.first() else { return Ok(Exit::Success) };
        let exit = if self.failures.len() < self.total { Exit::SomeFailed } else { first.exit };
        Err(Failure { exit, message: self.told_from(0), ..first.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(failures: &[&str]) -> Missing {
        let mut missing = Missing::new("did not answer", 3);
        for (partition, said) in failures.iter().enumerate() {
            missing.note(partition, Failure::new(Exit::Unreachable, *said));
        }
        missing
    }

    #[test]
    fn a_partial_answer_is_no_success_and_names_who_is_missing() {
        assert_eq!(missing(&[]).judge(), Ok(Exit::Success));
        let some = missing(&["gone", "gone"]).judge().unwrap_err();
        assert_eq!(
            (some.exit, &some.message[..]),
            (Exit::SomeFailed, "2 of 3 partitions did not answer: 0, 1: gone")
        );
        let all = missing(&["gone", "away", "gone"]).judge().unwrap_err();
        assert_eq!(
            (all.exit, &all.message[..]),
            (Exit::Unreachable, "3 of 3 partitions did not answer: 0, 2: gone; 1: away")
        );
    }
}
