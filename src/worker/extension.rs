//! Whether the extension is there in the worker's database, in the version of this library.

use crate::ffi::error::PgError;
use crate::ffi::look;

const NAME: &str = "pg_kafka";
const LIBRARY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a look found.
pub enum Presence {
    /// The extension is there and fits the library. Its identity is another one after DROP and CREATE EXTENSION.
    Fits(String),
    /// The broker may not serve, for this reason.
    Obstacle(String),
}

/// Looks for the extension in this worker's database.
///
/// # Errors
/// The look failed; nothing is known.
pub fn look(database: &str) -> Result<Presence, PgError> {
    Ok(match look::extension(NAME)? {
        Some(found) if found.version == LIBRARY_VERSION => Presence::Fits(found.oid),
        Some(found) => Presence::Obstacle(format!(
            "the extension in database \"{database}\" has version {} and the loaded library {LIBRARY_VERSION}; \
             run ALTER EXTENSION {NAME} UPDATE, or restart Postgres with the library that fits",
            found.version
        )),
        None => Presence::Obstacle(format!("waiting for CREATE EXTENSION {NAME} in database \"{database}\"")),
    })
}
