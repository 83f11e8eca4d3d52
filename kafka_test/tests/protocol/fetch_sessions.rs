//! Fetch sessions (KIP-227): a client names its partitions once, and is told what is new.

use crate::code;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, FetchResponse};
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch_request, Reading};
use kafka_test::server::Server;
use kafka_test::topic::Topic;
use std::time::Duration;

/// A session of one topic as its client keeps it. It belongs to no connection.
struct Talk<'a> {
    topic: &'a Topic,
    version: i16,
    id: i32,
    epoch: i32,
}

impl<'a> Talk<'a> {
    /// A session that begins with these partitions, as (partition, offset), and its first answer.
    fn begin(
        connection: &mut Connection,
        version: i16,
        topic: &'a Topic,
        partitions: &[(i32, i64)],
    ) -> (Talk<'a>, FetchResponse) {
        let mut talk = Talk {
            topic,
            version,
            id: 0,
            epoch: 0,
        };
        let answer = talk.say(connection, partitions);
        assert!(answer.session_id > 0, "version {version}");
        talk.id = answer.session_id;
        (talk, answer)
    }

    /// The next request, with these partitions added or changed.
    fn next(&mut self, partitions: &[(i32, i64)]) -> FetchRequest {
        let partition = |(partition, offset): &(i32, i64)| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(*offset)
                .with_current_leader_epoch(-1)
                .with_partition_max_bytes(1 << 20)
        };
        let entry = FetchTopic::default().with_partitions(partitions.iter().map(partition).collect());
        let entry = match self.version {
            13.. => entry.with_topic_id(self.topic.id),
            _ => entry.with_topic(self.topic.topic_name()),
        };
        let request = FetchRequest::default()
            .with_session_id(self.id)
            .with_session_epoch(self.epoch)
            .with_topics(if partitions.is_empty() { vec![] } else { vec![entry] });
        self.epoch += 1;
        request
    }

    fn say(&mut self, connection: &mut Connection, partitions: &[(i32, i64)]) -> FetchResponse {
        let request = self.next(partitions);
        connection.call(self.version, &request)
    }
}

/// What an answer says of partitions, in its order: (partition, error, high watermark, whether there are records).
fn told(answer: &FetchResponse) -> Vec<(i32, i16, i64, bool)> {
    assert_eq!(answer.error_code, 0);
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let has_records = |records: &Option<bytes::Bytes>| records.as_ref().is_some_and(|records| !records.is_empty());
    partitions
        .map(|data| {
            (
                data.partition_index,
                data.error_code,
                data.high_watermark,
                has_records(&data.records),
            )
        })
        .collect()
}

/// Goal: the first answer has every partition, the next ones what is new; any connection goes on with the session, at every version.
#[test]
fn answers_have_what_is_new() {
    let server = Server::shared();
    for version in 7..=18 {
        let topic = server.topic("session", 2);
        let (mut first, mut second) = (server.connect(), server.connect());
        append(&mut first, &topic, 0, &Batch::of(["0"]));
        let (mut talk, answer) = Talk::begin(&mut first, version, &topic, &[(0, 0), (1, 0)]);
        assert_eq!(told(&answer), [(0, 0, 1, true), (1, 0, 0, false)], "version {version}");
        let answer = talk.say(&mut second, &[(0, 1)]);
        assert_eq!((told(&answer), answer.session_id), (vec![], talk.id), "version {version}");
        append(&mut first, &topic, 1, &Batch::of(["0"]));
        drop(first);
        assert_eq!(told(&talk.say(&mut second, &[])), [(1, 0, 1, true)], "version {version}");
        assert_eq!(
            told(&talk.say(&mut second, &[(0, 9)])),
            [(0, code::OFFSET_OUT_OF_RANGE, -1, false), (1, 0, 1, true)],
            "version {version}"
        );
        let mut request = talk.next(&[(0, 1)]);
        let entry = ForgottenTopic::default().with_partitions(vec![1]);
        request.forgotten_topics_data = vec![match version {
            13.. => entry.with_topic_id(topic.id),
            _ => entry.with_topic(topic.topic_name()),
        }];
        let answer = second.call(version, &request);
        assert_eq!(told(&answer), [(0, 0, 1, false)], "after its error, version {version}");
    }
}

/// Goal: where an answer has room for one batch, partitions take turns.
#[test]
fn partitions_take_turns() {
    let server = Server::shared();
    let topic = server.topic("session-turns", 3);
    let mut connection = server.connect();
    for partition in 0..3 {
        for _ in 0..3 {
            append(&mut connection, &topic, partition, &Batch::of(["x"]));
        }
    }
    let (mut talk, _) = Talk::begin(&mut connection, 18, &topic, &[(0, 0), (1, 0), (2, 0)]);
    let mut read = Vec::new();
    for _ in 0..6 {
        let request = talk.next(&[]).with_max_bytes(1);
        let answer = told(&connection.call(18, &request));
        read.extend(answer.iter().filter(|told| told.3).map(|told| told.0));
    }
    assert_eq!(read, [0, 1, 2, 0, 1, 2]);
}

/// Goal: a request of a session waits for all its partitions, with the minimum of the request.
#[test]
fn a_session_waits() {
    let server = Server::shared();
    let topic = server.topic("session-waits", 2);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let (mut talk, _) = Talk::begin(&mut reader, 18, &topic, &[(0, 0), (1, 0)]);
    let in_vain = talk.next(&[]).with_max_wait_ms(100).with_min_bytes(1);
    assert_eq!(told(&reader.call(18, &in_vain)), []);
    let waiting = talk.next(&[]).with_max_wait_ms(20_000).with_min_bytes(1);
    let sent = reader.send(18, &waiting);
    reader.assert_silent_for(Duration::from_millis(200), "nothing to read yet");
    append(&mut writer, &topic, 1, &Batch::of(["x"]));
    assert_eq!(told(&reader.receive::<FetchRequest>(sent)), [(1, 0, 1, true)]);
}

/// Goal: of two requests of a session only the later one counts; the earlier one is told so when it is answered.
#[test]
fn the_later_request_counts() {
    let server = Server::shared();
    let topic = server.topic("session-overtaken", 1);
    let (mut first, mut second) = (server.connect(), server.connect());
    let (mut talk, _) = Talk::begin(&mut first, 18, &topic, &[(0, 0)]);
    let waiting = talk.next(&[]).with_max_wait_ms(20_000).with_min_bytes(1);
    let sent = first.send(18, &waiting);
    first.assert_silent_for(Duration::from_millis(200), "nothing to read yet");
    assert_eq!(told(&talk.say(&mut second, &[])), []);
    append(&mut second, &topic, 0, &Batch::of(["x"]));
    let overtaken = first.receive::<FetchRequest>(sent);
    assert_eq!(
        (overtaken.error_code, overtaken.session_id),
        (code::INVALID_FETCH_SESSION_EPOCH, talk.id)
    );
    assert_eq!(told(&talk.say(&mut second, &[])), [(0, 0, 1, true)]);
}

/// Goal: a session that the broker does not know is FETCH_SESSION_ID_NOT_FOUND, at once, without partitions.
#[test]
fn an_unknown_session_is_refused() {
    let server = Server::shared();
    let topic = server.topic("session-unknown", 1);
    let mut connection = server.connect();
    for version in 7..=18 {
        let reading = Reading {
            max_wait_ms: 10_000,
            min_bytes: 1,
            ..Reading::from(0)
        };
        let request = fetch_request(version, &topic, reading)
            .with_session_id(1_234_567)
            .with_session_epoch(3);
        let reply = connection.call(version, &request);
        assert_eq!(
            (reply.error_code, reply.responses.len()),
            (code::FETCH_SESSION_ID_NOT_FOUND, 0),
            "version {version}"
        );
    }
}

/// Goal: a session by ids goes on by ids, and one by names by names.
#[test]
fn the_kind_of_names_stays() {
    let server = Server::shared();
    let topic = server.topic("session-names", 1);
    let mut connection = server.connect();
    for (version, other) in [(12, 13), (18, 7)] {
        let (mut talk, _) = Talk::begin(&mut connection, version, &topic, &[(0, 0)]);
        let answer = connection.call(other, &talk.next(&[]));
        assert_eq!(answer.error_code, code::FETCH_SESSION_TOPIC_ID_ERROR, "version {other}");
        talk.epoch -= 1;
        assert_eq!(told(&talk.say(&mut connection, &[])), [], "it goes on in version {version}");
    }
}

/// Goal: when a topic is deleted its partitions are UNKNOWN_TOPIC_OR_PARTITION in a session, by name or by id.
#[test]
fn a_deleted_topic_in_a_session() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in [12, 18] {
        let topic = server.topic("session-deleted", 1);
        let (mut talk, _) = Talk::begin(&mut connection, version, &topic, &[(0, 0)]);
        let delete = DeleteTopicState::default().with_name(Some(topic.topic_name()));
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(vec![delete]);
        assert_eq!(connection.call(6, &request).responses[0].error_code, 0);
        let told = eventually("an error", || {
            let told = told(&talk.say(&mut connection, &[]));
            (!told.is_empty()).then_some(told)
        });
        assert_eq!(told, [(0, code::UNKNOWN_TOPIC_OR_PARTITION, -1, false)], "version {version}");
    }
}
