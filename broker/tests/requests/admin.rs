//! Requests of administration.

use super::Choices;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::*;

pub(super) fn create_partitions(c: &mut Choices) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default()
        .with_topics(c.list(|c| {
            CreatePartitionsTopic::default()
                .with_name(c.string().into())
                .with_count(c.int() as i32)
                .with_assignments(c.nullable(|c| {
                    c.list(|c| {
                        CreatePartitionsAssignment::default()
                            .with_broker_ids(c.list(|c| (c.int() as i32).into()))
                            .with_unknown_tagged_fields(c.tags())
                    })
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_timeout_ms(c.int() as i32)
        .with_validate_only(c.bool())
        .with_unknown_tagged_fields(c.tags())
}

fn partitions(c: &mut Choices) -> Vec<i32> {
    c.list(|c| c.int() as i32)
}

pub(super) fn describe_log_dirs(c: &mut Choices) -> DescribeLogDirsRequest {
    DescribeLogDirsRequest::default()
        .with_topics(c.nullable(|c| {
            c.list(|c| {
                DescribableLogDirTopic::default()
                    .with_topic(c.string().into())
                    .with_partitions(partitions(c))
                    .with_unknown_tagged_fields(c.tags())
            })
        }))
        .with_unknown_tagged_fields(c.tags())
}

pub(super) fn elect_leaders(c: &mut Choices, version: i16) -> ElectLeadersRequest {
    let mut request = ElectLeadersRequest::default();
    if version >= 1 {
        request = request.with_election_type(c.int() as i8);
    }
    request
        .with_topic_partitions(c.nullable(|c| {
            c.list(|c| {
                TopicPartitions::default()
                    .with_topic(c.string().into())
                    .with_partitions(partitions(c))
                    .with_unknown_tagged_fields(c.tags())
            })
        }))
        .with_timeout_ms(c.int() as i32)
        .with_unknown_tagged_fields(c.tags())
}

pub(super) fn alter_partition_reassignments(c: &mut Choices, version: i16) -> AlterPartitionReassignmentsRequest {
    let mut request = AlterPartitionReassignmentsRequest::default().with_timeout_ms(c.int() as i32);
    if version >= 1 {
        request = request.with_allow_replication_factor_change(c.bool());
    }
    request
        .with_topics(c.list(|c| {
            ReassignableTopic::default()
                .with_name(c.string().into())
                .with_partitions(c.list(|c| {
                    ReassignablePartition::default()
                        .with_partition_index(c.int() as i32)
                        .with_replicas(c.nullable(|c| c.list(|c| (c.int() as i32).into())))
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_unknown_tagged_fields(c.tags())
}

pub(super) fn list_partition_reassignments(c: &mut Choices) -> ListPartitionReassignmentsRequest {
    ListPartitionReassignmentsRequest::default()
        .with_timeout_ms(c.int() as i32)
        .with_topics(c.nullable(|c| {
            c.list(|c| {
                ListPartitionReassignmentsTopics::default()
                    .with_name(c.string().into())
                    .with_partition_indexes(partitions(c))
                    .with_unknown_tagged_fields(c.tags())
            })
        }))
        .with_unknown_tagged_fields(c.tags())
}

pub(super) fn describe_quorum(c: &mut Choices) -> DescribeQuorumRequest {
    use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
    DescribeQuorumRequest::default()
        .with_topics(c.list(|c| {
            TopicData::default()
                .with_topic_name(c.string().into())
                .with_partitions(c.list(|c| {
                    PartitionData::default()
                        .with_partition_index(c.int() as i32)
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_unknown_tagged_fields(c.tags())
}

pub(super) fn update_features(c: &mut Choices, version: i16) -> UpdateFeaturesRequest {
    let mut request = UpdateFeaturesRequest::default()
        .with_timeout_ms(c.int() as i32)
        .with_feature_updates(c.list(|c| {
            let update = FeatureUpdateKey::default()
                .with_feature(c.string())
                .with_max_version_level(c.int() as i16)
                .with_unknown_tagged_fields(c.tags());
            if version == 0 {
                update.with_allow_downgrade(c.bool())
            } else {
                update.with_upgrade_type(c.int() as i8)
            }
        }));
    if version >= 1 {
        request = request.with_validate_only(c.bool());
    }
    request.with_unknown_tagged_fields(c.tags())
}

pub(super) fn describe_topic_partitions(c: &mut Choices) -> DescribeTopicPartitionsRequest {
    DescribeTopicPartitionsRequest::default()
        .with_topics(c.list(|c| {
            TopicRequest::default()
                .with_name(c.string().into())
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_response_partition_limit(c.int() as i32)
        .with_cursor(c.nullable(|c| {
            Cursor::default()
                .with_topic_name(c.string().into())
                .with_partition_index(c.int() as i32)
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_unknown_tagged_fields(c.tags())
}
