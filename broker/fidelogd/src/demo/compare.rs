//! What came out against what went in: byte for byte, in order, nothing missing, nothing twice.
//!
//! Pure but for reading the original lines. A record is looked up by (partition, offset) in the receipts; the line that
//! its receipt was given for must have the record's bytes.

use std::fmt;
use std::io;

use super::input::Original;
use super::ledger::Ledger;
use crate::local::terminal::grouped;

/// How many differences are told one by one.
const TOLD_MAX: usize = 10;

/// A comparison under way.
#[derive(Debug)]
pub(super) struct Comparison {
    ledger: Ledger,
    seen: Vec<Vec<bool>>,
    /// The offset that comes next, by partition.
    next: Vec<u64>,
    verdict: Verdict,
    line: Vec<u8>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Lines that were handed over.
    pub(super) lines: u64,
    /// Lines with a receipt.
    pub(super) acknowledged: u64,
    /// Records that were read.
    pub(super) read: u64,
    /// Records that are their line, byte for byte.
    pub(super) same: u64,
    /// Records whose bytes are others.
    pub(super) different: u64,
    /// Lines with a receipt that were not read.
    pub(super) missing: u64,
    /// Records read again.
    pub(super) twice: u64,
    /// Records that no receipt names.
    pub(super) unexpected: u64,
    /// Records that came behind a later one, or lines stored behind a later one.
    pub(super) out_of_order: u64,
    /// Offsets that were skipped.
    pub(super) holes: u64,
    /// Lines acknowledged by a single broker.
    pub(super) unreplicated: u64,
    /// The first differences, in words.
    pub(super) told: Vec<String>,
}

impl Comparison {
    /// Of what will be read with what was handed over, `lines`, and acknowledged.
    pub(super) fn new(lines: u64, ledger: Ledger) -> Self {
        let alone = ledger.by_replicas().into_iter().filter(|(replicas, _)| *replicas < 2);
        let mut verdict = Verdict {
            lines,
            acknowledged: ledger.lines(),
            unreplicated: alone.map(|(_, lines)| lines).sum(),
            ..Verdict::default()
        };
        for (partition, of_partition) in ledger.0.iter().enumerate() {
            for pair in of_partition.entries().windows(2) {
                if pair[0].offset >= pair[1].offset {
                    verdict.out_of_order += 1;
                    verdict.tell(format_args!(
                        "line {} is stored at {partition}/{}, and the later line {} at {partition}/{}",
                        pair[0].line, pair[0].offset, pair[1].line, pair[1].offset
                    ));
                }
            }
        }
        let seen = ledger.0.iter().map(|partition| vec![false; partition.entries().len()]).collect();
        let next = vec![0; ledger.0.len()];
        Self { ledger, seen, next, verdict, line: Vec::new() }
    }

    /// Takes the next record that was read.
    ///
    /// # Errors
    /// When the original line cannot be read again.
    pub(super) fn take(
        &mut self,
        (partition, offset): (u32, u64),
        value: Option<&[u8]>,
        original: &impl Original,
    ) -> io::Result<()> {
        let verdict = &mut self.verdict;
        verdict.read += 1;
        let index = partition as usize;
        let Some(next) = self.next.get_mut(index) else {
            verdict.unexpected += 1;
            verdict.tell(format_args!("{partition}/{offset}: there is no such partition"));
            return Ok(());
        };
        let entries = self.ledger.0[index].entries();
        let found = entries.binary_search_by_key(&offset, |entry| entry.offset);
        let again = found.is_ok_and(|found| std::mem::replace(&mut self.seen[index][found], true));
        if again {
            verdict.twice += 1;
            verdict.tell(format_args!("{partition}/{offset}: read twice"));
        } else if offset < *next {
            verdict.out_of_order += 1;
            verdict.tell(format_args!("{partition}/{offset}: read behind {partition}/{}", *next - 1));
        } else if offset > *next {
            verdict.holes += offset - *next;
            verdict.tell(format_args!("{partition}/{offset}: {partition}/{} was expected next", *next));
        }
        *next = offset + 1;
        let Some(entry) = found.ok().map(|found| entries[found]) else {
            verdict.unexpected += 1;
            verdict.tell(format_args!("{partition}/{offset}: no receipt names it"));
            return Ok(());
        };
        original.line(entry.place, &mut self.line)?;
        if value == Some(&self.line[..]) {
            verdict.same += u64::from(!again);
        } else {
            verdict.different += 1;
            verdict
                .tell(format_args!("{partition}/{offset}: the bytes are not those of line {}", entry.line));
        }
        Ok(())
    }

    /// What was found, when everything was read.
    pub(super) fn verdict(mut self) -> Verdict {
        for (partition, (of_partition, seen)) in self.ledger.0.iter().zip(&self.seen).enumerate() {
            for (entry, _) in of_partition.entries().iter().zip(seen).filter(|(_, seen)| !**seen) {
                self.verdict.missing += 1;
                let (line, offset) = (entry.line, entry.offset);
                self.verdict
                    .tell(format_args!("line {line}, acknowledged at {partition}/{offset}: not read"));
            }
        }
        self.verdict
    }
}

impl Verdict {
    fn tell(&mut self, difference: fmt::Arguments<'_>) {
        if self.told.len() < TOLD_MAX {
            self.told.push(difference.to_string());
        }
    }

    /// Whether everything is as it must be.
    pub(super) fn is_good(&self) -> bool {
        let wrong = self.different + self.missing + self.twice + self.unexpected;
        let wrong = wrong + self.out_of_order + self.holes + self.unreplicated;
        wrong == 0 && self.same == self.lines && self.read == self.lines && self.acknowledged == self.lines
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lines, acknowledged, read, same] =
            [self.lines, self.acknowledged, self.read, self.same].map(grouped);
        writeln!(
            f,
            "  {lines} lines in, {acknowledged} acknowledged, {read} records out, {same} the same byte for byte"
        )?;
        let counts = [
            (self.missing, "missing"),
            (self.twice, "twice"),
            (self.different, "different"),
            (self.unexpected, "never acknowledged"),
            (self.out_of_order, "out of order"),
            (self.holes, "skipped offsets"),
            (self.unreplicated, "acknowledged by one broker alone"),
        ];
        let counts: Vec<_> =
            counts.iter().map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        write!(f, "  {}", counts.join(", "))?;
        self.told.iter().try_for_each(|told| write!(f, "\n  ! {told}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::Place;
    use super::super::ledger::PartitionLedger;
    use super::super::ledger::tests::receipt;
    use super::*;

    const TEXT: &[u8] = b"zero\none\r\n\n\xff";
    const LINES: [(u64, u32); 4] = [(0, 4), (5, 4), (10, 0), (11, 1)];

    /// Lines 1, 2 and 4 in partition 0, line 3 in partition 1.
    fn ledger(offsets: [u64; 4]) -> Ledger {
        let mut partitions = vec![PartitionLedger::default(); 2];
        for (number, ((begin, bytes), offset)) in (1..).zip(LINES.into_iter().zip(offsets)) {
            let receipt = receipt(Some(offset), 3, 0);
            partitions[usize::from(number == 3)].enter(number, Place { begin, bytes }, &receipt);
        }
        Ledger(partitions)
    }

    fn verdict(read: &[(u32, u64, &[u8])]) -> Verdict {
        let mut comparison = Comparison::new(4, ledger([0, 1, 0, 2]));
        for (partition, offset, value) in read {
            comparison.take((*partition, *offset), Some(value), &TEXT).unwrap();
        }
        comparison.verdict()
    }

    const GOOD: [(u32, u64, &[u8]); 4] = [(0, 0, b"zero"), (1, 0, b""), (0, 1, b"one\r"), (0, 2, b"\xff")];

    #[test]
    fn the_same_bytes_in_order_are_good() {
        let good = verdict(&GOOD);
        assert!(good.is_good(), "{good}");
        assert_eq!((good.same, good.told.len()), (4, 0));
    }

    #[test]
    fn every_difference_is_counted_and_is_not_good() {
        let missing = verdict(&GOOD[..3]);
        let different = verdict(&[GOOD[0], GOOD[1], (0, 1, b"one"), GOOD[3]]);
        let twice = verdict(&[GOOD[0], GOOD[0], GOOD[1], GOOD[2], GOOD[3]]);
        let unexpected = verdict(&[GOOD[0], GOOD[1], GOOD[2], GOOD[3], (0, 3, b"x")]);
        let nowhere = verdict(&[GOOD[0], GOOD[1], GOOD[2], GOOD[3], (9, 0, b"x")]);
        let swapped = verdict(&[GOOD[0], GOOD[1], GOOD[3], GOOD[2]]);
        let exchanged = verdict(&[(0, 0, b"one\r"), GOOD[1], (0, 1, b"zero"), GOOD[3]]);
        let counts = [
            (&missing, missing.missing, 1),
            (&different, different.different, 1),
            (&twice, twice.twice, 1),
            (&unexpected, unexpected.unexpected, 1),
            (&nowhere, nowhere.unexpected, 1),
            (&swapped, swapped.out_of_order, 1),
            (&swapped, swapped.holes, 1),
            (&exchanged, exchanged.different, 2),
        ];
        for (verdict, count, expected) in counts {
            assert!(count == expected && !verdict.is_good() && !verdict.told.is_empty(), "{verdict}");
        }
    }

    #[test]
    fn a_null_is_not_an_empty_line() {
        let mut comparison = Comparison::new(4, ledger([0, 1, 0, 2]));
        comparison.take((1, 0), None, &TEXT).unwrap();
        assert_eq!(comparison.verdict().different, 1);
    }

    #[test]
    fn receipts_tell_on_their_own() {
        let swapped = Comparison::new(4, ledger([1, 0, 0, 2])).verdict();
        assert_eq!(swapped.out_of_order, 1);
        let mut partition = PartitionLedger::default();
        partition.enter(1, Place { begin: 0, bytes: 4 }, &receipt(Some(0), 1, 0));
        let mut comparison = Comparison::new(1, Ledger(vec![partition]));
        comparison.take((0, 0), Some(b"zero"), &TEXT).unwrap();
        let verdict = comparison.verdict();
        assert!(verdict.unreplicated == 1 && verdict.same == 1 && !verdict.is_good(), "{verdict}");
    }

    #[test]
    fn an_unacknowledged_line_is_not_good() {
        let mut comparison = Comparison::new(5, ledger([0, 1, 0, 2]));
        for (partition, offset, value) in GOOD {
            comparison.take((partition, offset), Some(value), &TEXT).unwrap();
        }
        assert!(!comparison.verdict().is_good());
    }
}
