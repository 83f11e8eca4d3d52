//! The entries of the APIs of consumer groups.

use super::{Api, ApiKey, Versions};
use crate::limits;
use crate::net::Execution;

pub(super) static OFFSET_COMMIT: Api = Api {
    key: ApiKey::OffsetCommit,
    name: "OffsetCommit",
    served: Versions { min: 2, max: 10 },
    advertised_min: 2,
    kafka: Versions { min: 2, max: 10 },
    flexible_from: 8,
    codec_max: 10,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["The retention time of versions 2 to 4 is kept with the offset, as in Kafka."],
};

pub(super) static OFFSET_FETCH: Api = Api {
    key: ApiKey::OffsetFetch,
    name: "OffsetFetch",
    served: Versions { min: 1, max: 10 },
    advertised_min: 1,
    kafka: Versions { min: 1, max: 10 },
    flexible_from: 6,
    codec_max: 10,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &["Offsets are stable always, so require_stable changes nothing: there are no transactions."],
};

pub(super) static JOIN_GROUP: Api = Api {
    key: ApiKey::JoinGroup,
    name: "JoinGroup",
    served: Versions { min: 0, max: 9 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 9 },
    flexible_from: 6,
    codec_max: 9,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["The reason is logged only."],
};

pub(super) static HEARTBEAT: Api = Api {
    key: ApiKey::Heartbeat,
    name: "Heartbeat",
    served: Versions { min: 0, max: 4 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 4 },
    flexible_from: 4,
    codec_max: 4,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[],
};

pub(super) static LEAVE_GROUP: Api = Api {
    key: ApiKey::LeaveGroup,
    name: "LeaveGroup",
    served: Versions { min: 0, max: 5 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 5 },
    flexible_from: 4,
    codec_max: 5,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["The reasons are not used."],
};

pub(super) static SYNC_GROUP: Api = Api {
    key: ApiKey::SyncGroup,
    name: "SyncGroup",
    served: Versions { min: 0, max: 5 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 5 },
    flexible_from: 4,
    codec_max: 5,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[],
};

pub(super) static DESCRIBE_GROUPS: Api = Api {
    key: ApiKey::DescribeGroups,
    name: "DescribeGroups",
    served: Versions { min: 0, max: 6 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 6 },
    flexible_from: 5,
    codec_max: 6,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &["Authorized operations are all of them, as in Kafka without an authorizer."],
};

pub(super) static LIST_GROUPS: Api = Api {
    key: ApiKey::ListGroups,
    name: "ListGroups",
    served: Versions { min: 0, max: 5 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 5 },
    flexible_from: 3,
    codec_max: 5,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[],
};

pub(super) static DELETE_GROUPS: Api = Api {
    key: ApiKey::DeleteGroups,
    name: "DeleteGroups",
    served: Versions { min: 0, max: 2 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 2 },
    flexible_from: 2,
    codec_max: 2,
    execution: Execution::InTurn,
    max_elements: limits::NAME_ELEMENTS_PER_REQUEST,
    notes: &[],
};

pub(super) static OFFSET_DELETE: Api = Api {
    key: ApiKey::OffsetDelete,
    name: "OffsetDelete",
    served: Versions { min: 0, max: 0 },
    advertised_min: 0,
    kafka: Versions { min: 0, max: 0 },
    flexible_from: 1,
    codec_max: 0,
    execution: Execution::InTurn,
    max_elements: limits::PARTITION_ELEMENTS_PER_REQUEST,
    notes: &[],
};
