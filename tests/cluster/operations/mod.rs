//! Operations on clusters at work, by the command line where people would use that: what is acknowledged stays, nothing
//! is refused, and what was ordered comes about.
//!
//! | file | what it holds |
//! |---|---|
//! | `command` | the command line, and what it said |
//! | `scene` | a cluster under load, and what its partitions are |
//! | `draining` | a broker is emptied, and takes part again |
//! | `moving` | a partition moves, and a move is cancelled |
//! | `leading` | leaders are chosen, and brokers restarted one by one |
//! | `growing` | more partitions, more and fewer copies, a further broker |
//! | `recovery` | the disks that held everything are gone: recovery by hand, and its loss |

mod command;
mod draining;
mod growing;
mod leading;
mod moving;
mod recovery;
mod scene;
