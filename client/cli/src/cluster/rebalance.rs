//! `cluster rebalance`.

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::moves::{MovesReport, Wait, moving};

/// Spread replicas and leaders evenly over the brokers that take part
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog cluster rebalance --dry-run
  fidelog cluster rebalance --yes --wait

By as few moves as that takes. `fidelog partition elect --preferred` lets the preferred leaders lead afterwards.")]
pub(super) struct Rebalance {
    /// Show the moves; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    wait: Wait,
}

pub(super) async fn run(context: &Context, command: &Rebalance) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    if command.dry_run {
        let report = MovesReport::from(admin.rebalance(true).await?);
        context.print(&report)?;
        context.note(&format!("dry run: nothing was changed; {}", report.summary("would begin")));
        return Ok(Exit::Success);
    }
    command.consent.ask("Move replicas so that all brokers hold and lead as many")?;
    let report = MovesReport::from(admin.rebalance(false).await?);
    context.print(&report)?;
    context.note(&report.summary("begun"));
    command.wait.until_done(context, "the rebalancing", || moving(&admin, |_| true)).await?;
    Ok(report.exit())
}
