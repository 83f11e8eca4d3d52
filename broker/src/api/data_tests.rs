//! Produce and Fetch together, over a database thread on the model.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{FetchResponse, TopicName, TransactionalId};
use kafka_protocol::protocol::{Encodable, StrBytes};
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::dispatch::Dispatcher;
use super::encoding::assert_encodes;
use super::fixture::TestBroker;
use super::table::ApiKey;
use super::{fetch, produce};
use crate::net::{Budget, Charge, Protocol};
use crate::settings::Settings;
use crate::storage::model::ModelDatabase;
use crate::wire::batch::{BatchHeader, Compression};
use crate::wire::batch_builder::{BatchBuilder, BatchFacts};

struct Bench {
    broker: TestBroker,
}

impl Bench {
    fn start(database: &ModelDatabase) -> Self {
        Bench {
            broker: TestBroker::on(database, Settings::default()),
        }
    }

    async fn create(&self, name: &str) {
        self.broker.create_topic(name, 2, &[]).await;
    }

    async fn produce_with(&self, version: i16, acks: i16, topic: &str, records: Bytes) -> produce::Outcome {
        self.produce_in(None, version, acks, topic, records).await
    }

    async fn produce_in(
        &self,
        transaction: Option<&str>,
        version: i16,
        acks: i16,
        topic: &str,
        records: Bytes,
    ) -> produce::Outcome {
        let transaction = transaction.map(|id| TransactionalId(StrBytes::from_string(id.to_owned())));
        let partition = PartitionProduceData::default().with_index(0).with_records(Some(records));
        let data = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![partition]);
        let body = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![data])
            .with_transactional_id(transaction);
        produce::start(&self.broker.context, &self.broker.request(version), body, 0, Charge::none())
            .finish()
            .await
    }

    async fn produce(&self, topic: &str, records: Bytes) -> PartitionProduceResponse {
        match self.produce_with(9, -1, topic, records).await {
            produce::Outcome::Response(response) => {
                for version in ApiKey::Produce.api().served.iter() {
                    assert_encodes(ApiKey::Produce, version, &response_for(version, &response));
                }
                response.responses[0].partition_responses[0].clone()
            }
            _ => panic!("no response"),
        }
    }

    async fn answer(&self, version: i16, body: FetchRequest) -> FetchResponse {
        let asked = fetch::Asked::of(version, &body, self.broker.context.catalog.topics());
        let (reply, _charge) = fetch::handle(&self.broker.context, &self.broker.request(version), asked).await;
        reply.decoded(version)
    }

    async fn fetch(&self, topic: &str, offset: i64, change: impl FnOnce(FetchRequest) -> FetchRequest) -> PartitionData {
        let partition = FetchPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20);
        let topics = vec![FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition])];
        let body = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_min_bytes(1)
            .with_topics(topics);
        self.answer(12, change(body)).await.responses[0].partitions[0].clone()
    }
}

fn response_for(version: i16, response: &kafka_protocol::messages::ProduceResponse) -> kafka_protocol::messages::ProduceResponse {
    let mut response = response.clone();
    if version >= 13 {
        response.responses[0].name = TopicName::default();
    }
    response
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn batch(values: &[&str], facts: BatchFacts) -> Bytes {
    let mut builder = BatchBuilder::new(facts);
    for value in values {
        builder.push(now_ms(), None, Some(value.as_bytes()), []).unwrap();
    }
    builder.build().unwrap()
}

fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

fn plain(values: &[&str]) -> Bytes {
    batch(values, BatchFacts::default())
}

fn offset_of(records: &Bytes) -> i64 {
    i64::from_be_bytes(records[..8].try_into().unwrap())
}

#[tokio::test]
async fn what_is_produced_is_fetched_from_memory_and_from_storage() {
    let database = ModelDatabase::default();
    let mut bench = Bench::start(&database);
    bench.create("a").await;
    let (first, second) = (plain(&["x", "y"]), plain(&["z"]));
    assert_eq!(bench.produce("a", first.clone()).await.base_offset, 0);
    assert_eq!(bench.produce("a", second.clone()).await.base_offset, 2);
    for _ in ["from the cache", "after a restart, from storage"] {
        let answer = bench.fetch("a", 1, |body| body).await;
        assert_eq!((answer.error_code, answer.high_watermark, answer.log_start_offset), (0, 3, 0));
        let records = answer.records.unwrap();
        assert_eq!(offset_of(&records), 0, "from the batch that holds the offset");
        let (head, tail) = records.split_at(first.len());
        assert_eq!(
            (&head[16..], &tail[16..]),
            (&first[16..], &second[16..]),
            "stored as sent, but for the prefix"
        );
        assert_eq!(offset_of(&records.slice(first.len()..)), 2);
        drop(bench);
        bench = Bench::start(&database);
    }
}

#[tokio::test]
async fn a_fetch_waits_for_enough_bytes_and_is_woken_by_a_produce() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let waiting = bench.fetch("a", 0, |body| body.with_max_wait_ms(60_000).with_min_bytes(100));
    let producing = async {
        bench.produce("a", plain(&["x"])).await;
        bench.produce("a", plain(&["y"])).await;
    };
    let (answer, ()) = tokio::join!(waiting, producing);
    assert_eq!(answer.records.unwrap().len(), 2 * plain(&["x"]).len());
}

#[tokio::test]
async fn an_empty_partition_answers_after_the_wait() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let answer = bench.fetch("a", 0, |body| body.with_max_wait_ms(20)).await;
    assert_eq!((answer.error_code, answer.records.unwrap().len()), (0, 0));
}

#[tokio::test]
async fn a_deleted_topic_ends_a_waiting_fetch() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let id = bench.broker.context.catalog.topics().by_name("a").unwrap().id;
    let waiting = bench.fetch("a", 0, |body| body.with_max_wait_ms(60_000));
    let deleting = bench
        .broker
        .context
        .storage
        .delete_topic(id, Instant::now() + Duration::from_secs(10));
    let (answer, deleted) = tokio::join!(waiting, deleting);
    deleted.unwrap();
    assert_eq!(answer.error_code, ResponseError::UnknownTopicOrPartition.code());
}

#[tokio::test]
async fn the_first_batch_goes_out_whatever_its_size_and_the_next_only_if_it_fits() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let size = plain(&["xxxxxxxxxx"]).len();
    for _ in 0..3 {
        bench.produce("a", plain(&["xxxxxxxxxx"])).await;
    }
    for (max_bytes, batches) in [(1, 1), (size as i32, 1), (2 * size as i32, 2), (2 * size as i32 + 1, 2)] {
        let answer = bench.fetch("a", 0, |body| body.with_max_bytes(max_bytes)).await;
        assert_eq!(answer.records.unwrap().len(), batches * size, "max_bytes {max_bytes}");
    }
}

#[tokio::test]
async fn offsets_out_of_range_and_wrong_epochs_are_errors_with_unknown_bounds() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    bench.produce("a", plain(&["x"])).await;
    let epoch = bench.broker.context.catalog.leader_epoch();
    let with_epoch = |epoch| {
        move |mut body: FetchRequest| {
            body.topics[0].partitions[0].current_leader_epoch = epoch;
            body.with_max_wait_ms(60_000)
        }
    };
    let cases = [
        (2, -1, ResponseError::OffsetOutOfRange),
        (-1, -1, ResponseError::OffsetOutOfRange),
        (0, epoch - 1, ResponseError::FencedLeaderEpoch),
        (0, epoch + 1, ResponseError::UnknownLeaderEpoch),
    ];
    for (offset, epoch, error) in cases {
        let answer = bench.fetch("a", offset, with_epoch(epoch)).await;
        assert_eq!(
            (answer.error_code, answer.high_watermark, answer.log_start_offset),
            (error.code(), -1, -1)
        );
    }
}

#[tokio::test]
async fn refusals_of_produce() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let transactional = || {
        batch(
            &["x"],
            BatchFacts {
                transactional: true,
                producer_id: 5,
                producer_epoch: 0,
                base_sequence: 0,
                ..BatchFacts::default()
            },
        )
    };
    let cases = [
        (None, 9, -1, "b", plain(&["x"]), ResponseError::UnknownTopicOrPartition),
        (None, 13, -1, "a", plain(&["x"]), ResponseError::UnknownTopicId),
        (None, 9, 2, "a", plain(&["x"]), ResponseError::InvalidRequiredAcks),
        (Some("t"), 10, -1, "a", transactional(), ResponseError::InvalidTxnState),
        (Some("t"), 11, -1, "a", transactional(), ResponseError::TransactionAbortable),
        (
            None,
            11,
            -1,
            "a",
            transactional(),
            ResponseError::TransactionalIdAuthorizationFailed,
        ),
    ];
    for (transaction, version, acks, topic, records, expected) in cases {
        let outcome = bench.produce_in(transaction, version, acks, topic, records).await;
        let produce::Outcome::Response(response) = outcome else {
            panic!("no response");
        };
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (expected.code(), -1),
            "{expected:?}"
        );
    }
}

/// Goal: a repetition is answered as the first time, whatever the topic makes of its batches; errors of sequences tell the log start.
#[tokio::test]
async fn idempotent_batches_are_written_once() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.broker.create_topic("t", 1, &[("compression.type", "gzip")]).await;
    let facts = |producer_epoch, base_sequence| BatchFacts {
        producer_id: 5,
        producer_epoch,
        base_sequence,
        ..BatchFacts::default()
    };
    let first = batch(&["a", "b"], facts(0, 0));
    let answer = bench.produce("t", first.clone()).await;
    assert_eq!((answer.error_code, answer.base_offset, answer.log_append_time_ms), (0, 0, -1));
    let stored = bench.fetch("t", 0, |body| body).await.records.unwrap();
    let header = BatchHeader::parse(&stored).unwrap();
    assert_eq!(
        (header.producer_id, header.producer_epoch, header.base_sequence),
        (5, 0, 0),
        "rebuilt"
    );
    let answer = bench.produce("t", first).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    assert_eq!(answer.log_append_time_ms, header.max_timestamp);
    assert_eq!(bench.produce("t", batch(&["c"], facts(1, 0))).await.base_offset, 2);
    bench.broker.delete_records("t", 0, 1).await;
    for (epoch, sequence, code) in [(1, 2, 45), (0, 2, 47)] {
        let answer = bench.produce("t", batch(&["d"], facts(epoch, sequence))).await;
        assert_eq!(
            (answer.error_code, answer.base_offset, answer.log_start_offset),
            (code, -1, 1)
        );
        assert!(answer.error_message.is_some());
    }
    let silent = bench.produce_with(9, 0, "t", batch(&["c"], facts(1, 0))).await;
    assert!(matches!(silent, produce::Outcome::Silent));
}

#[tokio::test]
async fn without_acks_there_is_silence_or_a_close() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    assert!(matches!(
        bench.produce_with(9, 0, "a", plain(&["x"])).await,
        produce::Outcome::Silent
    ));
    assert!(matches!(
        bench.produce_with(9, 0, "b", plain(&["x"])).await,
        produce::Outcome::Close(_)
    ));
}

#[tokio::test]
async fn a_fetch_response_encodes_at_every_version() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    bench.produce("a", plain(&["x"])).await;
    let id = bench.broker.context.catalog.topics().by_name("a").unwrap().id;
    for version in ApiKey::Fetch.api().served.iter() {
        for (topic, offset) in [("a", 0), ("a", 9), ("b", 0)] {
            let partition = FetchPartition::default()
                .with_fetch_offset(offset)
                .with_partition_max_bytes(100)
                .with_current_leader_epoch(-1);
            let asked = FetchTopic::default().with_partitions(vec![partition]);
            let asked = if version >= 13 {
                asked.with_topic_id(if topic == "a" { id } else { Uuid::new_v4() })
            } else {
                asked.with_topic(name(topic))
            };
            let body = FetchRequest::default()
                .with_topics(vec![asked])
                .with_max_bytes(100)
                .with_isolation_level(1);
            bench.answer(version, body).await;
        }
    }
}

/// Goal: while clients that do not read hold the whole response budget, small batches are answered at once, as many as fit a small
/// answer, and a large first batch in its turn and whole.
#[tokio::test]
async fn an_exhausted_response_budget_leaves_room_for_small_answers() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("small").await;
    bench.create("large").await;
    let (little, much) = ("x".repeat(30_000), "y".repeat(100_000));
    for _ in 0..4 {
        bench.produce("small", plain(&[&little])).await;
    }
    bench.produce("large", plain(&[&much])).await;
    let held = bench.broker.context.response_budget.acquire(usize::MAX).await;
    let answer = bench.fetch("small", 0, |body| body).await;
    let size = answer.records.unwrap().len();
    assert!((60_000..65_536).contains(&size), "{size} bytes of two batches");
    let waiting = bench.fetch("large", 0, |body| body);
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("answered without budget"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    drop(held);
    assert!(waiting.await.records.unwrap().len() > 100_000);
}

/// Goal: a Fetch does not wait for more bytes than its answer may have.
#[tokio::test]
async fn a_fetch_waits_for_no_more_than_it_may_have() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    bench.produce("a", plain(&["x", "y"])).await;
    let size = plain(&["x", "y"]).len() as i32;
    let asked = bench.fetch("a", 0, |body| {
        body.with_max_wait_ms(600_000).with_min_bytes(10 * size).with_max_bytes(size)
    });
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
    assert_eq!(answer.records.unwrap().len(), size as usize);
}

/// A Produce of these records to partition 0, as often as said.
fn repeated(topic: &str, records: &Bytes, times: usize) -> ProduceRequest {
    let partition = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(records.clone()));
    let data = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![partition; times]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

/// Goal: the records at fault that a response names are bounded for the request, not for each of its batches.
#[tokio::test]
async fn a_request_has_so_many_record_errors() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let mut builder = BatchBuilder::new(BatchFacts::default());
    for _ in 0..300 {
        builder.push(i64::MAX / 2, None, None, []).unwrap();
    }
    let body = repeated("a", &builder.build().unwrap(), 10);
    let info = bench.broker.request(9);
    let started = produce::start(&bench.broker.context, &info, body, 0, Charge::none());
    let produce::Outcome::Response(response) = started.finish().await else {
        panic!("no response")
    };
    let answers = &response.responses[0].partition_responses;
    assert!(answers
        .iter()
        .all(|answer| answer.error_code == ResponseError::InvalidTimestamp.code()));
    let named: Vec<_> = answers.iter().map(|answer| answer.record_errors.len()).collect();
    assert_eq!(named, [300, 300, 300, 100, 0, 0, 0, 0, 0, 0]);
}

/// Goal: what a batch grows to when it is rebuilt counts against the receive budget, and where that is exhausted it is refused and
/// surely not written.
#[tokio::test]
async fn batches_that_grow_are_charged() {
    let bench = Bench::start(&ModelDatabase::default());
    bench
        .broker
        .create_topic("a", 1, &[("compression.type", "uncompressed")])
        .await;
    let zeros = [0; 100_000];
    let mut builder = BatchBuilder::new(BatchFacts {
        compression: Compression::Zstd,
        ..BatchFacts::default()
    });
    builder.push(now_ms(), None, Some(&zeros), []).unwrap();
    let records = builder.build().unwrap();
    assert!(records.len() < 1_000);
    let info = bench.broker.request(9);
    for (budget, codes) in [(150_000, [0, 7]), (250_000, [0, 0])] {
        let budget = Budget::new(budget);
        let charge = budget.acquire(2 * records.len()).await;
        bench.broker.model.database.hold_durability(true);
        let started = produce::start(&bench.broker.context, &info, repeated("a", &records, 2), 0, charge);
        bench.broker.model.database.hold_durability(false);
        let produce::Outcome::Response(response) = started.finish().await else {
            panic!("no response")
        };
        let answers = response.responses[0].partition_responses.iter();
        assert_eq!(answers.map(|answer| answer.error_code).collect::<Vec<_>>(), codes);
    }
}

/// Goal: a Fetch that waits keeps nobody from sending: its frame, however large, is given back before it waits.
#[tokio::test]
async fn a_waiting_fetch_holds_nothing_of_the_receive_budget() {
    let bench = Bench::start(&ModelDatabase::default());
    bench.create("a").await;
    let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
    let topics = vec![FetchTopic::default().with_topic(name("a")).with_partitions(vec![partition])];
    let body = FetchRequest::default()
        .with_max_wait_ms(600_000)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(topics);
    let mut frame = BytesMut::new();
    // Key, version, correlation id, no client id, no tagged fields.
    frame.extend_from_slice(&[0, 1, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0]);
    body.encode(&mut frame, 12).unwrap();
    frame.resize(1 << 20, 0);
    let budget = Budget::new(1 << 20);
    let charge = budget.acquire(frame.len()).await;
    let peer = bench.broker.request(12).peer;
    let dispatcher = Arc::new(Dispatcher::new(bench.broker.context));
    let mut reply = dispatcher.start(&peer, frame.freeze(), charge);
    let polled = std::future::poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    assert_eq!(budget.free(), budget.total());
}
