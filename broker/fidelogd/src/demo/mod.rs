//! `demo`: the main job before the reader's eyes.
//!
//! Three brokers; every line of a text produced while the one that leads most is killed with -9, its leaderships move, and
//! it is brought back; everything read through a group that stops half-way and resumes; what came out compared with what went in, byte for byte.
//!
//! | file | what it holds |
//! |---|---|
//! | `input` | the text: a copy of it, its lines |
//! | `produce` | lines become records, receipts are collected |
//! | `ledger` | which line was acknowledged where |
//! | `consume` | the two readers |
//! | `compare` | the verdict |
//! | `story`, `words` | what people see |

mod compare;
mod consume;
mod input;
mod ledger;
mod produce;
mod story;
mod words;

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use fidelog_client::types::limits::RECORD_BYTES_MAX_DEFAULT;
use fidelog_client::{Client, Event, NewTopic};
use tokio::sync::oneshot;
use tracing::info;

use compare::{Comparison, Verdict};
use consume::Reader;
use input::{Lines, Size, Source};
use produce::{Gate, Produced, Tally};
use story::Story;

use crate::args::{Demo, LogArgs};
use crate::dev::Program;
use crate::local::terminal::{grouped, interruption, say};
use crate::local::{Home, Kind, LocalCluster, Ports, default_dir};
use crate::{exit, logging};

/// The topic, and the group that reads it.
const TOPIC: &str = "demo";
const GROUP: &str = "demo";
/// How long the killed broker stays dead.
const OUTAGE: Duration = Duration::from_secs(3);
/// Far longer than leaderships take to move.
const MOVE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the demo. To be called on the main thread, with which the brokers die.
pub(crate) fn run(args: &Demo, log: &LogArgs) -> ExitCode {
    if let Err(error) = logging::start(log) {
        eprintln!("fidelogd: {error}");
        return ExitCode::from(exit::USAGE);
    }
    match show(args, log) {
        Ok(Some(verdict)) if verdict.is_good() => ExitCode::SUCCESS,
        Ok(Some(_)) => ExitCode::from(exit::DIFFERENT),
        Ok(None) => ExitCode::from(exit::INTERRUPTED),
        Err(error) => {
            eprintln!("fidelogd: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}

/// `None`: interrupted.
fn show(args: &Demo, log: &LogArgs) -> anyhow::Result<Option<Verdict>> {
    let directory = match &args.data_dir {
        Some(directory) => directory.clone(),
        None => default_dir(Kind::Demo)?,
    };
    let ports = ports(args.port_base)?;
    // Read to its end before anything is replaced: it may lie in what an earlier demo left, or be of no use.
    let source = Source::open(args.file.as_deref()).map_err(|error| anyhow!(error))?;
    let name = source.name();
    let beside = Home::scratch_beside(&directory)?;
    let size = source.copy(beside.path()).map_err(|error| anyhow!(error))?;
    ensure!(size.lines > 0, "{name} is empty: there is no line to produce");
    let home = Home::replace(&directory)?;
    let copy = home.directory().join("input");
    let kept = beside.persist(&copy).map_err(|error| error.error);
    kept.with_context(|| format!("{} cannot be written", copy.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // `block_on` runs it on this very thread.
    runtime.block_on(async {
        let interruption = interruption()?;
        say(format_args!("{name}: {} lines, {} bytes.\n", grouped(size.lines), grouped(size.bytes)));
        let mut cluster = LocalCluster::start(home, ports, log)?;
        let demonstration = Demonstration { cluster: &mut cluster, story: Story::begin(), size, copy: &copy };
        let outcome = tokio::select! {
            outcome = demonstration.run(args.show) => outcome.map(Some),
            () = interruption => Ok(None),
        };
        let directory = cluster.home().directory().to_owned();
        let ports = cluster.ports().clone();
        cluster.stop().await;
        // The same ports again; odd ones cannot be asked for, and others serve as well.
        let ports = if ports.base().is_some() { ports } else { Ports::next_free()? };
        let program = Program::this();
        let read = program.client_at(&ports, &format!("consume {TOPIC} -e"));
        let open = program.dev_at(&directory, &ports);
        say(format_args!(
            "\nThe data lies in {}. To open it again, and read it:\n  {open}\n  {read}",
            directory.display(),
        ));
        outcome
    })
}

/// The ports asked for; without a wish the usual ones if they are free, and otherwise any.
fn ports(base: Option<u16>) -> anyhow::Result<Ports> {
    let ports = Ports::from_base(base)?;
    match (base, ports.check()) {
        (None, Err(taken)) => {
            info!("{taken}");
            Ok(Ports::next_free()?)
        }
        (_, _) => Ok(ports),
    }
}

/// The demo under way.
struct Demonstration<'a> {
    cluster: &'a mut LocalCluster,
    story: Story,
    size: Size,
    copy: &'a Path,
}

impl Demonstration<'_> {
    async fn run(mut self, show: u64) -> anyhow::Result<Verdict> {
        self.cluster.ready().await?;
        for broker in self.cluster.brokers() {
            let (id, pid, address) = (broker.id, broker.pid().unwrap_or_default(), broker.client);
            self.story.say(format_args!("broker {id} runs: pid {pid}, clients at {address}"));
        }
        let noticed = Arc::new(Noticed::default());
        let client = self.connect(Arc::clone(&noticed)).await?;
        let victim = self.create_topic(&client).await?;
        let produced = self.produce(&client, victim).await?;
        self.tell_production(&produced, &noticed);
        if let Some(stopped) = &produced.stopped {
            let (acknowledged, to) = (produced.ledger.lines(), produced.ledger.without_gap_to());
            bail!(
                "{stopped}; {} lines were acknowledged, among them all from 1 to {}",
                grouped(acknowledged),
                grouped(to)
            );
        }
        let verdict = self.consume(&client, produced, show).await?;
        let word =
            if verdict.is_good() { "nothing lost, nothing twice, nothing changed" } else { "NOT THE SAME" };
        self.story.say_plain(format_args!("\nVerdict: {word}\n{verdict}"));
        Ok(verdict)
    }

    async fn connect(&self, noticed: Arc<Noticed>) -> anyhow::Result<Client> {
        let addresses = self.cluster.brokers().iter().map(|broker| broker.client.to_string());
        let builder = Client::builder(addresses).client_id("fidelogd-demo");
        Ok(builder.on_event(move |event| noticed.hear(event)).connect().await?)
    }

    /// Makes the topic, and chooses who is to be killed: of those who lead a partition the one that also leads the
    /// controller quorum, if it does.
    async fn create_topic(&mut self, client: &Client) -> anyhow::Result<u16> {
        let topic = NewTopic { partitions: 3, replication_factor: 3, ..NewTopic::new(TOPIC) };
        let topic = self.cluster.while_up(client.admin().create_topic(topic)).await??;
        for it in &topic.partitions {
            self.story.say(format_args!(
                "topic {TOPIC}, partition {}: replicas on brokers {:?}, led by {}",
                it.partition, it.replicas, it.leader
            ));
        }
        let controller = client.admin().describe_cluster().await?.controller;
        self.story.say(format_args!(
            "the controller quorum, which decides who leads, is led by broker {controller}"
        ));
        let leads = |broker: u32| topic.partitions.iter().any(|it| it.leader == broker);
        let victim = if leads(controller) { controller } else { topic.partitions[0].leader };
        Ok(u16::try_from(victim)?)
    }

    async fn produce(&mut self, client: &Client, victim: u16) -> anyhow::Result<Produced> {
        let producer = self.cluster.while_up(client.producer(TOPIC).open()).await??;
        let lines = Lines::open(self.copy, RECORD_BYTES_MAX_DEFAULT)?;
        let (third, third_reached) = oneshot::channel();
        let (kill_done, killed) = oneshot::channel();
        self.story.say(format_args!("producing {} lines, one record each", grouped(self.size.lines)));
        let tally = Tally::new(self.story.begin_bar(self.size.lines));
        let gate = Gate { third, killed };
        let producing = tokio::spawn(produce::produce(producer, lines, self.size.lines, gate, tally.clone()));
        // A production that stopped early has dropped its end; the broker is killed all the same.
        let _stopped = self.cluster.while_up(third_reached).await?;
        self.kill(client, victim, &tally).await?;
        let _stopped = kill_done.send(());
        self.cluster.while_up(tokio::time::sleep(OUTAGE)).await?;
        self.bring_back(victim, &tally).await?;
        let produced = self.cluster.while_up(producing).await?.context("the producing task ended")?;
        self.story.end_bar();
        Ok(produced)
    }

    async fn kill(&mut self, client: &Client, victim: u16, tally: &Tally) -> anyhow::Result<()> {
        let ended = self.cluster.kill(victim).await.context("the broker to be killed has no process")?;
        let killed = Instant::now();
        self.story.say(format_args!(
            "kill -9: {ended}; {} lines handed over, {} acknowledged",
            grouped(tally.handed()),
            grouped(tally.acknowledged())
        ));
        let leaders = self.cluster.while_up(moved(client, u32::from(victim))).await??;
        let leaders: Vec<_> =
            leaders.iter().map(|(partition, leader)| format!("{partition} by {leader}")).collect();
        self.story.say(format_args!(
            "{:.1} s later every partition is led by a broker that lives: {}; the producer went on by itself",
            killed.elapsed().as_secs_f64(),
            leaders.join(", ")
        ));
        Ok(())
    }

    async fn bring_back(&mut self, victim: u16, tally: &Tally) -> anyhow::Result<()> {
        let pid = self.cluster.start_again(victim)?;
        self.story.say(format_args!(
            "broker {victim} started again: pid {pid}, on the same data; {} lines handed over, {} acknowledged",
            grouped(tally.handed()),
            grouped(tally.acknowledged())
        ));
        self.cluster.ready().await?;
        self.story.say(format_args!("broker {victim} is back, and every broker reaches every other"));
        Ok(())
    }

    fn tell_production(&self, produced: &Produced, noticed: &Noticed) {
        let ledger = &produced.ledger;
        let by: Vec<_> = ledger.by_replicas();
        let by =
            by.iter().map(|(replicas, lines)| format!("{} synced by {replicas} brokers", grouped(*lines)));
        self.story.say(format_args!(
            "{} lines acknowledged: {}",
            grouped(ledger.lines()),
            by.collect::<Vec<_>>().join(", ")
        ));
        self.story.say(format_args!(
            "the producer's client sent {} batches again by itself; {} records were recognised as stored already",
            grouped(noticed.retries.load(Ordering::Relaxed)),
            grouped(ledger.duplicates())
        ));
        self.story.say_plain(format_args!(
            "\nSome receipts: the first of each partition, and the one that took longest\n{}",
            words::receipts(&ledger.shown())
        ));
    }

    async fn consume(&mut self, client: &Client, produced: Produced, show: u64) -> anyhow::Result<Verdict> {
        let original = File::open(self.copy)?;
        let mut comparison = Comparison::new(self.size.lines, produced.ledger);
        let half = self.size.lines.div_ceil(2);
        let first = Reader { name: "the first reader", records_max: Some(half), show };
        let second = Reader { name: "the second reader", records_max: None, show };
        for reader in [first, second] {
            let reading = consume::read(client, reader, &mut comparison, &original, &self.story);
            self.cluster.while_up(reading).await?.map_err(|error| anyhow!(error))?;
        }
        Ok(comparison.verdict())
    }
}

/// Waits until nothing is led by `dead`; each partition and its leader.
async fn moved(client: &Client, dead: u32) -> anyhow::Result<Vec<(u32, u32)>> {
    let until = Instant::now() + MOVE_MAX;
    loop {
        if let Ok(topic) = client.admin().describe_topic(TOPIC).await
            && topic.partitions.iter().all(|it| it.leader != 0 && it.leader != dead)
        {
            return Ok(topic.partitions.iter().map(|it| (it.partition, it.leader)).collect());
        }
        ensure!(Instant::now() < until, "the leaderships of broker {dead} did not move within {MOVE_MAX:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the client mended by itself.
#[derive(Debug, Default)]
struct Noticed {
    retries: AtomicU64,
}

impl Noticed {
    fn hear(&self, event: &Event) {
        if let Event::BatchRetried { .. } = event {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }
}
