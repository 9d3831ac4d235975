//! Floor 8: the only floor that names tonic and the proto crate. Everything at the door.
//!
//! ```text
//!   listen       caps, first bytes             a socket becomes a connection
//!   server       hardened HTTP/2, routes       a connection becomes calls
//!   wire         deadline, arrival (budget)    a call becomes a request that is paid for
//!   produce ..   route, admission, mapping     a request becomes a question to the floors below, and its answer
//! ```
//!
//! Always true: every limit answers with an error that names it; whatever leaves as an error has a reason
//! ([`Failure`]), and every refusal of the floors below is mapped in one exhaustive match. Two listeners serve the
//! same public services: clients', and the one between brokers, which also carries [`peer`] and answers public calls
//! only when another broker sent them on.
//!
//! Not here: who may do what (there are no users yet), and anything that is decided.

mod admission;
mod arrival;
mod budget;
mod cluster;
mod co_stream;
mod committed_ends;
mod consume;
mod context;
mod deadline;
mod expand;
mod fetch;
mod forward;
mod health;
mod limits;
mod list_offsets;
mod listen;
mod mapping;
mod operations;
mod order;
mod paging;
pub mod peer;
mod placement;
mod position_forms;
mod positions;
mod produce;
mod produce_stream;
mod producer_ids;
mod reading;
mod reason;
mod receipt;
mod replica_description;
mod route;
mod server;
mod status;
mod topic_description;
mod topics;
mod wire;

pub use context::{Context, Parts, Reachability};
pub use health::Health;
pub use limits::RpcLimits;
pub use listen::{Connection, ListenLimits, Remote, bind, incoming};
pub use server::{hardened, public_routes, public_server, serve};
pub use status::{DOMAIN, Failure};
pub use wire::{Wire, WireLayer};
