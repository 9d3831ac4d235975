//! The machines of one partition, driven two ways.
//!
//! [`conversations`] are short talks with one machine, one for each rule. [`cluster`] is three whole machines under a
//! seeded scheduler: modelled logs that lose what was not synced, two lanes of streams that break and still deliver, a
//! quorum that answers late or twice and elects by N9-N11, brokers that crash, that are fenced and do not know it, and
//! that restart uncleanly, leases that run out, producers that resend. [`invariants`] judges every step.
//!
//! A seed decides everything. `FIDELOG_MACHINE_SEEDS=20000` tries more of them, `FIDELOG_MACHINE_SEED=7` tells the
//! story of one.

mod cluster;
mod conversations;
mod invariants;
mod liveness;
mod model_log;
mod network;
mod producers;
mod quorum;
mod random;
mod schedule;
mod seeds;
mod streams;
