//! The only unsafe code of the extension, one file per mechanism of Postgres, each behind safe functions.

pub mod commit_hook;
pub mod durability;
pub mod error;
pub mod files;
pub mod guc;
pub mod heap;
pub mod lock;
pub mod look;
pub mod memory;
mod new_pages;
pub mod process;
pub mod report;
mod reserve;
mod ring;
pub mod scan;
pub mod shmem;
pub mod signals;
pub mod spi;
pub mod transaction;
pub mod tuple;
pub mod update;
pub mod vacuum;
pub mod wait;
#[cfg(feature = "pg15")]
mod write_out;
#[cfg(not(feature = "pg15"))]
#[path = "write_out_by_postgres.rs"]
mod write_out;
