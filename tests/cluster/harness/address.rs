//! Every cluster has addresses of its own in 127.0.0.0/8, so that tests run side by side with the usual ports.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports are the same everywhere: the address tells clusters and brokers apart.
pub(crate) const CLIENT_PORT: u16 = 9094;
pub(crate) const PEER_PORT: u16 = 9095;

/// Clusters one test process may have: the last byte counts clusters and, within them, four brokers.
const CLUSTERS_MAX: u32 = 62;

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// The next cluster of this process.
pub(crate) fn next_cluster() -> u32 {
    let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    // Beyond it addresses come round again, to clusters that ended long ago.
    cluster % CLUSTERS_MAX
}

/// Where the double of the broker at `address` listens: in the place of broker 4, which most clusters do not have.
pub(crate) fn of_double(address: IpAddr) -> IpAddr {
    let IpAddr::V4(address) = address else { panic!("{address} is none of a cluster's addresses") };
    let [net, x, y, place] = address.octets();
    // Brokers 1 to 4 of a cluster share all but the last two bits of what is before their number.
    let double = Ipv4Addr::new(net, x, y, ((place - 1) | 3) + 1);
    assert_ne!(double, address, "broker 4 has no double");
    double.into()
}

/// The address of a broker, 1 to 4: 127.x.y.z with x and y from the process id and z from cluster and broker.
pub(crate) fn of(cluster: u32, broker: u32) -> Ipv4Addr {
    assert!((1..=4).contains(&broker), "a test cluster has brokers 1 to 4, not {broker}");
    let process = std::process::id();
    let byte = |number: u32| u8::try_from(number).expect("below 256");
    Ipv4Addr::new(127, byte(2 + process / 250 % 250), byte(1 + process % 250), byte(cluster * 4 + broker))
}
