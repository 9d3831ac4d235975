//! What must hold, however a cluster fails: one property, one file.

pub(crate) mod acknowledgements;
pub(crate) mod elected;
pub(crate) mod history;
pub(crate) mod in_sync;
pub(crate) mod leaders;
pub(crate) mod lives;
pub(crate) mod names;
pub(crate) mod positions;
pub(crate) mod readers;
pub(crate) mod replicas;
pub(crate) mod settled;
pub(crate) mod synced;
pub(crate) mod uncut;
pub(crate) mod undamaged;
pub(crate) mod views;
