//! A member of the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) on one connection, as a consumer has. The assignor is the
//! client's own: the leader deals the partitions out in turn.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::schedule::{Event, Schedule};
use super::seat::{refused, Seat, COORDINATOR_ELSEWHERE, COORDINATOR_PAUSE};
use crate::connection::Connection;
use crate::error::Error;

const JOIN_GROUP: i16 = 9;
const SYNC_GROUP: i16 = 5;
const HEARTBEAT: i16 = 4;
const LEAVE_GROUP: i16 = 5;

const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

const ASSIGNOR: StrBytes = StrBytes::from_static_str("in-turn");
const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");

struct Member {
    seat: Seat,
    connection: Connection,
    id: StrBytes,
    generation: i32,
    owned: Vec<i32>,
}

/// Joins and stays until told to leave. `phase` spreads the commits of the members.
///
/// # Errors
/// The coordinator refuses what a member may ask.
pub async fn run(seat: Seat, connection: Connection, phase: f64, leave: oneshot::Receiver<()>) -> Result<(), Error> {
    let shared = &seat.shared;
    let mut schedule = Schedule::new(shared.origin, shared.heartbeat_interval, phase, shared.commits.clone(), leave);
    let mut member = Member {
        seat,
        connection,
        id: StrBytes::default(),
        generation: -1,
        owned: Vec::new(),
    };
    loop {
        member.rebalance().await?;
        member.seat.settled(member.generation, member.owned.len());
        schedule.heard();
        loop {
            match schedule.next().await {
                Event::Leave => return member.leave().await,
                Event::Commit(from) => {
                    let Member {
                        seat,
                        connection,
                        id,
                        generation,
                        owned,
                    } = &mut member;
                    seat.commit(connection, id, *generation, owned, from).await?;
                }
                Event::Heartbeat(from) => {
                    let code = member.heartbeat().await?;
                    member.seat.heartbeat_answered(from);
                    if code != 0 {
                        break;
                    }
                }
            }
        }
        member.seat.unsettled();
    }
}

impl Member {
    /// From a join to an assignment, through as many rebalances as it takes.
    async fn rebalance(&mut self) -> Result<(), Error> {
        loop {
            let joined = self.join().await?;
            let synced = self.sync(&joined).await?;
            match synced.error_code {
                0 => {
                    self.owned = partitions(synced.assignment);
                    return Ok(());
                }
                REBALANCE_IN_PROGRESS | ILLEGAL_GENERATION => {}
                UNKNOWN_MEMBER_ID => self.id = StrBytes::default(),
                code if COORDINATOR_ELSEWHERE.contains(&code) => tokio::time::sleep(COORDINATOR_PAUSE).await,
                code => return Err(refused("SyncGroup", code)),
            }
        }
    }

    async fn join(&mut self) -> Result<JoinGroupResponse, Error> {
        loop {
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(ASSIGNOR)
                .with_metadata(subscription(&self.seat.shared.topic));
            let request = JoinGroupRequest::default()
                .with_group_id(self.seat.group_id.clone())
                .with_member_id(self.id.clone())
                .with_session_timeout_ms(45_000)
                .with_rebalance_timeout_ms(60_000)
                .with_protocol_type(PROTOCOL_TYPE)
                .with_protocols(vec![protocol]);
            let reply = self.connection.call(JOIN_GROUP, &request).await?;
            match reply.error_code {
                0 => {
                    self.id = reply.member_id.clone();
                    self.generation = reply.generation_id;
                    return Ok(reply);
                }
                MEMBER_ID_REQUIRED => self.id = reply.member_id,
                UNKNOWN_MEMBER_ID => self.id = StrBytes::default(),
                code if COORDINATOR_ELSEWHERE.contains(&code) => tokio::time::sleep(COORDINATOR_PAUSE).await,
                code => return Err(refused("JoinGroup", code)),
            }
        }
    }

    async fn sync(&mut self, joined: &JoinGroupResponse) -> Result<SyncGroupResponse, Error> {
        // Only the leader is told the members.
        let members = joined.members.len();
        let shared = &self.seat.shared;
        let assignments = joined.members.iter().enumerate().map(|(number, member)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(assignment(&shared.topic, (number as i32..shared.partitions).step_by(members)))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.seat.group_id.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_protocol_type(Some(PROTOCOL_TYPE))
            .with_protocol_name(Some(ASSIGNOR))
            .with_assignments(assignments.collect());
        self.connection.call(SYNC_GROUP, &request).await
    }

    /// What the coordinator says: nothing, or that the member is to join again.
    async fn heartbeat(&mut self) -> Result<i16, Error> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.seat.group_id.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone());
        let code = self.connection.call(HEARTBEAT, &request).await?.error_code;
        match code {
            0 | REBALANCE_IN_PROGRESS | ILLEGAL_GENERATION => {}
            UNKNOWN_MEMBER_ID => self.id = StrBytes::default(),
            code => return Err(refused("Heartbeat", code)),
        }
        Ok(code)
    }

    async fn leave(mut self) -> Result<(), Error> {
        self.seat.unsettled();
        let member = MemberIdentity::default().with_member_id(self.id.clone());
        let request = LeaveGroupRequest::default()
            .with_group_id(self.seat.group_id.clone())
            .with_members(vec![member]);
        match self.connection.call(LEAVE_GROUP, &request).await?.error_code {
            0 => Ok(()),
            code => Err(refused("LeaveGroup", code)),
        }
    }
}

/// Version 0 of what a consumer says to its assignor: its topics, and no data of the assignor's.
fn subscription(topic: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(1);
    put_topic(&mut out, topic);
    out.put_i32(-1);
    out.freeze()
}

/// Version 0 of what the assignor says to a consumer.
fn assignment(topic: &str, partitions: impl Iterator<Item = i32>) -> Bytes {
    let partitions: Vec<i32> = partitions.collect();
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(1);
    put_topic(&mut out, topic);
    out.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|partition| out.put_i32(*partition));
    out.put_i32(-1);
    out.freeze()
}

fn put_topic(out: &mut BytesMut, topic: &str) {
    out.put_i16(topic.len() as i16);
    out.put_slice(topic.as_bytes());
}

/// The partitions of an assignment that [`assignment`] made; none of an empty one.
fn partitions(assignment: Bytes) -> Vec<i32> {
    let read = || {
        let length = usize::from(u16::from_be_bytes(*assignment.get(6..)?.first_chunk()?));
        let list = assignment.get(8 + length..)?;
        let count = u32::from_be_bytes(*list.first_chunk()?) as usize;
        let words = list.get(4..)?.chunks_exact(4).take(count);
        Some(
            words
                .map(|word| i32::from_be_bytes([word[0], word[1], word[2], word[3]]))
                .collect(),
        )
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let written = assignment("orders", (1..10).step_by(3));
        assert_eq!(partitions(written), [1, 4, 7]);
        assert_eq!(partitions(Bytes::new()), [0i32; 0]);
    }
}
