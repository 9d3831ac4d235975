//! The quorum that decides on the metadata: who votes, who leads, and changing that.

use std::time::Duration;

use fidelog_proto::v1::{self, Finding, Severity};
use fidelog_record::types::BrokerId;

use super::health;
use crate::meta::quorum::{QuorumStatus, VoterChange};
use crate::rpc::context::Context;
use crate::rpc::deadline::Deadline;
use crate::rpc::mapping::propose_failure;
use crate::rpc::order::no_answer;
use crate::rpc::status::Failure;

/// How long its leader is asked before this broker tells what it knows itself.
const DESCRIBE_WAIT: Duration = Duration::from_secs(2);
/// How long a new voter may take to learn.
const CHANGE_WAIT: Duration = Duration::from_secs(60);

/// The quorum as its leader sees it, or as this broker does when that one does not answer.
pub(super) async fn describe(context: &Context) -> v1::DescribeQuorumResponse {
    let status = as_its_leader_sees_it(context).await.unwrap_or_else(|| context.quorum.status());
    description(context, status)
}

async fn as_its_leader_sees_it(context: &Context) -> Option<QuorumStatus> {
    tokio::time::timeout(DESCRIBE_WAIT, context.quorum.describe()).await.ok()
}

fn description(context: &Context, status: QuorumStatus) -> v1::DescribeQuorumResponse {
    let leader = status.leader.map_or(0, |leader| leader.0);
    let members = status.voters.into_iter().map(|member| v1::QuorumMember {
        node_id: member.node,
        broker_id: member.broker.0,
        address: member.address,
        votes: member.votes,
        leads: member.broker.0 == leader,
        matched: member.matched,
    });
    v1::DescribeQuorumResponse {
        leader,
        term: status.term,
        metadata_index: status.index.0,
        members: members.collect(),
        stopped: status.stopped.unwrap_or_default(),
        answered_by: context.me.0,
    }
}

/// Lets the controller on `broker` vote.
pub(super) async fn add(context: &Context, broker: BrokerId, deadline: Deadline) -> Result<(), Failure> {
    change(context, VoterChange::Add { broker }, deadline).await
}

/// Lets it vote no more.
pub(super) async fn remove(context: &Context, broker: BrokerId, deadline: Deadline) -> Result<(), Failure> {
    change(context, VoterChange::Remove { broker }, deadline).await
}

async fn change(context: &Context, change: VoterChange, deadline: Deadline) -> Result<(), Failure> {
    let wait = deadline.cap(CHANGE_WAIT);
    // Stopping here is safe: the caller is told that the outcome is unknown.
    match tokio::time::timeout(wait, context.quorum.change_voters(change)).await {
        Ok(answer) => answer.map_err(|error| propose_failure(&error)),
        Err(_) => Err(no_answer(wait)),
    }
}

/// What is wrong with it.
pub(super) async fn trouble(context: &Context) -> Vec<Finding> {
    let status = context.quorum.status();
    let finding = |severity: Severity, kind: &str, message: String, advice: &str| Finding {
        severity: severity.into(),
        kind: kind.to_owned(),
        message,
        advice: advice.to_owned(),
        count: 1,
        examples: Vec::new(),
    };
    let mut found = Vec::new();
    if let Some(why) = status.stopped {
        let message = format!("nothing is decided on the metadata any more: {why}");
        let advice = "topics and leaders cannot change until that is mended";
        found.push(finding(Severity::Critical, "quorum_stopped", message, advice));
    } else if context.meta.session_lost_since().is_some() {
        let message = format!("broker {} is out of touch with the quorum", context.me);
        let advice = "start the controllers, or look into the network between them and this broker";
        found.push(finding(Severity::Critical, "quorum_unreachable", message, advice));
    } else {
        found.extend(as_its_leader_sees_it(context).await.as_ref().and_then(silent));
    }
    found
}

/// Voters that may be dead: the metadata knows brokers, and not who only votes.
fn silent(status: &QuorumStatus) -> Option<Finding> {
    let silent = status.voters.iter().filter(|voter| voter.votes && voter.silent);
    let names: Vec<String> = silent.map(|it| format!("broker {} at {}", it.broker, it.address)).collect();
    let votes = status.voters.iter().filter(|voter| voter.votes).count();
    health::finding(
        (Severity::Warning, "voter_silent"),
        &format!("of {votes} voters the quorum's leader does not hear"),
        "start them: nothing is decided without a majority; one that is gone for good is taken out with \
         `fidelog cluster quorum rm`",
        &names,
    )
}
