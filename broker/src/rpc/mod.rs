//! Floor 8: the only floor that names tonic and the proto crate.

pub mod peer;
