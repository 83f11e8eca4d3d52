//! CREATE and DROP EXTENSION while Postgres runs.

use crate::{comes_up, goes_down, my_turn, refused, stays, Kept, LogSince, SOON};
use kafka_protocol::messages::MetadataRequest;
use kafka_test::batch::Batch;
use kafka_test::process::BROKER;
use kafka_test::requests::{append, fetch_request, Reading, FETCH};
use kafka_test::sql::session;
use std::time::{Duration, Instant};

/// Goal: the listener follows CREATE and DROP EXTENSION at once, again and again, without a word about the locks that such a
/// transaction still holds when the broker hears of it; topics do not outlive their extension.
#[test]
fn the_listener_follows_the_extension() {
    let server = my_turn();
    let mut session = session(&server);
    let broker = server.broker_pid();
    let log = LogSince::now(&server);
    for round in 1..=3 {
        let topic = server.topic("short-lived", 2);
        append(&mut server.connect(), &topic, 1, &Batch::of(["x"]));
        assert_eq!(refused(&mut session, "DROP EXTENSION pg_kafka").code().code(), "2BP01");
        session.batch_execute("DROP EXTENSION pg_kafka CASCADE").unwrap();
        goes_down(&server.bootstrap, SOON);
        let left = session
            .query("SELECT 1 FROM pg_class WHERE relname ~ '^t[0-9]+_s[0-9]+$'", &[])
            .unwrap();
        assert!(left.is_empty(), "tables of dropped topics");
        session.batch_execute("CREATE EXTENSION pg_kafka").unwrap();
        let created = Instant::now();
        comes_up(&server.bootstrap, SOON);
        println!("round {round}: listens {:?} after CREATE EXTENSION", created.elapsed());
        let all = server.connect().call(12, &MetadataRequest::default().with_topics(None));
        assert!(all.topics.is_empty(), "topics of a new extension: {:?}", all.topics);
    }
    assert_eq!(log.count("waiting for CREATE EXTENSION"), 3);
    log.assert_none(&["cannot be read", "cannot read", "locked", "ERROR:  pg_kafka"]);
    log.assert_no_crash();
    assert_eq!(server.broker_pid(), broker, "the broker is the same process");
}

/// Goal: an extension that is dropped and made again in one transaction is another one: the broker begins anew with it, with its
/// cluster id and leader epoch in its tables, from which the next start goes on.
#[test]
fn an_extension_replaced_in_one_transaction_is_a_new_one() {
    let server = my_turn();
    let old = Kept::on(&server).topic;
    let mut session = session(&server);
    let cluster = "SELECT cluster_id, leader_epoch FROM kafka.cluster";
    let cluster_id: String = session.query_one(cluster, &[]).unwrap().get(0);
    session
        .batch_execute("BEGIN; DROP EXTENSION pg_kafka CASCADE; CREATE EXTENSION pg_kafka; COMMIT")
        .unwrap();
    let now: (String, i32) = kafka_test::patience::within(SOON, "the broker begins anew", || {
        let row = session.query_opt(cluster, &[]).unwrap()?;
        Some((row.get(0), row.get(1)))
    });
    assert_ne!(now.0, cluster_id);
    // The tables have them before the listener is up.
    comes_up(&server.bootstrap, SOON);
    let mut kept = Kept::on(&server);
    let seen = server.connect().call(12, &MetadataRequest::default().with_topics(None));
    assert_eq!(seen.cluster_id.as_deref(), Some(now.0.as_str()));
    assert!(
        seen.topics.iter().all(|topic| topic.topic_id != old.id),
        "the old topic is gone"
    );
    assert_eq!(seen.topics[0].partitions[0].leader_epoch, now.1);
    kept.is_served(&server);
}

/// Goal: with an extension of another version than the library's the broker does not serve, and says once what to do; when they fit
/// again it serves what was there.
#[test]
fn an_extension_of_another_version_is_not_served() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let mut session = session(&server);
    let version: String = session.query_one("SELECT kafka.library_version()", &[]).unwrap().get(0);
    let log = LogSince::now(&server);
    let mut set_version = |version: &str| {
        let update = "UPDATE pg_extension SET extversion = $1 WHERE extname = 'pg_kafka'";
        session.execute(update, &[&version]).unwrap();
        // No hook tells of an UPDATE on a catalog; a reload makes the broker look.
        session.batch_execute("SELECT pg_reload_conf()").unwrap();
    };
    set_version("0.0.0");
    goes_down(&server.bootstrap, SOON);
    let line = log.line_with("pg_kafka does not listen: the extension in database \"postgres\" has version 0.0.0");
    assert!(line.contains(&version) && line.contains("ALTER EXTENSION"), "{line}");
    set_version("0.0.0");
    stays(Duration::from_secs(1), "said once", || log.count("has version 0.0.0") == 1);
    set_version(&version);
    comes_up(&server.bootstrap, SOON);
    kept.is_served(&server);
}

/// Goal: DROP EXTENSION closes the connections of clients, also of one that waits for records, and the broker survives it.
#[test]
fn dropping_the_extension_closes_connections() {
    let server = my_turn();
    let kept = Kept::on(&server);
    let log = LogSince::now(&server);
    let mut idle = server.connect();
    let mut waiting = server.connect();
    let reading = Reading {
        max_wait_ms: 30_000,
        min_bytes: 1,
        ..Reading::from(kept.records)
    };
    waiting.send(FETCH, &fetch_request(FETCH, &kept.topic, reading));
    waiting.assert_silent_for(Duration::from_millis(200), "a fetch with nothing to read");
    session(&server).batch_execute("DROP EXTENSION pg_kafka CASCADE").unwrap();
    idle.assert_closed_within(Duration::from_secs(3), "an idle connection");
    waiting.assert_closed_within(Duration::from_secs(3), "a connection with a waiting fetch");
    goes_down(&server.bootstrap, SOON);
    assert_eq!(crate::pids(&server, BROKER).len(), 1);
    log.assert_no_crash();
}
