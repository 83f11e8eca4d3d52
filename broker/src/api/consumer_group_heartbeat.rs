//! ConsumerGroupHeartbeat, versions 0-1: a member of a consumer group joins, stays, leaves, and hears which partitions it has (KIP-848).
//!
//! * 0: the first.
//! * 1: regular expressions; the client makes the member id (KIP-1082).

use std::collections::BTreeSet;

use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::ResponseError;

use super::group_requests::{check_names, client_host, fresh_consumer_member_id, text};
use super::{Context, RequestInfo};
use crate::groups::consumer::{Heartbeat, HeartbeatError, HeartbeatRequest, Partitions};
use crate::limits;

/// What a name takes in memory besides its text.
const NAME_BYTES: usize = 64;

/// Answers the request.
pub async fn handle(
    context: &Context,
    request: &RequestInfo,
    body: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let beat = match check(&body) {
        Ok(()) => {
            context
                .groups
                .consumer_heartbeat(&body.group_id, heartbeat(request, &body))
                .await
        }
        Err(error) => Err(HeartbeatError::Closed(error)),
    };
    match beat {
        Ok(beat) => respond(beat),
        Err(error) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(error.code().code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

fn check(body: &ConsumerGroupHeartbeatRequest) -> Result<(), ResponseError> {
    let names = body.subscribed_topic_names.iter().flatten().map(|name| Some(&name.0));
    let others = [
        Some(&body.member_id),
        body.instance_id.as_ref(),
        body.rack_id.as_ref(),
        body.subscribed_topic_regex.as_ref(),
    ];
    let texts: Vec<_> = names.chain(others).collect();
    let bytes: usize = texts.iter().flatten().map(|text| text.len() + NAME_BYTES).sum();
    check_names(&body.group_id, false, texts)?;
    match bytes > limits::GROUP_MEMBER_BYTES {
        true => Err(ResponseError::InvalidRequest),
        false => Ok(()),
    }
}

fn heartbeat(request: &RequestInfo, body: &ConsumerGroupHeartbeatRequest) -> HeartbeatRequest {
    let names = body
        .subscribed_topic_names
        .as_ref()
        .map(|names| names.iter().map(|name| name.to_string()).collect());
    let owned = body.topic_partitions.as_ref().map(|topics| {
        let mut owned = Partitions::new();
        for topic in topics {
            let partitions: &mut BTreeSet<i32> = owned.entry(topic.topic_id).or_default();
            partitions.extend(&topic.partitions);
        }
        owned
    });
    let optional = |text: &Option<kafka_protocol::protocol::StrBytes>| text.as_ref().map(ToString::to_string);
    HeartbeatRequest {
        version: request.version,
        member_id: body.member_id.to_string(),
        fresh_member_id: fresh_consumer_member_id(),
        member_epoch: body.member_epoch,
        instance_id: optional(&body.instance_id),
        rack_id: optional(&body.rack_id),
        rebalance_timeout_ms: body.rebalance_timeout_ms,
        subscribed_topic_names: names,
        subscribed_topic_regex: optional(&body.subscribed_topic_regex),
        server_assignor: optional(&body.server_assignor),
        owned,
        client_id: request.client_id.clone().unwrap_or_default(),
        client_host: client_host(request),
    }
}

fn respond(beat: Heartbeat) -> ConsumerGroupHeartbeatResponse {
    let assignment = beat.assignment.map(|partitions| {
        let topics = partitions.into_iter().map(|(topic_id, partitions)| {
            TopicPartitions::default()
                .with_topic_id(topic_id)
                .with_partitions(partitions.into_iter().collect())
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(beat.member_id)))
        .with_member_epoch(beat.member_epoch)
        .with_heartbeat_interval_ms(beat.heartbeat_interval_ms)
        .with_assignment(assignment)
}
