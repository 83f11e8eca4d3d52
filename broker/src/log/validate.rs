//! What a producer sent for one partition, checked and changed as Kafka 4.3 does before it appends (`ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`). Pure: offsets are given out later, by replacing a batch's first bytes.
//!
//! Kafka's order of checks is kept, so that bytes that are wrong in two ways get Kafka's code. As in Kafka, bytes behind the one batch
//! that are no whole batch are cut off, and offset deltas with gaps are refused by nobody: in an uncompressed batch they stay, otherwise
//! the batch is rebuilt.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::rebuild::{rebuild, Target};
use crate::catalog::configs::{TopicCompression, TopicConfigs};
use crate::limits;
use crate::wire::batch::{self, BatchHeader, Compression, TimestampType};
use crate::wire::compression::{CompressionError, Decompressor};
use crate::wire::record::Records;
use crate::wire::record_stream::{RecordFacts, RecordStream, StreamError};
use crate::wire::{BATCH_HEADER_BYTES, BATCH_MAGIC, LOG_OVERHEAD_BYTES, NO_TIMESTAMP};

/// First version of Produce that may carry zstd (KIP-110).
const ZSTD_SINCE_PRODUCE: i16 = 7;

/// What decides whether a batch is taken and how it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules<'a> {
    /// Name of the topic.
    pub topic: &'a str,
    /// Index of the partition.
    pub partition: i32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// Whether `cleanup.policy` names compact.
    pub compacted: bool,
    /// `compression.type`.
    pub compression: TopicCompression,
    /// Version of the Produce request.
    pub produce_version: i16,
    /// Bytes that a batch may decompress to, at most [`limits::DECOMPRESSED_BATCH_BYTES`].
    pub decompressed_max_bytes: usize,
    /// How many records at fault are named, at most [`limits::RECORD_ERRORS_PER_REQUEST`].
    pub record_errors_max: usize,
}

impl<'a> Rules<'a> {
    /// The rules of a topic's partition for a request of a version.
    pub fn new(topic: &'a str, partition: i32, configs: &TopicConfigs, produce_version: i16) -> Self {
        Rules {
            topic,
            partition,
            timestamp_type: configs.timestamp_type,
            timestamp_before_max_ms: configs.timestamp_before_max_ms,
            timestamp_after_max_ms: configs.timestamp_after_max_ms,
            max_message_bytes: configs.max_message_bytes,
            segment_bytes: configs.segment_bytes(),
            compacted: configs.compact,
            compression: configs.compression,
            produce_version,
            decompressed_max_bytes: limits::DECOMPRESSED_BATCH_BYTES,
            record_errors_max: limits::RECORD_ERRORS_PER_REQUEST,
        }
    }
}

/// A batch that may be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidBatch {
    /// The batch with base offset 0: a slice of what came in where nothing had to change.
    pub bytes: Bytes,
    /// Its header.
    pub header: BatchHeader,
    /// What the response says as log append time; `None` (-1) where timestamps are the producer's.
    pub log_append_time_ms: Option<i64>,
}

/// Why nothing of it is appended.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationError {
    /// The partition's error code.
    pub code: ResponseError,
    /// In words, for the response and the log.
    pub message: String,
    /// Whether it is the log that refuses, which knows its start, and not the check of the request before it.
    pub by_log: bool,
    /// The records at fault by their index in the batch, at most [`Rules::record_errors_max`]; empty where it is the batch.
    pub record_errors: Vec<(i32, Option<String>)>,
    /// Whether the reason is that it decompresses to more than [`Rules::decompressed_max_bytes`].
    pub decompresses_to_more: bool,
}

impl ValidationError {
    pub(super) fn new(code: ResponseError, message: impl Into<String>) -> Self {
        ValidationError {
            code,
            message: message.into(),
            by_log: false,
            record_errors: Vec::new(),
            decompresses_to_more: false,
        }
    }

    /// As Kafka's `ReplicaManager` has it: for these codes, too, the log start offset is not told.
    fn refused_by_log(self) -> Self {
        let untold = matches!(
            self.code,
            ResponseError::CorruptMessage | ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge
        );
        ValidationError { by_log: !untold, ..self }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(ResponseError::InvalidRecord, message)
    }
}

impl From<StreamError> for ValidationError {
    fn from(error: StreamError) -> Self {
        let code = match &error {
            StreamError::Record(_) => ResponseError::InvalidRecord,
            StreamError::Compression(CompressionError::TooLarge(_)) => ResponseError::MessageTooLarge,
            // Kafka answers with its code for the unforeseen, which no client retries.
            StreamError::Compression(CompressionError::Malformed(_)) => ResponseError::UnknownServerError,
        };
        ValidationError {
            decompresses_to_more: matches!(error, StreamError::Compression(CompressionError::TooLarge(_))),
            ..Self::new(code, error.to_string())
        }
    }
}

/// Checks one partition's data of a Produce request at the time `now_ms` (milliseconds since 1970) and makes of it what is appended.
///
/// # Errors
/// - INVALID_RECORD 87: null or no data, no whole batch, more than one, another format than version 2, base offset not 0, count and last
///   offset delta that contradict each other, the control bit, a producer id without sequence, malformed records, a record without key
///   for a compacted topic
/// - CORRUPT_MESSAGE 2: impossible length, wrong checksum
/// - UNSUPPORTED_COMPRESSION_TYPE 76: zstd below Produce 7
/// - MESSAGE_TOO_LARGE 10: larger than `max.message.bytes`, as sent or rebuilt; decompresses to more than
///   [`Rules::decompressed_max_bytes`]
/// - RECORD_LIST_TOO_LARGE 18: larger than `segment.bytes`
/// - INVALID_TIMESTAMP 32: create time out of the topic's limits, or a producer that sets the log append time
/// - UNKNOWN_SERVER_ERROR -1: unknown codec, or data that the codec cannot read
pub fn validate(records: Option<&Bytes>, rules: &Rules, now_ms: i64) -> Result<ValidBatch, ValidationError> {
    let bytes = only_batch(records.unwrap_or(&Bytes::new()), rules.produce_version)?;
    validate_batch(bytes, rules, now_ms).map_err(ValidationError::refused_by_log)
}

fn validate_batch(bytes: Bytes, rules: &Rules, now_ms: i64) -> Result<ValidBatch, ValidationError> {
    let (header, source) = check_batch(&bytes, rules)?;
    let target = Target::of(rules.compression, source);
    let section = bytes.slice(BATCH_HEADER_BYTES..);
    let scan = scan_records(&header, source, &section, rules, now_ms)?;

    let uncompressed = source == Compression::None && target.codec == Compression::None;
    let in_place = source == target.codec && (uncompressed || scan.consecutive);
    let log_append_time_ms = (rules.timestamp_type == TimestampType::LogAppendTime).then_some(now_ms);
    let (header, bytes) = if in_place {
        let max_timestamp = log_append_time_ms.unwrap_or(scan.max_timestamp);
        if header.timestamp_type() == rules.timestamp_type && header.max_timestamp == max_timestamp {
            (header, bytes)
        } else {
            batch::with_timestamp(&bytes, rules.timestamp_type, max_timestamp).map_err(corrupt)?
        }
    } else {
        let bytes = rebuild(
            &header,
            source,
            &section,
            target,
            log_append_time_ms,
            rules.decompressed_max_bytes,
        )?;
        check_size(bytes.len(), rules)?;
        (BatchHeader::parse(&bytes).map_err(corrupt)?, bytes)
    };
    if bytes.len() as u64 > rules.segment_bytes {
        let message = format!(
            "a batch of {} bytes is larger than segment.bytes, {}",
            bytes.len(),
            rules.segment_bytes
        );
        return Err(ValidationError::new(ResponseError::RecordListTooLarge, message));
    }
    Ok(ValidBatch {
        bytes,
        header,
        log_append_time_ms,
    })
}

fn corrupt(error: impl std::fmt::Display) -> ValidationError {
    ValidationError::new(ResponseError::CorruptMessage, error.to_string())
}

/// The bytes of the one batch that must be there.
fn only_batch(records: &Bytes, produce_version: i16) -> Result<Bytes, ValidationError> {
    let Some((size, magic)) = next_batch(records)? else {
        return Err(ValidationError::invalid("no record batch"));
    };
    if magic != BATCH_MAGIC {
        return Err(ValidationError::invalid(format!("record batch of format version {magic}")));
    }
    if produce_version < ZSTD_SINCE_PRODUCE && codec_of(records)? == Compression::Zstd {
        let message = format!("zstd in a Produce request of version {produce_version}");
        return Err(ValidationError::new(ResponseError::UnsupportedCompressionType, message));
    }
    if next_batch(&records[size..])?.is_some() {
        return Err(ValidationError::invalid("more than one record batch"));
    }
    Ok(records.slice(..size))
}

/// Size and format version of the batch at the start of `bytes`; `None` if it is not whole.
fn next_batch(bytes: &[u8]) -> Result<Option<(usize, i8)>, ValidationError> {
    /// Bytes that the length field counts in the smallest message of the oldest format.
    const LENGTH_MIN: usize = 14;
    let Some((_, rest)) = bytes.split_at_checked(LOG_OVERHEAD_BYTES - 4) else {
        return Ok(None);
    };
    let Some((length, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let size = match usize::try_from(length) {
        Ok(length) if length >= LENGTH_MIN => LOG_OVERHEAD_BYTES + length,
        _ => {
            return Err(corrupt(format!(
                "Record size {length} is less than the minimum record overhead ({LENGTH_MIN})"
            )))
        }
    };
    let Some(magic) = rest.get(4).map(|magic| *magic as i8) else {
        return Ok(None);
    };
    if !(0..=BATCH_MAGIC).contains(&magic) {
        return Err(corrupt(format!("Invalid magic found in record: {magic}")));
    }
    Ok((size <= bytes.len()).then_some((size, magic)))
}

/// The codec in the attributes, which are there in the smallest batch that [`next_batch`] lets through.
fn codec_of(batch: &[u8]) -> Result<Compression, ValidationError> {
    let attributes = i16::from_be_bytes([batch[21], batch[22]]);
    Compression::from_attributes(attributes)
        .map_err(|error| ValidationError::new(ResponseError::UnknownServerError, error.to_string()))
}

fn check_size(size: usize, rules: &Rules) -> Result<(), ValidationError> {
    if size <= rules.max_message_bytes {
        return Ok(());
    }
    let message = format!(
        "a batch of {size} bytes is larger than max.message.bytes, {}",
        rules.max_message_bytes
    );
    Err(ValidationError::new(ResponseError::MessageTooLarge, message))
}

/// Everything that the header can say.
fn check_batch(batch: &[u8], rules: &Rules) -> Result<(BatchHeader, Compression), ValidationError> {
    if batch[..8] != [0; 8] {
        return Err(ValidationError::invalid("the base offset is not 0"));
    }
    check_size(batch.len(), rules)?;
    let header = BatchHeader::parse(batch).map_err(corrupt)?;
    if !batch::crc_ok(batch) {
        return Err(corrupt("the checksum is wrong"));
    }
    let source = codec_of(batch)?;
    if header.record_count <= 0 || i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        let (count, last) = (header.record_count, header.last_offset_delta);
        return Err(ValidationError::invalid(format!(
            "{count} records, but the last has offset delta {last}"
        )));
    }
    if header.is_control() {
        return Err(ValidationError::invalid("control records are the broker's"));
    }
    if header.producer_id >= 0 && header.base_sequence < 0 {
        let (producer, sequence) = (header.producer_id, header.base_sequence);
        return Err(ValidationError::invalid(format!(
            "producer id {producer} with sequence {sequence}"
        )));
    }
    Ok((header, source))
}

/// What the records of a good batch amount to.
struct Scan {
    max_timestamp: i64,
    consecutive: bool,
}

fn scan_records(
    header: &BatchHeader,
    source: Compression,
    section: &[u8],
    rules: &Rules,
    now_ms: i64,
) -> Result<Scan, ValidationError> {
    let check = RecordCheck { header, rules, now_ms };
    if source == Compression::None {
        let records = Records::new(section, header.record_count).map_err(StreamError::from)?;
        return check.all(records.map(|record| Ok(record?.into())));
    }
    let plain = Decompressor::new(source, section, rules.decompressed_max_bytes).map_err(StreamError::from)?;
    check.all(RecordStream::new(plain, header.record_count).map_err(StreamError::from)?)
}

struct RecordCheck<'a> {
    header: &'a BatchHeader,
    rules: &'a Rules<'a>,
    now_ms: i64,
}

impl RecordCheck<'_> {
    fn all(&self, records: impl Iterator<Item = Result<RecordFacts, StreamError>>) -> Result<Scan, ValidationError> {
        let mut scan = Scan {
            max_timestamp: NO_TIMESTAMP,
            consecutive: true,
        };
        let mut record_errors = Vec::new();
        let (mut rejected, mut timestamp_rejected) = (0u32, false);
        for (record, index) in records.zip(0i32..) {
            let record = record?;
            let timestamp = self.header.timestamp_of(record.timestamp_delta);
            scan.max_timestamp = scan.max_timestamp.max(timestamp);
            scan.consecutive &= record.offset_delta == index;
            if let Err(fault) = self.one(&record, timestamp) {
                rejected += 1;
                timestamp_rejected |= fault.code() == ResponseError::InvalidTimestamp;
                if record_errors.len() < self.rules.record_errors_max {
                    record_errors.push((index, Some(self.describe(&fault))));
                }
            }
        }
        if rejected == 0 {
            return Ok(scan);
        }
        let code = if timestamp_rejected {
            ResponseError::InvalidTimestamp
        } else {
            ResponseError::InvalidRecord
        };
        let message = match code {
            ResponseError::InvalidTimestamp => "One or more records have been rejected due to invalid timestamp".to_owned(),
            _ => rejection(rejected, &record_errors),
        };
        Err(ValidationError {
            record_errors,
            ..ValidationError::new(code, message)
        })
    }

    fn one(&self, record: &RecordFacts, timestamp: i64) -> Result<(), RecordFault> {
        if self.rules.compacted && !record.has_key {
            return Err(RecordFault::NoKey);
        }
        if self.rules.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            // Wraps where Java's arithmetic does: a limit of the largest number is no limit.
            let age = self.now_ms.wrapping_sub(timestamp);
            if age > self.rules.timestamp_before_max_ms || age.wrapping_neg() > self.rules.timestamp_after_max_ms {
                return Err(RecordFault::TimestampOutOfRange {
                    timestamp,
                    offset_delta: record.offset_delta,
                });
            }
        } else if self.header.timestamp_type() == TimestampType::LogAppendTime {
            return Err(RecordFault::TimestampType);
        }
        Ok(())
    }

    /// Kafka's words.
    fn describe(&self, fault: &RecordFault) -> String {
        match fault {
            RecordFault::NoKey => format!(
                "Compacted topic cannot accept message without key in topic partition {}-{}",
                self.rules.topic, self.rules.partition
            ),
            RecordFault::TimestampOutOfRange { timestamp, offset_delta } => format!(
                "Timestamp {timestamp} of message with offset {offset_delta} is out of range. The timestamp should be within [{}, {}]",
                self.now_ms.wrapping_sub(self.rules.timestamp_before_max_ms),
                self.now_ms.wrapping_add(self.rules.timestamp_after_max_ms)
            ),
            RecordFault::TimestampType => {
                "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime.".to_owned()
            }
        }
    }
}

/// Why a record is refused.
enum RecordFault {
    NoKey,
    TimestampOutOfRange { timestamp: i64, offset_delta: i32 },
    TimestampType,
}

impl RecordFault {
    fn code(&self) -> ResponseError {
        match self {
            RecordFault::NoKey => ResponseError::InvalidRecord,
            RecordFault::TimestampOutOfRange { .. } | RecordFault::TimestampType => ResponseError::InvalidTimestamp,
        }
    }
}

/// What Kafka says of a batch some of whose records are refused.
fn rejection(rejected: u32, record_errors: &[(i32, Option<String>)]) -> String {
    let first: Vec<String> = record_errors
        .iter()
        .take(3)
        .map(|(index, message)| {
            format!(
                "RecordError(batchIndex={index}, message='{}')",
                message.as_deref().unwrap_or_default()
            )
        })
        .collect();
    format!(
        "One or more records have been rejected due to {rejected} record errors in total, and only showing the first three errors at most: [{}]",
        first.join(", ")
    )
}
