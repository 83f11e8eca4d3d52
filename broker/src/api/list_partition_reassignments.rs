//! ListPartitionReassignments, version 0: partitions that are being moved between brokers (KIP-455).
//!
//! There is one broker, so that nothing is ever moved: the list is empty, whatever is asked for, as in Kafka where no reassignment is
//! under way. What does not exist is no error there either.
//!
//! * 0: the request.

use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::{Context, RequestInfo};

/// Answers the request.
pub async fn handle(
    _context: &Context,
    _request: &RequestInfo,
    _body: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;

    #[tokio::test]
    async fn nothing_is_under_way() {
        let broker = TestBroker::start();
        let body = ListPartitionReassignmentsRequest::default().with_topics(None);
        let response = handle(&broker.context, &broker.request(0), body).await;
        assert_encodes(ApiKey::ListPartitionReassignments, 0, &response);
        assert_eq!((response.error_code, response.topics.len()), (0, 0));
    }
}
