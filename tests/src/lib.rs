//! What Fidelog's tests of the whole share. Imported by nothing but the tests beside it.
//!
//! | folder | test | what it holds |
//! |---|---|---|
//! | `crash/` | `crash` | the durable log over a simulated disk that loses power, fails and lies |
//! | `cluster/` | `cluster` | clusters of real processes, killed and lied to, and a checker of what clients saw |
//! | `sim/` | `sim` | clusters on simulated disks, networks and clocks, one seed a run |
//! | `layers/` | `layers` | who may use whom, read from the sources |

pub mod process;
pub mod seeds;
pub mod story;
