//! SQL from inside, with values in and out. Unlike pgrx's client, nothing calls Postgres while an ERROR unwinds: what SPI held
//! goes with the abort (AtEOXact_SPI, AtEOSubXact_SPI).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::datum::FromDatum;
pub use pgrx::datum::IntoDatum as IntoParam;
use pgrx::pg_sys;

/// Where a version of a row is: block and line pointer, SQL's `tid`.
pub type RowPlace = pg_sys::ItemPointerData;

/// A parameter: its type and value.
pub struct Param {
    kind: pg_sys::Oid,
    value: Option<pg_sys::Datum>,
}

/// A parameter of the SQL type that the Rust type stands for. Its memory is the current context's: made for one statement.
pub fn param<T: IntoParam>(value: T) -> Param {
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

    /// The values from column `first` on, and which are null, for a row of a table with these columns. They are the result's: lent while
    /// this row is.
    ///
    /// # Errors
    /// They are of other types, or more or fewer.
    ///
    /// # Safety
    /// The descriptor is valid.
    pub(super) unsafe fn values_for(&self, columns: pg_sys::TupleDesc, first: i32) -> (Vec<pg_sys::Datum>, Vec<bool>) {
        // SAFETY: as for `get`; the caller's descriptor is valid.
        unsafe {
            assert_eq!((*self.descriptor).natts - first + 1, (*columns).natts, "columns of the table");
            let value = |column: i32| {
                let (mine, theirs) = (first + column - 1, column);
                let kinds = [
                    pg_sys::SPI_gettypeid(self.descriptor, mine),
                    pg_sys::SPI_gettypeid(columns, theirs),
                ];
                assert_eq!(kinds[0], kinds[1], "type of column {column} of the table");
                let mut null = false;
                let value = pg_sys::SPI_getbinval(self.tuple, self.descriptor, mine, &mut null);
                (value, null)
            };
            (1..=(*columns).natts).map(value).unzip()
        }
    }
}

/// Runs a statement; the number of rows it returned or changed.
pub fn run(statement: &str, params: &[Param]) -> u64 {
    execute(&Statement::once(statement), params, false, |_| ()).0
}

/// Runs a statement and takes what `read` makes of each row it returns, which holds no pointers into the result.
pub fn query<T>(statement: &str, params: &[Param], read: impl FnMut(&ResultRow) -> T) -> Vec<T> {
    execute(&Statement::once(statement), params, false, read).1
}

/// As [`query`], for a statement that only reads: it sees what the calling statement sees, and nothing newer.
pub fn look<T>(statement: &str, params: &[Param], read: impl FnMut(&ResultRow) -> T) -> Vec<T> {
    execute(&Statement::once(statement), params, true, read).1
}

/// As [`run`], of a statement that is run often: it is parsed and planned once in this process, and again when a table changes. The types
/// of its parameters are the same at each call.
pub fn run_kept(statement: &'static str, params: &[Param]) -> u64 {
    execute(&Statement::kept(statement, params), params, false, |_| ()).0
}

/// As [`query`], of a statement that is run often; see [`run_kept`].
pub fn query_kept<T>(statement: &'static str, params: &[Param], read: impl FnMut(&ResultRow) -> T) -> Vec<T> {
    execute(&Statement::kept(statement, params), params, false, read).1
}

/// What is executed.
enum Statement<'a> {
    Once { text: &'a str, terminated: CString },
    Kept { text: &'static str, plan: pg_sys::SPIPlanPtr },
}

thread_local! {
    /// Plans for the rest of the process, by statement: as many as the program has statements that are run often. Postgres makes a plan
    /// anew when something that it rests on has changed (plancache.c).
    static PLANS: RefCell<HashMap<&'static str, pg_sys::SPIPlanPtr>> = RefCell::default();
}

impl<'a> Statement<'a> {
    fn once(text: &'a str) -> Self {
        let terminated = CString::new(text).unwrap_or_default();
        Statement::Once { text, terminated }
    }

    fn kept(text: &'static str, params: &[Param]) -> Self {
        if let Some(plan) = PLANS.with_borrow(|plans| plans.get(text).copied()) {
            return Statement::Kept { text, plan };
        }
        let terminated = CString::new(text).unwrap_or_default();
        let mut kinds: Vec<_> = params.iter().map(|param| param.kind).collect();
        // SAFETY: in a transaction, under a guard; one type per parameter. SPI_keepplan moves the plan to memory of its own, so that it
        // outlives SPI_finish.
        let plan = unsafe {
            check(pg_sys::SPI_connect(), text);
            let plan = pg_sys::SPI_prepare(terminated.as_ptr(), params.len() as i32, kinds.as_mut_ptr());
            check(if plan.is_null() { pg_sys::SPI_result } else { 0 }, text);
            check(pg_sys::SPI_keepplan(plan), text);
            check(pg_sys::SPI_finish(), text);
            plan
        };
        PLANS.with_borrow_mut(|plans| plans.insert(text, plan));
        Statement::Kept { text, plan }
    }

    fn text(&self) -> &str {
        match self {
            Statement::Once { text, .. } => text,
            Statement::Kept { text, .. } => text,
        }
    }
}

fn execute<T>(
    statement: &Statement<'_>,
    params: &[Param],
    read_only: bool,
    mut read: impl FnMut(&ResultRow) -> T,
) -> (u64, Vec<T>) {
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
        check(pg_sys::SPI_connect(), statement.text());
        let code = match statement {
            Statement::Once { terminated, .. } => pg_sys::SPI_execute_with_args(
                terminated.as_ptr(),
                params.len() as i32,
                kinds.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr().cast(),
                read_only,
                0,
            ),
            Statement::Kept { plan, .. } => {
                pg_sys::SPI_execute_plan(*plan, values.as_mut_ptr(), nulls.as_ptr().cast(), read_only, 0)
            }
        };
        check(code, statement.text());
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
        check(pg_sys::SPI_finish(), statement.text());
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
