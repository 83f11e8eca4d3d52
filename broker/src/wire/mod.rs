//! Bytes from and to the network: headers, the request validator, record batches, compression. Nothing in here knows a socket or
//! a topic.

pub mod batch;
pub mod batch_builder;
pub mod compression;
pub mod cursor;
pub mod header;
pub mod record;
pub mod record_stream;
pub mod shape;
pub mod validate;

/// Size of a version 2 record batch's header in bytes, up to and including the record count.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Magic of the only batch format that is stored.
pub const BATCH_MAGIC: i8 = 2;

/// Bytes of a batch that its length field does not count: the base offset and the length itself.
pub const LOG_OVERHEAD_BYTES: usize = 12;

/// Value of a producer id, producer epoch or base sequence that is not there.
pub const NO_PRODUCER: i64 = -1;

/// Value of a timestamp that is not there.
pub const NO_TIMESTAMP: i64 = -1;
