//! A member of the consumer protocol (KIP-848): everything is a ConsumerGroupHeartbeat. It takes what it is assigned and gives up at once
//! what it is assigned no more, which it says with a heartbeat of its own, as clients do.

use std::time::Instant;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::Assignment;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::schedule::{Event, Schedule};
use super::seat::{refused, Seat, COORDINATOR_ELSEWHERE, COORDINATOR_PAUSE};
use crate::connection::Connection;
use crate::error::Error;

const CONSUMER_GROUP_HEARTBEAT: i16 = 1;

const JOIN_EPOCH: i32 = 0;
const LEAVE_EPOCH: i32 = -1;

const UNKNOWN_MEMBER_ID: i16 = 25;
const FENCED_MEMBER_EPOCH: i16 = 110;

struct Member {
    seat: Seat,
    connection: Connection,
    id: StrBytes,
    epoch: i32,
    topic_id: Uuid,
    owned: Vec<i32>,
    /// It has not yet said what it owns since that changed.
    owes_answer: bool,
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
        id: StrBytes::from_string(Uuid::new_v4().to_string()),
        epoch: JOIN_EPOCH,
        topic_id: Uuid::nil(),
        owned: Vec::new(),
        owes_answer: false,
    };
    let mut event = Event::Heartbeat(Instant::now());
    loop {
        match event {
            Event::Leave => return member.leave().await,
            Event::Commit(from) => {
                let Member {
                    seat,
                    connection,
                    id,
                    epoch,
                    owned,
                    ..
                } = &mut member;
                seat.commit(connection, id, *epoch, owned, from).await?;
            }
            Event::Heartbeat(from) => {
                member.heartbeat(from).await?;
                while member.owes_answer || member.epoch == JOIN_EPOCH {
                    member.heartbeat(Instant::now()).await?;
                    schedule.heard();
                }
                member.seat.settled(member.epoch, member.owned.len());
            }
        }
        event = schedule.next().await;
    }
}

impl Member {
    async fn heartbeat(&mut self, from: Instant) -> Result<(), Error> {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.seat.group_id.clone())
            .with_member_id(self.id.clone())
            .with_member_epoch(self.epoch);
        if self.epoch == JOIN_EPOCH {
            request = request
                .with_rebalance_timeout_ms(60_000)
                .with_subscribed_topic_names(Some(vec![TopicName(self.seat.shared.topic.clone())]))
                .with_topic_partitions(Some(Vec::new()));
        } else if self.owes_answer {
            request = request.with_topic_partitions(Some(self.owning()));
        }
        let reply = self.connection.call(CONSUMER_GROUP_HEARTBEAT, &request).await?;
        self.seat.heartbeat_answered(from);
        match reply.error_code {
            0 => {
                self.owes_answer = false;
                self.epoch = reply.member_epoch;
                if let Some(assignment) = reply.assignment {
                    self.take(assignment);
                }
            }
            UNKNOWN_MEMBER_ID | FENCED_MEMBER_EPOCH => {
                self.epoch = JOIN_EPOCH;
                self.owned.clear();
            }
            code if COORDINATOR_ELSEWHERE.contains(&code) => tokio::time::sleep(COORDINATOR_PAUSE).await,
            code => return Err(refused("ConsumerGroupHeartbeat", code)),
        }
        Ok(())
    }

    fn take(&mut self, assignment: Assignment) {
        let owned = assignment.topic_partitions.into_iter().next();
        if let Some(topic) = &owned {
            self.topic_id = topic.topic_id;
        }
        let owned = owned.map_or_else(Vec::new, |topic| topic.partitions);
        self.owes_answer = owned != self.owned;
        self.owned = owned;
    }

    fn owning(&self) -> Vec<TopicPartitions> {
        if self.owned.is_empty() {
            return Vec::new();
        }
        let topic = TopicPartitions::default()
            .with_topic_id(self.topic_id)
            .with_partitions(self.owned.clone());
        vec![topic]
    }

    async fn leave(mut self) -> Result<(), Error> {
        self.seat.unsettled();
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.seat.group_id.clone())
            .with_member_id(self.id.clone())
            .with_member_epoch(LEAVE_EPOCH);
        match self.connection.call(CONSUMER_GROUP_HEARTBEAT, &request).await?.error_code {
            0 => Ok(()),
            code => Err(refused("ConsumerGroupHeartbeat", code)),
        }
    }
}
