//! ApiVersions, versions 0-4: which APIs are served in which versions, from the API table.
//!
//! The dispatcher answers a version that is not served with [`unsupported`], so that any client can begin. Of the features (KIP-584)
//! there is `group.version`, by which clients know of the new groups; without `transaction.version` they use the old transactions.
//!
//! * 0: the list.
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: flexible (KIP-482), client software name and version (KIP-511), features (KIP-584).
//! * 4: supported features whose lowest level is 0 are listed too (KIP-1022); finalized ones always are.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::features::{FEATURES, FINALIZED_EPOCH};
use super::table::{Api, ApiKey, APIS};
use super::{Context, RequestInfo};

/// First version with features.
const FEATURES_VERSION: i16 = 3;
/// First version that lists supported features whose lowest level is 0.
const MIN_0_VERSION: i16 = 4;

/// Answers the request; a malformed software name or version is INVALID_REQUEST (42).
pub async fn handle(_context: &Context, request: &RequestInfo, body: ApiVersionsRequest) -> ApiVersionsResponse {
    respond(request.version, &body)
}

fn respond(version: i16, body: &ApiVersionsRequest) -> ApiVersionsResponse {
    if version >= FEATURES_VERSION
        && !(is_software_text(&body.client_software_name) && is_software_text(&body.client_software_version))
    {
        return ApiVersionsResponse::default().with_error_code(ResponseError::InvalidRequest.code());
    }
    let response = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(|api| entry(api)).collect());
    if version < FEATURES_VERSION {
        return response;
    }
    let supported = FEATURES.iter().filter(|feature| version >= MIN_0_VERSION || feature.min > 0);
    let supported = supported.map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.min)
            .with_max_version(feature.max)
    });
    let finalized = FEATURES.iter().map(|feature| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_max_version_level(feature.finalized)
            .with_min_version_level(feature.finalized)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(FINALIZED_EPOCH)
}

/// The answer to a version that is not served, to be encoded as version 0 whatever was asked: UNSUPPORTED_VERSION (35) and the range of
/// this API alone (KIP-511).
pub fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(vec![entry(ApiKey::ApiVersions.api())])
}

fn entry(api: &Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key.code())
        .with_min_version(api.advertised_min)
        .with_max_version(api.served.max)
}

/// Letters, digits, '-' and '.', the last two not at an end (Kafka `ApiVersionsRequest.SOFTWARE_NAME_VERSION_PATTERN`).
fn is_software_text(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends(text.as_bytes().first()) && ends(text.as_bytes().last()) && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;

    fn request(name: &'static str, version: &'static str) -> ApiVersionsRequest {
        ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str(version))
    }

    #[test]
    fn lists_every_api_and_encodes_at_each_version() {
        for version in ApiKey::ApiVersions.api().served.iter() {
            let response = respond(version, &request("a", "1"));
            assert_eq!(response.error_code, 0);
            assert_eq!(response.api_keys.len(), APIS.len());
            assert_encodes(ApiKey::ApiVersions, version, &response);
        }
    }

    #[test]
    fn the_lowest_version_of_produce_is_said_to_be_0() {
        let response = respond(0, &ApiVersionsRequest::default());
        let produce = response.api_keys.iter().find(|api| api.api_key == 0).unwrap();
        assert_eq!(
            (produce.min_version, produce.max_version),
            (0, ApiKey::Produce.api().served.max)
        );
    }

    #[test]
    fn software_names_follow_the_pattern_of_kafka() {
        for good in ["a", "apache-kafka-java", "4.3.1", "1"] {
            assert_eq!(respond(3, &request(good, good)).error_code, 0, "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "ä", "a_b"] {
            for body in [request(bad, "1"), request("a", bad)] {
                let response = respond(3, &body);
                assert_eq!((response.error_code, response.api_keys.len()), (42, 0), "{bad}");
                assert_encodes(ApiKey::ApiVersions, 3, &response);
            }
            assert_eq!(respond(2, &request(bad, bad)).error_code, 0);
        }
    }

    #[test]
    fn an_unknown_version_gets_the_range_of_this_api() {
        let response = unsupported();
        assert_encodes(ApiKey::ApiVersions, 0, &response);
        assert_eq!(response.error_code, 35);
        let ranges: Vec<_> = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }
}
