//! For tests: that a response can be encoded. The encoders refuse a field that the version lacks, which a client would see as a
//! closed connection.

use bytes::BytesMut;
use kafka_protocol::protocol::Encodable;

use super::table::ApiKey;

/// Encodes `response` at `version` and at no other.
pub(crate) fn assert_encodes(key: ApiKey, version: i16, response: &impl Encodable) {
    let mut bytes = BytesMut::new();
    if let Err(error) = response.encode(&mut bytes, key.api().codec_version(version)) {
        panic!("{key:?} version {version}: {error}");
    }
    assert!(!bytes.is_empty());
}
