//! What a group asks to be stored, and what waits for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::group::ClassicGroup;
use super::settings::ClassicSettings;
use super::state::ClassicState;
use super::static_member::Replacement;
use super::stored::{Persist, StoredClassicGroup, StoredMember};

/// An assignment by member id.
pub(super) type Assignment = HashMap<Arc<str>, Bytes>;

/// The writes of a group that are asked for. What waits for one is bounded by the number of members, however slow the writes are.
#[derive(Debug, Default)]
pub(super) struct Writes {
    last_token: u64,
    unsent: Option<Persist>,
    /// The assignment of the current generation, while CompletingRebalance.
    assignment: Option<(u64, Assignment)>,
    /// Static members that came back, by instance id, while Stable.
    replacements: BTreeMap<String, (u64, Replacement)>,
}

impl Writes {
    fn ask(&mut self, group: StoredClassicGroup) -> u64 {
        self.last_token += 1;
        self.unsent = Some(Persist {
            token: self.last_token,
            group,
        });
        self.last_token
    }

    pub(super) fn poll(&mut self) -> Option<Persist> {
        self.unsent.take()
    }

    /// Lets nothing wait any more: the group moved on, what is written now does not matter to it. The members concerned are parked
    /// and get their answer from where the group went.
    pub(super) fn forget_waiting(&mut self) {
        self.assignment = None;
        self.replacements.clear();
    }

    pub(super) fn clear(&mut self) {
        self.unsent = None;
        self.forget_waiting();
    }

    pub(super) fn has_assignment(&self) -> bool {
        self.assignment.is_some()
    }

    fn take_assignment(&mut self, token: u64) -> Option<Assignment> {
        let (_, assignment) = self.assignment.take_if(|(asked, _)| *asked <= token)?;
        Some(assignment)
    }

    fn take_replacements(&mut self, token: u64) -> Vec<Replacement> {
        let is_done = |(asked, _): &(u64, Replacement)| *asked <= token;
        let done: Vec<_> = self
            .replacements
            .iter()
            .filter(|(_, waiting)| is_done(waiting))
            .map(|(id, _)| id.clone())
            .collect();
        done.iter()
            .filter_map(|instance_id| self.replacements.remove(instance_id))
            .map(|(_, done)| done)
            .collect()
    }
}

impl<W> ClassicGroup<W> {
    /// A write is done, and with it all that were asked for before: what waited for them goes on. A write that failed undoes what it
    /// was to make durable: an assignment is dropped and the group rebalances, a static member that came back is the old one again.
    /// What the group has moved on from meanwhile is left alone.
    pub fn persisted(&mut self, settings: &ClassicSettings, now: Instant, token: u64, outcome: Result<(), ResponseError>) {
        let outcome = outcome.map_err(response_error);
        if let Some(assignment) = self.writes.take_assignment(token) {
            self.assignment_persisted(settings, now, &assignment, outcome);
        }
        for replacement in self.writes.take_replacements(token) {
            self.replacement_persisted(now, replacement, outcome);
        }
    }

    /// Asks for a group without members to be stored. Nothing waits for it: the group would be the same if it were lost, but for
    /// members that time out.
    pub(super) fn store_empty(&mut self) {
        let group = self.to_store(|_, assignment| assignment.clone());
        self.writes.ask(group);
    }

    /// Asks for the current generation to be stored with this assignment.
    pub(super) fn store_assignment(&mut self, assignment: Assignment) {
        let group = self.to_store(|id, _| assignment.get(id).cloned().unwrap_or_default());
        let token = self.writes.ask(group);
        self.writes.assignment = Some((token, assignment));
    }

    /// Asks for the group to be stored with a static member that came back. Of two such writes for one instance the second is waited
    /// for, and if it fails, undoes both.
    pub(super) fn store_replacement(&mut self, instance_id: &str, mut replacement: Replacement) {
        let group = self.to_store(|_, assignment| assignment.clone());
        let token = self.writes.ask(group);
        if let Some((_, earlier)) = self.writes.replacements.remove(instance_id) {
            replacement.old_id = earlier.old_id;
            replacement.old_interests = earlier.old_interests;
        }
        self.writes.replacements.insert(instance_id.to_owned(), (token, replacement));
    }

    fn assignment_persisted(
        &mut self,
        settings: &ClassicSettings,
        now: Instant,
        assignment: &Assignment,
        outcome: Result<(), ResponseError>,
    ) {
        match outcome {
            Ok(()) => {
                self.hand_out(now, |id| assignment.get(id).cloned().unwrap_or_default(), None);
                self.state = ClassicState::Stable;
            }
            Err(error) => {
                self.hand_out(now, |_| Bytes::new(), Some(error));
                self.prepare_rebalance(settings, now, "the assignment could not be stored");
            }
        }
    }

    fn to_store(&self, assignment_of: impl Fn(&str, &Bytes) -> Bytes) -> StoredClassicGroup {
        let members = self.members.iter().map(|member| StoredMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.interests.rebalance_timeout_ms,
            session_timeout_ms: member.interests.session_timeout_ms,
            metadata: member.metadata(self.protocol_name.as_deref()),
            assignment: assignment_of(&member.id, &member.assignment),
        });
        StoredClassicGroup {
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: self.protocol_name.clone(),
            leader: self.members.leader().map(str::to_owned),
            members: members.collect(),
        }
    }
}

/// What a client is told about a write that failed (Kafka `appendGroupMetadataErrorToResponseError`), so that it looks for the
/// coordinator and tries again. Kafka cannot meet NOT_ENOUGH_REPLICAS_AFTER_APPEND here, which Java consumers would give up on.
fn response_error(write_error: ResponseError) -> ResponseError {
    use ResponseError::*;
    match write_error {
        UnknownTopicOrPartition | NotEnoughReplicas | NotEnoughReplicasAfterAppend | RequestTimedOut => CoordinatorNotAvailable,
        NotLeaderOrFollower | KafkaStorageError => NotCoordinator,
        MessageTooLarge | RecordListTooLarge | InvalidFetchSize => UnknownServerError,
        other => other,
    }
}
