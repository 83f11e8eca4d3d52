//! What SQL sees is what consumers read; for pg_kafka only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{CreatePartitionsRequest, DeleteRecordsRequest};
use kafka_test::batch::{Batch, Record};
use kafka_test::clients::{consume, consumer};
use kafka_test::compression::Codec;
use kafka_test::configs::{described, TOPIC};
use kafka_test::connection::Connection;
use kafka_test::patience::{eventually, within};
use kafka_test::requests::{append, fetch, latest, list_offsets, produce_bytes, read_all, Reading};
use kafka_test::server::Server;
use kafka_test::sql::session;
use kafka_test::topic::{metadata_of, unique_name, Topic};
use postgres::Client;
use rdkafka::message::{Headers, Message};
use std::time::Duration;

/// A record as both sides see it.
#[derive(Debug, PartialEq)]
struct Row {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// Goal: kafka.messages has exactly the records that a consumer reads, in all codecs, with nulls and empty values.
#[test]
fn messages_are_what_a_consumer_reads() {
    let server = Server::shared();
    let topic = server.topic_with("messages", 2, &[("segment.bytes", "1048576")]);
    let mut connection = server.connect();
    for (i, codec) in Codec::ALL.into_iter().cycle().take(25).enumerate() {
        let records = (0..20)
            .map(|n| Record {
                offset_delta: n,
                timestamp_delta: i64::from(n) * 3,
                key: (n % 3 != 0).then(|| {
                    if n % 3 == 1 {
                        vec![]
                    } else {
                        format!("key {i} {n}").into_bytes()
                    }
                }),
                value: (n % 4 != 0).then(|| {
                    if n % 4 == 1 {
                        vec![]
                    } else {
                        format!("value {i} {n} ").repeat(1_000).into_bytes()
                    }
                }),
                headers: vec![],
            })
            .collect();
        append(
            &mut connection,
            &topic,
            i as i32 % 2,
            &Batch::with_records(records).compressed(codec),
        );
    }
    let mut read = Vec::new();
    for partition in 0..2 {
        let count = latest(&mut connection, &topic, partition) as usize;
        consume(&consumer(server, &topic.name, partition), count, |message| {
            read.push(Row {
                partition,
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().unwrap(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
            });
        });
    }
    let mut session = session(server);
    let sql = "SELECT partition, \"offset\", (extract(epoch FROM \"timestamp\") * 1000)::int8, key, value
               FROM kafka.messages WHERE topic = $1 ORDER BY partition, \"offset\"";
    let seen: Vec<Row> = session
        .query(sql, &[&topic.name])
        .unwrap()
        .iter()
        .map(|row| Row {
            partition: row.get(0),
            offset: row.get(1),
            timestamp_ms: row.get(2),
            key: row.get(3),
            value: row.get(4),
        })
        .collect();
    assert_eq!(seen.len(), 500);
    assert!(seen == read, "rows of SQL and records of a consumer differ");
}

/// Goal: counts per partition, and a range of offsets.
#[test]
fn counts_and_ranges() {
    let server = Server::shared();
    let topic = server.topic("counted", 3);
    let mut connection = server.connect();
    for partition in 0..3 {
        for _ in 0..=partition {
            append(&mut connection, &topic, partition, &Batch::of(["a", "b"]));
        }
    }
    let mut session = session(server);
    let sql = "SELECT partition, count(*) FROM kafka.messages WHERE topic = $1 GROUP BY 1 ORDER BY 1";
    let counts: Vec<(i32, i64)> = session
        .query(sql, &[&topic.name])
        .unwrap()
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect();
    assert_eq!(counts, [(0, 2), (1, 4), (2, 6)]);
    let sql = "SELECT \"offset\", convert_from(value, 'UTF8') FROM kafka.messages
               WHERE topic = $1 AND partition = 2 AND \"offset\" BETWEEN 1 AND 3 ORDER BY 1";
    let range: Vec<(i64, String)> = session
        .query(sql, &[&topic.name])
        .unwrap()
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect();
    assert_eq!(range, [(1, "b".to_owned()), (2, "a".to_owned()), (3, "b".to_owned())]);
    let sql = "SELECT count(*) FROM kafka.messages WHERE topic = 'no such topic'";
    assert_eq!(session.query_one(sql, &[]).unwrap().get::<_, i64>(0), 0);
}

/// Goal: a topic made in SQL is there for clients as soon as it is committed, and one dropped in SQL is gone.
#[test]
fn topics_made_and_dropped_in_sql() {
    let server = Server::shared();
    let mut session = session(server);
    let mut connection = server.connect();
    let name = unique_name("by-sql");
    session.execute("SELECT kafka.create_topic($1, 4)", &[&name]).unwrap();
    eventually("clients see the topic", || {
        (metadata_of(&mut connection, &name).error_code == 0).then_some(())
    });
    let topic = server.ready(&mut connection, &name);
    assert_eq!(metadata_of(&mut connection, &name).partitions.len(), 4);
    append(&mut connection, &topic, 3, &Batch::of(["x"]));
    let listed = session.query_one("SELECT topic_id, partitions FROM kafka.topics WHERE name = $1", &[&name]);
    let row = listed.unwrap();
    assert_eq!(row.get::<_, i32>("partitions"), 4);
    session.execute("SELECT kafka.drop_topic($1)", &[&name]).unwrap();
    eventually("the topic is gone", || {
        (metadata_of(&mut connection, &name).error_code == 3).then_some(())
    });
    assert_eq!(
        produce_bytes(&mut connection, 13, &topic, 3, -1, &Batch::of(["x"]).encode()).error_code,
        100
    );
    let left = session
        .query_one("SELECT count(*) FROM kafka.messages WHERE topic = $1", &[&name])
        .unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}

/// Goal: a topic made in a transaction that is rolled back never was.
#[test]
fn a_rolled_back_topic_never_was() {
    let server = Server::shared();
    let mut session = session(server);
    let name = unique_name("rolled-back");
    let mut transaction = session.transaction().unwrap();
    transaction.execute("SELECT kafka.create_topic($1, 1)", &[&name]).unwrap();
    transaction.rollback().unwrap();
    let mut connection = server.connect();
    assert_eq!(metadata_of(&mut connection, &name).error_code, 3);
    session.execute("SELECT kafka.create_topic($1, 2)", &[&name]).unwrap();
    server.ready(&mut connection, &name);
}

/// The value of a topic's config as a client sees it, and its source.
fn config(connection: &mut Connection, topic: &Topic, key: &str) -> (String, i8) {
    let (value, source) = described(connection, TOPIC, &topic.name, key);
    (value.unwrap_or_default(), source)
}

/// Goal: kafka.alter_topic changes what it names and nothing else, null takes a config back, and the running broker sees and obeys it.
#[test]
fn configs_changed_in_sql() {
    let server = Server::shared();
    let topic = server.topic_with("altered", 1, &[("retention.ms", "5000"), ("segment.ms", "60000")]);
    let mut connection = server.connect();
    let mut session = session(server);
    let large = Batch::of(["x".repeat(2_000).as_str()]);
    append(&mut connection, &topic, 0, &large);
    let sql = "SELECT kafka.alter_topic($1, $2::text::jsonb)";
    let configs = r#"{"max.message.bytes": 1000, "retention.ms": null, "cleanup.policy": "compact,delete"}"#;
    session.execute(sql, &[&topic.name, &configs]).unwrap();
    eventually("clients see the change", || {
        (config(&mut connection, &topic, "max.message.bytes") == ("1000".to_owned(), 1)).then_some(())
    });
    assert_eq!(config(&mut connection, &topic, "retention.ms"), ("604800000".to_owned(), 5));
    assert_eq!(
        config(&mut connection, &topic, "cleanup.policy"),
        ("compact,delete".to_owned(), 1)
    );
    assert_eq!(config(&mut connection, &topic, "segment.ms"), ("60000".to_owned(), 1));
    assert_eq!(
        produce_bytes(&mut connection, 13, &topic, 0, -1, &large.encode()).error_code,
        10
    );
    session
        .execute(sql, &[&topic.name, &r#"{"max.message.bytes": null}"#])
        .unwrap();
    eventually("the limit is gone", || {
        (config(&mut connection, &topic, "max.message.bytes").1 == 5).then_some(())
    });
    let stored: Vec<(String, String)> = session
        .query(
            "SELECT c.name, c.value FROM kafka.topic_configs c JOIN kafka.topics t ON t.id = c.topic WHERE t.name = $1 ORDER BY 1",
            &[&topic.name],
        )
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        stored,
        [pair("cleanup.policy", "compact,delete"), pair("segment.ms", "60000")]
    );
}

/// Goal: a change of configs that is refused or rolled back changes nothing; a refusal has an SQLSTATE, Kafka's sentence and a hint.
#[test]
fn configs_refused_in_sql() {
    let server = Server::shared();
    let topic = server.topic_with("unaltered", 1, &[("retention.ms", "5000")]);
    let mut session = session(server);
    let known = topic.name.as_str();
    let sql = "SELECT kafka.alter_topic($1, $2::text::jsonb)";
    for (name, configs, sqlstate, message) in [
        (
            known,
            Some(r#"{"segment.ms": "7", "retention.ms": "x"}"#),
            "22023",
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (known, Some(r#"{"x": 1}"#), "22023", "Unknown topic config name: x"),
        (known, Some("[]"), "22023", "configs must be a JSON object"),
        (known, None, "22004", "configs must not be null"),
        ("no such topic", Some("{}"), "42704", "topic \"no such topic\" does not exist"),
    ] {
        let error = session.execute(sql, &[&name, &configs]).expect_err(message);
        let error = error.as_db_error().expect("an error of the database");
        assert_eq!((error.code().code(), error.message()), (sqlstate, message));
        assert!(error.hint().is_some(), "a hint with: {message}");
    }
    let mut transaction = session.transaction().unwrap();
    transaction.execute(sql, &[&topic.name, &r#"{"segment.ms": "7"}"#]).unwrap();
    transaction.rollback().unwrap();
    let mut connection = server.connect();
    assert_eq!(config(&mut connection, &topic, "segment.ms"), ("604800000".to_owned(), 5));
    assert_eq!(config(&mut connection, &topic, "retention.ms"), ("5000".to_owned(), 1));
}

/// SQLSTATE of the error of a statement, which must have a hint.
fn refused(session: &mut Client, sql: &str) -> String {
    let error = session.batch_execute(sql).expect_err(sql);
    let found = error.as_db_error().unwrap();
    assert!(found.hint().is_some_and(|hint| !hint.is_empty()), "{sql}: {error}");
    found.code().code().to_owned()
}

/// Goal: partitions added in SQL are there for clients once it is committed, and not before; meanwhile producers go on, and only who
/// wants to change the same topic waits, for its own time.
#[test]
fn partitions_added_in_sql() {
    let server = Server::shared();
    let topic = server.topic("grown-by-sql", 1);
    let mut connection = server.connect();
    let mut session = session(server);
    append(&mut connection, &topic, 0, &Batch::of(["a"]));
    let mut transaction = session.transaction().unwrap();
    let added = transaction
        .query_one("SELECT kafka.add_partitions($1, 2)", &[&topic.name])
        .unwrap();
    assert_eq!(added.get::<_, i32>(0), 3);
    let more = CreatePartitionsTopic::default()
        .with_name(topic.topic_name())
        .with_count(2)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_timeout_ms(300)
        .with_topics(vec![more]);
    assert_eq!(connection.call(3, &request).results[0].error_code, 7, "timed out");
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["b"])), 1);
    assert_eq!(metadata_of(&mut connection, &topic.name).partitions.len(), 1);
    transaction.commit().unwrap();
    eventually("clients see the partitions", || {
        (metadata_of(&mut connection, &topic.name).partitions.len() == 3).then_some(())
    });
    assert_eq!(append(&mut connection, &topic, 2, &Batch::of(["c"])), 0);
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["d"])), 2);
    assert_eq!(
        connection.call(3, &request).results[0].error_code,
        37,
        "there are more already"
    );
    let sql = "SELECT partition, end_offset FROM kafka.partitions WHERE topic = $1 ORDER BY 1";
    let ends = session.query(sql, &[&topic.name]).unwrap();
    let ends: Vec<(i32, i64)> = ends.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(ends, [(0, 3), (1, 0), (2, 1)]);
    let name = &topic.name;
    assert_eq!(
        refused(&mut session, &format!("SELECT kafka.add_partitions('{name}', 0)")),
        "22023"
    );
    assert_eq!(
        refused(&mut session, &format!("SELECT kafka.add_partitions('{name}', -1)")),
        "22023"
    );
    assert_eq!(
        refused(&mut session, &format!("SELECT kafka.add_partitions('{name}', 10001)")),
        "54000"
    );
    assert_eq!(
        refused(&mut session, "SELECT kafka.add_partitions('no such topic', 1)"),
        "42704"
    );
    assert_eq!(refused(&mut session, "SELECT kafka.add_partitions(NULL, 1)"), "22004");
}

/// Goal: a partition that was added while later segments were filled goes on from segment to segment: clients and SQL read all of it.
#[test]
fn an_added_partition_goes_from_segment_to_segment() {
    let server = Server::shared();
    let topic = server.topic_with("grown-in-segments", 1, &[("segment.bytes", "1048576")]);
    let mut connection = server.connect();
    let mut session = session(server);
    let segments = |session: &mut Client| -> i64 {
        let sql = "SELECT count(*) FROM kafka.segments s JOIN kafka.topics t ON t.id = s.topic
                   WHERE t.name = $1 AND s.base_offsets IS NOT NULL";
        session.query_one(sql, &[&topic.name]).unwrap().get(0)
    };
    let value = "v".repeat(100_000);
    let mut counts = [0, 0];
    let mut fill = |connection: &mut Connection, partition: usize| {
        append(connection, &topic, partition as i32, &Batch::of([value.as_str()]));
        counts[partition] += 1;
    };
    eventually("a second segment", || {
        fill(&mut connection, 0);
        (segments(&mut session) >= 2).then_some(())
    });
    session.execute("SELECT kafka.add_partitions($1, 1)", &[&topic.name]).unwrap();
    eventually("clients see the partition", || {
        (metadata_of(&mut connection, &topic.name).partitions.len() == 2).then_some(())
    });
    eventually("two more segments", || {
        fill(&mut connection, 0);
        fill(&mut connection, 1);
        (segments(&mut session) >= 4).then_some(())
    });
    let sql = "SELECT count(*), max(\"offset\") FROM kafka.messages WHERE topic = $1 AND partition = $2";
    for (partition, count) in counts.into_iter().enumerate() {
        let partition = partition as i32;
        assert_eq!(latest(&mut connection, &topic, partition), count);
        let read = read_all(&mut connection, &topic, partition, 0);
        assert_eq!(read.len() as i64, count);
        let row = session.query_one(sql, &[&topic.name, &partition]).unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (count, count - 1));
    }
}

/// Goal: records deleted in SQL are gone for clients and in SQL once it is committed; the log start moves forward only, within the
/// log; meanwhile producers go on.
#[test]
fn records_deleted_in_sql() {
    let server = Server::shared();
    let topic = server.topic("trimmed-by-sql", 2);
    let mut connection = server.connect();
    let mut session = session(server);
    for value in ["0", "1", "2", "3", "4", "5"] {
        append(&mut connection, &topic, 1, &Batch::of([value]));
    }
    let delete = |session: &mut Client, before: i64| {
        let sql = "SELECT kafka.delete_records($1, 1, $2)";
        session
            .query_one(sql, &[&topic.name, &before])
            .map(|row| row.get::<_, i64>(0))
    };
    let earliest = |connection: &mut Connection| list_offsets(connection, 7, &topic, 1, -2).offset;
    session.batch_execute("BEGIN").unwrap();
    assert_eq!(delete(&mut session, 3).unwrap(), 3);
    session.batch_execute("ROLLBACK").unwrap();
    session.batch_execute("BEGIN").unwrap();
    assert_eq!(delete(&mut session, 4).unwrap(), 4);
    let wanted = DeleteRecordsPartition::default().with_partition_index(1).with_offset(5);
    let entry = DeleteRecordsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![wanted]);
    let request = DeleteRecordsRequest::default().with_timeout_ms(300).with_topics(vec![entry]);
    assert_eq!(
        connection.call(2, &request).topics[0].partitions[0].error_code,
        7,
        "timed out"
    );
    assert_eq!(append(&mut connection, &topic, 1, &Batch::of(["6"])), 6);
    assert_eq!(earliest(&mut connection), 0);
    session.batch_execute("COMMIT").unwrap();
    eventually("clients see the new start", || (earliest(&mut connection) == 4).then_some(()));
    let reading = Reading {
        partition: 1,
        ..Reading::from(3)
    };
    assert_eq!(fetch(&mut connection, 18, &topic, reading).error_code, 1, "below the start");
    let sql = "SELECT min(\"offset\"), count(*) FROM kafka.messages WHERE topic = $1";
    let row = session.query_one(sql, &[&topic.name]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 3));
    assert_eq!(delete(&mut session, 2).unwrap(), 4, "never back");
    let answer = connection.call(2, &request).topics[0].partitions[0].clone();
    assert_eq!((answer.error_code, answer.low_watermark), (0, 5));
    assert_eq!(delete(&mut session, 0).unwrap(), 5);
    assert_eq!(delete(&mut session, -1).unwrap(), 7, "all");
    eventually("nothing is left", || (earliest(&mut connection) == 7).then_some(()));
    assert_eq!(append(&mut connection, &topic, 1, &Batch::of(["7"])), 7);
    let name = &topic.name;
    let compacted = server.topic_with("compacted", 1, &[("cleanup.policy", "compact")]).name;
    for (sql, state) in [
        (format!("SELECT kafka.delete_records('{name}', 1, 9)"), "22003"),
        (format!("SELECT kafka.delete_records('{name}', 1, -2)"), "22003"),
        (format!("SELECT kafka.delete_records('{name}', 2, 0)"), "42704"),
        (format!("SELECT kafka.delete_records('{name}', -1, 0)"), "42704"),
        (format!("SELECT kafka.delete_records('{compacted}', 0, 0)"), "55000"),
        ("SELECT kafka.delete_records('no such topic', 0, 0)".to_owned(), "42704"),
        (format!("SELECT kafka.delete_records('{name}', NULL, 0)"), "22004"),
    ] {
        assert_eq!(refused(&mut session, &sql), state, "{sql}");
    }
}

/// Goal: kafka.partitions shows the ends that clients see.
#[test]
fn partitions_have_the_ends_that_clients_see() {
    let server = Server::shared();
    let topic = server.topic("ends", 2);
    let mut connection = server.connect();
    append(&mut connection, &topic, 1, &Batch::of(["a", "b", "c"]));
    let mut session = session(server);
    let sql = "SELECT partition, log_start_offset, end_offset FROM kafka.partitions WHERE topic = $1 ORDER BY 1";
    let ends: Vec<(i32, i64, i64)> = session
        .query(sql, &[&topic.name])
        .unwrap()
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect();
    assert_eq!(ends, [(0, 0, 0), (1, 0, 3)]);
}

/// Goal: PUBLIC has no privilege on anything of the extension.
#[test]
fn public_may_nothing() {
    let server = Server::shared();
    server.topic("private", 1);
    let mut session = session(server);
    let role = unique_name("stranger").replace('-', "_");
    session
        .batch_execute(&format!("CREATE ROLE {role}; SET ROLE {role}"))
        .unwrap();
    for sql in [
        "SELECT * FROM kafka.topics",
        "SELECT * FROM kafka.messages",
        "SELECT * FROM kafka.partitions",
        "SELECT kafka.create_topic('strange', 1)",
        "SELECT kafka.alter_topic('strange', '{}')",
        "SELECT kafka.drop_topic('strange')",
        "SELECT kafka.add_partitions('strange', 1)",
        "SELECT kafka.delete_records('strange', 0, -1)",
    ] {
        let error = session.batch_execute(sql).expect_err(sql);
        assert_eq!(error.code().map(|c| c.code()), Some("42501"), "{sql}: {error}");
    }
    session.batch_execute(&format!("RESET ROLE; DROP ROLE {role}")).unwrap();
}

/// Goal: DROP EXTENSION is refused while topics exist; CASCADE takes the listener down, and CREATE EXTENSION brings one up again.
#[test]
fn the_listener_lives_as_long_as_the_extension() {
    let server = Server::start_pg_kafka(&[]);
    let old = server.topic("first-life", 1);
    append(&mut server.connect(), &old, 0, &Batch::of(["x"]));
    let mut session = session(&server);
    session
        .batch_execute("DROP EXTENSION pg_kafka")
        .expect_err("segments depend on the extension");
    for life in 0..3 {
        session.batch_execute("DROP EXTENSION pg_kafka CASCADE").unwrap();
        within(Duration::from_secs(8), "the listener is down", || {
            Connection::try_open(&server.bootstrap).is_err().then_some(())
        });
        session.batch_execute("CREATE EXTENSION pg_kafka").unwrap();
        let mut connection = within(Duration::from_secs(8), "the listener is up", || {
            Connection::try_open(&server.bootstrap).ok()
        });
        assert_eq!(
            metadata_of(&mut connection, &old.name).error_code,
            3,
            "life {life} begins empty"
        );
        let topic = eventually("a topic can be made", || Some(server.topic("next-life", 1)));
        assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["x"])), 0);
    }
}

/// Goal: headers are there, in order, with null values; the column's shape is name and value.
#[test]
fn headers_are_there() {
    let server = Server::shared();
    let topic = server.topic("headers", 1);
    let mut connection = server.connect();
    let headers = vec![
        ("a".to_owned(), Some(b"1".to_vec())),
        ("null".to_owned(), None),
        ("a".to_owned(), Some(vec![])),
    ];
    append(
        &mut connection,
        &topic,
        0,
        &Batch::with_records(vec![Record {
            headers,
            ..Record::default()
        }]),
    );
    consume(&consumer(server, &topic.name, 0), 1, |m| {
        assert_eq!(m.headers().unwrap().count(), 3)
    });
    let mut session = session(server);
    let sql = "SELECT h.key, h.value FROM kafka.messages m, unnest(m.headers) AS h WHERE m.topic = $1";
    let seen: Vec<(String, Option<Vec<u8>>)> = session
        .query(sql, &[&topic.name])
        .unwrap()
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect();
    assert_eq!(
        seen,
        [
            ("a".to_owned(), Some(b"1".to_vec())),
            ("null".to_owned(), None),
            ("a".to_owned(), Some(vec![]))
        ]
    );
}

/// Goal: every error of a SQL function has its own SQLSTATE and a hint that says what to do.
#[test]
fn errors_have_a_code_and_a_hint() {
    let server = Server::shared();
    let mut sql = session(server);
    let topic = server.topic("hints", 1);
    let cases = [
        ("SELECT kafka.create_topic(NULL)".to_owned(), "22004"),
        ("SELECT kafka.create_topic('')".to_owned(), "42602"),
        (format!("SELECT kafka.create_topic('{}')", topic.name), "42710"),
        ("SELECT kafka.create_topic('__cluster_metadata')".to_owned(), "42939"),
        ("SELECT kafka.create_topic('hints-p', 0)".to_owned(), "22023"),
        ("SELECT kafka.create_topic('hints-p', 10001)".to_owned(), "54000"),
        (
            r#"SELECT kafka.create_topic('hints-c', 1, '{"no.such": 1}')"#.to_owned(),
            "22023",
        ),
        (
            r#"SELECT kafka.create_topic('hints-c', 1, '{"retention.ms": null}')"#.to_owned(),
            "22023",
        ),
        ("SELECT kafka.create_topic('hints-c', 1, '[]')".to_owned(), "22023"),
        ("SELECT kafka.drop_topic(NULL)".to_owned(), "22004"),
        ("SELECT kafka.drop_topic('hints-missing')".to_owned(), "42704"),
    ];
    for (statement, code) in cases {
        let error = sql.batch_execute(&statement).expect_err(&statement);
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), code, "{statement}: {}", error.message());
        assert!(
            error.hint().is_some_and(|hint| hint.ends_with('.')),
            "{statement} has no hint"
        );
    }
}
