//! Floor 0: the vocabulary. Imports nothing of ours.

mod epoch;
mod id;
pub mod limits;
mod name;
mod offset;

pub use epoch::{BrokerEpoch, Generation, LeaderEpoch, MetaIndex, PartitionEpoch};
pub use id::{
    BrokerId, ClusterId, DirectoryId, IdError, Incarnation, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence, TopicId, TopicPartition,
};
pub use name::{GroupName, NameError, TopicName};
pub use offset::Offset;
