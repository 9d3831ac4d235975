//! Which ports the brokers of a local cluster listen on: N for clients and N + 1 for brokers, N being 100 more for each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::{BROKER_COUNT, LocalError};

/// The first broker's port for clients, unless told otherwise.
const BASE: u16 = 9094;

/// The ports of all brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(Vec<Pair>);

/// The ports of one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) client: u16,
    pub(crate) peer: u16,
}

impl Ports {
    /// 9094/5, 9194/5, 9294/5, or the same from another base on; 0: any that are free.
    ///
    /// # Errors
    /// When the base leaves no room for all six, or the system has none.
    pub(crate) fn from_base(base: Option<u16>) -> Result<Self, LocalError> {
        let base = base.unwrap_or(BASE);
        if base == 0 {
            return Self::free();
        }
        if !(1024..=u16::MAX - 100 * (BROKER_COUNT - 1) - 1).contains(&base) {
            return Err(LocalError::PortBase { base });
        }
        let pair = |index| Pair { client: base + 100 * index, peer: base + 100 * index + 1 };
        Ok(Self((0..BROKER_COUNT).map(pair).collect()))
    }

    /// Six ports that the system says are free, all held open until all are known, so that they differ.
    ///
    /// # Errors
    /// When the system has none.
    pub(crate) fn free() -> Result<Self, LocalError> {
        let held = (0..2 * BROKER_COUNT).map(|_| TcpListener::bind(local(0))).collect::<io::Result<Vec<_>>>();
        let held = held.map_err(LocalError::NoPorts)?;
        let ports = held.iter().map(|listener| Ok(listener.local_addr()?.port()));
        let ports = ports.collect::<io::Result<Vec<u16>>>().map_err(LocalError::NoPorts)?;
        Ok(Self(ports.chunks_exact(2).map(|pair| Pair { client: pair[0], peer: pair[1] }).collect()))
    }

    /// Ports that a base names, so that a command can ask for them again: the first thousand on whose ports are free.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn next_free() -> Result<Self, LocalError> {
        let bases = (1..50).map(|thousand| BASE + 1_000 * thousand);
        let mut free = bases.filter_map(|base| Self::from_base(Some(base)).ok());
        free.find(|ports| ports.check().is_ok()).map_or_else(Self::free, Ok)
    }

    /// The base that names them all, when one does.
    pub(crate) fn base(&self) -> Option<u16> {
        let base = self.0.first()?.client;
        Self::from_base(Some(base)).is_ok_and(|regular| regular == *self).then_some(base)
    }

    /// Whether everybody can listen. Somebody may still come between; then the broker says so itself.
    ///
    /// # Errors
    /// The first port that is taken.
    pub(crate) fn check(&self) -> Result<(), LocalError> {
        for (broker, pair) in (1..).zip(&self.0) {
            for (port, whom) in [(pair.client, "clients"), (pair.peer, "brokers")] {
                // A listener that accepted nothing leaves nothing behind: the port is free again when it is dropped.
                TcpListener::bind(local(port)).map_err(|source| LocalError::PortTaken {
                    port,
                    broker,
                    whom,
                    source,
                })?;
            }
        }
        Ok(())
    }

    /// Of each broker, in the order of their ids.
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.0
    }

    /// Whether `fidelog` finds the cluster without being told where.
    pub(crate) fn are_standard(&self) -> bool {
        self.0.first().is_some_and(|first| first.client == BASE)
    }
}

/// A port on this machine only.
pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broker_is_a_hundred_ports_further() {
        let ports = Ports::from_base(None).unwrap();
        let pairs: Vec<_> = ports.pairs().iter().map(|pair| (pair.client, pair.peer)).collect();
        assert_eq!(pairs, [(9094, 9095), (9194, 9195), (9294, 9295)]);
        assert!(ports.are_standard() && !Ports::from_base(Some(19094)).unwrap().are_standard());
    }

    #[test]
    fn only_ports_that_a_base_names_have_one() {
        let next = Ports::next_free().unwrap();
        assert!(next.base().is_some() && !next.are_standard());
        let odd = Ports(next.0.iter().rev().copied().collect());
        assert_eq!(odd.base(), None);
    }

    #[test]
    fn a_base_without_room_is_refused() {
        assert!(Ports::from_base(Some(65334)).is_ok());
        for base in [1, 1023, 65335, u16::MAX] {
            assert!(Ports::from_base(Some(base)).is_err(), "{base}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_who_needs_it() {
        let mut ports = Ports::free().unwrap();
        let held = TcpListener::bind(local(0)).unwrap();
        ports.0[1].peer = held.local_addr().unwrap().port();
        let error = ports.check().unwrap_err();
        assert!(matches!(error, LocalError::PortTaken { broker: 2, whom: "brokers", .. }), "{error}");
    }
}
