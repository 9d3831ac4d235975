//! A network for one cluster in which links can be cut without anybody's socket being told: each broker in a network
//! namespace of its own, linked through a bridge in another one, where this program is while it measures.
//!
//! ```text
//!   hub: bridge 10.78.0.1  --veth-- broker 0: 10.78.0.10
//!        (this program)    --veth-- broker 1: 10.78.0.11  ...
//! ```
//!
//! Always true: nothing outside the namespaces made here is touched, and they are gone when this is dropped. It takes
//! root and `ip` of iproute2. Declare it before the cluster that lives in it.

use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

/// Some namespaces and the links between them.
#[derive(Debug)]
pub struct Network {
    name: String,
    places: usize,
    /// Where the calling thread was before it entered.
    before: File,
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output().context("cannot run ip")?;
    ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

impl Network {
    /// Makes places for so many brokers and enters the hub with the calling thread; threads and processes it begins
    /// from then on are there too.
    ///
    /// # Errors
    /// When there are no namespaces to be had.
    pub fn enter(places: usize) -> Result<Self> {
        let before = File::open("/proc/thread-self/ns/net").context("no network namespaces here")?;
        // Whatever of it was made is removed again if the rest cannot be.
        let network = Self { name: format!("flb{}", std::process::id()), places, before };
        let hub = network.hub();
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link set lo up"))?;
        ip(&format!("-n {hub} link add bridge0 type bridge"))?;
        ip(&format!("-n {hub} addr add 10.78.0.1/24 dev bridge0"))?;
        ip(&format!("-n {hub} link set bridge0 up"))?;
        for index in 0..places {
            let (own, host) = (network.namespace(index), network.host(index));
            ip(&format!("netns add {own}"))?;
            ip(&format!("-n {own} link set lo up"))?;
            ip(&format!("-n {hub} link add port{index} type veth peer name eth0 netns {own}"))?;
            ip(&format!("-n {hub} link set port{index} master bridge0 up"))?;
            ip(&format!("-n {own} addr add {host}/24 dev eth0"))?;
            ip(&format!("-n {own} link set eth0 up"))?;
        }
        let there = File::open(format!("/run/netns/{hub}"))?;
        setns(there, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
        Ok(network)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn namespace(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    /// How many brokers have a place in it.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Where the broker at `index` is reached.
    pub fn host(&self, index: usize) -> String {
        format!("10.78.0.{}", 10 + index)
    }

    /// What a command begins with that is to run where the broker at `index` lives.
    pub fn launcher(&self, index: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace(index)].map(str::to_owned).into()
    }

    /// Pulls the plug of the broker at `index`, or puts it in again.
    ///
    /// # Errors
    /// When its link cannot be switched.
    pub fn plug(&self, index: usize, plugged: bool) -> Result<()> {
        ip(&format!("-n {} link set port{index} {}", self.hub(), if plugged { "up" } else { "down" }))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Whoever cannot go back measures nothing more here that another address would change.
        let _ = setns(&self.before, CloneFlags::CLONE_NEWNET);
        for index in 0..self.places {
            drop(ip(&format!("netns del {}", self.namespace(index))));
        }
        drop(ip(&format!("netns del {}", self.hub())));
    }
}
