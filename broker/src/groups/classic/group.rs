//! The group itself: its parts, how it begins and ends, its outputs.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::deadlines::{Deadlines, Timer};
use super::member::{Interests, Member};
use super::members::Members;
use super::rebalance::InitialDelay;
use super::reply::{JoinReply, Reply, SyncReply};
use super::request::Protocol;
use super::settings::ClassicSettings;
use super::state::ClassicState;
use super::stored::{Persist, StoredClassicGroup};
use super::writes::Writes;

/// A classic group (Kafka `ClassicGroup`). `W` stands for a client that waits for an answer; each one given to the group comes back
/// exactly once, with its reply, at the latest after [`ClassicGroup::close`].
///
/// Order of calls: an input ([`ClassicGroup::join`], [`ClassicGroup::sync`], [`ClassicGroup::heartbeat`], [`ClassicGroup::leave`], the
/// `check_` methods, [`ClassicGroup::persisted`], [`ClassicGroup::handle_timeout`], [`ClassicGroup::close`]), then
/// [`ClassicGroup::poll_reply`] and [`ClassicGroup::poll_persist`] until they return `None`, then [`ClassicGroup::next_timeout`]. What
/// an input returns itself needs no write.
#[derive(Debug)]
pub struct ClassicGroup<W> {
    pub(super) group_id: String,
    pub(super) state: ClassicState,
    /// Set while a rebalance that began with an empty group collects members.
    pub(super) initial_delay: Option<InitialDelay>,
    pub(super) generation_id: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    /// Topics of all members as of the last generation; `None` if they could not be told.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    pub(super) members: Members<W>,
    pub(super) deadlines: Deadlines,
    pub(super) writes: Writes,
    replies: VecDeque<(W, Reply)>,
}

impl<W> ClassicGroup<W> {
    /// An Empty group of generation 0.
    pub fn new(group_id: &str) -> Self {
        ClassicGroup {
            group_id: group_id.to_owned(),
            state: ClassicState::Empty,
            initial_delay: None,
            generation_id: 0,
            protocol_type: None,
            protocol_name: None,
            subscribed_topics: None,
            members: Members::new(),
            deadlines: Deadlines::default(),
            writes: Writes::default(),
            replies: VecDeque::new(),
        }
    }

    /// The group as it was stored: Stable if it has members, whose sessions start anew, else Empty. A group that is larger than
    /// allowed stays so until [`ClassicGroup::shrink`].
    pub fn restore(group_id: &str, stored: StoredClassicGroup, now: Instant) -> Self {
        let mut group = Self::new(group_id);
        group.generation_id = stored.generation_id;
        group.protocol_type = Some(stored.protocol_type).filter(|name| !name.is_empty());
        group.protocol_name = stored.protocol_name;
        for member in stored.members {
            let rebalance_timeout_ms = match member.rebalance_timeout_ms {
                -1 => member.session_timeout_ms,
                timeout_ms => timeout_ms,
            };
            let protocol = Protocol {
                name: group.protocol_name.clone().unwrap_or_default(),
                metadata: member.metadata,
            };
            group.members.add(Member {
                id: member.member_id.into(),
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                interests: Interests {
                    protocols: vec![protocol],
                    session_timeout_ms: member.session_timeout_ms,
                    rebalance_timeout_ms,
                },
                assignment: member.assignment,
                parked_join: None,
                parked_sync: None,
                is_new: false,
            });
        }
        if let Some(leader) = &stored.leader {
            group.members.set_leader(leader);
        }
        if !group.members.is_empty() {
            group.state = ClassicState::Stable;
        }
        for id in group.members.ids() {
            group.restart_session(&id, now);
        }
        group.subscribed_topics = group.topics_of_members();
        group
    }

    /// Begins a rebalance if the group has more members than the settings allow, in which those who come too late are refused
    /// (KIP-389). To be called after [`ClassicGroup::restore`], in case that `max_size` was lowered.
    pub fn shrink(&mut self, settings: &ClassicSettings, now: Instant) {
        if self.state == ClassicState::Stable && self.members.len() > settings.max_size {
            self.prepare_rebalance(settings, now, "the group is larger than its maximal size");
        }
    }

    /// Ends the group: everything that waits is answered with `error`, all later requests are refused. NOT_COORDINATOR (16) is what
    /// Kafka uses when a broker stops. Nothing more is asked to be stored.
    pub fn close(&mut self, error: ResponseError) {
        self.state = ClassicState::Dead;
        self.initial_delay = None;
        self.deadlines.clear();
        self.writes.clear();
        for id in self.members.ids() {
            if let Some(waiter) = self.members.take_parked_join(&id) {
                self.answer_join(waiter, JoinReply::error(&*id, error));
            }
            if let Some(waiter) = self.members.take_parked_sync(&id) {
                self.answer_sync(waiter, SyncReply::error(error));
            }
        }
    }

    /// The next answer.
    pub fn poll_reply(&mut self) -> Option<(W, Reply)> {
        self.replies.pop_front()
    }

    /// What is to be stored next. The outcome is to be reported with [`ClassicGroup::persisted`]; what was asked for earlier and is
    /// not yet written need not be written any more.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.writes.poll()
    }

    /// When [`ClassicGroup::handle_timeout`] has something to do, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The group's id.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// The state.
    pub fn state(&self) -> ClassicState {
        self.state
    }

    /// The last generation that was made; 0 before the first.
    pub fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// The protocol type of the members, present or last; `None` if there never were any. Without one the group is just a name for
    /// committed offsets (Kafka's simple group).
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(super) fn answer_join(&mut self, waiter: W, reply: JoinReply) {
        self.replies.push_back((waiter, Reply::Join(reply)));
    }

    pub(super) fn answer_sync(&mut self, waiter: W, reply: SyncReply) {
        self.replies.push_back((waiter, Reply::Sync(reply)));
    }

    /// Removes a member; what it has parked is answered UNKNOWN_MEMBER_ID, on which a client that is still there joins again.
    pub(super) fn remove_member(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.deadlines.cancel(&Timer::Session(member.id));
        if let Some(waiter) = member.parked_join {
            self.answer_join(waiter, JoinReply::error("", ResponseError::UnknownMemberId));
        }
        // Kafka never answers this one.
        if let Some(waiter) = member.parked_sync {
            self.answer_sync(waiter, SyncReply::error(ResponseError::UnknownMemberId));
        }
    }

    /// Takes back an id that nobody has joined with. False if it is no such id.
    pub(super) fn remove_pending(&mut self, id: &str) -> bool {
        let was_pending = self.members.remove_pending_join(id);
        if was_pending {
            self.deadlines.cancel(&Timer::Session(id.into()));
        }
        was_pending
    }

    /// Counts a sign of life of a member.
    pub(super) fn restart_session(&mut self, id: &str, now: Instant) {
        if let Some(member) = self.members.get(id) {
            let timer = Timer::Session(member.id.clone());
            self.deadlines.set(timer, now + member.session_timeout());
        }
    }

    pub(super) fn has_expected_protocols(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == ClassicState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_common = |protocol: &Protocol| self.members.is_supported_by_all(&protocol.name);
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(is_common)
    }

    /// Sets the assignment of all members, empty where there is none, and answers their parked SyncGroups.
    pub(super) fn hand_out(&mut self, now: Instant, mut assignment_of: impl FnMut(&str) -> Bytes, error: Option<ResponseError>) {
        for id in self.members.ids() {
            let assignment = assignment_of(&id);
            self.members.set_assignment(&id, assignment.clone());
            let Some(waiter) = self.members.take_parked_sync(&id) else {
                continue;
            };
            // Its session may have run out while it was excused.
            self.restart_session(&id, now);
            let reply = match error {
                Some(error) => SyncReply::error(error),
                None => self.sync_reply(assignment),
            };
            self.answer_sync(waiter, reply);
        }
    }

    pub(super) fn sync_reply(&self, assignment: Bytes) -> SyncReply {
        SyncReply {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
        }
    }
}
