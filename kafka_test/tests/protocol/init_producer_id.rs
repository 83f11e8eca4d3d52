//! InitProducerId: ids for idempotent producers.

use crate::code;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId, TransactionalId};
use kafka_test::connection::Connection;
use kafka_test::groups::text;
use kafka_test::requests::init_producer_id;
use kafka_test::server::Server;
use std::collections::BTreeSet;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=5;
/// The first version in which a producer names the id that it has (KIP-360).
const KNOWN_ID_SINCE: i16 = 3;

fn told(reply: &InitProducerIdResponse) -> (i16, i64, i16) {
    (reply.error_code, reply.producer_id.0, reply.producer_epoch)
}

fn new_id(connection: &mut Connection, version: i16, timeout_ms: i32) -> i64 {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(timeout_ms);
    let (error, id, epoch) = told(&init_producer_id(connection, version, &request));
    assert_eq!((error, epoch), (0, 0), "version {version}");
    assert!(id >= 0, "version {version}: {id}");
    id
}

/// Goal: every request gets an id that nobody else has, in epoch 0, whatever timeout it names, over any connection.
#[test]
fn ids_are_never_given_twice() {
    let server = Server::shared();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let mut connection = server.connect();
        for version in VERSIONS {
            for timeout_ms in [60_000, 0, -1, i32::MAX] {
                let id = new_id(&mut connection, version, timeout_ms);
                assert!(seen.insert(id), "{id} was given before");
            }
        }
    }
}

/// Goal: a producer without a transactional id that names the id it has gets a new one all the same (KIP-360).
#[test]
fn who_has_an_id_gets_a_new_one() {
    let mut connection = Server::shared().connect();
    for version in KNOWN_ID_SINCE..=5 {
        let id = new_id(&mut connection, version, 60_000);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0);
        let (error, next, epoch) = told(&init_producer_id(&mut connection, version, &request));
        assert_eq!((error, epoch), (0, 0), "version {version}");
        assert!(next != id && next >= 0, "version {version}");
    }
}

/// Goal: half an id (an epoch without an id, or an id without an epoch), and an empty transactional id, are refused.
#[test]
fn wrong_requests_are_refused() {
    let mut connection = Server::shared().connect();
    for version in VERSIONS {
        let empty = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(""))))
            .with_transaction_timeout_ms(60_000);
        let refused = (code::INVALID_REQUEST, -1, -1);
        let (error, id, _) = told(&connection.call(version, &empty));
        assert_eq!((error, id), (refused.0, refused.1), "version {version}");
        if version < KNOWN_ID_SINCE {
            continue;
        }
        for (id, epoch) in [(5, -1), (-1, 5)] {
            let half = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(60_000)
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch);
            let (error, id, _) = told(&connection.call(version, &half));
            assert_eq!((error, id), (refused.0, refused.1), "version {version}");
        }
    }
}
