//! `segment verify`: every checksum, and that no offset is missing, judged by the recovery points as a start does.

use std::path::PathBuf;

use fidelog_log::{OfflineDir, OfflinePartition, SegmentVerdict, VerifiedSegment};
use serde::Serialize;

use super::open::{Torn, open, torn};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows};
use crate::progress::Progress;
use crate::quantity::bytes;

/// Check every batch of segments: both checksums, order, no gap; exit code 8 when something is damaged
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog segment verify /var/lib/fidelog
  fidelog segment verify 00000000000000000000.log -o json

A torn tail is what a crash leaves at the end of the newest segment, beyond all that is known to be synced; the next
start cuts it. It is told, and no damage. What does not fit before that is damage. A segment outside its data directory
has no recovery point beside it: whether its tail is torn or damaged cannot be told then, and the exit code is 8.")]
pub(super) struct Verify {
    /// Segment files, or directories that hold some
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// What a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    TornTail,
    CannotTell,
    Damaged,
    Unreadable,
}

#[derive(Debug, Serialize)]
struct Verified {
    file: String,
    verdict: Verdict,
    base_offset: u64,
    end_offset: u64,
    batches: u64,
    records: u64,
    batch_bytes: u64,
    findings: Vec<String>,
}

impl Row for Verified {
    const COLUMNS: &'static [&'static str] =
        &["VERDICT", "BASE", "END", "BATCHES", "RECORDS", "SIZE", "FILE", "FINDINGS"];

    fn name(&self) -> String {
        self.file.clone()
    }

    fn cells(&self) -> Vec<String> {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::TornTail => "torn-tail",
            Verdict::CannotTell => "CANNOT-TELL",
            Verdict::Damaged => "DAMAGED",
            Verdict::Unreadable => "UNREADABLE",
        };
        let numbers = [self.base_offset, self.end_offset, self.batches, self.records];
        let mut cells = vec![verdict.to_owned()];
        cells.extend(numbers.map(|number| number.to_string()));
        cells.extend([bytes(self.batch_bytes), self.file.clone(), self.findings.join("; ")]);
        cells
    }
}

impl Verified {
    fn new(partition: &OfflinePartition, index: usize, found: &VerifiedSegment) -> Self {
        let mut findings: Vec<_> = found.header_misfit.iter().map(ToString::to_string).collect();
        findings.extend(found.damage.iter().map(|(position, offsets, misfit)| {
            let (start, end) = (offsets.start, offsets.end);
            format!("offsets {start} to {end} are lost, at byte {position}: {misfit}")
        }));
        let untold = found.damage_count.saturating_sub(found.damage.len() as u64);
        if untold > 0 {
            findings.push(format!("and {untold} damaged places more"));
        }
        findings.extend(found.unreadable.iter().map(ToString::to_string));
        let mut verdict = match found.verdict() {
            SegmentVerdict::Sound => Verdict::Ok,
            SegmentVerdict::TornTail => Verdict::TornTail,
            SegmentVerdict::Damaged => Verdict::Damaged,
            SegmentVerdict::Unreadable => Verdict::Unreadable,
        };
        match torn(partition, &partition.segments[index], found.tail.as_ref()) {
            Some(Torn::CannotTell(said)) => {
                verdict = if verdict == Verdict::TornTail { Verdict::CannotTell } else { verdict };
                findings.push(said);
            }
            Some(Torn::Told(said)) => findings.push(said),
            None => {}
        }
        if let Some(missing) = partition.missing().filter(|_| index == 0) {
            verdict = Verdict::Damaged;
            findings.push(format!(
                "offsets {} to {} are lost: their files are missing",
                missing.start, missing.end
            ));
        }
        Self {
            file: found.path.display().to_string(),
            verdict,
            base_offset: found.base.0,
            end_offset: found.end.0,
            batches: found.batches,
            records: found.records,
            batch_bytes: found.batch_bytes,
            findings,
        }
    }

    fn is_problem(&self) -> bool {
        !matches!(self.verdict, Verdict::Ok | Verdict::TornTail)
    }
}

fn verify(dir: &OfflineDir, progress: &Progress) -> Vec<Verified> {
    let mut verified = Vec::new();
    for partition in dir.partitions() {
        for (index, segment) in partition.segments.iter().enumerate() {
            let mut told = 0;
            let found = dir.verify_segment(partition, segment, &mut |position| {
                progress.advance(position.saturating_sub(told));
                told = told.max(position);
                true
            });
            verified.extend(found.map(|found| Verified::new(partition, index, &found)));
        }
    }
    verified
}

pub(super) fn run(context: &Context, command: &Verify) -> Result<Exit, Failure> {
    let dirs = command.paths.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let progress = Progress::bytes(context, Some(dirs.iter().map(OfflineDir::file_bytes).sum()));
    let verified: Vec<_> = dirs.iter().flat_map(|dir| verify(dir, &progress)).collect();
    progress.finish();
    let problems = verified.iter().filter(|segment| segment.is_problem()).count();
    let unclear = verified.iter().filter(|segment| segment.verdict == Verdict::CannotTell).count();
    let total = verified.len();
    context.print(&Rows(verified))?;
    match (problems, unclear) {
        (0, _) => Ok(Exit::Success),
        (problems, unclear) if problems == unclear => Err(Failure::new(
            Exit::Problem,
            format!("cannot tell a torn tail from damage in {unclear} of {total} segments"),
        )),
        _ => Err(Failure::new(Exit::Problem, format!("{problems} of {total} segments are damaged"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::Stored;
    use super::*;
    use crate::output::assert_golden;

    fn verdicts(stored: &Stored) -> Vec<Verdict> {
        let (dir, progress) = (open(stored.root()).unwrap(), Progress::none());
        verify(&dir, &progress).iter().map(|segment| segment.verdict).collect()
    }

    #[test]
    fn field_names_are_a_contract() {
        let verified = Verified {
            file: "00000000000000000005.log".into(),
            verdict: Verdict::Damaged,
            base_offset: 5,
            end_offset: 9,
            batches: 2,
            records: 4,
            batch_bytes: 300,
            findings: vec![
                "9 bytes at byte 364 are no batch: cut".into(),
                "offsets 5 to 6 are lost, at byte 64: bad".into(),
            ],
        };
        assert_golden(&Rows(vec![verified]), include_str!("../../golden/segment_verify.json"));
    }

    /// A bit flipped in the last batch of a broker that had stopped cleanly was called a torn tail, exit code 0: the
    /// recovery point beside it says that the batch was synced.
    #[test]
    fn what_does_not_fit_below_the_recovery_point_is_damage() {
        let stored = Stored::new();
        assert_eq!(verdicts(&stored), [Verdict::Ok]);
        stored.change(|bytes| {
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes[last] ^= 1;
        });
        assert_eq!(verdicts(&stored), [Verdict::Damaged]);

        let stored = Stored::new();
        stored.change(|bytes| bytes.truncate(stored.middle()));
        assert_eq!(verdicts(&stored), [Verdict::Damaged], "cut short");
    }

    #[test]
    fn without_a_recovery_point_a_torn_tail_cannot_be_told_from_damage() {
        let stored = Stored::new();
        stored.change(|bytes| bytes[stored.middle()..].fill(1));
        let bare = stored.bare();
        let found = verify(&open(bare.path()).unwrap(), &Progress::none());
        assert_eq!(found[0].verdict, Verdict::CannotTell);
        assert!(found[0].findings[0].contains("cannot tell"), "{:?}", found[0].findings);
    }
}
