//! What the body of each served request looks like, per version: the facts of Kafka's `common/message/*Request.json`, as constants.
//! The names are Kafka's, for messages about what is malformed.

mod groups;

use crate::api::table::{ApiKey, Versions};

/// The shape of one request in all its versions.
#[derive(Debug)]
pub struct Shape {
    /// The API.
    pub key: ApiKey,
    /// The versions that the fields are stated for.
    pub versions: Versions,
    /// The first version with compact lengths and tagged fields (KIP-482).
    pub flexible_from: i16,
    /// The fields in their order on the wire.
    pub fields: &'static [Field],
}

/// A type of Kafka's protocol.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// A value of this many bytes whose every bit pattern is valid: integers, booleans, UUIDs.
    Fixed(usize),
    /// UTF-8 behind a 16-bit or compact length.
    String,
    /// Bytes behind a 32-bit or compact length: `bytes` and `records`.
    Bytes,
    /// Any number of one type behind a 32-bit or compact length.
    Array(&'static Type),
    /// Fields and, in flexible versions, a section of tagged fields.
    Struct(&'static [Field]),
}

/// One field of a struct.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which it can be null; empty for most.
    pub nullable: Versions,
    /// Its tag if it stands in the tagged section, in all its versions.
    pub tag: Option<u32>,
}

const ALWAYS: Versions = Versions { min: 0, max: i16::MAX };
const NEVER: Versions = Versions { min: 1, max: 0 };

impl Field {
    const fn new(name: &'static str, ty: Type) -> Field {
        Field {
            name,
            ty,
            versions: ALWAYS,
            nullable: NEVER,
            tag: None,
        }
    }

    const fn from(mut self, version: i16) -> Field {
        self.versions.min = version;
        self
    }

    const fn until(mut self, version: i16) -> Field {
        self.versions.max = version;
        self
    }

    const fn nullable_from(mut self, version: i16) -> Field {
        self.nullable = Versions {
            min: version,
            max: i16::MAX,
        };
        self
    }

    const fn tagged(mut self, tag: u32) -> Field {
        self.tag = Some(tag);
        self
    }
}

const INT8: Type = Type::Fixed(1);
const INT16: Type = Type::Fixed(2);
const INT32: Type = Type::Fixed(4);
const INT64: Type = Type::Fixed(8);
const BOOL: Type = Type::Fixed(1);
const UUID: Type = Type::Fixed(16);

/// The shape of the requests of `key`.
pub fn of(key: ApiKey) -> &'static Shape {
    match key {
        ApiKey::Produce => &PRODUCE,
        ApiKey::Fetch => &FETCH,
        ApiKey::ListOffsets => &LIST_OFFSETS,
        ApiKey::Metadata => &METADATA,
        ApiKey::OffsetCommit => &groups::OFFSET_COMMIT,
        ApiKey::OffsetFetch => &groups::OFFSET_FETCH,
        ApiKey::FindCoordinator => &FIND_COORDINATOR,
        ApiKey::JoinGroup => &groups::JOIN_GROUP,
        ApiKey::Heartbeat => &groups::HEARTBEAT,
        ApiKey::LeaveGroup => &groups::LEAVE_GROUP,
        ApiKey::SyncGroup => &groups::SYNC_GROUP,
        ApiKey::DescribeGroups => &groups::DESCRIBE_GROUPS,
        ApiKey::ListGroups => &groups::LIST_GROUPS,
        ApiKey::ApiVersions => &API_VERSIONS,
        ApiKey::CreateTopics => &CREATE_TOPICS,
        ApiKey::DeleteTopics => &DELETE_TOPICS,
        ApiKey::DeleteRecords => &DELETE_RECORDS,
        ApiKey::InitProducerId => &INIT_PRODUCER_ID,
        ApiKey::OffsetForLeaderEpoch => &OFFSET_FOR_LEADER_EPOCH,
        ApiKey::DescribeConfigs => &DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => &ALTER_CONFIGS,
        ApiKey::DescribeLogDirs => &DESCRIBE_LOG_DIRS,
        ApiKey::CreatePartitions => &CREATE_PARTITIONS,
        ApiKey::DeleteGroups => &groups::DELETE_GROUPS,
        ApiKey::ElectLeaders => &ELECT_LEADERS,
        ApiKey::IncrementalAlterConfigs => &INCREMENTAL_ALTER_CONFIGS,
        ApiKey::AlterPartitionReassignments => &ALTER_PARTITION_REASSIGNMENTS,
        ApiKey::ListPartitionReassignments => &LIST_PARTITION_REASSIGNMENTS,
        ApiKey::OffsetDelete => &groups::OFFSET_DELETE,
        ApiKey::DescribeQuorum => &DESCRIBE_QUORUM,
        ApiKey::UpdateFeatures => &UPDATE_FEATURES,
        ApiKey::DescribeCluster => &DESCRIBE_CLUSTER,
        ApiKey::ConsumerGroupHeartbeat => &groups::CONSUMER_GROUP_HEARTBEAT,
        ApiKey::ConsumerGroupDescribe => &groups::CONSUMER_GROUP_DESCRIBE,
        ApiKey::ListConfigResources => &LIST_CONFIG_RESOURCES,
        ApiKey::DescribeTopicPartitions => &DESCRIBE_TOPIC_PARTITIONS,
    }
}

static PRODUCE: Shape = Shape {
    key: ApiKey::Produce,
    versions: Versions { min: 3, max: 13 },
    flexible_from: 9,
    fields: &[
        Field::new("TransactionalId", Type::String).nullable_from(3),
        Field::new("Acks", INT16),
        Field::new("TimeoutMs", INT32),
        Field::new("TopicData", Type::Array(&PRODUCE_TOPIC)),
    ],
};
static PRODUCE_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String).until(12),
    Field::new("TopicId", UUID).from(13),
    Field::new("PartitionData", Type::Array(&PRODUCE_PARTITION)),
]);
static PRODUCE_PARTITION: Type = Type::Struct(&[
    Field::new("Index", INT32),
    Field::new("Records", Type::Bytes).nullable_from(0),
]);

static FETCH: Shape = Shape {
    key: ApiKey::Fetch,
    versions: Versions { min: 4, max: 18 },
    flexible_from: 12,
    fields: &[
        Field::new("ClusterId", Type::String).from(12).nullable_from(12).tagged(0),
        Field::new("ReplicaId", INT32).until(14),
        Field::new("ReplicaState", FETCH_REPLICA_STATE).from(15).tagged(1),
        Field::new("MaxWaitMs", INT32),
        Field::new("MinBytes", INT32),
        Field::new("MaxBytes", INT32),
        Field::new("IsolationLevel", INT8),
        Field::new("SessionId", INT32).from(7),
        Field::new("SessionEpoch", INT32).from(7),
        Field::new("Topics", Type::Array(&FETCH_TOPIC)),
        Field::new("ForgottenTopicsData", Type::Array(&FETCH_FORGOTTEN_TOPIC)).from(7),
        Field::new("RackId", Type::String).from(11),
    ],
};
const FETCH_REPLICA_STATE: Type = Type::Struct(&[Field::new("ReplicaId", INT32), Field::new("ReplicaEpoch", INT64)]);
static FETCH_TOPIC: Type = Type::Struct(&[
    Field::new("Topic", Type::String).until(12),
    Field::new("TopicId", UUID).from(13),
    Field::new("Partitions", Type::Array(&FETCH_PARTITION)),
]);
static FETCH_PARTITION: Type = Type::Struct(&[
    Field::new("Partition", INT32),
    Field::new("CurrentLeaderEpoch", INT32).from(9),
    Field::new("FetchOffset", INT64),
    Field::new("LastFetchedEpoch", INT32).from(12),
    Field::new("LogStartOffset", INT64).from(5),
    Field::new("PartitionMaxBytes", INT32),
    Field::new("ReplicaDirectoryId", UUID).from(17).tagged(0),
    Field::new("HighWatermark", INT64).from(18).tagged(1),
]);
static FETCH_FORGOTTEN_TOPIC: Type = Type::Struct(&[
    Field::new("Topic", Type::String).until(12),
    Field::new("TopicId", UUID).from(13),
    Field::new("Partitions", Type::Array(&INT32)),
]);

static LIST_OFFSETS: Shape = Shape {
    key: ApiKey::ListOffsets,
    versions: Versions { min: 1, max: 11 },
    flexible_from: 6,
    fields: &[
        Field::new("ReplicaId", INT32),
        Field::new("IsolationLevel", INT8).from(2),
        Field::new("Topics", Type::Array(&LIST_OFFSETS_TOPIC)),
        Field::new("TimeoutMs", INT32).from(10),
    ],
};
static LIST_OFFSETS_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Partitions", Type::Array(&LIST_OFFSETS_PARTITION)),
]);
static LIST_OFFSETS_PARTITION: Type = Type::Struct(&[
    Field::new("PartitionIndex", INT32),
    Field::new("CurrentLeaderEpoch", INT32).from(4),
    Field::new("Timestamp", INT64),
]);

static METADATA: Shape = Shape {
    key: ApiKey::Metadata,
    versions: Versions { min: 0, max: 13 },
    flexible_from: 9,
    fields: &[
        Field::new("Topics", Type::Array(&METADATA_TOPIC)).nullable_from(1),
        Field::new("AllowAutoTopicCreation", BOOL).from(4),
        Field::new("IncludeClusterAuthorizedOperations", BOOL).from(8).until(10),
        Field::new("IncludeTopicAuthorizedOperations", BOOL).from(8),
    ],
};
static METADATA_TOPIC: Type = Type::Struct(&[
    Field::new("TopicId", UUID).from(10),
    Field::new("Name", Type::String).nullable_from(10),
]);

static FIND_COORDINATOR: Shape = Shape {
    key: ApiKey::FindCoordinator,
    versions: Versions { min: 0, max: 6 },
    flexible_from: 3,
    fields: &[
        Field::new("Key", Type::String).until(3),
        Field::new("KeyType", INT8).from(1),
        Field::new("CoordinatorKeys", Type::Array(&Type::String)).from(4),
    ],
};

static API_VERSIONS: Shape = Shape {
    key: ApiKey::ApiVersions,
    versions: Versions { min: 0, max: 4 },
    flexible_from: 3,
    fields: &[
        Field::new("ClientSoftwareName", Type::String).from(3),
        Field::new("ClientSoftwareVersion", Type::String).from(3),
    ],
};

static CREATE_TOPICS: Shape = Shape {
    key: ApiKey::CreateTopics,
    versions: Versions { min: 2, max: 7 },
    flexible_from: 5,
    fields: &[
        Field::new("Topics", Type::Array(&CREATE_TOPICS_TOPIC)),
        Field::new("timeoutMs", INT32),
        Field::new("validateOnly", BOOL),
    ],
};
static CREATE_TOPICS_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("NumPartitions", INT32),
    Field::new("ReplicationFactor", INT16),
    Field::new("Assignments", Type::Array(&CREATE_TOPICS_ASSIGNMENT)),
    Field::new("Configs", Type::Array(&CREATE_TOPICS_CONFIG)),
]);
static CREATE_TOPICS_ASSIGNMENT: Type = Type::Struct(&[
    Field::new("PartitionIndex", INT32),
    Field::new("BrokerIds", Type::Array(&INT32)),
]);
static CREATE_TOPICS_CONFIG: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Value", Type::String).nullable_from(0),
]);

static DELETE_TOPICS: Shape = Shape {
    key: ApiKey::DeleteTopics,
    versions: Versions { min: 1, max: 6 },
    flexible_from: 4,
    fields: &[
        Field::new("Topics", Type::Array(&DELETE_TOPICS_TOPIC)).from(6),
        Field::new("TopicNames", Type::Array(&Type::String)).until(5),
        Field::new("TimeoutMs", INT32),
    ],
};
static DELETE_TOPICS_TOPIC: Type =
    Type::Struct(&[Field::new("Name", Type::String).nullable_from(6), Field::new("TopicId", UUID)]);

static DELETE_RECORDS: Shape = Shape {
    key: ApiKey::DeleteRecords,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 2,
    fields: &[
        Field::new("Topics", Type::Array(&DELETE_RECORDS_TOPIC)),
        Field::new("TimeoutMs", INT32),
    ],
};
static DELETE_RECORDS_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Partitions", Type::Array(&DELETE_RECORDS_PARTITION)),
]);
static DELETE_RECORDS_PARTITION: Type = Type::Struct(&[Field::new("PartitionIndex", INT32), Field::new("Offset", INT64)]);

static INIT_PRODUCER_ID: Shape = Shape {
    key: ApiKey::InitProducerId,
    versions: Versions { min: 0, max: 5 },
    flexible_from: 2,
    fields: &[
        Field::new("TransactionalId", Type::String).nullable_from(0),
        Field::new("TransactionTimeoutMs", INT32),
        Field::new("ProducerId", INT64).from(3),
        Field::new("ProducerEpoch", INT16).from(3),
    ],
};

static OFFSET_FOR_LEADER_EPOCH: Shape = Shape {
    key: ApiKey::OffsetForLeaderEpoch,
    versions: Versions { min: 2, max: 4 },
    flexible_from: 4,
    fields: &[
        Field::new("ReplicaId", INT32).from(3),
        Field::new("Topics", Type::Array(&OFFSET_FOR_LEADER_EPOCH_TOPIC)),
    ],
};
static OFFSET_FOR_LEADER_EPOCH_TOPIC: Type = Type::Struct(&[
    Field::new("Topic", Type::String),
    Field::new("Partitions", Type::Array(&OFFSET_FOR_LEADER_EPOCH_PARTITION)),
]);
static OFFSET_FOR_LEADER_EPOCH_PARTITION: Type = Type::Struct(&[
    Field::new("Partition", INT32),
    Field::new("CurrentLeaderEpoch", INT32),
    Field::new("LeaderEpoch", INT32),
]);

static DESCRIBE_CONFIGS: Shape = Shape {
    key: ApiKey::DescribeConfigs,
    versions: Versions { min: 1, max: 4 },
    flexible_from: 4,
    fields: &[
        Field::new("Resources", Type::Array(&DESCRIBE_CONFIGS_RESOURCE)),
        Field::new("IncludeSynonyms", BOOL),
        Field::new("IncludeDocumentation", BOOL).from(3),
    ],
};
static DESCRIBE_CONFIGS_RESOURCE: Type = Type::Struct(&[
    Field::new("ResourceType", INT8),
    Field::new("ResourceName", Type::String),
    Field::new("ConfigurationKeys", Type::Array(&Type::String)).nullable_from(0),
]);

static ALTER_CONFIGS: Shape = Shape {
    key: ApiKey::AlterConfigs,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 2,
    fields: &[
        Field::new("Resources", Type::Array(&ALTER_CONFIGS_RESOURCE)),
        Field::new("ValidateOnly", BOOL),
    ],
};
static ALTER_CONFIGS_RESOURCE: Type = Type::Struct(&[
    Field::new("ResourceType", INT8),
    Field::new("ResourceName", Type::String),
    Field::new("Configs", Type::Array(&ALTER_CONFIGS_CONFIG)),
]);
static ALTER_CONFIGS_CONFIG: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Value", Type::String).nullable_from(0),
]);

static DESCRIBE_LOG_DIRS: Shape = Shape {
    key: ApiKey::DescribeLogDirs,
    versions: Versions { min: 1, max: 5 },
    flexible_from: 2,
    fields: &[Field::new("Topics", Type::Array(&DESCRIBE_LOG_DIRS_TOPIC)).nullable_from(0)],
};
static DESCRIBE_LOG_DIRS_TOPIC: Type = Type::Struct(&[
    Field::new("Topic", Type::String),
    Field::new("Partitions", Type::Array(&INT32)),
]);

static CREATE_PARTITIONS: Shape = Shape {
    key: ApiKey::CreatePartitions,
    versions: Versions { min: 0, max: 3 },
    flexible_from: 2,
    fields: &[
        Field::new("Topics", Type::Array(&CREATE_PARTITIONS_TOPIC)),
        Field::new("TimeoutMs", INT32),
        Field::new("ValidateOnly", BOOL),
    ],
};
static CREATE_PARTITIONS_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Count", INT32),
    Field::new("Assignments", Type::Array(&CREATE_PARTITIONS_ASSIGNMENT)).nullable_from(0),
]);
static CREATE_PARTITIONS_ASSIGNMENT: Type = Type::Struct(&[Field::new("BrokerIds", Type::Array(&INT32))]);

static ELECT_LEADERS: Shape = Shape {
    key: ApiKey::ElectLeaders,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 2,
    fields: &[
        Field::new("ElectionType", INT8).from(1),
        Field::new("TopicPartitions", Type::Array(&ELECT_LEADERS_TOPIC)).nullable_from(0),
        Field::new("TimeoutMs", INT32),
    ],
};
static ELECT_LEADERS_TOPIC: Type = Type::Struct(&[
    Field::new("Topic", Type::String),
    Field::new("Partitions", Type::Array(&INT32)),
]);

static INCREMENTAL_ALTER_CONFIGS: Shape = Shape {
    key: ApiKey::IncrementalAlterConfigs,
    versions: Versions { min: 0, max: 1 },
    flexible_from: 1,
    fields: &[
        Field::new("Resources", Type::Array(&INCREMENTAL_ALTER_CONFIGS_RESOURCE)),
        Field::new("ValidateOnly", BOOL),
    ],
};
static INCREMENTAL_ALTER_CONFIGS_RESOURCE: Type = Type::Struct(&[
    Field::new("ResourceType", INT8),
    Field::new("ResourceName", Type::String),
    Field::new("Configs", Type::Array(&INCREMENTAL_ALTER_CONFIGS_CONFIG)),
]);
static INCREMENTAL_ALTER_CONFIGS_CONFIG: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("ConfigOperation", INT8),
    Field::new("Value", Type::String).nullable_from(0),
]);

static LIST_CONFIG_RESOURCES: Shape = Shape {
    key: ApiKey::ListConfigResources,
    versions: Versions { min: 0, max: 1 },
    flexible_from: 0,
    fields: &[Field::new("ResourceTypes", Type::Array(&INT8)).from(1)],
};

static ALTER_PARTITION_REASSIGNMENTS: Shape = Shape {
    key: ApiKey::AlterPartitionReassignments,
    versions: Versions { min: 0, max: 1 },
    flexible_from: 0,
    fields: &[
        Field::new("TimeoutMs", INT32),
        Field::new("AllowReplicationFactorChange", BOOL).from(1),
        Field::new("Topics", Type::Array(&ALTER_PARTITION_REASSIGNMENTS_TOPIC)),
    ],
};
static ALTER_PARTITION_REASSIGNMENTS_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Partitions", Type::Array(&ALTER_PARTITION_REASSIGNMENTS_PARTITION)),
]);
static ALTER_PARTITION_REASSIGNMENTS_PARTITION: Type = Type::Struct(&[
    Field::new("PartitionIndex", INT32),
    Field::new("Replicas", Type::Array(&INT32)).nullable_from(0),
]);

static LIST_PARTITION_REASSIGNMENTS: Shape = Shape {
    key: ApiKey::ListPartitionReassignments,
    versions: Versions { min: 0, max: 0 },
    flexible_from: 0,
    fields: &[
        Field::new("TimeoutMs", INT32),
        Field::new("Topics", Type::Array(&LIST_PARTITION_REASSIGNMENTS_TOPIC)).nullable_from(0),
    ],
};
static LIST_PARTITION_REASSIGNMENTS_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("PartitionIndexes", Type::Array(&INT32)),
]);

static DESCRIBE_QUORUM: Shape = Shape {
    key: ApiKey::DescribeQuorum,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 0,
    fields: &[Field::new("Topics", Type::Array(&DESCRIBE_QUORUM_TOPIC))],
};
static DESCRIBE_QUORUM_TOPIC: Type = Type::Struct(&[
    Field::new("TopicName", Type::String),
    Field::new("Partitions", Type::Array(&DESCRIBE_QUORUM_PARTITION)),
]);
static DESCRIBE_QUORUM_PARTITION: Type = Type::Struct(&[Field::new("PartitionIndex", INT32)]);

static UPDATE_FEATURES: Shape = Shape {
    key: ApiKey::UpdateFeatures,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 0,
    fields: &[
        Field::new("timeoutMs", INT32),
        Field::new("FeatureUpdates", Type::Array(&UPDATE_FEATURES_UPDATE)),
        Field::new("ValidateOnly", BOOL).from(1),
    ],
};
static UPDATE_FEATURES_UPDATE: Type = Type::Struct(&[
    Field::new("Feature", Type::String),
    Field::new("MaxVersionLevel", INT16),
    Field::new("AllowDowngrade", BOOL).until(0),
    Field::new("UpgradeType", INT8).from(1),
]);

static DESCRIBE_CLUSTER: Shape = Shape {
    key: ApiKey::DescribeCluster,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 0,
    fields: &[
        Field::new("IncludeClusterAuthorizedOperations", BOOL),
        Field::new("EndpointType", INT8).from(1),
        Field::new("IncludeFencedBrokers", BOOL).from(2),
    ],
};

static DESCRIBE_TOPIC_PARTITIONS: Shape = Shape {
    key: ApiKey::DescribeTopicPartitions,
    versions: Versions { min: 0, max: 0 },
    flexible_from: 0,
    fields: &[
        Field::new("Topics", Type::Array(&DESCRIBE_TOPIC_PARTITIONS_TOPIC)),
        Field::new("ResponsePartitionLimit", INT32),
        Field::new("Cursor", DESCRIBE_TOPIC_PARTITIONS_CURSOR).nullable_from(0),
    ],
};
static DESCRIBE_TOPIC_PARTITIONS_TOPIC: Type = Type::Struct(&[Field::new("Name", Type::String)]);
const DESCRIBE_TOPIC_PARTITIONS_CURSOR: Type =
    Type::Struct(&[Field::new("TopicName", Type::String), Field::new("PartitionIndex", INT32)]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table::APIS;
    use crate::limits;

    /// Each API's shape is stated for exactly the versions that are served, flexible from the same one.
    #[test]
    fn shapes_and_the_api_table_agree() {
        for api in APIS {
            let shape = of(api.key);
            assert_eq!(
                (shape.key, shape.versions, shape.flexible_from),
                (api.key, api.served, api.flexible_from)
            );
        }
    }

    /// A shape holds no more levels than the walker may recurse, and every array element takes at least a byte in each version
    /// that has it: otherwise a claim of many elements could not be refused by the bytes that are left.
    #[test]
    fn shapes_are_shallow_and_elements_take_bytes() {
        fn walk(ty: &Type, version: i16, flexible: bool) -> (usize, usize) {
            match ty {
                Type::Fixed(bytes) => (1, *bytes),
                Type::String | Type::Bytes => (1, 1),
                Type::Array(element) => {
                    let (depth, bytes) = walk(element, version, flexible);
                    assert!(bytes > 0, "{element:?} in version {version}");
                    (depth + 1, 1)
                }
                Type::Struct(fields) => {
                    let present = fields.iter().filter(|field| field.versions.contains(version));
                    let (mut depth, mut bytes) = (0, usize::from(flexible));
                    for field in present {
                        assert!(flexible || field.tag.is_none(), "{} in version {version}", field.name);
                        let (below, size) = walk(&field.ty, version, flexible);
                        depth = depth.max(below);
                        bytes += if field.tag.is_none() { size } else { 0 };
                    }
                    (depth + 1, bytes)
                }
            }
        }
        for api in APIS {
            let shape = of(api.key);
            for version in shape.versions.iter() {
                let (depth, _) = walk(&Type::Struct(shape.fields), version, version >= shape.flexible_from);
                assert!(depth <= limits::SHAPE_NESTING, "{} {version}: {depth}", api.name);
            }
        }
    }
}
