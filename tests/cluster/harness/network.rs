//! A network of its own for one cluster: every broker in a network namespace with its own address, linked through a
//! bridge, so that links can be cut in one direction or in both without anybody's socket being told.
//!
//! ```text
//!   hub namespace:  bridge 10.77.0.1  --veth-- broker 1: 10.77.0.11
//!   (the test)                        --veth-- broker 2: 10.77.0.12  ...
//! ```
//!
//! Always true: nothing outside the namespaces made here is touched, and they are gone when this is dropped. Declare it
//! before the cluster that uses it. It takes root and `ip` of iproute2.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Some namespaces and the links between them.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    brokers: u32,
}

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl Network {
    /// A network for so many brokers, or why none can be had.
    pub(crate) fn make(brokers: u32) -> Result<Self, String> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self { name: format!("fl{}-{number}", std::process::id()), brokers };
        let hub = network.hub();
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link set lo up"))?;
        ip(&format!("-n {hub} link add bridge0 type bridge"))?;
        ip(&format!("-n {hub} addr add 10.77.0.1/24 dev bridge0"))?;
        ip(&format!("-n {hub} link set bridge0 up"))?;
        for id in 1..=brokers {
            let (own, address) = (network.namespace(id), network.address(id));
            ip(&format!("netns add {own}"))?;
            ip(&format!("-n {own} link set lo up"))?;
            ip(&format!("-n {hub} link add port{id} type veth peer name eth0 netns {own}"))?;
            ip(&format!("-n {hub} link set port{id} master bridge0 up"))?;
            ip(&format!("-n {own} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {own} link set eth0 up"))?;
        }
        Ok(network)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn namespace(&self, id: u32) -> String {
        format!("{}-{id}", self.name)
    }

    /// Where broker `id` is reached.
    pub(crate) fn address(&self, id: u32) -> IpAddr {
        assert!((1..=self.brokers).contains(&id), "the network has brokers 1 to {}, not {id}", self.brokers);
        Ipv4Addr::new(10, 77, 0, u8::try_from(10 + id).expect("few brokers")).into()
    }

    /// What a command begins with that is to run where broker `id` lives.
    pub(crate) fn launcher(&self, id: u32) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace(id)].map(str::to_owned).into()
    }

    /// Runs what `story` makes to its end, on threads that live at the hub, whence every broker is reached.
    ///
    /// # Panics
    /// When it does.
    pub(crate) fn run<F: Future<Output = ()>>(&self, story: impl FnOnce() -> F + Send) {
        let path = format!("/run/netns/{}", self.hub());
        let enter = move || {
            let namespace = File::open(&path).expect("the hub's namespace is there");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        };
        let told = || {
            enter();
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).on_thread_start(enter.clone()).enable_all().build();
            runtime.expect("a runtime starts").block_on(story());
        };
        let ended = std::thread::scope(|scope| scope.spawn(told).join());
        if let Err(panicked) = ended {
            std::panic::resume_unwind(panicked);
        }
    }

    /// From now on nothing that `from` sends reaches `to`; what `to` sends arrives.
    pub(crate) fn cut(&self, from: u32, to: u32) {
        let (own, address) = (self.namespace(from), self.address(to));
        ip(&format!("-n {own} route replace blackhole {address}/32")).expect("a route is set");
    }

    /// Takes [`Self::cut`] back.
    pub(crate) fn join(&self, from: u32, to: u32) {
        let (own, address) = (self.namespace(from), self.address(to));
        ip(&format!("-n {own} route del blackhole {address}/32")).expect("the route was set");
    }

    /// Pulls the plug of broker `id`, or puts it in again.
    pub(crate) fn plug(&self, id: u32, plugged: bool) {
        let (hub, state) = (self.hub(), if plugged { "up" } else { "down" });
        ip(&format!("-n {hub} link set port{id} {state}")).expect("a link is switched");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for id in 1..=self.brokers {
            drop(ip(&format!("netns del {}", self.namespace(id))));
        }
        drop(ip(&format!("netns del {}", self.hub())));
    }
}
