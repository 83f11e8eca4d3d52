//! ListGroups, versions 0-5: the groups that there are.
//!
//! * 0: id and protocol type.
//! * 1: throttle time.
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: flexible (KIP-482).
//! * 4: states, and a filter by them (KIP-518).
//! * 5: types, and a filter by them (KIP-848).
//!
//! Filters do not look at upper and lower case; a state or type that there is not matches nothing.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::group_requests::text;
use super::{Context, RequestInfo};

const STATES: i16 = 4;
const TYPES: i16 = 5;
/// Kafka's `GroupType.CLASSIC`.
const CLASSIC: &str = "classic";

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: ListGroupsRequest) -> ListGroupsResponse {
    let group_ids = match context.groups.group_ids() {
        Ok(group_ids) => group_ids,
        Err(error) => return ListGroupsResponse::default().with_error_code(error.code()),
    };
    let listed = group_ids.into_iter().filter_map(|group_id| {
        let description = context.groups.describe(&group_id).ok()??;
        let state = description.state.as_str();
        if !matches(&body.states_filter, state) || !matches(&body.types_filter, CLASSIC) {
            return None;
        }
        let mut group = ListedGroup::default()
            .with_group_id(GroupId(text(group_id.to_string())))
            .with_protocol_type(text(description.protocol_type));
        if request.version >= STATES {
            group = group.with_group_state(StrBytes::from_static_str(state));
        }
        if request.version >= TYPES {
            group = group.with_group_type(StrBytes::from_static_str(CLASSIC));
        }
        Some(group)
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

/// Whether `value` is in the filter; everything is in an empty one.
fn matches(filter: &[StrBytes], value: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
}
