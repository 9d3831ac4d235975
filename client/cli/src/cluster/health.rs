//! `cluster health`: what is wrong, and what to do about it.

use clap::ValueEnum;
use fidelog_client::wire::{CheckHealthResponse, Finding, Severity};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Show, Table};

/// Tell what is wrong, how bad it is, and what to do about it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog cluster health
  fidelog cluster health -o json
  fidelog cluster health --fail-on critical

Exit code 8 when something is as bad as --fail-on says. Critical: something is refused just now. Warning: one more
loss may come to that.")]
pub(super) struct Health {
    /// How bad it must be for exit code 8
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "warning")]
    fail_on: Level,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Level {
    #[value(skip)]
    Info,
    /// One more loss may refuse something
    Warning,
    /// Something is refused just now
    Critical,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            // One that this version does not know is not made light of.
            Severity::Critical | Severity::Unspecified => Self::Critical,
        }
    }
}

#[derive(Debug, Serialize)]
struct HealthReport {
    severity: Level,
    answered_by: u32,
    metadata_index: u64,
    findings: Vec<FindingRow>,
}

#[derive(Debug, Serialize)]
struct FindingRow {
    severity: Level,
    kind: String,
    count: u32,
    message: String,
    advice: String,
    examples: Vec<String>,
}

impl From<Finding> for FindingRow {
    fn from(finding: Finding) -> Self {
        Self {
            severity: finding.severity().into(),
            kind: finding.kind,
            count: finding.count,
            message: finding.message,
            advice: finding.advice,
            examples: finding.examples,
        }
    }
}

impl Row for FindingRow {
    const COLUMNS: &'static [&'static str] = &["SEVERITY", "KIND", "WHAT", "WHAT TO DO"];
    const WIDE: &'static [&'static str] = &["EXAMPLES"];

    fn name(&self) -> String {
        self.kind.clone()
    }

    fn cells(&self) -> Vec<String> {
        let severity = format!("{:?}", self.severity).to_lowercase();
        vec![severity, self.kind.clone(), self.message.clone(), self.advice.clone()]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![self.examples.join(" ")]
    }
}

impl From<CheckHealthResponse> for HealthReport {
    fn from(answer: CheckHealthResponse) -> Self {
        Self {
            severity: answer.severity().into(),
            answered_by: answer.answered_by,
            metadata_index: answer.metadata_index,
            findings: answer.findings.into_iter().map(FindingRow::from).collect(),
        }
    }
}

impl Show for HealthReport {
    fn names(&self) -> Vec<String> {
        self.findings.iter().map(Row::name).collect()
    }

    fn table(&self, wide: bool) -> String {
        match self.findings[..] {
            [] => format!("all is well, as broker {} sees it", self.answered_by),
            _ => Table::of(&self.findings, wide).to_string(),
        }
    }
}

pub(super) async fn run(context: &Context, command: &Health) -> Result<Exit, Failure> {
    let answer = context.connect().await?.admin().check_health().await?;
    let report = HealthReport::from(answer);
    context.print(&report)?;
    Ok(if report.severity >= command.fail_on { Exit::Problem } else { Exit::Success })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let finding = Finding {
            severity: Severity::Warning.into(),
            kind: "at_minimum".into(),
            message: "2 partitions".into(),
            advice: "bring them back".into(),
            count: 2,
            examples: vec!["orders/0".into(), "orders/1".into()],
        };
        let answer = CheckHealthResponse {
            severity: Severity::Warning.into(),
            findings: vec![finding],
            metadata_index: 7,
            answered_by: 1,
        };
        let report = HealthReport::from(answer);
        assert_golden(&report, include_str!("../../golden/cluster_health.json"));
        assert!(report.severity >= Level::Warning && report.severity < Level::Critical);
        assert!(report.table(true).contains("orders/0 orders/1"));
    }

    #[test]
    fn a_cluster_without_findings_is_well() {
        let report = HealthReport::from(CheckHealthResponse {
            severity: Severity::Info.into(),
            answered_by: 2,
            ..CheckHealthResponse::default()
        });
        assert_eq!(report.table(false), "all is well, as broker 2 sees it");
        assert!(report.severity < Level::Warning);
    }
}
