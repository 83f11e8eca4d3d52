//! DescribeGroups, versions 0-6: state, members and assignment of classic groups.
//!
//! * 0: groups by id.
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: authorized operations (KIP-430).
//! * 4: instance ids (KIP-345).
//! * 5: flexible (KIP-482).
//! * 6: GROUP_ID_NOT_FOUND (69) with a message for a group that there is not (KIP-1043); before, it is Dead.

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::group_requests::text;
use super::operations::{GROUP, NOT_ASKED};
use super::{Context, RequestInfo};
use crate::groups::classic::{ClassicDescription, ClassicState};
use crate::groups::membership::Described;
use crate::limits;

const OPERATIONS: i16 = 3;
const INSTANCE_ID: i16 = 4;
const NOT_FOUND: i16 = 6;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let operations = match request.version >= OPERATIONS && body.include_authorized_operations {
        true => GROUP,
        false => NOT_ASKED,
    };
    let mut left = limits::GROUP_RESPONSE_BYTES;
    let groups = body.groups.into_iter().map(|group_id| {
        let described = match left {
            0 => Err(ResponseError::InvalidRequest),
            _ => context.groups.describe(&group_id),
        };
        let group = DescribedGroup::default()
            .with_group_id(group_id)
            .with_authorized_operations(NOT_ASKED);
        match described {
            Ok(Described::Classic(description)) => {
                left = left.saturating_sub(size_of(&description));
                describe(request.version, group, description).with_authorized_operations(operations)
            }
            Ok(Described::Missing) => missing(request.version, group, "not found", operations),
            Ok(Described::Consumer) => missing(request.version, group, "is not a classic group", operations),
            Err(error) => group.with_error_code(error.code()),
        }
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(version: i16, group: DescribedGroup, description: ClassicDescription) -> DescribedGroup {
    let members = description.members.into_iter().map(|member| {
        let described = DescribedGroupMember::default()
            .with_member_id(text(member.member_id))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment);
        match version >= INSTANCE_ID {
            true => described.with_group_instance_id(member.instance_id.map(text)),
            false => described,
        }
    });
    group
        .with_group_state(StrBytes::from_static_str(description.state.as_str()))
        .with_protocol_type(text(description.protocol_type))
        .with_protocol_data(text(description.protocol))
        .with_members(members.collect())
}

/// Before version 6 it is no error, so that operations are told too.
fn missing(version: i16, group: DescribedGroup, reason: &str, operations: i32) -> DescribedGroup {
    let dead = StrBytes::from_static_str(ClassicState::Dead.as_str());
    if version < NOT_FOUND {
        return group.with_group_state(dead).with_authorized_operations(operations);
    }
    let message = format!("Group {} {reason}.", group.group_id.as_str());
    group
        .with_group_state(dead)
        .with_error_code(ResponseError::GroupIdNotFound.code())
        .with_error_message(Some(text(message)))
}

fn size_of(description: &ClassicDescription) -> usize {
    let members = description.members.iter();
    members
        .map(|member| 200 + member.metadata.len() + member.assignment.len())
        .sum()
}
