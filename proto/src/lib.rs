//! Fidelog's wire: what the `.proto` files beside this crate say, as Rust.
//!
//! [`v1`] is public and stable; `internal::v1` is spoken between brokers of one cluster. No logic lives here. Message
//! documentation is that of the `.proto` files; errors and the batch format are described in `proto/README.md`.

mod reason;

pub use reason::{Certainty, Meaning};

/// The public API, package `fidelog.v1`.
#[expect(missing_docs, clippy::all, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("fidelog.v1");
}

/// Between brokers.
pub mod internal {
    /// Package `fidelog.internal.v1`.
    #[expect(missing_docs, clippy::all, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("fidelog.internal.v1");
    }
}

/// The public package as an encoded `FileDescriptorSet`, for reflection and for the test that guards numbers and types.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fidelog_v1.bin"));
