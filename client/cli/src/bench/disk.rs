//! `bench disk`: what one append and its sync cost in a directory, through the log's own way to the disk.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fidelog_log::env::{Disk as _, DiskFile, FilesystemKind, OpenMode, RealDisk};
use serde::Serialize;

use super::latency::{Latency, LatencyReport};
use super::per_second;
use super::produce::throughput;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Show, Table};
use crate::quantity::{parse_duration, parse_size};

/// Measure a disk: appends that are synced one by one, as a log does it
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog bench disk /var/lib/fidelog
  fidelog bench disk . --size 64k --duration 10s -o json

A file is made in the directory and removed at the end. Run it on the disk that will hold the data.")]
pub(super) struct Disk {
    /// Where
    directory: PathBuf,
    /// Bytes of each append
    #[arg(long, value_name = "SIZE", default_value = "4k", value_parser = parse_size)]
    size: usize,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,
    /// Size of the file; it is written from its start again when it is full
    #[arg(long, value_name = "SIZE", default_value = "256m", value_parser = parse_size)]
    file_size: usize,
}

#[derive(Debug, Serialize)]
struct DiskReport {
    bench: &'static str,
    directory: String,
    filesystem: String,
    append_bytes: usize,
    seconds: f64,
    appends: u64,
    appends_per_s: f64,
    bytes_per_s: f64,
    append_us: LatencyReport,
    sync_us: LatencyReport,
}

impl Show for DiskReport {
    fn names(&self) -> Vec<String> {
        vec![self.bench.to_owned()]
    }

    fn table(&self, _: bool) -> String {
        let Self { directory, filesystem, append_bytes, seconds, appends, .. } = self;
        let facts = Table::facts([
            ("directory", format!("{directory} ({filesystem})")),
            ("appended", format!("{appends} times {append_bytes} B in {seconds:.1} s, each synced")),
            ("throughput", throughput("appends", self.appends_per_s, self.bytes_per_s)),
        ]);
        let mut times = Table::new(&LatencyReport::COLUMNS);
        times.push(self.append_us.cells("append"));
        times.push(self.sync_us.cells("sync"));
        format!("{facts}\n\n{times}")
    }
}

pub(super) async fn run(context: &Context, command: Disk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    if command.size > command.file_size {
        let Disk { size, file_size, .. } = command;
        return Err(Failure::usage(format!("--size is {size} bytes, more than --file-size, {file_size}")));
    }
    let pressed = interrupts.clone();
    let measured = tokio::task::spawn_blocking(move || measure(&command, || pressed.any()));
    let report = measured.await.map_err(|error| Failure::new(Exit::Failure, error.to_string()))??;
    context.print(&report)?;
    super::ended(interrupts)
}

/// A file that is gone when this is.
struct Scratch {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Scratch {
    fn new(directory: &Path, file_bytes: u64) -> std::io::Result<Self> {
        let path = directory.join(format!("fidelog-bench-{}", std::process::id()));
        let file = RealDisk.open(&path, OpenMode::CreateNew)?;
        let scratch = Self { path, file };
        scratch.file.allocate(0..file_bytes)?;
        scratch.file.sync_data()?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = RealDisk.remove_file(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

fn measure(command: &Disk, stop: impl Fn() -> bool) -> Result<DiskReport, Failure> {
    let Disk { directory, size, duration, file_size } = command;
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failure, format!("{}: {error}", directory.display()));
    let filesystem = match RealDisk.filesystem(directory).map_err(failed)? {
        FilesystemKind::Disk => "disk".to_owned(),
        FilesystemKind::Memory(kind) => format!("{kind}: memory, the numbers say nothing of a disk"),
        FilesystemKind::Network(kind) => format!("{kind}: a broker refuses it"),
    };
    let (append_bytes, file_bytes) = (*size as u64, *file_size as u64);
    let scratch = Scratch::new(directory, file_bytes).map_err(failed)?;
    let bytes = vec![0xa5; *size];
    let (mut append, mut sync, mut appends, mut position) = (Latency::default(), Latency::default(), 0, 0);
    let began = Instant::now();
    while began.elapsed() < *duration && !stop() {
        if position + append_bytes > file_bytes {
            position = 0;
        }
        let writing = Instant::now();
        scratch.file.write_all_at(&[IoSlice::new(&bytes)], position).map_err(failed)?;
        let syncing = Instant::now();
        // A failed sync ends the run: it is never tried again.
        scratch.file.sync_data().map_err(failed)?;
        append.note(syncing - writing);
        sync.note(syncing.elapsed());
        position += append_bytes;
        appends += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(DiskReport {
        bench: "disk",
        directory: directory.display().to_string(),
        filesystem,
        append_bytes: *size,
        seconds: (seconds * 1000.0).round() / 1000.0,
        appends,
        appends_per_s: per_second(appends, seconds),
        bytes_per_s: per_second(appends * append_bytes, seconds),
        append_us: append.report(),
        sync_us: sync.report(),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_run_counts_its_appends_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let command = Disk {
            directory: directory.path().into(),
            size: 100,
            duration: Duration::from_secs(3600),
            file_size: 250,
        };
        let rounds = Cell::new(0);
        let stop = || {
            rounds.set(rounds.get() + 1);
            rounds.get() > 5
        };
        let report = measure(&command, stop).unwrap();
        assert_eq!(report.appends, 5);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
