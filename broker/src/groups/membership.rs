//! Who is in a group: requests of members of both protocols, and what is shown of groups.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::classic::{
    ClassicDescription, JoinReply, JoinRequest, LeaveOutcome, LeavingMember, MemberRef, Reply, SyncReply, SyncRequest,
};
use super::consumer::{self, check_request, Description, Heartbeat, HeartbeatError, HeartbeatRequest, JOIN_EPOCH};
use super::coordinator::{Coordinator, Missing};
use super::group::{ClassicWaiter, ConsumerWaiter, Group, Machine};
use super::migration::{join_of, joined, leaving_of, left, member_of, sync_of, synced};
use super::stored::CONSUMER_PROTOCOL;
use crate::clock::now;
use crate::limits;
use crate::storage::groups::GroupType;

/// What ListGroups shows of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its protocol.
    pub group_type: GroupType,
    /// Protocol type; empty if it never had members.
    pub protocol_type: String,
    /// Its state.
    pub state: &'static str,
}

/// What DescribeGroups shows of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// A classic group.
    Classic(ClassicDescription),
    /// A consumer group, which that API does not show.
    Consumer,
    /// There is none.
    Missing,
}

impl Coordinator {
    /// JoinGroup.
    ///
    /// # Errors
    /// Those of the coordinator, COORDINATOR_NOT_AVAILABLE (15) also where all groups take too much memory; the group's own are in the
    /// answer.
    pub async fn join(&self, group_id: &str, request: JoinRequest) -> Result<JoinReply, ResponseError> {
        let missing = match request.member_id.is_empty() {
            true => Missing::Create,
            false => Missing::Skip,
        };
        self.check_room()?;
        let around = self.surroundings();
        let begun = self.with_group(group_id, missing, |group| {
            group.changed = true;
            Ok(match group.machine_to_join()? {
                Machine::Classic(group) => waiting(|waiter| group.join(&around.classic, now(), request, waiter)),
                Machine::Consumer(group) => waiting_too(|waiter| {
                    group.classic_join(&around.consumer, &around.topics, now(), join_of(request), waiter);
                }),
            })
        })?;
        match begun.ok_or(ResponseError::UnknownMemberId)??.await? {
            Answer::Classic(Reply::Join(reply)) => Ok(reply),
            Answer::Consumer(consumer::Reply::ClassicJoin(reply)) => Ok(joined(reply)),
            _ => Err(ResponseError::UnknownServerError),
        }
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// Those of the coordinator, and UNKNOWN_MEMBER_ID (25) if there is no such group; the group's own are in the answer.
    pub async fn sync(&self, group_id: &str, request: SyncRequest) -> Result<SyncReply, ResponseError> {
        let around = self.surroundings();
        let begun = self.with_group(group_id, Missing::Skip, |group| match &mut group.machine {
            Machine::Classic(group) => waiting(|waiter| group.sync(request, waiter)),
            Machine::Consumer(group) => waiting_too(|waiter| group.classic_sync(&around.topics, now(), sync_of(request), waiter)),
        })?;
        match begun.ok_or(ResponseError::UnknownMemberId)?.await? {
            Answer::Classic(Reply::Sync(reply)) => Ok(reply),
            Answer::Consumer(consumer::Reply::ClassicSync(reply)) => Ok(synced(reply)),
            _ => Err(ResponseError::UnknownServerError),
        }
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// The group's, and UNKNOWN_MEMBER_ID (25) if there is no such group.
    pub async fn heartbeat(&self, group_id: &str, member: &MemberRef) -> Result<(), ResponseError> {
        let begun = self.with_group(group_id, Missing::Skip, |group| match &mut group.machine {
            Machine::Classic(group) => Err(group.heartbeat(now(), member)),
            Machine::Consumer(group) => Ok(waiting_too(|waiter| {
                group.classic_heartbeat(now(), &member_of(member), waiter)
            })),
        })?;
        match begun.ok_or(ResponseError::UnknownMemberId)? {
            Err(answer) => answer,
            Ok(answer) => match answer.await? {
                Answer::Consumer(consumer::Reply::ClassicHeartbeat(reply)) => reply,
                _ => Err(ResponseError::UnknownServerError),
            },
        }
    }

    /// LeaveGroup.
    ///
    /// # Errors
    /// As [`Coordinator::heartbeat`].
    pub async fn leave(&self, group_id: &str, members: Vec<LeavingMember>) -> Result<Vec<LeaveOutcome>, ResponseError> {
        let around = self.surroundings();
        let begun = self.with_group(group_id, Missing::Skip, |group| {
            group.changed = true;
            match &mut group.machine {
                Machine::Classic(group) => Err(group.leave(&around.classic, now(), members)),
                Machine::Consumer(group) => Ok(waiting_too(|waiter| {
                    let members = members.into_iter().map(leaving_of).collect();
                    group.classic_leave(&around.consumer, &around.topics, now(), members, waiter);
                })),
            }
        })?;
        match begun.ok_or(ResponseError::UnknownMemberId)? {
            Err(answer) => answer,
            Ok(answer) => match answer.await? {
                Answer::Consumer(consumer::Reply::ClassicLeave(reply)) => Ok(reply?.into_iter().map(left).collect()),
                _ => Err(ResponseError::UnknownServerError),
            },
        }
    }

    /// ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// The group's; GROUP_ID_NOT_FOUND (69) if there is no such group and the member does not join, or it is a classic group that cannot
    /// change.
    pub async fn consumer_heartbeat(&self, group_id: &str, request: HeartbeatRequest) -> Result<Heartbeat, HeartbeatError> {
        let around = self.surroundings();
        check_request(&around.consumer, group_id, &request)?;
        let missing = match request.member_epoch == JOIN_EPOCH {
            true => Missing::Create,
            false => Missing::Skip,
        };
        let not_found = match request.member_epoch {
            ..JOIN_EPOCH => format!("Group {group_id} not found."),
            _ => format!("Consumer group {group_id} not found."),
        };
        if missing == Missing::Create {
            self.check_room().map_err(HeartbeatError::Closed)?;
        }
        let (waiter, reply) = oneshot::channel();
        let begun = self.with_group(group_id, missing, |group| match missing {
            Missing::Create => {
                group.changed = true;
                group.join_consumer(&around, request, waiter)
            }
            Missing::Skip => {
                group.changed |= request.member_epoch < JOIN_EPOCH || request.subscribed_topic_names.is_some();
                let group = group
                    .consumer()
                    .ok_or_else(|| HeartbeatError::GroupIdNotFound(format!("Group {group_id} is not a consumer group.")))?;
                group.heartbeat(&around.consumer, &around.topics, now(), request, waiter);
                Ok(())
            }
        });
        match begun {
            Ok(Some(begun)) => begun?,
            Ok(None) => return Err(HeartbeatError::GroupIdNotFound(not_found)),
            Err(error) => return Err(HeartbeatError::Closed(error)),
        }
        match reply.await {
            Ok(consumer::Reply::Heartbeat(reply)) => reply,
            Ok(_) => Err(HeartbeatError::Closed(ResponseError::UnknownServerError)),
            Err(_) => Err(HeartbeatError::Closed(ResponseError::CoordinatorNotAvailable)),
        }
    }

    /// ConsumerGroupDescribe, once all that it shows is durable.
    ///
    /// # Errors
    /// [`HeartbeatError::GroupIdNotFound`] (69), also for a classic group; those of the coordinator; COORDINATOR_NOT_AVAILABLE (15) if
    /// it does not become durable in time.
    pub async fn describe_consumer(&self, group_id: &str) -> Result<Description, HeartbeatError> {
        let deadline = now() + limits::GROUP_CONFIRMATION_PATIENCE;
        loop {
            let around = self.surroundings();
            let described = self.with_group(group_id, Missing::Skip, |group| {
                let described = group.describe_consumer(&around);
                described.map(|described| described.map_err(|stored| stored.notified_owned()))
            });
            match described.map_err(HeartbeatError::Closed)? {
                None => return Err(HeartbeatError::GroupIdNotFound(format!("Group {group_id} not found."))),
                Some(None) => {
                    return Err(HeartbeatError::GroupIdNotFound(format!(
                        "Group {group_id} is not a consumer group."
                    )))
                }
                Some(Some(Ok(description))) => return Ok(description),
                Some(Some(Err(stored))) => tokio::time::timeout_at(deadline.into(), stored)
                    .await
                    .map_err(|_| HeartbeatError::Closed(ResponseError::CoordinatorNotAvailable))?,
            }
        }
    }

    /// DescribeGroups.
    ///
    /// # Errors
    /// Those of the coordinator.
    pub fn describe(&self, group_id: &str) -> Result<Described, ResponseError> {
        let described = self.with_group(group_id, Missing::Skip, |group| match &group.machine {
            Machine::Classic(group) => Described::Classic(group.describe()),
            Machine::Consumer(_) => Described::Consumer,
        })?;
        Ok(described.unwrap_or(Described::Missing))
    }

    /// ListGroups: all groups, by id.
    ///
    /// # Errors
    /// Those of the coordinator.
    pub fn list(&self) -> Result<Vec<(Arc<str>, Listing)>, ResponseError> {
        let mut listed = Vec::new();
        for group_id in self.group_ids()? {
            let listing = self.with_group(&group_id, Missing::Skip, |group| listing(group))?;
            listed.extend(listing.flatten().map(|listing| (group_id, listing)));
        }
        Ok(listed)
    }
}

/// The answer of a machine of either protocol.
enum Answer {
    Classic(Reply),
    Consumer(consumer::Reply),
}

/// An answer that may have to be waited for.
type Awaited = Pin<Box<dyn Future<Output = Result<Answer, ResponseError>> + Send>>;

fn waiting(ask: impl FnOnce(ClassicWaiter)) -> Awaited {
    let (waiter, reply) = oneshot::channel();
    ask(waiter);
    let gone = |_| ResponseError::CoordinatorNotAvailable;
    Box::pin(async move { reply.await.map(Answer::Classic).map_err(gone) })
}

fn waiting_too(ask: impl FnOnce(ConsumerWaiter)) -> Awaited {
    let (waiter, reply) = oneshot::channel();
    ask(waiter);
    let gone = |_| ResponseError::CoordinatorNotAvailable;
    Box::pin(async move { reply.await.map(Answer::Consumer).map_err(gone) })
}

/// `None`: a group that was made for a member which was then refused.
fn listing(group: &Group) -> Option<Listing> {
    Some(match &group.machine {
        Machine::Consumer(group) if group.is_unwritten() => return None,
        Machine::Classic(group) => Listing {
            group_type: GroupType::Classic,
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            state: group.state().as_str(),
        },
        Machine::Consumer(group) => Listing {
            group_type: GroupType::Consumer,
            protocol_type: CONSUMER_PROTOCOL.to_owned(),
            state: group.state().name(),
        },
    })
}
