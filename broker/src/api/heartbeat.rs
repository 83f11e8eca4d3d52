//! Heartbeat, versions 0-4: a member of a classic group says that it lives, and hears of rebalances.
//!
//! * 0: generation and member.
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: static members (KIP-345).
//! * 4: flexible (KIP-482).

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use kafka_protocol::ResponseError;

use super::group_requests::{check_names, code_of, member_ref};
use super::{Context, RequestInfo};

/// Answers the request.
pub async fn handle(context: &Context, _request: &RequestInfo, body: HeartbeatRequest) -> HeartbeatResponse {
    let member = member_ref(&body.member_id, body.group_instance_id.as_ref(), body.generation_id);
    let outcome = match check_names(&body.group_id, true, []) {
        Ok(()) => context.groups.heartbeat(&body.group_id, &member).await,
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        // While groups are read nobody can be told anything (Kafka `GroupCoordinatorService.heartbeat`).
        Err(ResponseError::CoordinatorLoadInProgress) => Ok(()),
        outcome => outcome,
    };
    HeartbeatResponse::default().with_error_code(code_of(&outcome))
}
