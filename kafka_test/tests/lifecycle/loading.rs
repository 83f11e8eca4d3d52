//! Loading the library at the wrong time.

use crate::{comes_up, listens, refused};
use kafka_test::patience::PATIENCE;
use kafka_test::server::{run, Server};
use kafka_test::sql::session;

/// Goal: without shared_preload_libraries, LOAD and CREATE EXTENSION say what to do and leave nothing behind; after doing that they
/// work.
#[test]
fn without_preloading_every_way_in_says_what_to_do() {
    let server = Server::start_postgres(&[("shared_preload_libraries", "")]);
    let mut client = session(&server);
    for statement in ["LOAD 'pg_kafka'", "CREATE EXTENSION pg_kafka", "LOAD 'pg_kafka'"] {
        let error = refused(&mut client, statement);
        assert_eq!(error.code().code(), "55000", "{statement}: {error}");
        assert_eq!(error.message(), "pg_kafka must be loaded when Postgres starts", "{statement}");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("shared_preload_libraries"), "{statement}: hint {hint:?}");
    }
    let left =
        "SELECT 1 FROM pg_extension WHERE extname = 'pg_kafka' UNION ALL SELECT 1 FROM pg_namespace WHERE nspname ~ '^kafka'";
    assert!(client.query(left, &[]).unwrap().is_empty(), "left by what was refused");
    assert!(!listens(&server.bootstrap));
    client
        .batch_execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_kafka'")
        .unwrap();
    drop(client);
    run(server.cluster("stop"));
    server.start_again();
    comes_up(&server.bootstrap, PATIENCE);
    server.assert_never_crashed();
}
