//! A batch written anew: another codec, or offset deltas without gaps (Kafka's `LogValidator.buildRecordsAndAssignOffsets`).

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::validate::ValidationError;
use crate::catalog::configs::TopicCompression;
use crate::wire::batch::{BatchHeader, Compression};
use crate::wire::batch_builder::{BatchBuilder, BatchFacts, BuildError};
use crate::wire::compression::decompress;
use crate::wire::record::Records;
use crate::wire::record_stream::StreamError;
use crate::wire::NO_TIMESTAMP;

/// The codec that a topic stores, and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Codec.
    pub codec: Compression,
    /// Level, `None` the codec's default.
    pub level: Option<i32>,
}

impl Target {
    /// What a topic makes of a batch that came in `source`.
    pub fn of(topic: TopicCompression, source: Compression) -> Self {
        let (codec, level) = match topic {
            TopicCompression::Producer => (source, None),
            TopicCompression::None => (Compression::None, None),
            TopicCompression::Gzip(level) => (Compression::Gzip, Some(level)),
            TopicCompression::Snappy => (Compression::Snappy, None),
            TopicCompression::Lz4(level) => (Compression::Lz4, Some(level)),
            TopicCompression::Zstd(level) => (Compression::Zstd, Some(level)),
        };
        Target { codec, level }
    }
}

impl From<BuildError> for ValidationError {
    fn from(error: BuildError) -> Self {
        let code = match error {
            BuildError::TooLarge => ResponseError::MessageTooLarge,
            BuildError::Compression(_) => ResponseError::UnknownServerError,
        };
        ValidationError::new(code, error.to_string())
    }
}

/// The records of a batch whose header is `header` and whose record section, in the codec `source`, is `section`, as a new batch with
/// offset deltas 0, 1, 2, ... and the same producer. Holds the records decompressed, at most `decompressed_max_bytes`.
///
/// # Errors
/// As [`super::validate::validate`]; UNKNOWN_SERVER_ERROR -1 also for a negative timestamp, which Kafka's builder does not write.
pub(super) fn rebuild(
    header: &BatchHeader,
    source: Compression,
    section: &Bytes,
    target: Target,
    log_append_time_ms: Option<i64>,
    decompressed_max_bytes: usize,
) -> Result<Bytes, ValidationError> {
    let plain = decompress(source, section, decompressed_max_bytes).map_err(StreamError::from)?;
    let mut builder = BatchBuilder::new(BatchFacts {
        compression: target.codec,
        level: target.level,
        log_append_time_ms,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: false,
    });
    for record in Records::new(&plain, header.record_count).map_err(StreamError::from)? {
        let record = record.map_err(StreamError::from)?;
        let timestamp = header.timestamp_of(record.timestamp_delta);
        if timestamp < NO_TIMESTAMP {
            return Err(ValidationError::new(
                ResponseError::UnknownServerError,
                format!("negative timestamp {timestamp}"),
            ));
        }
        let headers = record.headers.iter().map(|header| (header.key, header.value));
        builder.push(timestamp, record.key, record.value, headers)?;
    }
    Ok(builder.build()?)
}
