//! Committed offsets: who may commit, and when they expire. The offsets themselves are in storage only; what is read there is what was
//! committed last, by a client or in SQL.

use std::future::Future;
use std::time::Duration;

use kafka_protocol::ResponseError;

use super::classic::{ClassicState, MemberRef};
use super::coordinator::{coordinator_error, now, Coordinator, Group, Missing};
use super::stored::CONSUMER_PROTOCOL;
use crate::clock;
use crate::limits;
use crate::storage::engine::TopicNumber;
use crate::storage::group_jobs::GroupOffsets;
use crate::storage::groups::{CommittedOffset, Expiry, OffsetKey};
use crate::storage::StorageError;

impl Coordinator {
    /// OffsetCommit of partitions that exist. `group_missing` is the answer where there is no group that the member could be of; a commit
    /// from outside of a group (generation -1) makes it.
    ///
    /// # Errors
    /// The group's, for the whole request; COORDINATOR_NOT_AVAILABLE (15) if it is not known to be durable in time, NOT_COORDINATOR (16)
    /// if it surely is not.
    pub async fn commit_offsets(
        &self,
        group_id: &str,
        member: &MemberRef,
        group_missing: ResponseError,
        offsets: Vec<(TopicNumber, i32, CommittedOffset)>,
    ) -> Result<(), ResponseError> {
        let missing = match member.generation_id < 0 {
            true => Missing::Create,
            false => Missing::Skip,
        };
        let keyed = offsets.into_iter().map(|(topic, partition, offset)| {
            let key = OffsetKey {
                group_id: group_id.to_owned(),
                topic,
                partition,
            };
            (key, offset)
        });
        let committed = self.with_group(group_id, missing, |group| {
            group.machine.check_offset_commit(now(), member)?;
            let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
            Ok(self.shared.storage.commit_offsets(keyed.collect(), deadline))
        })?;
        in_time(committed.ok_or(group_missing)??).await
    }

    /// The offsets that a group has committed; none if there is no such group.
    ///
    /// # Errors
    /// Those of the coordinator and of storage.
    pub async fn committed_offsets(&self, group_id: &str) -> Result<GroupOffsets, ResponseError> {
        let fetched = self.with_group(group_id, Missing::Skip, |group| {
            // A group that is being deleted has none (Kafka `ClassicGroup.validateOffsetFetch`).
            (group.machine.state() != ClassicState::Dead).then(|| {
                let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
                self.shared.storage.committed_offsets(group_id, deadline)
            })
        })?;
        match fetched.flatten() {
            Some(fetched) => in_time(fetched).await,
            None => Ok(Vec::new()),
        }
    }

    /// OffsetDelete of partitions that exist; each is said to be deleted or GROUP_SUBSCRIBED_TO_TOPIC (86), in order.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND (69), NON_EMPTY_GROUP (68) if the group has members that are no consumers, those of the coordinator.
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        partitions: Vec<(TopicNumber, std::sync::Arc<str>, i32)>,
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        let begun = self.with_group(group_id, Missing::Skip, |group| {
            group.machine.check_offset_delete()?;
            let outcome = |topic: &str| match group.machine.is_subscribed_to(topic) {
                true => Err(ResponseError::GroupSubscribedToTopic),
                false => Ok(()),
            };
            let outcomes: Vec<_> = partitions.iter().map(|(_, name, _)| outcome(name)).collect();
            let free = partitions.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            let free: Vec<_> = free.map(|((topic, _, partition), _)| (*topic, *partition)).collect();
            let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
            Ok((outcomes, self.shared.storage.delete_offsets(group_id, free, deadline)))
        })?;
        let (outcomes, deleted) = begun.ok_or(ResponseError::GroupIdNotFound)??;
        in_time(deleted).await?;
        Ok(outcomes)
    }

    /// Deletes what expired of all groups, and groups of which nothing is left, again and again.
    pub(super) async fn expire_regularly(self) {
        loop {
            tokio::time::sleep(limits::OFFSETS_EXPIRY_INTERVAL).await;
            for group_id in self.group_ids().unwrap_or_default() {
                if let Err(error) = self.expire(&group_id).await {
                    tracing::debug!(group = %group_id, %error, "committed offsets not looked through");
                }
            }
        }
    }

    async fn expire(&self, group_id: &str) -> Result<(), ResponseError> {
        let retention = self.settings().offsets_retention;
        let expiry = self.with_group(group_id, Missing::Skip, |group| self.expiry_of(group_id, group, retention))?;
        let Some(expiry) = expiry.flatten() else { return Ok(()) };
        let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
        let has_offsets = in_time(self.shared.storage.expire_offsets(expiry, deadline)).await?;
        if has_offsets {
            return Ok(());
        }
        let deleted = self.with_group(group_id, Missing::Skip, |group| {
            let unused = group.machine.state() == ClassicState::Empty && group.machine.next_timeout().is_none();
            unused.then(|| self.close_and_delete(group))
        })?;
        match deleted.flatten() {
            Some(deleted) => deleted.await,
            None => Ok(()),
        }
    }

    /// What of a group's offsets expires now (Kafka `ClassicGroup.offsetExpirationCondition`); `None`: nothing, whatever their age.
    fn expiry_of(&self, group_id: &str, group: &Group, retention: Duration) -> Option<Expiry> {
        let now_ms = clock::now_ms();
        let due_before = now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        let description = group.machine.describe();
        let simple = description.protocol_type.is_empty();
        let committed_before_ms = match description.state {
            ClassicState::Empty if simple => due_before,
            // All of them, when the group has been empty for so long.
            ClassicState::Empty if group.empty_since_ms? < due_before => i64::MAX,
            ClassicState::Empty => i64::MIN,
            ClassicState::Stable if description.protocol_type == CONSUMER_PROTOCOL => due_before,
            _ => return None,
        };
        let topics = self.shared.catalog.topics();
        let kept = topics.iter().filter(|topic| group.machine.is_subscribed_to(&topic.name));
        Some(Expiry {
            group_id: group_id.to_owned(),
            committed_before_ms,
            kept_topics: kept.map(|topic| topic.number).collect(),
            now_ms,
        })
    }
}

/// What storage answers, unless it takes so long that the client should ask again: a standby that has to confirm may be missing.
async fn in_time<T>(reply: impl Future<Output = Result<T, StorageError>>) -> Result<T, ResponseError> {
    match tokio::time::timeout(limits::GROUP_CONFIRMATION_PATIENCE, reply).await {
        Ok(reply) => reply.map_err(|error| coordinator_error(&error)),
        Err(_) => Err(ResponseError::CoordinatorNotAvailable),
    }
}
