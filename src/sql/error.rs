//! Errors of SQL functions.

use broker::catalog::config_keys::config_key;
use broker::catalog::config_values::ConfigError;
use broker::catalog::create::CreateError;
use broker::catalog::deletion::DeletionError;
use broker::catalog::partitions::AddError;
use broker::storage::engine::EngineError;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Ends the statement with an ERROR that says what to do about it.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) -> ! {
    ErrorReport::new(code, message.into(), "pg_kafka")
        .set_hint(hint)
        .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// An error of the storage as an ERROR with its SQLSTATE.
pub fn raise_engine(error: EngineError) -> ! {
    match error {
        EngineError::Busy(_) => raise(
            PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            error.to_string(),
            "Try again when the other transaction has ended; pg_locks shows who holds what.",
        ),
        EngineError::Damaged(_) => raise(
            PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            error.to_string(),
            "The tables of schema kafka_log were damaged or changed by hand. Restore the topic from a backup, or drop it.",
        ),
        EngineError::Database { sqlstate, message } => {
            let hint = match &sqlstate[..] {
                "42704" | "42P01" => "It may have been dropped meanwhile; kafka.topics lists the topics.",
                "40001" => "Retention or a drop of the topic has taken them away since; ask again in a new transaction.",
                "53100" => "Free disk space on the file system of the database.",
                "53200" => "Raise max_locks_per_transaction, or do less in one transaction.",
                _ => "PostgreSQL refused what the statement needed in schema kafka or kafka_log.",
            };
            raise(sqlstate_code(&sqlstate).into(), message, hint)
        }
    }
}

/// A refused topic as an ERROR. Kafka's sentence is the message.
pub fn raise_create(error: &CreateError) -> ! {
    let code = match error {
        CreateError::Exists(_) | CreateError::Collision { .. } => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
        CreateError::Name(_) => PgSqlErrorCode::ERRCODE_INVALID_NAME,
        CreateError::Prohibited => PgSqlErrorCode::ERRCODE_RESERVED_NAME,
        CreateError::TooManyPartitions => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        CreateError::NullConfigs(_)
        | CreateError::Config(_)
        | CreateError::AssignmentsAndNumber(_)
        | CreateError::Assignment(_)
        | CreateError::ReplicationFactor
        | CreateError::TooManyReplicas(_)
        | CreateError::Partitions => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
    };
    let hint = match error {
        CreateError::Name(_) => "A name has 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', and is not '.' or '..'.",
        CreateError::Exists(_) => "Drop the topic first, or choose another name.",
        CreateError::Collision { .. } => "Kafka holds '.' and '_' to be the same in names of topics.",
        CreateError::Prohibited => "Choose another name.",
        CreateError::TooManyPartitions => "Make fewer partitions.",
        CreateError::Partitions => "Leave the number out, or give null, for pg_kafka.default_partitions.",
        CreateError::NullConfigs(_) => "Leave the config out for its default.",
        CreateError::Config(error) => config_hint(error),
        CreateError::AssignmentsAndNumber(_)
        | CreateError::Assignment(_)
        | CreateError::ReplicationFactor
        | CreateError::TooManyReplicas(_) => "There is one node, so that a partition has one replica.",
    };
    raise(code, error.to_string(), hint)
}

/// Refused configs as an ERROR. Kafka's sentence is the message.
pub fn raise_config(error: &ConfigError) -> ! {
    let code = match error {
        ConfigError::TooLong => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        _ => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
    };
    raise(code, error.to_string(), config_hint(error))
}

fn config_hint(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::UnknownKey(_) => "The keys are those of Kafka's topic configs, for example retention.ms.",
        ConfigError::InvalidValue { key, .. } | ConfigError::EmptyElement(key) => {
            config_key(key).map_or("The keys are those of Kafka's topic configs.", |key| key.documentation)
        }
        ConfigError::CompactionLag { .. } => "Change both in one call.",
        ConfigError::NotAList { .. } => "Set the whole value; only values of lists have parts that can be added or taken away.",
        ConfigError::TooLong => "Give a shorter value.",
        ConfigError::TieredStorage => "Leave remote.storage.enable at its default, false.",
    }
}

/// Refused partitions as an ERROR. Kafka's sentence is the message.
pub fn raise_add(error: &AddError) -> ! {
    let (code, hint) = match error {
        AddError::Equal(_) | AddError::Fewer { .. } => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Give how many partitions to add, at least 1. Partitions cannot be taken away.",
        ),
        AddError::Assignments { .. } | AddError::Assignment(_) => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "There is one broker, which has all partitions.",
        ),
        AddError::TooMany => (
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "Add them in several steps, if so many are meant.",
        ),
    };
    raise(code, error.to_string(), hint)
}

/// A refused deletion of records as an ERROR.
pub fn raise_deletion(error: &DeletionError) -> ! {
    let (code, hint) = match error {
        DeletionError::Internal(_) => (
            PgSqlErrorCode::ERRCODE_RESERVED_NAME,
            "Kafka keeps its own state in it, which it cleans up itself.",
        ),
        DeletionError::CompactOnly(_) => (
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "Records can be deleted where cleanup.policy has \"delete\".",
        ),
        DeletionError::OutOfRange { .. } => (
            PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
            "The view kafka.partitions shows the offsets of each partition; -1 deletes all records.",
        ),
    };
    raise(code, error.to_string(), hint)
}

/// An argument that must be given as an ERROR.
pub fn raise_null(what: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
        format!("{what} must not be null"),
        "Only arguments that have a default may be null.",
    )
}

/// Five characters as Postgres packs them: six bits each, the first in the lowest (MAKE_SQLSTATE).
fn sqlstate_code(sqlstate: &str) -> i32 {
    let place = |(index, byte): (usize, u8)| i32::from(byte.wrapping_sub(b'0') & 0x3f) << (6 * index);
    sqlstate.bytes().take(5).enumerate().map(place).sum()
}
