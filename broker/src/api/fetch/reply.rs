//! The answer to a Fetch as parts of a frame: records are sent from where they were found in memory, without a copy.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::protocol::Encodable;

use crate::storage::engine::{PlacedBatch, BATCH_PREFIX_BYTES};

/// Parts of a frame that are smaller than this are copied into one: a part of its own takes a place of a vectored write.
const PART_BYTES: usize = 4096;

/// What was copied is a part of its own from this size on, and has a buffer of its own: one for all of it would hold up to twice its bytes as it
/// grows.
const COPIED_BYTES: usize = 64 * 1024;

/// First version of the flexible encoding (KIP-482).
const FLEXIBLE: i16 = 12;

/// Parts of a frame, in their order.
#[derive(Debug, Default)]
pub struct Parts {
    done: Vec<Bytes>,
    /// What follows them.
    last: BytesMut,
}

/// Records of one partition: whole batches.
#[derive(Debug, Default)]
pub struct Records(Parts);

/// An answer; records stand beside it, one for each partition in its order.
#[derive(Debug, Default)]
pub struct FetchReply {
    /// All of it but the records, in whose place stands an empty value.
    pub response: FetchResponse,
    /// The records.
    pub records: Vec<Records>,
}

/// Why an answer has no encoding.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// What the library says.
    #[error("{0}")]
    Library(String),
    /// The library has encoded something else than an empty value where one was to be filled in, or it is too long for its length field.
    #[error("a value of {0} bytes or elements has no place in the response")]
    NoPlace(usize),
}

impl Parts {
    fn push(&mut self, bytes: Bytes) {
        if bytes.len() < PART_BYTES {
            self.last.put_slice(&bytes);
            if self.last.len() >= COPIED_BYTES {
                let next = BytesMut::with_capacity(COPIED_BYTES + PART_BYTES);
                self.done.push(std::mem::replace(&mut self.last, next).freeze());
            }
        } else {
            self.close();
            self.done.push(bytes);
        }
    }

    fn append(&mut self, mut other: Parts) {
        other.close();
        other.done.into_iter().for_each(|part| self.push(part));
    }

    fn close(&mut self) {
        if !self.last.is_empty() {
            self.done.push(self.last.split().freeze());
        }
    }

    fn bytes(&self) -> usize {
        self.done.iter().map(Bytes::len).sum::<usize>() + self.last.len()
    }

    /// Takes back the empty array or empty bytes that were encoded last, and the absence of tagged fields behind it, and writes the length of
    /// what follows in their place. What follows is ended by
    /// [`Parts::end_struct`].
    fn fill_in(&mut self, version: i16, length: usize) -> Result<(), EncodeError> {
        let empty: &[u8] = if version >= FLEXIBLE { &[1, 0] } else { &[0; 4] };
        let Some(head) = self.last.strip_suffix(empty).map(<[u8]>::len) else {
            return Err(EncodeError::NoPlace(length));
        };
        self.last.truncate(head);
        let value = i32::try_from(length).map_err(|_| EncodeError::NoPlace(length))?;
        if version >= FLEXIBLE {
            put_unsigned_varint(&mut self.last, value as u32 + 1);
        } else {
            self.last.put_i32(value);
        }
        Ok(())
    }

    /// No tagged fields.
    fn end_struct(&mut self, version: i16) {
        if version >= FLEXIBLE {
            self.last.put_u8(0);
        }
    }
}

/// Seven bits a byte, the lowest first, the high bit set in all but the last.
fn put_unsigned_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn encode(part: &impl Encodable, version: i16, parts: &mut Parts) -> Result<(), EncodeError> {
    part.encode(&mut parts.last, version)
        .map_err(|error| EncodeError::Library(error.to_string()))
}

impl Records {
    /// Adds a batch as it is stored.
    pub fn push(&mut self, batch: Bytes) {
        self.0.push(batch);
    }

    /// Adds a batch with the offset and the epoch that it was given.
    pub fn push_placed(&mut self, batch: &PlacedBatch) {
        self.0.last.put_slice(&batch.prefix());
        self.0.push(batch.bytes.slice(BATCH_PREFIX_BYTES..));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.bytes() == 0
    }
}

impl FetchReply {
    /// The frame that begins with `header`. The library encodes all but the lengths of arrays and of records.
    ///
    /// # Errors
    /// Nothing of this shape can be encoded at `version`.
    pub fn encode(self, version: i16, header: BytesMut) -> Result<Vec<Bytes>, EncodeError> {
        let FetchReply { mut response, records } = self;
        let topics = std::mem::take(&mut response.responses);
        let mut records = records.into_iter();
        let mut parts = Parts {
            done: Vec::new(),
            last: header,
        };
        encode(&response, version, &mut parts)?;
        parts.fill_in(version, topics.len())?;
        for mut topic in topics {
            let partitions = std::mem::take(&mut topic.partitions);
            encode(&topic, version, &mut parts)?;
            parts.fill_in(version, partitions.len())?;
            for partition in partitions {
                encode(&partition, version, &mut parts)?;
                let records = records.next().unwrap_or_default();
                parts.fill_in(version, records.0.bytes())?;
                parts.append(records.0);
                parts.end_struct(version);
            }
            parts.end_struct(version);
        }
        parts.end_struct(version);
        parts.close();
        Ok(parts.done)
    }
}

#[cfg(test)]
impl FetchReply {
    /// What a client reads at `version`.
    pub fn decoded(self, version: i16) -> FetchResponse {
        use kafka_protocol::protocol::Decodable;
        let parts = self
            .encode(version, BytesMut::new())
            .unwrap_or_else(|error| panic!("version {version}: {error}"));
        let mut frame = Bytes::from(parts.concat());
        let response = FetchResponse::decode(&mut frame, version).unwrap_or_else(|error| panic!("version {version}: {error}"));
        assert!(frame.is_empty(), "version {version}: {} bytes too many", frame.len());
        response
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::protocol::StrBytes;
    use uuid::Uuid;

    use super::*;
    use crate::api::table::ApiKey;

    fn partition(index: i32, records: &[u8]) -> PartitionData {
        PartitionData::default()
            .with_partition_index(index)
            .with_error_code(index as i16)
            .with_high_watermark(7)
            .with_aborted_transactions((index == 1).then(Vec::new))
            .with_records(Some(Bytes::copy_from_slice(records)))
    }

    /// An answer as the library holds it.
    fn answer(version: i16) -> FetchResponse {
        let sizes = [vec![0, 1, 300, PART_BYTES - 1], vec![PART_BYTES, 3 * PART_BYTES], vec![]];
        let topics = sizes.iter().enumerate().map(|(number, sizes)| {
            let partitions = sizes.iter().enumerate();
            let partitions = partitions.map(|(index, size)| partition(index as i32, &vec![index as u8 + 1; *size]));
            let topic = FetchableTopicResponse::default().with_partitions(partitions.collect());
            match version >= 13 {
                true => topic.with_topic_id(Uuid::from_u128(number as u128 + 1)),
                false => topic.with_topic(TopicName(StrBytes::from_string(format!("topic{number}")))),
            }
        });
        FetchResponse::default()
            .with_session_id(if version >= 7 { 9 } else { 0 })
            .with_responses(topics.collect())
    }

    /// The same with its records apart, each in two batches.
    fn apart(mut response: FetchResponse) -> FetchReply {
        let mut records = Vec::new();
        for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            let bytes = partition.records.replace(Bytes::new()).unwrap_or_default();
            let (mut some, half) = (Records::default(), bytes.len() / 2);
            some.push(bytes.slice(..half));
            some.push(bytes.slice(half..));
            records.push(some);
        }
        FetchReply { response, records }
    }

    /// Goal: byte for byte what the library encodes, at every version.
    #[test]
    fn frames_are_those_of_the_library() {
        for version in ApiKey::Fetch.api().served.iter() {
            for response in [answer(version), FetchResponse::default()] {
                let mut expected = BytesMut::from(&b"header"[..]);
                response.encode(&mut expected, version).unwrap();
                let parts = apart(response).encode(version, BytesMut::from(&b"header"[..])).unwrap();
                assert_eq!(parts.concat(), expected, "version {version}");
            }
        }
    }

    /// Goal: large batches are not copied, small ones take no part of their own.
    #[test]
    fn large_batches_stay_where_they_are() {
        let (large, small) = (Bytes::from(vec![1; PART_BYTES]), Bytes::from(vec![2; 10]));
        let mut records = Records::default();
        [&small, &large, &small, &small]
            .into_iter()
            .for_each(|batch| records.push(batch.clone()));
        let response = FetchResponse::default().with_responses(vec![
            FetchableTopicResponse::default().with_partitions(vec![partition(0, &[])])
        ]);
        let reply = FetchReply {
            response,
            records: vec![records],
        };
        let parts = reply.encode(12, BytesMut::new()).unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[1].as_ptr(), large.as_ptr());
    }

    /// Goal: many small batches are copied into parts of a moderate size, which take little more memory than they have bytes.
    #[test]
    fn small_batches_are_joined() {
        let mut records = Records::default();
        let batch = Bytes::from(vec![1; 500]);
        (0..1000).for_each(|_| records.push(batch.clone()));
        assert_eq!(records.0.bytes(), 500 * 1000);
        records.0.close();
        let Parts { done: parts, last } = records.0;
        drop(last);
        assert_eq!(parts.len(), (500 * 1000_usize).div_ceil(COPIED_BYTES));
        // A part that shared its memory with others would not be taken back.
        let memory: usize = parts.into_iter().map(|part| part.try_into_mut().unwrap().capacity()).sum();
        assert!(memory < 500 * 1000 + 3 * COPIED_BYTES, "{memory} bytes of memory");
    }

    #[test]
    fn a_response_with_records_of_its_own_is_refused() {
        let reply = FetchReply {
            response: answer(12),
            records: Vec::new(),
        };
        assert!(reply.encode(12, BytesMut::new()).is_err());
    }
}
