//! Consumer groups: a pure machine for each protocol ([`classic`], [`consumer`]), and the coordinator around them, which knows time,
//! storage and who waits.
//!
//! * [`coordinator`] holds all groups and carries out what their machines ask for; `group` is one of them, `timers` wakes it
//! * `migration` carries a group from one protocol to the other
//! * [`membership`] serves members, [`offsets`] committed offsets; `stored` is how groups are written down

mod base64_bytes;
pub mod classic;
pub mod consumer;
mod consumer_protocol;
pub mod coordinator;
mod group;
pub mod membership;
mod migration;
pub mod offsets;
mod partition_runs;
mod stored;
mod timers;

pub use coordinator::Coordinator;
