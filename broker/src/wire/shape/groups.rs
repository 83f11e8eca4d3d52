//! The shapes of the requests about consumer groups.

use super::{Field, Shape, Type, BOOL, INT32, INT64, UUID};
use crate::api::table::{ApiKey, Versions};

pub(super) static OFFSET_COMMIT: Shape = Shape {
    key: ApiKey::OffsetCommit,
    versions: Versions { min: 2, max: 10 },
    flexible_from: 8,
    fields: &[
        Field::new("GroupId", Type::String),
        Field::new("GenerationIdOrMemberEpoch", INT32),
        Field::new("MemberId", Type::String),
        Field::new("GroupInstanceId", Type::String).from(7).nullable_from(7),
        Field::new("RetentionTimeMs", INT64).until(4),
        Field::new("Topics", Type::Array(&OFFSET_COMMIT_TOPIC)),
    ],
};
static OFFSET_COMMIT_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String).until(9),
    Field::new("TopicId", UUID).from(10),
    Field::new("Partitions", Type::Array(&OFFSET_COMMIT_PARTITION)),
]);
static OFFSET_COMMIT_PARTITION: Type = Type::Struct(&[
    Field::new("PartitionIndex", INT32),
    Field::new("CommittedOffset", INT64),
    Field::new("CommittedLeaderEpoch", INT32).from(6),
    Field::new("CommittedMetadata", Type::String).nullable_from(0),
]);

pub(super) static OFFSET_FETCH: Shape = Shape {
    key: ApiKey::OffsetFetch,
    versions: Versions { min: 1, max: 10 },
    flexible_from: 6,
    fields: &[
        Field::new("GroupId", Type::String).until(7),
        Field::new("Topics", Type::Array(&OFFSET_FETCH_TOPIC))
            .until(7)
            .nullable_from(2),
        Field::new("Groups", Type::Array(&OFFSET_FETCH_GROUP)).from(8),
        Field::new("RequireStable", BOOL).from(7),
    ],
};
static OFFSET_FETCH_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("PartitionIndexes", Type::Array(&INT32)),
]);
static OFFSET_FETCH_GROUP: Type = Type::Struct(&[
    Field::new("GroupId", Type::String),
    Field::new("MemberId", Type::String).from(9).nullable_from(9),
    Field::new("MemberEpoch", INT32).from(9),
    Field::new("Topics", Type::Array(&OFFSET_FETCH_GROUP_TOPIC)).nullable_from(8),
]);
static OFFSET_FETCH_GROUP_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String).until(9),
    Field::new("TopicId", UUID).from(10),
    Field::new("PartitionIndexes", Type::Array(&INT32)),
]);

pub(super) static JOIN_GROUP: Shape = Shape {
    key: ApiKey::JoinGroup,
    versions: Versions { min: 0, max: 9 },
    flexible_from: 6,
    fields: &[
        Field::new("GroupId", Type::String),
        Field::new("SessionTimeoutMs", INT32),
        Field::new("RebalanceTimeoutMs", INT32).from(1),
        Field::new("MemberId", Type::String),
        Field::new("GroupInstanceId", Type::String).from(5).nullable_from(5),
        Field::new("ProtocolType", Type::String),
        Field::new("Protocols", Type::Array(&JOIN_GROUP_PROTOCOL)),
        Field::new("Reason", Type::String).from(8).nullable_from(8),
    ],
};
static JOIN_GROUP_PROTOCOL: Type = Type::Struct(&[Field::new("Name", Type::String), Field::new("Metadata", Type::Bytes)]);

pub(super) static HEARTBEAT: Shape = Shape {
    key: ApiKey::Heartbeat,
    versions: Versions { min: 0, max: 4 },
    flexible_from: 4,
    fields: &[
        Field::new("GroupId", Type::String),
        Field::new("GenerationId", INT32),
        Field::new("MemberId", Type::String),
        Field::new("GroupInstanceId", Type::String).from(3).nullable_from(3),
    ],
};

pub(super) static LEAVE_GROUP: Shape = Shape {
    key: ApiKey::LeaveGroup,
    versions: Versions { min: 0, max: 5 },
    flexible_from: 4,
    fields: &[
        Field::new("GroupId", Type::String),
        Field::new("MemberId", Type::String).until(2),
        Field::new("Members", Type::Array(&LEAVE_GROUP_MEMBER)).from(3),
    ],
};
static LEAVE_GROUP_MEMBER: Type = Type::Struct(&[
    Field::new("MemberId", Type::String),
    Field::new("GroupInstanceId", Type::String).nullable_from(3),
    Field::new("Reason", Type::String).from(5).nullable_from(5),
]);

pub(super) static SYNC_GROUP: Shape = Shape {
    key: ApiKey::SyncGroup,
    versions: Versions { min: 0, max: 5 },
    flexible_from: 4,
    fields: &[
        Field::new("GroupId", Type::String),
        Field::new("GenerationId", INT32),
        Field::new("MemberId", Type::String),
        Field::new("GroupInstanceId", Type::String).from(3).nullable_from(3),
        Field::new("ProtocolType", Type::String).from(5).nullable_from(5),
        Field::new("ProtocolName", Type::String).from(5).nullable_from(5),
        Field::new("Assignments", Type::Array(&SYNC_GROUP_ASSIGNMENT)),
    ],
};
static SYNC_GROUP_ASSIGNMENT: Type = Type::Struct(&[Field::new("MemberId", Type::String), Field::new("Assignment", Type::Bytes)]);

pub(super) static DESCRIBE_GROUPS: Shape = Shape {
    key: ApiKey::DescribeGroups,
    versions: Versions { min: 0, max: 6 },
    flexible_from: 5,
    fields: &[
        Field::new("Groups", Type::Array(&Type::String)),
        Field::new("IncludeAuthorizedOperations", BOOL).from(3),
    ],
};

pub(super) static LIST_GROUPS: Shape = Shape {
    key: ApiKey::ListGroups,
    versions: Versions { min: 0, max: 5 },
    flexible_from: 3,
    fields: &[
        Field::new("StatesFilter", Type::Array(&Type::String)).from(4),
        Field::new("TypesFilter", Type::Array(&Type::String)).from(5),
    ],
};

pub(super) static DELETE_GROUPS: Shape = Shape {
    key: ApiKey::DeleteGroups,
    versions: Versions { min: 0, max: 2 },
    flexible_from: 2,
    fields: &[Field::new("GroupsNames", Type::Array(&Type::String))],
};

pub(super) static OFFSET_DELETE: Shape = Shape {
    key: ApiKey::OffsetDelete,
    versions: Versions { min: 0, max: 0 },
    flexible_from: 1,
    fields: &[
        Field::new("GroupId", Type::String),
        Field::new("Topics", Type::Array(&OFFSET_DELETE_TOPIC)),
    ],
};
static OFFSET_DELETE_TOPIC: Type = Type::Struct(&[
    Field::new("Name", Type::String),
    Field::new("Partitions", Type::Array(&OFFSET_DELETE_PARTITION)),
]);
static OFFSET_DELETE_PARTITION: Type = Type::Struct(&[Field::new("PartitionIndex", INT32)]);
