//! The requests that most tests need, for one partition, at any version.

use crate::batch::{Batch, Stored};
use crate::connection::{Connection, Sent};
use crate::patience::eventually;
use crate::topic::Topic;
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ProduceRequest,
    ProduceResponse,
};

/// The newest version of Produce that Kafka 4.3 speaks.
pub const PRODUCE: i16 = 13;
/// The newest version of Fetch that Kafka 4.3 speaks.
pub const FETCH: i16 = 18;

/// A Produce of these bytes to one partition, naming the topic as the version does.
pub fn produce_request(version: i16, topic: &Topic, partition: i32, acks: i16, records: &[u8]) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(Bytes::copy_from_slice(records)));
    let mut entry = TopicProduceData::default().with_partition_data(vec![data]);
    if version >= 13 {
        entry = entry.with_topic_id(topic.id);
    } else {
        entry = entry.with_name(topic.topic_name());
    }
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(20_000)
        .with_topic_data(vec![entry])
}

/// Produces these bytes to one partition and gives the partition's part of the reply.
pub fn produce_bytes(
    connection: &mut Connection,
    version: i16,
    topic: &Topic,
    partition: i32,
    acks: i16,
    records: &[u8],
) -> PartitionProduceResponse {
    let reply = connection.call(version, &produce_request(version, topic, partition, acks, records));
    only_partition_produced(reply)
}

/// The partition's part of a Produce reply about one partition.
pub fn only_partition_produced(mut reply: ProduceResponse) -> PartitionProduceResponse {
    assert_eq!(reply.responses.len(), 1, "topics in the reply to a Produce of one");
    let mut topic = reply.responses.remove(0);
    assert_eq!(
        topic.partition_responses.len(),
        1,
        "partitions in the reply to a Produce of one"
    );
    topic.partition_responses.remove(0)
}

/// Produces a batch with acks=all and gives its base offset; panics on an error.
pub fn append(connection: &mut Connection, topic: &Topic, partition: i32, batch: &Batch) -> i64 {
    let reply = produce_bytes(connection, PRODUCE, topic, partition, -1, &batch.encode());
    assert_eq!(
        reply.error_code, 0,
        "produce to {} {partition}: {:?}",
        topic.name, reply.error_message
    );
    reply.base_offset
}

/// A Fetch of one partition, and how long it may wait for how much.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Partition.
    pub partition: i32,
    /// First offset wanted.
    pub offset: i64,
    /// Time to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// Bytes to wait for.
    pub min_bytes: i32,
    /// Bytes of the whole reply.
    pub max_bytes: i32,
    /// Bytes of the partition.
    pub partition_max_bytes: i32,
    /// Leader epoch that the client knows, or -1.
    pub current_leader_epoch: i32,
}

impl Reading {
    /// Partition 0 from an offset, not waiting, with room for everything.
    pub fn from(offset: i64) -> Reading {
        Reading {
            partition: 0,
            offset,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: i32::MAX,
            partition_max_bytes: i32::MAX,
            current_leader_epoch: -1,
        }
    }
}

/// A Fetch without a session, naming the topic as the version does.
pub fn fetch_request(version: i16, topic: &Topic, reading: Reading) -> FetchRequest {
    let mut partition = FetchPartition::default()
        .with_partition(reading.partition)
        .with_fetch_offset(reading.offset)
        .with_partition_max_bytes(reading.partition_max_bytes);
    if version >= 9 {
        partition = partition.with_current_leader_epoch(reading.current_leader_epoch);
    }
    let mut entry = FetchTopic::default().with_partitions(vec![partition]);
    if version >= 13 {
        entry = entry.with_topic_id(topic.id);
    } else {
        entry = entry.with_topic(topic.topic_name());
    }
    FetchRequest::default()
        .with_max_wait_ms(reading.max_wait_ms)
        .with_min_bytes(reading.min_bytes)
        .with_max_bytes(reading.max_bytes)
        .with_topics(vec![entry])
}

/// The partition's part of a Fetch reply about one partition.
pub fn only_partition_fetched(mut reply: FetchResponse) -> PartitionData {
    assert_eq!(reply.error_code, 0, "error of the whole Fetch");
    assert_eq!(reply.responses.len(), 1, "topics in the reply to a Fetch of one");
    let mut topic = reply.responses.remove(0);
    assert_eq!(topic.partitions.len(), 1, "partitions in the reply to a Fetch of one");
    topic.partitions.remove(0)
}

/// Fetches from one partition and gives the partition's part of the reply.
pub fn fetch(connection: &mut Connection, version: i16, topic: &Topic, reading: Reading) -> PartitionData {
    only_partition_fetched(connection.call(version, &fetch_request(version, topic, reading)))
}

/// The stored batches of one partition from an offset up to the high watermark.
pub fn read_all(connection: &mut Connection, topic: &Topic, partition: i32, mut offset: i64) -> Vec<Stored> {
    let mut found = Vec::new();
    loop {
        let reading = Reading {
            partition,
            max_bytes: 32 << 20,
            partition_max_bytes: 32 << 20,
            ..Reading::from(offset)
        };
        let data = fetch(connection, FETCH, topic, reading);
        assert_eq!(data.error_code, 0, "fetch {} {partition} from {offset}", topic.name);
        let batches = Stored::all(data.records.as_deref().unwrap_or_default());
        let Some(last) = batches.last() else {
            assert_eq!(offset, data.high_watermark, "nothing came below the high watermark");
            return found;
        };
        offset = last.next_offset();
        found.extend(batches);
        if offset >= data.high_watermark {
            return found;
        }
    }
}

/// What ListOffsets says about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Kafka error code.
    pub error_code: i16,
    /// Timestamp of the record found, or -1.
    pub timestamp: i64,
    /// Offset found, or -1.
    pub offset: i64,
}

/// A ListOffsets of one partition for a timestamp or one of the sentinels (-1 latest, -2 earliest, ...).
pub fn list_offsets_request(topic: &Topic, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let wanted = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(timestamp);
    ListOffsetsRequest::default().with_topics(vec![ListOffsetsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![wanted])])
}

/// Asks ListOffsets about one partition. Version 11 has the bytes of version 10.
pub fn list_offsets(connection: &mut Connection, version: i16, topic: &Topic, partition: i32, timestamp: i64) -> Found {
    let mut reply = connection.call_as(version, version.min(10), &list_offsets_request(topic, partition, timestamp));
    assert_eq!(reply.topics.len(), 1, "topics in the reply to a ListOffsets of one");
    let mut topic = reply.topics.remove(0);
    assert_eq!(topic.partitions.len(), 1, "partitions in the reply to a ListOffsets of one");
    let partition = topic.partitions.remove(0);
    Found {
        error_code: partition.error_code,
        timestamp: partition.timestamp,
        offset: partition.offset,
    }
}

/// Offset behind the last record that a consumer may see.
pub fn latest(connection: &mut Connection, topic: &Topic, partition: i32) -> i64 {
    let found = list_offsets(connection, 7, topic, partition, -1);
    assert_eq!(found.error_code, 0, "latest offset of {} {partition}", topic.name);
    found.offset
}

/// Sends a Produce without waiting for its reply.
pub fn send_produce(connection: &mut Connection, version: i16, topic: &Topic, acks: i16, batch: &Batch) -> Sent {
    connection.send(version, &produce_request(version, topic, 0, acks, &batch.encode()))
}

/// Sends an InitProducerId until the server is ready for it (Apache Kafka fetches a block of ids when it is first asked), and gives the
/// reply.
pub fn init_producer_id(connection: &mut Connection, version: i16, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    eventually("a producer id", || {
        let reply = connection.call(version, request);
        (reply.error_code != COORDINATOR_LOAD_IN_PROGRESS).then_some(reply)
    })
}
