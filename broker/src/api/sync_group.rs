//! SyncGroup, versions 0-5: the leader of a classic group brings the assignment, each member fetches its part. The answer waits for the
//! leader, and for the assignment to be stored.
//!
//! * 0: generation, member, assignments.
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: static members (KIP-345).
//! * 4: flexible (KIP-482).
//! * 5: protocol type and name, which have to be given (KIP-559).

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::ResponseError;

use super::group_requests::{check_names, member_ref, text};
use super::{Context, RequestInfo};
use crate::groups::classic::{MemberAssignment, SyncRequest};
use crate::limits;

const PROTOCOL_REQUIRED: i16 = 5;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: SyncGroupRequest) -> SyncGroupResponse {
    if let Err(error) = check(request.version, &body) {
        return refuse(error);
    }
    let group_id = body.group_id.to_string();
    match context.groups.sync(&group_id, sync_request(request.version, &body)).await {
        Ok(reply) => SyncGroupResponse::default()
            .with_error_code(reply.error.map_or(0, |error| error.code()))
            .with_protocol_type(reply.protocol_type.map(text))
            .with_protocol_name(reply.protocol_name.map(text))
            .with_assignment(reply.assignment),
        Err(error) => refuse(error),
    }
}

fn check(version: i16, body: &SyncGroupRequest) -> Result<(), ResponseError> {
    if version >= PROTOCOL_REQUIRED && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        return Err(ResponseError::InconsistentGroupProtocol);
    }
    check_names(&body.group_id, true, [Some(&body.member_id), body.group_instance_id.as_ref()])?;
    let bytes: usize = body
        .assignments
        .iter()
        .map(|part| part.member_id.len() + part.assignment.len())
        .sum();
    if bytes > limits::GROUP_ASSIGNMENT_BYTES {
        return Err(ResponseError::InvalidRequest);
    }
    Ok(())
}

fn sync_request(version: i16, body: &SyncGroupRequest) -> SyncRequest {
    let assignments = body.assignments.iter().map(|part| MemberAssignment {
        member_id: part.member_id.to_string(),
        assignment: part.assignment.clone(),
    });
    SyncRequest {
        member: member_ref(&body.member_id, body.group_instance_id.as_ref(), body.generation_id),
        requires_protocol: version >= PROTOCOL_REQUIRED,
        protocol_type: body.protocol_type.as_ref().map(ToString::to_string),
        protocol_name: body.protocol_name.as_ref().map(ToString::to_string),
        assignments: assignments.collect(),
    }
}

fn refuse(error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}
