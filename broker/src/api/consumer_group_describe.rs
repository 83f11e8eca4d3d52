//! ConsumerGroupDescribe, versions 0-1: state, members and assignments of consumer groups (KIP-848).
//!
//! * 0: the first.
//! * 1: types of members (KIP-1099): all are members of the consumer protocol.

use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::group_requests::text;
use super::operations::{GROUP, NOT_ASKED};
use super::{Context, RequestInfo};
use crate::groups::consumer::{self, Description, HeartbeatError, MemberDescription};
use crate::limits;

const MEMBER_TYPE: i16 = 1;
/// Types of members, as Kafka's schema numbers them.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

/// Answers the request.
pub async fn handle(
    context: &Context,
    request: &RequestInfo,
    body: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let operations = match body.include_authorized_operations {
        true => GROUP,
        false => NOT_ASKED,
    };
    let mut left = limits::GROUP_RESPONSE_BYTES;
    let mut groups = Vec::with_capacity(body.group_ids.len());
    for group_id in body.group_ids {
        let described = match left {
            _ if group_id.is_empty() => Err(HeartbeatError::Closed(ResponseError::InvalidGroupId)),
            0 => Err(HeartbeatError::Closed(ResponseError::InvalidRequest)),
            _ => context.groups.describe_consumer(&group_id).await,
        };
        let group = DescribedGroup::default()
            .with_group_id(group_id)
            .with_authorized_operations(NOT_ASKED);
        groups.push(match described {
            Ok(description) => {
                left = left.saturating_sub(size_of(&description));
                describe(request.version, group, description).with_authorized_operations(operations)
            }
            Err(HeartbeatError::Closed(error)) => group.with_error_code(error.code()),
            Err(error) => group
                .with_error_code(error.code().code())
                .with_error_message(Some(text(error.to_string()))),
        });
    }
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}

fn describe(version: i16, group: DescribedGroup, description: Description) -> DescribedGroup {
    let members = description.members.into_iter().map(|member| member_of(version, member));
    group
        .with_group_state(StrBytes::from_static_str(description.state.name()))
        .with_group_epoch(description.group_epoch)
        .with_assignment_epoch(description.assignment_epoch)
        .with_assignor_name(StrBytes::from_static_str(description.assignor.name()))
        .with_members(members.collect())
}

fn member_of(version: i16, member: MemberDescription) -> Member {
    let member_type = match member.is_classic {
        true => CLASSIC_MEMBER,
        false => CONSUMER_MEMBER,
    };
    let names = member.subscribed_topic_names.into_iter().map(|name| TopicName(text(name)));
    let described = Member::default()
        .with_member_id(text(member.member_id))
        .with_instance_id(member.instance_id.map(text))
        .with_rack_id(member.rack_id.map(text))
        .with_member_epoch(member.member_epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_subscribed_topic_regex(Some(text(member.subscribed_topic_regex)))
        .with_assignment(assignment(member.assignment))
        .with_target_assignment(assignment(member.target_assignment));
    match version >= MEMBER_TYPE {
        true => described.with_member_type(member_type),
        false => described,
    }
}

fn assignment(topics: Vec<consumer::TopicPartitions>) -> Assignment {
    let topics = topics.into_iter().map(|topic| {
        TopicPartitions::default()
            .with_topic_id(topic.topic_id)
            .with_topic_name(TopicName(text(topic.topic_name)))
            .with_partitions(topic.partitions)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

fn size_of(description: &Description) -> usize {
    let topics =
        |topics: &[consumer::TopicPartitions]| topics.iter().map(|topic| 300 + 4 * topic.partitions.len()).sum::<usize>();
    let members = description.members.iter();
    members
        .map(|member| {
            300 + topics(&member.assignment) + topics(&member.target_assignment) + 50 * member.subscribed_topic_names.len()
        })
        .sum()
}
