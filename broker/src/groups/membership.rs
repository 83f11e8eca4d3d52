//! Who is in a group: requests of members of both protocols, and what is shown of groups.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::classic::{ClassicDescription, ClassicGroup, JoinRequest, LeaveOutcome, LeavingMember, MemberRef, Reply, SyncRequest};
use super::consumer::{check_request, Description, Heartbeat, HeartbeatError, HeartbeatRequest, JOIN_EPOCH};
use super::coordinator::{now, Coordinator, Missing};
use super::group::{ClassicWaiter, Group, Machine};
use super::stored::CONSUMER_PROTOCOL;
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
    /// Those of the coordinator, INCONSISTENT_GROUP_PROTOCOL (23) if the group has members of the other protocol; the group's own are in
    /// the answer.
    pub async fn join(&self, group_id: &str, request: JoinRequest) -> Result<Reply, ResponseError> {
        let missing = match request.member_id.is_empty() {
            true => Missing::Create,
            false => Missing::Skip,
        };
        let around = self.surroundings();
        let (waiter, reply) = oneshot::channel();
        let begun = self.with_group(group_id, missing, |group| {
            group.join_classic()?.join(&around.classic, now(), request, waiter);
            Ok(())
        })?;
        begun.ok_or(ResponseError::UnknownMemberId)??;
        reply.await.map_err(|_| ResponseError::CoordinatorNotAvailable)
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// Those of the coordinator, and UNKNOWN_MEMBER_ID (25) if there is no such classic group.
    pub async fn sync(&self, group_id: &str, request: SyncRequest) -> Result<Reply, ResponseError> {
        let (waiter, reply) = oneshot::channel();
        self.with_classic(group_id, |group| group.sync(request, waiter))?;
        reply.await.map_err(|_| ResponseError::CoordinatorNotAvailable)
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// The group's, and UNKNOWN_MEMBER_ID (25) if there is no such classic group.
    pub fn heartbeat(&self, group_id: &str, member: &MemberRef) -> Result<(), ResponseError> {
        self.with_classic(group_id, |group| group.heartbeat(now(), member))?
    }

    /// LeaveGroup.
    ///
    /// # Errors
    /// As [`Coordinator::heartbeat`].
    pub fn leave(&self, group_id: &str, members: Vec<LeavingMember>) -> Result<Vec<LeaveOutcome>, ResponseError> {
        let around = self.surroundings();
        self.with_classic(group_id, |group| group.leave(&around.classic, now(), members))?
    }

    fn with_classic<T>(
        &self,
        group_id: &str,
        input: impl FnOnce(&mut ClassicGroup<ClassicWaiter>) -> T,
    ) -> Result<T, ResponseError> {
        self.with_group(group_id, Missing::Skip, |group| group.classic().map(input))?
            .flatten()
            .ok_or(ResponseError::UnknownMemberId)
    }

    /// ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// The group's; GROUP_ID_NOT_FOUND (69) if there is no such group and the member does not join, or it is a classic group with members.
    pub async fn consumer_heartbeat(&self, group_id: &str, request: HeartbeatRequest) -> Result<Heartbeat, HeartbeatError> {
        let around = self.surroundings();
        check_request(&around.consumer, group_id, &request)?;
        let missing = match request.member_epoch == JOIN_EPOCH {
            true => Missing::Create,
            false => Missing::Skip,
        };
        let (waiter, reply) = oneshot::channel();
        let begun = self.with_group(group_id, missing, |group| {
            let machine = match missing {
                Missing::Create => group.join_consumer()?,
                Missing::Skip => group.consumer().ok_or(ResponseError::GroupIdNotFound)?,
            };
            machine.heartbeat(&around.consumer, &around.topics, now(), request, waiter);
            Ok(())
        });
        match begun {
            Ok(Some(Ok(()))) => reply
                .await
                .unwrap_or(Err(HeartbeatError::Closed(ResponseError::CoordinatorNotAvailable))),
            Ok(None) => Err(HeartbeatError::Closed(ResponseError::GroupIdNotFound)),
            Ok(Some(Err(error))) | Err(error) => Err(HeartbeatError::Closed(error)),
        }
    }

    /// ConsumerGroupDescribe, once all that it shows is durable; `None`: there is no such group of this protocol.
    ///
    /// # Errors
    /// Those of the coordinator; COORDINATOR_NOT_AVAILABLE (15) if it does not become durable in time.
    pub async fn describe_consumer(&self, group_id: &str) -> Result<Option<Description>, ResponseError> {
        let deadline = now() + limits::GROUP_CONFIRMATION_PATIENCE;
        loop {
            let around = self.surroundings();
            let described = self.with_group(group_id, Missing::Skip, |group| {
                group
                    .describe_consumer(&around)
                    .map(|described| described.map_err(|stored| stored.notified_owned()))
            })?;
            match described.flatten() {
                None => return Ok(None),
                Some(Ok(description)) => return Ok(Some(description)),
                Some(Err(stored)) => tokio::time::timeout_at(deadline.into(), stored)
                    .await
                    .map_err(|_| ResponseError::CoordinatorNotAvailable)?,
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
