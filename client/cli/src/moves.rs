//! Moves: what an order began, and waiting until it is done. Waiting only looks; interrupted, the moves go on.

use std::time::{Duration, Instant};

use fidelog_client::wire::{MovePlan, PartitionFilter, PartitionState, PlannedMove, Unmoved};
use fidelog_client::{Admin, ListPartitions};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Row, Show, Table, list};
use crate::progress::Progress;
use crate::quantity::parse_timeout;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `--wait`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Wait {
    /// Wait until all of it is done; interrupted, it goes on by itself
    #[arg(short = 'w', long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, requires = "wait")]
    wait_timeout: Option<Duration>,
}

/// What an order comes to.
#[derive(Debug, Serialize)]
pub(crate) struct MovesReport {
    moves: Vec<MoveRow>,
    stays: Vec<StayRow>,
}

#[derive(Debug, Serialize)]
struct MoveRow {
    topic: String,
    partition: u32,
    from: Vec<u32>,
    to: Vec<u32>,
    /// Why it was not begun; empty: it was, or would be.
    problem: String,
}

#[derive(Debug, Serialize)]
struct StayRow {
    topic: String,
    partition: u32,
    why: String,
}

impl From<PlannedMove> for MoveRow {
    fn from(step: PlannedMove) -> Self {
        let problem = step.error.map(|error| error.message).unwrap_or_default();
        Self { topic: step.topic, partition: step.partition, from: step.from, to: step.to, problem }
    }
}

impl From<Unmoved> for StayRow {
    fn from(stay: Unmoved) -> Self {
        Self { topic: stay.topic, partition: stay.partition, why: stay.why }
    }
}

impl Row for MoveRow {
    const COLUMNS: &'static [&'static str] = &["PARTITION", "FROM", "TO", "PROBLEM"];

    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.name(), list(&self.from), list(&self.to), self.problem.clone()]
    }
}

impl Row for StayRow {
    const COLUMNS: &'static [&'static str] = &["STAYS", "WHY"];

    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.name(), self.why.clone()]
    }
}

impl From<MovePlan> for MovesReport {
    fn from(plan: MovePlan) -> Self {
        Self {
            moves: plan.moves.into_iter().map(MoveRow::from).collect(),
            stays: plan.stays.into_iter().map(StayRow::from).collect(),
        }
    }
}

impl MovesReport {
    /// How an order ended by which this was begun: whether all of it was.
    pub(crate) fn exit(&self) -> Exit {
        let refused = self.moves.iter().any(|step| !step.problem.is_empty());
        if refused || !self.stays.is_empty() { Exit::SomeFailed } else { Exit::Success }
    }

    /// In words, for people.
    pub(crate) fn summary(&self, done: &str) -> String {
        let begun = self.moves.iter().filter(|step| step.problem.is_empty()).count();
        match (begun, self.moves.len() - begun, self.stays.len()) {
            (0, 0, 0) => "nothing is to be moved".to_owned(),
            (begun, 0, 0) => format!("{begun} moves {done}"),
            (begun, refused, stays) => {
                format!("{begun} moves {done}, {refused} refused, {stays} partitions stay where they are")
            }
        }
    }
}

impl Show for MovesReport {
    fn names(&self) -> Vec<String> {
        self.moves.iter().map(Row::name).collect()
    }

    fn table(&self, wide: bool) -> String {
        let mut sections = Vec::new();
        if !self.moves.is_empty() {
            sections.push(Table::of(&self.moves, wide).to_string());
        }
        if !self.stays.is_empty() {
            sections.push(Table::of(&self.stays, wide).to_string());
        }
        sections.join("\n\n")
    }
}

impl Wait {
    /// Until `left` finds nothing any more, if that was asked for. `what` goes on when this ends early.
    pub(crate) async fn until_done<F>(
        self,
        context: &Context,
        what: &str,
        left: impl Fn() -> F,
    ) -> Result<Exit, Failure>
    where
        F: Future<Output = Result<Left, Failure>>,
    {
        if !self.wait {
            return Ok(Exit::Success);
        }
        let give_up_at = self.wait_timeout.map(|wait| Instant::now() + wait);
        let mut interrupts = Interrupts::listen();
        let mut shown: Option<(Progress, u64)> = None;
        loop {
            let found = tokio::select! {
                found = left() => found?,
                () = interrupts.reached(1) => return Err(goes_on(what, Exit::Interrupted, "interrupted")),
            };
            let (progress, all) =
                shown.get_or_insert_with(|| (Progress::items(context, found.count), found.count));
            progress.reach(all.saturating_sub(found.count));
            progress.say(found.message.clone());
            if found.count == 0 {
                progress.finish();
                return Ok(Exit::Success);
            }
            if !context.shows_progress() {
                context.note(&format!("{what}: {} left; {}", found.count, found.message));
            }
            if give_up_at.is_some_and(|at| Instant::now() >= at) {
                return Err(goes_on(what, Exit::Unreachable, "the time to wait is over"));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = interrupts.reached(1) => return Err(goes_on(what, Exit::Interrupted, "interrupted")),
            }
        }
    }
}

/// What is still to be done.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) count: u64,
    pub(crate) message: String,
}

fn goes_on(what: &str, exit: Exit, why: &str) -> Failure {
    Failure::new(exit, format!("{why}; {what} goes on by itself, look with `fidelog partition ls --moving`"))
}

/// The partitions that are being moved, of those that `of` picks, and how far their new replicas are behind.
pub(crate) async fn moving(admin: &Admin, of: impl Fn(&PartitionState) -> bool) -> Result<Left, Failure> {
    let wish =
        ListPartitions { filter: PartitionFilter::Moving, include_internal: true, ..Default::default() };
    let mut moving = admin.list_partitions(wish).await?;
    moving.retain(of);
    let count = moving.len() as u64;
    let Some(first) = moving.first() else { return Ok(Left::default()) };
    // One of them, as its leader knows it, tells that something is moving at all.
    let behind = admin.describe_partitions(&first.topic).await.ok().and_then(|answers| {
        let leads =
            |answer: &&fidelog_client::wire::DescribePartitionsResponse| answer.broker_id == first.leader;
        let answer = answers.iter().find(leads)?;
        let replica = answer.partitions.iter().find(|replica| replica.partition == first.partition)?;
        let target = |id: &u32| first.targets.contains(id) && !first.isr.contains(id);
        let durable = replica.followers.iter().filter(|it| target(&it.broker_id)).map(|it| it.durable_end);
        let least = durable.map(Option::unwrap_or_default).min()?;
        Some(replica.durable_end.saturating_sub(least))
    });
    let name = format!("{}/{}", first.topic, first.partition);
    let message = match behind {
        Some(offsets) => format!("{name} is {offsets} offsets behind"),
        None => format!("{name} is on its way"),
    };
    Ok(Left { count, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let step = PlannedMove {
            topic: "orders".into(),
            partition: 1,
            from: vec![1, 2],
            to: vec![3, 2],
            error: None,
        };
        let stay = Unmoved { topic: "orders".into(), partition: 2, why: "nowhere to go".into() };
        let report = MovesReport::from(MovePlan { moves: vec![step.clone()], stays: vec![stay] });
        assert_golden(&report, include_str!("../golden/moves.json"));
        assert_eq!(report.exit(), Exit::SomeFailed);
        assert!(report.table(false).contains("nowhere to go"));
        let all = MovesReport::from(MovePlan { moves: vec![step], stays: Vec::new() });
        assert_eq!((all.exit(), all.summary("begun").as_str()), (Exit::Success, "1 moves begun"));
        let none = MovesReport::from(MovePlan::default());
        assert_eq!(
            (none.table(false).as_str(), none.summary("begun").as_str()),
            ("", "nothing is to be moved")
        );
    }
}
