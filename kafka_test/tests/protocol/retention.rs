//! Retention as clients see it: retention.ms goes by the records' own times, retention.bytes by what remains; the start of the log
//! moves, its end does not. These tests have a server of their own, which looks at retention often.

use crate::code;
use kafka_test::batch::{now_ms, Batch};
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch, latest, list_offsets, read_all, Reading};
use kafka_test::server::{Server, Target};
use kafka_test::topic::Topic;
use std::sync::OnceLock;

const HOUR_MS: i64 = 3_600_000;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match Target::chosen() {
        Target::Apache => Server::start_apache(&[
            ("log.retention.check.interval.ms", "200"),
            ("log.initial.task.delay.ms", "200"),
        ]),
        Target::PgKafka => Server::start_pg_kafka(&[("pg_kafka.log_retention_check_interval", "200ms")]),
    })
}

fn earliest(connection: &mut Connection, topic: &Topic) -> i64 {
    list_offsets(connection, 7, topic, 0, -2).offset
}

/// A batch of one record that is this much older than now.
fn aged(age_ms: i64) -> Batch {
    Batch::of(["x".repeat(1000)]).keyed("k").at(now_ms() - age_ms)
}

/// Goal: a log of which all is older than retention.ms is emptied, the segment that is being filled too; offsets go on.
#[test]
fn an_expired_log_is_emptied() {
    let topic = server().topic_with("expired", 1, &[("retention.ms", "3600000")]);
    let mut connection = server().connect();
    for _ in 0..5 {
        append(&mut connection, &topic, 0, &aged(2 * HOUR_MS));
    }
    eventually("the log is empty", || (earliest(&mut connection, &topic) == 5).then_some(()));
    assert_eq!(latest(&mut connection, &topic, 0), 5);
    for (offset, error) in [(4, code::OFFSET_OUT_OF_RANGE), (5, 0), (6, code::OFFSET_OUT_OF_RANGE)] {
        let data = fetch(&mut connection, 18, &topic, Reading::from(offset));
        assert_eq!(data.error_code, error, "fetch from {offset}");
    }
    assert_eq!(append(&mut connection, &topic, 0, &aged(0)), 5);
    let data = fetch(&mut connection, 18, &topic, Reading::from(5));
    assert_eq!((data.error_code, data.log_start_offset, data.high_watermark), (0, 5, 6));
}

/// Goal: the largest timestamp of a segment counts: one young record, or one of the future, keeps the old ones beside it; so does a
/// policy that does not delete, and no limit.
#[test]
fn what_is_young_or_not_to_be_deleted_stays() {
    let hour = ("retention.ms", "3600000");
    let beside_young = server().topic_with("young", 1, &[hour]);
    let beside_future = server().topic_with(
        "future",
        1,
        &[hour, ("message.timestamp.after.max.ms", "9223372036854775807")],
    );
    let compacted = server().topic_with("compacted", 1, &[hour, ("cleanup.policy", "compact")]);
    let unlimited = server().topic_with("unlimited", 1, &[("retention.ms", "-1")]);
    let mut connection = server().connect();
    append(&mut connection, &beside_young, 0, &aged(0));
    append(&mut connection, &beside_future, 0, &aged(-5 * HOUR_MS));
    for topic in [&beside_young, &beside_future, &compacted, &unlimited] {
        append(&mut connection, topic, 0, &aged(2 * HOUR_MS));
        append(&mut connection, topic, 0, &aged(2 * HOUR_MS));
    }
    // What is made later and expires shows that retention has looked at all of them since.
    for _ in 0..2 {
        let witness = server().topic_with("witness", 1, &[hour]);
        append(&mut connection, &witness, 0, &aged(2 * HOUR_MS));
        eventually("the witness expires", || {
            (earliest(&mut connection, &witness) == 1).then_some(())
        });
    }
    for topic in [&beside_young, &beside_future, &compacted, &unlimited] {
        assert_eq!(earliest(&mut connection, topic), 0, "{}", topic.name);
    }
}

/// Goal: of a log that is larger than retention.bytes the oldest segments go, as long as what remains is at least that.
#[test]
fn a_log_is_cut_to_its_size() {
    const LIMIT: usize = 2 << 20;
    const SIZE: usize = 100_000;
    let topic = server().topic_with("sized", 1, &[("segment.bytes", "1048576"), ("retention.bytes", "2097152")]);
    let mut connection = server().connect();
    for _ in 0..160 {
        append(&mut connection, &topic, 0, &Batch::of(["x".repeat(SIZE)]));
    }
    // Where a segment ends depends on the load of the machine; what comes after a large one lets it go.
    let start = eventually("the log is cut", || {
        append(&mut connection, &topic, 0, &Batch::of(["x".repeat(SIZE)]));
        Some(earliest(&mut connection, &topic)).filter(|start| *start > 80)
    });
    let end = latest(&mut connection, &topic, 0);
    assert!(
        (end - start) as usize * SIZE >= LIMIT - SIZE,
        "only {} records remain",
        end - start
    );
    let kept = read_all(&mut connection, &topic, 0, end - 1);
    assert_eq!((kept[0].base_offset, kept.len()), (end - 1, 1));
}
