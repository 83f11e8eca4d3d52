//! How fast pg_kafka uses up transaction ids, of which a cluster has two thousand million before it must have frozen what is old.

use std::time::{Duration, Instant};

use super::{scaled, session, Figure, TOPIC};
use crate::error::Error;
use crate::one_in_flight;
use crate::payload::Kind;
use crate::produce;
use crate::server::Server;

const PARTITIONS: i32 = 3;

/// How long an idle broker is watched.
const IDLE: Duration = Duration::from_secs(20);

/// Transaction ids a second: of a broker with nothing to do, of small requests one after the other, of batches at full speed.
pub fn run(server: &mut Server, scale: f64) -> Result<Vec<Figure>, Error> {
    let target = &server.target;
    target.fresh_topic(TOPIC, PARTITIONS)?;
    let single = |connections| one_in_flight::Load {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        connections,
        requests: scaled(4_000.0, scale),
        record_bytes: 100,
    };
    let batches = produce::Load {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        records: scaled(200_000.0, scale) as u64,
        record_bytes: 1024,
        payload: Kind::Random,
        codec: "none".to_owned(),
        acks: "all".to_owned(),
        batch_bytes: 16 * 1024,
        linger: Duration::from_millis(5),
        idempotent: false,
        in_flight: None,
        rate: None,
        burst: Duration::ZERO,
        only_failures: false,
    };
    let figures = vec![
        used("an idle broker", server, || {
            std::thread::sleep(IDLE.mul_f64(scale.clamp(0.1, 1.0)));
            Ok(())
        })?,
        used("one request in flight", server, || {
            one_in_flight::run(target, &single(1)).map(|_| ())
        })?,
        used("one request in flight on each of 64 connections", server, || {
            one_in_flight::run(target, &single(64)).map(|_| ())
        })?,
        used("batches of 16 KiB at full speed", server, || {
            produce::run(target, &batches).map(|_| ())
        })?,
    ];
    target.delete_topic(TOPIC)?;
    Ok(figures)
}

fn used(what: &str, server: &Server, load: impl FnOnce() -> Result<(), Error>) -> Result<Figure, Error> {
    let mut session = session(server)?;
    let before = next_id(&mut session)?;
    let started = Instant::now();
    load()?;
    let seconds = started.elapsed().as_secs_f64();
    let ids = next_id(&mut session)? - before;
    let figure = format!("{ids} in {seconds:.1} s, {:.1} a second", ids as f64 / seconds);
    Ok((format!("transaction ids, {what}"), figure))
}

/// The id that the next transaction gets. Asking uses none.
fn next_id(session: &mut postgres::Client) -> Result<i64, Error> {
    let row = session.query_one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8", &[])?;
    Ok(row.get(0))
}
