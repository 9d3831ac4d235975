//! How long opening takes: many small partitions, and one large log; after a clean stop and after a kill.
//!
//! `cargo run --release --example start_up`; `FIDELOG_PARTITIONS` (default 10,000; 0 for none), `FIDELOG_LOG_MIB`
//! (default 1,024; 0 for none). Open files must be allowed for all partitions at once.

mod small_broker;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fidelog_log::{Log, RecoveryReport};
use small_broker::{SmallBroker, config, number, partition};

const MIB: u64 = 1024 * 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if let (Some(what), Some(root)) = (arguments.next(), arguments.next()) {
        let count = arguments.next().expect("a third argument").parse().expect("a number");
        return write(&what, Path::new(&root), count);
    }
    let partitions = number("FIDELOG_PARTITIONS", 10_000);
    let log_mib = number("FIDELOG_LOG_MIB", 1024);
    for (what, count) in [("partitions", partitions), ("log", log_mib)] {
        for end in ["clean", "killed"] {
            if count > 0 {
                measure(what, end, count);
            }
        }
    }
}

/// Writes in a process of its own, which ends as told, and opens what it left.
fn measure(what: &str, end: &str, count: u64) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("data");
    let this = std::env::current_exe().expect("this program has a path");
    let begun = Instant::now();
    let status = Command::new(this).arg(format!("{what}-{end}")).arg(&root).arg(count.to_string()).status();
    assert!(status.expect("this program runs again").success());
    println!("{what} {count}, {end}: written in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let home = SmallBroker::home(&root, config());
    println!("  data directory opened in {:.1?}", begun.elapsed());
    let parts = home.partitions().expect("the disk answers");
    let opened = open_all(&home, u32::try_from(parts.len()).expect("a count of partitions"));
    let (scanned, rewritten) = opened.iter().fold((0, 0), |(scanned, rewritten), (_, report)| {
        (scanned + report.scanned_bytes, rewritten + report.rewritten_bytes)
    });
    println!(
        "  {} logs opened in {:.1?}; {scanned} bytes scanned, {rewritten} written again",
        opened.len(),
        begun.elapsed()
    );
    home.checkpoint().expect("the disk answers");
    println!("  with recovery points {:.1?}; {} MiB of disk", begun.elapsed(), disk_mib(&root));
}

/// Eight at a time, as the broker does.
fn open_all(home: &std::sync::Arc<fidelog_log::DataDir>, count: u32) -> Vec<(Log, RecoveryReport)> {
    const THREADS: u32 = 8;
    std::thread::scope(|scope| {
        let open = |thread: u32| {
            let mine = (0..count).filter(move |index| index % THREADS == thread);
            mine.map(|index| Log::open(home, partition(index)).expect("a sound log")).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || open(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn disk_mib(path: &Path) -> u64 {
    let output = Command::new("du").arg("-sm").arg(path).output().expect("du is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().and_then(|mib| mib.parse().ok()).unwrap_or(0)
}

fn write(what: &str, root: &Path, count: u64) {
    let (what, end) = what.split_once('-').expect("what and how it ends");
    let mut broker = match what {
        "partitions" => many(root, u32::try_from(count).expect("a count of partitions")),
        _ => large(root, count * MIB),
    };
    if end == "clean" {
        broker.flusher.shutdown().expect("the disk answers");
        return;
    }
    // Something a recovery point does not cover yet; then as a kill leaves it: nothing is stopped or stored.
    broker.append(0, 1000);
    broker.flush();
    std::process::exit(0);
}

fn many(root: &Path, count: u32) -> SmallBroker {
    let mut broker = SmallBroker::create(root, count, config());
    for index in 0..count as usize {
        broker.append(index, 1000);
        if index % 500 == 499 {
            broker.flush();
        }
    }
    broker.flush();
    broker
}

fn large(root: &Path, bytes: u64) -> SmallBroker {
    let mut broker = SmallBroker::create(root, 1, config());
    let mut written = 0;
    while written < bytes {
        for _ in 0..16 {
            written += broker.append(0, 60_000);
        }
        broker.flush();
    }
    broker
}
