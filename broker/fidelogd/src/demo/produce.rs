//! Every line becomes a record, while somebody else kills a broker.
//!
//! ```text
//!   first third, acknowledged | second third, under way while the broker is killed | last third, once it is dead
//! ```
//!
//! What is always true: lines are handed over in their order, by one task; a line is in the ledger if and only if
//! there is a receipt for it.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fidelog_client::{Delivery, Producer, Record};
use indicatif::ProgressBar;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::input::{Lines, Place};
use super::ledger::{Ledger, PartitionLedger};

/// Deliveries of one partition that may wait for their receipts; bounds the memory beyond the producer's own.
const WAITING_MAX: usize = 64 << 10;

/// How far it has come, for people.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    handed: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    bar: ProgressBar,
}

impl Tally {
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self { handed: Arc::default(), acknowledged: Arc::default(), bar }
    }

    /// Lines handed over to the producer.
    pub(super) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Relaxed)
    }

    /// Lines with a receipt.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.bar.inc(1);
    }
}

/// How production and the kill wait for each other.
#[derive(Debug)]
pub(super) struct Gate {
    /// The first third is acknowledged: the time to kill.
    pub(super) third: oneshot::Sender<()>,
    /// The broker is dead: the last third may begin.
    pub(super) killed: oneshot::Receiver<()>,
}

/// How production ended.
#[derive(Debug)]
pub(super) struct Produced {
    /// Every receipt.
    pub(super) ledger: Ledger,
    /// What kept it from the end, naming the line.
    pub(super) stopped: Option<String>,
}

/// A line whose receipt is waited for.
struct Handed {
    line: u64,
    place: Place,
    delivery: Delivery,
}

/// Produces all `lines`, of which there are `count`.
pub(super) async fn produce(
    producer: Producer,
    mut lines: Lines<BufReader<File>>,
    count: u64,
    gate: Gate,
    tally: Tally,
) -> Produced {
    let collectors: Vec<_> =
        (0..producer.partition_count()).map(|_| Collector::start(tally.clone())).collect();
    let mut stopped = hand_over(&producer, &mut lines, count, gate, &collectors, &tally).await.err();
    let mut ledger = Ledger::default();
    for collector in collectors {
        let (partition, failure) = collector.end().await;
        ledger.0.push(partition);
        stopped = stopped.or(failure);
    }
    Produced { ledger, stopped }
}

async fn hand_over(
    producer: &Producer,
    lines: &mut Lines<BufReader<File>>,
    count: u64,
    gate: Gate,
    collectors: &[Collector],
    tally: &Tally,
) -> Result<(), String> {
    let (mut third, mut killed) = (Some(gate.third), Some(gate.killed));
    while let Some(line) = lines.next_line().map_err(|error| error.to_string())? {
        // A file shorter than three lines has its one kill behind its end, below.
        if line.number > count / 3
            && let Some(third) = third.take()
        {
            reach(producer, third).await;
        }
        if line.number > count - count / 3
            && let Some(killed) = killed.take()
        {
            // A killer that is gone ends the demo; nothing is waited for then.
            let _gone = killed.await;
        }
        let (number, place) = (line.number, line.place);
        let delivery = producer.send(Record::new(line.bytes)).await;
        let delivery = delivery.map_err(|error| format!("line {number} was not taken: {error}"))?;
        let collector = &collectors[delivery.partition() as usize];
        tally.handed.fetch_add(1, Ordering::Relaxed);
        if collector.handed.send(Handed { line: number, place, delivery }).await.is_err() {
            // It ended with a failure, which it tells.
            return Ok(());
        }
    }
    if let Some(third) = third {
        reach(producer, third).await;
    }
    Ok(())
}

async fn reach(producer: &Producer, third: oneshot::Sender<()>) {
    // What fails is told by each delivery.
    let _told = producer.flush().await;
    let _gone = third.send(());
}

/// Waits for the receipts of one partition, in the order of its lines.
struct Collector {
    handed: mpsc::Sender<Handed>,
    task: JoinHandle<(PartitionLedger, Option<String>)>,
}

impl Collector {
    fn start(tally: Tally) -> Self {
        let (handed, waiting) = mpsc::channel(WAITING_MAX);
        Self { handed, task: tokio::spawn(collect(waiting, tally)) }
    }

    async fn end(self) -> (PartitionLedger, Option<String>) {
        drop(self.handed);
        self.task.await.expect("a panic aborts the process, and nobody aborts the task")
    }
}

/// Ends at the first failure; what was handed over behind it is still asked for.
async fn collect(mut waiting: mpsc::Receiver<Handed>, tally: Tally) -> (PartitionLedger, Option<String>) {
    let (mut ledger, mut failure) = (PartitionLedger::default(), None);
    while let Some(Handed { line, place, delivery }) = waiting.recv().await {
        match delivery.await {
            Ok(receipt) => {
                ledger.enter(line, place, &receipt);
                tally.acknowledge();
            }
            Err(error) => {
                waiting.close();
                failure.get_or_insert(format!("line {line}: {error}"));
            }
        }
    }
    (ledger, failure)
}
