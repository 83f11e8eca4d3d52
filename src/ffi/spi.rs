//! SQL from inside, with values in and out. Unlike pgrx's client, nothing calls Postgres while an ERROR unwinds: what SPI held
//! goes with the abort (AtEOXact_SPI, AtEOSubXact_SPI).

use std::ffi::CString;

use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys;

/// A parameter: its type and value.
pub struct Param {
    kind: pg_sys::Oid,
    value: Option<pg_sys::Datum>,
}

/// A parameter of the SQL type that the Rust type stands for. Its memory is the current context's: made for one statement.
pub fn param<T: IntoDatum>(value: T) -> Param {
    Param {
        kind: T::type_oid(),
        value: value.into_datum(),
    }
}

/// A row of a result.
pub struct ResultRow {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl ResultRow {
    /// The value of a column, counted from 1; `None`: null. `T` must stand for the column's type.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: tuple and descriptor are of the SPI result that is open while this row is lent; a column out of range gives null.
        unsafe {
            let value = pg_sys::SPI_getbinval(self.tuple, self.descriptor, column, &mut null);
            T::from_datum(value, null)
        }
    }
}

/// Runs a statement; the number of rows it returned or changed.
pub fn run(statement: &str, params: &[Param]) -> u64 {
    execute(statement, params, false, |_| ()).0
}

/// Runs a statement and takes what `read` makes of each row it returns, which holds no pointers into the result.
pub fn query<T>(statement: &str, params: &[Param], read: impl FnMut(&ResultRow) -> T) -> Vec<T> {
    execute(statement, params, false, read).1
}

/// As [`query`], for a statement that only reads: it sees what the calling statement sees, and nothing newer.
pub fn look<T>(statement: &str, params: &[Param], read: impl FnMut(&ResultRow) -> T) -> Vec<T> {
    execute(statement, params, true, read).1
}

fn execute<T>(statement: &str, params: &[Param], read_only: bool, mut read: impl FnMut(&ResultRow) -> T) -> (u64, Vec<T>) {
    let text = CString::new(statement).unwrap_or_default();
    let mut kinds: Vec<_> = params.iter().map(|param| param.kind).collect();
    let mut values: Vec<_> = params
        .iter()
        .map(|param| param.value.unwrap_or(pg_sys::Datum::null()))
        .collect();
    let nulls: Vec<_> = params
        .iter()
        .map(|param| if param.value.is_some() { b' ' } else { b'n' })
        .collect();
    // SAFETY: in a transaction, under a guard. SPI wants a snapshot around it where no portal is (EnsurePortalSnapshotExists), and
    // takes a new one for each statement all the same. The arrays have one entry per parameter. The result is read before SPI_finish
    // frees it.
    unsafe {
        let outermost = !pg_sys::ActiveSnapshotSet();
        if outermost {
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        check(pg_sys::SPI_connect(), statement);
        let code = pg_sys::SPI_execute_with_args(
            text.as_ptr(),
            params.len() as i32,
            kinds.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr().cast(),
            read_only,
            0,
        );
        check(code, statement);
        let processed = pg_sys::SPI_processed;
        let mut rows = Vec::new();
        if let Some(table) = pg_sys::SPI_tuptable.as_ref() {
            for index in 0..processed as usize {
                rows.push(read(&ResultRow {
                    tuple: *table.vals.add(index),
                    descriptor: table.tupdesc,
                }));
            }
        }
        check(pg_sys::SPI_finish(), statement);
        if outermost {
            pg_sys::PopActiveSnapshot();
        }
        (processed, rows)
    }
}

/// SPI reports misuse by a negative code; everything else is an ERROR already.
fn check(code: i32, statement: &str) {
    assert!(code >= 0, "SPI code {code} for: {statement}");
}
