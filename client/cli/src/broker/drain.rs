//! `broker drain` and `broker resume`.

use fidelog_client::Admin;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::moves::{Left, MovesReport, Wait, moving};

/// Empty a broker: others lead what it leads, and take its replicas
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog broker drain 3 --wait
  fidelog broker drain 3 --dry-run
  fidelog broker drain 3 --keep-replicas --wait --wait-timeout 30s

Nothing is refused meanwhile. A replica that no other broker has room for stays, and is named; exit code 7 says so.
A broker that was stopped while it drained is in no in-sync set again before `fidelog broker resume`.")]
pub(super) struct Drain {
    /// The broker's id
    #[arg(value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
    broker: u32,
    /// Only leaderships leave, as before a short stop
    #[arg(long)]
    keep_replicas: bool,
    /// Show the moves it would take; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Let a drained broker take part again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog broker resume 3

What was moved away stays away: `fidelog cluster rebalance` brings replicas back.")]
pub(super) struct Resume {
    /// The broker's id
    #[arg(value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
    broker: u32,
}

pub(super) async fn drain(context: &Context, command: &Drain) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    let id = command.broker;
    let plan = admin.drain_broker(id, command.keep_replicas, command.dry_run).await?;
    let report = MovesReport::from(plan);
    context.print(&report)?;
    if command.dry_run {
        context.note(&format!("dry run: nothing was changed; {}", report.summary("would begin")));
        return Ok(Exit::Success);
    }
    context.note(&format!("broker {id} is being drained: {}", report.summary("begun")));
    let what = format!("the drain of broker {id}");
    command.wait.until_done(context, &what, || left(&admin, id)).await?;
    Ok(report.exit())
}

/// What it leads and could be led by others, and what is on its way from it.
async fn left(admin: &Admin, id: u32) -> Result<Left, Failure> {
    let moving = moving(admin, |partition| partition.replicas.contains(&id)).await?;
    let broker = admin.list_brokers().await?.into_iter().find(|broker| broker.id == id);
    let leads = match broker {
        Some(broker) if broker.leads > 0 => {
            let led = fidelog_client::ListPartitions {
                broker: Some(id),
                include_internal: true,
                ..Default::default()
            };
            let led = admin.list_partitions(led).await?;
            led.iter().filter(|it| it.leader == id && it.isr.len() > 1).count() as u64
        }
        _ => 0,
    };
    let message = match leads {
        0 => moving.message,
        leads => format!("it still leads {leads} partitions; {}", moving.message),
    };
    Ok(Left { count: moving.count + leads, message })
}

pub(super) async fn resume(context: &Context, command: &Resume) -> Result<Exit, Failure> {
    context.connect().await?.admin().resume_broker(command.broker).await?;
    context.note(&format!("broker {} takes part again", command.broker));
    Ok(Exit::Success)
}
