//! Committed offsets: who may commit, and when they expire. The offsets themselves are in storage only; what is read there is what was
//! committed last, by a client or in SQL.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::classic::{ClassicState, MemberRef};
use super::consumer::OffsetCommit;
use super::coordinator::{in_time, Coordinator, Missing};
use super::group::{Group, Machine};
use super::stored::CONSUMER_PROTOCOL;
use crate::clock::{now, now_ms};
use crate::limits;
use crate::storage::engine::TopicNumber;
use crate::storage::group_jobs::GroupOffsets;
use crate::storage::groups::{CommittedOffset, Expiry, GroupChange, OffsetKey};

/// An OffsetCommit of partitions that exist.
#[derive(Debug)]
pub struct Commit {
    /// The version of the request.
    pub version: i16,
    /// Who commits; `generation_id` is the epoch of a member of a consumer group.
    pub member: MemberRef,
    /// What is committed.
    pub offsets: Vec<PartitionOffset>,
}

/// The offset of one partition.
#[derive(Debug)]
pub struct PartitionOffset {
    /// The topic's number.
    pub topic: TopicNumber,
    /// Its id.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: CommittedOffset,
}

/// First version of OffsetCommit that says GROUP_ID_NOT_FOUND.
const GROUP_NOT_FOUND_VERSION: i16 = 9;

impl Coordinator {
    /// OffsetCommit. A commit from outside of a group (generation -1) makes the group if there is none.
    ///
    /// # Errors
    /// The group's, for the whole request; GROUP_ID_NOT_FOUND (69), before version 9 ILLEGAL_GENERATION (22), if there is no group that the
    /// member could be of; COORDINATOR_NOT_AVAILABLE (15) if it is not known to be durable in time, NOT_COORDINATOR (16)
    /// if it surely is not.
    pub async fn commit_offsets(&self, group_id: &str, commit: Commit) -> Result<(), ResponseError> {
        let missing = match commit.member.generation_id < 0 {
            true => Missing::Create,
            false => Missing::Skip,
        };
        let group_missing = match commit.version >= GROUP_NOT_FOUND_VERSION {
            true => ResponseError::GroupIdNotFound,
            false => ResponseError::IllegalGeneration,
        };
        let committed = self.with_group(group_id, missing, |group| {
            check_commit(group, &commit)?;
            let keyed = commit.offsets.into_iter().map(|partition| {
                let key = OffsetKey {
                    group_id: group_id.to_owned(),
                    topic: partition.topic,
                    partition: partition.partition,
                };
                (key, partition.offset)
            });
            let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
            Ok(self.shared.storage.commit_offsets(keyed.collect(), deadline))
        })?;
        in_time(committed.ok_or(group_missing)??).await
    }

    /// The offsets that a group has committed; none if there is no such group. `member_id` and `member_epoch` are those of a member of a
    /// consumer group, `None` and -1 for anybody else.
    ///
    /// # Errors
    /// The group's, those of the coordinator and of storage.
    pub async fn committed_offsets(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<GroupOffsets, ResponseError> {
        let fetched = self.with_group(group_id, Missing::Skip, |group| {
            if group.closed {
                // It is being deleted, so it has none (Kafka `ClassicGroup.validateOffsetFetch`).
                return Ok(None);
            }
            if let Machine::Consumer(group) = &group.machine {
                group.check_offset_fetch(member_id, member_epoch)?;
            }
            let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
            Ok(Some(self.shared.storage.committed_offsets(group_id, deadline)))
        })?;
        match fetched.transpose()?.flatten() {
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
        partitions: Vec<(TopicNumber, Arc<str>, i32)>,
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        let begun = self.with_group(group_id, Missing::Skip, |group| {
            if let Machine::Classic(group) = &group.machine {
                group.check_offset_delete()?;
            }
            let outcome = |topic: &str| match group.is_subscribed_to(topic) {
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
        let asked = self.with_group(group_id, Missing::Skip, |group| {
            let expiry = self.expiry_of(group_id, group, retention)?;
            let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
            Some(self.shared.storage.expire_offsets(expiry, deadline))
        })?;
        let Some(asked) = asked.flatten() else { return Ok(()) };
        let has_offsets = in_time(asked).await?;
        if has_offsets {
            return Ok(());
        }
        let deleted = self.with_group(group_id, Missing::Skip, |group| {
            let unused = group.is_idle() && !group.closed && !group.storing;
            // Meanwhile an offset may have been committed from outside of the group.
            unused.then(|| self.close_and_delete(group, GroupChange::DeleteUnused))
        })?;
        match deleted.flatten() {
            Some(deleted) => deleted.await,
            None => Ok(()),
        }
    }

    /// What of a group's offsets expires now (Kafka `ClassicGroup.offsetExpirationCondition`, `ConsumerGroup.offsetExpirationCondition`);
    /// `None`: nothing, whatever their age.
    fn expiry_of(&self, group_id: &str, group: &Group, retention: Duration) -> Option<Expiry> {
        let now_ms = now_ms();
        let due_before = now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        let committed_before_ms = match &group.machine {
            Machine::Consumer(_) => due_before,
            Machine::Classic(classic) => match (classic.state(), classic.protocol_type()) {
                (ClassicState::Empty, None) => due_before,
                // All of them, when the group has been empty for so long.
                (ClassicState::Empty, Some(_)) if group.empty_since_ms? < due_before => i64::MAX,
                (ClassicState::Empty, Some(_)) => i64::MIN,
                (ClassicState::Stable, Some(CONSUMER_PROTOCOL)) => due_before,
                _ => return None,
            },
        };
        let topics = self.shared.catalog.topics();
        let kept = topics.iter().filter(|topic| group.is_subscribed_to(&topic.name));
        Some(Expiry {
            group_id: group_id.to_owned(),
            committed_before_ms,
            kept_topics: kept.map(|topic| topic.number).collect(),
            now_ms,
        })
    }
}

fn check_commit(group: &mut Group, commit: &Commit) -> Result<(), ResponseError> {
    match &mut group.machine {
        Machine::Classic(group) => group.check_offset_commit(now(), &commit.member),
        Machine::Consumer(_) if group.closed => Err(ResponseError::CoordinatorNotAvailable),
        Machine::Consumer(group) => {
            let check = group.check_offset_commit(&OffsetCommit {
                member_id: &commit.member.member_id,
                instance_id: commit.member.instance_id.as_deref(),
                member_epoch: commit.member.generation_id,
                transactional: false,
                version: commit.version,
            })?;
            let mut partitions = commit.offsets.iter();
            partitions.try_for_each(|partition| check.check_partition(&partition.topic_id, partition.partition))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Instant;

    use super::*;
    use crate::api::fixture::TestBroker;

    /// A broker with a topic "t" and a group "g" that is but a name.
    async fn with_group() -> TestBroker {
        let broker = TestBroker::start();
        broker.create_topic("t", 1, &[]).await;
        let groups = &broker.context.groups;
        tokio::spawn(groups.clone().run());
        let deadline = Instant::now() + Duration::from_secs(10);
        while groups.with_group("g", Missing::Create, |_| ()).is_err() {
            assert!(Instant::now() < deadline, "groups are not read");
            tokio::task::yield_now().await;
        }
        broker
    }

    fn commit_from_outside(broker: &TestBroker) -> Commit {
        let topic = broker.context.catalog.topics().by_name("t").unwrap().clone();
        Commit {
            version: 9,
            member: MemberRef {
                member_id: String::new(),
                instance_id: None,
                generation_id: -1,
            },
            offsets: vec![PartitionOffset {
                topic: topic.number,
                topic_id: topic.id,
                partition: 0,
                offset: CommittedOffset {
                    offset: 5,
                    leader_epoch: -1,
                    metadata: String::new(),
                    committed_at_ms: now_ms(),
                    expires_at_ms: None,
                },
            }],
        }
    }

    #[tokio::test]
    async fn a_group_without_members_and_offsets_goes() {
        let broker = with_group().await;
        let groups = &broker.context.groups;
        assert_eq!(groups.expire("g").await, Ok(()));
        assert!(groups.group_ids().unwrap().is_empty());
    }

    /// An offset that is committed after the look at what expires found none, and before the group is deleted for that, stays.
    #[tokio::test]
    async fn a_commit_outlives_the_expiry_of_its_group() {
        let broker = with_group().await;
        let groups = &broker.context.groups;
        // The look is asked for, and its answer not seen before the commit's.
        broker.model.database.hold_durability(true);
        let mut expiry = pin!(groups.expire("g"));
        assert!(expiry.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        broker.model.database.hold_durability(false);
        assert_eq!(groups.commit_offsets("g", commit_from_outside(&broker)).await, Ok(()));
        assert_eq!(expiry.await, Ok(()));
        let found = groups.committed_offsets("g", None, -1).await.unwrap();
        assert_eq!(found.iter().map(|(.., committed)| committed.offset).collect::<Vec<_>>(), [5]);
    }
}
