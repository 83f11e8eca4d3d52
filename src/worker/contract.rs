//! The storage contract, run on Postgres in a background worker of its own: built with the cargo feature `contract` only, started by
//! `scripts/test-contract.sh`, which makes the table for the results and the function.

use std::time::Instant;

use broker::storage::contract::checks;
use broker::storage::engine::{CommitMode, Engine, EngineResult, NewTopic, PlacedBatch, SegmentId};
use bytes::Bytes;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::session;
use crate::ffi::error::catch;
use crate::ffi::guc;
use crate::ffi::process::connect;
use crate::ffi::spi::{param, run};
use crate::ffi::transaction::{self, Flush};
use crate::store::engine::PgEngine;

/// Runs all checks in a worker and waits for its end. The results are in the table `contract_results`.
#[pg_extern]
fn run_storage_contract() {
    let worker = BackgroundWorkerBuilder::new("pg_kafka storage contract")
        .set_library("pg_kafka")
        .set_function("pg_kafka_contract_main")
        .enable_spi_access()
        .set_notify_pid(std::process::id() as i32)
        .load_dynamic();
    match worker.map(|worker| worker.wait_for_shutdown()) {
        Ok(Ok(())) => {}
        other => error!(
            "the worker of the storage contract: {}",
            if other.is_err() { "not started" } else { "not ended" }
        ),
    }
}

/// Entry point of the worker.
#[pg_guard]
#[no_mangle]
pub extern "C-unwind" fn pg_kafka_contract_main(_argument: pg_sys::Datum) {
    session::prepare();
    connect(Some(&guc::snapshot().database));
    for check in checks::<PgEngine>() {
        let outcome = catch(|| (check.run)(&mut PgEngine::new)).map_err(|error| error.to_string());
        transaction::abort();
        report(check.name, outcome.map(|()| String::new()));
    }
    for size in [200, 16 * 1024, 1024 * 1024] {
        let outcome = append_speed(size).map_err(|error| error.to_string());
        transaction::abort();
        report(&format!("speed of batches of {size} bytes"), outcome);
    }
}

fn report(name: &str, outcome: Result<String, String>) {
    let (passed, message) = match outcome {
        Ok(message) => (true, message),
        Err(message) => (false, message),
    };
    let stored = transaction::begin().and_then(|()| {
        transaction::call(|| {
            let values = [param(name.to_owned()), param(passed), param(message.clone())];
            run(
                "INSERT INTO public.contract_results (name, passed, message) VALUES ($1, $2, $3)",
                &values,
            )
        })?;
        transaction::commit(Flush::Wait)
    });
    if let Err(error) = stored {
        transaction::abort();
        pgrx::log!("storage contract: {name}: passed {passed} {message}, not stored: {error}");
    }
}

/// Appends 256 MiB, or 100,000 batches, in groups of at most 1 MiB, a transaction each: payload per second, heap bytes per payload byte,
/// and payload per second of reading it back.
fn append_speed(batch_bytes: usize) -> EngineResult<String> {
    let mut engine = PgEngine::new();
    let id = uuid::Uuid::new_v4();
    engine.begin()?;
    let topic = engine.create_topic(&NewTopic {
        id,
        name: format!("speed-{id}"),
        partitions: 1,
        configs: Default::default(),
    })?;
    engine.commit(CommitMode::Flush)?;
    let segment = SegmentId { topic, number: 1 };
    let count = (256 * 1024 * 1024 / batch_bytes).min(100_000) as i32;
    let group = (1024 * 1024 / batch_bytes).max(1) as i32;
    let bytes = one_record_batch(batch_bytes);
    let began = Instant::now();
    let mut heap_bytes = 0;
    for first in (0..count).step_by(group as usize) {
        let batches: Vec<_> = (first..count.min(first + group))
            .map(|offset| PlacedBatch {
                partition: 0,
                base_offset: i64::from(offset),
                relative_offset: offset,
                leader_epoch: 1,
                bytes: bytes.clone(),
            })
            .collect();
        engine.begin()?;
        engine.lock_segment(segment)?;
        heap_bytes = engine.append(segment, &batches)?.segment_bytes;
        engine.commit(CommitMode::Flush)?;
    }
    let payload = f64::from(count) * batch_bytes as f64;
    let written = payload / 1e6 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut from = 0;
    while from < count {
        engine.begin()?;
        from += engine.read(segment, 0, from, 1024 * 1024)?.len() as i32;
        engine.commit(CommitMode::Flush)?;
    }
    let read = payload / 1e6 / began.elapsed().as_secs_f64();
    Ok(format!(
        "append {written:.0} MB/s, read {read:.0} MB/s, {:.3} heap bytes per payload byte",
        heap_bytes as f64 / payload
    ))
}

/// A batch whose header holds its size and one record.
fn one_record_batch(size: usize) -> Bytes {
    let mut bytes: Vec<u8> = (0..size).map(|index| (index * 31 % 251) as u8).collect();
    bytes[8..12].copy_from_slice(&((size - 12) as u32).to_be_bytes());
    bytes[23..27].copy_from_slice(&0_u32.to_be_bytes());
    bytes.into()
}
