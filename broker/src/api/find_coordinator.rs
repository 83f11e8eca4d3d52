//! FindCoordinator, versions 0-6: who coordinates a group.
//!
//! This node does, for every group, whatever its id: librdkafka turns lz4 off where this API is missing, and asks for a coordinator
//! even when it only assigns partitions. Transactions and share groups are not served, so their keys are INVALID_REQUEST (42),
//! which clients do not retry.
//!
//! * 0: groups.
//! * 1: key types (KIP-98), error message, throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: flexible (KIP-482).
//! * 4: several keys at once (KIP-699); each gets an answer, also a key given twice.
//! * 5: TRANSACTION_ABORTABLE may be answered (KIP-890); it is not.
//! * 6: share groups (KIP-932).

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::endpoint::{endpoint, Endpoint};
use super::{Context, RequestInfo};

/// The key type of groups (Kafka `CoordinatorType`); 1 is a transactional id, 2 a share group's partition.
const GROUP: i8 = 0;

/// First version with several keys.
const BATCHED: i16 = 4;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: FindCoordinatorRequest) -> FindCoordinatorResponse {
    respond(request.version, body, endpoint(&context.settings(), &request.peer))
}

fn respond(version: i16, body: FindCoordinatorRequest, endpoint: Endpoint) -> FindCoordinatorResponse {
    let found = if body.key_type == GROUP {
        Ok(endpoint)
    } else {
        Err(ResponseError::InvalidRequest)
    };
    if version < BATCHED {
        let answer = coordinator(&found, StrBytes::default(), "NONE");
        return FindCoordinatorResponse::default()
            .with_error_code(answer.error_code)
            .with_error_message(answer.error_message)
            .with_node_id(answer.node_id)
            .with_host(answer.host)
            .with_port(answer.port);
    }
    let coordinators = body.coordinator_keys.into_iter().map(|key| coordinator(&found, key, ""));
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

/// `success` is the message of an answer without an error, in which Kafka's versions differ.
fn coordinator(found: &Result<Endpoint, ResponseError>, key: StrBytes, success: &'static str) -> Coordinator {
    let answer = Coordinator::default().with_key(key);
    match found {
        Ok(endpoint) => answer
            .with_error_message(Some(StrBytes::from_static_str(success)))
            .with_node_id(BrokerId(endpoint.node_id))
            .with_host(endpoint.host.clone())
            .with_port(endpoint.port),
        Err(error) => answer
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str("Only the coordinators of groups are here.")))
            .with_node_id(BrokerId(-1))
            .with_port(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;

    fn ask(version: i16, key_type: i8, keys: &[&'static str]) -> Vec<(i16, i32, i32)> {
        let endpoint = Endpoint {
            node_id: 5,
            host: StrBytes::from_static_str("h"),
            port: 9,
        };
        let mut body = FindCoordinatorRequest::default().with_key_type(key_type);
        if version < BATCHED {
            body.key = StrBytes::from_static_str(keys[0]);
        } else {
            body.coordinator_keys = keys.iter().map(|key| StrBytes::from_static_str(key)).collect();
        }
        let response = respond(version, body, endpoint);
        assert_encodes(ApiKey::FindCoordinator, version, &response);
        if version < BATCHED {
            return vec![(response.error_code, response.node_id.0, response.port)];
        }
        let parts = |answer: &Coordinator| (answer.error_code, answer.node_id.0, answer.port);
        response.coordinators.iter().map(parts).collect()
    }

    #[test]
    fn every_group_is_coordinated_here() {
        for version in ApiKey::FindCoordinator.api().served.iter() {
            assert_eq!(ask(version, 0, &["g"]), [(0, 5, 9)], "version {version}");
            assert_eq!(ask(version, 0, &[""]), [(0, 5, 9)], "version {version}");
        }
        assert_eq!(ask(4, 0, &["g", "h", "g"]), [(0, 5, 9); 3]);
        assert_eq!(ask(4, 0, &[]), []);
    }

    #[test]
    fn transactions_and_share_groups_are_refused() {
        for version in 1..=6 {
            for key_type in [1, 2, 9] {
                assert_eq!(
                    ask(version, key_type, &["k"]),
                    [(42, -1, -1)],
                    "version {version} type {key_type}"
                );
            }
        }
    }
}
