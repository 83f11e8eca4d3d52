//! Request headers and the tagged fields of flexible versions (KIP-482).

use bytes::Bytes;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_test::server::Server;

fn metadata_with(header: RequestHeader, version: i16, body: &MetadataRequest) -> MetadataResponse {
    let flexible = version >= 9;
    let mut frame = bytes::BytesMut::new();
    header
        .with_request_api_key(3)
        .with_request_api_version(version)
        .with_correlation_id(-17)
        .encode(&mut frame, if flexible { 2 } else { 1 })
        .unwrap();
    body.encode(&mut frame, version).unwrap();
    let mut connection = Server::shared().connect();
    connection.send_frame(&frame);
    let mut reply = Bytes::from(connection.read_frame().expect("a reply"));
    let header = ResponseHeader::decode(&mut reply, i16::from(flexible)).unwrap();
    assert_eq!(header.correlation_id, -17, "the correlation id is echoed, whatever it is");
    let reply = MetadataResponse::decode(&mut reply, version).unwrap();
    assert_eq!(reply.brokers.len(), 1);
    reply
}

/// Goal: a client id may be null, empty, or long.
#[test]
fn client_ids_of_all_kinds() {
    for version in [1, 8, 9, 13] {
        for client_id in [None, Some(String::new()), Some("c".repeat(10_000)), Some("日本".to_owned())] {
            let header = RequestHeader::default().with_client_id(client_id.map(StrBytes::from_string));
            metadata_with(header, version, &MetadataRequest::default().with_topics(Some(vec![])));
        }
    }
}

/// Goal: tagged fields that the broker does not know, in header and body, are skipped.
#[test]
fn unknown_tagged_fields_are_skipped() {
    for version in [9, 13] {
        let unknown = [
            (0, Bytes::from_static(b"x")),
            (7, Bytes::new()),
            (70_000, Bytes::from(vec![1; 1_000])),
        ]
        .into();
        let header = RequestHeader::default()
            .with_client_id(Some(StrBytes::from_static_str("c")))
            .with_unknown_tagged_fields(unknown);
        let unknown = [(3, Bytes::from_static(b"yz")), (1_000_000, Bytes::from_static(b"z"))].into();
        let body = MetadataRequest::default()
            .with_topics(Some(vec![]))
            .with_unknown_tagged_fields(unknown);
        metadata_with(header, version, &body);
    }
}

/// Goal: allowed operations are given when asked for, and marked as not asked for otherwise.
#[test]
fn authorized_operations_on_demand() {
    let server = Server::shared();
    let topic = server.topic("operations", 1);
    let mut connection = server.connect();
    for version in 8..=13 {
        let asked =
            kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(topic.topic_name()));
        let request = MetadataRequest::default().with_topics(Some(vec![asked]));
        let plain = connection.call(version, &request);
        assert_eq!(plain.topics[0].topic_authorized_operations, i32::MIN, "version {version}");
        let full = connection.call(version, &request.with_include_topic_authorized_operations(true));
        // READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS: bits of AclOperation.
        assert_eq!(
            full.topics[0].topic_authorized_operations, 0b1101_1111_1000,
            "version {version}"
        );
    }
}
