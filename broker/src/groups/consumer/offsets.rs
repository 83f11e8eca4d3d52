//! What a group has to say about its committed offsets and its deletion (Kafka `ConsumerGroup.validateOffsetCommit`, `validateOffsetFetch`,
//! `validateDeleteGroup`, `isSubscribedToTopic`).

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::describe::ConsumerGroupState;
use super::stored::StoredMember;
use super::ConsumerGroup;

/// The version of OffsetCommit from which on members of this protocol are understood.
const OFFSET_COMMIT_VERSION: i16 = 9;

/// Who commits offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetCommit<'a> {
    /// The member; empty: none.
    pub member_id: &'a str,
    /// Its instance id, if it says so.
    pub instance_id: Option<&'a str>,
    /// Its epoch, or -1.
    pub member_epoch: i32,
    /// Whether it is a TxnOffsetCommit, whose three fields above may all be left out.
    pub transactional: bool,
    /// The version of the OffsetCommit.
    pub version: i16,
}

/// Which partitions' offsets may be committed.
#[derive(Debug, Clone, Copy)]
pub struct CommitCheck<'a> {
    /// `None`: all partitions.
    older: Option<(&'a StoredMember, i32)>,
}

impl CommitCheck<'_> {
    /// Whether the offset of one partition may be committed: with the member's current epoch any, with an older one those that it has had
    /// at least since that epoch (KIP-1251).
    ///
    /// # Errors
    /// STALE_MEMBER_EPOCH (113), for a classic member ILLEGAL_GENERATION (22).
    pub fn check_partition(&self, topic: &Uuid, partition: i32) -> Result<(), ResponseError> {
        let Some((member, epoch)) = self.older else { return Ok(()) };
        let assignment_epoch = [&member.assigned, &member.pending_revocation]
            .into_iter()
            .find_map(|partitions| partitions.get(topic)?.get(&partition));
        match assignment_epoch {
            Some(assignment_epoch) if epoch >= *assignment_epoch => Ok(()),
            _ => Err(stale(member)),
        }
    }
}

/// A wrong epoch in the words of the member's protocol.
fn stale(member: &StoredMember) -> ResponseError {
    match member.classic {
        Some(_) => ResponseError::IllegalGeneration,
        None => ResponseError::StaleMemberEpoch,
    }
}

impl<W> ConsumerGroup<W> {
    /// Whether offsets may be committed, apart from [`CommitCheck::check_partition`].
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID (25), STALE_MEMBER_EPOCH (113) or ILLEGAL_GENERATION (22) for an epoch that the member has not reached, UNSUPPORTED_VERSION (35) for
    /// an OffsetCommit that is too old for a member of this protocol.
    pub fn check_offset_commit(&self, commit: &OffsetCommit<'_>) -> Result<CommitCheck<'_>, ResponseError> {
        let anything = Ok(CommitCheck { older: None });
        if commit.member_epoch < 0 && self.members.is_empty() {
            return anything;
        }
        let says_nothing = commit.member_epoch == -1 && commit.member_id.is_empty() && commit.instance_id.is_none();
        if commit.transactional && says_nothing {
            return anything;
        }
        let member = self.members.get(commit.member_id).ok_or(ResponseError::UnknownMemberId)?;
        if !commit.transactional && member.stored.classic.is_none() && commit.version < OFFSET_COMMIT_VERSION {
            return Err(ResponseError::UnsupportedVersion);
        }
        match commit.member_epoch.cmp(&member.stored.member_epoch) {
            std::cmp::Ordering::Equal => anything,
            std::cmp::Ordering::Greater => Err(stale(&member.stored)),
            std::cmp::Ordering::Less => Ok(CommitCheck {
                older: Some((&member.stored, commit.member_epoch)),
            }),
        }
    }

    /// Whether committed offsets may be fetched; who names no member may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID (25), STALE_MEMBER_EPOCH (113), for a classic member ILLEGAL_GENERATION (22).
    pub fn check_offset_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ResponseError> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let member = member_id
            .and_then(|member_id| self.members.get(member_id))
            .ok_or(ResponseError::UnknownMemberId)?;
        if member.stored.member_epoch == member_epoch {
            Ok(())
        } else {
            Err(stale(&member.stored))
        }
    }

    /// Whether the group may be deleted.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP (68).
    pub fn check_delete(&self) -> Result<(), ResponseError> {
        match self.state() {
            ConsumerGroupState::Empty => Ok(()),
            _ => Err(ResponseError::NonEmptyGroup),
        }
    }

    /// Whether a member is subscribed to the topic, by name or by a regular expression. Its offsets may not be deleted then.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        let by_name = |topic: &str| {
            self.members
                .iter()
                .any(|member| member.stored.subscribed_topic_names.contains(topic))
        };
        by_name(topic) || self.regexes.iter().any(|(_, topics)| topics.contains(topic))
    }
}
