//! Consumer groups: pure machines ([`classic`]), and the coordinator around them, which knows time, storage and who waits.
//!
//! * [`coordinator`] holds all groups and carries out what their machines ask for; `timers` wakes it
//! * [`offsets`] is about committed offsets; `stored` is how groups are written down

pub mod classic;
pub mod consumer;
mod consumer_protocol;
pub mod coordinator;
pub mod offsets;
mod stored;
mod timers;

pub use coordinator::Coordinator;
