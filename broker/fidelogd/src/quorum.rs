//! `quorum show`, `quorum rebuild` and `quorum accept`: the metadata in a stopped node's directory.
//!
//! Always true: nothing is rebuilt without the hash of the plan that was printed, which changes with everything in it.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use fidelog_broker::Identity;
use fidelog_broker::meta::raft::RebuildPlan;
use fidelog_broker::node::{NodeConfig, QuorumError, StoppedNode};

use crate::args::LogArgs;
use crate::exit;
use crate::serve::configured;

/// Prints how far the metadata has come.
pub(crate) fn show(path: &Path, log: &LogArgs) -> ExitCode {
    on_stopped(path, log, |node, _| {
        let plan = node.plan()?;
        print!("{}", seen(&node.identity()));
        match plan {
            Some(plan) => print!("{}", held(&plan)),
            None => println!("It is no controller: it holds no metadata of its own."),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints what may be lost; with `agree`, the hash of that, rebuilds.
pub(crate) fn rebuild(path: &Path, agree: Option<u32>, log: &LogArgs) -> ExitCode {
    on_stopped(path, log, |node, config| {
        let Some(plan) = node.plan()? else {
            eprintln!("fidelogd: broker {} is no controller; rebuild from one that is", config.broker);
            return Ok(ExitCode::from(exit::USAGE));
        };
        match agree {
            None => {
                print!("{}{}{}", seen(&node.identity()), held(&plan), losses(&plan, config));
                let at = path.display();
                println!("To do it: fidelogd quorum rebuild --config {at} --agree {:08x}", plan.hash());
            }
            Some(agreed) => {
                let incarnation = node.rebuild(&plan, agreed)?;
                print!("{}", rebuilt(&plan, config, &incarnation));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints what a broker has seen; with `agree`, the hash of that, lets it follow a quorum that knows less.
pub(crate) fn accept(path: &Path, agree: Option<u32>, log: &LogArgs) -> ExitCode {
    on_stopped(path, log, |node, config| {
        match agree {
            None => {
                print!("{}", seen(&node.identity()));
                println!(
                    "A quorum that was rebuilt from less lacks what was decided since: topics, moves, settings. Records stay \
                     here, those of topics it does not know as well; of replicas of one partition the one with the \
                     greatest epoch and end leads."
                );
                let (at, hash) = (path.display(), node.seen_hash());
                println!(
                    "To let it follow that quorum: fidelogd quorum accept --config {at} --agree {hash:08x}"
                );
            }
            Some(agreed) => {
                node.accept(agreed)?;
                println!("Broker {} follows whichever quorum it finds. Start it.", config.broker);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn on_stopped(
    path: &Path,
    log: &LogArgs,
    work: impl FnOnce(&StoppedNode, &NodeConfig) -> Result<ExitCode, QuorumError>,
) -> ExitCode {
    let Some(config) = configured(path, log) else { return ExitCode::from(exit::USAGE) };
    let worked = StoppedNode::open(config.clone()).and_then(|node| {
        let worked = work(&node, &config);
        // Its next start finds an unclean stop where it would have found one anyway.
        let _ = node.close();
        worked
    });
    worked.unwrap_or_else(|error| {
        eprintln!("fidelogd: {error}");
        ExitCode::from(exit::FAILED)
    })
}

fn text(write: impl FnOnce(&mut String) -> std::fmt::Result) -> String {
    let mut text = String::new();
    write(&mut text).expect("a string takes everything");
    text
}

fn seen(identity: &Identity) -> String {
    text(|out| {
        writeln!(out, "Broker {} of cluster {}", identity.broker_id, identity.cluster_id)?;
        match identity.quorum_incarnation {
            Some(incarnation) => writeln!(
                out,
                "  has seen     metadata index {} of incarnation {incarnation}",
                identity.meta_index_seen
            ),
            None => writeln!(out, "  has seen     no metadata"),
        }
    })
}

fn held(plan: &RebuildPlan) -> String {
    let RebuildPlan { state, last: (term, index), committed, members, .. } = plan;
    text(|out| {
        writeln!(out, "Its store of the quorum")?;
        writeln!(
            out,
            "  holds        metadata index {} of incarnation {}",
            state.index(),
            state.incarnation()
        )?;
        writeln!(
            out,
            "               {} topics, {} partitions, {} brokers",
            state.topics().count(),
            state.partition_count(),
            state.brokers().count()
        )?;
        writeln!(out, "  last entry   term {term}, index {index}")?;
        let committed = committed.map_or_else(|| "not known".to_owned(), |committed| committed.to_string());
        writeln!(out, "  committed    up to index {committed}, as far as it was told")?;
        writeln!(out, "  voted last   in term {}", plan.term)?;
        for (node, voter, votes) in members {
            let (is, here) =
                (if *votes { "voter" } else { "learner" }, if *node == plan.node_id { ", here" } else { "" });
            writeln!(out, "  {is:<11}  {voter}{here}")?;
        }
        Ok(())
    })
}

fn losses(plan: &RebuildPlan, config: &NodeConfig) -> String {
    let state = &plan.state;
    text(|out| {
        writeln!(out, "\nA quorum rebuilt from here")?;
        writeln!(
            out,
            "  goes on      behind metadata index {}; what was decided later is lost",
            state.index()
        )?;
        writeln!(out, "  has one voter, broker {}; others are added when it runs", config.broker)?;
        writeln!(
            out,
            "  lets nobody lead a partition before each of its replicas has told where it ends, is formatted"
        )?;
        writeln!(out, "               anew, or `fidelog partition recover` was told to go on without it")?;
        writeln!(out, "\nBefore you agree")?;
        writeln!(
            out,
            "  1  Look at each controller that is left (fidelogd quorum show): the greatest last entry wins."
        )?;
        writeln!(
            out,
            "  2  Look at each broker. One that has seen more than index {} has seen what is lost here:",
            state.index()
        )?;
        writeln!(
            out,
            "     it refuses the rebuilt quorum (METADATA_LOST) until `fidelogd quorum accept` there, and may hold records"
        )?;
        writeln!(out, "     nobody else has.")?;
        for broker in state.brokers() {
            writeln!(out, "       broker {:<4} {}", broker.id, broker.peer_address)?;
        }
        writeln!(out, "  3  See to it that no other voter ever starts again on what it has now:")?;
        let others = plan.members.iter().filter(|(node, _, votes)| *votes && *node != plan.node_id);
        for (_, voter, _) in others {
            writeln!(out, "       {voter}")?;
        }
        writeln!(out)
    })
}

fn rebuilt(plan: &RebuildPlan, config: &NodeConfig, incarnation: &dyn std::fmt::Display) -> String {
    text(|out| {
        writeln!(
            out,
            "The quorum goes on from metadata index {} as incarnation {incarnation}.",
            plan.state.index()
        )?;
        writeln!(out, "  1  Start broker {}: it is the only voter.", config.broker)?;
        writeln!(out, "  2  Empty, format and start the other controllers, and start all other brokers.")?;
        writeln!(out, "  3  Let the controllers vote: fidelog cluster quorum add BROKER")
    })
}
