//! Requests about consumer groups.

use super::Choices;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

/// A topic's name where a version that the codec does not know has a topic id of as many bytes.
const PLACEHOLDER: &str = "uuid-placeholder";
const TOPIC_IDS: i16 = 10;

/// A body of the codec's last version as one of the version with topic ids.
pub(super) fn with_topic_ids(c: &mut Choices, body: &Bytes) -> Bytes {
    let length_and_name = [&[PLACEHOLDER.len() as u8 + 1], PLACEHOLDER.as_bytes()].concat();
    let mut out = BytesMut::new();
    let mut rest = &body[..];
    while let Some(at) = rest
        .windows(length_and_name.len())
        .position(|window| window == length_and_name)
    {
        out.put_slice(&rest[..at]);
        out.put_slice(c.uuid().as_bytes());
        rest = &rest[at + length_and_name.len()..];
    }
    out.put_slice(rest);
    out.freeze()
}

fn topic_name(c: &mut Choices, version: i16) -> TopicName {
    match version >= TOPIC_IDS {
        true => TopicName(PLACEHOLDER.into()),
        false => c.string().into(),
    }
}

pub(super) fn offset_commit(c: &mut Choices, version: i16) -> OffsetCommitRequest {
    let mut request = OffsetCommitRequest::default()
        .with_group_id(c.string().into())
        .with_generation_id_or_member_epoch(c.int() as i32)
        .with_member_id(c.string())
        .with_topics(c.list(|c| {
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(c, version))
                .with_partitions(c.list(|c| {
                    let partition = OffsetCommitRequestPartition::default()
                        .with_partition_index(c.int() as i32)
                        .with_committed_offset(c.int())
                        .with_committed_metadata(c.nullable(Choices::string))
                        .with_unknown_tagged_fields(c.tags());
                    match version >= 6 {
                        true => partition.with_committed_leader_epoch(c.int() as i32),
                        false => partition,
                    }
                }))
                .with_unknown_tagged_fields(c.tags())
        }));
    if version >= 7 {
        request = request.with_group_instance_id(c.nullable(Choices::string));
    }
    if version <= 4 {
        request = request.with_retention_time_ms(c.int());
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn offset_fetch(c: &mut Choices, version: i16) -> OffsetFetchRequest {
    let mut request = OffsetFetchRequest::default();
    if version >= 8 {
        request = request.with_groups(c.list(|c| {
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(c.string().into())
                .with_topics(c.nullable(|c| {
                    c.list(|c| {
                        OffsetFetchRequestTopics::default()
                            .with_name(topic_name(c, version))
                            .with_partition_indexes(c.list(|c| c.int() as i32))
                            .with_unknown_tagged_fields(c.tags())
                    })
                }))
                .with_unknown_tagged_fields(c.tags());
            match version >= 9 {
                true => group
                    .with_member_id(c.nullable(Choices::string))
                    .with_member_epoch(c.int() as i32),
                false => group,
            }
        }));
    } else {
        let topics = |c: &mut Choices| {
            c.list(|c| {
                OffsetFetchRequestTopic::default()
                    .with_name(c.string().into())
                    .with_partition_indexes(c.list(|c| c.int() as i32))
                    .with_unknown_tagged_fields(c.tags())
            })
        };
        let topics = match version >= 2 {
            true => c.nullable(topics),
            false => Some(topics(c)),
        };
        request = request.with_group_id(c.string().into()).with_topics(topics);
    }
    if version >= 7 {
        request = request.with_require_stable(c.bool());
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn join_group(c: &mut Choices, version: i16) -> JoinGroupRequest {
    let mut request = JoinGroupRequest::default()
        .with_group_id(c.string().into())
        .with_session_timeout_ms(c.int() as i32)
        .with_member_id(c.string())
        .with_protocol_type(c.string())
        .with_protocols(c.list(|c| {
            JoinGroupRequestProtocol::default()
                .with_name(c.string())
                .with_metadata(c.bytes())
                .with_unknown_tagged_fields(c.tags())
        }));
    if version >= 1 {
        request = request.with_rebalance_timeout_ms(c.int() as i32);
    }
    if version >= 5 {
        request = request.with_group_instance_id(c.nullable(Choices::string));
    }
    if version >= 8 {
        request = request.with_reason(c.nullable(Choices::string));
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn heartbeat(c: &mut Choices, version: i16) -> HeartbeatRequest {
    let mut request = HeartbeatRequest::default()
        .with_group_id(c.string().into())
        .with_generation_id(c.int() as i32)
        .with_member_id(c.string());
    if version >= 3 {
        request = request.with_group_instance_id(c.nullable(Choices::string));
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn leave_group(c: &mut Choices, version: i16) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(c.string().into());
    let request = match version >= 3 {
        true => request.with_members(c.list(|c| {
            let member = MemberIdentity::default()
                .with_member_id(c.string())
                .with_group_instance_id(c.nullable(Choices::string))
                .with_unknown_tagged_fields(c.tags());
            match version >= 5 {
                true => member.with_reason(c.nullable(Choices::string)),
                false => member,
            }
        })),
        false => request.with_member_id(c.string()),
    };
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn sync_group(c: &mut Choices, version: i16) -> SyncGroupRequest {
    let mut request = SyncGroupRequest::default()
        .with_group_id(c.string().into())
        .with_generation_id(c.int() as i32)
        .with_member_id(c.string())
        .with_assignments(c.list(|c| {
            SyncGroupRequestAssignment::default()
                .with_member_id(c.string())
                .with_assignment(c.bytes())
                .with_unknown_tagged_fields(c.tags())
        }));
    if version >= 3 {
        request = request.with_group_instance_id(c.nullable(Choices::string));
    }
    if version >= 5 {
        request = request
            .with_protocol_type(c.nullable(Choices::string))
            .with_protocol_name(c.nullable(Choices::string));
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn describe_groups(c: &mut Choices, version: i16) -> DescribeGroupsRequest {
    let mut request = DescribeGroupsRequest::default().with_groups(c.list(|c| c.string().into()));
    if version >= 3 {
        request = request.with_include_authorized_operations(c.bool());
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn list_groups(c: &mut Choices, version: i16) -> ListGroupsRequest {
    let mut request = ListGroupsRequest::default();
    if version >= 4 {
        request = request.with_states_filter(c.list(Choices::string));
    }
    if version >= 5 {
        request = request.with_types_filter(c.list(Choices::string));
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn delete_groups(c: &mut Choices) -> DeleteGroupsRequest {
    DeleteGroupsRequest::default()
        .with_groups_names(c.list(|c| c.string().into()))
        .with_unknown_tagged_fields(c.tags())
}

pub(super) fn offset_delete(c: &mut Choices) -> OffsetDeleteRequest {
    OffsetDeleteRequest::default()
        .with_group_id(c.string().into())
        .with_topics(c.list(|c| {
            OffsetDeleteRequestTopic::default()
                .with_name(c.string().into())
                .with_partitions(c.list(|c| OffsetDeleteRequestPartition::default().with_partition_index(c.int() as i32)))
        }))
}
