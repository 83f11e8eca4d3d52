//! A pg_kafka under everything at once for a long time (`make soak`): producers in every codec and acknowledgement mode, consumers, kcat,
//! raw admin requests, SQL readers, hostile bytes, and a fault again and again. At the end the history must hold (nothing
//! acknowledged lost, moved or doubled), and the broker's memory, descriptors and threads must not have grown between faults.
//!
//! `SOAK_SECONDS` (default 600) is how long it writes, `SOAK_FAULTS` (default 10, at most one each 15 seconds) how many faults there
//! are. It prints a table with a line for each stretch between faults.
#![allow(clippy::unwrap_used, reason = "it fails by panicking")]

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest};
use kafka_test::connection::Connection;
use kafka_test::faults::Fault;
use kafka_test::history::{not_in_log, violations, Attempt, Logs};
use kafka_test::patience::{eventually, within, PATIENCE};
use kafka_test::process::{open_files, open_sockets, private_memory_bytes, threads};
use kafka_test::server::Server;
use kafka_test::sql::try_session;
use kafka_test::topic::{creatable, topic_name, unique_name};
use kafka_test::workload::{ends_of, follow, of_topic, report, sql_view, Layout, Pace, Writer};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;
/// Settings of librdkafka, a producer each.
const PRODUCERS: [&[(&str, &str)]; 6] = [
    &[],
    &[("compression.codec", "gzip")],
    &[("compression.codec", "snappy"), ("acks", "1")],
    &[("compression.codec", "lz4"), ("linger.ms", "50")],
    &[("compression.codec", "zstd"), ("acks", "1")],
    &[("acks", "0")],
];
/// Configs of the topics, in which they are different.
const TOPICS: [&[(&str, &str)]; 3] = [
    &[("segment.bytes", "8388608")],
    &[("segment.bytes", "8388608"), ("compression.type", "zstd")],
    &[("segment.bytes", "8388608"), ("message.timestamp.type", "LogAppendTime")],
];
const PACE: Pace = Pace {
    records: 10,
    pause: Duration::from_millis(40),
};
/// What memory may grow by within a stretch after its first half, and between the ends of the first and the last.
const MEMORY_SLACK: u64 = 24 * MIB;
const FILES_SLACK: usize = 24;
const SOCKETS_SLACK: usize = 16;
/// Threads that the runtime makes for long work, and ends again.
const THREADS_SLACK: u64 = 4;

fn main() {
    let seconds = number_from("SOAK_SECONDS", 600);
    let faults = number_from("SOAK_FAULTS", 10).min(seconds / 15);
    let settings = [
        ("pg_kafka.tail_cache_bytes", "16MB"),
        ("pg_kafka.queued_max_request_bytes", "128MB"),
        ("pg_kafka.queued_max_response_bytes", "64MB"),
    ];
    let server = Server::start_pg_kafka(&settings);
    let layout = Layout {
        topics: TOPICS.iter().map(|configs| server.topic_with("soak", 2, configs)).collect(),
        partitions: 2,
        value_bytes: 400,
    };
    let history = soak(&server, &layout, Duration::from_secs(seconds), faults);
    history.check(&server, &layout);
    let lines = complaints(&server);
    println!("soak: well; {lines} kinds of complaints in the server's log, above");
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |v| v.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

/// What everybody was told and saw.
struct History {
    attempts: Vec<Attempt>,
    seen: Logs,
    logs: Logs,
}

impl History {
    fn check(self, server: &Server, layout: &Layout) {
        report(&self.attempts, &self.logs);
        let wrong = violations(&self.attempts, &self.logs);
        assert!(
            wrong.is_empty(),
            "{} violations, first {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        let replaced = not_in_log(&self.seen, &self.logs);
        assert!(
            replaced.is_empty(),
            "a consumer read what is not in the log: {:#?}",
            &replaced[..replaced.len().min(5)]
        );
        for topic in &layout.topics {
            assert!(
                sql_view(server, topic) == of_topic(&self.logs, topic),
                "kafka.messages of {} differs",
                topic.name
            );
        }
    }
}

/// Counts what each kind of client got done.
#[derive(Default)]
struct Done {
    acknowledged: AtomicU64,
    kcat: AtomicU64,
    admin: AtomicU64,
    sql: AtomicU64,
    hostile: AtomicU64,
}

fn soak(server: &Server, layout: &Layout, time: Duration, faults: u64) -> History {
    let (stop, ends, done) = (AtomicBool::new(false), OnceLock::new(), Done::default());
    std::thread::scope(|scope| {
        let (stop, ends, done) = (&stop, &ends, &done);
        let writers: Vec<_> = PRODUCERS
            .iter()
            .enumerate()
            .map(|(number, settings)| {
                let writer = Writer::new(server, layout, number, settings);
                scope.spawn(move || writer.write(PACE, stop, &done.acknowledged))
            })
            .collect();
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(move || follow(server, layout, ends))).collect();
        let others = [
            scope.spawn(move || again(stop, &done.kcat, || kcat_round(server))),
            scope.spawn(move || again(stop, &done.admin, || admin_round(server).is_some())),
            scope.spawn(move || again(stop, &done.sql, || sql_round(server, layout))),
            scope.spawn(move || again(stop, &done.hostile, || hostile_round(server).is_some())),
        ];
        // However it ends, the threads must hear of it: a scope waits for them.
        let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watch(server, done, time, faults)));
        stop.store(true, Ordering::Relaxed);
        let attempts = writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("a writer"))
            .collect();
        for other in others {
            other.join().expect("a client");
        }
        let logs = std::panic::catch_unwind(|| layout.read_logs(server)).unwrap_or_default();
        ends.set(ends_of(&logs)).expect("set once");
        let seen = readers.into_iter().map(|reader| reader.join().expect("a reader")).next_back();
        watched.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        History {
            attempts,
            seen: seen.unwrap_or_default(),
            logs,
        }
    })
}

/// Repeats `round` until `stop`, with a pause, and counts those that went well.
fn again(stop: &AtomicBool, done: &AtomicU64, mut round: impl FnMut() -> bool) {
    while !stop.load(Ordering::Relaxed) {
        done.fetch_add(u64::from(round()), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What the broker's process holds at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    pid: i32,
    memory: u64,
    sockets: usize,
    /// Sockets, and files that Postgres keeps open: more when there are more segments, so these are compared within a stretch only.
    files: usize,
    threads: u64,
}

fn sample(server: &Server) -> Sample {
    let pid = server.broker_pid();
    Sample {
        pid,
        memory: private_memory_bytes(pid),
        sockets: open_sockets(pid),
        files: open_files(pid),
        threads: threads(pid),
    }
}

/// Lets the faults happen at equal distances, and compares the middle and the end of each stretch between them, then the ends.
fn watch(server: &Server, done: &Done, time: Duration, faults: u64) {
    println!(
        "{:<18} {:>6}  {:>15} {:>13} {:>13} {:>13}  {:>12} {:>6} {:>6} {:>6} {:>7}",
        "after", "s", "memory KiB", "files", "sockets", "threads", "acknowledged", "kcat", "admin", "SQL", "hostile"
    );
    // The last stretch is twice as long.
    let stretch = time / (faults as u32 + 2);
    let mut ends = Vec::new();
    for number in 0..=faults {
        let fault = (number > 0).then(|| Fault::MIXED[(number - 1) as usize % Fault::MIXED.len()]);
        if let Some(fault) = fault {
            fault.strike(server);
            eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        }
        let began = Instant::now();
        let length = if number == faults { stretch * 2 } else { stretch };
        let before = done.acknowledged.load(Ordering::Relaxed);
        within(PATIENCE, "producers go on", || {
            (done.acknowledged.load(Ordering::Relaxed) > before + 100).then_some(())
        });
        sleep_until(began + length / 2);
        let middle = sample(server);
        sleep_until(began + length);
        let end = sample(server);
        let name = fault.map_or("start".to_owned(), |fault| format!("{fault:?}"));
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{name:<18} {:>6}  {:>7} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}  {:>12} {:>6} {:>6} {:>6} {:>7}",
            length.as_secs(),
            middle.memory / 1024,
            end.memory / 1024,
            middle.files,
            end.files,
            middle.sockets,
            end.sockets,
            middle.threads,
            end.threads,
            count(&done.acknowledged) - before,
            count(&done.kcat),
            count(&done.admin),
            count(&done.sql),
            count(&done.hostile)
        );
        assert_eq!(middle.pid, end.pid, "the broker died without a fault");
        is_flat(&middle, &end, &format!("after {name}"));
        assert!(
            end.files <= middle.files + FILES_SLACK,
            "after {name}: {} descriptors became {}",
            middle.files,
            end.files
        );
        ends.push(end);
    }
    is_flat(&ends[0], &ends[ends.len() - 1], "from the first stretch to the last");
    for (count, what) in [
        (&done.kcat, "kcat"),
        (&done.admin, "admin"),
        (&done.sql, "SQL"),
        (&done.hostile, "hostile"),
    ] {
        assert!(count.load(Ordering::Relaxed) > 0, "no round of {what} went well");
    }
}

fn sleep_until(when: Instant) {
    std::thread::sleep(when.saturating_duration_since(Instant::now()));
}

fn is_flat(before: &Sample, after: &Sample, when: &str) {
    let (grown, allowed) = (after.memory.saturating_sub(before.memory), MEMORY_SLACK);
    assert!(grown <= allowed, "{when}: memory grew by {} MiB", grown / MIB);
    assert!(
        after.sockets <= before.sockets + SOCKETS_SLACK,
        "{when}: {} sockets became {}",
        before.sockets,
        after.sockets
    );
    assert!(
        after.threads <= before.threads + THREADS_SLACK,
        "{when}: {} threads became {}",
        before.threads,
        after.threads
    );
}

/// kcat writes a line and reads the last one; a fault may be in its way.
fn kcat_round(server: &Server) -> bool {
    let run = |arguments: &str| {
        let script = format!("echo line | timeout 20 kcat -b {} {arguments}", server.bootstrap);
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    run("-P -t soak-kcat -p 0 -z snappy") && run("-C -q -e -t soak-kcat -p 0 -o -1 -c 1") && run("-L")
}

/// A topic is made, described and deleted; `None` if a fault was in the way.
fn admin_round(server: &Server) -> Option<()> {
    let mut connection = Connection::try_open(&server.bootstrap).ok()?;
    let name = unique_name("soak-admin");
    connection.try_call(4, &ApiVersionsRequest::default())?;
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(5_000)
        .with_topics(vec![creatable(&name, 3, &[])]);
    let made = connection.try_call(7, &request)?;
    connection.try_call(12, &MetadataRequest::default().with_topics(None))?;
    let state = DeleteTopicState::default().with_name(Some(topic_name(&name)));
    let request = DeleteTopicsRequest::default().with_timeout_ms(5_000).with_topics(vec![state]);
    let deleted = connection.try_call(6, &request)?;
    (made.topics[0].error_code == 0 && deleted.responses[0].error_code == 0).then_some(())
}

/// Ends and first records of each topic; `false` if a fault was in the way.
fn sql_round(server: &Server, layout: &Layout) -> bool {
    let Ok(mut session) = try_session(server) else { return false };
    let query = "SELECT sum(end_offset)::bigint FROM kafka.partitions WHERE topic = $1";
    let messages = "SELECT count(*) FROM (SELECT 1 FROM kafka.messages WHERE topic = $1 LIMIT 1000) m";
    layout.topics.iter().all(|topic| {
        let mut count = |query| {
            session
                .query_one(query, &[&topic.name])
                .ok()
                .map(|row| row.get::<_, Option<i64>>(0))
        };
        count(query).is_some() && count(messages).is_some()
    })
}

/// Nonsense, half a frame, and a connection that is left open for a while.
fn hostile_round(server: &Server) -> Option<()> {
    let mut nonsense = Connection::try_open(&server.bootstrap).ok()?;
    nonsense.try_send_frame(&[0, 0, 0, 99, 1, 2, 3, 4, 5]).ok()?;
    let mut half = Connection::try_open(&server.bootstrap).ok()?;
    half.try_send_frame(&[0, 3, 0, 12]).ok()?;
    let mut begun = Connection::try_open(&server.bootstrap).ok()?;
    std::io::Write::write_all(&mut begun.stream(), &[0, 1, 0, 0, 7]).ok()?;
    nonsense.reacts_within(Duration::from_millis(100));
    begun.reacts_within(Duration::from_millis(100));
    Some(())
}

/// Prints what the server's log complains of, each kind once with its number, and panics at what must never be; returns the kinds.
fn complaints(server: &Server) -> usize {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for line in server.log().lines() {
        for bad in [
            "panicked",
            "PANIC:",
            "signal 6",
            "signal 11",
            "overflowed its stack",
            "internal error",
        ] {
            assert!(!line.contains(bad), "in the server's log: {line}");
        }
        let complaint = ["ERROR:", "FATAL:", "WARNING:"].iter().find_map(|level| line.find(level));
        if let Some(at) = complaint {
            let kind: String = line[at..].chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            let kind: String = kind.split("00").collect::<Vec<_>>().join("0");
            *kinds.entry(kind).or_default() += 1;
        }
    }
    for (kind, count) in &kinds {
        println!("{count:>6} x {kind}");
    }
    kinds.len()
}
