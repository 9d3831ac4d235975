//! What a driver tells its consumer, in order, and what the consumer gives back.

use super::batch::ConsumedBatch;
use super::error::ConsumeError;
use super::position::GroupPositions;

/// A batch on its way to the program, and the stream whose credit it used.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) batch: ConsumedBatch,
    pub(crate) spent: Spent,
}

/// What a driver tells its consumer.
#[derive(Debug)]
pub(crate) enum Heard {
    Records(Delivered),
    /// A partition's reading ended.
    Failed(ConsumeError),
    /// So many partitions more are read from now on; comes before anything of them.
    Grown {
        partitions: usize,
        held: Option<GroupPositions>,
    },
}

/// Credit that was used on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) stream: u64,
    pub(crate) bytes: u64,
}
