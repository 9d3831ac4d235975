//! `partition recover`: the last resort, in two steps. The first shows what would be lost; the second wants the hash of
//! what was shown.

use fidelog_client::wire::{PlanRecoveryResponse, RecoveryReplica, TailProducer};
use serde::Serialize;

use super::{PartitionName, PartitionRow};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows, Show, Table, or_dash};
use crate::quantity::duration_ms;

/// Let a partition be led again although acknowledged records may be lost
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog partition recover orders/0
  fidelog partition recover orders/0 --leader 2
  fidelog partition recover orders/0 --leader 2 --plan 9f03c2aa

Without --plan it shows what would be lost, and the hash to give back; nothing is changed. Bring a broker back that
holds everything, if any can be: then nothing is lost. Whoever may hold everything must be down for 12 s. One that
comes back later cuts what the new leader does not have; segments that go as a whole are kept in its directory `aside`.")]
pub(super) struct Recover {
    /// The partition
    #[arg(value_name = "TOPIC/PARTITION")]
    partition: PartitionName,
    /// Who is to lead; otherwise the live replica that holds most
    #[arg(long, value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
    leader: Option<u32>,
    /// Do it: the hash of the plan that was read
    #[arg(long, value_name = "HASH", requires = "leader")]
    plan: Option<String>,
}

#[derive(Debug, Serialize)]
struct RecoveryReport {
    topic: String,
    partition: u32,
    partition_epoch: u64,
    leader: u32,
    /// Below it nothing is lost.
    cut_end: u64,
    /// What the new leader has ends here.
    leader_end: u64,
    /// The highest end known to a replica that answered.
    known_end: u64,
    replicas: Vec<ReplicaRow>,
    producers: Vec<ProducerRow>,
    producers_complete: bool,
    hash: String,
    /// Why it would be refused just now; empty: it would not.
    refused: String,
}

#[derive(Debug, Serialize)]
struct ReplicaRow {
    broker: u32,
    in_sync: bool,
    eligible: bool,
    fenced: bool,
    fenced_ms: u64,
    /// `None`, as all positions: it did not answer.
    last_epoch: Option<u32>,
    committed_end: Option<u64>,
    durable_end: Option<u64>,
    problem: String,
}

#[derive(Debug, Serialize)]
struct ProducerRow {
    /// Text: JSON numbers are not that large everywhere. `0`: it was not idempotent.
    producer_id: String,
    producer_epoch: u32,
    records: u64,
    first_offset: u64,
    end_offset: u64,
}

impl From<RecoveryReplica> for ReplicaRow {
    fn from(replica: RecoveryReplica) -> Self {
        let tail = replica.tail.as_ref();
        Self {
            broker: replica.broker_id,
            in_sync: replica.in_sync,
            eligible: replica.eligible,
            fenced: replica.fenced,
            fenced_ms: replica.fenced_ms,
            last_epoch: tail.map(|tail| tail.last_epoch),
            committed_end: tail.map(|tail| tail.committed_end),
            durable_end: tail.map(|tail| tail.durable_end),
            problem: replica.problem,
        }
    }
}

impl Row for ReplicaRow {
    const COLUMNS: &'static [&'static str] =
        &["BROKER", "MAY HOLD ALL", "FENCED", "LAST EPOCH", "COMMITTED", "DURABLE", "PROBLEM"];

    fn name(&self) -> String {
        self.broker.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let holds = match (self.in_sync, self.eligible) {
            (true, _) => "in sync",
            (false, true) => "eligible",
            (false, false) => "no",
        };
        let fenced = if self.fenced { duration_ms(self.fenced_ms) } else { "no".to_owned() };
        vec![
            self.broker.to_string(),
            holds.to_owned(),
            fenced,
            or_dash(self.last_epoch),
            or_dash(self.committed_end),
            or_dash(self.durable_end),
            self.problem.clone(),
        ]
    }
}

impl From<TailProducer> for ProducerRow {
    fn from(producer: TailProducer) -> Self {
        Self {
            producer_id: producer.producer_id.to_string(),
            producer_epoch: producer.producer_epoch,
            records: producer.records,
            first_offset: producer.first_offset,
            end_offset: producer.end_offset,
        }
    }
}

impl Row for ProducerRow {
    const COLUMNS: &'static [&'static str] = &["PRODUCER", "EPOCH", "RECORDS", "FROM", "TO"];

    fn name(&self) -> String {
        self.producer_id.clone()
    }

    fn cells(&self) -> Vec<String> {
        let numbers = [self.records, self.first_offset, self.end_offset].map(|number| number.to_string());
        let mut cells = vec![self.producer_id.clone(), self.producer_epoch.to_string()];
        cells.extend(numbers);
        cells
    }
}

impl From<PlanRecoveryResponse> for RecoveryReport {
    fn from(plan: PlanRecoveryResponse) -> Self {
        Self {
            topic: plan.topic,
            partition: plan.partition,
            partition_epoch: plan.partition_epoch,
            leader: plan.leader,
            cut_end: plan.cut_end,
            leader_end: plan.leader_end,
            known_end: plan.known_end,
            replicas: plan.replicas.into_iter().map(ReplicaRow::from).collect(),
            producers: plan.producers.into_iter().map(ProducerRow::from).collect(),
            producers_complete: plan.producers_complete,
            hash: plan.hash,
            refused: plan.refused,
        }
    }
}

impl RecoveryReport {
    /// What is lost, in words.
    fn loss(&self) -> String {
        let (safe, end, known) = (self.cut_end, self.leader_end, self.known_end);
        let lost = match known > end {
            true => format!("offsets {end} to {known}, and whatever was acknowledged beyond"),
            false => {
                format!("whatever was acknowledged from offset {end} on; no replica that answered holds any")
            }
        };
        let differs =
            if safe < end { format!("; offsets {safe} to {end} may differ") } else { String::new() };
        let unheard = match self.replicas.iter().any(|replica| replica.durable_end.is_none()) {
            true => "; replicas that did not answer may hold it",
            false => "",
        };
        format!("{lost}{differs}{unheard}")
    }
}

impl Show for RecoveryReport {
    fn names(&self) -> Vec<String> {
        vec![self.hash.clone()]
    }

    fn table(&self, wide: bool) -> String {
        let name = format!("{}/{}", self.topic, self.partition);
        let facts = Table::facts([
            ("partition", name.clone()),
            ("new leader", format!("broker {}, whose log ends at {}", self.leader, self.leader_end)),
            ("safe", format!("offsets below {}", self.cut_end)),
            ("lost", self.loss()),
        ]);
        let mut sections = vec![facts.to_string(), Table::of(&self.replicas, wide).to_string()];
        if !self.producers.is_empty() {
            let all = if self.producers_complete { "" } else { ", as far as replicas could be read" };
            let head = format!("Records from offset {} on that others hold{all}:", self.cut_end);
            sections.push(format!("{head}\n{}", Table::of(&self.producers, wide)));
        }
        sections.push(match self.refused.as_str() {
            "" => {
                let leader = self.leader;
                format!("To do it: fidelog partition recover {name} --leader {leader} --plan {}", self.hash)
            }
            why => format!("It would be refused just now: {why}"),
        });
        sections.join("\n\n")
    }
}

pub(super) async fn run(context: &Context, command: &Recover) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    let name = &command.partition;
    let named = |failure: Failure| failure.context(name);
    match (&command.plan, command.leader) {
        (Some(hash), Some(leader)) => {
            let recovered = admin.recover(&name.topic, name.partition, leader, hash).await;
            let recovered = recovered.map_err(|error| named(error.into()))?;
            context.print(&Rows(vec![PartitionRow::from(recovered)]))?;
            context.note(&format!("{name} is led by broker {leader} again"));
        }
        _ => {
            let plan = admin.plan_recovery(&name.topic, name.partition, command.leader).await;
            let plan = plan.map_err(|error| named(error.into()))?;
            context.print(&RecoveryReport::from(plan))?;
            context.note("nothing was changed");
        }
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::DescribeTailResponse;

    use super::*;
    use crate::output::assert_golden;

    fn plan() -> PlanRecoveryResponse {
        let tail = DescribeTailResponse {
            broker_id: 2,
            committed_end: 70,
            durable_end: 80,
            last_epoch: 3,
            ..DescribeTailResponse::default()
        };
        let live = RecoveryReplica { broker_id: 2, tail: Some(tail), ..RecoveryReplica::default() };
        let gone = RecoveryReplica {
            broker_id: 1,
            in_sync: true,
            fenced: true,
            fenced_ms: 13_000,
            problem: "no answer".into(),
            ..RecoveryReplica::default()
        };
        PlanRecoveryResponse {
            topic: "orders".into(),
            leader: 2,
            cut_end: 70,
            leader_end: 80,
            known_end: 95,
            replicas: vec![gone, live],
            producers: vec![TailProducer {
                producer_id: 7,
                records: 25,
                first_offset: 70,
                end_offset: 95,
                ..TailProducer::default()
            }],
            hash: "9f03c2aa".into(),
            ..PlanRecoveryResponse::default()
        }
    }

    #[test]
    fn field_names_are_a_contract() {
        assert_golden(&RecoveryReport::from(plan()), include_str!("../../golden/partition_recover.json"));
    }

    #[test]
    fn what_would_be_lost_is_said_before_how_to_do_it() {
        let table = RecoveryReport::from(plan()).table(false);
        let (lost, todo) = (table.find("offsets 80 to 95, and"), table.find("--leader 2 --plan 9f03c2aa"));
        assert!(lost.is_some() && lost < todo, "{table}");
        assert!(table.contains("70 to 80 may differ; replicas that did not answer may hold it"), "{table}");
        let nobody_knows = PlanRecoveryResponse { known_end: 80, ..plan() };
        let table = RecoveryReport::from(nobody_knows).table(false);
        assert!(table.contains("whatever was acknowledged from offset 80 on"), "{table}");
        let refused = PlanRecoveryResponse { refused: "too early".into(), ..plan() };
        let table = RecoveryReport::from(refused).table(false);
        assert!(!table.contains("--plan") && table.contains("too early"), "{table}");
    }
}
