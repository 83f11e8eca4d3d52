//! The headers of requests and responses (`RequestHeader.json`, `ResponseHeader.json` of Kafka).

use bytes::{BufMut, Bytes, BytesMut};

use crate::api::table::{self, Api};
use crate::wire::cursor::{Cursor, Malformed};

/// The header of a request, checked.
#[derive(Debug, Clone)]
pub struct RequestHeader {
    /// The key of the API, whether it is served or not.
    pub api_key: i16,
    /// The version of the request, whether it is served or not.
    pub api_version: i16,
    /// What the response must carry.
    pub correlation_id: i32,
    /// The client's name for itself; `None` if it has none or if the request is not served.
    pub client_id: Option<String>,
    /// The API's entry if this version of it is served. Without it nothing after the correlation id was looked at.
    pub served: Option<&'static Api>,
}

impl RequestHeader {
    /// Splits `frame`, a request without its length prefix, into its header and its body. The body is a slice of the frame.
    ///
    /// Of a request that is not served the first eight bytes are read, which are the same in every version of the header, and the
    /// rest is the body: the header of a version to come may be different.
    ///
    /// # Errors
    /// The header is cut off, or its client id or its tagged fields are malformed; the connection is to be closed, as by Kafka.
    pub fn parse(frame: &Bytes) -> Result<(RequestHeader, Bytes), Malformed> {
        let mut cursor = Cursor::new(frame);
        cursor.field = "RequestApiKey";
        let api_key = cursor.int16()?;
        cursor.field = "RequestApiVersion";
        let api_version = cursor.int16()?;
        cursor.field = "CorrelationId";
        let correlation_id = cursor.int32()?;
        let served = table::by_code(api_key).filter(|api| api.served.contains(api_version));
        let mut client_id = None;
        if let Some(api) = served {
            // The client id keeps its 16-bit length in flexible versions, so that any broker can read any header (KIP-511).
            cursor.field = "ClientId";
            if let Some(length) = cursor.length(false)? {
                client_id = Some(cursor.utf8(length)?.to_owned());
            }
            if api.header_versions(api_version).0 >= 2 {
                cursor.skip_tagged_fields()?;
            }
        }
        let body = frame.slice(cursor.position()..);
        Ok((
            RequestHeader {
                api_key,
                api_version,
                correlation_id,
                client_id,
                served,
            },
            body,
        ))
    }
}

/// Appends the header of the response to `version` of `api`: the correlation id and, in version 1, an empty section of tagged fields.
pub fn encode_response_header(api: &Api, version: i16, correlation_id: i32, out: &mut BytesMut) {
    out.put_i32(correlation_id);
    if api.header_versions(version).1 >= 1 {
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table::{ApiKey, APIS};
    use crate::wire::cursor::Fault;
    use kafka_protocol::messages::RequestHeader as CodecHeader;
    use kafka_protocol::protocol::{Encodable, StrBytes};

    fn encoded(key: i16, version: i16, header_version: i16, client_id: Option<&'static str>) -> BytesMut {
        let header = CodecHeader::default()
            .with_request_api_key(key)
            .with_request_api_version(version)
            .with_correlation_id(-7)
            .with_client_id(client_id.map(StrBytes::from_static_str));
        let header = if header_version >= 2 {
            header.with_unknown_tagged_field(3, Bytes::from_static(b"abc"))
        } else {
            header
        };
        let mut out = BytesMut::new();
        header.encode(&mut out, header_version).unwrap();
        out
    }

    /// What the codec encodes as header of each served version is split from the body at the right byte.
    #[test]
    fn the_codec_s_headers_are_read() {
        for api in APIS {
            for version in api.served.iter() {
                for client_id in [None, Some(""), Some("kcat-ü")] {
                    let mut frame = encoded(api.key.code(), version, api.header_versions(version).0, client_id);
                    frame.extend_from_slice(b"body");
                    let (header, body) = RequestHeader::parse(&frame.freeze()).unwrap();
                    assert_eq!(
                        (header.api_key, header.api_version, header.correlation_id),
                        (api.key.code(), version, -7)
                    );
                    assert_eq!(header.client_id.as_deref(), client_id);
                    assert_eq!(header.served.map(|served| served.key), Some(api.key));
                    assert_eq!(body, b"body"[..]);
                }
            }
        }
    }

    /// A header that is cut anywhere is refused.
    #[test]
    fn a_truncated_header_is_refused() {
        for (key, version, header_version) in [(ApiKey::Produce, 3, 1), (ApiKey::Fetch, 12, 2)] {
            let frame = encoded(key.code(), version, header_version, Some("client")).freeze();
            for length in 0..frame.len() {
                let cut = RequestHeader::parse(&frame.slice(..length)).map(drop);
                assert!(matches!(cut.unwrap_err().fault, Fault::Truncated { .. }), "{length}");
            }
        }
    }

    /// A client id of negative length, beyond the end or not UTF-8, and a tag section of 2^32-1 fields are refused.
    #[test]
    fn a_malformed_header_is_refused() {
        let fault = |rest: &[u8]| {
            let mut frame = vec![0, 1, 0, 12, 0, 0, 0, 1];
            frame.extend_from_slice(rest);
            RequestHeader::parse(&Bytes::from(frame)).map(drop).unwrap_err().fault
        };
        assert_eq!(fault(&[0x80, 0, 0]), Fault::NegativeLength(i32::from(i16::MIN)));
        assert_eq!(fault(&[0x7f, 0xff, 0]), Fault::Truncated { needed: 32767, left: 1 });
        assert_eq!(fault(&[0, 1, 0xff, 0]), Fault::NotUtf8);
        assert_eq!(
            fault(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            Fault::Truncated { needed: 1, left: 0 }
        );
        assert_eq!(fault(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]), Fault::VarintOverflow);
        assert_eq!(
            fault(&[0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            Fault::Truncated {
                needed: u32::MAX as usize,
                left: 0
            }
        );
    }

    /// Of unknown APIs and versions, negative ones included, key, version and correlation id are read whatever follows.
    #[test]
    fn what_is_not_served_is_read_up_to_the_correlation_id() {
        for (key, version) in [
            (ApiKey::ApiVersions.code(), 5),
            (ApiKey::Produce.code(), 2),
            (9999, 0),
            (-1, -1),
            (i16::MIN, i16::MAX),
        ] {
            let mut frame = BytesMut::new();
            frame.put_i16(key);
            frame.put_i16(version);
            frame.put_i32(42);
            frame.put_slice(&[0x80, 0x00]);
            let (header, body) = RequestHeader::parse(&frame.freeze()).unwrap();
            assert_eq!(
                (header.api_key, header.api_version, header.correlation_id),
                (key, version, 42)
            );
            assert!(header.served.is_none() && header.client_id.is_none());
            assert_eq!(body.len(), 2);
        }
    }

    /// The response header has its tagged section in flexible versions only, and never for ApiVersions.
    #[test]
    fn response_headers() {
        let encode = |key: ApiKey, version| {
            let mut out = BytesMut::new();
            encode_response_header(key.api(), version, 258, &mut out);
            out.to_vec()
        };
        assert_eq!(encode(ApiKey::Fetch, 11), [0, 0, 1, 2]);
        assert_eq!(encode(ApiKey::Fetch, 12), [0, 0, 1, 2, 0]);
        assert_eq!(encode(ApiKey::ApiVersions, 4), [0, 0, 1, 2]);
    }
}
