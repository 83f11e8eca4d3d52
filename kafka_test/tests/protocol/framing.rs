//! Frames that are not a request: what closes the connection, and that the server serves on.

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use kafka_test::connection::encode_frame;
use kafka_test::patience::PATIENCE;
use kafka_test::server::Server;

fn is_served() {
    let reply = Server::shared().connect().call(0, &ApiVersionsRequest::default());
    assert_eq!(reply.error_code, 0, "another client is served");
}

/// A header of version 1: key, version, correlation id, client id.
fn header(key: i16, version: i16) -> Vec<u8> {
    let mut frame = key.to_be_bytes().to_vec();
    frame.extend(version.to_be_bytes());
    frame.extend(9i32.to_be_bytes());
    frame.extend([0, 1, b'c']);
    frame
}

fn closes(frame: &[u8], why: &str) {
    let mut connection = Server::shared().connect();
    connection.send_frame(frame);
    connection.assert_closed_within(PATIENCE, why);
    is_served();
}

/// Goal: an API key that no broker has closes the connection.
#[test]
fn an_unknown_api_closes() {
    for key in [-1, 1000, i16::MAX] {
        closes(&header(key, 0), &format!("API key {key}"));
    }
}

/// Goal: a version that is not served, of any API but ApiVersions, closes the connection.
#[test]
fn an_unsupported_version_closes() {
    for (key, version) in [
        (0, 2),
        (0, 14),
        (1, 3),
        (1, 19),
        (2, 0),
        (2, 12),
        (3, 14),
        (3, -1),
        (19, 1),
        (20, 0),
        (23, 1),
        (60, 3),
    ] {
        closes(&header(key, version), &format!("API key {key} version {version}"));
    }
}

/// Goal: a frame shorter than a header, or than what its lengths say, closes the connection.
#[test]
fn a_truncated_frame_closes() {
    closes(&[], "an empty frame");
    closes(&[0], "one byte");
    closes(&[0, 3, 0], "three bytes");
    closes(&header(3, 1)[..9], "a header cut in its client id");
    let whole = encode_frame(12, 12, 1, &MetadataRequest::default().with_topics(Some(vec![])));
    closes(&whole[..whole.len() - 2], "a body cut short");
    let mut lying = header(3, 1);
    lying.extend(i32::MAX.to_be_bytes());
    closes(&lying, "an array of 2^31-1 topics in an empty body");
}

/// Goal: a frame length that is negative or above the limit of 100 MiB closes the connection at once.
#[test]
fn an_impossible_length_closes() {
    for length in [-1i32, i32::MIN, i32::MAX, 104_857_601] {
        let mut connection = Server::shared().connect();
        connection.send_bytes(&length.to_be_bytes());
        connection.assert_closed_within(PATIENCE, &format!("length {length}"));
    }
    is_served();
}

/// Goal: a request that comes byte by byte is a request.
#[test]
fn a_frame_may_come_in_pieces() {
    let mut connection = Server::shared().connect();
    let frame = encode_frame(0, 0, 5, &ApiVersionsRequest::default());
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend(&frame);
    for byte in bytes {
        connection.send_bytes(&[byte]);
    }
    let reply = connection.read_frame().expect("a reply");
    assert_eq!(reply[..4], 5i32.to_be_bytes(), "correlation id");
}

/// Goal: bytes after the end of a request are overlooked: librdkafka 2.12 sends three when it asks for the metadata of all topics.
#[test]
fn bytes_after_the_end_are_overlooked() {
    let mut connection = Server::shared().connect();
    for version in 0..=13 {
        let mut frame = encode_frame(version, version, 7, &MetadataRequest::default().with_topics(Some(vec![])));
        frame.extend([1, 0, 0]);
        connection.send_frame(&frame);
        let reply = connection.read_frame().expect("a reply");
        assert_eq!(reply[..4], 7i32.to_be_bytes(), "correlation id, version {version}");
    }
}
