//! LeaveGroup, versions 0-5: members leave a classic group, which rebalances at once.
//!
//! * 0: one member by its id.
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: several members, static ones by their instance id (KIP-345); an error for each.
//! * 4: flexible (KIP-482).
//! * 5: reasons (KIP-800).

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use kafka_protocol::ResponseError;

use super::group_requests::{check_names, text};
use super::{Context, RequestInfo};
use crate::groups::classic::{LeaveOutcome, LeavingMember};

const BATCHED: i16 = 3;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: LeaveGroupRequest) -> LeaveGroupResponse {
    if let Err(error) = check_names(&body.group_id, true, []) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let members = leaving(request.version, &body);
    match context.groups.leave(&body.group_id, members.clone()).await {
        Ok(outcomes) => respond(request.version, outcomes),
        // There is no such group, so each of them is unknown.
        Err(error @ ResponseError::UnknownMemberId) => {
            let unknown = members.into_iter().map(|member| LeaveOutcome {
                member_id: member.member_id,
                instance_id: member.instance_id,
                error: Some(error),
            });
            respond(request.version, unknown.collect())
        }
        Err(error) => LeaveGroupResponse::default().with_error_code(error.code()),
    }
}

fn leaving(version: i16, body: &LeaveGroupRequest) -> Vec<LeavingMember> {
    if version < BATCHED {
        return vec![LeavingMember {
            member_id: body.member_id.to_string(),
            instance_id: None,
        }];
    }
    let members = body.members.iter().map(|member| LeavingMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
    });
    members.collect()
}

fn respond(version: i16, outcomes: Vec<LeaveOutcome>) -> LeaveGroupResponse {
    let code = |outcome: &LeaveOutcome| outcome.error.map_or(0, |error| error.code());
    if version < BATCHED {
        let code = outcomes.first().map_or(0, code);
        return LeaveGroupResponse::default().with_error_code(code);
    }
    let members = outcomes.into_iter().map(|outcome| {
        MemberResponse::default()
            .with_error_code(code(&outcome))
            .with_member_id(text(outcome.member_id))
            .with_group_instance_id(outcome.instance_id.map(text))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
