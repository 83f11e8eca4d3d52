//! Fetch sessions (KIP-227) over a database thread on the model.

use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::fetch;
use super::fixture::TestBroker;
use crate::settings::Settings;

const NOT_FOUND: i16 = 70;
const WRONG_EPOCH: i16 = 71;
const WRONG_KIND_OF_NAME: i16 = 106;

async fn call(broker: &TestBroker, version: i16, body: FetchRequest) -> FetchResponse {
    let asked = fetch::Asked::of(version, &body, broker.context.catalog.topics());
    let (reply, _charge) = fetch::handle(&broker.context, &broker.request(version), asked).await;
    reply.decoded(version)
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Partitions of a topic at offsets, in a session.
fn request(id: i32, epoch: i32, topic: &str, partitions: &[(i32, i64)]) -> FetchRequest {
    let partition = |(partition, offset): &(i32, i64)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20)
    };
    let topics = match partitions {
        [] => vec![],
        _ => vec![FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(partitions.iter().map(partition).collect())],
    };
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_min_bytes(1)
        .with_session_id(id)
        .with_session_epoch(epoch)
        .with_topics(topics)
}

/// (partition, error, high watermark, bytes of records) of an answer, in its order.
fn told(response: &FetchResponse) -> Vec<(i32, i16, i64, bool)> {
    assert_eq!(response.error_code, 0);
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|answer| {
            let has_records = answer.records.as_ref().is_some_and(|records| !records.is_empty());
            (answer.partition_index, answer.error_code, answer.high_watermark, has_records)
        })
        .collect()
}

/// A broker with a topic of three empty partitions, and a session of them.
async fn with_session() -> (TestBroker, i32) {
    let broker = TestBroker::start();
    broker.create_topic("t", 3, &[]).await;
    let response = call(&broker, 12, request(0, 0, "t", &[(0, 0), (1, 0), (2, 0)])).await;
    assert_eq!(told(&response), [(0, 0, 0, false), (1, 0, 0, false), (2, 0, 0, false)]);
    assert!(response.session_id > 0);
    (broker, response.session_id)
}

/// Goal: after the first answer only what is new comes, and what was forgotten does not come at all.
#[tokio::test]
async fn answers_have_what_is_new() {
    let (broker, id) = with_session().await;
    assert_eq!(told(&call(&broker, 12, request(id, 1, "t", &[])).await), []);
    broker.append("t", 1, &[1]).await;
    let response = call(&broker, 12, request(id, 2, "t", &[])).await;
    assert_eq!((told(&response), response.session_id), (vec![(1, 0, 1, true)], id));
    let response = call(&broker, 12, request(id, 3, "t", &[(1, 1)])).await;
    assert_eq!((told(&response), response.session_id), (vec![], id));
    broker.delete_records("t", 1, 1).await;
    assert_eq!(told(&call(&broker, 12, request(id, 4, "t", &[])).await), [(1, 0, 1, false)]);
    assert_eq!(
        told(&call(&broker, 12, request(id, 5, "t", &[(1, 7)])).await),
        [(1, 1, -1, false)]
    );
    assert_eq!(told(&call(&broker, 12, request(id, 6, "t", &[])).await), [(1, 1, -1, false)]);
    assert_eq!(
        told(&call(&broker, 12, request(id, 7, "t", &[(1, 1)])).await),
        [(1, 0, 1, false)]
    );
    broker.append("t", 0, &[1]).await;
    let forget = |body: FetchRequest, partitions: &[i32]| {
        let forgotten = ForgottenTopic::default()
            .with_topic(name("t"))
            .with_partitions(partitions.to_vec());
        body.with_forgotten_topics_data(vec![forgotten])
    };
    assert_eq!(told(&call(&broker, 12, forget(request(id, 8, "t", &[]), &[0])).await), []);
    // Of a session without partitions nothing is left; what the same request asked for is answered all the same.
    let last = forget(request(id, 9, "t", &[(0, 0)]), &[0, 1, 2]);
    let response = call(&broker, 12, last).await;
    assert_eq!((told(&response), response.session_id), (vec![(0, 0, 1, true)], 0));
    assert_eq!(call(&broker, 12, request(id, 10, "t", &[])).await.error_code, NOT_FOUND);
}

/// Goal: with room for one batch in an answer, partitions that always have records take turns.
#[tokio::test]
async fn no_partition_starves() {
    let (broker, id) = with_session().await;
    for partition in 0..3 {
        for _ in 0..2 {
            broker.append("t", partition, &[1]).await;
        }
    }
    let mut offsets = [0; 3];
    let mut read = Vec::new();
    let mut changed = vec![];
    for epoch in 1..=6 {
        let response = call(&broker, 12, request(id, epoch, "t", &changed).with_max_bytes(1)).await;
        let answers = told(&response);
        let had_records: Vec<_> = answers.iter().filter(|answer| answer.3).map(|answer| answer.0).collect();
        let [partition] = had_records[..] else { panic!("{answers:?}") };
        read.push(partition);
        offsets[partition as usize] += 1;
        changed = vec![(partition, offsets[partition as usize])];
    }
    assert_eq!(read, [0, 1, 2, 0, 1, 2]);
}

/// Goal: what a session waits for wakes it, whichever partition it is; other news come along.
#[tokio::test]
async fn a_session_waits_for_all_its_partitions() {
    let (broker, id) = with_session().await;
    broker.append("t", 2, &[1]).await;
    broker.delete_records("t", 2, 1).await;
    let waiting = request(id, 1, "t", &[(2, 1)]).with_max_wait_ms(600_000);
    let (response, _) = tokio::join!(call(&broker, 12, waiting), broker.append("t", 1, &[1]));
    assert_eq!(told(&response), [(1, 0, 1, true), (2, 0, 1, false)]);
    let in_vain = request(id, 2, "t", &[(1, 1)]).with_max_wait_ms(20);
    assert_eq!(told(&call(&broker, 12, in_vain).await), []);
}

/// Goal: a second request of a session ends the first, which is told so; it does not keep what it waited for.
#[tokio::test]
async fn a_request_overtakes_one_that_waits() {
    let (broker, id) = with_session().await;
    let waiting = call(&broker, 12, request(id, 1, "t", &[]).with_max_wait_ms(600_000));
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("answered without news"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(told(&call(&broker, 12, request(id, 2, "t", &[])).await), []);
    let overtaken = tokio::time::timeout(Duration::from_secs(30), &mut waiting).await.unwrap();
    assert_eq!((overtaken.error_code, overtaken.session_id), (WRONG_EPOCH, id));
}

/// Goal: sessions that are not there, other epochs than the next and the other kind of topic names are refused, and change nothing.
#[tokio::test]
async fn refusals() {
    let (broker, id) = with_session().await;
    for (version, body, error) in [
        (12, request(id + 1, 1, "t", &[]), NOT_FOUND),
        (12, request(0, 1, "t", &[]), NOT_FOUND),
        (12, request(-1, 1, "t", &[]), NOT_FOUND),
        (12, request(id, 2, "t", &[]), WRONG_EPOCH),
        (12, request(id, -2, "t", &[]), WRONG_EPOCH),
        (13, request(id, 1, "t", &[]), WRONG_KIND_OF_NAME),
    ] {
        let response = call(&broker, version, body).await;
        assert_eq!(
            (response.error_code, response.session_id, response.responses.len()),
            (error, 0, 0)
        );
    }
    assert_eq!(told(&call(&broker, 12, request(id, 1, "t", &[])).await), []);
}

/// Goal: a full request closes the session that it names, whether it begins another or none.
#[tokio::test]
async fn full_requests_close_sessions() {
    let (broker, id) = with_session().await;
    let other = call(&broker, 12, request(id, 0, "t", &[(0, 0)])).await;
    assert!(other.session_id > 0 && other.session_id != id);
    assert_eq!(call(&broker, 12, request(id, 1, "t", &[])).await.error_code, NOT_FOUND);
    let none = call(&broker, 12, request(other.session_id, -1, "t", &[(0, 0)])).await;
    assert_eq!((none.session_id, told(&none).len()), (0, 1));
    let closed = call(&broker, 12, request(other.session_id, 1, "t", &[])).await;
    assert_eq!(closed.error_code, NOT_FOUND);
}

/// Goal: without room there is no session, and all that is asked for is answered.
#[tokio::test]
async fn without_room_there_is_no_session() {
    let broker = TestBroker::with_settings(Settings {
        fetch_sessions: 0,
        ..Settings::default()
    });
    broker.create_topic("t", 1, &[]).await;
    for _ in 0..2 {
        let response = call(&broker, 12, request(0, 0, "t", &[(0, 0)])).await;
        assert_eq!((response.session_id, told(&response).len()), (0, 1));
    }
}

/// Goal: a topic that is deleted and made again is another one by id, and the same one by name.
#[tokio::test]
async fn topics_that_come_and_go() {
    let (broker, by_name) = with_session().await;
    let id = broker.context.catalog.topics().by_name("t").unwrap().id;
    let mut body = request(0, 0, "t", &[(0, 0)]);
    body.topics[0].topic = TopicName::default();
    body.topics[0].topic_id = id;
    let by_id = call(&broker, 13, body).await;
    assert_eq!(by_id.responses[0].topic_id, id);
    let soon = std::time::Instant::now() + Duration::from_secs(30);
    broker.context.storage.delete_topic(id, soon).await.unwrap();
    let gone = |error| [(0, error, -1, false), (1, error, -1, false), (2, error, -1, false)];
    assert_eq!(told(&call(&broker, 12, request(by_name, 1, "t", &[])).await), gone(3));
    let unknown = call(&broker, 13, request(by_id.session_id, 1, "t", &[])).await;
    assert_eq!(told(&unknown), [(0, 3, -1, false)], "the session knows its name");
    broker.create_topic("t", 1, &[]).await;
    let response = call(&broker, 12, request(by_name, 2, "t", &[])).await;
    assert_eq!(told(&response), [(0, 0, 0, false), (1, 3, -1, false), (2, 3, -1, false)]);
    let response = call(&broker, 13, request(by_id.session_id, 2, "t", &[])).await;
    assert_eq!(
        (told(&response), response.responses[0].topic_id),
        (vec![(0, 3, -1, false)], id)
    );
}
