//! The jobs of the database thread about groups, and how the coordinator asks for them. All of them are done in the order in which they
//! were asked for, but for those that meet another session's lock.

use std::future::Future;
use std::time::Instant;

use tokio::sync::oneshot;

use super::engine::TopicNumber;
use super::groups::{CommittedOffset, Expiry, GroupChange, OffsetKey, StoredGroup};
use super::jobs::{Job, ReplyTo, StorageError};
use super::Storage;

/// The committed offsets of a group: topic, partition, offset.
pub type GroupOffsets = Vec<(TopicNumber, i32, CommittedOffset)>;

/// What is to be done.
#[derive(Debug)]
pub enum GroupTask {
    /// Read all groups, or one.
    Load {
        /// The one.
        group_id: Option<String>,
        /// Where the reply goes.
        reply: ReplyTo<Vec<StoredGroup>>,
    },
    /// Change a group.
    Write {
        /// The group.
        group_id: String,
        /// The change.
        change: GroupChange,
        /// Where the reply goes.
        reply: ReplyTo<()>,
    },
    /// Store offsets.
    Commit {
        /// The offsets.
        offsets: Vec<(OffsetKey, CommittedOffset)>,
        /// Where the reply goes.
        reply: ReplyTo<()>,
    },
    /// Read the committed offsets of a group.
    Fetch {
        /// The group.
        group_id: String,
        /// Where the reply goes.
        reply: ReplyTo<GroupOffsets>,
    },
    /// Delete committed offsets.
    DeleteOffsets {
        /// The group.
        group_id: String,
        /// Topic and partition of each.
        partitions: Vec<(TopicNumber, i32)>,
        /// Where the reply goes.
        reply: ReplyTo<()>,
    },
    /// Delete offsets that expire; the reply says whether the group has any left.
    Expire {
        /// Which.
        expiry: Expiry,
        /// Where the reply goes.
        reply: ReplyTo<bool>,
    },
}

/// A task with its deadline.
#[derive(Debug)]
pub struct GroupJob {
    /// What is to be done.
    pub task: GroupTask,
    /// When it is given up if it could not be begun.
    pub deadline: Instant,
}

impl GroupTask {
    /// Answers that it was not done.
    pub fn fail(self, error: StorageError) {
        match self {
            GroupTask::Load { reply, .. } => drop(reply.send(Err(error))),
            GroupTask::Write { reply, .. } | GroupTask::Commit { reply, .. } | GroupTask::DeleteOffsets { reply, .. } => {
                drop(reply.send(Err(error)));
            }
            GroupTask::Fetch { reply, .. } => drop(reply.send(Err(error))),
            GroupTask::Expire { reply, .. } => drop(reply.send(Err(error))),
        }
    }

    /// Whether it takes room on disk that nothing gives back.
    pub fn grows(&self) -> bool {
        matches!(self, GroupTask::Write { .. } | GroupTask::Commit { .. })
    }
}

/// Each call queues its job before it returns; the future is the reply.
impl Storage {
    /// All groups, or the one of this id.
    pub fn load_groups(
        &self,
        group_id: Option<String>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<StoredGroup>, StorageError>> + Send + 'static {
        self.ask_groups(deadline, |reply| GroupTask::Load { group_id, reply })
    }

    /// Changes a group; durable when the reply comes.
    pub fn write_group(
        &self,
        group_id: &str,
        change: GroupChange,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + 'static {
        let group_id = group_id.to_owned();
        self.ask_groups(deadline, |reply| GroupTask::Write { group_id, change, reply })
    }

    /// Stores offsets; durable when the reply comes.
    pub fn commit_offsets(
        &self,
        offsets: Vec<(OffsetKey, CommittedOffset)>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + 'static {
        self.ask_groups(deadline, |reply| GroupTask::Commit { offsets, reply })
    }

    /// The committed offsets of a group, none of which is not durable.
    pub fn committed_offsets(
        &self,
        group_id: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<GroupOffsets, StorageError>> + Send + 'static {
        let group_id = group_id.to_owned();
        self.ask_groups(deadline, |reply| GroupTask::Fetch { group_id, reply })
    }

    /// Deletes committed offsets; durable when the reply comes.
    pub fn delete_offsets(
        &self,
        group_id: &str,
        partitions: Vec<(TopicNumber, i32)>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + 'static {
        let group_id = group_id.to_owned();
        self.ask_groups(deadline, |reply| GroupTask::DeleteOffsets {
            group_id,
            partitions,
            reply,
        })
    }

    /// Deletes offsets that expire; whether the group has any left.
    pub fn expire_offsets(
        &self,
        expiry: Expiry,
        deadline: Instant,
    ) -> impl Future<Output = Result<bool, StorageError>> + Send + 'static {
        self.ask_groups(deadline, |reply| GroupTask::Expire { expiry, reply })
    }

    fn ask_groups<T: Send + 'static>(
        &self,
        deadline: Instant,
        task: impl FnOnce(ReplyTo<T>) -> GroupTask,
    ) -> impl Future<Output = Result<T, StorageError>> + Send + 'static {
        let (reply, receiver) = oneshot::channel();
        // A refused job drops its sender, which the receiver sees as `Unavailable`.
        let _ = self.submit(Job::Group(GroupJob {
            task: task(reply),
            deadline,
        }));
        async move { receiver.await.unwrap_or(Err(StorageError::Unavailable)) }
    }
}
