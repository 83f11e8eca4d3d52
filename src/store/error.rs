//! Postgres errors as errors of the storage engine.

use broker::storage::engine::{EngineError, EngineResult};

use crate::ffi::error::PgError;

/// SQLSTATE of NOWAIT and of lock_timeout.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// A caught Postgres error as an engine error.
pub fn engine_error(error: PgError) -> EngineError {
    match error.sqlstate.as_str() {
        LOCK_NOT_AVAILABLE => EngineError::Busy(error.message),
        _ => EngineError::Database {
            sqlstate: error.sqlstate,
            message: error.message,
        },
    }
}

/// A refusal of the engine itself, with the SQLSTATE that Postgres would use.
pub fn refused(sqlstate: &str, message: impl Into<String>) -> EngineError {
    EngineError::Database {
        sqlstate: sqlstate.to_owned(),
        message: message.into(),
    }
}

/// `undefined_object`.
pub fn missing(what: impl std::fmt::Display) -> EngineError {
    refused("42704", format!("{what} does not exist"))
}

/// The rows of a table, each read; `Damaged` if one could not be.
pub fn all<T>(rows: Vec<Option<T>>, table: &str) -> EngineResult<Vec<T>> {
    rows.into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| EngineError::Damaged(format!("a row of {table} that the broker did not write")))
}
