//! Idempotent producers (KIP-98, KIP-360): each batch of one is written once, however often it is sent.
//!
//! * [`state`] decides, per partition: what a producer wrote last, and what may follow. Pure: no clock, no lock, no I/O.
//! * [`snapshot`] is that state as bytes, so that a start need not read the whole log.
//! * [`ids`] gives out producer ids.
//!
//! Who owns what: the database thread has the state of every partition and checks a batch when its job enters a group
//! (`storage::runner`); nobody else reads it.

pub mod ids;
pub mod snapshot;
pub mod state;
