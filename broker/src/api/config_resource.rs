//! What has configs, by Kafka's numbers (`ConfigResource.Type`): shared by the APIs that list, describe and alter them.

use kafka_protocol::ResponseError;

/// A topic, by name.
pub const TOPIC: i8 = 2;
/// A broker, by its id, or all of them by the empty name.
pub const BROKER: i8 = 4;
/// The loggers of a broker, by its id. There are none: logging is Postgres's.
pub const BROKER_LOGGER: i8 = 8;
/// A subscription of client metrics. Not served.
pub const CLIENT_METRICS: i8 = 16;
/// A group. Not served.
pub const GROUP: i8 = 32;
/// All of them.
pub const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

/// An error code with its message.
pub type Refusal = (ResponseError, String);

/// INVALID_REQUEST (42).
pub fn invalid(message: impl Into<String>) -> Refusal {
    (ResponseError::InvalidRequest, message.into())
}

/// The refusal of resources whose configs are not served.
pub fn unsupported(kind: i8) -> Refusal {
    let name = if kind == GROUP { "GROUP" } else { "CLIENT_METRICS" };
    invalid(format!("Unsupported resource type: {name}"))
}
