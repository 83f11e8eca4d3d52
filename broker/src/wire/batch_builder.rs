//! Writes version 2 record batches: for batches that the broker must rebuild, for records that come from SQL, for tests.

use bytes::{BufMut, Bytes, BytesMut};

use super::batch::{self, BatchHeader, Compression, TimestampType};
use super::compression::{self, CompressionError};
use super::{BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES, NO_TIMESTAMP};

/// Why a batch cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A field, a record or the batch is longer than its 31-bit length can say.
    #[error("a record batch cannot hold 2 GiB")]
    TooLarge,
    /// The codec refused.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// What a batch says of itself besides its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFacts {
    /// Codec.
    pub compression: Compression,
    /// Level of the codec, `None` its default.
    pub level: Option<i32>,
    /// The log append time in milliseconds since 1970; `None`: timestamps are the records' own.
    pub log_append_time_ms: Option<i64>,
    /// Producer id, -1 without.
    pub producer_id: i64,
    /// Producer epoch, -1 without.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 without.
    pub base_sequence: i32,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// Whether its records are markers.
    pub control: bool,
}

impl Default for BatchFacts {
    fn default() -> Self {
        BatchFacts {
            compression: Compression::None,
            level: None,
            log_append_time_ms: None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
        }
    }
}

/// Collects records and makes the batch of them: base offset 0, leader epoch -1, right checksum.
#[derive(Debug, Clone, Default)]
pub struct BatchBuilder {
    facts: BatchFacts,
    section: Vec<u8>,
    record: Vec<u8>,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: Option<i64>,
    max_timestamp: Option<i64>,
}

impl BatchBuilder {
    /// Without records.
    pub fn new(facts: BatchFacts) -> Self {
        BatchBuilder {
            facts,
            ..BatchBuilder::default()
        }
    }

    /// Bytes of the records so far, uncompressed.
    pub fn section_bytes(&self) -> usize {
        self.section.len()
    }

    /// Number of records so far.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Adds a record at the offset after the last one. `timestamp_ms` is in milliseconds since 1970, -1 for none.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`]; the batch is as it was.
    pub fn push<'h>(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>), IntoIter: Clone>,
    ) -> Result<(), BuildError> {
        let offset_delta = if self.count == 0 {
            0
        } else {
            self.last_offset_delta.wrapping_add(1)
        };
        self.push_at(offset_delta, timestamp_ms, key, value, headers)
    }

    /// Adds a record at an offset relative to the batch's base offset, which must be beyond the last one for the batch to be valid.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`]; the batch is as it was.
    pub fn push_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>), IntoIter: Clone>,
    ) -> Result<(), BuildError> {
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp_ms);
        let headers = headers.into_iter();
        let record = &mut self.record;
        record.clear();
        record.push(0);
        put_varlong(record, timestamp_ms.wrapping_sub(base_timestamp));
        put_varlong(record, i64::from(offset_delta));
        put_nullable(record, key)?;
        put_nullable(record, value)?;
        put_length(record, headers.clone().count())?;
        for (key, value) in headers {
            put_nullable(record, Some(key))?;
            put_nullable(record, value)?;
        }
        if self.count == i32::MAX || self.section.len() + record.len() > i32::MAX as usize - BATCH_HEADER_BYTES - 5 {
            return Err(BuildError::TooLarge);
        }
        put_length(&mut self.section, record.len())?;
        self.section.extend_from_slice(record);
        self.base_timestamp = Some(base_timestamp);
        self.max_timestamp = self.max_timestamp.max(Some(timestamp_ms));
        self.last_offset_delta = offset_delta;
        self.count += 1;
        Ok(())
    }

    /// The batch.
    ///
    /// # Errors
    /// It is too large, or the codec refuses.
    pub fn build(self) -> Result<Bytes, BuildError> {
        let facts = self.facts;
        let section = match facts.compression {
            Compression::None => self.section,
            codec => compression::compress(codec, facts.level, &self.section)?,
        };
        let timestamp_type = match facts.log_append_time_ms {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        };
        let size = BATCH_HEADER_BYTES + section.len();
        let header = BatchHeader {
            base_offset: 0,
            batch_length: i32::try_from(size - LOG_OVERHEAD_BYTES).map_err(|_| BuildError::TooLarge)?,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: batch::attributes(facts.compression, timestamp_type, facts.transactional, facts.control),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: facts.log_append_time_ms.or(self.max_timestamp).unwrap_or(NO_TIMESTAMP),
            producer_id: facts.producer_id,
            producer_epoch: facts.producer_epoch,
            base_sequence: facts.base_sequence,
            record_count: self.count,
        };
        let mut out = BytesMut::with_capacity(size);
        out.put_slice(&header.to_bytes());
        out.put_slice(&section);
        batch::set_crc(&mut out);
        Ok(out.freeze())
    }
}

fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<(), BuildError> {
    let length = i32::try_from(length).map_err(|_| BuildError::TooLarge)?;
    put_varlong(out, i64::from(length));
    Ok(())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<(), BuildError> {
    match bytes {
        None => put_varlong(out, -1),
        Some(bytes) => {
            put_length(out, bytes.len())?;
            out.extend_from_slice(bytes);
        }
    }
    Ok(())
}
