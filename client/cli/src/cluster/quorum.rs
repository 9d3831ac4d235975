//! `cluster quorum`: who votes on the metadata, and changing that.

use clap::Subcommand;
use fidelog_client::wire::{DescribeQuorumResponse, QuorumMember};
use serde::Serialize;

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Show, Table, or_dash};

/// Show who votes on the metadata, and who leads that
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  fidelog cluster quorum
  fidelog cluster quorum -o json
  fidelog cluster quorum add 4
  fidelog cluster quorum rm 2 --yes"
)]
pub(super) struct Quorum {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let the controller on a broker vote
    #[command(after_help = "Examples:
  fidelog cluster quorum add 4

It learns all metadata first. An even number of voters survives no more losses than one less.")]
    Add {
        /// The broker's id
        #[arg(value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
        broker: u32,
    },
    /// Let the controller on a broker vote no more
    #[command(
        visible_alias = "remove",
        after_help = "Examples:
  fidelog cluster quorum rm 2 --yes

Refused when the others are no majority that can be reached."
    )]
    Rm {
        /// The broker's id
        #[arg(value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
        broker: u32,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Serialize)]
struct QuorumReport {
    /// `None`: nobody leads, as far as is known.
    leader: Option<u32>,
    term: u64,
    metadata_index: u64,
    answered_by: u32,
    /// Why nothing is decided any more.
    stopped: String,
    members: Vec<MemberRow>,
}

#[derive(Debug, Serialize)]
struct MemberRow {
    broker: u32,
    address: String,
    /// Text: JSON numbers are not that large everywhere.
    node_id: String,
    votes: bool,
    leads: bool,
    /// How far the quorum's own log is known to be on it, which counts more than the metadata's index does. `None`: not
    /// known.
    matched: Option<u64>,
    /// By how many entries of that log it is behind the leader. `None`: not known.
    behind: Option<u64>,
}

impl MemberRow {
    fn new(member: QuorumMember, leader_matched: Option<u64>) -> Self {
        let behind = |matched| leader_matched.map(|leader| leader.saturating_sub(matched));
        Self {
            behind: member.matched.and_then(behind),
            broker: member.broker_id,
            address: member.address,
            node_id: format!("{:016x}", member.node_id),
            votes: member.votes,
            leads: member.leads,
            matched: member.matched,
        }
    }
}

impl Row for MemberRow {
    const COLUMNS: &'static [&'static str] = &["BROKER", "ADDRESS", "ROLE", "BEHIND"];
    const WIDE: &'static [&'static str] = &["MATCHED", "NODE"];

    fn name(&self) -> String {
        self.broker.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let role = match (self.leads, self.votes) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        vec![self.broker.to_string(), self.address.clone(), role.to_owned(), or_dash(self.behind)]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![or_dash(self.matched), self.node_id.clone()]
    }
}

impl From<DescribeQuorumResponse> for QuorumReport {
    fn from(answer: DescribeQuorumResponse) -> Self {
        let leader_matched = answer.members.iter().find(|it| it.leads).and_then(|it| it.matched);
        let members = answer.members.into_iter();
        Self {
            leader: (answer.leader != 0).then_some(answer.leader),
            term: answer.term,
            metadata_index: answer.metadata_index,
            answered_by: answer.answered_by,
            stopped: answer.stopped,
            members: members.map(|it| MemberRow::new(it, leader_matched)).collect(),
        }
    }
}

impl Show for QuorumReport {
    fn names(&self) -> Vec<String> {
        self.members.iter().map(Row::name).collect()
    }

    fn table(&self, wide: bool) -> String {
        let facts = Table::facts([
            ("leader", self.leader.map_or_else(|| "nobody".to_owned(), |leader| format!("broker {leader}"))),
            ("term", self.term.to_string()),
            ("metadata index", self.metadata_index.to_string()),
            ("answered by", format!("broker {}", self.answered_by)),
        ]);
        let stopped = match self.stopped.as_str() {
            "" => String::new(),
            why => format!("\nstopped: {why}"),
        };
        format!("{facts}{stopped}\n\n{}", Table::of(&self.members, wide))
    }
}

pub(super) async fn run(context: &Context, quorum: Quorum) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    match quorum.command {
        None => {}
        Some(Command::Add { broker }) => {
            admin.add_voter(broker).await?;
            context.note(&format!("the controller on broker {broker} votes"));
        }
        Some(Command::Rm { broker, consent }) => {
            consent.ask(&format!("Let the controller on broker {broker} vote no more"))?;
            admin.remove_voter(broker).await?;
            context.note(&format!("the controller on broker {broker} votes no more"));
        }
    }
    let answer = admin.describe_quorum().await?;
    context.print(&QuorumReport::from(answer))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let member = |broker_id, votes| QuorumMember {
            node_id: 0xfeed,
            broker_id,
            address: format!("b{broker_id}:9095"),
            votes,
            leads: broker_id == 1,
            matched: votes.then_some(90),
        };
        let answer = DescribeQuorumResponse {
            leader: 1,
            term: 3,
            metadata_index: 41,
            members: vec![member(1, true), member(2, false)],
            answered_by: 2,
            ..DescribeQuorumResponse::default()
        };
        let report = QuorumReport::from(answer);
        assert_golden(&report, include_str!("../../golden/cluster_quorum.json"));
        let table = report.table(false);
        assert!(table.contains("leader") && table.contains("learner"), "{table}");
    }
}
