//! Requests sent without waiting: replies come in the order of the requests, and effects too.

use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest};
use kafka_test::batch::Batch;
use kafka_test::requests::{
    fetch_request, list_offsets_request, only_partition_fetched, only_partition_produced, read_all, send_produce, Reading,
};
use kafka_test::server::Server;

fn value(batch_number: i64) -> Batch {
    Batch::of([batch_number.to_string()])
}

/// Goal: 200 produces in flight, more than a broker may hold, get consecutive offsets and their replies in order.
#[test]
fn pipelined_produces_keep_their_order() {
    let server = Server::shared();
    let topic = server.topic("pipelined", 1);
    let mut connection = server.connect();
    let sent: Vec<_> = (0..200)
        .map(|i| send_produce(&mut connection, 13, &topic, -1, &value(i)))
        .collect();
    for (i, sent) in sent.into_iter().enumerate() {
        let reply = only_partition_produced(connection.receive::<ProduceRequest>(sent));
        assert_eq!((reply.error_code, reply.base_offset), (0, i as i64));
    }
    let values: Vec<String> = read_all(&mut connection, &topic, 0, 0)
        .iter()
        .flat_map(|b| b.records())
        .map(|r| String::from_utf8(r.value.unwrap()).unwrap())
        .collect();
    assert_eq!(values, (0..200).map(|i| i.to_string()).collect::<Vec<_>>());
}

/// Goal: acks=0 between acknowledged produces takes its place in the log and leaves no place among the replies.
#[test]
fn unacknowledged_produces_keep_their_place() {
    let server = Server::shared();
    let topic = server.topic("mixed-acks", 1);
    let mut connection = server.connect();
    let mut waiting = Vec::new();
    for i in 0..60 {
        let acks = [0, 1, -1][i as usize % 3];
        let sent = send_produce(&mut connection, 13, &topic, acks, &value(i));
        if acks != 0 {
            waiting.push((i, sent));
        }
    }
    for (i, sent) in waiting {
        let reply = only_partition_produced(connection.receive::<ProduceRequest>(sent));
        assert_eq!((reply.error_code, reply.base_offset), (0, i));
    }
}

/// Goal: what a request sees includes every request before it on the same connection.
#[test]
fn a_request_sees_those_before_it() {
    let server = Server::shared();
    let topic = server.topic("read-own-writes", 1);
    let mut connection = server.connect();
    let mut sent = Vec::new();
    for i in 0..20 {
        let acks = if i % 2 == 0 { -1 } else { 0 };
        let produced = send_produce(&mut connection, 13, &topic, acks, &value(i));
        let listed = connection.send(7, &list_offsets_request(&topic, 0, -1));
        let fetched = connection.send(18, &fetch_request(18, &topic, Reading::from(i)));
        sent.push((i, (acks != 0).then_some(produced), listed, fetched));
    }
    for (i, produced, listed, fetched) in sent {
        if let Some(produced) = produced {
            assert_eq!(
                only_partition_produced(connection.receive::<ProduceRequest>(produced)).base_offset,
                i
            );
        }
        let end = connection.receive::<ListOffsetsRequest>(listed).topics[0].partitions[0].offset;
        assert_eq!(end, i + 1, "ListOffsets behind produce {i}");
        let data = only_partition_fetched(connection.receive::<FetchRequest>(fetched));
        assert_eq!(data.high_watermark, i + 1, "Fetch behind produce {i}");
        assert!(
            data.records.is_some_and(|r| !r.is_empty()),
            "Fetch behind produce {i} has its batch"
        );
    }
}

/// Goal: requests of all kinds in one burst are answered in order, a waiting Fetch among them.
#[test]
fn replies_come_in_order() {
    let server = Server::shared();
    let topic = server.topic("in-order", 1);
    let mut connection = server.connect();
    let fetched = connection.send(
        18,
        &fetch_request(
            18,
            &topic,
            Reading {
                max_wait_ms: 300,
                min_bytes: 1,
                ..Reading::from(0)
            },
        ),
    );
    let versions = connection.send(0, &ApiVersionsRequest::default());
    let produced = send_produce(&mut connection, 13, &topic, -1, &value(0));
    let metadata = connection.send(9, &MetadataRequest::default().with_topics(Some(vec![])));
    connection.receive::<FetchRequest>(fetched);
    assert_eq!(connection.receive::<ApiVersionsRequest>(versions).error_code, 0);
    assert_eq!(
        only_partition_produced(connection.receive::<ProduceRequest>(produced)).error_code,
        0
    );
    assert_eq!(connection.receive::<MetadataRequest>(metadata).brokers.len(), 1);
}
