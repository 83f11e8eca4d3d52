//! Record batches (message format v2) for raw connections: one record in, and of those that come back only what their heads say.

use bytes::{BufMut, BytesMut};

/// Bytes of a batch in front of its records.
const HEAD_BYTES: usize = 61;

/// A batch of one record without key, timestamped 1970: a broker does not mind.
pub fn of_one(value: &[u8]) -> Vec<u8> {
    let mut record = vec![0u8];
    put_varint(&mut record, 0);
    put_varint(&mut record, 0);
    put_varint(&mut record, -1);
    put_varint(&mut record, value.len() as i64);
    record.extend(value);
    put_varint(&mut record, 0);
    let mut covered = BytesMut::new();
    covered.put_i16(0); // attributes
    covered.put_i32(0); // last offset delta
    covered.put_i64(0); // first timestamp
    covered.put_i64(0); // largest timestamp
    covered.put_i64(-1); // producer id
    covered.put_i16(-1); // producer epoch
    covered.put_i32(-1); // base sequence
    covered.put_i32(1); // records
    let mut length = Vec::new();
    put_varint(&mut length, record.len() as i64);
    covered.put_slice(&length);
    covered.put_slice(&record);
    let mut out = BytesMut::new();
    out.put_i64(0); // base offset
    out.put_i32(covered.len() as i32 + 9);
    out.put_i32(-1); // leader epoch
    out.put_i8(2); // magic
    out.put_u32(crc32c::crc32c(&covered));
    out.put_slice(&covered);
    out.to_vec()
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// What was fetched of one partition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Records of the whole batches from the wanted offset on.
    pub records: u64,
    /// The offset behind them; the wanted one if there are none.
    pub next_offset: i64,
}

/// Counts the records of whole batches at or behind `wanted`; a batch that is cut off at the end comes again, whole.
pub fn count(mut bytes: &[u8], wanted: i64) -> Fetched {
    let mut found = Fetched {
        records: 0,
        next_offset: wanted,
    };
    while let Some((base_offset, length, last_delta)) = head(bytes) {
        if bytes.len() < length {
            break;
        }
        bytes = &bytes[length..];
        let behind = base_offset + i64::from(last_delta) + 1;
        if behind > found.next_offset {
            found.records += (behind - found.next_offset.max(base_offset)) as u64;
            found.next_offset = behind;
        }
    }
    found
}

/// Base offset, bytes in all, and the last record's offset relative to the first.
fn head(bytes: &[u8]) -> Option<(i64, usize, i32)> {
    let head = bytes.get(..HEAD_BYTES)?;
    let base_offset = i64::from_be_bytes(*head.first_chunk()?);
    let length = u32::from_be_bytes(*head[8..].first_chunk()?) as usize;
    let last_delta = i32::from_be_bytes(*head[23..].first_chunk()?);
    Some((base_offset, 12 + length, last_delta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Vec<u8> {
        let mut batch = of_one(b"value");
        batch[..8].copy_from_slice(&offset.to_be_bytes());
        batch
    }

    #[test]
    fn records_are_counted_from_the_wanted_offset_on() {
        let log = [at(7), at(8), at(9)].concat();
        let found = |records, next_offset| Fetched { records, next_offset };
        assert_eq!(count(&log, 7), found(3, 10));
        assert_eq!(count(&log, 9), found(1, 10));
        assert_eq!(count(&log[..log.len() - 1], 7), found(2, 9), "the last is cut off");
        assert_eq!(count(&[], 7), found(0, 7));
    }

    #[test]
    fn a_batch_says_its_own_length() {
        let batch = of_one(&[7; 300]);
        assert_eq!(head(&batch), Some((0, batch.len(), 0)));
    }
}
