//! JoinGroup, versions 0-9: a member joins a classic consumer group, or comes back in a rebalance. The answer waits for the rebalance.
//!
//! * 0: the session timeout is the rebalance timeout too.
//! * 1: rebalance timeout (KIP-62).
//! * 2: throttle time.
//! * 3: the reply is sent before throttling (KIP-219).
//! * 4: a member without id gets MEMBER_ID_REQUIRED (79) and its id, and comes back with that (KIP-394).
//! * 5: static members (KIP-345).
//! * 6: flexible (KIP-482).
//! * 7: protocol type in the answer, null protocol name in errors (KIP-559).
//! * 8: reason (KIP-800).
//! * 9: `skip_assignment` (KIP-814).

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::group_requests::{check_names, client_host, fresh_consumer_member_id, text};
use super::{Context, RequestInfo};
use crate::groups::classic::{JoinReply, JoinRequest, Protocol};
use crate::limits;

const KNOWN_MEMBER_ID: i16 = 4;
const NULL_PROTOCOL_NAME: i16 = 7;
const SKIP_ASSIGNMENT: i16 = 9;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: JoinGroupRequest) -> JoinGroupResponse {
    let member_id = body.member_id.clone();
    let (min, max) = {
        let settings = context.settings();
        (settings.group_min_session_timeout, settings.group_max_session_timeout)
    };
    let session_in_range = u64::try_from(body.session_timeout_ms)
        .is_ok_and(|timeout_ms| (min.as_millis()..=max.as_millis()).contains(&u128::from(timeout_ms)));
    if let Err(error) = check(&body) {
        return refuse(request.version, member_id, error);
    }
    if !session_in_range {
        return refuse(request.version, member_id, ResponseError::InvalidSessionTimeout);
    }
    let group_id = body.group_id.to_string();
    match context.groups.join(&group_id, join_request(request, body)).await {
        Ok(reply) => respond(request.version, reply),
        Err(error) => refuse(request.version, member_id, error),
    }
}

fn check(body: &JoinGroupRequest) -> Result<(), ResponseError> {
    let names = body.protocols.iter().map(|protocol| Some(&protocol.name));
    let others = names.chain([
        Some(&body.member_id),
        body.group_instance_id.as_ref(),
        Some(&body.protocol_type),
    ]);
    check_names(&body.group_id, true, others)?;
    let protocols = body.protocols.iter();
    let protocols: usize = protocols.map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
    let instance_id = body.group_instance_id.as_ref().map_or(0, |id| id.len());
    let bytes = protocols + instance_id + body.member_id.len() + body.protocol_type.len();
    if bytes > limits::GROUP_MEMBER_BYTES {
        return Err(ResponseError::InvalidRequest);
    }
    Ok(())
}

fn join_request(request: &RequestInfo, body: JoinGroupRequest) -> JoinRequest {
    let client_id = request.client_id.clone().unwrap_or_default();
    let prefix = body.group_instance_id.as_ref().map_or(client_id.as_str(), |id| id.as_str());
    let fresh_member_id = format!("{}-{}", prefix.replace('\0', ""), Uuid::new_v4());
    let rebalance_timeout_ms = match request.version {
        0 => body.session_timeout_ms,
        _ => body.rebalance_timeout_ms,
    };
    let protocols = body.protocols.iter().map(|protocol| Protocol {
        name: protocol.name.to_string(),
        metadata: protocol.metadata.clone(),
    });
    JoinRequest {
        member_id: body.member_id.to_string(),
        instance_id: body.group_instance_id.as_ref().map(ToString::to_string),
        fresh_member_id,
        fresh_consumer_member_id: fresh_consumer_member_id(),
        protocol_type: body.protocol_type.to_string(),
        protocols: protocols.collect(),
        session_timeout_ms: body.session_timeout_ms,
        rebalance_timeout_ms,
        client_id,
        client_host: client_host(request),
        requires_known_member_id: request.version >= KNOWN_MEMBER_ID,
        supports_skip_assignment: request.version >= SKIP_ASSIGNMENT,
        reason: body.reason.as_ref().map(ToString::to_string),
    }
}

fn refuse(version: i16, member_id: StrBytes, error: ResponseError) -> JoinGroupResponse {
    let reply = JoinReply {
        error: Some(error),
        generation_id: -1,
        protocol_type: None,
        protocol_name: None,
        leader: String::new(),
        skip_assignment: false,
        member_id: member_id.to_string(),
        members: Vec::new(),
    };
    respond(version, reply)
}

fn respond(version: i16, reply: JoinReply) -> JoinGroupResponse {
    let members = reply.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_metadata(member.metadata)
    });
    let protocol_name = reply.protocol_name.map(text);
    let response = JoinGroupResponse::default()
        .with_error_code(reply.error.map_or(0, |error| error.code()))
        .with_generation_id(reply.generation_id)
        .with_protocol_type(reply.protocol_type.map(text))
        .with_protocol_name(if version < NULL_PROTOCOL_NAME {
            Some(protocol_name.unwrap_or_default())
        } else {
            protocol_name
        })
        .with_leader(text(reply.leader))
        .with_member_id(text(reply.member_id))
        .with_members(members.collect());
    match version >= SKIP_ASSIGNMENT {
        true => response.with_skip_assignment(reply.skip_assignment),
        false => response,
    }
}
