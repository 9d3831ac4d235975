//! `segment verify`: every checksum, and that no offset is missing.

use std::path::PathBuf;

use serde::Serialize;

use super::files::{self, SegmentFile};
use super::walk::{Found, Tail, Walk};
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

A torn tail is what a crash leaves at the end of the newest segment; the next start cuts it. It is told, and no damage.")]
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
    Damaged,
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
            Verdict::Damaged => "DAMAGED",
        };
        let numbers = [self.base_offset, self.end_offset, self.batches, self.records];
        let mut cells = vec![verdict.to_owned()];
        cells.extend(numbers.map(|number| number.to_string()));
        cells.extend([bytes(self.batch_bytes), self.file.clone(), self.findings.join("; ")]);
        cells
    }
}

fn verify(segment: &SegmentFile, progress: &Progress) -> Result<Verified, Failure> {
    let open = files::open(segment)?;
    let mut verified = Verified {
        file: segment.path.display().to_string(),
        verdict: Verdict::Ok,
        base_offset: segment.base.0,
        end_offset: segment.base.0,
        batches: 0,
        records: 0,
        batch_bytes: 0,
        findings: Vec::new(),
    };
    let header = match open.header {
        Ok(header) => header,
        Err(misfit) => {
            verified.damage(misfit);
            return Ok(verified);
        }
    };
    let mut walk = Walk::new(open.file, open.file_bytes, header.partition, header.base, segment.end);
    let mut told = 0;
    while let Some(found) = walk.step().map_err(|error| files::failed(&segment.path, &error))? {
        verified.note(found);
        progress.advance(walk.position() - told);
        told = walk.position();
    }
    progress.advance(open.file_bytes.saturating_sub(told));
    verified.end_offset = walk.next_offset().0;
    verified.note_tail(walk.tail());
    Ok(verified)
}

impl Verified {
    fn damage(&mut self, finding: String) {
        self.verdict = Verdict::Damaged;
        self.findings.push(finding);
    }

    fn note(&mut self, found: Found) {
        match found {
            Found::Batch { header, .. } => {
                self.batches += 1;
                self.records += u64::from(header.record_count);
                self.batch_bytes += u64::from(header.length);
            }
            Found::Damage { position, offsets, misfit } => {
                let (start, end) = (offsets.start, offsets.end);
                self.damage(format!("offsets {start} to {end} are lost, at byte {position}: {misfit}"));
            }
        }
    }

    fn note_tail(&mut self, tail: Option<&Tail>) {
        let Some(Tail::Torn { position, bytes, misfit }) = tail else { return };
        if self.verdict == Verdict::Ok {
            self.verdict = Verdict::TornTail;
        }
        self.findings.push(format!("{bytes} bytes at byte {position} are no batch: {misfit}"));
    }
}

pub(super) fn run(context: &Context, command: &Verify) -> Result<Exit, Failure> {
    let mut segments = Vec::new();
    for path in &command.paths {
        segments.extend(files::find(path)?);
    }
    let file_bytes = segments.iter().map(|segment| Ok(files::open(segment)?.file_bytes));
    let progress = Progress::bytes(context, Some(file_bytes.sum::<Result<u64, Failure>>()?));
    let verified = segments.iter().map(|segment| verify(segment, &progress)).collect::<Result<Vec<_>, _>>();
    progress.finish();
    let verified = verified?;
    let damaged = verified.iter().filter(|segment| segment.verdict == Verdict::Damaged).count();
    let total = verified.len();
    context.print(&Rows(verified))?;
    match damaged {
        0 => Ok(Exit::Success),
        _ => Err(Failure::new(Exit::Problem, format!("{damaged} of {total} segments are damaged"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let mut verified = Verified {
            file: "00000000000000000005.log".into(),
            verdict: Verdict::Ok,
            base_offset: 5,
            end_offset: 9,
            batches: 2,
            records: 4,
            batch_bytes: 300,
            findings: Vec::new(),
        };
        verified.note_tail(Some(&Tail::Torn { position: 364, bytes: 9, misfit: "cut".into() }));
        assert_eq!(verified.verdict, Verdict::TornTail);
        verified.note(Found::Damage { position: 64, offsets: 5..6, misfit: "bad".into() });
        assert_golden(&Rows(vec![verified]), include_str!("../../golden/segment_verify.json"));
    }
}
