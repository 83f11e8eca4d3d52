//! The producers of a partition as bytes. Big-endian: version (1 byte, 1), number of producers (4), the producers in no order, CRC32C of
//! all that (4). A producer is its id (8), epoch (2), last activity (8), number of batches (1) and the batches: base sequence (4), last
//! offset delta (4), base offset (8), largest timestamp (8).
//!
//! Producers of whom nothing is in the log are left out: what is known of them ends with the process.

use std::collections::HashMap;

use bytes::{Buf, BufMut};

use super::state::{ProducerState, Producers, WrittenBatch, BATCHES_PER_PRODUCER};

const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;
const PRODUCER_BYTES: usize = 19;
const BATCH_BYTES: usize = 24;

/// Why bytes are no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Of another version.
    #[error("a snapshot of version {0}")]
    Version(u8),
    /// The checksum is wrong.
    #[error("the checksum is wrong")]
    Checksum,
    /// Too short or too long for what it says, or impossible values.
    #[error("it contradicts itself")]
    Malformed,
}

/// The bytes of a snapshot.
pub fn encode(producers: &Producers) -> Vec<u8> {
    let written = || producers.known.iter().filter(|(_, state)| !state.batches.is_empty());
    let (mut count, mut size) = (0u32, 1 + 4 + CRC_BYTES);
    for (_, state) in written() {
        count += 1;
        size += PRODUCER_BYTES + state.batches.len() * BATCH_BYTES;
    }
    let mut out = Vec::with_capacity(size);
    out.put_u8(VERSION);
    out.put_u32(count);
    for (producer_id, state) in written() {
        out.put_i64(*producer_id);
        out.put_i16(state.epoch);
        out.put_i64(state.last_activity_ms);
        out.put_u8(state.batches.len() as u8);
        for batch in &state.batches {
            out.put_i32(batch.base_sequence);
            out.put_i32(batch.last_offset_delta);
            out.put_i64(batch.base_offset);
            out.put_i64(batch.max_timestamp_ms);
        }
    }
    out.put_u32(crc32c::crc32c(&out));
    out
}

/// Reads a snapshot; takes no more memory than a small multiple of its size.
///
/// # Errors
/// Bytes that [`encode`] did not make.
pub fn decode(bytes: &[u8]) -> Result<Producers, SnapshotError> {
    let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(SnapshotError::Malformed)?;
    if crc32c::crc32c(content) != u32::from_be_bytes(*crc) {
        return Err(SnapshotError::Checksum);
    }
    let mut rest = content;
    let version = rest.try_get_u8().map_err(|_| SnapshotError::Malformed)?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let count = rest.try_get_u32().map_err(|_| SnapshotError::Malformed)? as usize;
    if count > rest.len() / (PRODUCER_BYTES + BATCH_BYTES) {
        return Err(SnapshotError::Malformed);
    }
    let mut known = HashMap::with_capacity(count);
    for _ in 0..count {
        let (producer_id, state) = producer(&mut rest).ok_or(SnapshotError::Malformed)?;
        if known.insert(producer_id, state).is_some() {
            return Err(SnapshotError::Malformed);
        }
    }
    if rest.has_remaining() {
        return Err(SnapshotError::Malformed);
    }
    Ok(Producers { known })
}

fn producer(rest: &mut &[u8]) -> Option<(i64, ProducerState)> {
    if rest.len() < PRODUCER_BYTES {
        return None;
    }
    let (producer_id, epoch, last_activity_ms, count) =
        (rest.get_i64(), rest.get_i16(), rest.get_i64(), usize::from(rest.get_u8()));
    if producer_id < 0 || !(1..=BATCHES_PER_PRODUCER).contains(&count) || rest.len() < count * BATCH_BYTES {
        return None;
    }
    let batches: Vec<_> = (0..count)
        .map(|_| WrittenBatch {
            base_sequence: rest.get_i32(),
            last_offset_delta: rest.get_i32(),
            base_offset: rest.get_i64(),
            max_timestamp_ms: rest.get_i64(),
        })
        .collect();
    let sane = |batch: &WrittenBatch| batch.base_sequence >= 0 && batch.last_offset_delta >= 0 && batch.base_offset >= 0;
    let state = ProducerState {
        epoch,
        batches,
        refused: None,
        last_activity_ms,
    };
    state.batches.iter().all(sane).then_some((producer_id, state))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::{Idle, ProducerBatch};
    use super::*;

    fn producers(appends: &[(i64, i16, i32, i64)]) -> Producers {
        let mut producers = Producers::default();
        for (index, &(producer_id, epoch, base_sequence, now_ms)) in appends.iter().enumerate() {
            let batch = ProducerBatch {
                producer_id,
                epoch,
                base_sequence,
                last_offset_delta: index as i32,
                max_timestamp_ms: now_ms - 7,
            };
            producers.replay(&batch, 10 * index as i64, now_ms);
        }
        producers
    }

    fn with_checksum(mut content: Vec<u8>) -> Vec<u8> {
        let crc = crc32c::crc32c(&content);
        content.put_u32(crc);
        content
    }

    proptest! {
        /// Every state comes back, and only from its own bytes.
        #[test]
        fn a_snapshot_comes_back(
            appends in prop::collection::vec((0..4i64, -1..3i16, 0..=i32::MAX, any::<i32>().prop_map(i64::from)), 0..40),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
        ) {
            let state = producers(&appends);
            let mut bytes = encode(&state);
            prop_assert_eq!(decode(&bytes), Ok(state));
            let at = at.index(bytes.len());
            prop_assert!(decode(&bytes[..at]).is_err());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes).is_err());
        }

        /// Bytes with a right checksum and anything before it are refused or read, without a panic.
        #[test]
        fn nonsense_is_no_snapshot(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&with_checksum(content.clone()));
            let _ = decode(&with_checksum([&[VERSION, 0, 0, 0, 1][..], &content].concat()));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(decode(&[]), Err(SnapshotError::Malformed));
        assert_eq!(decode(&with_checksum(vec![])), Err(SnapshotError::Malformed));
        assert_eq!(decode(&with_checksum(vec![2, 0, 0, 0, 0])), Err(SnapshotError::Version(2)));
        assert_eq!(
            decode(&with_checksum(vec![1, 0xff, 0xff, 0xff, 0xff])),
            Err(SnapshotError::Malformed)
        );
        assert_eq!(decode(&with_checksum(vec![1, 0, 0, 0, 0, 9])), Err(SnapshotError::Malformed));
        let mut twice = encode(&producers(&[(1, 0, 0, 5), (2, 0, 0, 5)]));
        twice.truncate(twice.len() - CRC_BYTES);
        let (first, second) = (5, 5 + PRODUCER_BYTES + BATCH_BYTES);
        twice.copy_within(first..first + 8, second);
        assert_eq!(decode(&with_checksum(twice)), Err(SnapshotError::Malformed));
    }

    #[test]
    fn producers_without_a_batch_in_the_log_are_left_out() {
        let mut state = producers(&[(1, 0, 0, 5)]);
        let refused = ProducerBatch {
            producer_id: 2,
            epoch: 0,
            base_sequence: 0,
            last_offset_delta: 0,
            max_timestamp_ms: 0,
        };
        assert!(state.refuse(&refused, Idle { since_ms: 0 }, 5));
        assert_eq!(decode(&encode(&state)), Ok(producers(&[(1, 0, 0, 5)])));
    }
}
