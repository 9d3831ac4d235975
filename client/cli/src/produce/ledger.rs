//! What became of each line, and where to go on. Pure.
//!
//! Outcomes come in the order of the lines. `skip` is where another attempt goes on: every line before it is
//! acknowledged.
//!
//! ```text
//!  skipped | acked acked acked | failed  acked unknown acked | never sent
//!                              ^ skip    \_ beyond: sent again by another attempt
//! ```

/// Counts of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) acked: u64,
    /// Certainly not stored.
    pub(super) refused: u64,
    /// Perhaps stored.
    pub(super) unknown: u64,
    /// Acknowledged behind a line that was not.
    pub(super) beyond: u64,
    first_missing: Option<u64>,
    last_line: u64,
}

/// What became of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Acked,
    Refused,
    Unknown,
}

impl Ledger {
    /// Nothing sent; `skipped` lines were passed over.
    pub(super) fn new(skipped: u64) -> Self {
        Self { last_line: skipped, ..Self::default() }
    }

    pub(super) fn note(&mut self, line: u64, outcome: Outcome) {
        match outcome {
            Outcome::Acked => {
                self.acked += 1;
                self.beyond += u64::from(self.first_missing.is_some());
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
        }
        if outcome != Outcome::Acked {
            self.first_missing.get_or_insert(line);
        }
        self.last_line = line;
    }

    /// How many lines another attempt passes over.
    pub(super) fn skip(&self) -> u64 {
        self.first_missing.map_or(self.last_line, |line| line - 1)
    }

    /// What was acknowledged, and how to go on.
    pub(super) fn how_to_go_on(&self) -> String {
        let mut said = format!("{} acknowledged; go on with --skip {}", records(self.acked), self.skip());
        if self.beyond > 0 {
            said += &format!(", which sends {} acknowledged behind it again", records(self.beyond));
        }
        if self.unknown > 0 {
            said += &format!("; the outcome of {} is unknown: they may be stored", records(self.unknown));
        }
        said
    }
}

/// `1 record`, `2 records`.
pub(super) fn records(count: u64) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger(skipped: u64, outcomes: &[Outcome]) -> Ledger {
        let mut ledger = Ledger::new(skipped);
        for (index, outcome) in outcomes.iter().enumerate() {
            ledger.note(skipped + 1 + index as u64, *outcome);
        }
        ledger
    }

    #[test]
    fn going_on_leaves_no_gap() {
        use Outcome::{Acked, Refused, Unknown};
        assert_eq!(ledger(0, &[]).skip(), 0);
        assert_eq!(ledger(120, &[]).skip(), 120);
        assert_eq!(ledger(0, &[Acked, Acked]).skip(), 2);
        assert_eq!(ledger(10, &[Acked, Refused, Acked]).skip(), 11);
        let mixed = ledger(0, &[Acked, Unknown, Acked, Refused, Acked]);
        assert_eq!((mixed.skip(), mixed.acked, mixed.beyond, mixed.unknown, mixed.refused), (1, 3, 2, 1, 1));
    }

    #[test]
    fn the_sentence_names_the_numbers() {
        use Outcome::{Acked, Unknown};
        let said = ledger(5, &[Acked, Unknown, Acked]).how_to_go_on();
        let expected = "2 records acknowledged; go on with --skip 6, which sends 1 record acknowledged behind it \
                        again; the outcome of 1 record is unknown: they may be stored";
        assert_eq!(said, expected);
    }

    proptest! {
        #[test]
        fn every_line_before_the_skip_is_acknowledged(codes in prop::collection::vec(0u8..3, 0..50), skipped in 0u64..9) {
            let outcomes: Vec<_> =
                codes.iter().map(|code| [Outcome::Acked, Outcome::Refused, Outcome::Unknown][*code as usize]).collect();
            let ledger = ledger(skipped, &outcomes);
            let done = usize::try_from(ledger.skip() - skipped).unwrap();
            prop_assert!(outcomes[..done].iter().all(|outcome| *outcome == Outcome::Acked));
            prop_assert!(outcomes.get(done).is_none_or(|outcome| *outcome != Outcome::Acked));
            prop_assert_eq!(ledger.acked, done as u64 + ledger.beyond);
        }
    }
}
