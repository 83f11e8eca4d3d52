//! Records by time, within one stored batch (Kafka `FileRecords.searchForTimestamp` and `RecordBatch.offsetOfMaxTimestamp`).

use bytes::Bytes;

use crate::wire::batch::{BatchError, BatchHeader};
use crate::wire::compression::{CompressionError, Decompressor};
use crate::wire::record::RecordError;
use crate::wire::record_stream::{RecordStream, StreamError};
use crate::wire::BATCH_HEADER_BYTES;

/// A record that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOffset {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The leader epoch that it was written in.
    pub leader_epoch: i32,
}

/// Why a stored batch cannot be looked through: it is damaged, since it was checked before it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the same name")]
pub enum LookupError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Compression(#[from] CompressionError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl LookupError {
    /// Whether it is that more than the given bytes had to be decompressed.
    pub fn decompresses_to_more(&self) -> bool {
        matches!(
            self,
            LookupError::Compression(CompressionError::TooLarge(_))
                | LookupError::Stream(StreamError::Compression(CompressionError::TooLarge(_)))
        )
    }
}

/// The first record of `batch` at or after `from_offset` whose timestamp is at least `timestamp_ms`; `None` if it has none.
///
/// # Errors
/// The batch is damaged, or more than `max_bytes` of it would have to be decompressed.
pub fn first_at_least(
    batch: &Bytes,
    from_offset: i64,
    timestamp_ms: i64,
    max_bytes: usize,
) -> Result<Option<TimedOffset>, LookupError> {
    first(batch, max_bytes, |_, record| {
        record.offset >= from_offset && record.timestamp_ms >= timestamp_ms
    })
}

/// The first record of `batch` that has the largest timestamp of the batch; `None` if, against the header, there is none.
///
/// # Errors
/// The batch is damaged, or more than `max_bytes` of it would have to be decompressed.
pub fn first_of_max(batch: &Bytes, max_bytes: usize) -> Result<Option<TimedOffset>, LookupError> {
    first(batch, max_bytes, |header, record| record.timestamp_ms == header.max_timestamp)
}

fn first(
    batch: &Bytes,
    max_bytes: usize,
    matches: impl Fn(&BatchHeader, &TimedOffset) -> bool,
) -> Result<Option<TimedOffset>, LookupError> {
    let header = BatchHeader::parse(batch)?;
    let section = batch.get(BATCH_HEADER_BYTES..).unwrap_or_default();
    let source = Decompressor::new(header.compression()?, section, max_bytes)?;
    for facts in RecordStream::new(source, header.record_count)? {
        let facts = facts?;
        let record = TimedOffset {
            offset: header.base_offset.wrapping_add(i64::from(facts.offset_delta)),
            timestamp_ms: header.timestamp_of(facts.timestamp_delta),
            leader_epoch: header.partition_leader_epoch,
        };
        if matches(&header, &record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::Compression;
    use crate::wire::batch_builder::{BatchBuilder, BatchFacts};

    const MAX_BYTES: usize = 1 << 20;

    fn batch(compression: Compression, log_append_time_ms: Option<i64>, timestamps: &[i64]) -> Bytes {
        let mut builder = BatchBuilder::new(BatchFacts {
            compression,
            log_append_time_ms,
            ..BatchFacts::default()
        });
        for timestamp in timestamps {
            builder.push(*timestamp, None, Some(b"value"), []).unwrap();
        }
        let mut stored = builder.build().unwrap().to_vec();
        stored[..8].copy_from_slice(&100_i64.to_be_bytes());
        stored[12..16].copy_from_slice(&7_i32.to_be_bytes());
        stored.into()
    }

    fn offsets(found: Result<Option<TimedOffset>, LookupError>) -> Option<(i64, i64)> {
        let found = found.unwrap();
        assert!(found.is_none_or(|found| found.leader_epoch == 7));
        found.map(|found| (found.offset, found.timestamp_ms))
    }

    #[test]
    fn records_are_found_inside_batches_of_every_codec() {
        for codec in Compression::ALL {
            let batch = batch(codec, None, &[10, 30, 20, 30]);
            assert_eq!(offsets(first_at_least(&batch, 0, 5, MAX_BYTES)), Some((100, 10)));
            assert_eq!(offsets(first_at_least(&batch, 0, 11, MAX_BYTES)), Some((101, 30)));
            assert_eq!(offsets(first_at_least(&batch, 102, 11, MAX_BYTES)), Some((102, 20)));
            assert_eq!(offsets(first_at_least(&batch, 0, 31, MAX_BYTES)), None);
            assert_eq!(offsets(first_at_least(&batch, 104, 0, MAX_BYTES)), None);
            assert_eq!(offsets(first_of_max(&batch, MAX_BYTES)), Some((101, 30)));
        }
    }

    #[test]
    fn a_batch_with_the_time_of_the_append_has_it_in_every_record() {
        let batch = batch(Compression::None, Some(50), &[10, 30]);
        assert_eq!(offsets(first_at_least(&batch, 101, 50, MAX_BYTES)), Some((101, 50)));
        assert_eq!(offsets(first_at_least(&batch, 0, 51, MAX_BYTES)), None);
        assert_eq!(offsets(first_of_max(&batch, MAX_BYTES)), Some((100, 50)));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = batch(Compression::Gzip, None, &[10]);
        let little = first_of_max(&whole, 10).unwrap_err();
        assert!(little.decompresses_to_more(), "{little}");
        assert!(first_of_max(&whole.slice(..60), MAX_BYTES).is_err());
        assert!(first_of_max(&whole.slice(..whole.len() - 12), MAX_BYTES).is_err());
    }
}
