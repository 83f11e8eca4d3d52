//! Arbitrary requests of every API served, made of the codec's own message structs: the authority that the validator is held
//! against, independent of the validator's shapes.

mod admin;
mod groups;

use broker::api::table::{by_code, ApiKey, APIS};
use broker::api::{offset_commit, offset_fetch};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Every API and version served.
pub fn served() -> Vec<(ApiKey, i16)> {
    APIS.iter()
        .flat_map(|api| api.served.iter().map(|version| (api.key, version)))
        .collect()
}

/// Decisions read from bytes, so that proptest can shrink a request by shrinking them. After the last byte everything is 0.
pub struct Choices<'a> {
    bytes: &'a [u8],
    /// Whether a section of tagged fields exists.
    flexible: bool,
}

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    fn int(&mut self) -> i64 {
        match self.byte() % 4 {
            0 => 0,
            1 => -1,
            2 => i64::from(self.byte()),
            _ => (0..8).fold(0, |value, _| value << 8 | i64::from(self.byte())),
        }
    }

    fn bool(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn string(&mut self) -> StrBytes {
        let length = match self.byte() % 8 {
            7 => 200,
            short => usize::from(short),
        };
        StrBytes::from_string(
            (0..length)
                .map(|_| char::from_u32(u32::from(self.byte()) * 5).unwrap_or('ü'))
                .collect(),
        )
    }

    fn nullable<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() % 4 != 1).then(|| value(self))
    }

    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 4).map(|_| element(self)).collect()
    }

    fn bytes(&mut self) -> Bytes {
        let length = usize::from(self.byte());
        (0..length).map(|_| self.byte()).collect()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u128((self.int() as u128) << 64 | self.int() as u128)
    }

    /// Unknown tagged fields with tags that no message of Kafka 4.3 defines.
    fn tags(&mut self) -> BTreeMap<i32, Bytes> {
        if !self.flexible || self.byte() % 4 != 3 {
            return BTreeMap::new();
        }
        self.list(|c| (100 + i32::from(c.byte()) * 7919, c.bytes()))
            .into_iter()
            .collect()
    }
}

/// A request of `key` as the codec encodes it in `version`, its content taken from `choices`.
pub fn encoded(key: ApiKey, version: i16, choices: &[u8]) -> Bytes {
    let c = &mut Choices {
        bytes: choices,
        flexible: version >= key.api().flexible_from,
    };
    match key {
        ApiKey::Produce => encode(key, version, produce(c, version)),
        ApiKey::Fetch => encode(key, version, fetch(c, version)),
        ApiKey::ListOffsets => encode(key, version, list_offsets(c, version)),
        ApiKey::Metadata => encode(key, version, metadata(c, version)),
        ApiKey::FindCoordinator => encode(key, version, find_coordinator(c, version)),
        ApiKey::ApiVersions => encode(key, version, api_versions(c)),
        ApiKey::CreateTopics => encode(key, version, create_topics(c)),
        ApiKey::DeleteTopics => encode(key, version, delete_topics(c, version)),
        ApiKey::DeleteRecords => encode(key, version, delete_records(c)),
        ApiKey::InitProducerId => encode(key, version, init_producer_id(c, version)),
        ApiKey::OffsetForLeaderEpoch => encode(key, version, offset_for_leader_epoch(c)),
        ApiKey::DescribeConfigs => encode(key, version, describe_configs(c, version)),
        ApiKey::AlterConfigs => encode(key, version, alter_configs(c)),
        ApiKey::IncrementalAlterConfigs => encode(key, version, incremental_alter_configs(c)),
        ApiKey::CreatePartitions => encode(key, version, admin::create_partitions(c)),
        ApiKey::DescribeLogDirs => encode(key, version, admin::describe_log_dirs(c)),
        ApiKey::ElectLeaders => encode(key, version, admin::elect_leaders(c, version)),
        ApiKey::AlterPartitionReassignments => encode(key, version, admin::alter_partition_reassignments(c, version)),
        ApiKey::ListPartitionReassignments => encode(key, version, admin::list_partition_reassignments(c)),
        ApiKey::DescribeQuorum => encode(key, version, admin::describe_quorum(c)),
        ApiKey::UpdateFeatures => encode(key, version, admin::update_features(c, version)),
        ApiKey::DescribeTopicPartitions => encode(key, version, admin::describe_topic_partitions(c)),
        ApiKey::DescribeCluster => encode(key, version, describe_cluster(c, version)),
        ApiKey::ListConfigResources => encode(key, version, list_config_resources(c, version)),
        ApiKey::OffsetCommit => {
            let body = encode(key, version.min(9), groups::offset_commit(c, version));
            groups::with_topic_ids(c, &body)
        }
        ApiKey::OffsetFetch => {
            let body = encode(key, version.min(9), groups::offset_fetch(c, version));
            groups::with_topic_ids(c, &body)
        }
        ApiKey::JoinGroup => encode(key, version, groups::join_group(c, version)),
        ApiKey::Heartbeat => encode(key, version, groups::heartbeat(c, version)),
        ApiKey::LeaveGroup => encode(key, version, groups::leave_group(c, version)),
        ApiKey::SyncGroup => encode(key, version, groups::sync_group(c, version)),
        ApiKey::DescribeGroups => encode(key, version, groups::describe_groups(c, version)),
        ApiKey::ListGroups => encode(key, version, groups::list_groups(c, version)),
        ApiKey::DeleteGroups => encode(key, version, groups::delete_groups(c)),
        ApiKey::OffsetDelete => encode(key, version, groups::offset_delete(c)),
        ApiKey::ConsumerGroupHeartbeat => encode(key, version, groups::consumer_group_heartbeat(c, version)),
        ApiKey::ConsumerGroupDescribe => encode(key, version, groups::consumer_group_describe(c)),
    }
}

/// Decodes as the dispatcher does and returns the bytes that were left over.
pub fn decode(key: ApiKey, version: i16, body: &Bytes) -> Result<usize, String> {
    match key {
        ApiKey::OffsetCommit if version >= 10 => {
            let decoded = offset_commit::decode_with_topic_ids(body);
            return decoded.map(|_| 0).map_err(|error| error.to_string());
        }
        ApiKey::OffsetFetch if version >= 10 => {
            let decoded = offset_fetch::decode_with_topic_ids(body);
            return decoded.map(|_| 0).map_err(|error| error.to_string());
        }
        _ => {}
    }
    let mut body = body.clone();
    let codec_key = kafka_protocol::messages::ApiKey::try_from(key.code()).map_err(|()| "key".to_owned())?;
    let request =
        RequestKind::decode(codec_key, &mut body, key.api().codec_version(version)).map_err(|error| error.to_string())?;
    drop(request);
    Ok(body.len())
}

fn encode<T: Encodable>(key: ApiKey, version: i16, request: T) -> Bytes {
    let mut out = BytesMut::new();
    let codec_version = by_code(key.code()).map_or(version, |api| api.codec_version(version));
    request
        .encode(&mut out, codec_version)
        .unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
    out.freeze()
}

fn produce(c: &mut Choices, version: i16) -> ProduceRequest {
    ProduceRequest::default()
        .with_transactional_id(c.nullable(|c| c.string().into()))
        .with_acks(c.int() as i16)
        .with_timeout_ms(c.int() as i32)
        .with_topic_data(c.list(|c| {
            let topic = TopicProduceData::default();
            let topic = if version >= 13 {
                topic.with_topic_id(c.uuid())
            } else {
                topic.with_name(c.string().into())
            };
            let partitions = c.list(|c| {
                PartitionProduceData::default()
                    .with_index(c.int() as i32)
                    .with_records(c.nullable(Choices::bytes))
                    .with_unknown_tagged_fields(c.tags())
            });
            topic.with_partition_data(partitions).with_unknown_tagged_fields(c.tags())
        }))
        .with_unknown_tagged_fields(c.tags())
}

fn fetch(c: &mut Choices, version: i16) -> FetchRequest {
    let mut request = FetchRequest::default()
        .with_max_wait_ms(c.int() as i32)
        .with_min_bytes(c.int() as i32)
        .with_max_bytes(c.int() as i32)
        .with_isolation_level(c.int() as i8)
        .with_topics(c.list(|c| {
            let topic = FetchTopic::default();
            let topic = if version >= 13 {
                topic.with_topic_id(c.uuid())
            } else {
                topic.with_topic(c.string().into())
            };
            topic
                .with_partitions(c.list(|c| fetch_partition(c, version)))
                .with_unknown_tagged_fields(c.tags())
        }));
    if version >= 15 {
        if c.bool() {
            request = request.with_replica_state(
                ReplicaState::default()
                    .with_replica_id((c.int() as i32).into())
                    .with_replica_epoch(c.int())
                    .with_unknown_tagged_fields(c.tags()),
            );
        }
    } else {
        request = request.with_replica_id((c.int() as i32).into());
    }
    if version >= 7 {
        request = request
            .with_session_id(c.int() as i32)
            .with_session_epoch(c.int() as i32)
            .with_forgotten_topics_data(c.list(|c| {
                let topic = ForgottenTopic::default();
                let topic = if version >= 13 {
                    topic.with_topic_id(c.uuid())
                } else {
                    topic.with_topic(c.string().into())
                };
                topic
                    .with_partitions(c.list(|c| c.int() as i32))
                    .with_unknown_tagged_fields(c.tags())
            }));
    }
    if version >= 11 {
        request = request.with_rack_id(c.string());
    }
    if version >= 12 {
        request = request.with_cluster_id(c.nullable(Choices::string));
    }
    request.with_unknown_tagged_fields(c.tags())
}

fn fetch_partition(c: &mut Choices, version: i16) -> FetchPartition {
    let mut partition = FetchPartition::default()
        .with_partition(c.int() as i32)
        .with_fetch_offset(c.int())
        .with_partition_max_bytes(c.int() as i32)
        .with_current_leader_epoch(c.int() as i32)
        .with_log_start_offset(c.int());
    if version >= 12 {
        partition = partition.with_last_fetched_epoch(c.int() as i32);
    }
    if version >= 17 {
        partition = partition.with_replica_directory_id(c.uuid());
    }
    if version >= 18 {
        partition = partition.with_high_watermark(c.int());
    }
    partition.with_unknown_tagged_fields(c.tags())
}

fn list_offsets(c: &mut Choices, version: i16) -> ListOffsetsRequest {
    let request = ListOffsetsRequest::default()
        .with_replica_id((c.int() as i32).into())
        .with_topics(c.list(|c| {
            ListOffsetsTopic::default()
                .with_name(c.string().into())
                .with_partitions(c.list(|c| {
                    ListOffsetsPartition::default()
                        .with_partition_index(c.int() as i32)
                        .with_current_leader_epoch(c.int() as i32)
                        .with_timestamp(c.int())
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }));
    let request = if version >= 2 {
        request.with_isolation_level(c.int() as i8)
    } else {
        request
    };
    let request = if version >= 10 {
        request.with_timeout_ms(c.int() as i32)
    } else {
        request
    };
    request.with_unknown_tagged_fields(c.tags())
}

fn metadata(c: &mut Choices, version: i16) -> MetadataRequest {
    let topic = |c: &mut Choices| {
        let topic = MetadataRequestTopic::default();
        let topic = if version >= 10 {
            topic.with_topic_id(c.uuid()).with_name(c.nullable(|c| c.string().into()))
        } else {
            topic.with_name(Some(c.string().into()))
        };
        topic.with_unknown_tagged_fields(c.tags())
    };
    let topics = if version >= 1 {
        c.nullable(|c| c.list(topic))
    } else {
        Some(c.list(topic))
    };
    let mut request = MetadataRequest::default().with_topics(topics);
    if version >= 4 {
        request = request.with_allow_auto_topic_creation(c.bool());
    }
    if (8..=10).contains(&version) {
        request = request.with_include_cluster_authorized_operations(c.bool());
    }
    if version >= 8 {
        request = request.with_include_topic_authorized_operations(c.bool());
    }
    request.with_unknown_tagged_fields(c.tags())
}

fn init_producer_id(c: &mut Choices, version: i16) -> InitProducerIdRequest {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(c.nullable(Choices::string).map(TransactionalId))
        .with_transaction_timeout_ms(c.int() as i32);
    let request = if version >= 3 {
        request
            .with_producer_id(ProducerId(c.int()))
            .with_producer_epoch(c.int() as i16)
    } else {
        request
    };
    request.with_unknown_tagged_fields(c.tags())
}

fn find_coordinator(c: &mut Choices, version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default();
    let request = if version >= 4 {
        request.with_coordinator_keys(c.list(Choices::string))
    } else {
        request.with_key(c.string())
    };
    let request = if version >= 1 {
        request.with_key_type(c.int() as i8)
    } else {
        request
    };
    request.with_unknown_tagged_fields(c.tags())
}

fn api_versions(c: &mut Choices) -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(c.string())
        .with_client_software_version(c.string())
        .with_unknown_tagged_fields(c.tags())
}

fn create_topics(c: &mut Choices) -> CreateTopicsRequest {
    CreateTopicsRequest::default()
        .with_topics(c.list(|c| {
            CreatableTopic::default()
                .with_name(c.string().into())
                .with_num_partitions(c.int() as i32)
                .with_replication_factor(c.int() as i16)
                .with_assignments(c.list(|c| {
                    CreatableReplicaAssignment::default()
                        .with_partition_index(c.int() as i32)
                        .with_broker_ids(c.list(|c| (c.int() as i32).into()))
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_configs(c.list(|c| {
                    CreatableTopicConfig::default()
                        .with_name(c.string())
                        .with_value(c.nullable(Choices::string))
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_timeout_ms(c.int() as i32)
        .with_validate_only(c.bool())
        .with_unknown_tagged_fields(c.tags())
}

fn delete_topics(c: &mut Choices, version: i16) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(c.int() as i32);
    let request = if version >= 6 {
        request.with_topics(c.list(|c| {
            DeleteTopicState::default()
                .with_name(c.nullable(|c| c.string().into()))
                .with_topic_id(c.uuid())
                .with_unknown_tagged_fields(c.tags())
        }))
    } else {
        request.with_topic_names(c.list(|c| c.string().into()))
    };
    request.with_unknown_tagged_fields(c.tags())
}

fn delete_records(c: &mut Choices) -> DeleteRecordsRequest {
    DeleteRecordsRequest::default()
        .with_topics(c.list(|c| {
            DeleteRecordsTopic::default()
                .with_name(c.string().into())
                .with_partitions(c.list(|c| {
                    DeleteRecordsPartition::default()
                        .with_partition_index(c.int() as i32)
                        .with_offset(c.int())
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_timeout_ms(c.int() as i32)
        .with_unknown_tagged_fields(c.tags())
}

fn offset_for_leader_epoch(c: &mut Choices) -> OffsetForLeaderEpochRequest {
    OffsetForLeaderEpochRequest::default()
        .with_replica_id((c.int() as i32).into())
        .with_topics(c.list(|c| {
            OffsetForLeaderTopic::default()
                .with_topic(c.string().into())
                .with_partitions(c.list(|c| {
                    OffsetForLeaderPartition::default()
                        .with_partition(c.int() as i32)
                        .with_current_leader_epoch(c.int() as i32)
                        .with_leader_epoch(c.int() as i32)
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_unknown_tagged_fields(c.tags())
}

fn describe_configs(c: &mut Choices, version: i16) -> DescribeConfigsRequest {
    let request = DescribeConfigsRequest::default()
        .with_resources(c.list(|c| {
            DescribeConfigsResource::default()
                .with_resource_type(c.int() as i8)
                .with_resource_name(c.string())
                .with_configuration_keys(c.nullable(|c| c.list(Choices::string)))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_include_synonyms(c.bool());
    let request = if version >= 3 {
        request.with_include_documentation(c.bool())
    } else {
        request
    };
    request.with_unknown_tagged_fields(c.tags())
}

fn alter_configs(c: &mut Choices) -> AlterConfigsRequest {
    AlterConfigsRequest::default()
        .with_resources(c.list(|c| {
            alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(c.int() as i8)
                .with_resource_name(c.string())
                .with_configs(c.list(|c| {
                    alter_configs_request::AlterableConfig::default()
                        .with_name(c.string())
                        .with_value(c.nullable(Choices::string))
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_validate_only(c.bool())
        .with_unknown_tagged_fields(c.tags())
}

fn incremental_alter_configs(c: &mut Choices) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest::default()
        .with_resources(c.list(|c| {
            incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(c.int() as i8)
                .with_resource_name(c.string())
                .with_configs(c.list(|c| {
                    incremental_alter_configs_request::AlterableConfig::default()
                        .with_name(c.string())
                        .with_config_operation(c.int() as i8)
                        .with_value(c.nullable(Choices::string))
                        .with_unknown_tagged_fields(c.tags())
                }))
                .with_unknown_tagged_fields(c.tags())
        }))
        .with_validate_only(c.bool())
        .with_unknown_tagged_fields(c.tags())
}

fn list_config_resources(c: &mut Choices, version: i16) -> ListConfigResourcesRequest {
    let request = ListConfigResourcesRequest::default();
    let request = if version >= 1 {
        request.with_resource_types(c.list(|c| c.int() as i8))
    } else {
        request
    };
    request.with_unknown_tagged_fields(c.tags())
}

fn describe_cluster(c: &mut Choices, version: i16) -> DescribeClusterRequest {
    let mut request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(c.bool());
    if version >= 1 {
        request = request.with_endpoint_type(c.int() as i8);
    }
    if version >= 2 {
        request = request.with_include_fenced_brokers(c.bool());
    }
    request.with_unknown_tagged_fields(c.tags())
}
