//! A rebalance: how it begins, how it waits for members, how it ends in a new generation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::deadlines::Timer;
use super::group::ClassicGroup;
use super::reply::{JoinReply, JoinedMember};
use super::settings::{ClassicSettings, MIN_REBALANCE_RETRY};
use super::state::ClassicState;
use super::subscription::{self, CONSUMER_PROTOCOL_TYPE};

/// The wait for more members after the first one of an empty group. It is prolonged while members come, up to the rebalance timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// The part that runs.
    delay: Duration,
    /// What it can still be prolonged by.
    remaining: Duration,
    /// Whether a member came since this part began.
    pub(super) has_new_member: bool,
}

impl<W> ClassicGroup<W> {
    /// Begins a rebalance, or goes on with the one that there is.
    pub fn rebalance(&mut self, settings: &ClassicSettings, now: Instant, cause: &str) {
        match self.state {
            ClassicState::PreparingRebalance => self.maybe_complete_join(now),
            ClassicState::Dead => {}
            ClassicState::Empty | ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.prepare_rebalance(settings, now, cause);
            }
        }
    }

    /// Begins a rebalance. Who waits for an assignment is told to join again.
    pub(super) fn prepare_rebalance(&mut self, settings: &ClassicSettings, now: Instant, cause: &str) {
        tracing::debug!(
            group = self.group_id,
            state = self.state.as_str(),
            generation = self.generation_id,
            cause,
            "rebalance"
        );
        self.writes.forget_waiting();
        if self.state == ClassicState::CompletingRebalance {
            self.hand_out(now, |_| Bytes::new(), Some(ResponseError::RebalanceInProgress));
        }
        self.members.pending_sync.clear();
        self.deadlines.cancel(&Timer::Sync);
        let was_empty = self.state == ClassicState::Empty;
        self.state = ClassicState::PreparingRebalance;
        if was_empty {
            let delay = settings.initial_rebalance_delay;
            self.start_initial_delay(now, delay, self.members.rebalance_timeout().saturating_sub(delay));
        } else if self.members.have_all_joined() {
            self.complete_join(now);
        } else {
            self.deadlines.set(Timer::Join, now + self.members.rebalance_timeout());
        }
    }

    /// Ends the wait for members if all are there; the initial wait takes its time in any case.
    pub(super) fn maybe_complete_join(&mut self, now: Instant) {
        let is_waiting = self.state == ClassicState::PreparingRebalance && self.initial_delay.is_none();
        if is_waiting && self.members.have_all_joined() {
            self.complete_join(now);
        }
    }

    /// The time to wait for members is over (Kafka `tryCompleteInitialRebalanceElseSchedule`, `completeClassicGroupJoin`).
    pub(super) fn join_timed_out(&mut self, settings: &ClassicSettings, now: Instant) {
        match self.initial_delay {
            Some(initial) if initial.has_new_member && !initial.remaining.is_zero() => {
                let delay = settings.initial_rebalance_delay.min(initial.remaining);
                self.start_initial_delay(now, delay, initial.remaining.saturating_sub(initial.delay));
            }
            _ => self.complete_join(now),
        }
    }

    fn start_initial_delay(&mut self, now: Instant, delay: Duration, remaining: Duration) {
        self.initial_delay = Some(InitialDelay {
            delay,
            remaining,
            has_new_member: false,
        });
        self.deadlines.set(Timer::Join, now + delay);
    }

    /// Ends the wait for members: dynamic ones that have not joined are removed, the others are the next generation.
    pub(super) fn complete_join(&mut self, now: Instant) {
        self.deadlines.cancel(&Timer::Join);
        let is_missing = |id: &Arc<str>| {
            let member = self.members.get(id);
            member.is_some_and(|member| member.parked_join.is_none() && member.instance_id.is_none())
        };
        let missing: Vec<_> = self.members.ids().into_iter().filter(is_missing).collect();
        for id in missing {
            self.remove_member(&id);
        }
        if !self.members.elect_joined_leader() && !self.members.is_empty() {
            // Only static members, and none has joined: their sessions decide.
            if let Some(initial) = &mut self.initial_delay {
                initial.remaining = Duration::ZERO;
            }
            let wait = self.members.rebalance_timeout().max(MIN_REBALANCE_RETRY);
            self.deadlines.set(Timer::Join, now + wait);
            return;
        }
        self.initial_delay = None;
        self.begin_generation();
        if self.members.is_empty() {
            self.state = ClassicState::Empty;
            self.store_empty();
        } else {
            self.state = ClassicState::CompletingRebalance;
            self.answer_joined(now);
        }
    }

    fn begin_generation(&mut self) {
        // Java wraps to a negative generation, which means "none" to clients.
        self.generation_id = self.generation_id.checked_add(1).unwrap_or(0);
        self.protocol_name = self.members.choose_protocol();
        self.subscribed_topics = self.topics_of_members();
        self.members.pending_sync.clear();
    }

    /// Gives all members the new generation. Static ones that have not joined keep their place until the time to sync is over.
    fn answer_joined(&mut self, now: Instant) {
        for id in self.members.ids() {
            if let Some(waiter) = self.members.take_parked_join(&id) {
                let reply = self.join_reply(&id);
                self.answer_join(waiter, reply);
            }
            self.restart_session(&id, now);
            self.members.enter_generation(&id);
        }
        self.deadlines.set(Timer::Sync, now + self.members.rebalance_timeout());
    }

    /// The current generation, as a member sees it.
    pub(super) fn join_reply(&self, id: &str) -> JoinReply {
        JoinReply {
            error: None,
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.members.leader().unwrap_or_default().to_owned(),
            skip_assignment: false,
            member_id: id.to_owned(),
            members: if self.members.is_leader(id) {
                self.joined_members()
            } else {
                Vec::new()
            },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let joined = self.members.iter().map(|member| JoinedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol_name.as_deref()),
        });
        joined.collect()
    }

    /// The topics that consumers subscribe to; `None` for other members and if one's metadata says nothing (Kafka
    /// `computeSubscribedTopics`).
    pub(super) fn topics_of_members(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type()? != CONSUMER_PROTOCOL_TYPE {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.iter() {
            subscription::add_topics(&member.metadata(self.protocol_name.as_deref()), &mut topics)?;
        }
        Some(topics)
    }
}
