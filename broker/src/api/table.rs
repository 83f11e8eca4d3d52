//! The API table: the one place that states which APIs are served, in which versions, and what that needs. ApiVersions, the
//! version check, the header's version, the validator's bounds and `docs/protocol.md` are derived from it.

mod groups;

use crate::limits;
use crate::net::Execution;

/// The APIs served, with Kafka's numbers (`ApiKeys` of Kafka, `apiKey` of each message's JSON).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
#[allow(missing_docs)]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    DescribeLogDirs = 35,
    CreatePartitions = 37,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeQuorum = 55,
    UpdateFeatures = 57,
    DescribeCluster = 60,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
}

impl ApiKey {
    /// The number that stands in a request header.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The entry of this API.
    pub fn api(self) -> &'static Api {
        match self {
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
}

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

impl Versions {
    /// Whether `version` is in the range.
    pub fn contains(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// All versions of the range, ascending.
    pub fn iter(&self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

/// What is true of one API before any request of it was read.
#[derive(Debug)]
pub struct Api {
    /// Its key.
    pub key: ApiKey,
    /// Its name as Kafka spells it.
    pub name: &'static str,
    /// The versions that are decoded and answered.
    pub served: Versions,
    /// The lowest version that ApiVersions states. Below `served.min` for Produce alone: librdkafka before 2.11 turns gzip, snappy
    /// and lz4 off if it is not 0 (KAFKA-18659).
    pub advertised_min: i16,
    /// The range that a broker of Apache Kafka 4.3.1 advertises, for comparison in the docs.
    pub kafka: Versions,
    /// The first version with compact lengths and tagged fields (KIP-482); one past `served.max` or more if there is none.
    pub flexible_from: i16,
    /// The highest version that the message structs of the codec know; later ones have the same fields.
    pub codec_max: i16,
    /// When a request may start.
    pub execution: Execution,
    /// Array elements, all arrays together, that one request may have; more make it malformed.
    pub max_elements: usize,
    /// What of the request has no effect, and why; sentences for `docs/protocol.md`.
    pub notes: &'static [&'static str],
}

impl Api {
    /// The version of the request header, 1 or 2 (KIP-482), and of the response header, 0 or 1, in this order. The answer of
    /// ApiVersions always has response header 0, because its client does not know yet what the broker speaks (KIP-511).
    pub fn header_versions(&self, version: i16) -> (i16, i16) {
        match (version >= self.flexible_from, self.key) {
            (false, _) => (1, 0),
            (true, ApiKey::ApiVersions) => (2, 0),
            (true, _) => (2, 1),
        }
    }

    /// The version to decode and encode `version` as: `version`, or the last one with the same fields that the codec knows.
    pub fn codec_version(&self, version: i16) -> i16 {
        version.min(self.codec_max)
    }
}

/// The API of a request header's key, or `None` if it is not served.
pub fn by_code(code: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key.code() == code).copied()
}

/// Every API served, ascending by key: the order in which ApiVersions lists them.
pub static APIS: [&Api; 36] = [
    &PRODUCE,
    &FETCH,
    &LIST_OFFSETS,
    &METADATA,
    &groups::OFFSET_COMMIT,
    &groups::OFFSET_FETCH,
    &FIND_COORDINATOR,
    &groups::JOIN_GROUP,
    &groups::HEARTBEAT,
    &groups::LEAVE_GROUP,
    &groups::SYNC_GROUP,
    &groups::DESCRIBE_GROUPS,
    &groups::LIST_GROUPS,
    &API_VERSIONS,
    &CREATE_TOPICS,
    &DELETE_TOPICS,
    &DELETE_RECORDS,
    &INIT_PRODUCER_ID,
    &OFFSET_FOR_LEADER_EPOCH,
    &DESCRIBE_CONFIGS,
    &ALTER_CONFIGS,
    &DESCRIBE_LOG_DIRS,
    &CREATE_PARTITIONS,
    &groups::DELETE_GROUPS,
    &ELECT_LEADERS,
    &INCREMENTAL_ALTER_CONFIGS,
    &ALTER_PARTITION_REASSIGNMENTS,
    &LIST_PARTITION_REASSIGNMENTS,
    &groups::OFFSET_DELETE,
    &DESCRIBE_QUORUM,
    &UPDATE_FEATURES,
    &DESCRIBE_CLUSTER,
    &groups::CONSUMER_GROUP_HEARTBEAT,
    &groups::CONSUMER_GROUP_DESCRIBE,
    &LIST_CONFIG_RESOURCES,
    &DESCRIBE_TOPIC_PARTITIONS,
];

static PRODUCE: Api = Api {
    key: ApiKey::Produce,
    name: "Produce",
    served: Versions { min: 3, max: 13 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 13 },
    flexible_from: 9,
    codec_max: 13,
    execution: Execution::Eager,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["Versions 0 to 2 are advertised and not served, as in Kafka: old librdkafka needs to see them (KAFKA-18659)."],
};

static FETCH: Api = Api {
    key: ApiKey::Fetch,
    name: "Fetch",
    served: Versions { min: 4, max: 18 },
    advertised_min: 4,
    kafka: Versions { min: 4, max: 18 },
    flexible_from: 12,
    codec_max: 18,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["The rack, the last fetched epoch and the fields of followers are not used: there is one replica."],
};

static LIST_OFFSETS: Api = Api {
    key: ApiKey::ListOffsets,
    name: "ListOffsets",
    served: Versions { min: 1, max: 11 },
    advertised_min: 1,
    kafka: Versions { min: 1, max: 11 },
    flexible_from: 6,
    codec_max: 10,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["There is no tiered storage: what is tiered or waits for it has offset -1. The timeout bounds look-ups by time."],
};

static METADATA: Api = Api {
    key: ApiKey::Metadata,
    name: "Metadata",
    served: Versions { min: 0, max: 13 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 13 },
    flexible_from: 9,
    codec_max: 13,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[
        "Authorized operations are all of them, as in Kafka without an authorizer.",
        "A topic that is made automatically is described in the same answer; Kafka answers UNKNOWN_TOPIC_OR_PARTITION first.",
    ],
};

static FIND_COORDINATOR: Api = Api {
    key: ApiKey::FindCoordinator,
    name: "FindCoordinator",
    served: Versions { min: 0, max: 6 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 6 },
    flexible_from: 3,
    codec_max: 6,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["Keys of transactions and of share groups get INVALID_REQUEST: neither is served."],
};

static API_VERSIONS: Api = Api {
    key: ApiKey::ApiVersions,
    name: "ApiVersions",
    served: Versions { min: 0, max: 4 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 4 },
    flexible_from: 3,
    codec_max: 4,
    execution: Execution::InTurn,
    max_elements: 0,
    notes: &[
        "The one feature is group.version, finalized at 1.",
        "The client's software name and version are checked and not kept.",
    ],
};

static CREATE_TOPICS: Api = Api {
    key: ApiKey::CreateTopics,
    name: "CreateTopics",
    served: Versions { min: 2, max: 7 },
    advertised_min: 2,
    kafka: Versions { min: 2, max: 7 },
    flexible_from: 5,
    codec_max: 7,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["There is one node: a replication factor other than 1 and -1 is INVALID_REPLICATION_FACTOR. There are no quotas."],
};

static DELETE_TOPICS: Api = Api {
    key: ApiKey::DeleteTopics,
    name: "DeleteTopics",
    served: Versions { min: 1, max: 6 },
    advertised_min: 1,
    kafka: Versions { min: 1, max: 6 },
    flexible_from: 4,
    codec_max: 6,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[],
};

static DELETE_RECORDS: Api = Api {
    key: ApiKey::DeleteRecords,
    name: "DeleteRecords",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 2,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &[],
};

static INIT_PRODUCER_ID: Api = Api {
    key: ApiKey::InitProducerId,
    name: "InitProducerId",
    served: Versions { min: 0, max: 5 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 5 },
    flexible_from: 2,
    codec_max: 5,
    execution: Execution::InTurn,
    max_elements: 0,
    notes: &["Idempotent producers only: a transactional id gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED, and its timeout has no meaning."],
};

static OFFSET_FOR_LEADER_EPOCH: Api = Api {
    key: ApiKey::OffsetForLeaderEpoch,
    name: "OffsetForLeaderEpoch",
    served: Versions { min: 2, max: 4 },
    advertised_min: 2,
    kafka: Versions { min: 2, max: 4 },
    flexible_from: 4,
    codec_max: 4,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["The replica id is not used: there are no followers."],
};

static DESCRIBE_CONFIGS: Api = Api {
    key: ApiKey::DescribeConfigs,
    name: "DescribeConfigs",
    served: Versions { min: 1, max: 4 },
    advertised_min: 1,
    kafka: Versions { min: 1, max: 4 },
    flexible_from: 4,
    codec_max: 4,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["Client metrics and groups get INVALID_REQUEST, brokers' loggers an empty list: none of them exists."],
};

static ALTER_CONFIGS: Api = Api {
    key: ApiKey::AlterConfigs,
    name: "AlterConfigs",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 2,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["Configs of topics are changed; settings of the broker only in PostgreSQL; client metrics and groups get INVALID_REQUEST."],
};

static DESCRIBE_LOG_DIRS: Api = Api {
    key: ApiKey::DescribeLogDirs,
    name: "DescribeLogDirs",
    served: Versions { min: 1, max: 5 },
    advertised_min: 1,
    kafka: Versions { min: 1, max: 5 },
    flexible_from: 2,
    codec_max: 4,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["There is one directory, the database's; the sizes of partitions are shares of their topic's segments."],
};

static CREATE_PARTITIONS: Api = Api {
    key: ApiKey::CreatePartitions,
    name: "CreatePartitions",
    served: Versions { min: 0, max: 3 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 3 },
    flexible_from: 2,
    codec_max: 3,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["There is one node: assignments can name no other. There are no quotas."],
};

static ELECT_LEADERS: Api = Api {
    key: ApiKey::ElectLeaders,
    name: "ElectLeaders",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 2,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["There is one replica of everything, which leads it: no election is ever needed, and the timeout has no meaning."],
};

static INCREMENTAL_ALTER_CONFIGS: Api = Api {
    key: ApiKey::IncrementalAlterConfigs,
    name: "IncrementalAlterConfigs",
    served: Versions { min: 0, max: 1 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 1 },
    flexible_from: 1,
    codec_max: 1,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["Configs of topics are changed; settings of the broker only in PostgreSQL; client metrics and groups get INVALID_REQUEST."],
};

static LIST_CONFIG_RESOURCES: Api = Api {
    key: ApiKey::ListConfigResources,
    name: "ListConfigResources",
    served: Versions { min: 0, max: 1 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 1 },
    flexible_from: 0,
    codec_max: 1,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["There are no client metrics and no groups with configs."],
};

static ALTER_PARTITION_REASSIGNMENTS: Api = Api {
    key: ApiKey::AlterPartitionReassignments,
    name: "AlterPartitionReassignments",
    served: Versions { min: 0, max: 1 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 1 },
    flexible_from: 0,
    codec_max: 1,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["There is one node: a partition can only be placed where it is, and the timeout has no meaning."],
};

static LIST_PARTITION_REASSIGNMENTS: Api = Api {
    key: ApiKey::ListPartitionReassignments,
    name: "ListPartitionReassignments",
    served: Versions { min: 0, max: 0 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 0 },
    flexible_from: 0,
    codec_max: 0,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["There is one node, so that nothing is ever moved: the list is empty, and the timeout has no meaning."],
};

static DESCRIBE_QUORUM: Api = Api {
    key: ApiKey::DescribeQuorum,
    name: "DescribeQuorum",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 0,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["Metadata are in the database: the quorum is this node, its offsets are positions in PostgreSQL's write-ahead log."],
};

static UPDATE_FEATURES: Api = Api {
    key: ApiKey::UpdateFeatures,
    name: "UpdateFeatures",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 0,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[
        "No feature is supported: every update is INVALID_UPDATE_VERSION, and a dry run or the timeout changes nothing about that.",
    ],
};

static DESCRIBE_CLUSTER: Api = Api {
    key: ApiKey::DescribeCluster,
    name: "DescribeCluster",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 0,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: 0,
    notes: &[
        "Fenced brokers do not exist, so that including them changes nothing.",
        "Authorized operations are all of them, as in Kafka without an authorizer.",
    ],
};

static DESCRIBE_TOPIC_PARTITIONS: Api = Api {
    key: ApiKey::DescribeTopicPartitions,
    name: "DescribeTopicPartitions",
    served: Versions { min: 0, max: 0 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 0 },
    flexible_from: 0,
    codec_max: 0,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["Authorized operations are all of them, as in Kafka without an authorizer."],
};

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::ApiKey as CodecKey;

    /// The list is ascending, complete with respect to `ApiKey`, and each entry is found by its code.
    #[test]
    fn every_api_is_listed_once_and_found() {
        assert!(APIS.windows(2).all(|pair| pair[0].key.code() < pair[1].key.code()));
        for api in APIS {
            assert_eq!(by_code(api.key.code()).map(|found| found.key), Some(api.key));
            assert_eq!(api.key.api().name, api.name);
        }
        assert!(by_code(-1).is_none());
        assert!(by_code(i16::MAX).is_none());
    }

    /// Ranges are inside Kafka's, and the advertised minimum differs from the served one only for Produce.
    #[test]
    fn ranges_are_coherent() {
        for api in APIS {
            assert!(
                api.served.min <= api.codec_max && api.codec_max <= api.served.max,
                "{}",
                api.name
            );
            assert!(
                api.kafka.min <= api.served.min && api.served.max <= api.kafka.max,
                "{}",
                api.name
            );
            assert_eq!(
                api.advertised_min != api.served.min,
                api.key == ApiKey::Produce,
                "{}",
                api.name
            );
        }
    }

    /// The codec agrees on names, known versions and header versions of every version served.
    #[test]
    fn the_codec_agrees() {
        for api in APIS {
            let codec = CodecKey::try_from(api.key.code()).unwrap();
            assert_eq!(format!("{codec:?}"), api.name);
            // The codec also knows the next version of InitProducerId, which Kafka itself calls unstable.
            assert_eq!(codec.valid_versions().max.min(api.kafka.max), api.codec_max, "{}", api.name);
            for version in api.served.iter() {
                let expected = (codec.request_header_version(version), codec.response_header_version(version));
                assert_eq!(api.header_versions(version), expected, "{} {version}", api.name);
                assert!(codec.valid_versions().min <= api.codec_version(version));
            }
        }
    }
}
