//! Planned faults: which call fails, and how.

use std::io;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;
use rustix::io::Errno;

use crate::env::Operation;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// EIO.
    Io,
    /// ENOSPC.
    StorageFull,
    /// EMFILE.
    TooManyFiles,
    /// EROFS.
    ReadOnly,
}

impl FaultError {
    /// The error as a kernel gives it, number included.
    #[must_use]
    pub fn to_error(self) -> io::Error {
        io::Error::from(match self {
            Self::Io => Errno::IO,
            Self::StorageFull => Errno::NOSPC,
            Self::TooManyFiles => Errno::MFILE,
            Self::ReadOnly => Errno::ROFS,
        })
    }
}

/// One planned fault. Calls are counted from when it was injected, per fault, and only those that fit its operation
/// and path.
///
/// A failed write may have written any first part of its bytes. A failed sync leaves the data readable and clean: the
/// next sync succeeds, and a crash loses it. Every other call fails before it does anything.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: Operation,
    path: Option<PathBuf>,
    strikes: Strikes,
    error: FaultError,
}

#[derive(Clone, Copy, Debug)]
enum Strikes {
    Once { nth: u64 },
    From { nth: u64 },
    Chance { per_million: u32 },
}

impl Fault {
    /// Fails the `nth` call, counted from 1, and no other.
    #[must_use]
    pub fn once(operation: Operation, nth: u64, error: FaultError) -> Self {
        Self { operation, path: None, strikes: Strikes::Once { nth }, error }
    }

    /// Fails the `nth` call, counted from 1, and every one after it.
    #[must_use]
    pub fn from(operation: Operation, nth: u64, error: FaultError) -> Self {
        Self { operation, path: None, strikes: Strikes::From { nth }, error }
    }

    /// Fails each call with this probability, drawn from the disk's seed.
    #[must_use]
    pub fn chance(operation: Operation, per_million: u32, error: FaultError) -> Self {
        Self { operation, path: None, strikes: Strikes::Chance { per_million }, error }
    }

    /// Only calls about `path` or something below it.
    #[must_use]
    pub fn under(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    fn fits(&self, operation: Operation, path: &Path) -> bool {
        self.operation == operation && self.path.as_ref().is_none_or(|prefix| path.starts_with(prefix))
    }
}

/// The faults injected into a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    planned: Vec<(Fault, u64)>,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.planned.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    /// The error this call is to fail with. Every fault that fits counts the call; the first one injected wins.
    pub(super) fn strike(
        &mut self,
        operation: Operation,
        path: &Path,
        random: &mut StdRng,
    ) -> Option<io::Error> {
        let mut struck = None;
        for (fault, calls) in self.planned.iter_mut().filter(|(fault, _)| fault.fits(operation, path)) {
            *calls += 1;
            let strikes = match fault.strikes {
                Strikes::Once { nth } => *calls == nth,
                Strikes::From { nth } => *calls >= nth,
                Strikes::Chance { per_million } => random.random_range(0..1_000_000) < per_million,
            };
            if strikes && struck.is_none() {
                struck = Some(fault.error.to_error());
            }
        }
        struck
    }
}
