//! DeleteGroups, versions 0-2: deletes groups without members, with their committed offsets. A group named twice is answered once.
//!
//! * 0: groups by id.
//! * 1: the reply is sent before throttling (KIP-219).
//! * 2: flexible (KIP-482).

use std::collections::HashSet;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::group_requests::code_of;
use super::{Context, RequestInfo};

/// Answers the request.
pub async fn handle(context: &Context, _request: &RequestInfo, body: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut seen = HashSet::new();
    let mut results = Vec::new();
    for group_id in body.groups_names {
        if seen.insert(group_id.clone()) {
            let outcome = context.groups.delete(&group_id).await;
            let result = DeletableGroupResult::default().with_error_code(code_of(&outcome));
            results.push(result.with_group_id(group_id));
        }
    }
    DeleteGroupsResponse::default().with_results(results)
}
