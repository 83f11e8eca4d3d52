//! ApiVersions: what is advertised, at every version, and how refusals look.

use crate::code;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use kafka_test::connection::{encode_frame, Connection};
use kafka_test::server::Server;

/// (key, minimum, maximum) of Kafka 4.3 for the requests that these tests send.
const RANGES: [(i16, i16, i16); 13] = [
    (0, 0, 13),
    (1, 4, 18),
    (2, 1, 11),
    (3, 0, 13),
    (10, 0, 6),
    (18, 0, 4),
    (19, 2, 7),
    (20, 1, 6),
    (21, 0, 2),
    (22, 0, 5),
    (23, 2, 4),
    (32, 1, 4),
    (60, 0, 2),
];

fn request(name: &'static str, version: &'static str) -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str(name))
        .with_client_software_version(StrBytes::from_static_str(version))
}

fn range_of(reply: &ApiVersionsResponse, key: i16) -> Option<&ApiVersion> {
    reply.api_keys.iter().find(|a| a.api_key == key)
}

/// Goal: every version is answered with the same list, which holds Kafka's ranges; Produce is advertised from 0 although 0 to 2 are
/// not served, since librdkafka before 2.11 turns compression off otherwise.
#[test]
fn every_version_advertises_kafkas_ranges() {
    let mut connection = Server::shared().connect();
    for version in 0..=4 {
        let software = if version >= 3 {
            request("kafka-test", "1.0")
        } else {
            ApiVersionsRequest::default()
        };
        let reply = connection.call(version, &software);
        assert_eq!(reply.error_code, 0, "version {version}");
        for (key, min, max) in RANGES {
            let found = range_of(&reply, key).unwrap_or_else(|| panic!("API {key} is not advertised at version {version}"));
            assert_eq!(
                (found.min_version, found.max_version),
                (min, max),
                "range of API {key} at version {version}"
            );
        }
        for api in &reply.api_keys {
            assert!(api.min_version <= api.max_version, "empty range of API {}", api.api_key);
        }
    }
}

/// Goal: an unsupported version is answered at version 0 with UNSUPPORTED_VERSION and nothing but ApiVersions' own range, and the
/// connection lives on.
#[test]
fn an_unsupported_version_is_answered_at_version_0() {
    let mut connection = Server::shared().connect();
    for version in [5, 127, i16::MAX] {
        let frame = encode_frame(version, 4, 77, &request("kafka-test", "1.0"));
        connection.send_frame(&frame);
        let reply = connection.read_frame().expect("a reply, not a close");
        let mut body = bytes::Bytes::from(reply);
        assert_eq!(bytes::Buf::get_i32(&mut body), 77, "correlation id");
        let reply = ApiVersionsResponse::decode(&mut body, 0).unwrap();
        assert!(body.is_empty(), "bytes behind the version 0 body");
        assert_eq!(reply.error_code, code::UNSUPPORTED_VERSION);
        let keys: Vec<i16> = reply.api_keys.iter().map(|a| a.api_key).collect();
        assert_eq!(keys, [18]);
        assert_eq!((reply.api_keys[0].min_version, reply.api_keys[0].max_version), (0, 4));
    }
    assert_eq!(
        connection.call(0, &ApiVersionsRequest::default()).error_code,
        0,
        "the connection lives on"
    );
}

/// Goal: a client software name or version that is not a word of letters, digits, dots and dashes gets INVALID_REQUEST at the version
/// asked, and the connection lives on.
#[test]
fn a_bad_software_name_is_an_invalid_request() {
    let mut connection = Server::shared().connect();
    for version in [3, 4] {
        for (name, software_version) in [
            ("", "1.0"),
            ("a b", "1.0"),
            ("kafka", ""),
            ("-kafka", "1.0"),
            ("kafka", "1.0."),
        ] {
            let reply = connection.call(version, &request(name, software_version));
            assert_eq!(
                reply.error_code,
                code::INVALID_REQUEST,
                "name {name:?} version {software_version:?}"
            );
        }
        assert_eq!(connection.call(version, &request("a", "b")).error_code, 0);
    }
}

/// Goal: ApiVersions may be asked again and again, also after other requests, and gives the same list on every connection.
#[test]
fn the_list_is_the_same_on_every_connection() {
    let server = Server::shared();
    let list = |connection: &mut Connection| {
        let mut keys = connection.call(4, &request("kafka-test", "1.0")).api_keys;
        keys.sort_by_key(|a| a.api_key);
        keys
    };
    let mut first = server.connect();
    let expected = list(&mut first);
    assert_eq!(list(&mut first), expected);
    assert_eq!(list(&mut server.connect()), expected);
}
