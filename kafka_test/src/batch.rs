//! Record batches (message format v2) built and read byte by byte, so that a test can say exactly what goes over the wire, also when
//! it is wrong on purpose.

use crate::compression::Codec;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a batch in front of its records.
pub const HEADER_BYTES: usize = 61;
/// Attribute bit: the timestamps are the broker's (LogAppendTime).
pub const LOG_APPEND_TIME: i16 = 1 << 3;
/// Attribute bit: the batch belongs to a transaction.
pub const TRANSACTIONAL: i16 = 1 << 4;
/// Attribute bit: the batch holds a control record.
pub const CONTROL: i16 = 1 << 5;

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// One record; offset and timestamp are relative to its batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Offset relative to the batch's base offset.
    pub offset_delta: i32,
    /// Milliseconds relative to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Key, or null.
    pub key: Option<Vec<u8>>,
    /// Value, or null.
    pub value: Option<Vec<u8>>,
    /// Headers in order; a value may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A batch to be sent. [`Batch::of`] gives a valid one; every field may be changed, and the fields that are `None` are derived from
/// the records.
#[derive(Debug, Clone)]
pub struct Batch {
    /// 0 from a client.
    pub base_offset: i64,
    /// -1 from a client.
    pub leader_epoch: i32,
    /// 2.
    pub magic: i8,
    /// Compression of the records; its bits go into the attributes.
    pub codec: Codec,
    /// Further attribute bits.
    pub flags: i16,
    /// Milliseconds since 1970.
    pub base_timestamp: i64,
    /// Largest timestamp of the records.
    pub max_timestamp: Option<i64>,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// -1 without idempotence.
    pub base_sequence: i32,
    /// Offset delta of the last record.
    pub last_offset_delta: Option<i32>,
    /// Number of records.
    pub record_count: Option<i32>,
    /// CRC32C of everything behind it.
    pub crc: Option<u32>,
    /// The records.
    pub records: Vec<Record>,
}

impl Batch {
    /// An uncompressed batch of records without keys, a millisecond apart, the last at the present time.
    pub fn of<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Batch {
        let records: Vec<Record> = values
            .into_iter()
            .enumerate()
            .map(|(i, value)| Record {
                offset_delta: i as i32,
                timestamp_delta: i as i64,
                value: Some(value.as_ref().to_vec()),
                ..Record::default()
            })
            .collect();
        Batch::with_records(records)
    }

    /// An uncompressed batch of these records, the last at the present time.
    pub fn with_records(records: Vec<Record>) -> Batch {
        let last = records.iter().map(|r| r.timestamp_delta).max().unwrap_or(0);
        Batch {
            base_offset: 0,
            leader_epoch: -1,
            magic: 2,
            codec: Codec::None,
            flags: 0,
            base_timestamp: now_ms() - last,
            max_timestamp: None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_offset_delta: None,
            record_count: None,
            crc: None,
            records,
        }
    }

    /// The same batch with its records compressed.
    pub fn compressed(mut self, codec: Codec) -> Batch {
        self.codec = codec;
        self
    }

    /// The same batch with a key for every record.
    pub fn keyed(mut self, key: &str) -> Batch {
        for record in &mut self.records {
            record.key = Some(key.as_bytes().to_vec());
        }
        self
    }

    /// The same batch with its first timestamp at `base` (milliseconds since 1970).
    pub fn at(mut self, base: i64) -> Batch {
        self.base_timestamp = base;
        self
    }

    /// The batch's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        for record in &self.records {
            record.encode(&mut plain);
        }
        let payload = self.codec.compress(&plain);
        let last = self.records.len() as i32 - 1;
        let newest = self.records.iter().map(|r| r.timestamp_delta).max().unwrap_or(0);
        let mut covered = Vec::with_capacity(payload.len() + HEADER_BYTES);
        covered.extend((self.flags | self.codec as i16).to_be_bytes());
        covered.extend(self.last_offset_delta.unwrap_or(last).to_be_bytes());
        covered.extend(self.base_timestamp.to_be_bytes());
        covered.extend(
            self.max_timestamp
                .unwrap_or(self.base_timestamp.wrapping_add(newest))
                .to_be_bytes(),
        );
        covered.extend(self.producer_id.to_be_bytes());
        covered.extend(self.producer_epoch.to_be_bytes());
        covered.extend(self.base_sequence.to_be_bytes());
        covered.extend(self.record_count.unwrap_or(last + 1).to_be_bytes());
        covered.extend(payload);
        let mut out = Vec::with_capacity(covered.len() + 21);
        out.extend(self.base_offset.to_be_bytes());
        out.extend((covered.len() as i32 + 9).to_be_bytes());
        out.extend(self.leader_epoch.to_be_bytes());
        out.extend(self.magic.to_be_bytes());
        out.extend(self.crc.unwrap_or_else(|| crc32c::crc32c(&covered)).to_be_bytes());
        out.extend(covered);
        out
    }
}

impl Record {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut body = vec![0u8];
        put_varint(&mut body, self.timestamp_delta);
        put_varint(&mut body, i64::from(self.offset_delta));
        put_bytes(&mut body, self.key.as_deref());
        put_bytes(&mut body, self.value.as_deref());
        put_varint(&mut body, self.headers.len() as i64);
        for (name, value) in &self.headers {
            put_bytes(&mut body, Some(name.as_bytes()));
            put_bytes(&mut body, value.as_deref());
        }
        put_varint(out, body.len() as i64);
        out.extend(body);
    }

    fn decode(input: &mut Input) -> Record {
        let length = input.varint() as usize;
        let end = input.at + length;
        input.take(1);
        let timestamp_delta = input.varint();
        let offset_delta = input.varint() as i32;
        let key = input.nullable_bytes();
        let value = input.nullable_bytes();
        let headers = (0..input.varint())
            .map(|_| {
                (
                    String::from_utf8(input.nullable_bytes().unwrap()).unwrap(),
                    input.nullable_bytes(),
                )
            })
            .collect();
        assert_eq!(input.at, end, "a record's length is not the length of its fields");
        Record {
            offset_delta,
            timestamp_delta,
            key,
            value,
            headers,
        }
    }
}

/// A batch as the broker stores it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// All bytes, as fetched.
    pub bytes: Vec<u8>,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Leader epoch in which it was appended.
    pub leader_epoch: i32,
    /// Attribute bits.
    pub attributes: i16,
    /// Offset of the last record relative to the first.
    pub last_offset_delta: i32,
    /// Milliseconds since 1970.
    pub base_timestamp: i64,
    /// Milliseconds since 1970.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// Number of records as the header says.
    pub record_count: i32,
}

impl Stored {
    /// The whole batches of a fetch; an incomplete one at the end is left out, as a consumer does. The CRC of each is checked.
    pub fn all(mut bytes: &[u8]) -> Vec<Stored> {
        let mut found = Vec::new();
        while bytes.len() >= HEADER_BYTES {
            let size = 12 + i32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
            if bytes.len() < size {
                break;
            }
            found.push(Stored::read(&bytes[..size]));
            bytes = &bytes[size..];
        }
        found
    }

    fn read(bytes: &[u8]) -> Stored {
        let mut input = Input { bytes, at: 0 };
        let base_offset = input.i64();
        input.take(4);
        let leader_epoch = input.i32();
        assert_eq!(input.take(1), [2], "magic of a stored batch");
        assert_eq!(
            input.i32() as u32,
            crc32c::crc32c(&bytes[21..]),
            "CRC of the stored batch at {base_offset}"
        );
        let attributes = input.i16();
        let last_offset_delta = input.i32();
        let base_timestamp = input.i64();
        let max_timestamp = input.i64();
        let producer_id = input.i64();
        input.take(6);
        let record_count = input.i32();
        Stored {
            bytes: bytes.to_vec(),
            base_offset,
            leader_epoch,
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            record_count,
        }
    }

    /// Codec bits.
    pub fn codec(&self) -> Codec {
        Codec::of_attributes(self.attributes)
    }

    /// Offset behind the last record.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// The records, decompressed.
    pub fn records(&self) -> Vec<Record> {
        let plain = self.codec().decompress(&self.bytes[HEADER_BYTES..]);
        let mut input = Input { bytes: &plain, at: 0 };
        let records = (0..self.record_count).map(|_| Record::decode(&mut input)).collect();
        assert_eq!(
            input.at,
            plain.len(),
            "bytes behind the last record of the batch at {}",
            self.base_offset
        );
        records
    }
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |b| b.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    fn varint(&mut self) -> i64 {
        let mut raw = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)[0];
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (raw >> 1) as i64 ^ -((raw & 1) as i64);
            }
        }
        panic!("a varint of more than ten bytes")
    }

    fn nullable_bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.varint();
        (length >= 0).then(|| self.take(length as usize).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the builder writes, the reader reads back, in every codec.
    #[test]
    fn batches_survive_a_round_trip() {
        for codec in Codec::ALL {
            let record = Record {
                offset_delta: 0,
                timestamp_delta: -300,
                key: Some(vec![]),
                value: None,
                headers: vec![("h".into(), None), ("i".into(), Some(vec![7; 300]))],
            };
            let bytes = Batch::with_records(vec![record.clone()]).compressed(codec).encode();
            let stored = Stored::all(&bytes);
            assert_eq!(stored.len(), 1);
            assert_eq!(stored[0].records(), vec![record]);
            assert_eq!(stored[0].codec(), codec);
        }
    }
}
