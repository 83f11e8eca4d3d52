//! Consumer groups of the protocol of KIP-848 as a state machine without clock, locks, channels and I/O (Kafka `ConsumerGroup` and the parts of
//! `GroupMetadataManager` that serve it).
//!
//! A heartbeat does three things, in this order: it makes or changes the member, and if that or the topics changed what there is to assign,
//! raises the **group epoch**; if the group epoch is ahead of the **assignment epoch**, it computes a new **target assignment** for
//! all members; and it moves this one member towards its target ([`MemberState`]), which gives the member a new **member epoch**
//! once it has given up what it must. What other members have to do waits for their own heartbeats.
//!
//! Who uses it calls an input ([`ConsumerGroup::heartbeat`], [`ConsumerGroup::handle_timeout`], and for clients of the classic protocol
//! [`ConsumerGroup::classic_join`] and its neighbours), then empties
//! [`ConsumerGroup::poll_persist`] and writes what it gives, in order; calls [`ConsumerGroup::persisted`] when that is durable; and after each
//! of these empties [`ConsumerGroup::poll_reply`] and sets its timer to [`ConsumerGroup::next_timeout`]. If a write fails it calls
//! [`ConsumerGroup::close`], throws the group away and restores it from what is stored: the machine undoes nothing.
//!
//! Invariants: a reply is given out only after all changes made before it are durable. A partition is in the assignment of at most one
//! member, from the reply that gives it until a heartbeat that no longer has it, or the end of the member. A refused request changes nothing.

mod assignor;
mod classic;
mod describe;
mod error;
mod fence;
mod heartbeat;
mod join;
mod members;
mod offsets;
mod outbox;
mod reconcile;
mod regex;
mod reply;
mod request;
mod settings;
mod settle;
mod stored;
mod target;
#[cfg(test)]
mod tests;
mod topics;

use std::time::Instant;

use kafka_protocol::ResponseError;

pub use assignor::Assignor;
pub use classic::{
    ClassicGroupImage, ClassicGroupMember, ClassicJoin, ClassicJoinReply, ClassicJoined, ClassicLeaving, ClassicLeft,
    ClassicMemberRef, ClassicSync, ClassicSynced,
};
pub use describe::{ConsumerGroupState, Description, MemberDescription, TopicPartitions};
pub use error::HeartbeatError;
pub use offsets::{CommitCheck, OffsetCommit};
pub use reply::Reply;
pub use request::{
    check_request, Heartbeat, HeartbeatReply, HeartbeatRequest, Partitions, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH,
};
pub use settings::{ConsumerSettings, MigrationPolicy};
pub use stored::{
    AssignedPartitions, ClassicMember, ClassicProtocol, ConsumerGroupChange, MemberState, Persist, StoredConsumerGroup,
    StoredGroup, StoredMember,
};
pub use topics::{TopicFacts, TopicsImage};

use members::{Member, Members};
use outbox::Outbox;
use regex::ResolvedRegexes;

/// The epoch of a group that nobody has joined yet.
const FIRST_EPOCH: i32 = 1;

/// See the module's head. `W` is what the caller uses to find the client that a reply is for.
#[derive(Debug)]
pub struct ConsumerGroup<W> {
    group_id: String,
    members: Members,
    group: StoredGroup,
    /// The group's numbers as they were last given out to be written.
    written: Option<StoredGroup>,
    regexes: ResolvedRegexes,
    /// The versions of the topics, now and at the last refresh of the expressions, that `group.metadata_hash` was last compared with.
    compared: Option<(u64, Option<u64>)>,
    /// When the target assignment was computed; `None`: before the restart, or never.
    assigned_at: Option<Instant>,
    outbox: Outbox<W>,
    /// What the group became, until that is given out to be written.
    downgraded: Option<ClassicGroupImage>,
    closed: Option<HeartbeatError>,
}

impl<W> ConsumerGroup<W> {
    /// A group without members. It is stored with the first member; until then [`Self::is_unwritten`].
    pub fn new(group_id: &str) -> Self {
        ConsumerGroup {
            group_id: group_id.to_owned(),
            members: Members::default(),
            group: StoredGroup {
                group_epoch: FIRST_EPOCH,
                metadata_hash: 0,
                assignment_epoch: 0,
            },
            written: None,
            regexes: ResolvedRegexes::default(),
            compared: None,
            assigned_at: None,
            outbox: Outbox::new(),
            downgraded: None,
            closed: None,
        }
    }

    /// The group as it was stored. Session and rebalance timeouts begin anew; regular expressions are resolved; topics that changed meanwhile
    /// are noticed at the next heartbeat, and a target assignment is not delayed by one that was made before.
    pub fn restore(
        group_id: &str,
        stored: StoredConsumerGroup,
        settings: &ConsumerSettings,
        topics: &dyn TopicsImage,
        now: Instant,
    ) -> Self {
        let mut group = Self::new(group_id);
        group.group = stored.group;
        group.written = Some(stored.group);
        for stored in stored.members {
            let mut member = group.with_timers(stored, now + settings.session_timeout);
            member.restart_revocation(now);
            group.members.put(member);
        }
        group.members.take_change();
        group.update_regexes(topics, now);
        group
    }

    /// Whether nothing was ever to be written: a group that [`Self::new`] made for a request that was then refused, which does not exist.
    pub fn is_unwritten(&self) -> bool {
        self.written.is_none() && self.outbox.is_unused()
    }

    /// Everything up to the change of this token is durable.
    pub fn persisted(&mut self, token: u64) {
        self.outbox.set_durable(token);
    }

    /// The token that must be durable before what [`Self::describe`] and [`Self::state`] show may be told; `None`: all is.
    pub fn undurable(&self) -> Option<u64> {
        self.outbox.undurable()
    }

    /// The next reply that may leave.
    pub fn poll_reply(&mut self) -> Option<(W, Reply)> {
        self.outbox.poll_reply()
    }

    /// The next change to be written.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.outbox.poll_change()
    }

    /// When [`Self::handle_timeout`] has something to do unless members are heard of.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.members.iter().map(Member::deadline).min()
    }

    /// Answers everything that waits with `error`, and every later heartbeat too.
    pub fn close(&mut self, error: ResponseError) {
        let error = HeartbeatError::Closed(error);
        self.outbox.close(&error);
        self.closed = Some(error);
    }

    /// Ends an input: what it changed is to be written as one.
    fn commit(&mut self) {
        let mut change = self.members.take_change();
        if let Some(downgrade) = self.downgraded.take() {
            change.downgrade = Some(downgrade);
            self.outbox.push_change(change);
            return;
        }
        if self.written != Some(self.group) && (self.written.is_some() || !change.is_empty()) {
            change.whole = self.written.is_none();
            change.group = Some(self.group);
            self.written = Some(self.group);
        }
        if !change.is_empty() {
            self.outbox.push_change(change);
        }
    }
}
