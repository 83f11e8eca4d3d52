//! The classic consumer group protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup (Kafka `ClassicGroup` and the classic part of
//! `GroupMetadataManager`; KIP-134, 345, 389, 394, 429, 559, 800, 814).
//!
//! [`ClassicGroup`] is one group. It has no clock, no lock and no I/O: time is an argument, what is to be answered and to be stored is
//! polled after each input.

mod deadlines;
mod description;
mod group;
mod join;
mod leave;
mod member;
mod members;
mod membership;
mod rebalance;
mod reply;
mod request;
mod settings;
mod state;
mod static_member;
mod stored;
mod subscription;
mod sync;
mod timeout;
mod writes;

#[cfg(test)]
mod tests;

pub use description::{ClassicDescription, CurrentMember, DescribedMember};
pub use group::ClassicGroup;
pub use reply::{JoinReply, JoinedMember, LeaveOutcome, Reply, SyncReply};
pub use request::{JoinRequest, LeavingMember, MemberAssignment, MemberRef, Protocol, SyncRequest};
pub use settings::{ClassicSettings, MIN_REBALANCE_RETRY, NEW_MEMBER_JOIN_TIMEOUT, PENDING_MEMBERS_PER_GROUP};
pub use state::ClassicState;
pub use stored::{Persist, StoredClassicGroup, StoredMember};
