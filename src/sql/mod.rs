//! SQL functions. Their names in SQL and their privileges are in `sql/`.

mod add_partitions;
mod delete_records;
mod error;
mod find;
mod messages;
mod partitions;
mod reset_offsets;
mod topics;
