//! InitProducerId, versions 0-5: a producer id for an idempotent producer, with epoch 0.
//!
//! Every request of a producer without a transactional id gets a new id, also one that says which it has, as in Kafka
//! (`TransactionCoordinator.handleInitProducerId`): clients raise the epoch by themselves (KIP-360). While ids cannot be had,
//! COORDINATOR_LOAD_IN_PROGRESS (14), on which clients ask again; Kafka answers it while a block of ids is on its way.
//!
//! Transactions are not served: a transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53). Of the codes that this
//! API may have it is the one which both the Java client and librdkafka report at once, and neither asks again.
//! An empty one is INVALID_REQUEST (42), as in Kafka, and so is a producer id without epoch, or an epoch without id. The transaction
//! timeout has no meaning.
//!
//! * 0: producer ids (KIP-98).
//! * 1: the reply is sent before throttling (KIP-219).
//! * 2: flexible (KIP-482).
//! * 3: the producer's id and epoch (KIP-360).
//! * 4: PRODUCER_FENCED may be answered (KIP-588); it is not.
//! * 5: TRANSACTION_ABORTABLE may be answered (KIP-890); it is not.

use std::time::Instant;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use kafka_protocol::ResponseError;

use super::{Context, RequestInfo};
use crate::limits::INIT_PRODUCER_ID_PATIENCE;
use crate::storage::StorageError;

/// Stands for no producer id and for no epoch.
const NONE: i16 = -1;

/// Answers the request.
pub async fn handle(context: &Context, _: &RequestInfo, body: InitProducerIdRequest) -> InitProducerIdResponse {
    let id = match check(&body) {
        Ok(()) => next_id(context).await,
        Err(code) => Err(code),
    };
    let response = InitProducerIdResponse::default();
    match id {
        Ok(id) => response.with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Err(code) => response
            .with_error_code(code.code())
            .with_producer_id(ProducerId(NONE.into()))
            .with_producer_epoch(NONE),
    }
}

fn check(body: &InitProducerIdRequest) -> Result<(), ResponseError> {
    if (body.producer_id.0 == i64::from(NONE)) != (body.producer_epoch == NONE) {
        return Err(ResponseError::InvalidRequest);
    }
    match &body.transactional_id {
        None => Ok(()),
        Some(id) if id.is_empty() => Err(ResponseError::InvalidRequest),
        Some(_) => Err(ResponseError::TransactionalIdAuthorizationFailed),
    }
}

async fn next_id(context: &Context) -> Result<i64, ResponseError> {
    let deadline = Instant::now() + INIT_PRODUCER_ID_PATIENCE;
    context.producer_ids.next(deadline).await.map_err(|error| {
        if error != StorageError::TimedOut {
            tracing::warn!(%error, "InitProducerId finds no producer id");
        }
        ResponseError::CoordinatorLoadInProgress
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::TransactionalId;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use crate::storage::engine::EngineError;
    use crate::storage::model::Call;

    async fn ask(broker: &TestBroker, version: i16, body: InitProducerIdRequest) -> (i16, i64, i16) {
        let response = handle(&broker.context, &broker.request(version), body).await;
        assert_encodes(ApiKey::InitProducerId, version, &response);
        (response.error_code, response.producer_id.0, response.producer_epoch)
    }

    fn with(id: i64, epoch: i16) -> InitProducerIdRequest {
        InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
    }

    #[tokio::test]
    async fn every_request_gets_a_new_id() {
        let broker = TestBroker::start();
        for (version, id) in ApiKey::InitProducerId.api().served.iter().zip(0..) {
            assert_eq!(ask(&broker, version, with(-1, -1)).await, (0, id, 0), "version {version}");
        }
        assert_eq!(ask(&broker, 3, with(2, 7)).await, (0, 6, 0));
    }

    #[tokio::test]
    async fn an_id_without_an_epoch_is_invalid() {
        let broker = TestBroker::start();
        for body in [with(1, -1), with(-1, 0)] {
            assert_eq!(ask(&broker, 5, body).await, (42, -1, -1));
        }
    }

    #[tokio::test]
    async fn transactional_ids_are_refused() {
        let broker = TestBroker::start();
        for (id, code) in [("", 42), ("t", 53)] {
            let id = TransactionalId(StrBytes::from_static_str(id));
            let body = || with(-1, -1).with_transactional_id(Some(id.clone()));
            for version in ApiKey::InitProducerId.api().served.iter() {
                assert_eq!(ask(&broker, version, body()).await, (code, -1, -1), "version {version}");
            }
        }
    }

    #[tokio::test]
    async fn a_failing_database_is_asked_again() {
        let broker = TestBroker::start();
        let error = EngineError::Database {
            sqlstate: "XX000".to_owned(),
            message: "ordered".to_owned(),
        };
        broker.model.database.fail(Call::AllocateProducerIds, 0, error);
        assert_eq!(ask(&broker, 5, with(-1, -1)).await, (14, -1, -1));
        assert_eq!(ask(&broker, 5, with(-1, -1)).await, (0, 0, 0));
    }
}
