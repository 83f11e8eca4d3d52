//! Looks at catalogs in short transactions of their own, for a worker that serves nothing yet.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use super::error::{catch, PgError};

/// An extension as it is in this worker's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its OID, another one after each CREATE EXTENSION.
    pub oid: String,
    /// Its version.
    pub version: String,
}

/// An extension in this worker's database; `None` if it does not exist.
///
/// # Errors
/// The look failed; nothing is known.
pub fn extension(name: &str) -> Result<Option<Extension>, PgError> {
    let quoted = name.replace('\'', "''");
    let query = format!("SELECT oid, extversion FROM pg_catalog.pg_extension WHERE extname = '{quoted}'");
    let query = CString::new(query).unwrap_or_default();
    in_transaction(|| {
        let [oid, version] = first_row(&query)?;
        Some(Extension { oid, version })
    })
}

/// What a connection to a database would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// It can be connected to.
    Open,
    /// It exists and takes no connections: ALLOW_CONNECTIONS is off, or a DROP DATABASE of it was interrupted.
    Closed,
    /// There is none of that name.
    Missing,
}

/// Looks for a database. Works in a process that is connected to none: that one has the shared catalogs, but not always their
/// indexes, so the table itself is read, as InitPostgres does.
///
/// # Errors
/// The look failed; nothing is known.
pub fn database(name: &str) -> Result<Database, PgError> {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: inside a transaction with a lock on the catalog; nameeq compares up to the zero byte, so a C string does for a name. The
    // row is read while the scan holds it.
    in_transaction(|| unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, lock);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_database_datname as pg_sys::AttrNumber,
            pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            pg_sys::F_NAMEEQ.into(),
            pg_sys::Datum::from(name.as_ptr()),
        );
        let scan = pg_sys::systable_beginscan(catalog, pg_sys::InvalidOid, false, std::ptr::null_mut(), 1, &mut key);
        let row = pg_sys::systable_getnext(scan);
        let found = if row.is_null() {
            Database::Missing
        } else {
            let database = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_database>();
            // DATCONNLIMIT_INVALID_DB of 16 and of the minor versions that have it.
            if database.datallowconn && database.datconnlimit != -2 {
                Database::Open
            } else {
                Database::Closed
            }
        };
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(catalog, lock);
        found
    })
}

fn in_transaction<T>(look: impl FnOnce() -> T) -> Result<T, PgError> {
    // SAFETY: the worker is in no transaction here; the commands pair up, and after an error the transaction is aborted.
    let result = catch(|| unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let found = look();
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        found
    });
    if result.is_err() {
        // SAFETY: legal in any state; ends whatever transaction the error left.
        catch(|| unsafe { pg_sys::AbortOutOfAnyTransaction() })?;
    }
    result
}

/// The columns of the first row as text, null as empty. Plain SPI: pgrx's client would call Postgres from its destructor while an
/// error unwinds.
fn first_row<const COLUMNS: usize>(query: &CStr) -> Option<[String; COLUMNS]> {
    // SAFETY: inside a transaction with a snapshot; what SPI returns lives until SPI_finish and is copied before it. SPI_getvalue gives
    // null for a column that there is not.
    unsafe {
        pg_sys::SPI_connect();
        let code = pg_sys::SPI_execute(query.as_ptr(), true, 1);
        let mut found = None;
        if code == pg_sys::SPI_OK_SELECT as i32 && pg_sys::SPI_processed > 0 {
            let table = &*pg_sys::SPI_tuptable;
            found = Some(std::array::from_fn(|column| {
                let value = pg_sys::SPI_getvalue(*table.vals, table.tupdesc, column as i32 + 1);
                if value.is_null() {
                    String::new()
                } else {
                    CStr::from_ptr(value).to_string_lossy().into_owned()
                }
            }));
        }
        pg_sys::SPI_finish();
        found
    }
}
