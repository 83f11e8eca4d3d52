//! Groups: the coordinators of consumers, as pure state machines.

pub mod consumer;
