//! Version 2 record batches: the header, and what the broker may change in it. Layout: KIP-98, Kafka's `DefaultRecordBatch`.

use bytes::{Bytes, BytesMut};

use super::record::Record;
use super::{BATCH_HEADER_BYTES, BATCH_MAGIC, LOG_OVERHEAD_BYTES};

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// Why bytes are not a version 2 record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header, or than the batch's length says.
    #[error("record batch of {need} bytes, but only {have} are there")]
    Truncated {
        /// Bytes that are needed.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The length field is smaller than the rest of the header.
    #[error("record batch with the impossible length {0}")]
    Length(i32),
    /// Another format than version 2.
    #[error("record batch of format version {0}")]
    Magic(i8),
    /// The attributes name no codec that Kafka has.
    #[error("unknown compression codec {0}")]
    Codec(u8),
}

/// How the records of a batch are compressed; the number is the one in the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Raw snappy or the framing of xerial's Java library.
    Snappy = 2,
    /// The lz4 frame format.
    Lz4 = 3,
    /// RFC 8878.
    Zstd = 4,
}

impl Compression {
    /// All codecs.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec that batch attributes name.
    ///
    /// # Errors
    /// [`BatchError::Codec`] for 5, 6 and 7.
    pub fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        match attributes & COMPRESSION_MASK {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            other => Err(BatchError::Codec(other as u8)),
        }
    }

    /// The name that Kafka's configs use.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

/// What the timestamps of a batch mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Set by the producer, per record.
    CreateTime,
    /// Set by the broker, one for the batch: its max timestamp.
    LogAppendTime,
}

impl TimestampType {
    /// The name that Kafka's configs use.
    pub fn name(self) -> &'static str {
        match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }
}

/// The header of a batch, as its 61 bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 in what producers send.
    pub base_offset: i64,
    /// Bytes after this field, at least 49.
    pub batch_length: i32,
    /// Leader epoch the batch was written in.
    pub partition_leader_epoch: i32,
    /// CRC32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags; the accessors read it.
    pub attributes: i16,
    /// Offset of the last record less the base offset.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas are relative to, or the delete horizon; milliseconds since 1970.
    pub base_timestamp: i64,
    /// Largest timestamp of a record, or the log append time; milliseconds since 1970.
    pub max_timestamp: i64,
    /// Producer id, -1 without.
    pub producer_id: i64,
    /// Producer epoch, -1 without.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 without.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. Only [`BATCH_HEADER_BYTES`] need to be there; whether the whole batch is, says
    /// [`BatchHeader::size_bytes`].
    ///
    /// # Errors
    /// Too few bytes, a length that cannot be, another format version. An unknown codec is not looked at here.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        if bytes.len() < BATCH_HEADER_BYTES {
            return Err(BatchError::Truncated {
                need: BATCH_HEADER_BYTES,
                have: bytes.len(),
            });
        }
        let magic = bytes[MAGIC_AT] as i8;
        if magic != BATCH_MAGIC {
            return Err(BatchError::Magic(magic));
        }
        let batch_length = i32::from_be_bytes(field(bytes, LENGTH_AT));
        if batch_length < (BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return Err(BatchError::Length(batch_length));
        }
        Ok(BatchHeader {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(field(bytes, LEADER_EPOCH_AT)),
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(field(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT_AT)),
        })
    }

    /// The 61 bytes of this header.
    pub fn to_bytes(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        out[..LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        out[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&self.batch_length.to_be_bytes());
        out[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[MAGIC_AT] = BATCH_MAGIC as u8;
        out[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&self.crc.to_be_bytes());
        out[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&self.attributes.to_be_bytes());
        out[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&self.producer_id.to_be_bytes());
        out[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[BASE_SEQUENCE_AT..RECORD_COUNT_AT].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[RECORD_COUNT_AT..].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// Size of the whole batch in bytes.
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + self.batch_length as usize
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// [`BatchError::Codec`] if Kafka has no such codec.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        Compression::from_attributes(self.attributes)
    }

    /// What the timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether its records are markers of the broker, which consumers do not see.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is the time at which compaction may drop tombstones (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Timestamp of a record of this batch, milliseconds since 1970.
    pub fn timestamp_of(&self, timestamp_delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    /// Offset of a record of this batch.
    pub fn offset_of(&self, record: &Record<'_>) -> i64 {
        self.base_offset.wrapping_add(i64::from(record.offset_delta))
    }

    /// Sequence of a record of this batch, -1 without a producer id; wraps from 2^31-1 to 0.
    pub fn sequence_of(&self, record: &Record<'_>) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        ((i64::from(self.base_sequence) + i64::from(record.offset_delta)) & 0x7fff_ffff) as i32
    }
}

/// Attributes for a batch of these properties, all others off.
pub fn attributes(codec: Compression, timestamp_type: TimestampType, transactional: bool, control: bool) -> i16 {
    let mut attributes = codec as i16;
    if timestamp_type == TimestampType::LogAppendTime {
        attributes |= LOG_APPEND_TIME_BIT;
    }
    if transactional {
        attributes |= TRANSACTIONAL_BIT;
    }
    if control {
        attributes |= CONTROL_BIT;
    }
    attributes
}

/// Whether the checksum of a whole batch (and no byte more) is right; false as well if it is shorter than a header.
pub fn crc_ok(batch: &[u8]) -> bool {
    batch.len() >= BATCH_HEADER_BYTES && u32::from_be_bytes(field(batch, CRC_AT)) == crc32c::crc32c(&batch[ATTRIBUTES_AT..])
}

/// Writes the checksum of a whole batch into it. Nothing happens to what is shorter than a header.
pub fn set_crc(batch: &mut [u8]) {
    if batch.len() >= BATCH_HEADER_BYTES {
        let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    }
}

/// A copy of a whole batch with another timestamp type and max timestamp and the checksum that belongs to it. Attribute bits that Kafka
/// does not know are cleared, as its broker does on this occasion (`DefaultRecordBatch.setMaxTimestamp`).
///
/// # Errors
/// `batch` is no batch.
pub fn with_timestamp(
    batch: &[u8],
    timestamp_type: TimestampType,
    max_timestamp: i64,
) -> Result<(BatchHeader, Bytes), BatchError> {
    const KNOWN: i16 = COMPRESSION_MASK | TRANSACTIONAL_BIT | CONTROL_BIT | DELETE_HORIZON_BIT;
    let mut header = BatchHeader::parse(batch)?;
    header.attributes &= KNOWN;
    if timestamp_type == TimestampType::LogAppendTime {
        header.attributes |= LOG_APPEND_TIME_BIT;
    }
    header.max_timestamp = max_timestamp;
    let mut copy = BytesMut::from(batch);
    copy[..BATCH_HEADER_BYTES].copy_from_slice(&header.to_bytes());
    set_crc(&mut copy);
    header.crc = u32::from_be_bytes(field(&copy, CRC_AT));
    Ok((header, copy.freeze()))
}

/// The batches of a records blob in order, each as its header and the slice it is in (no copy). Ends after the first error.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// Over the batches that `records` is the concatenation of.
    pub fn new(records: Bytes) -> Self {
        Batches { rest: records }
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let header = match BatchHeader::parse(&self.rest) {
            Ok(header) if header.size_bytes() <= self.rest.len() => header,
            failed => {
                let have = std::mem::take(&mut self.rest).len();
                return Some(Err(match failed {
                    Ok(header) => BatchError::Truncated {
                        need: header.size_bytes(),
                        have,
                    },
                    Err(error) => error,
                }));
            }
        };
        Some(Ok((header, self.rest.split_to(header.size_bytes()))))
    }
}
